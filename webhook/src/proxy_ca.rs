//! The certificate authorities that proxies trust besides the public ones: a file of the webhook that
//! becomes a variable of each proxy.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use contract::value::CaData;
use contract::variable;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::admission::Admission;
use crate::inject::Config;

/// Certificates in PEM text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyCa(String);

impl ProxyCa {
    /// Reads the file of `--proxy-ca-file`.
    ///
    /// # Errors
    ///
    /// When it cannot be read, holds no certificate, or is too long for a variable.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let name = || format!("--proxy-ca-file={}", path.display());
        let text = std::fs::read_to_string(path).with_context(name)?;
        text.parse::<CaData>().with_context(name)?;
        Ok(Self(text))
    }

    /// Sets the variable of proxies.
    pub fn apply(&self, config: &mut Config) {
        let environment = &mut config.sidecar.environment;
        environment.retain(|(name, _)| *name != variable::CA_DATA);
        environment.push((variable::CA_DATA, self.0.clone()));
    }
}

/// Gives new pods the certificates that the file holds then, checked every ten seconds. While the
/// file cannot be used, new pods get the old ones.
pub async fn follow(path: PathBuf, mut current: ProxyCa, admission: Arc<Admission>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logged = String::new();
    loop {
        ticks.tick().await;
        match ProxyCa::read(&path) {
            Ok(read) => {
                logged.clear();
                if read != current {
                    admission.update(|config| read.apply(config));
                    info!("the proxies' certificates are replaced");
                    current = read;
                }
            }
            Err(error) => {
                let text = format!("{error:#}");
                if text != logged {
                    warn!(error = text, "the proxies' certificates are not replaced");
                }
                logged = text;
            }
        }
    }
}

const PERIOD: Duration = Duration::from_secs(10);
