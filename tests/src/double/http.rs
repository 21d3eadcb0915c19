//! Connections of the double: a request is read whole, answered by a dialect, and the answer sent as
//! the fault it meets says.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Future as _, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::fault::{Asked, Fault, Operation};
use super::memory::{Draft, Memory, Object, flipped};
use super::refusal::Refusal;
use super::{Shared, checksum};

/// A request as it came.
pub struct Request {
    pub method: String,
    /// As sent: percent-encoded, with whatever `//` and `..` it has.
    pub path: String,
    /// Decoded, in the order of the request.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What of the answer is to be untrue.
    pub distortion: Option<Fault>,
}

/// What a request asks for.
pub struct Meaning {
    pub operation: Operation,
    pub bucket: String,
    /// Of an object, or the prefix of a listing.
    pub key: String,
    /// The object's bytes that the request carries.
    pub content: Bytes,
}

#[derive(Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub trailers: Vec<(&'static str, String)>,
}

/// A protocol spoken over HTTP.
pub trait Dialect: Send + Sync + 'static {
    /// What a request asks for, so that the script can be asked about it.
    fn understand(&self, request: &Request) -> Result<Meaning, Refusal>;
    fn perform(&self, request: &Request, meaning: &Meaning, memory: &Memory) -> Result<Answer, Refusal>;
    fn refuse(&self, request: &Request, refusal: &Refusal) -> Answer;
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub fn asks(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn who(&self) -> String {
        let names = ["x-double-who", "user-agent", "x-goog-api-client"];
        names.iter().find_map(|name| self.header(name)).unwrap_or_default().to_owned()
    }

    /// The first byte that is asked for and the one after the last.
    pub fn range(&self, length: usize) -> Result<Option<(usize, usize)>, Refusal> {
        let Some(range) = self.header("range") else { return Ok(None) };
        let bad = || Refusal::Invalid(format!("range {range:?}"));
        let ends = range.strip_prefix("bytes=").and_then(|range| range.split_once('-'));
        let number = |text: &str| text.parse::<usize>().map_err(|_| bad());
        let (from, to) = match ends.ok_or_else(bad)? {
            ("", last) => (length.saturating_sub(number(last)?), length),
            (from, "") => (number(from)?, length),
            (from, to) => (number(from)?, number(to)?.saturating_add(1).min(length)),
        };
        if from >= length || from >= to { Err(Refusal::InvalidRange) } else { Ok(Some((from, to))) }
    }

    /// An object as this request gets to see it.
    pub fn seen(&self, mut object: Object) -> Object {
        match self.distortion {
            Some(Fault::WrongVersion) => {
                object.etag = format!("\"{}\"", checksum::hex(&checksum::md5(b"another")));
                object.generation += 1;
            }
            Some(Fault::WrongChecksum) => {
                object.md5 = checksum::md5(b"another");
                object.crc32c ^= 1;
                object.checksum = object.checksum.map(|(algorithm, _)| (algorithm, algorithm.of(b"another")));
            }
            _ => {}
        }
        object
    }
}

impl Answer {
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.with("content-type", content_type)
    }
}

/// Answers whoever connects, until the runtime ends.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>, dialect: Arc<dyn Dialect>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, shared.clone(), dialect.clone()));
    }
}

/// How a connection ends when a fault ends it.
enum End {
    Reset,
    Close,
}

