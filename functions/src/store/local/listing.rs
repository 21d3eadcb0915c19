//! A folder's objects in the order of their keys, a page at a time, however many there are.

use std::collections::BTreeMap;
use std::io;

use super::folder::{Folder, Kind};
use super::name::{MAX_FOLDERS, Meaning, meaning};
use crate::store::{About, Object, Page};

/// The objects of `root` whose keys begin with `prefix` and come after `after`, at most `limit`.
///
/// A folder is read once for each page that it has objects in, and no more of its names are held
/// than fit the page.
pub(super) fn list(root: &Folder, prefix: &str, after: &str, limit: usize) -> io::Result<Page> {
    let mut listing = Listing { prefix, after, limit, objects: Vec::new() };
    listing.folder(root, "", 0)?;
    let next = match listing.objects.last() {
        Some(last) if listing.objects.len() >= limit => Some(last.key.clone()),
        _ => None,
    };
    Ok(Page { objects: listing.objects, next })
}

struct Listing<'a> {
    prefix: &'a str,
    after: &'a str,
    limit: usize,
    objects: Vec<Object>,
}

/// A file or a folder by what it is called on disk: the folders of its name's pieces, then its name.
struct Entry {
    pieces: Vec<String>,
    name: String,
    kind: Kind,
}

impl Listing<'_> {
    /// Adds the objects of `folder`, whose keys begin with `begin`.
    fn folder(&mut self, folder: &Folder, begin: &str, depth: usize) -> io::Result<()> {
        if depth > MAX_FOLDERS {
            tracing::warn!(folder = begin, "files more than {MAX_FOLDERS} folders deep are no objects");
            return Ok(());
        }
        let mut last = None;
        loop {
            let room = self.limit - self.objects.len();
            let mut entries = BTreeMap::new();
            self.entries(folder, begin, &mut Vec::new(), last.as_deref(), room, &mut entries)?;
            let more = entries.len() == room;
            for (key, entry) in &entries {
                self.entry(folder, key, entry, depth)?;
                if self.objects.len() >= self.limit {
                    return Ok(());
                }
            }
            match entries.pop_last() {
                Some((key, _)) if more => last = Some(key),
                _ => return Ok(()),
            }
        }
    }

    /// The first `room` entries of a folder after `last`, by their keys; a folder's key ends with
    /// `/`, which is where its objects come in the order.
    fn entries(
        &self,
        folder: &Folder,
        begin: &str,
        pieces: &mut Vec<String>,
        last: Option<&str>,
        room: usize,
        entries: &mut BTreeMap<String, Entry>,
    ) -> io::Result<()> {
        let (mut in_pieces, mut key) = (Vec::new(), String::new());
        folder.each(|name, kind| {
            let segment = match meaning(name, pieces) {
                Meaning::Nothing => return Ok(()),
                Meaning::Piece if kind == Kind::Folder => {
                    in_pieces.push(name.to_owned());
                    return Ok(());
                }
                Meaning::Piece => return Ok(()),
                Meaning::Segment(segment) => segment,
            };
            // One name after the other is looked at in the same place: few of many are kept.
            key.clear();
            key.push_str(begin);
            key.push_str(&segment);
            match kind {
                Kind::File => {}
                Kind::Folder => key.push('/'),
                Kind::Other => return Ok(()),
            }
            let wanted = match kind {
                Kind::Folder => {
                    (key.starts_with(self.prefix) || self.prefix.starts_with(key.as_str()))
                        && (key.as_str() > self.after || self.after.starts_with(key.as_str()))
                }
                _ => key.starts_with(self.prefix) && key.as_str() > self.after,
            };
            let full = entries.len() == room;
            if !wanted
                || last.is_some_and(|last| key.as_str() <= last)
                || full && entries.last_key_value().is_some_and(|(greatest, _)| key > *greatest)
            {
                return Ok(());
            }
            if full {
                entries.pop_last();
            }
            entries.insert(key.clone(), Entry { pieces: pieces.clone(), name: name.to_owned(), kind });
            Ok(())
        })?;
        if pieces.len() >= MAX_FOLDERS {
            return Ok(());
        }
        for name in in_pieces {
            let inner = folder.folder(&name)?;
            pieces.push(name);
            self.entries(&inner, begin, pieces, last, room, entries)?;
            pieces.pop();
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Folder, key: &str, entry: &Entry, depth: usize) -> io::Result<()> {
        match self.open(folder, key, entry, depth) {
            // It went, or turned into something else, since the folder was read.
            Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                Ok(())
            }
            other => other,
        }
    }

    fn open(&mut self, folder: &Folder, key: &str, entry: &Entry, depth: usize) -> io::Result<()> {
        let mut inner = None;
        for piece in &entry.pieces {
            inner = Some(inner.as_ref().unwrap_or(folder).folder(piece)?);
        }
        let at = inner.as_ref().unwrap_or(folder);
        if entry.kind == Kind::Folder {
            return self.folder(&at.folder(&entry.name)?, key, depth + entry.pieces.len() + 1);
        }
        let facts = at.facts(&entry.name)?;
        self.objects.push(Object {
            key: key.to_owned(),
            version: facts.version,
            bytes: facts.bytes,
            modified: Some(facts.modified),
            about: About::default(),
            sha256: None,
        });
        Ok(())
    }
}
