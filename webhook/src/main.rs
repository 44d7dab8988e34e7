//! Starts the webhook; everything else is in the library.

use std::process::ExitCode;

use service_kit::logging;
use service_kit::settings::ConfigurationError;
use tracing::error;
use webhook::app;
use webhook::settings::{self, Settings};

fn main() -> ExitCode {
    let settings = match Settings::read(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(settings) => settings,
        Err(error) => return error.report(),
    };
    logging::start(settings.log_level, settings.log_format, settings::CRATE);
    match app::run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "the webhook failed");
            if error.is::<ConfigurationError>() {
                ExitCode::from(contract::EXIT_USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
