//! A portable file in stock `wasmtime`.

use std::process::Command;

use serde_json::Value;

use super::compare::{Answer, cut};
use super::environment::{Subject, lines, prediction, rows};
use super::http;

/// Answers of `wasmtime serve`.
///
/// # Errors
/// It doesn't start, or gives none.
pub fn serve(subject: &Subject<'_>, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let mut command = Command::new(&subject.tools.wasmtime);
    command.args(["serve", "--addr", "127.0.0.1:0"]).arg(subject.file);
    let mut server = subject.ground.start(command)?;
    let address = subject.ground.listens(&mut server, |line| {
        let (_, rest) = line.split_once("http://")?;
        rest.split(['/', ' ', '\n']).next()?.parse().ok()
    })?;
    http::here(subject.ground, address, instances)
}

/// Answers of `wasmtime run`.
///
/// # Errors
/// It fails, or gives none.
pub fn run(subject: &Subject<'_>, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let program = || {
        let mut command = Command::new(&subject.tools.wasmtime);
        command.arg("run");
        command
    };
    if subject.ampoule.manifest().takes_media().is_none() {
        let mut command = program();
        command.arg(subject.file);
        let ran = subject.ground.run(command, lines(instances))?;
        return rows(&ran, instances.len());
    }
    let folder = subject.ground.folder()?;
    let mut answers = Vec::new();
    for (index, instance) in instances.iter().enumerate() {
        let Some(name) = subject.blob(folder.path(), index, instance)? else {
            answers.push(Answer::Refused("it holds no blob".to_owned()));
            continue;
        };
        let mut command = program();
        command.arg("--dir").arg(format!("{}::/in", folder.path().display()));
        command.arg(subject.file).arg(format!("/in/{name}")).args(["--format", "image"]);
        let ran = subject.ground.run(command, Vec::new())?;
        answers.push(match ran.status.success() {
            true => prediction(&ran.output),
            // The component's own message, by which a broken runtime is told from a refusal.
            false if ran.log.lines().any(|line| line.contains(&name)) => Answer::Refused(cut(&ran.log)),
            false => return Err(ran.failed()),
        });
    }
    Ok(answers)
}
