//! The webhook's configuration, one a line: `--flag…` or `VARIABLE=value`. It is taken, or every
//! mistake is told in a sentence.

#![no_main]

use std::collections::HashMap;

use libfuzzer_sys::fuzz_target;
use webhook::settings::{Refusal, Settings};

fuzz_target!(|text: &str| {
    // That variable names a file, and any file may be there.
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
    let args = contract::flags::from_go_syntax(args);
    match Settings::read(args, |name| variables.get(name).map(|it| (*it).to_owned())) {
        Ok(settings) => {
            let config = settings.config;
            assert!(config.authority_host.starts_with("https://"));
            assert!(config.authority_host.ends_with('/'));
            assert!(!config.tenant_id.is_empty() && !config.sidecar.image.is_empty());
            assert!(settings.max_connections > 0);
        }
        Err(Refusal::Clap(_)) => {}
        Err(Refusal::Mistakes(mistakes)) => {
            assert!(!mistakes.is_empty() && mistakes.iter().all(|it| it.len() > 10));
        }
    }
});
