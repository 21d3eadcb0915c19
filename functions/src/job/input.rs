//! [`Input`]: an object on its way in: one version of it, in order, whatever breaks meanwhile.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::spool::{Spool, Spooled};
use super::trouble::{Stage, Trouble};
use crate::store::retry::Retry;
use crate::store::{Object, Reading, Store, Version};

/// Pieces that wait between the store and the reader.
const PIECES: usize = 4;

/// One version of an object, being read.
pub struct Input {
    pub object: Object,
    reading: Reading,
    read: u64,
    max_bytes: u64,
}

impl Input {
    /// Opens the object, as it is now or in that version; gives up after `max_bytes`.
    pub async fn open(
        store: &Arc<dyn Store>,
        retry: &Arc<Retry>,
        key: &str,
        version: Option<&Version>,
        max_bytes: u64,
    ) -> Result<Self, Trouble> {
        let reading = retry.read(store, key, 0, version).await.map_err(Trouble::of_input)?;
        let object = reading.object.clone();
        Ok(Self { object, reading, read: 0, max_bytes })
    }

    /// Refuses what is larger.
    pub fn limit(&mut self, max_bytes: u64) -> Result<(), Trouble> {
        self.max_bytes = self.max_bytes.min(max_bytes);
        if self.object.bytes > self.max_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> Trouble {
        let bytes = self.object.bytes.max(self.read);
        let error = format!("expected at most {} bytes, got {bytes}", self.max_bytes);
        Trouble::Refused { code: "too_large", stage: Stage::Read, error }
    }

    /// The next piece; none after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        match self.reading.bytes.next().await {
            Some(Ok(piece)) => {
                self.read += piece.len() as u64;
                if self.read > self.max_bytes { Err(self.too_large()) } else { Ok(Some(piece)) }
            }
            None if self.read == self.object.bytes => Ok(None),
            None => Err(Trouble::Again(format!("expected {} bytes, got {}", self.object.bytes, self.read))),
            Some(Err(cause)) => Err(Trouble::of_input(cause)),
        }
    }

    /// All bytes, in a file where they are many.
    pub async fn spool(mut self) -> Result<Spooled, Trouble> {
        let disk = |cause: io::Error| Trouble::Failed(format!("can't keep a copy on disk: {cause}"));
        let mut spool = Spool::default();
        while let Some(piece) = self.next().await? {
            spool.write_all(&piece).map_err(disk)?;
        }
        spool.finish().map_err(disk)
    }
}

/// The reader's end of an [`Input`] that another task pumps: for code that waits.
pub struct Reader {
    pieces: mpsc::Receiver<Bytes>,
    piece: Bytes,
    broken: Broken,
}

/// Why the pieces end before the object does.
#[derive(Clone, Default)]
pub struct Broken(Arc<Mutex<Option<Trouble>>>);

impl Broken {
    /// The reason, if there is one. A reader only sees that something is wrong.
    pub fn take(&self) -> Option<Trouble> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, trouble: Trouble) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(trouble);
    }

    fn is_set(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Both ends: the reader, and what reads the store for it until the end or until the reader is gone.
pub fn reader(mut input: Input) -> (Reader, Broken, impl Future<Output = ()> + Send) {
    let (sender, pieces) = mpsc::channel(PIECES);
    let broken = Broken::default();
    // Not set in time, a reader would take the end of the pieces for the object's.
    broken.set(Trouble::Failed("the reading was given up".to_owned()));
    let reader = Reader { pieces, piece: Bytes::new(), broken: broken.clone() };
    let told = broken.clone();
    let pump = async move {
        loop {
            match input.next().await {
                Ok(Some(piece)) => {
                    if sender.send(piece).await.is_err() {
                        break;
                    }
                }
                Ok(None) => break,
                Err(trouble) => {
                    told.take();
                    return told.set(trouble);
                }
            }
        }
        told.take();
    };
    (reader, broken, pump)
}

impl io::Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.pieces.blocking_recv() {
                Some(piece) => self.piece = piece,
                None if self.broken.is_set() => {
                    return Err(io::Error::other("the object could not be read to its end"));
                }
                None => return Ok(0),
            }
        }
        let count = out.len().min(self.piece.len());
        let piece = self.piece.split_to(count);
        if let Some(out) = out.get_mut(..count) {
            out.copy_from_slice(&piece);
        }
        Ok(count)
    }
}
