//! A container of `ampoule package image`, run by Docker or Podman.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::Url;
use serde_json::Value;

use super::compare::{Answer, cut};
use super::environment::{Subject, is_program};
use super::ground::{Ground, Ran};
use super::http;
use crate::cli::package::program::{CLOUD, Program};
use crate::cli::package::{files, image};

/// What runs containers, as far as it takes Docker's arguments.
const RUNNERS: [&str; 2] = ["docker", "podman"];

/// How often a container is asked whether it is ready.
const LOOK: Duration = Duration::from_millis(50);

/// The program that is named, or one in `PATH` that runs containers here.
///
/// # Errors
/// Why there is none.
pub fn runner(ground: &Ground, named: Option<&Path>) -> Result<PathBuf, String> {
    let runs = |program: &Path| {
        let mut command = Command::new(program);
        // Asks the daemon, where there is one.
        command.arg("info");
        match ground.run(command, Vec::new()) {
            Ok(ran) if ran.status.success() => Ok(program.to_owned()),
            Ok(ran) => Err(cut(&ran.failed().to_string())),
            Err(cause) => Err(format!("{cause:#}")),
        }
    };
    if let Some(program) = named {
        return runs(program);
    }
    let mut why = "no program docker or podman (--container PATH)".to_owned();
    for program in RUNNERS.map(PathBuf::from).iter().filter(|program| is_program(program)) {
        match runs(program) {
            Ok(program) => return Ok(program),
            Err(cause) => why = cause,
        }
    }
    Err(why)
}

/// Answers of a container, which is gone afterwards, and its image too.
///
/// # Errors
/// It can't be made or started, or gives no answers.
pub fn ask(subject: &Subject<'_>, program: &Path, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let ground = subject.ground;
    let served = Program::find(None, CLOUD)?;
    // Names that nobody else has.
    let id = format!("ampoule-check-{:016x}", fastrand::u64(..));
    let tag = format!("{id}:{}", subject.ampoule.manifest().name);
    let certificates = image::certificates(None)?;
    let bytes =
        image::archive(subject.ampoule, &served, files(subject.ampoule, &served)?, certificates, &tag)?;
    let folder = ground.folder()?;
    let archive = folder.path().join("image.tar");
    std::fs::write(&archive, bytes).context("can't write into a temporary folder")?;
    let runner = Runner { ground, program };
    let _container = Container { program, id: &id, tag: &tag };
    runner.run(|command| command.args(["load", "-i"]).arg(&archive))?;
    runner.run(|command| {
        command.args(["run", "--detach", "--pull=never", "--name", &id, "--publish", "127.0.0.1::8080"]);
        for (name, value) in subject.limits.variables() {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg(&tag)
    })?;
    let ran = runner.run(|command| command.args(["port", &id, "8080/tcp"]))?;
    let port = ran.text()?.lines().next().and_then(|line| line.trim().rsplit_once(':')?.1.parse().ok());
    let port: u16 =
        port.with_context(|| format!("expected ADDRESS:PORT, got {}", cut(ran.text().unwrap_or_default())))?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    runner.ready(address, &id)?;
    http::here(ground, address, instances)
}

struct Runner<'a> {
    ground: &'a Ground,
    program: &'a Path,
}

impl Runner<'_> {
    fn run(&self, arguments: impl FnOnce(&mut Command) -> &mut Command) -> anyhow::Result<Ran> {
        let mut command = Command::new(self.program);
        arguments(&mut command);
        let ran = self.ground.run(command, Vec::new())?;
        if ran.status.success() { Ok(ran) } else { Err(ran.failed()) }
    }

    /// Waits until a container says that it is healthy.
    fn ready(&self, address: SocketAddr, id: &str) -> anyhow::Result<()> {
        let server = http::Server::here(self.ground)?;
        let health = Url::parse(&format!("http://{address}/health"))?;
        let end = Instant::now() + self.ground.patience;
        loop {
            if matches!(server.get(&health), Ok(Some(_))) {
                return Ok(());
            }
            let ran = self.run(|command| command.args(["inspect", "--format", "{{.State.Running}}", id]))?;
            if ran.text()?.trim() != "true" || Instant::now() > end {
                let logs = self.run(|command| command.args(["logs", id]))?;
                bail!("the container isn't healthy: {}", cut(&logs.log));
            }
            self.ground.pause(LOOK)?;
        }
    }
}

/// A container and its image, which go when it is let go, as far as they are there.
struct Container<'a> {
    program: &'a Path,
    id: &'a str,
    tag: &'a str,
}

/// How long one of them may take to go.
const PARTING: Duration = Duration::from_secs(30);

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // Not by the ground, which does nothing more once it is stopped.
        for arguments in [["rm", "--force", "--volumes", self.id].as_slice(), &["rmi", "--force", self.tag]] {
            let mut command = Command::new(self.program);
            command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let Ok(mut child) = command.spawn() else { return };
            let end = Instant::now() + PARTING;
            while let Ok(None) = child.try_wait() {
                if Instant::now() > end {
                    let _ = child.kill();
                    let _ = child.wait();
                }
                std::thread::sleep(LOOK);
            }
        }
    }
}
