//! Reports the outcome on standard error, and a failure in the container's termination message too,
//! which `kubectl describe pod` shows.

use std::path::Path;
use std::process::ExitCode;

use service_kit::termination;

use crate::config::Exemption;
use crate::firewall::Firewall;
use crate::route::Route;
use crate::{Done, RedirectError};

/// Reports what was set up.
#[must_use]
pub fn success(done: &Done) -> ExitCode {
    let message = format!(
        "connections to {metadata} go to {proxy}{except}: written with \
         {firewall}, proved by {proof}{route}, in {took:.1?}\n",
        metadata = done.config.metadata,
        proxy = done.config.proxy(),
        except = except(done),
        firewall = done.firewall,
        proof = done.proof,
        route = match done.route {
            Route::Loopback => ", with the address put on lo because there was no route",
            Route::Present => "",
        },
        took = done.took,
    );
    eprint!("{message}");
    ExitCode::SUCCESS
}

/// The connections that are not redirected.
fn except(done: &Done) -> String {
    let uid = done.config.proxy_uid;
    match (done.config.exemption, done.firewall) {
        (Exemption::Nothing, _) => String::new(),
        (Exemption::Announced(_), Firewall::NfTables) => {
            format!(", except those that user {uid} announces with its key")
        }
        (Exemption::Announced(_), Firewall::Iptables(_)) | (Exemption::User, _) => {
            format!(", except those of user {uid}")
        }
    }
}

/// Reports why the pod does not start.
#[must_use]
pub fn failure(error: &RedirectError) -> ExitCode {
    let message = format!("proxy-init: {error} (exit code {})", error.code());
    eprintln!("{message}");
    termination::write(Path::new(termination::LOG), &message);
    ExitCode::from(error.code())
}
