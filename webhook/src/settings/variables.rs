//! Environment variables without a flag.

use std::ffi::OsString;
use std::fmt::Display;
use std::str::FromStr;

use service_kit::settings::Mistakes;

/// The environment.
pub(super) struct Variables<'e>(pub(super) &'e dyn Fn(&str) -> Option<OsString>);

impl Variables<'_> {
    /// The variable's text without surrounding white space. An empty variable counts as absent.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let text = (self.0)(name)?;
        let text = text.to_string_lossy().trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// The variable's value. `None` if it has none, or after a mistake was added.
    pub(super) fn read<T: FromStr<Err: Display>>(
        &self,
        name: &str,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        let text = self.text(name)?;
        mistakes.keep(
            text.parse()
                .map_err(|error| format!("{name}={text}: {error}")),
        )
    }

    /// The value of a variable that must be set. `None` after a mistake was added.
    pub(super) fn required<T: FromStr<Err: Display>>(
        &self,
        name: &str,
        meaning: &str,
        mistakes: &mut Mistakes,
    ) -> Option<T> {
        if self.text(name).is_none() {
            mistakes.add(format!("{name} is not set: it is {meaning}"));
        }
        self.read(name, mistakes)
    }
}
