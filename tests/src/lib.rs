//! What the tests share: the built command, sealed models, a server of one's own, and a caller that
//! sends any bytes it likes; and [`double`], an object server that fails as it is told.

pub mod client;
pub mod double;
pub mod platform;
pub mod servers;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

/// The folder that this test program was built in, `target/release` mostly.
fn built() -> PathBuf {
    let program = std::env::current_exe().expect("a program knows where it is");
    let folder = program.parent().expect("it lies in a folder");
    if folder.ends_with("deps") {
        folder.parent().expect("deps lies in a folder").to_owned()
    } else {
        folder.to_owned()
    }
}

/// The `ampoule` command; `cargo build --release` makes it.
pub fn ampoule() -> PathBuf {
    let path = built().join("ampoule");
    assert!(path.exists(), "{} is not there: run `make build` first", path.display());
    path
}

/// An example of a library; `cargo test` without a filter makes them.
pub fn example(name: &str) -> PathBuf {
    let path = built().join("examples").join(name);
    assert!(path.exists(), "{} is not there: run `cargo build --release --examples` first", path.display());
    path
}

/// A program that serves in a cloud, built without a compiler in it; `make serving` makes it.
pub fn serving(program: &str) -> PathBuf {
    let path = built().join("serving").join(program);
    assert!(path.exists(), "{} is not there: run `make serving` first", path.display());
    path
}

/// Runs `ampoule` with `arguments` in `folder`.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(ampoule())
        .args(arguments)
        .current_dir(folder)
        .env("AMPOULE_CACHE", cache())
        .output()
        .expect("the command starts")
}

