//! [`Ground`]: what a check works on: a runtime, a folder that goes with it, and the processes that it starts.

use std::future::Future;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use axum::Router;
use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Characters of a process's log that a message shows.
const SHOWN: usize = 600;

/// What a check works on.
pub struct Ground {
    pub runtime: Runtime,
    /// For one start, one request or one run.
    pub patience: Duration,
    folder: TempDir,
    stopped: watch::Receiver<bool>,
}

/// The user stopped the check.
#[derive(Debug, thiserror::Error)]
#[error("stopped")]
pub struct Stopped;

impl Ground {
    /// # Errors
    /// There can be no runtime or no temporary folder.
    pub fn new(patience: Duration) -> anyhow::Result<Self> {
        let runtime = crate::cli::runtime(None)?;
        let (stop, stopped) = watch::channel(false);
        runtime.spawn(async move {
            crate::serve::stopped().await;
            let _ = stop.send(true);
            // Its receivers tell a stop from its end.
            std::future::pending::<()>().await;
        });
        let folder = tempfile::Builder::new().prefix("ampoule-check-").tempdir();
        Ok(Self { runtime, patience, folder: folder.context("can't make a temporary folder")?, stopped })
    }

    /// A folder of its own, which is emptied when it is let go.
    ///
    /// # Errors
    /// It can't be made.
    pub fn folder(&self) -> anyhow::Result<TempDir> {
        tempfile::tempdir_in(self.folder.path()).context("can't make a temporary folder")
    }

    /// Waits for `work`, as long as patience lasts.
    ///
    /// # Errors
    /// The work's own, or it took too long, or [`Stopped`].
    pub fn wait<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        let mut stopped = self.stopped.clone();
        self.runtime.block_on(async {
            tokio::select! {
                done = tokio::time::timeout(self.patience, work) => match done {
                    Ok(done) => done,
                    Err(_) => bail!("no answer came in {} s (--timeout)", self.patience.as_secs()),
                },
                Ok(_) = stopped.wait_for(|stopped| *stopped) => Err(Stopped.into()),
            }
        })
    }

    /// Waits for no work.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn pause(&self, time: Duration) -> anyhow::Result<()> {
        self.wait(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// Serves on the loopback for as long as the runtime lives.
    ///
    /// # Errors
    /// There can be no listener.
    pub fn serve(&self, router: Router) -> anyhow::Result<SocketAddr> {
        let listener = self.wait(async { Ok(TcpListener::bind(("127.0.0.1", 0)).await?) })?;
        let address = listener.local_addr()?;
        self.runtime.spawn(async move { axum::serve(listener, router).await });
        Ok(address)
    }

    /// Waits for what a program says to a server of ours, or its end.
    ///
    /// # Errors
    /// It ends, or says nothing in time.
    pub fn hears<T>(
        &self,
        said: &mut mpsc::UnboundedReceiver<T>,
        running: &mut Running,
    ) -> anyhow::Result<T> {
        self.wait(async {
            loop {
                tokio::select! {
                    said = said.recv() => break said.context("the server that it speaks to is gone"),
                    () = tokio::time::sleep(LOOK) => {
                        if let Some(status) = running.child.0.try_wait()? {
                            bail!("{} ended with {status}: {}", running.program, running.log());
                        }
                    }
                }
            }
        })
    }

    fn check_stopped(&self) -> Result<(), Stopped> {
        if *self.stopped.borrow() { Err(Stopped) } else { Ok(()) }
    }

    /// Runs a program to its end, with `input` on its standard input.
    ///
    /// # Errors
    /// It can't be started, or runs for too long; then it is ended.
    pub fn run(&self, mut command: Command, input: Vec<u8>) -> anyhow::Result<Ran> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = Guard::spawn(&mut command)?;
        if let Some(mut stdin) = child.0.stdin.take() {
            // A program may end before it has read all.
            std::thread::spawn(move || stdin.write_all(&input));
        }
        let (stdout, stderr) = (reader(child.0.stdout.take()), reader(child.0.stderr.take()));
        let end = Instant::now() + self.patience;
        let status = loop {
            if let Some(status) = child.0.try_wait()? {
                break status;
            }
            self.check_stopped()?;
            if Instant::now() > end {
                bail!("{} ran for more than {} s (--timeout)", program(&command), self.patience.as_secs());
            }
            std::thread::sleep(LOOK);
        };
        let bytes = |reader: JoinHandle<Vec<u8>>| reader.join().unwrap_or_default();
        let log = String::from_utf8_lossy(&bytes(stderr)).into_owned();
        Ok(Ran { program: program(&command), status, output: bytes(stdout), log })
    }

    /// Starts a program that goes on until it is let go.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(&self, mut command: Command) -> anyhow::Result<Running> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = Guard::spawn(&mut command)?;
        let (sender, lines) = channel();
        let log = Arc::new(Mutex::new(String::new()));
        if let Some(stderr) = child.0.stderr.take() {
            let log = log.clone();
            // The log is read for as long as it is written: a full pipe would hold the program up.
            std::thread::spawn(move || {
                let mut stderr = BufReader::new(stderr);
                let mut line = Vec::new();
                while stderr.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                    let text = String::from_utf8_lossy(&line).into_owned();
                    if let Ok(mut log) = log.lock() {
                        log.push_str(&text);
                        let from = log.len().saturating_sub(SHOWN);
                        *log = log.get(log.ceil_char_boundary(from)..).unwrap_or_default().to_owned();
                    }
                    let _ = sender.send(text);
                    line.clear();
                }
            });
        }
        Ok(Running { program: program(&command), child, lines, log })
    }

    /// Waits until a program says in its log where it listens; `find` sees each line.
    ///
    /// # Errors
    /// It ends instead, or doesn't say so in time.
    pub fn listens(
        &self,
        running: &mut Running,
        find: impl Fn(&str) -> Option<SocketAddr>,
    ) -> anyhow::Result<SocketAddr> {
        let end = Instant::now() + self.patience;
        loop {
            match running.lines.recv_timeout(LOOK) {
                Ok(line) => {
                    if let Some(address) = find(&line) {
                        return Ok(address);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let status = running.child.0.wait()?;
                    bail!("{} ended with {status}: {}", running.program, running.log());
                }
            }
            self.check_stopped()?;
            if Instant::now() > end {
                let seconds = self.patience.as_secs();
                bail!("{} did not listen within {seconds} s (--timeout): {}", running.program, running.log());
            }
        }
    }
}

