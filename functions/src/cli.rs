//! The command line.

mod batch;
mod cache;
mod check;
mod demo;
mod deploy;
mod engine;
mod exit;
mod export;
mod input;
mod inspect;
mod limits;
mod new;
mod outcome;
mod package;
mod predict;
mod profile;
mod progress;
mod seal;
mod serve;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::threads;
pub use exit::Exit;

/// Seals machine-learning models into one WebAssembly file each, and runs that file.
#[derive(Debug, Parser)]
#[command(name = "ampoule", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  ampoule seal model.onnx                       seal a model that says enough about itself
  ampoule seal models/iris -o iris.wasm         seal a model by its ampoule.toml
  ampoule inspect iris.wasm                     what it takes and gives
  ampoule predict iris.wasm rows.csv            predictions for a table
  ampoule check iris.wasm                       whether its answers are the same everywhere
  ampoule profile iris.wasm                     where a model's time goes, node by node
  ampoule serve iris.wasm                       http://127.0.0.1:8080/docs
  ampoule batch clouds.wasm scenes/ masks/      a folder of pictures to a folder of masks
  ampoule package lambda iris.wasm              a zip for AWS Lambda
  ampoule deploy aws iris.wasm --dry-run        all that puts it on AWS
  ampoule export js iris.wasm                   a package for Node and browsers, with a page

Exit codes: 0 done; 1 the ampoule or the machine is at fault; 2 the command line is;
3 some inputs are (the others were done); 130 stopped.";

#[derive(Debug, Subcommand)]
enum Command {
    New(new::New),
    Seal(seal::Seal),
    Inspect(inspect::Inspect),
    Predict(predict::Predict),
    Check(check::Check),
    Profile(profile::Profile),
    Serve(serve::Serve),
    Batch(batch::Batch),
    Package(package::Package),
    Deploy(deploy::Deploy),
    Export(export::Export),
    Demo(demo::Demo),
    Completions(Completions),
}

/// Prints a completion script for a shell.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  ampoule completions bash > ~/.local/share/bash-completion/completions/ampoule"
)]
struct Completions {
    shell: clap_complete::Shell,
}

impl Arguments {
    /// Does what the command line asks.
    ///
    /// # Errors
    /// Whatever stops the command; [`Exit::of`] gives its exit code.
    pub fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            Command::New(new) => new.run(),
            Command::Seal(seal) => seal.run(),
            Command::Inspect(inspect) => inspect.run(),
            Command::Predict(predict) => predict.run(),
            Command::Check(check) => check.run(),
            Command::Profile(profile) => profile.run(),
            Command::Serve(serve) => serve.run(),
            Command::Batch(batch) => batch.run(),
            Command::Package(package) => package.run(),
            Command::Deploy(deploy) => deploy.run(),
            Command::Export(export) => export.run(),
            Command::Demo(demo) => demo.run(),
            Command::Completions(Completions { shell }) => {
                let mut out = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "ampoule", &mut out);
                outcome::print(&out)?;
                Ok(Exit::Done)
            }
        }
    }
}

/// A runtime of `threads` threads, or of one for each processor.
fn runtime(threads: Option<usize>) -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(threads::runtime(threads.unwrap_or_else(threads::processors))?)
}
