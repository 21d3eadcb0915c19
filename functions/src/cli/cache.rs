//! Where precompiled code is kept.

use std::path::PathBuf;

/// `AMPOULE_CACHE`, or `ampoule` in the user's cache folder; `AMPOULE_CACHE=` (empty) means none.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("AMPOULE_CACHE") {
        return (!folder.is_empty()).then(|| folder.into());
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
    Some(caches.join("ampoule"))
}
