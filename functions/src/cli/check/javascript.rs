//! `ampoule export js`: in Node, and in a browser that asks a server of our own for its page.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, post};
use serde_json::Value;
use tokio::sync::mpsc;

use super::compare::{Answer, cut};
use super::environment::{Subject, is_program, lines};
use crate::cli::export;
use crate::cli::package::File;

const ANSWERS: &str = include_str!("answers.mjs");
const NODE: &str = include_str!("node.mjs");
const BROWSER: &str = include_str!("browser.mjs");
const PAGE: &str = "<!DOCTYPE html>\n<meta charset=\"utf-8\">\n<title>check</title>\n<script type=\"module\" src=\"browser.mjs\"></script>\n";

/// What browsers that are built of Chromium are called.
const BROWSERS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Answers of the package in Node.
///
/// # Errors
/// It can't be made, or Node fails.
pub fn node(subject: &Subject<'_>, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let folder = subject.ground.folder()?;
    let mut files = export::package(subject.ampoule, None)?;
    files.extend([("answers.mjs", ANSWERS), ("node.mjs", NODE)].map(|(name, text)| File::plain(name, text)));
    export::write(folder.path(), &files)?;
    let mut command = Command::new(&subject.tools.node);
    command.arg(folder.path().join("node.mjs"));
    let ran = subject.ground.run(command, lines(instances))?;
    if !ran.status.success() {
        return Err(ran.failed());
    }
    read(ran.text()?)
}

/// The browser that is named, or one that is in `PATH`.
pub fn browser_of(named: Option<&Path>) -> Option<PathBuf> {
    match named {
        Some(path) => is_program(path).then(|| path.to_owned()),
        None => BROWSERS.iter().map(PathBuf::from).find(|name| is_program(name)),
    }
}

/// Answers of the package in a browser without a window.
///
/// # Errors
/// It can't be made, or the browser gives no answers.
pub fn browser(subject: &Subject<'_>, program: &Path, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let mut files = export::package(subject.ampoule, None)?;
    for (name, text) in [("answers.mjs", ANSWERS), ("browser.mjs", BROWSER), ("check.html", PAGE)] {
        files.push(File::plain(name, text));
    }
    files.push(File::plain("instances", lines(instances)));
    let ground = subject.ground;
    let (said, mut heard) = mpsc::unbounded_channel();
    let files = files.into_iter().map(|file| (file.path, file.bytes)).collect();
    let address = ground.serve(page(Shared { files, said }))?;
    let profile = ground.folder()?;
    let mut command = Command::new(program);
    command
        .args(["--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-sync"])
        .args(["--disable-extensions", "--disable-background-networking", "--disable-component-update"])
        .args(["--disable-breakpad", "--password-store=basic", "--use-mock-keychain"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        // Without a proxy on the way to the loopback.
        .arg("--no-proxy-server");
    if rustix::process::geteuid().is_root() {
        // Chromium's own sandbox doesn't start for root.
        command.arg("--no-sandbox");
    }
    command.arg(format!("http://{address}/check.html")).env("TMPDIR", profile.path());
    let mut running = ground.start(command)?;
    let answers = ground.hears(&mut heard, &mut running);
    drop(running);
    emptied(profile.path());
    let answers = answers?;
    read(std::str::from_utf8(&answers).context("the page's answers are no text")?)
}

/// Empties the browser's folder: its helpers write there for a moment after its end.
fn emptied(folder: &Path) {
    for _ in 0..50 {
        if std::fs::remove_dir_all(folder).is_ok() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

struct Shared {
    files: BTreeMap<String, Vec<u8>>,
    said: mpsc::UnboundedSender<Bytes>,
}

/// The files, and `/answers`, where what is posted is said.
fn page(shared: Shared) -> Router {
    Router::new()
        .route("/answers", post(answered))
        .fallback(any(file))
        .layer(DefaultBodyLimit::disable())
        .with_state(Arc::new(shared))
}

async fn answered(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let _ = shared.said.send(body);
    StatusCode::NO_CONTENT
}

async fn file(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    let name = uri.path().trim_start_matches('/');
    let Some(bytes) = shared.files.get(name) else { return StatusCode::NOT_FOUND.into_response() };
    let content_type = match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("js" | "mjs") => "text/javascript",
        Some("wasm") => "application/wasm",
        Some("html") => "text/html",
        _ => "text/plain; charset=utf-8",
    };
    ([("content-type", content_type)], bytes.clone()).into_response()
}

/// The lines that `answers.mjs` gives.
fn read(text: &str) -> anyhow::Result<Vec<Answer>> {
    let answer = |line: &str| {
        let mut said: Value = serde_json::from_str(line)
            .with_context(|| format!("expected a line of JSON, got {}", cut(line)))?;
        let text = |key| said[key].as_str().map(str::to_owned);
        if let Some(why) = text("broken") {
            bail!("the package doesn't run: {why}");
        }
        Ok(match (text("refused"), text("failed")) {
            (Some(why), _) => Answer::Refused(why),
            (_, Some(why)) => Answer::Failed(why),
            _ => Answer::Given(said["given"].take()),
        })
    };
    text.lines().map(answer).collect()
}
