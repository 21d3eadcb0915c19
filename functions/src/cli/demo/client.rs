//! A caller of our own, for the demonstration.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::bail;
use axum::http::{Request, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection.
pub struct Client {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    /// Asks and gives the answer's body.
    ///
    /// # Errors
    /// Any answer but 200.
    pub async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: &[u8],
    ) -> anyhow::Result<Bytes> {
        let request = Request::post(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, accept)
            .body(Full::new(Bytes::copy_from_slice(body)))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if !status.is_success() {
            bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(body)
    }
}

/// What a while of asking showed.
pub struct Load {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Connections that ask at one time.
const CALLERS: usize = 4;

/// Asks the same for `time`, each caller one request after another.
pub async fn load(
    address: SocketAddr,
    path: &'static str,
    content_type: &'static str,
    body: &[u8],
    time: Duration,
) -> anyhow::Result<Load> {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let mut client = Client::open(address).await?;
        let body = body.to_vec();
        callers.spawn(async move {
            let mut took = Vec::new();
            while start.elapsed() < time {
                let asked = Instant::now();
                client.post(path, content_type, content_type, &body).await?;
                took.push(asked.elapsed());
            }
            anyhow::Ok(took)
        });
    }
    let mut took = Vec::new();
    while let Some(caller) = callers.join_next().await {
        took.extend(caller??);
    }
    let seconds = start.elapsed().as_secs_f64();
    took.sort_unstable();
    let at = |share: f64| {
        // The share of a count, whole by truncation.
        let index = (took.len() as f64 * share) as usize;
        took.get(index.min(took.len().saturating_sub(1))).copied().unwrap_or_default()
    };
    Ok(Load { per_second: took.len() as f64 / seconds, p50: at(0.5), p99: at(0.99) })
}
