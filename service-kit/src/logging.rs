//! Log lines on standard error, as text or JSON. Logging never blocks the program.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};

use contract::log::{LogFormat, LogLevel};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging to standard error. `own` is the binary's crate. Libraries log only warnings and
/// errors, unless the level is `trace`. What may hold a secret is logged at no level (law 8).
///
/// A second call has no effect.
pub fn start(level: LogLevel, format: LogFormat, own: &str) {
    let own_level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = if level == LogLevel::Trace {
        Targets::new().with_default(own_level)
    } else {
        Targets::new()
            .with_default(own_level.min(LevelFilter::WARN))
            .with_target(own, own_level)
    };
    let filter = QUOTING.iter().fold(filter, |filter, (target, most)| {
        filter.with_target(*target, own_level.min(*most))
    });
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(move || Stderr { format });
    let layer = match format {
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
        LogFormat::Text => layer.boxed(),
    };
    // Fails only when logging was started before.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

/// Modules that log whole answers of the API server, which may be a Secret, and the most of each that is
/// logged. kube-client quotes an answer that it cannot parse in a warning, and kube-runtime the parser's error,
/// which quotes a part, below that.
const QUOTING: [(&str, LevelFilter); 2] = [
    ("kube_client::client", LevelFilter::ERROR),
    ("kube_runtime", LevelFilter::WARN),
];

/// A stderr writer that drops lines instead of blocking. In a container stderr is a pipe: when its
/// reader has stopped, or cannot write because its disk is full, the pipe fills up and a write blocks.
/// The number of dropped lines is logged as soon as the pipe has space again.
struct Stderr {
    format: LogFormat,
}

/// Lines that were not written.
struct Dropped {
    lines: u64,
    /// Whether only the beginning of a line was written last.
    is_cut: bool,
}

static DROPPED: Mutex<Dropped> = Mutex::new(Dropped {
    lines: 0,
    is_cut: false,
});

impl Write for Stderr {
    /// `line` is a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // The lock is held for the whole line: nothing else uses the space that was found.
        let mut dropped = DROPPED.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stderr = io::stderr();
        if dropped.lines > 0 && has_space() {
            let end = if dropped.is_cut { "\n" } else { "" };
            let notice = format!("{end}{}\n", notice(dropped.lines, self.format));
            stderr.write_all(notice.as_bytes())?;
            (dropped.lines, dropped.is_cut) = (0, false);
        }
        for (nth, part) in line.chunks(PIPE_BUF).enumerate() {
            if dropped.lines > 0 || !has_space() {
                dropped.lines += 1;
                dropped.is_cut |= nth > 0;
                break;
            }
            stderr.write_all(part)?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether [`PIPE_BUF`] bytes can be written without blocking. A pipe is a list of pages, and poll(2)
/// reports it writable when a page is free (pipe(7)). A file or a terminal is always writable.
fn has_space() -> bool {
    let stderr = io::stderr();
    let mut descriptors = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // The write that follows reports an error.
    poll(&mut descriptors, PollTimeout::ZERO) != Ok(0)
}

fn notice(lines: u64, format: LogFormat) -> String {
    let message = format!("dropped {lines} log lines: stderr was blocked");
    match format {
        LogFormat::Json => format!(r#"{{"level":"WARN","message":"{message}"}}"#),
        LogFormat::Text => format!("WARN {message}"),
    }
}

/// The largest write to a pipe that is not split (pipe(7)), in bytes.
const PIPE_BUF: usize = 4096;
