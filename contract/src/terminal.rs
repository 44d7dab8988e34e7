//! Texts of strangers, on their way to logs and terminals.

/// Whether a character does more to a terminal than to show: a control character (C0, DEL, C1), or
/// one that turns the order of others around (UAX #9).
pub fn moves(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_terminal_is_known() {
        assert!(
            "\0\n\r\t\u{1b}\u{7f}\u{9b}\u{200f}\u{202e}\u{2066}"
                .chars()
                .all(moves)
        );
        assert!(!"aé \u{1f980}-\u{fffd}".contains(moves));
    }
}
