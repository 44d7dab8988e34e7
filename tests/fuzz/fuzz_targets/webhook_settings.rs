//! The webhook's configuration, one setting per line: `--flag…` or `VARIABLE=value`. It is accepted, or every
//! mistake is reported in a sentence.

#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use webhook::settings::{Settings, UsageError};

fuzz_target!(|text: &str| {
    // That variable names a file, whose contents the target does not control.
    if text.contains("FILEPATH") {
        return;
    }
    let (flags, variables): (Vec<_>, Vec<_>) =
        text.split('\n').partition(|line| line.starts_with('-'));
    let variables: HashMap<_, _> = variables
        .into_iter()
        .filter_map(|line| line.split_once('='))
        .collect();
    let args = ["webhook"].into_iter().chain(flags).map(Into::into);
    match Settings::read(args, |name| variables.get(name).map(Into::into)) {
        Ok(settings) => {
            let config = settings.config;
            assert!(config.authority_host.starts_with("https://"));
            assert!(config.authority_host.ends_with('/'));
            assert!(!config.tenant_id.is_empty() && !config.sidecar.image.is_empty());
            assert!(settings.max_connections > 0);
        }
        Err(UsageError::Arguments(_)) => {}
        Err(UsageError::Configuration(error)) => {
            let mistakes = error.mistakes();
            assert!(!mistakes.is_empty() && mistakes.iter().all(|it| it.len() > 10));
        }
    }
});
