//! Runs the commands that a page of the documentation shows.

use crate::program;

/// The root of the checkout, where the documents' commands run.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Shell lines of a document, with placeholders such as `<release>`.
pub struct Commands(String);

/// The one block of shell lines in a document that contains this text.
///
/// # Panics
///
/// When there is none, or more than one.
pub fn documented(document: &str, text: &str) -> Commands {
    let mut blocks = blocks(document, "sh", text).into_iter();
    let block = blocks.next();
    let block = block.unwrap_or_else(|| panic!("{document} has no commands with {text:?}"));
    assert!(blocks.next().is_none(), "{document} has {text:?} twice");
    Commands(block)
}

/// The first block of YAML in a document that contains this text.
///
/// # Panics
///
/// When there is none.
pub fn yaml(document: &str, text: &str) -> String {
    let block = blocks(document, "yaml", text).into_iter().next();
    block.unwrap_or_else(|| panic!("{document} has no YAML with {text:?}"))
}

/// The blocks of a language in a document that contain this text.
fn blocks(document: &str, language: &str, text: &str) -> Vec<String> {
    let page =
        std::fs::read_to_string(format!("{ROOT}/{document}")).expect("the document is there");
    let fence = format!("```{language}\n");
    let blocks = page.split(&fence).skip(1);
    let blocks = blocks.filter_map(|rest| Some(rest.split_once("```")?.0));
    let blocks = blocks.filter(|block| block.contains(text));
    blocks.map(str::to_owned).collect()
}

impl From<&str> for Commands {
    fn from(lines: &str) -> Self {
        Self(lines.to_owned())
    }
}

impl Commands {
    /// The commands in the comment at the head of a file, from the line that contains `begin`.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn in_head(file: &str, begin: &str) -> Self {
        let text = std::fs::read_to_string(format!("{ROOT}/{file}")).expect("the file is there");
        let head = text.lines().map_while(|line| line.strip_prefix('#'));
        let mut lines = head.map(str::trim).skip_while(|line| !line.contains(begin));
        let line = lines.next();
        let line = line.unwrap_or_else(|| panic!("the head of {file} has no {begin:?}"));
        let start = line.find(begin).expect("it is in the line");
        Self(line[start..].to_owned())
    }

    /// Replaces a placeholder by a value.
    ///
    /// # Panics
    ///
    /// When the placeholder is not there.
    #[must_use]
    pub fn with(self, placeholder: &str, value: &str) -> Self {
        assert!(
            self.0.contains(placeholder),
            "no {placeholder} in {}",
            self.0
        );
        Self(self.0.replace(placeholder, value))
    }

    /// Puts lines before the commands.
    #[must_use]
    pub fn after(self, lines: &str) -> Self {
        Self(format!("{lines}\n{}", self.0))
    }

    /// Puts lines behind the commands.
    #[must_use]
    pub fn before(self, lines: &str) -> Self {
        Self(format!("{}\n{lines}", self.0.trim_end()))
    }

    /// Adds commands of the same shell, which know the variables of these.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        Self(format!("{}\n{}", self.0, next.0))
    }

    /// Adds an argument to the last command.
    #[must_use]
    pub fn and(self, argument: &str) -> Self {
        Self(format!("{} {argument}", self.0.trim_end()))
    }

    /// Runs the commands and returns their output.
    ///
    /// # Panics
    ///
    /// When one fails, or a placeholder is left.
    pub async fn run(self) -> String {
        let placeholder = self.0.split('<').skip(1).find_map(|rest| {
            let (name, _) = rest.split_once('>')?;
            let is_name = |c: char| c.is_alphanumeric() || c == ' ';
            name.chars().all(is_name).then_some(name)
        });
        assert!(
            placeholder.is_none(),
            "{placeholder:?} is left in {}",
            self.0
        );
        program::run(&self.0).await
    }
}
