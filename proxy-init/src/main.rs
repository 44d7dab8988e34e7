//! The init container `azwi-proxy-init`.

use std::process::ExitCode;

use proxy_init::config::Config;
use proxy_init::{RedirectError, command, report};

fn main() -> ExitCode {
    let config = match command::parse(std::env::args_os().skip(1)) {
        Ok(command::Command::Redirect) => Config::from_environment(std::env::var_os),
        Ok(command::Command::Print(text)) => {
            println!("{text}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => Err(mistake),
    };
    match config
        .map_err(RedirectError::from)
        .and_then(|config| proxy_init::redirect(&config))
    {
        Ok(done) => report::success(&done),
        Err(error) => report::failure(&error),
    }
}
