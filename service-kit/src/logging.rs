//! Log lines on standard error.

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

/// Starts logging to standard error. `own` is the binary's crate: below `trace` the libraries it
/// uses log warnings alone.
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

/// Standard error, which no program waits for. In a container it is a pipe: when its reader is away,
/// or cannot write because its disk is full, the pipe fills up, and whoever writes to it hangs. Lines
/// that there is no room for are lost, which is told as soon as there is room again.
struct Stderr {
    format: LogFormat,
}

/// What there was no room for.
struct Unwritten {
    /// Lines.
    lost: u64,
    /// Whether the last of what was written is the beginning of a line.
    cut: bool,
}

static UNWRITTEN: Mutex<Unwritten> = Mutex::new(Unwritten {
    lost: 0,
    cut: false,
});

impl Write for Stderr {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // One line at a time: the room that was found is this one's.
        let mut unwritten = UNWRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stderr = io::stderr();
        if unwritten.lost > 0 && has_room() {
            let end = if unwritten.cut { "\n" } else { "" };
            let notice = format!("{end}{}\n", notice(unwritten.lost, self.format));
            stderr.write_all(notice.as_bytes())?;
            (unwritten.lost, unwritten.cut) = (0, false);
        }
        for (nth, part) in line.chunks(ROOM).enumerate() {
            if unwritten.lost > 0 || !has_room() {
                unwritten.lost += 1;
                unwritten.cut |= nth > 0;
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

/// Whether so much as [`ROOM`] can be written without waiting: pipe(7) says so of a page, a pipe being
/// a list of pages. What is no pipe always has room.
fn has_room() -> bool {
    let stderr = io::stderr();
    let mut asked = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    // An error shows again when it is written.
    poll(&mut asked, PollTimeout::ZERO) != Ok(0)
}

fn notice(lost: u64, format: LogFormat) -> String {
    let message = format!("nobody read the log: {lost} lines are lost");
    match format {
        LogFormat::Json => format!(r#"{{"level":"WARN","message":"{message}"}}"#),
        LogFormat::Text => format!("WARN {message}"),
    }
}

/// `PIPE_BUF`: what is written to a pipe in one piece.
const ROOM: usize = 4096;
