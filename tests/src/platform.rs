//! [`Platform`]: what AWS Lambda is to a function, its Runtime API, and the function's process.
//!
//! It hands out events one by one, takes the replies, and keeps what it was told.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(120);

/// The Runtime API on a port of its own.
pub struct Platform {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Event>,
    posted: HashMap<String, Posted>,
    init_error: Option<Posted>,
    /// When the function first asked for an event.
    asked: Option<Instant>,
    events: usize,
}

struct Event {
    id: String,
    payload: String,
    deadline: Duration,
}

/// What the function said.
#[derive(Clone, Debug)]
pub struct Posted {
    /// `response` or `error`.
    pub kind: String,
    /// Names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Posted {
    pub fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("expected JSON, got {text}"))
    }

    /// The prelude and the body of an answer that was streamed.
    pub fn streamed(&self) -> (serde_json::Value, &[u8]) {
        let end =
            self.body.windows(8).position(|eight| eight == [0; 8]).expect("eight zeros end the prelude");
        let (prelude, body) = self.body.split_at(end);
        (
            serde_json::from_slice(prelude).expect("the prelude is JSON"),
            body.get(8..).expect("they are there"),
        )
    }
}

impl Platform {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let shared = Arc::new(Shared::default());
        let served = shared.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = served.clone();
                std::thread::spawn(move || shared.connection(stream));
            }
        });
        Self { address, shared }
    }

    /// Sends an event and waits for what the function says to it.
    pub fn invoke(&self, payload: &str) -> Posted {
        self.invoke_within(payload, PATIENCE)
    }

    /// The same with the function's deadline so far from now.
    pub fn invoke_within(&self, payload: &str, deadline: Duration) -> Posted {
        let id = self.send(payload, deadline);
        self.wait(|state| state.posted.remove(&id)).unwrap_or_else(|| panic!("nothing was said to {payload}"))
    }

    fn send(&self, payload: &str, deadline: Duration) -> String {
        let mut state = self.shared.lock();
        state.events += 1;
        let id = format!("8476a536-e9f4-11e8-9739-{:012}", state.events);
        state.waiting.push(Event { id: id.clone(), payload: payload.to_owned(), deadline });
        self.shared.changed.notify_all();
        id
    }

    /// What the function said of why it can't begin.
    pub fn init_error(&self) -> Posted {
        self.wait(|state| state.init_error.take()).expect("the platform is told why a function can't begin")
    }

    /// When the function first asked for an event.
    pub fn ready(&self) -> Instant {
        self.wait(|state| state.asked).expect("the function asks for an event")
    }

    fn wait<T>(&self, mut found: impl FnMut(&mut State) -> Option<T>) -> Option<T> {
        let end = Instant::now() + PATIENCE;
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = found(&mut state) {
                return Some(found);
            }
            let left = end.checked_duration_since(Instant::now())?;
            state = self.shared.changed.wait_timeout(state, left).expect("no thread panics with it").0;
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with it")
    }

    /// Answers requests until the function goes.
    fn connection(&self, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let Ok(reading) = stream.try_clone() else { return };
        let (mut reading, mut writing) = (BufReader::new(reading), stream);
        while let Some((path, headers, body)) = request(&mut reading) {
            let answer = if path.ends_with("/invocation/next") {
                self.next()
            } else {
                self.posted(&path, Posted { kind: String::new(), headers, body });
                "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()
            };
            if writing.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }

    /// Waits for an event, as long as it takes.
    fn next(&self) -> String {
        let mut state = self.lock();
        state.asked.get_or_insert_with(Instant::now);
        self.changed.notify_all();
        while state.waiting.is_empty() {
            state = self.changed.wait(state).expect("no thread panics with it");
        }
        let Event { id, payload, deadline } = state.waiting.remove(0);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is past 1970");
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             lambda-runtime-aws-request-id: {id}\r\nlambda-runtime-deadline-ms: {}\r\n\
             lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:1:function:tested\r\n\r\n{payload}",
            payload.len(),
            (now + deadline).as_millis()
        )
    }

    fn posted(&self, path: &str, mut posted: Posted) {
        let mut state = self.lock();
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match parts.as_slice() {
            [_, "runtime", "init", "error"] => state.init_error = Some(posted),
            [_, "runtime", "invocation", id, kind] => {
                posted.kind = (*kind).to_owned();
                state.posted.insert((*id).to_owned(), posted);
            }
            _ => {}
        }
        self.changed.notify_all();
    }
}

/// Reads one request: its path, its headers and its body, by length or in chunks.
fn request(reading: &mut BufReader<TcpStream>) -> Option<(String, HashMap<String, String>, Vec<u8>)> {
    let mut line = || {
        let mut line = String::new();
        match reading.read_line(&mut line) {
            Ok(read) if read > 0 => Some(line.trim_end().to_owned()),
            _ => None,
        }
    };
    let path = line()?.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    let mut take = |reading: &mut BufReader<TcpStream>, bytes: usize| {
        let start = body.len();
        body.resize(start + bytes, 0);
        reading.read_exact(body.get_mut(start..)?).ok()
    };
    if let Some(length) = headers.get("content-length").and_then(|value| value.parse().ok()) {
        take(reading, length)?;
    } else if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let mut size = String::new();
            reading.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            take(reading, size)?;
            reading.read_line(&mut String::new()).ok()?;
        }
        // Trailers end with an empty line.
        loop {
            let mut trailer = String::new();
            if reading.read_line(&mut trailer).ok()? == 0 || trailer.trim().is_empty() {
                break;
            }
        }
    }
    Some((path, headers, body))
}

/// The process of a function; it ends with the test.
pub struct Process {
    child: Child,
    log: Option<JoinHandle<String>>,
    /// When it was started.
    pub started: Instant,
}

impl Process {
    /// Starts `program` for `platform` with these variables and no others of ours.
    pub fn start(program: &Path, platform: &Platform, variables: &[(&str, &OsStr)]) -> Self {
        Self::attach(program, &platform.address.to_string(), variables)
    }

    /// The same for a Runtime API at `address`, which may have a path.
    pub fn attach(program: &Path, address: &str, variables: &[(&str, &OsStr)]) -> Self {
        let started = Instant::now();
        let mut child = Command::new(program)
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", address)
            .env("AWS_LAMBDA_FUNCTION_NAME", "tested")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .envs(variables.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|cause| panic!("{} can't start: {cause}", program.display()));
        let mut stderr = child.stderr.take().expect("it is piped");
        // The log must be read for as long as the function writes it.
        let log = std::thread::spawn(move || {
            let mut log = String::new();
            let _ = stderr.read_to_string(&mut log);
            log
        });
        Self { child, log: Some(log), started }
    }

    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has ended by itself; its exit status and what it wrote to standard error.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        let log = self.log.take().expect("it ends once").join().expect("the log is read");
        (status, log)
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
