//! What is known of an object, and its bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use ampoule_host::hex;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use super::folder::{Facts, Folder, facts_of};
use super::side::{Record, record};
use super::{Local, failure, names};
use crate::store::{About, Object, Reading, StoreError, Version};

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 256 << 10;

impl Local {
    /// An object and its tags.
    pub(super) fn look(&self, key: &str) -> Result<(Object, BTreeMap<String, String>), StoreError> {
        let names = names(key)?;
        let found = || -> io::Result<_> {
            let root = Folder::open(&self.root)?;
            let (folder, name) = root.find(&names)?;
            loop {
                let facts = folder.facts(name)?;
                let record = record(&root, key, &facts.version)?;
                // One without a record may have been replaced since.
                if record.is_some() || folder.facts(name)?.version == facts.version {
                    return Ok(object(key, facts, record.unwrap_or_default()));
                }
            }
        };
        found().map_err(|cause| failure(key, cause))
    }

    /// An object's bytes from `start`.
    pub(super) fn open(
        &self,
        key: &str,
        start: u64,
        version: Option<&Version>,
    ) -> Result<Reading, StoreError> {
        let names = names(key)?;
        let found = || -> io::Result<_> {
            let root = Folder::open(&self.root)?;
            let (folder, name) = root.find(&names)?;
            loop {
                let mut file = folder.file(name)?;
                let facts = facts_of(&file)?;
                let record = record(&root, key, &facts.version)?;
                if record.is_some() || folder.facts(name)?.version == facts.version {
                    file.seek(SeekFrom::Start(start))?;
                    return Ok((file, object(key, facts, record.unwrap_or_default()).0));
                }
            }
        };
        let (file, object) = found().map_err(|cause| failure(key, cause))?;
        if version.is_some_and(|version| *version != object.version) {
            return Err(StoreError::Changed { key: key.to_owned() });
        }
        let left = object.bytes.saturating_sub(start);
        let digest = (start == 0 && object.sha256.is_some()).then(Sha256::new);
        let source = Source { file, left, digest, object: object.clone() };
        let bytes = stream::try_unfold(source, |mut source| async move {
            let waiting = tokio::task::spawn_blocking(move || {
                let piece = source.piece()?;
                Ok(piece.map(|piece| (piece, source)))
            });
            waiting.await.unwrap_or_else(|cause| Err(StoreError::Lost { cause: cause.to_string() }))
        });
        Ok(Reading { object, bytes: bytes.boxed() })
    }
}

fn object(key: &str, facts: Facts, record: Record) -> (Object, BTreeMap<String, String>) {
    let object = Object {
        key: key.to_owned(),
        version: facts.version,
        bytes: facts.bytes,
        modified: Some(facts.modified),
        about: About { content_type: record.content_type, metadata: record.metadata },
        sha256: record.sha256,
    };
    (object, record.tags)
}

/// A file on its way to a reader.
struct Source {
    file: File,
    left: u64,
    /// Where all of the file is read and its checksum is known.
    digest: Option<Sha256>,
    object: Object,
}

impl Source {
    /// The next bytes; none after the last.
    fn piece(&mut self) -> Result<Option<Bytes>, StoreError> {
        if self.left == 0 {
            return Ok(None);
        }
        let key = || self.object.key.clone();
        let most = usize::try_from(self.left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let mut piece = vec![0; most];
        let read = self.file.read(&mut piece).map_err(|cause| failure(&self.object.key, cause))?;
        piece.truncate(read);
        self.left -= read as u64;
        if let Some(digest) = &mut self.digest {
            digest.update(&piece);
        }
        if read == 0 || self.left == 0 {
            // A program may have written into the file, or cut it.
            let facts = facts_of(&self.file).map_err(|cause| failure(&self.object.key, cause))?;
            if read == 0 || facts.version != self.object.version {
                return Err(StoreError::Changed { key: key() });
            }
            if let (Some(digest), Some(expected)) = (self.digest.take(), &self.object.sha256) {
                let actual = hex(&digest.finalize());
                if actual != *expected {
                    return Err(StoreError::Corrupt { key: key(), expected: expected.clone(), actual });
                }
            }
        }
        Ok(Some(piece.into()))
    }
}