async fn serve(stream: TcpStream, shared: Arc<Shared>, dialect: Arc<dyn Dialect>) {
    let _ = stream.set_nodelay(true);
    // A gRPC client begins with HTTP/2's preface.
    let mut begin = [0; 3];
    let is_http2 = stream.peek(&mut begin).await.is_ok_and(|length| begin.get(..length) == Some(b"PRI"));
    let Ok(stream) = stream.into_std() else { return };
    // Closing with no time to linger resets the connection, and the last handle of it decides.
    let Ok(handle) = stream.try_clone() else { return };
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let (ender, mut ended) = mpsc::unbounded_channel();
    let service = service_fn(move |request| {
        let (shared, dialect, ender) = (shared.clone(), dialect.clone(), ender.clone());
        async move { Ok::<_, Infallible>(answer(request, &shared, dialect.as_ref(), ender).await) }
    });
    let io = TokioIo::new(stream);
    let end = if is_http2 {
        let connection =
            hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service);
        tokio::select! { end = ended.recv() => end, _ = connection => None }
    } else {
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(io, service);
        tokio::select! { end = ended.recv() => end, _ = connection => None }
    };
    if matches!(end, Some(End::Reset)) {
        let _ = socket2::SockRef::from(&handle).set_linger(Some(Duration::ZERO));
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    shared: &Shared,
    dialect: &dyn Dialect,
    ender: mpsc::UnboundedSender<End>,
) -> hyper::Response<Sent> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return pending().await };
    let mut request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: query(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body: body.to_bytes(),
        distortion: None,
    };
    let meaning = dialect.understand(&request);
    let mut meaning = match meaning {
        Ok(meaning) => meaning,
        Err(refusal) => return dialect.refuse(&request, &refusal).sent(&request, None, ender),
    };
    let fault = shared.script.next(Asked {
        operation: meaning.operation,
        bucket: meaning.bucket.clone(),
        key: meaning.key.clone(),
        who: request.who(),
    });
    request.distortion = fault;
    if let Some(refusal) = fault.and_then(|fault| refused_before(fault, meaning.operation)) {
        return dialect.refuse(&request, &refusal).sent(&request, None, ender);
    }
    match fault {
        Some(Fault::ResetBefore) => {
            let _ = ender.send(End::Reset);
            return pending().await;
        }
        Some(Fault::CloseBefore) => {
            let _ = ender.send(End::Close);
            return pending().await;
        }
        Some(Fault::HangBefore) => return pending().await,
        Some(Fault::Delay { ms }) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Fault::Empty) => return Answer::new(200).sent(&request, None, ender),
        Some(Fault::ErrorIn200) => {
            let mut answer = dialect.refuse(&request, &Refusal::Internal);
            answer.status = 200;
            return answer.sent(&request, None, ender);
        }
        Some(Fault::FlippedUp) => meaning.content = flipped(&meaning.content),
        Some(Fault::Replaced) => rival_writes(&shared.memory, &meaning),
        Some(Fault::Gone) => {
            let _ = shared.memory.delete(&meaning.bucket, &meaning.key, &Default::default(), "rival");
        }
        _ => {}
    }
    let done = dialect.perform(&request, &meaning, &shared.memory);
    let succeeded = done.is_ok();
    let mut answer = done.unwrap_or_else(|refusal| dialect.refuse(&request, &refusal));
    match fault {
        Some(Fault::InternalAfter) => answer = dialect.refuse(&request, &Refusal::Internal),
        Some(Fault::PreconditionAfter) if succeeded => {
            answer = dialect.refuse(&request, &Refusal::PreconditionFailed);
        }
        Some(Fault::FlippedAtRest) => shared.memory.rot(&meaning.bucket, &meaning.key),
        Some(Fault::ResetAfter) => {
            let _ = ender.send(End::Reset);
            return pending().await;
        }
        Some(Fault::CloseAfter) => {
            let _ = ender.send(End::Close);
            return pending().await;
        }
        Some(Fault::HangAfter) => return pending().await,
        Some(Fault::FlippedDown) => answer.body = flipped(&answer.body),
        Some(Fault::Truncated) => {
            answer.body.truncate(answer.body.len() / 2);
            answer.headers.retain(|(name, _)| name != "content-length");
        }
        _ => {}
    }
    answer.sent(&request, fault, ender)
}

