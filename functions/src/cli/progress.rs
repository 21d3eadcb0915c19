//! Progress of long work: a bar on a terminal, nothing elsewhere.

use std::fmt::Write;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

/// A bar over `total` pieces of work, called `unit`.
pub fn bar(total: u64, unit: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
    }
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}} left");
    let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style)
}

/// A bar over objects, whose number isn't known at first, with the rows in them beside it.
#[derive(Clone)]
pub struct Objects {
    pub bar: ProgressBar,
    rows: Arc<AtomicU64>,
}

impl Objects {
    pub fn new() -> Self {
        let rows = Arc::new(AtomicU64::new(0));
        if !std::io::stderr().is_terminal() {
            return Self { bar: ProgressBar::hidden(), rows };
        }
        let counted = rows.clone();
        let rows_per_second = move |state: &ProgressState, out: &mut dyn Write| {
            let seconds = state.elapsed().as_secs_f64().max(1e-3);
            let _ = write!(out, "{:.0} rows/s", counted.load(Ordering::Relaxed) as f64 / seconds);
        };
        let template = "{bar:30} {pos}/{len} objects  {per_sec}  {rows}  {eta} left";
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .with_key("rows", rows_per_second);
        let bar = ProgressBar::no_length().with_style(style);
        bar.enable_steady_tick(Duration::from_millis(200));
        Self { bar, rows }
    }

    /// One more object, with so many rows.
    pub fn take(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
        self.bar.inc(1);
    }
}

/// A sign of life for work of unknown length.
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner().with_message(message.into());
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
