//! `/readyz`: ready once the proxy has started and while the service account token can be opened.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use tracing::{debug, info};

use super::answer::{Answer, text};
use crate::file;

/// Whether a path is the route's. As upstream, it accepts a slash at the end.
#[must_use]
pub fn is_route(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path) == PATH
}

/// The route's path. Nothing that begins with it is relayed.
pub const PATH: &str = "/readyz";

/// Whether the proxy is ready. A probe costs no exchange (law 4).
#[derive(Debug)]
pub struct Readiness {
    probed: AtomicBool,
    started: AtomicBool,
    token_file: PathBuf,
    /// What the start waits for.
    waiting_for: Mutex<String>,
}

impl Readiness {
    /// Not ready until [`Self::set_started`] is called and the file at `token_file` can be opened.
    #[must_use]
    pub fn new(token_file: PathBuf) -> Self {
        Self {
            probed: AtomicBool::new(false),
            started: AtomicBool::new(false),
            token_file,
            waiting_for: Mutex::new("starting".to_owned()),
        }
    }

    /// Sets the reason that is shown until [`Self::set_started`] is called, one line.
    pub fn set_waiting_for(&self, reason: String) {
        let mut waiting_for = self
            .waiting_for
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *waiting_for = reason;
    }

    /// Ends the starting phase. From now on readiness depends only on the token file.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Release);
    }

    /// 200 with `ok`, or 503 with the reason.
    pub fn answer(&self) -> Answer {
        if self.probed.swap(true, Ordering::Relaxed) {
            debug!("received readyz request");
        } else {
            info!("received readyz request");
        }
        let unavailable = |line: String| text(StatusCode::SERVICE_UNAVAILABLE, line);
        if !self.started.load(Ordering::Acquire) {
            let reason = self
                .waiting_for
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            return unavailable(format!("not ready: {reason}"));
        }
        match file::open(&self.token_file) {
            Ok(_) => text(StatusCode::OK, "ok"),
            Err(error) => unavailable(format!("not ready: {}: {error}", self.token_file.display())),
        }
    }
}
