//! `ampoule serve`: models over HTTP.

use std::io::IsTerminal as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ampoule_host::Reuse;
use anyhow::Context as _;

use super::Exit;
use super::engine::EngineOptions;
use super::limits::LimitOptions;
use crate::serve::{Access, Container, Server, Settings, stopped};

/// Serves one or several ampoules over HTTP.
///
/// POST /predictions asks the first of them; /models/NAME/predictions any of them. GET /docs is a
/// page to try them on.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule serve iris.wasm
  curl localhost:8080/predictions -H 'content-type: application/json' \\
       -d '{\"instances\": [[5.1, 3.5, 1.4, 0.2]]}'
  AMPOULE_TOKEN=secret ampoule serve iris.wasm clouds.wasm --host 0.0.0.0 --port 80

In a Vertex AI container, AIP_HTTP_PORT, AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE are followed. SageMaker
finds /ping, /invocations and /execution-parameters, and its SAGEMAKER_ variables are followed.")]
pub struct Serve {
    /// Sealed files, each under its own name
    #[arg(required = true, value_name = "AMPOULE")]
    ampoules: Vec<PathBuf>,
    /// Address to listen on; beyond the loopback a token is needed [default: 127.0.0.1]
    #[arg(long)]
    host: Option<IpAddr>,
    /// Port to listen on; 0 lets the system choose [default: 8080]
    #[arg(long, env = "AIP_HTTP_PORT")]
    port: Option<u16>,
    /// Token that callers must send as "Authorization: Bearer TOKEN"
    #[arg(long, env = "AMPOULE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Listen beyond the loopback without a token: something else keeps strangers out
    #[arg(long, conflicts_with = "token")]
    no_token: bool,
    /// Let a sandbox answer this many calls; 1 keeps nothing of one caller for the next
    #[arg(long, default_value_t = 1, value_name = "CALLS", value_parser = clap::value_parser!(u32).range(1..))]
    reuse: u32,
    /// Threads for requests [default: one for each processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Bytes of a request's body as it comes
    #[arg(long, default_value_t = Settings::default().max_body_bytes, value_name = "BYTES", help_heading = "Limits")]
    max_body_bytes: usize,
    /// Bytes of a request's body once it is decompressed
    #[arg(long, default_value_t = Settings::default().max_decoded_bytes, value_name = "BYTES", help_heading = "Limits")]
    max_decoded_bytes: usize,
    /// Connections at one time
    #[arg(long, default_value_t = Settings::default().max_connections, value_name = "N", help_heading = "Limits")]
    max_connections: usize,
    /// Milliseconds for a request's head
    #[arg(long, default_value_t = 10_000, value_name = "MS", help_heading = "Limits")]
    head_timeout_ms: u64,
    /// Milliseconds of pause within a request's body
    #[arg(long, default_value_t = 10_000, value_name = "MS", help_heading = "Limits")]
    body_timeout_ms: u64,
    /// Milliseconds for requests in flight when the server is stopped
    #[arg(long, default_value_t = 30_000, value_name = "MS", help_heading = "Limits")]
    drain_timeout_ms: u64,
    /// What is logged: error, warn, info or debug
    #[arg(long, env = "AMPOULE_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    limits: LimitOptions,
}

impl Serve {
    pub fn run(self) -> anyhow::Result<Exit> {
        let start = Instant::now();
        crate::log::start(&self.log).context("--log")?;
        let settings = self.settings()?;
        let reuse = if self.reuse > 1 { Reuse::Calls(self.reuse) } else { Reuse::Never };
        let host = self.limits.host(reuse, &self.engine)?;
        let mut models = Vec::with_capacity(self.ampoules.len());
        for path in &self.ampoules {
            let model = host.open(path).with_context(|| format!("can't open {}", path.display()))?;
            let opening = model.opening();
            tracing::info!(
                model = model.name(),
                version = model.manifest().version,
                digest = model.digest(),
                code_ms = ms(opening.code),
                graphs_ms = ms(opening.graphs),
                precompiled = opening.precompiled,
                "model opened"
            );
            models.push(model);
        }
        super::runtime(self.threads)?.block_on(async move {
            let stop = stopped();
            let server = Server::bind(models, settings).await?;
            let address = server.address()?;
            tracing::info!(%address, ready_ms = ms(start.elapsed()), "listening");
            if std::io::stderr().is_terminal() {
                eprintln!("http://{address}/docs is a page to try it on; Ctrl-C stops");
            }
            server.run(stop).await;
            anyhow::Ok(())
        })?;
        Ok(Exit::Done)
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let container = Container::from_variables(variable)?;
        let vertex = container.vertex;
        let host = self.host.unwrap_or(if vertex {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::LOCALHOST.into()
        });
        let access = match &self.token {
            Some(token) if token.trim().is_empty() => anyhow::bail!("the token is empty: give one, or none"),
            Some(token) => Access::token(token.trim()),
            None if self.no_token || vertex => Access::Anyone,
            None if host.is_loopback() => Access::ThisMachine,
            None => anyhow::bail!(
                "{host} can be reached from outside: set AMPOULE_TOKEN to a secret that callers send, \
                 or pass --no-token if something in front keeps strangers out"
            ),
        };
        let port = self.port.or(container.port).unwrap_or(8080);
        Ok(container.applied(Settings {
            host,
            port,
            access,
            max_body_bytes: self.max_body_bytes,
            max_decoded_bytes: self.max_decoded_bytes,
            head_timeout: Duration::from_millis(self.head_timeout_ms),
            body_timeout: Duration::from_millis(self.body_timeout_ms),
            max_connections: self.max_connections,
            drain_timeout: Duration::from_millis(self.drain_timeout_ms),
            ..Settings::default()
        }))
    }
}

fn ms(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e5).round() / 100.0
}
