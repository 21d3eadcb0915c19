//! [`Shards`]: an output in several files of bounded size.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Batch, Manifest};

use super::{Layout, WriteError, Writer, Written};
use crate::rows::{Format, Rows};

/// When the next shard begins: a shard goes over a bound by one batch at most, and where it holds
/// columns, over that of bytes by one row group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardBounds {
    pub rows: usize,
    pub bytes: u64,
}

/// A shard that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub written: Written,
    pub bytes: u64,
}

/// Writes the predictions of one file into one shard after another.
pub struct Shards<'a, O> {
    layout: Layout,
    manifest: &'a Manifest,
    format: Format,
    bounds: ShardBounds,
    open: O,
    current: Option<Current<'a>>,
    done: Vec<Shard>,
}

struct Current<'a> {
    writer: Writer<'a>,
    rows: usize,
    bytes: Arc<AtomicU64>,
}

impl<'a, W: Write + Send + 'a, O: FnMut(usize) -> io::Result<W>> Shards<'a, O> {
    /// Shards that `open` gives a place, by their index.
    pub fn new(
        layout: &Layout,
        manifest: &'a Manifest,
        format: Format,
        bounds: ShardBounds,
        open: O,
    ) -> Self {
        Self { layout: layout.clone(), manifest, format, bounds, open, current: None, done: Vec::new() }
    }

    /// As [`Writer::write`].
    ///
    /// # Errors
    /// As [`Writer::write`], or a shard can't be opened.
    pub fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        let current = self.current()?;
        current.writer.write(rows, predictions)?;
        current.rows += rows.rows.len();
        let (written, bytes) = (current.rows, current.bytes.load(Ordering::Relaxed));
        if written >= self.bounds.rows || bytes >= self.bounds.bytes {
            self.end()?;
        }
        Ok(())
    }

    /// Ends the last shard. There is one always, if of no rows.
    ///
    /// # Errors
    /// As [`Writer::finish`].
    pub fn finish(mut self) -> Result<Vec<Shard>, WriteError> {
        if self.done.is_empty() {
            self.current()?;
        }
        self.end()?;
        Ok(self.done)
    }

    fn current(&mut self) -> Result<&mut Current<'a>, WriteError> {
        let current = match self.current.take() {
            Some(current) => current,
            None => {
                let bytes = Arc::new(AtomicU64::new(0));
                let out = Counted { out: (self.open)(self.done.len())?, bytes: bytes.clone() };
                let writer = Writer::new(&self.layout, self.manifest, self.format, out)?;
                Current { writer, rows: 0, bytes }
            }
        };
        Ok(self.current.insert(current))
    }

    fn end(&mut self) -> Result<(), WriteError> {
        if let Some(Current { writer, bytes, .. }) = self.current.take() {
            let written = writer.finish()?;
            self.done.push(Shard { written, bytes: bytes.load(Ordering::Relaxed) });
        }
        Ok(())
    }
}

/// Counts the bytes that go through.
struct Counted<W> {
    out: W,
    bytes: Arc<AtomicU64>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
