//! The `ampoule` command.

use std::process::ExitCode;

use ampoule_functions::cli::{Arguments, Exit};
use clap::Parser as _;

fn main() -> ExitCode {
    match Arguments::parse().run() {
        Ok(exit) => exit.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            Exit::of(&error).into()
        }
    }
}
