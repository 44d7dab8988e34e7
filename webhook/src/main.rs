//! Starts the webhook; everything else is in the library.

use std::process::ExitCode;

use service_kit::logging;
use webhook::app;
use webhook::settings::{self, Settings};

fn main() -> ExitCode {
    let args = contract::flags::from_go_syntax(std::env::args_os());
    let settings = match Settings::read(args, |name| std::env::var(name).ok()) {
        Ok(settings) => settings,
        Err(refusal) => return refusal.report(),
    };
    logging::start(settings.log_level, settings.log_format, settings::CRATE);
    match app::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
