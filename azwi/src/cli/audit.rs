//! `azwi audit`.

use std::process::ExitCode;

use clap::Args;
use contract::log::{LogFormat, LogLevel};
use contract::token;
use service_kit::logging;
use tokio::runtime;
use tracing::error;

use crate::audit::app::{self, Settings};
use crate::audit::policy::Policy;
use crate::audit::version::Version;

/// Watch the labelled pods of the cluster, and report those without their identity
///
/// Runs in the cluster until a signal ends it; the chart's audit.enabled starts it. Findings are Events on the
/// owners of pods, and the metric azwi_audit_findings.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Audience of the webhook's tokens; repeat it for each
    #[arg(long, env = "AZWI_AUDIT_AUDIENCE", default_value = token::DEFAULT_AUDIENCE, value_delimiter = ',')]
    audience: Vec<String>,
    /// Image of the injected containers, the webhook's own first; repeat it for each. Tags do not matter
    #[arg(long, env = "AZWI_AUDIT_IMAGE", value_delimiter = ',', required = true)]
    image: Vec<String>,
    /// Oldest version of the injected containers, such as 0.1.0
    #[arg(long, env = "AZWI_AUDIT_MIN_VERSION", value_name = "VERSION")]
    min_version: Option<Version>,
    /// Evict pods that a new pod would replace without the fault, one of a workload at a time
    #[arg(long, env = "AZWI_AUDIT_EVICT")]
    evict: bool,
    /// Address of /healthz and /readyz
    #[arg(
        long,
        env = "AZWI_AUDIT_HEALTH_ADDR",
        value_name = "ADDR",
        default_value = ":9440"
    )]
    health_addr: String,
    /// Address of /metrics, 0 for none
    #[arg(
        long,
        env = "AZWI_AUDIT_METRICS_ADDR",
        value_name = "ADDR",
        default_value = ":8095"
    )]
    metrics_addr: String,
    /// Log level: error, warn, info, debug, trace or all
    #[arg(
        long,
        env = "AZWI_AUDIT_LOG_LEVEL",
        value_name = "LEVEL",
        default_value = "info"
    )]
    log_level: LogLevel,
    /// Log format: json or text
    #[arg(
        long,
        env = "AZWI_AUDIT_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "json"
    )]
    log_format: LogFormat,
}

/// Runs the audit.
pub(super) fn run(arguments: Arguments) -> ExitCode {
    logging::start(arguments.log_level, arguments.log_format, "azwi");
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(app::run(arguments.into())),
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "the audit failed");
            ExitCode::FAILURE
        }
    }
}

impl From<Arguments> for Settings {
    fn from(arguments: Arguments) -> Self {
        Self {
            policy: Policy {
                audiences: arguments.audience,
                images: arguments.image,
                min_version: arguments.min_version,
            },
            evicts: arguments.evict,
            health_addr: arguments.health_addr,
            metrics_addr: Some(arguments.metrics_addr).filter(|it| it != "0"),
            // The pod's name, in a cluster.
            instance: std::env::var("HOSTNAME").unwrap_or_else(|_| "azwi-audit".to_owned()),
        }
    }
}