/// The refusal that a fault is, if it is one.
fn refused_before(fault: Fault, operation: Operation) -> Option<Refusal> {
    let writes = !matches!(operation, Operation::List | Operation::Head | Operation::Read | Operation::Tags);
    Some(match fault {
        Fault::Internal => Refusal::Internal,
        Fault::SlowDown { retry_after } => Refusal::SlowDown(retry_after),
        Fault::TooManyRequests => Refusal::TooManyRequests,
        Fault::Timeout => Refusal::Timeout,
        Fault::Conflict => Refusal::Conflict,
        Fault::ExpiredToken => Refusal::ExpiredToken,
        Fault::ClockSkew => Refusal::ClockSkew,
        Fault::ReadOnly if writes => Refusal::ReadOnly,
        Fault::Full if writes => Refusal::Full,
        Fault::Elsewhere => Refusal::Elsewhere,
        Fault::TokenRefused => Refusal::InvalidToken,
        _ => return None,
    })
}

/// Another upload of the same key, with other bytes.
fn rival_writes(memory: &Memory, meaning: &Meaning) {
    let before = memory.read(&meaning.bucket, &meaning.key).ok();
    let mut bytes = before.as_ref().map(|object| object.bytes.to_vec()).unwrap_or_default();
    bytes.push(b'\n');
    let draft = Draft {
        bytes: bytes.into(),
        content_type: before.and_then(|object| object.content_type),
        ..Draft::default()
    };
    let _ = memory.write(&meaning.bucket, &meaning.key, draft, &Default::default(), "rival");
}

/// A query's names and values, or those of a form.
pub fn query(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

impl Answer {
    fn sent(
        self,
        request: &Request,
        fault: Option<Fault>,
        ender: mpsc::UnboundedSender<End>,
    ) -> hyper::Response<Sent> {
        let length = self.body.len();
        let half = |end| {
            let mut body = self.body.clone();
            // The pause lets the first half leave before the connection ends.
            let steps = [
                Step::Data(body.split_to(length / 2)),
                Step::Pause(Duration::from_millis(20)),
                Step::End(end),
            ];
            VecDeque::from(steps)
        };
        let mut steps = match fault {
            Some(Fault::ResetInBody) => half(End::Reset),
            Some(Fault::CloseInBody) => half(End::Close),
            Some(Fault::Trickle) => self
                .body
                .chunks(length.div_ceil(20).max(1))
                .flat_map(|piece| {
                    [Step::Pause(Duration::from_millis(20)), Step::Data(Bytes::copy_from_slice(piece))]
                })
                .collect(),
            _ if request.method == "HEAD" || length == 0 => VecDeque::new(),
            _ => self.body.chunks(1 << 18).map(|piece| Step::Data(self.body.slice_ref(piece))).collect(),
        };
        if !self.trailers.is_empty() {
            let map = self
                .trailers
                .iter()
                .filter_map(|(name, value)| {
                    Some((HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
                })
                .collect();
            steps.push_back(Step::Trailers(map));
        }
        let mut response = hyper::Response::new(Sent { steps, ender, sleep: None });
        *response.status_mut() = StatusCode::from_u16(self.status).expect("the dialects give legal ones");
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            // What can't stand in a header, a name in the metadata perhaps, isn't told.
            if let (Ok(name), Ok(value)) =
                (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
            {
                headers.append(name, value);
            }
        }
        if !headers.contains_key(CONTENT_LENGTH) && self.trailers.is_empty() && self.status != 204 {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        response
    }
}

enum Step {
    Data(Bytes),
    Pause(Duration),
    Trailers(HeaderMap),
    End(End),
}

/// An answer's body on its way.
pub struct Sent {
    steps: VecDeque<Step>,
    ender: mpsc::UnboundedSender<End>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(sleep) = &mut self.sleep {
                if sleep.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.sleep = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(data)) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Some(Step::Trailers(map)) => return Poll::Ready(Some(Ok(Frame::trailers(map)))),
                Some(Step::Pause(time)) => self.sleep = Some(Box::pin(tokio::time::sleep(time))),
                Some(Step::End(end)) => {
                    // The connection ends; nobody polls this again.
                    let _ = self.ender.send(end);
                    return Poll::Pending;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.sleep.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}
