//! The side folder `.ampoule`: what a file can't hold itself (content type, metadata, tags,
//! checksum), files that are being written, and the locks that set writers in order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use ampoule_host::sha256_hex;
use serde::{Deserialize, Serialize};

use super::folder::{Folder, Kind, Place, facts_of};
use super::name::OWN;
use crate::store::Version;

/// A file that is being written holds a lock on itself from its first moments on. One without, and
/// older than this, was left by a process that ended.
const LEFT_BEHIND: Duration = Duration::from_secs(60);
/// S3 keeps 2 KB of metadata and ten tags; more than this is no record of ours.
const MAX_RECORD_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Side {
    about: Folder,
    locks: Folder,
    temporary: Folder,
}

/// What is kept of one version of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub version: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A key's file in the side folder.
#[derive(Debug, Serialize, Deserialize)]
struct Records {
    key: String,
    records: Vec<Record>,
}

/// A file that is being written, and goes when it isn't moved to its place.
#[derive(Debug)]
pub(super) struct Temporary<'a> {
    side: &'a Side,
    name: String,
    pub file: File,
}

impl Side {
    /// Opens the side folder, and makes it where it isn't there.
    pub fn open_or_new(root: &Folder) -> io::Result<Self> {
        let side = root.folder_or_new(OWN)?;
        Ok(Self {
            about: side.folder_or_new("about")?,
            locks: side.folder_or_new("locks")?,
            temporary: side.folder_or_new("temporary")?,
        })
    }

    /// Waits until no other writer, of any process, is at work on `key`; others wait while the file is open.
    pub fn lock(&self, key: &str) -> io::Result<File> {
        // Keys share 256 locks.
        let digest = sha256_hex(key.as_bytes());
        let file = self.locks.lock_file(digest.get(..2).unwrap_or_default())?;
        file.lock()?;
        Ok(file)
    }

    /// A new file, still without a place.
    pub fn temporary(&self) -> io::Result<Temporary<'_>> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
        let name = format!("{process:x}-{count:x}-{now:x}");
        let file = self.temporary.new_file(&name)?;
        let temporary = Temporary { side: self, name, file };
        temporary.file.lock()?;
        Ok(temporary)
    }

    /// Removes what processes that ended left half written.
    pub fn sweep(&self) -> io::Result<()> {
        let mut names = Vec::new();
        self.temporary.each(|name, kind| {
            if kind == Kind::File {
                names.push(name.to_owned());
            }
            Ok(())
        })?;
        for name in names {
            let Ok(file) = self.temporary.file(&name) else { continue };
            let old = facts_of(&file)?.modified.elapsed().is_ok_and(|age| age > LEFT_BEHIND);
            if old && file.try_lock().is_ok() {
                // Another may have swept it.
                let _ = self.temporary.remove(&name);
            }
        }
        Ok(())
    }

    /// Keeps `records` of a key, for good. Its lock is held.
    pub fn keep(&self, key: &str, records: Vec<Record>) -> io::Result<()> {
        let (folder, name) = place(key);
        let folder = self.about.folder_or_new(&folder)?;
        let text = serde_json::to_vec(&Records { key: key.to_owned(), records })?;
        let mut temporary = self.temporary()?;
        temporary.file.write_all(&text)?;
        temporary.file.sync_all()?;
        temporary.settle(&folder, &name, Place::Taken)?;
        folder.sync()
    }

    /// Drops what is kept of a key. Its lock is held.
    pub fn forget(&self, key: &str) -> io::Result<()> {
        let (folder, name) = place(key);
        match self.about.folder(&folder).and_then(|folder| folder.remove(&name)) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(cause),
            _ => Ok(()),
        }
    }
}

/// The record of a version of an object, if there is one.
pub(super) fn record(root: &Folder, key: &str, version: &Version) -> io::Result<Option<Record>> {
    let (folder, name) = place(key);
    let opened = root
        .folder(OWN)
        .and_then(|side| side.folder("about"))
        .and_then(|about| about.folder(&folder))
        .and_then(|folder| folder.file(&name));
    let file = match opened {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut text = Vec::new();
    file.take(MAX_RECORD_BYTES).read_to_end(&mut text)?;
    let kept: Records = serde_json::from_slice(&text)?;
    Ok(kept.records.into_iter().find(|record| kept.key == key && record.version == version.0))
}

/// Where a key's records are: a folder and a name in it.
fn place(key: &str) -> (String, String) {
    let mut folder = sha256_hex(key.as_bytes());
    let name = folder.split_off(2);
    (folder, name)
}

impl Temporary<'_> {
    /// Gives the file its place.
    pub fn settle(mut self, folder: &Folder, name: &str, place: Place) -> io::Result<()> {
        self.side.temporary.rename(&self.name, folder, name, place)?;
        self.name.clear();
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.name.is_empty() {
            // What stays is swept another time.
            let _ = self.side.temporary.remove(&self.name);
        }
    }
}
