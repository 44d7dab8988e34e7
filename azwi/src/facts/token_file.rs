//! The token file in a running container.

use super::object::Object;

/// The token file of a container, as a program in it reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile {
    /// The container.
    pub container: String,
    /// Its pod.
    pub pod: Object,
    /// The file's path in it.
    pub path: String,
    /// What is in the file.
    pub content: Content,
    /// When it was read, in seconds since 1970.
    pub read_at: i64,
}

/// What is in a token file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A token, without the token itself.
    Token {
        /// When it expires, in seconds since 1970.
        expires: i64,
        /// Its audiences.
        audiences: Vec<String>,
    },
    /// Something else.
    Other,
    /// A program of the container cannot read it: its error.
    Unreadable(String),
}