/// What a command printed, for messages.
pub fn said(output: &Output) -> String {
    format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Where precompiled code is kept between tests.
pub fn cache() -> PathBuf {
    built().join("fixtures/cache")
}

/// The sealed form of the model in `models/NAME` or `tests/models/NAME`, made once for each build of
/// the command.
pub fn sealed(name: &str) -> PathBuf {
    fixture(name, &format!("{name}.wasm"), &[])
}

/// The same with its engine in it, and a command.
pub fn portable(name: &str) -> PathBuf {
    fixture(name, &format!("{name}.portable.wasm"), &["--portable"])
}

/// What `ampoule seal` makes of a model with more `arguments`, in `file`.
fn fixture(name: &str, file: &str, arguments: &[&str]) -> PathBuf {
    let fixtures = built().join("fixtures");
    std::fs::create_dir_all(&fixtures).expect("a folder can be made");
    let path = fixtures.join(file);
    let lock = File::create(fixtures.join(format!("{name}.lock"))).expect("a file can be made");
    lock.lock().expect("a file can be locked");
    let modified = |path: &Path| path.metadata().and_then(|facts| facts.modified()).ok();
    let published = root().join("models").join(name);
    let folder = if published.exists() { published } else { root().join("tests/models").join(name) };
    let sources = ["ampoule.toml", "model.onnx", "predictor/src/lib.rs"];
    let newest =
        sources.iter().filter_map(|source| modified(&folder.join(source))).chain(modified(&ampoule())).max();
    if modified(&path) < newest {
        if name == "hostile" {
            build_as_a_stranger(&folder.join("predictor"));
        }
        let (model, out) = (folder.to_string_lossy(), path.to_string_lossy());
        let output = run(&root(), &[&["seal", &*model, "-o", &*out], arguments].concat());
        assert!(output.status.success(), "{}", said(&output));
    }
    path
}

/// A front of a portable ampoule that takes any manifest and asks for nothing, as text.
pub const FRONT: &str = r#"
(component
  (import "ampoule:model/predictor@0.1.0" (instance))
  (core module $m
    (memory (export "memory") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
    (func (export "load") (param i32 i32) (result i32) i32.const 0))
  (core instance $i (instantiate $m))
  (func (export "load") (param "manifest" string) (result (result (error string)))
    (canon lift (core func $i "load") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
"#;

/// Builds the guest in `folder` by cargo alone, without what `ampoule seal` does to a predictor.
pub fn build_as_a_stranger(folder: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--target", "wasm32-wasip2", "--manifest-path"])
        .arg(folder.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(folder.join("target"))
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", said(&output));
}

/// A server that ends with the test.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    /// Milliseconds from exec to ready, as the server itself counts them.
    pub ready_ms: f64,
}

impl Server {
    /// Starts `ampoule serve` on a port of the system's choice.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// The same with variables in its environment.
    pub fn start_with(arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::of(
            Command::new(ampoule())
                .args(["serve", "--port", "0"])
                .args(arguments)
                .env("AMPOULE_CACHE", cache())
                .envs(variables.iter().copied()),
        )
    }

    /// Starts a program that logs where it listens.
    pub fn of(command: &mut Command) -> Self {
        let child = command.stderr(Stdio::piped()).spawn().expect("the command starts");
        let mut server = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)), ready_ms: 0.0 };
        let mut log = BufReader::new(server.child.stderr.take().expect("it is piped"));
        let mut heard = String::new();
        loop {
            let mut line = String::new();
            if log.read_line(&mut line).expect("the log is text") == 0 {
                panic!("the server did not start: {heard}");
            }
            heard.push_str(&line);
            let Ok(event) = serde_json::from_str::<serde_json::Value>(&line) else { continue };
            if let (Some(address), Some(ready_ms)) = (event["address"].as_str(), event["ready_ms"].as_f64()) {
                server.address = address.parse().expect("an address");
                server.ready_ms = ready_ms;
                // The log must be read for as long as the server writes it.
                std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
                return server;
            }
        }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// Resident memory that no file backs, in bytes: without code, which is there once it has run.
    pub fn held_bytes(&self) -> u64 {
        self.status_bytes("RssAnon:") + self.status_bytes("RssShmem:")
    }

    fn status_bytes(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    /// Waits until it has ended by itself.
    pub fn ended(mut self) -> std::process::ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Sends a request and gives the answer.
    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Answer::of(self.address, method, path, headers, body)
            .unwrap_or_else(|why| panic!("{method} {path}: {why}"))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"")
    }

    /// Posts JSON.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[("content-type", "application/json")], body.as_bytes())
    }

    /// Sends bytes as they are, on a connection of their own, and reads one answer.
    ///
    /// # Errors
    /// No answer came.
    pub fn send(&self, bytes: &[u8]) -> Result<Answer, String> {
        Answer::to(self.address, bytes)
    }

    pub fn connect(&self) -> TcpStream {
        connect(self.address)
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time can be set");
    stream.set_write_timeout(Some(Duration::from_secs(60))).expect("a time can be set");
    stream
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGTERM.
pub fn terminate(process: u32) {
    let status = Command::new("kill").args(["-TERM", &process.to_string()]).status().expect("kill is there");
    assert!(status.success(), "the process can be asked to stop");
}

/// A server's answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Asks whoever listens at `address`.
    ///
    /// # Errors
    /// No answer came.
    pub fn of(
        address: SocketAddr,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Self, String> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        }) {
            request.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        Self::to(address, &bytes)
    }

    fn to(address: SocketAddr, bytes: &[u8]) -> Result<Self, String> {
        let mut stream = connect(address);
        // A server may answer and close before it has read everything.
        let _ = stream.write_all(bytes);
        Self::read(&mut stream)
    }

    /// Reads one answer: its head, and its body by its length, or to the end.
    ///
    /// # Errors
    /// The connection ended before the head was whole.
    pub fn read(stream: &mut TcpStream) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let mut piece = [0u8; 1 << 16];
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end;
            }
            match stream.read(&mut piece) {
                Ok(0) => return Err(format!("the connection ended after {} bytes", bytes.len())),
                Ok(read) => bytes.extend_from_slice(piece.get(..read).expect("read fits")),
                Err(cause) => return Err(format!("no answer: {cause}")),
            }
        };
        let mut body = bytes.split_off(head + 4);
        let text = String::from_utf8(bytes).map_err(|_| "the head is no text".to_owned())?;
        let mut lines = text.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or("no status")?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length = headers
            .iter()
            .find(|(name, _)| name == "content-length")
            .and_then(|(_, value)| value.parse().ok());
        while length.is_none_or(|length: usize| body.len() < length) {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => body.extend_from_slice(piece.get(..read).expect("read fits")),
                Err(cause) => return Err(format!("half an answer: {cause}")),
            }
        }
        Ok(Self { status, headers, body })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("expected JSON, got {}", self.text()))
    }
}

/// Tries `check` until it holds; gives up after `patience`.
pub fn eventually(patience: Duration, mut check: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if check() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether a program is there; in continuous integration it has to be.
pub fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(found || std::env::var_os("CI").is_none(), "{program} is missing");
    found
}

/// A program that `make test` installs from `tests/requirements.txt`; in continuous integration it has to be there.
pub fn installed(program: &str) -> Option<PathBuf> {
    let path = root().join("target/venv/bin").join(program);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{program} is missing: make test installs it");
    eprintln!("skipped: {program} is missing (run `make test`)");
    None
}

/// ONNX Runtime's shared library, as `make test` installs it; in continuous integration it has to be there.
pub fn onnxruntime() -> Option<PathBuf> {
    let pythons = std::fs::read_dir(root().join("target/venv/lib")).into_iter().flatten().flatten();
    let folders = pythons.map(|python| python.path().join("site-packages/onnxruntime/capi"));
    let mut files = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let named = |file: &std::fs::DirEntry| file.file_name().to_string_lossy().starts_with("libonnxruntime.");
    if let Some(file) = files.find(named) {
        return Some(file.path());
    }
    assert!(std::env::var_os("CI").is_none(), "ONNX Runtime is missing: make test installs it");
    eprintln!("skipped: ONNX Runtime is missing (run `make test`)");
    None
}
