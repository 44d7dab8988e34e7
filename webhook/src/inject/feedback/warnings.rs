//! Warnings for the user, which kubectl shows. Their number and length are limited.

use super::denial::printable;

/// The warnings of one answer.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    sentences: Vec<String>,
    has_more: bool,
}

impl Warnings {
    /// Adds a sentence. It is only built while there is space for it.
    pub(crate) fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.sentences.len() < MAX_COUNT {
            self.sentences.push(bounded(printable(&sentence())));
        } else {
            self.has_more = true;
        }
    }

    /// The sentences, without control characters.
    pub(crate) fn into_sentences(mut self) -> Vec<String> {
        if self.has_more {
            self.sentences.push("there are more warnings".to_owned());
        }
        self.sentences
    }
}

fn bounded(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_CHARACTERS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// API servers pass on 4 KiB of warnings at most.
const MAX_COUNT: usize = 16;
/// Names in a review are not validated yet, and may be as long as the review.
const MAX_CHARACTERS: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_the_warnings_of_an_answer() {
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
