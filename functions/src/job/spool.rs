//! [`Spool`]: content on its way out: in memory while it is small, then in a file.

use std::io::{self, Write};

use ampoule_host::{hex, sha256_hex};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use crate::store::Content;

/// Bytes that stay in memory.
const IN_MEMORY: usize = 4 << 20;

/// Content being written.
#[derive(Default)]
pub struct Spool {
    memory: Vec<u8>,
    file: Option<NamedTempFile>,
    sha256: Sha256,
    bytes: u64,
}

/// Content that was written, for as long as this is kept.
#[derive(Debug)]
pub struct Spooled {
    pub content: Content,
    pub bytes: u64,
    /// In lower-case hex.
    pub sha256: String,
    /// What `content` lies in, where that is a file.
    pub file: Option<NamedTempFile>,
}

impl Spool {
    pub fn finish(mut self) -> io::Result<Spooled> {
        let content = match &mut self.file {
            None => Content::Bytes(Bytes::from(self.memory)),
            Some(file) => {
                file.flush()?;
                Content::File(file.path().to_owned())
            }
        };
        Ok(Spooled { content, bytes: self.bytes, sha256: hex(&self.sha256.finalize()), file: self.file })
    }
}

impl Spooled {
    /// Content that is in memory already.
    pub fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.len() as u64,
            sha256: sha256_hex(&bytes),
            content: Content::Bytes(Bytes::from(bytes)),
            file: None,
        }
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.memory.len() + bytes.len() > IN_MEMORY {
            let mut file = NamedTempFile::with_prefix("ampoule-")?;
            file.write_all(&self.memory)?;
            self.memory = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.sha256.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_in_memory_and_in_a_file() {
        for pieces in [0, 1, 5] {
            let mut spool = Spool::default();
            let mut all = Vec::new();
            for piece in 0..pieces {
                let bytes = vec![piece; 1_000_003];
                spool.write_all(&bytes).expect("it can be written");
                all.extend_from_slice(&bytes);
            }
            let spooled = spool.finish().expect("it can be written");
            let (content, is_file) = match &spooled.content {
                Content::Bytes(bytes) => (bytes.to_vec(), false),
                Content::File(path) => (std::fs::read(path).expect("it is there"), true),
            };
            assert_eq!((content, is_file), (all.clone(), pieces == 5));
            let whole = Spooled::of(all);
            assert_eq!((spooled.bytes, &spooled.sha256), (whole.bytes, &whole.sha256));
        }
    }
}