/// A program that ran to its end.
pub struct Ran {
    program: String,
    pub status: ExitStatus,
    pub output: Vec<u8>,
    /// What it wrote to standard error.
    pub log: String,
}

impl Ran {
    /// An error that says how it ended.
    pub fn failed(&self) -> anyhow::Error {
        anyhow::anyhow!("{} ended with {}: {}", self.program, self.status, last(&self.log))
    }

    /// Its output as text.
    ///
    /// # Errors
    /// It is none.
    pub fn text(&self) -> anyhow::Result<&str> {
        std::str::from_utf8(&self.output).with_context(|| format!("{}: expected text", self.program))
    }
}

/// A program that runs until this is dropped.
pub struct Running {
    program: String,
    child: Guard,
    lines: Receiver<String>,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// The end of its log.
    fn log(&self) -> String {
        self.log.lock().map(|log| last(&log)).unwrap_or_default()
    }
}

/// A process that ends when it is let go, and with it those that it started: a browser may be a script around one.
struct Guard(Child);

impl Guard {
    /// In a group of its own.
    fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.process_group(0).spawn();
        child.map(Self).with_context(|| format!("can't start {}", program(command)))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // What a program that ended by itself leaves running, it means to.
        if let Ok(None) = self.0.try_wait() {
            let group = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
            let _ = group.map(|group| kill_process_group(group, Signal::KILL));
            let _ = self.0.wait();
        }
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn program(command: &Command) -> String {
    let path = Path::new(command.get_program());
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

/// The end of a log, in one line.
fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.get(lines.len().saturating_sub(4)..).unwrap_or_default().join("; ");
    let from = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
    match text.get(from..) {
        Some("") | None => "it said nothing".to_owned(),
        Some(text) => text.to_owned(),
    }
}
