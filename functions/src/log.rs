//! The log: JSON lines on standard error.

use tracing_subscriber::filter::LevelFilter;

/// Starts the log at `level`, one of `error`, `warn`, `info` and `debug`.
///
/// # Errors
/// It is none of these.
pub fn start(level: &str) -> anyhow::Result<()> {
    let level: LevelFilter = level
        .parse()
        .map_err(|_| anyhow::anyhow!("expected a log level of error, warn, info or debug, got {level:?}"))?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
