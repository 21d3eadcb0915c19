//! The program of Cloud Run, Azure Functions and other containers.

use std::process::ExitCode;

fn main() -> ExitCode {
    ampoule_functions::cloud::run()
}
