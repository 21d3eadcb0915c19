//! The program: what the environment makes of it, and its life from start to end.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Function, Platform, Signature, azure, task};
use crate::job::Share;
use crate::resources::{self, Resources};
use crate::serve::{Access, BodyBounds, Container, Server, stopped};
use crate::settings::{
    AMPOULE_BLOB_BINDING, AMPOULE_HTTP_BINDING, AMPOULE_TIMEOUT_S, Environment, FUNCTION_SIGNATURE_TYPE,
    FUNCTIONS_CUSTOMHANDLER_PORT, PORT,
};
use crate::store::Cloud;
use crate::threads;

/// Runs until the platform ends the process, or a task its share.
pub fn run() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect();
    // SageMaker starts every container with this word.
    if !arguments.is_empty() && arguments != ["serve"] {
        eprintln!(
            "error: expected no argument or \"serve\", got {arguments:?}: the environment says the rest"
        );
        return 2.into();
    }
    match begin(!arguments.is_empty()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What the process is for.
enum Role {
    Server { host: IpAddr, port: u16, access: Option<Access>, platform: Platform },
    Task(Share),
}

impl Role {
    /// As the environment says.
    ///
    /// # Errors
    /// A variable that isn't what it should be, by name.
    fn of(environment: &Environment, container: &Container, sagemaker: bool) -> anyhow::Result<Self> {
        if environment.has(&FUNCTIONS_CUSTOMHANDLER_PORT) {
            let text = |variable| environment.text(variable).map(Option::unwrap_or_default);
            let bindings =
                azure::Bindings { http: text(&AMPOULE_HTTP_BINDING)?, blob: text(&AMPOULE_BLOB_BINDING)? };
            let port = port(environment.number(&FUNCTIONS_CUSTOMHANDLER_PORT)?);
            let platform = Platform::Azure(bindings);
            // The Functions host runs beside us.
            return Ok(Self::Server { host: Ipv4Addr::LOCALHOST.into(), port, access: None, platform });
        }
        let given =
            if environment.has(&PORT) { Some(port(environment.number(&PORT)?)) } else { container.port };
        if given.is_none()
            && let Some(share) = task::share(environment)?
        {
            return Ok(Self::Task(share));
        }
        let signature = environment.choice(
            &FUNCTION_SIGNATURE_TYPE,
            &[("http", Signature::Http), ("event", Signature::Event), ("cloudevent", Signature::Event)],
        )?;
        // A port that is given is a platform's, whose front end decides who comes in.
        let (host, access) = if given.is_some() || sagemaker {
            (Ipv4Addr::UNSPECIFIED, None)
        } else {
            (Ipv4Addr::LOCALHOST, Some(Access::ThisMachine))
        };
        let platform = Platform::Container(signature);
        Ok(Self::Server { host: host.into(), port: given.unwrap_or(8080), access, platform })
    }
}

fn port(number: u32) -> u16 {
    u16::try_from(number).expect("the table bounds a port by 65535")
}

/// How long requests in flight may go on after SIGTERM: Cloud Run kills a process after 10 s.
const DRAIN: Duration = Duration::from_secs(8);

/// What Cloud Run gives a task where nobody chose.
const TASK_TIMEOUT_S: u32 = 600;

/// Where SageMaker unpacks the model's files.
const SAGEMAKER_MODEL: &str = "/opt/ml/model";

fn begin(sagemaker: bool) -> anyhow::Result<()> {
    let start = Instant::now();
    let (environment, settings) = resources::begin()?;
    let container = Container::from_variables(|name| environment.named(name))?;
    let role = Role::of(&environment, &container, sagemaker)?;
    let timeout = match role {
        Role::Task(_) if !environment.has(&AMPOULE_TIMEOUT_S) => TASK_TIMEOUT_S,
        _ => environment.number(&AMPOULE_TIMEOUT_S)?,
    };
    let patience = Duration::from_secs(timeout.into()).saturating_sub(settings.margin);
    let folder = Some(Path::new(SAGEMAKER_MODEL)).filter(|folder| sagemaker && folder.is_dir());
    let model = settings.open_model(folder)?;
    let work = Resources::of(&settings, &model, Cloud::GOOGLE).work;

    let runtime = threads::runtime(threads::processors())?;
    let outcome = runtime.block_on(async {
        let stop = stopped();
        let (host, port, access, platform) = match role {
            Role::Task(share) => return task::run(&work, share, patience, stop).await,
            Role::Server { host, port, access, platform } => (host, port, access, platform),
        };
        let bucket = match &settings.input {
            Some(place) => Some(place.location(&Cloud::GOOGLE).context("INPUT_BUCKET_NAME")?.bucket()),
            None => None,
        };
        let mut service = container.applied(settings.service.clone());
        (service.host, service.port, service.drain_timeout) = (host, port, DRAIN);
        if let (Some(access), Access::Anyone) = (access, &service.access) {
            service.access = access;
        }
        let bounds = BodyBounds::of(&service);
        let function = Function::new(platform, work, bucket, patience, bounds);
        let server = Server::bind_behind(vec![model], service, Some(Box::new(function))).await?;
        let address = server.address()?;
        tracing::info!(%address, ready_ms = start.elapsed().as_secs_f64() * 1e3, "listening");
        server.run(stop).await;
        Ok(())
    });
    // A compute that still runs can't be stopped; nobody waits for its answer.
    runtime.shutdown_background();
    outcome
}
