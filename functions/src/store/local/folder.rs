//! A folder that is open: what is done in it is done there, whatever its path leads to meanwhile,
//! and never through a symbolic link.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};

use crate::store::Version;

#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// A file's facts.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    pub version: Version,
    pub bytes: u64,
    pub modified: SystemTime,
}

/// What a name in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    /// A link, a pipe, a socket, a device.
    Other,
}

/// Whether a file may take another's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Empty,
    Taken,
}

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

impl Folder {
    /// Opens a folder by its path. Links on the way are the operator's own, and followed.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = FOLDER.difference(OFlags::NOFOLLOW);
        Ok(Self(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// The folder that a path of `names` leads to, and the file's name, which is the last.
    pub fn find<'a>(&self, names: &'a [Cow<'_, str>]) -> io::Result<(Self, &'a str)> {
        self.pass(names, Self::folder)
    }

    /// The same; folders that aren't there are made.
    pub fn find_or_new<'a>(&self, names: &'a [Cow<'_, str>]) -> io::Result<(Self, &'a str)> {
        self.pass(names, Self::folder_or_new)
    }

    fn pass<'a>(
        &self,
        names: &'a [Cow<'_, str>],
        step: impl Fn(&Self, &str) -> io::Result<Self>,
    ) -> io::Result<(Self, &'a str)> {
        let (file, folders) = names.split_last().ok_or(io::ErrorKind::InvalidInput)?;
        let mut at = Self(self.0.try_clone()?);
        for name in folders {
            at = step(&at, name)?;
        }
        Ok((at, file))
    }

    /// A folder in this one.
    pub fn folder(&self, name: &str) -> io::Result<Self> {
        Ok(Self(rustix::fs::openat(&self.0, name, FOLDER, Mode::empty())?))
    }

    /// A folder in this one, which is made where there is nothing.
    pub fn folder_or_new(&self, name: &str) -> io::Result<Self> {
        match self.folder(name) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        match rustix::fs::mkdirat(&self.0, name, Mode::from_raw_mode(0o777)) {
            Ok(()) => self.sync()?,
            // Another was faster.
            Err(rustix::io::Errno::EXIST) => {}
            Err(cause) => return Err(cause.into()),
        }
        self.folder(name)
    }

    /// Opens a regular file for reading; anything else isn't found.
    pub fn file(&self, name: &str) -> io::Result<File> {
        // To open a device can do something, so it is looked at first; a pipe put there since doesn't block.
        self.facts(name)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::openat(&self.0, name, flags, Mode::empty())?);
        facts_of(&file)?;
        Ok(file)
    }

    /// Makes a file that wasn't there.
    pub fn new_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?))
    }

    /// Opens a file to lock it, and makes it where it isn't there.
    pub fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(File::from(rustix::fs::openat(&self.0, name, flags, Mode::from_raw_mode(0o666))?))
    }

    /// The facts of a regular file; anything else isn't found.
    pub fn facts(&self, name: &str) -> io::Result<Facts> {
        facts(&rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What a name is, if there is something.
    pub fn kind(&self, name: &str) -> io::Result<Option<Kind>> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(kind(FileType::from_raw_mode(stat.st_mode)))),
            Err(rustix::io::Errno::NOENT) => Ok(None),
            Err(cause) => Err(cause.into()),
        }
    }

    /// Moves a file of this folder to `name` in folder `to`.
    pub fn rename(&self, from: &str, to: &Self, name: &str, place: Place) -> io::Result<()> {
        if place == Place::Taken {
            return Ok(rustix::fs::renameat(&self.0, from, &to.0, name)?);
        }
        match rustix::fs::renameat_with(&self.0, from, &to.0, name, RenameFlags::NOREPLACE) {
            // Some file systems can link but not do this.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
                rustix::fs::linkat(&self.0, from, &to.0, name, AtFlags::empty())?;
                self.remove(from)
            }
            other => Ok(other?),
        }
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, name, AtFlags::empty())?)
    }

    /// Makes durable what was made, moved and removed in this folder.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Calls `visit` with every name in the folder, in no order. A name that is no text is passed over.
    pub fn each(&self, mut visit: impl FnMut(&str, Kind) -> io::Result<()>) -> io::Result<()> {
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else {
                tracing::warn!(name = ?entry.file_name(), "a file whose name is not UTF-8 is no object");
                continue;
            };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.kind(name)? {
                    Some(kind) => kind,
                    None => continue,
                },
                known => kind(known),
            };
            visit(name, kind)?;
        }
        Ok(())
    }
}

/// The facts of a file that is open; of anything but a regular file, that it isn't there.
pub(super) fn facts_of(file: &File) -> io::Result<Facts> {
    facts(&rustix::fs::fstat(file)?)
}

fn facts(stat: &Stat) -> io::Result<Facts> {
    if kind(FileType::from_raw_mode(stat.st_mode)) != Kind::File {
        return Err(io::Error::new(io::ErrorKind::NotFound, "not a regular file"));
    }
    let bytes = u64::try_from(stat.st_size).map_err(io::Error::other)?;
    let (seconds, nanoseconds) = (stat.st_mtime, stat.st_mtime_nsec);
    let modified = match u64::try_from(seconds) {
        Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
        Err(_) => SystemTime::UNIX_EPOCH,
    };
    Ok(Facts {
        version: Version(format!("{:x}-{bytes:x}-{seconds:x}.{nanoseconds:09}", stat.st_ino)),
        bytes,
        modified,
    })
}

fn kind(kind: FileType) -> Kind {
    match kind {
        FileType::RegularFile => Kind::File,
        FileType::Directory => Kind::Folder,
        _ => Kind::Other,
    }
}
