//! [`Local`]: a folder as a store.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use async_trait::async_trait;

use super::{About, Content, Expect, Object, Page, Reading, Store, StoreError, Version};
use folder::Folder;

mod change;
mod folder;
mod listing;
mod look;
mod name;
mod side;

/// Objects of a page, as many as S3's.
const PAGE: usize = 1_000;

/// A folder as a store: a key is a path in it.
///
/// **Keys.** A file `a/b.png` is the object `a/b.png`, byte for byte. A segment that can't be a file's
/// name is escaped, so that every key of 1 to 128 segments has one path and every path one key:
/// empty, `.`, `..`, with a NUL, of more than 255 bytes, or one that begins with `.ampoule`. The file
/// is then called `.ampoule=` and the segment, in which `%` and NUL are `%25` and `%00`; what doesn't
/// fit into one name begins in folders called `.ampoule+`. Other names that begin with `.ampoule` are
/// the store's own and no objects. A key can't lead through an object: `a/b` is refused where `a` is one.
///
/// **What is an object.** Regular files. Symbolic links, pipes, sockets and devices are not there, and
/// nothing is read, written or deleted through a link, whoever puts it there and when; only the way to
/// the store's folder itself may have links in it. Folders are not objects, and are never removed.
///
/// **Versions** are a file's inode, size and time of change in nanoseconds.
///
/// **Beside the files**, in `.ampoule`, lie a record of content type, metadata, tags and checksum for
/// each object that has some (bound to its version: copied or changed by another program, a file is an
/// object without them), files on their way, and locks. Reading and listing make nothing there.
///
/// **Writes** go to a temporary file, to the disk, and then to their name in one step; they, deletions
/// and tags of one key are set in order by a lock that processes share.
///
/// # Not guaranteed
/// A program that isn't this one and changes a file within the microseconds between the look at its
/// version and its removal loses the change. File systems that fold case or accents hold one of two
/// keys that differ in nothing else. NFS has these guarantees as far as it has `flock` and `rename`.
#[derive(Clone, Debug)]
pub struct Local {
    root: Arc<Path>,
    name: Arc<str>,
    swept: Arc<Once>,
}

impl Local {
    /// The folder at `root`, which the first write makes where it isn't there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root: PathBuf = root.into();
        Self { name: root.to_string_lossy().into(), root: root.into(), swept: Arc::new(Once::new()) }
    }

    fn root(&self, key: &str) -> Result<Folder, StoreError> {
        Folder::open(&self.root).map_err(|cause| failure(key, cause))
    }

    /// Does `work`, which waits for the disk, where waiting stops nobody.
    async fn waiting<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&store)).await;
        done.unwrap_or_else(|cause| Err(StoreError::Lost { cause: cause.to_string() }))
    }
}

#[async_trait]
impl Store for Local {
    fn name(&self) -> &str {
        &self.name
    }

    async fn list(&self, prefix: &str, page: Option<&str>) -> Result<Page, StoreError> {
        let (prefix, after) = (prefix.to_owned(), page.unwrap_or_default().to_owned());
        self.waiting(move |store| {
            let root = store.root(&prefix).map_err(|cause| match cause {
                StoreError::NotFound { .. } => {
                    StoreError::Denied { cause: format!("{}: no such folder", store.name) }
                }
                other => other,
            })?;
            listing::list(&root, &prefix, &after, PAGE).map_err(|cause| failure(&prefix, cause))
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Object, StoreError> {
        let key = key.to_owned();
        self.waiting(move |store| Ok(store.look(&key)?.0)).await
    }

    async fn read(&self, key: &str, start: u64, version: Option<&Version>) -> Result<Reading, StoreError> {
        let (key, version) = (key.to_owned(), version.cloned());
        self.waiting(move |store| store.open(&key, start, version.as_ref())).await
    }

    async fn write(
        &self,
        key: &str,
        content: &Content,
        about: &About,
        expect: &Expect,
    ) -> Result<Version, StoreError> {
        let (key, content, about, expect) = (key.to_owned(), content.clone(), about.clone(), expect.clone());
        self.waiting(move |store| store.put(&key, &content, &about, &expect)).await
    }

    async fn delete(&self, key: &str, version: &Version) -> Result<(), StoreError> {
        let (key, version) = (key.to_owned(), version.clone());
        self.waiting(move |store| store.remove(&key, &version)).await
    }

    async fn tag(&self, key: &str, version: &Version, name: &str, value: &str) -> Result<(), StoreError> {
        let (key, version) = (key.to_owned(), version.clone());
        let tag = (name.to_owned(), value.to_owned());
        self.waiting(move |store| store.set_tag(&key, &version, tag)).await
    }

    async fn tags(&self, key: &str) -> Result<BTreeMap<String, String>, StoreError> {
        let key = key.to_owned();
        self.waiting(move |store| Ok(store.look(&key)?.1)).await
    }
}

/// The folders to pass and the file's name.
fn names(key: &str) -> Result<Vec<Cow<'_, str>>, StoreError> {
    name::names(key).map_err(|cause| StoreError::Unsupported { key: key.to_owned(), cause: cause.to_owned() })
}

/// What the file system says, as a store says it.
fn failure(key: &str, cause: io::Error) -> StoreError {
    use rustix::io::Errno;
    let key = key.to_owned();
    match Errno::from_io_error(&cause) {
        // A file in the way of a path, or a link: the object isn't there.
        Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => StoreError::NotFound { key },
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StoreError::Denied { cause: cause.to_string() },
        Some(Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL | Errno::XDEV | Errno::ISDIR) => {
            StoreError::Unsupported { key, cause: format!("the file system says: {cause}") }
        }
        None if cause.kind() == io::ErrorKind::NotFound => StoreError::NotFound { key },
        _ => StoreError::Lost { cause: cause.to_string() },
    }
}
