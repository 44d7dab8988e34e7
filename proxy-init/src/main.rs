//! The init container `azwi-proxy-init`.

use std::process::ExitCode;

use proxy_init::config::Config;
use proxy_init::{Failure, command, report};

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
        .map_err(Failure::from)
        .and_then(|config| proxy_init::redirect(&config))
    {
        Ok(done) => report::success(&done),
        Err(failure) => report::failure(&failure),
    }
}
