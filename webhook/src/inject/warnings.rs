//! Sentences for the user, which kubectl shows: as many and as long as an answer can bear.

use super::denial::printable;

/// API servers pass on 4 KiB of warnings at most.
const MAX_COUNT: usize = 16;
/// Names in a review are not checked yet, and may be as long as the review.
const MAX_CHARACTERS: usize = 400;

/// What is told to the user in one answer.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    told: Vec<String>,
    has_more: bool,
}

impl Warnings {
    /// Adds a sentence, which is not even made when there are enough.
    pub(super) fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.told.len() < MAX_COUNT {
            self.told.push(bounded(printable(&sentence())));
        } else {
            self.has_more = true;
        }
    }

    /// The sentences, without what moves a terminal.
    pub(super) fn into_sentences(mut self) -> Vec<String> {
        if self.has_more {
            self.told.push("there are more warnings".to_owned());
        }
        self.told
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_stays_small() {
        let mut warnings = Warnings::default();
        for _ in 0..1_000 {
            warnings.push(|| "é".repeat(1_000_000));
        }
        let sentences = warnings.into_sentences();
        assert_eq!(sentences.len(), MAX_COUNT + 1);
        let characters: usize = sentences.iter().map(|it| it.chars().count()).sum();
        assert!(characters < MAX_COUNT * (MAX_CHARACTERS + 2) + 100);
    }
}
