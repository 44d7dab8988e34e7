//! Untrusted text in logs and terminals.

/// Whether a character controls a terminal: a control character (C0, DEL, C1), one that changes the
/// direction of text (UAX #9), or a separator of lines or paragraphs, at which log readers cut.
#[must_use]
pub fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_control_and_direction_characters() {
        assert!(
            "\0\n\r\t\u{1b}\u{7f}\u{9b}\u{61c}\u{200f}\u{2028}\u{2029}\u{202e}\u{2066}"
                .chars()
                .all(is_control)
        );
        assert!(!"aé \u{1f980}-\u{fffd}".contains(is_control));
    }
}
