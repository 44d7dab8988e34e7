//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// What to attack, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arguments {
    /// The time of the attack.
    pub time: Duration,
    /// The seed of everything random.
    pub seed: u64,
    /// The webhook's binary.
    pub webhook: PathBuf,
    /// The proxy's binary.
    pub proxy: PathBuf,
    /// The folder for scripts that broke a rule, and for logs.
    pub output: PathBuf,
}

impl Arguments {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    ///
    /// When a word is unknown or lacks its value.
    pub fn read(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self {
            time: Duration::from_secs(120),
            seed: fastrand::u64(..1_000_000_000),
            webhook: "target/debug/webhook".into(),
            proxy: "target/debug/proxy".into(),
            output: "target/adversary".into(),
        };
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            match word.as_str() {
                "--seed" => arguments.seed = number(&value()?)?,
                "--webhook" => arguments.webhook = value()?.into(),
                "--proxy" => arguments.proxy = value()?.into(),
                "--output" => arguments.output = value()?.into(),
                seconds => arguments.time = Duration::from_secs(number(seconds)?),
            }
        }
        Ok(arguments)
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse()
        .map_err(|_| format!("not a number: {text}\n{USAGE}"))
}

const USAGE: &str =
    "usage: adversary [SECONDS] [--seed NUMBER] [--webhook FILE] [--proxy FILE] [--output FOLDER]";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Arguments, String> {
        Arguments::read(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn reads_time_and_seed() {
        let arguments = read("30 --seed 7 --proxy /p").unwrap();
        assert_eq!(
            (arguments.time, arguments.seed),
            (Duration::from_secs(30), 7)
        );
        assert_eq!(arguments.proxy, PathBuf::from("/p"));
        assert_eq!(read("").unwrap().time, Duration::from_secs(120));
    }

    #[test]
    fn refuses_other_words() {
        assert!(
            read("--sed 7")
                .unwrap_err()
                .starts_with("not a number: --sed")
        );
        assert!(
            read("--seed")
                .unwrap_err()
                .starts_with("--seed needs a value")
        );
    }
}
