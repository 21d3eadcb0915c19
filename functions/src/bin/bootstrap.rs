//! The program of an AWS Lambda function.

use std::process::ExitCode;

fn main() -> ExitCode {
    ampoule_functions::lambda::run()
}
