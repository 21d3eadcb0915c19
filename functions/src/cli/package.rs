//! `ampoule package`: an ampoule, its precompiled code and the program that serves it, in the form
//! that a platform takes.
//!
//! The same ampoule and program always give the same bytes: times are fixed, names are sorted.

mod archive;
pub mod image;
pub mod program;

use std::path::{Path, PathBuf};

use ampoule_host::Ampoule;
use anyhow::Context as _;
use clap::Subcommand;

use self::program::Program;
use super::outcome::{print, publish};
use super::{Exit, progress};

/// Packs an ampoule with its precompiled code and the program that serves it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule package lambda iris.wasm                writes iris-lambda.zip
  ampoule package image iris.wasm                 writes iris-image.tar, an OCI image for Cloud Run, Kubernetes,
                                                  Vertex AI and SageMaker
  ampoule package image iris.wasm --lambda        an image for AWS Lambda
  podman load -i iris-image.tar                   or docker load, or skopeo copy oci-archive:iris-image.tar ...")]
pub struct Package {
    #[command(subcommand)]
    form: FormArgument,
}

#[derive(Debug, Subcommand)]
enum FormArgument {
    /// A zip for AWS Lambda
    Lambda(Lambda),
    /// A container image, made without a daemon
    Image(Image),
}

#[derive(Debug, clap::Args)]
struct Lambda {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The file to write [default: NAME-lambda.zip]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The program for AWS Lambda [default: serving/bootstrap beside ampoule]
    #[arg(long, value_name = "FILE")]
    bootstrap: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Image {
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The file to write [default: NAME-image.tar]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// An image for AWS Lambda
    #[arg(long)]
    lambda: bool,
    /// The program that serves [default: serving/cloud, or serving/bootstrap for --lambda, beside ampoule]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Certificates that the program trusts [default: this machine's]
    #[arg(long, value_name = "FILE", env = "SSL_CERT_FILE")]
    certificates: Option<PathBuf>,
}

impl Package {
    pub fn run(self) -> anyhow::Result<Exit> {
        match self.form {
            FormArgument::Lambda(lambda) => lambda.run(),
            FormArgument::Image(image) => image.run(),
        }
    }
}

impl Lambda {
    fn run(self) -> anyhow::Result<Exit> {
        let ampoule = Ampoule::open(&self.ampoule)?;
        let program = Program::find(self.bootstrap.as_deref(), program::BOOTSTRAP)?;
        let bytes = lambda_zip(&ampoule, &program)?;
        let default = || PathBuf::from(format!("{}-lambda.zip", ampoule.manifest().name));
        report(&self.output.unwrap_or_else(default), &bytes)
    }
}

impl Image {
    fn run(self) -> anyhow::Result<Exit> {
        let ampoule = Ampoule::open(&self.ampoule)?;
        let name = if self.lambda { program::BOOTSTRAP } else { program::CLOUD };
        let program = Program::find(self.program.as_deref(), name)?;
        let certificates = image::certificates(self.certificates.as_deref())?;
        let files = files(&ampoule, &program)?;
        let bytes = image::archive(&ampoule, &program, files, certificates, &image::name(&ampoule))?;
        let default = || PathBuf::from(format!("{}-image.tar", ampoule.manifest().name));
        report(&self.output.unwrap_or_else(default), &bytes)
    }
}

/// A file of a package; its path has no leading slash.
#[derive(Clone)]
pub struct File {
    pub path: String,
    pub mode: u32,
    pub bytes: Vec<u8>,
}

impl File {
    /// A file that nobody runs.
    pub fn plain(path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { path: path.into(), mode: 0o644, bytes: bytes.into() }
    }

    /// The file within `folder`.
    pub fn under(self, folder: &str) -> Self {
        Self { path: format!("{folder}/{}", self.path), ..self }
    }
}

/// The zip that AWS Lambda unpacks.
///
/// # Errors
/// The program can't run there, or the ampoule can't be compiled.
pub fn lambda_zip(ampoule: &Ampoule, program: &Program) -> anyhow::Result<Vec<u8>> {
    program.check_glibc(program::LAMBDA_GLIBC, "AWS Lambda (Amazon Linux 2023)")?;
    archive::zip(&files(ampoule, program)?)
}

/// What every package has: the program, and beside it the ampoule, with precompiled code for its predictor.
///
/// # Errors
/// The ampoule can't be compiled, or the program is for other processors.
pub fn files(ampoule: &Ampoule, program: &Program) -> anyhow::Result<Vec<File>> {
    program.check_architecture()?;
    let spinner = progress::spinner(format!("compiling {}", ampoule.manifest().name));
    let packed = ampoule_host::package(ampoule).context("can't compile the ampoule")?;
    spinner.finish_and_clear();
    let mut files = vec![
        File { path: program.name.to_owned(), mode: 0o755, bytes: program.bytes.clone() },
        File::plain(format!("{}.wasm", ampoule.manifest().name), packed.ampoule),
    ];
    files.extend(packed.cache.into_iter().map(|(name, bytes)| File::plain(name, bytes).under("cache")));
    files.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(files)
}

fn report(path: &Path, bytes: &[u8]) -> anyhow::Result<Exit> {
    publish(path, bytes)?;
    let digest = ampoule_host::sha256_hex(bytes);
    print(format!("{}  {} bytes\nsha256:{digest}\n", path.display(), bytes.len()).as_bytes())?;
    Ok(Exit::Done)
}
