//! Writing, deleting and tagging: what changes a folder, one after the other for each key.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::time::SystemTime;

use ampoule_host::hex;
use sha2::{Digest as _, Sha256};

use super::folder::{Folder, Kind, Place, facts_of};
use super::side::{Record, Side, record};
use super::{Local, failure, names};
use crate::store::{About, Content, Expect, StoreError, Version};

impl Local {
    pub(super) fn put(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        let names = names(key)?;
        std::fs::create_dir_all(&self.root).map_err(|cause| failure(key, cause))?;
        let root = self.root(key)?;
        let side = self.side(key, &root)?;
        let written = || -> io::Result<_> {
            let mut temporary = side.temporary()?;
            let sha256 = copy(content, &mut temporary.file)?;
            // Finer than the tick of the system's clock, so that no two versions look alike.
            temporary.file.set_modified(SystemTime::now())?;
            temporary.file.sync_all()?;
            let version = facts_of(&temporary.file)?.version;
            Ok((temporary, version, sha256))
        };
        let (temporary, version, sha256) = written().map_err(|cause| failure(key, cause))?;
        let new = Record {
            version: version.0.clone(),
            sha256: Some(sha256),
            content_type: about.content_type.clone(),
            metadata: about.metadata.clone(),
            ..Record::default()
        };
        let in_the_way = |what: &str| StoreError::Unsupported {
            key: key.to_owned(),
            cause: format!("expected a free path, got {what} on it"),
        };
        let (folder, name) = root.find_or_new(&names).map_err(|cause| match failure(key, cause) {
            StoreError::NotFound { .. } => in_the_way("a file or a link"),
            other => other,
        })?;
        let _lock = side.lock(key).map_err(|cause| failure(key, cause))?;
        let changed = || StoreError::Changed { key: key.to_owned() };
        let kind = folder.kind(name).map_err(|cause| failure(key, cause))?;
        let (place, records) = match (expect, kind) {
            (_, Some(Kind::Folder)) => return Err(in_the_way("a folder")),
            (_, Some(Kind::Other)) => return Err(in_the_way("a link or a device")),
            (Expect::Nothing, None) => (Place::Empty, vec![new]),
            (Expect::Nothing, Some(Kind::File)) | (Expect::Version(_), None) => return Err(changed()),
            (Expect::Version(expected), Some(Kind::File)) => {
                let facts = folder.facts(name).map_err(|cause| failure(key, cause))?;
                if facts.version != *expected {
                    return Err(changed());
                }
                let old = record(&root, key, expected).map_err(|cause| failure(key, cause))?;
                (Place::Taken, [new].into_iter().chain(old).collect())
            }
        };
        // The record first: there is no moment at which the object is there without it.
        side.keep(key, records).map_err(|cause| failure(key, cause))?;
        match temporary.settle(&folder, name, place) {
            Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => return Err(changed()),
            other => other.and_then(|()| folder.sync()).map_err(|cause| failure(key, cause))?,
        }
        Ok(version)
    }

    pub(super) fn remove(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        self.change(key, version, |side, _, folder, name| {
            folder.remove(name)?;
            folder.sync()?;
            side.forget(key)
        })
    }

    pub(super) fn set_tag(
        &self,
        key: &str,
        version: &Version,
        (name, value): (String, String),
    ) -> Result<(), StoreError> {
        self.change(key, version, |side, root, _, _| {
            let kept = record(root, key, version)?;
            let mut kept = kept.unwrap_or_else(|| Record { version: version.0.clone(), ..Record::default() });
            kept.tags.insert(name, value);
            side.keep(key, vec![kept])
        })
    }

    /// Does `work` on an object that is `version`, with its key's lock held.
    fn change(
        &self,
        key: &str,
        version: &Version,
        work: impl FnOnce(&Side, &Folder, &Folder, &str) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let names = names(key)?;
        let root = self.root(key)?;
        let (folder, name) = root.find(&names).map_err(|cause| failure(key, cause))?;
        // A folder that can't be written is not asked for a lock on what isn't there.
        folder.facts(name).map_err(|cause| failure(key, cause))?;
        let side = self.side(key, &root)?;
        let changed = || -> io::Result<bool> {
            let _lock = side.lock(key)?;
            if folder.facts(name)?.version != *version {
                return Ok(false);
            }
            work(&side, &root, &folder, name)?;
            Ok(true)
        };
        match changed() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Changed { key: key.to_owned() }),
            Err(cause) => Err(failure(key, cause)),
        }
    }

    fn side(&self, key: &str, root: &Folder) -> Result<Side, StoreError> {
        let side = Side::open_or_new(root).map_err(|cause| match failure(key, cause) {
            StoreError::NotFound { .. } => {
                StoreError::Denied { cause: format!("{}/.ampoule: expected a folder", self.name) }
            }
            other => other,
        })?;
        self.swept.call_once(|| {
            if let Err(cause) = side.sweep() {
                tracing::warn!(%cause, folder = &*self.name, "half-written files can't be swept");
            }
        });
        Ok(side)
    }
}

/// Writes content into a file, and gives its sha256.
fn copy(content: &Content, to: &mut File) -> io::Result<String> {
    let mut digest = Sha256::new();
    match content {
        Content::Bytes(bytes) => {
            digest.update(bytes);
            to.write_all(bytes)?;
        }
        Content::File(path) => {
            let named = |cause: io::Error| io::Error::other(format!("{}: {cause}", path.display()));
            let mut from = File::open(path).map_err(named)?;
            let mut piece = vec![0; 256 << 10];
            loop {
                let read = from.read(&mut piece).map_err(named)?;
                let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else { break };
                digest.update(piece);
                to.write_all(piece)?;
            }
        }
    }
    Ok(hex(&digest.finalize()))
}
