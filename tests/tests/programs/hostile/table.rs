//! A table of hostile requests: each case states its answer, and the server has to be as good, and
//! as small, after the table as it was before.

use std::time::Duration;

use ampoule_tests::{Answer, Server, eventually};
use serde_json::Value;

/// A request and the answer that it has to get.
pub struct Case {
    pub name: String,
    pub send: Send,
    /// The statuses that are right; mostly one.
    pub status: Vec<u16>,
    /// The stable word; empty where the answer has no body of ours.
    pub code: &'static str,
    /// Where the offending value stands; empty for none.
    pub path: String,
    /// What the message says: each of these is part of it.
    pub says: Vec<String>,
    /// What no part of the answer may say.
    pub hides: &'static str,
}

/// What is sent.
pub enum Send {
    Request {
        method: &'static str,
        path: String,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// Bytes on a connection of their own, as they are.
    Bytes(Vec<u8>),
}

impl Case {
    /// A POST of `body` as JSON to the first model, refused with 400.
    pub fn json(name: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::post(name, "application/json", body)
    }

    /// A POST to the first model, refused with 400.
    pub fn post(name: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::request(name, "POST", "/predictions", &[("content-type", content_type)], body).status(400)
    }

    pub fn request(
        name: &str,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Self {
        let headers = headers.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self::of(name, Send::Request { method, path: path.to_owned(), headers, body: body.into() })
    }
    pub fn bytes(name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(name, Send::Bytes(bytes.into()))
    }

    fn of(name: &str, send: Send) -> Self {
        Self {
            name: name.to_owned(),
            send,
            status: Vec::new(),
            code: "",
            path: String::new(),
            says: Vec::new(),
            hides: "",
        }
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = vec![status];
        self
    }

    pub fn either(mut self, statuses: &[u16]) -> Self {
        self.status = statuses.to_vec();
        self
    }

    pub fn code(mut self, code: &'static str) -> Self {
        self.code = code;
        self
    }

    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    pub fn says(mut self, part: &str) -> Self {
        self.says.push(part.to_owned());
        self
    }

    pub fn hides(mut self, text: &'static str) -> Self {
        self.hides = text;
        self
    }

    /// The answer, or why there is none.
    pub fn ask(&self, server: &Server) -> Result<Answer, String> {
        match &self.send {
            Send::Request { method, path, headers, body } => {
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                Ok(server.ask(method, path, &headers, body))
            }
            Send::Bytes(bytes) => server.send(bytes),
        }
    }

    /// What is wrong with `answer`; nothing where it is the stated one.
    fn wrong(&self, answer: &Answer) -> Option<String> {
        let text = answer.text();
        let shown: String = text.chars().take(400).collect();
        if !self.status.contains(&answer.status) {
            return Some(format!("expected {:?}, got {} {shown}", self.status, answer.status));
        }
        if !self.hides.is_empty()
            && (text.contains(self.hides) || format!("{:?}", answer.headers).contains(self.hides))
        {
            return Some(format!("says {:?}, which it has to hide: {shown}", self.hides));
        }
        if self.code.is_empty() {
            let missing = self.says.iter().find(|part| !text.contains(part.as_str()))?;
            return Some(format!("expected {missing:?} in {shown}"));
        }
        let Ok(body) = serde_json::from_slice::<Value>(&answer.body) else {
            return Some(format!("expected JSON, got {shown}"));
        };
        let field = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        if field("code") != self.code {
            return Some(format!("expected the code {}, got {shown}", self.code));
        }
        if field("path") != self.path {
            return Some(format!("expected the path {:?}, got {:?} in {shown}", self.path, field("path")));
        }
        let message = field("error");
        let missing = self.says.iter().find(|part| !message.contains(part.as_str()))?;
        Some(format!("expected {missing:?} in {message:?}"))
    }
}

/// A request that is good, and is answered the same each time.
pub struct Good {
    pub path: &'static str,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Good {
    pub fn json(body: &str) -> Self {
        Self { path: "/predictions", content_type: "application/json", body: body.as_bytes().to_vec() }
    }

    pub fn ask(&self, server: &Server) -> Vec<u8> {
        let answer = server.ask("POST", self.path, &[("content-type", self.content_type)], &self.body);
        assert_eq!(answer.status, 200, "the good request: {}", answer.text());
        answer.body
    }
}

/// How the C library's allocator gives back what is freed, large pieces at once, so that what a server
/// still holds shows in its resident memory.
pub const SETTLED: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_MMAP_THRESHOLD_", "131072"), ("MALLOC_TRIM_THRESHOLD_", "131072")];

/// How much more memory a server may hold after a table than before.
pub const MARGIN_BYTES: u64 = 8 << 20;

/// Sends every case twice over and holds the answers to what the cases state. After each case the
/// good request is answered as before, bit for bit; after each round the memory is back.
pub fn hold(server: &mut Server, good: &Good, cases: &[Case]) {
    let mut wrong = Vec::new();
    let expected = good.ask(server);
    for _ in 0..50 {
        assert_eq!(good.ask(server), expected, "the good request has one answer");
    }
    let before = server.held_bytes();
    for round in 1..=2 {
        for case in cases {
            let outcome = match case.ask(server) {
                Ok(answer) => case.wrong(&answer),
                Err(why) => Some(why),
            };
            wrong.extend(outcome.map(|why| format!("round {round}: {}: {why}", case.name)));
            assert!(server.is_alive(), "{}: the server ended", case.name);
            assert_eq!(good.ask(server), expected, "{}: the good request got another answer", case.name);
        }
        let back = eventually(Duration::from_secs(60), || server.held_bytes() <= before + MARGIN_BYTES);
        let after = server.held_bytes();
        println!("round {round}: {} cases, {} KiB, before {} KiB", cases.len(), after >> 10, before >> 10);
        if !back {
            wrong.push(format!(
                "round {round}: expected at most {} KiB more than before, got {}",
                MARGIN_BYTES >> 10,
                (after - before) >> 10
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} answers are wrong:\n{}",
        wrong.len(),
        2 * cases.len(),
        wrong.join("\n")
    );
}
