//! `ampoule serve`: models over HTTP.
//!
//! A [`Server`] listens, `connection` keeps slow callers from holding it, `entrance` lets
//! requests in, `routes` says what is where, and `predictions` is the way of one request.

mod accept;
mod body;
mod connection;
mod container;
mod entrance;
mod form;
mod guard;
mod metrics;
mod openapi;
mod predictions;
mod refusal;
mod routes;
mod sagemaker;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ampoule_host::Model;
use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use body::Bounds as BodyBounds;
pub(crate) use body::{LARGE, read as read_body};
pub use container::Container;
pub(crate) use entrance::{Entrance, Front, Routes};
pub use guard::Access;
pub use openapi::document as openapi;
pub(crate) use refusal::Refusal;
pub use sagemaker::Transform;

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    pub host: IpAddr,
    pub port: u16,
    pub access: Access,
    /// A further path for health and one for predictions of the first model, as Vertex AI names them.
    pub health_route: Option<String>,
    pub predict_route: Option<String>,
    /// How SageMaker calls `/invocations`.
    pub transform: Transform,
    /// Bytes of a request's body as it comes.
    pub max_body_bytes: usize,
    /// Bytes of a request's body once it is decompressed.
    pub max_decoded_bytes: usize,
    /// How long a caller may take to send a request's head.
    pub head_timeout: Duration,
    /// How long a caller may pause within a body.
    pub body_timeout: Duration,
    pub max_connections: usize,
    /// How long requests in flight may take to finish when the server is asked to stop.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    /// For programs of this machine, on a port of the system's choice.
    fn default() -> Self {
        Self {
            host: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            access: Access::ThisMachine,
            health_route: None,
            predict_route: None,
            transform: Transform::default(),
            max_body_bytes: 32 << 20,
            max_decoded_bytes: 64 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            max_connections: 4096,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// Everything that requests share.
pub(crate) struct Service {
    pub models: BTreeMap<String, Served>,
    /// The name of the model behind `/predictions`.
    pub first: String,
    pub settings: Settings,
    pub metrics: metrics::Metrics,
    /// False once the server was asked to stop.
    pub ready: AtomicBool,
    /// Made when it is first asked for, which most functions never are.
    pub openapi: LazyLock<String, Box<dyn FnOnce() -> String + Send>>,
}

/// A model and its meters.
pub(crate) struct Served {
    pub model: Model,
    pub meters: metrics::Meters,
}

impl Service {
    fn new(models: Vec<Model>, settings: Settings) -> anyhow::Result<Self> {
        let first = models.first().context("expected at least one ampoule, got none")?.name().to_owned();
        let metrics = metrics::Metrics::new();
        let described = models.clone();
        let openapi: Box<dyn FnOnce() -> String + Send> = Box::new(move || {
            openapi::document(&described.iter().map(Model::manifest).collect::<Vec<_>>()).to_string()
        });
        let mut named = BTreeMap::new();
        for model in models {
            let name = model.name().to_owned();
            let meters = metrics.meters(&model);
            if named.insert(name.clone(), Served { model, meters }).is_some() {
                anyhow::bail!("two ampoules are named \"{name}\": seal one of them under another name");
            }
        }
        let (ready, openapi) = (AtomicBool::new(true), LazyLock::new(openapi));
        Ok(Self { models: named, first, settings, metrics, ready, openapi })
    }
}

/// What a server answers, for callers that come without a socket.
///
/// # Errors
/// Two models have one name.
pub(crate) fn entrance(models: Vec<Model>, settings: Settings) -> anyhow::Result<Entrance> {
    Ok(Entrance::new(Arc::new(Service::new(models, settings)?), None))
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    service: Arc<Service>,
    entrance: Entrance,
}

impl Server {
    /// Starts to listen.
    ///
    /// # Errors
    /// The address is taken or not ours, or two models have one name.
    pub async fn bind(models: Vec<Model>, settings: Settings) -> anyhow::Result<Self> {
        Self::bind_behind(models, settings, None).await
    }

    /// The same with something before the server's own routes; who may ask is decided before both.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub(crate) async fn bind_behind(
        models: Vec<Model>,
        settings: Settings,
        front: Option<Box<dyn Front>>,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::new(settings.host, settings.port);
        let service = Arc::new(Service::new(models, settings)?);
        let entrance = Entrance::new(service.clone(), front);
        let listener = TcpListener::bind(address).await.map_err(|cause| match cause.kind() {
            std::io::ErrorKind::AddrInUse => {
                anyhow::anyhow!(
                    "port {} on {} is taken: stop what listens there, or choose another with --port",
                    address.port(),
                    address.ip()
                )
            }
            _ => anyhow::Error::new(cause).context(format!("can't listen on {address}")),
        })?;
        Ok(Self { listener, service, entrance })
    }

    /// Where it listens; with port 0 the system chose one.
    ///
    /// # Errors
    /// The system doesn't say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests until `stop` completes; then lets those in flight finish.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let (drain, draining) = watch::channel(false);
        let tracker = connection::accept(self.listener, self.entrance, self.service.clone(), draining);
        tokio::pin!(tracker, stop);
        tokio::select! {
            () = &mut tracker => return,
            () = &mut stop => {}
        }
        self.service.ready.store(false, Ordering::SeqCst);
        tracing::info!("stopping: requests in flight may finish");
        drain.send_replace(true);
        if tokio::time::timeout(self.service.settings.drain_timeout, tracker).await.is_err() {
            tracing::warn!("some requests did not finish in time");
        }
    }
}

/// Completes when the process is asked to stop (SIGTERM or Ctrl-C).
pub async fn stopped() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminated => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
