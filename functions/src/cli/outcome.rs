//! What a command leaves behind: lines on standard output, and files that are whole or not there.

use std::io::{ErrorKind, Write};
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

/// Writes `path` so that it is whole or not there, whatever happens: a temporary file beside it is
/// written, flushed to the disk and then given its name.
///
/// # Errors
/// The folder or the file can't be written.
pub fn publish(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let mut spool = Spool::beside(path)?;
    spool.write_all(bytes).with_context(|| format!("can't write {}", path.display()))?;
    spool.publish(path)
}

/// A file on its way to its name.
#[derive(Debug)]
pub struct Spool(tempfile::NamedTempFile);

impl Spool {
    /// A file in the folder of `path`, which is made if it isn't there.
    ///
    /// # Errors
    /// The folder can't be made, or no file in it.
    pub fn beside(path: &Path) -> anyhow::Result<Self> {
        let folder = folder(path);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("can't make the folder {}", folder.display()))?;
        let file = tempfile::Builder::new().prefix(".ampoule-").tempfile_in(folder);
        Ok(Self(file.with_context(|| format!("can't write into {}", folder.display()))?))
    }

    /// Bytes written so far.
    pub fn bytes(&self) -> anyhow::Result<u64> {
        Ok(self.0.as_file().metadata().context("can't look at a temporary file")?.len())
    }

    /// Gives the file its name, once its bytes are on the disk; `path` lies in the folder that the
    /// file was made in.
    ///
    /// # Errors
    /// It can't be flushed or renamed.
    pub fn publish(self, path: &Path) -> anyhow::Result<()> {
        let file = self.0;
        let published = || -> std::io::Result<()> {
            file.as_file().sync_all()?;
            let mut permissions = file.as_file().metadata()?.permissions();
            std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
            file.as_file().set_permissions(permissions)?;
            file.persist(path)?;
            std::fs::File::open(folder(path))?.sync_all()
        };
        published().with_context(|| format!("can't write {}", path.display()))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
