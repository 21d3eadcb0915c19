//! [`Program`]: a program that serves, and what it needs of the machine that runs it.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use object::Endianness;
use object::elf::{DT_NEEDED, FileHeader64};
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _};

/// The program for AWS Lambda.
pub const BOOTSTRAP: &str = "bootstrap";

/// The program for everything that speaks HTTP to it.
pub const CLOUD: &str = "cloud";

/// The C library of Lambda's `provided.al2023`.
pub const LAMBDA_GLIBC: (u32, u32) = (2, 34);

/// A program for Linux and what its file says of itself.
pub struct Program {
    /// The name that a package gives it.
    pub name: &'static str,
    pub path: PathBuf,
    pub bytes: Vec<u8>,
    pub linking: Linking,
}

/// What a program or a library needs before it runs.
#[derive(Debug)]
pub struct Linking {
    pub machine: u16,
    /// The loader's path; a library and a static program have none.
    pub loader: Option<String>,
    /// Names of libraries.
    pub needed: Vec<String>,
    /// The newest `GLIBC_X.Y` asked for.
    pub glibc: Option<(u32, u32)>,
}

impl Program {
    /// The program in `named`, or the one called `name` in the folder `serving` beside this one.
    ///
    /// # Errors
    /// There is none, or it is no program for Linux.
    pub fn find(named: Option<&Path>, name: &'static str) -> anyhow::Result<Self> {
        let path = match named {
            Some(path) => path.to_owned(),
            None => beside(name)?,
        };
        let bytes = std::fs::read(&path).with_context(|| format!("can't read {}", path.display()))?;
        let linking = Linking::read(&bytes).with_context(|| format!("{} can't be used", path.display()))?;
        Ok(Self { name, path, bytes, linking })
    }

    /// Checks that it is for the processors that this machine compiles for.
    pub fn check_architecture(&self) -> anyhow::Result<()> {
        let own = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        ensure!(
            self.linking.architecture() == own,
            "{}: expected a program for {own}, got one for {} (package on such a machine)",
            self.path.display(),
            self.linking.architecture()
        );
        Ok(())
    }

    /// Checks that a platform's C library is new enough for it.
    pub fn check_glibc(&self, has: (u32, u32), platform: &str) -> anyhow::Result<()> {
        if let Some(needs) = self.linking.glibc.filter(|needs| *needs > has) {
            bail!(
                "{}: expected to need glibc {}.{} at most, which {platform} has, got {}.{} \
                 (build it on an older system, or pack an image)",
                self.path.display(),
                has.0,
                has.1,
                needs.0,
                needs.1
            );
        }
        Ok(())
    }
}

/// In the folder `serving` beside this program: a program of the same name right beside it may have been
/// built with a compiler in it.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("can't find this program's own file")?;
    let path = own.with_file_name("serving").join(name);
    ensure!(
        path.is_file(),
        "{} is not there: `make serving` builds it, or name one on the command line",
        path.display()
    );
    Ok(path)
}

impl Linking {
    /// Reads an ELF file's needs.
    ///
    /// # Errors
    /// It is no 64-bit ELF file for x86-64 or ARM.
    pub fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        let header =
            FileHeader64::<Endianness>::parse(bytes).context("expected a 64-bit program for Linux")?;
        let endian = header.endian()?;
        let machine = header.e_machine(endian);
        ensure!(
            [object::elf::EM_X86_64, object::elf::EM_AARCH64].contains(&machine),
            "expected a program for x86-64 or ARM, got machine {machine}"
        );
        let mut loader = None;
        for segment in header.program_headers(endian, bytes)? {
            if let Some(path) = segment.interpreter(endian, bytes)? {
                loader = Some(String::from_utf8_lossy(path).into_owned());
            }
        }
        let sections = header.sections(endian, bytes)?;
        let mut needed = Vec::new();
        if let Some((entries, strings)) = sections.dynamic(endian, bytes)? {
            let strings = sections.strings(endian, bytes, strings)?;
            for entry in entries.iter().filter(|entry| entry.tag(endian) == DT_NEEDED) {
                needed.push(String::from_utf8_lossy(entry.string(endian, strings)?).into_owned());
            }
        }
        let mut glibc = None;
        if let Some((mut libraries, strings)) = sections.gnu_verneed(endian, bytes)? {
            let strings = sections.strings(endian, bytes, strings)?;
            while let Some((_, mut versions)) = libraries.next()? {
                while let Some(version) = versions.next()? {
                    let name = String::from_utf8_lossy(version.name(endian, strings)?).into_owned();
                    glibc = glibc.max(glibc_version(&name));
                }
            }
        }
        Ok(Self { machine, loader, needed, glibc })
    }

    /// The processors that it is for, as container images name them.
    pub fn architecture(&self) -> &'static str {
        if self.machine == object::elf::EM_AARCH64 { "arm64" } else { "amd64" }
    }
}

/// `GLIBC_2.34` as numbers.
fn glibc_version(name: &str) -> Option<(u32, u32)> {
    let mut parts = name.strip_prefix("GLIBC_")?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
