//! What a command leaves behind: lines on standard output, and files that are whole or not there.

use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::Context as _;

/// Writes to standard output; a reader that has gone (`| head`) is no error.
pub fn print(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        outcome => outcome.context("can't write to standard output"),
    }
}

/// Whether a file of that name may be there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    Keep,
    Replace,
}

/// Whether [`publish`] wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    Written,
    /// It was there, and was left as it was.
    Kept,
}

/// Writes `path` so that it is whole or not there, whatever happens: a temporary file beside it is
/// written, flushed to the disk and then given its name.
///
/// # Errors
/// The folder or the file can't be written.
pub fn publish(path: &Path, bytes: &[u8], existing: Existing) -> anyhow::Result<Published> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("can't make the folder {}", folder.display()))?;
    let written = || -> std::io::Result<Published> {
        let mut file = tempfile::Builder::new().prefix(".ampoule-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        let mut permissions = file.as_file().metadata()?.permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
        file.as_file().set_permissions(permissions)?;
        let published = match existing {
            Existing::Replace => {
                file.persist(path)?;
                Published::Written
            }
            Existing::Keep => match file.persist_noclobber(path) {
                Ok(_) => Published::Written,
                Err(refused) if refused.error.kind() == ErrorKind::AlreadyExists => Published::Kept,
                Err(refused) => return Err(refused.error),
            },
        };
        std::fs::File::open(folder)?.sync_all()?;
        Ok(published)
    };
    written().with_context(|| format!("can't write {}", path.display()))
}
