//! The program: sets a [`Function`] up once, and answers one event after another until it is ended.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::anyhow;
use axum::body::BodyDataStream;
use axum::http::header;
use lambda_runtime::{Diagnostic, FunctionResponse, LambdaEvent, MetadataPrelude, StreamResponse};
use lambda_runtime_api_client::body::Body;
use serde_json::value::RawValue;

use super::{Function, Reply};
use crate::resources::{self, Resources};
use crate::store::Cloud;
use crate::threads;

/// Runs until the platform ends the process; gives an exit code where it can't begin.
pub fn run() -> std::process::ExitCode {
    // Without these the runtime's library can only panic.
    for name in
        [API, "AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"]
    {
        if std::env::var(name).is_err() {
            eprintln!("error: this program runs inside AWS Lambda, which sets {name}");
            return 2.into();
        }
    }
    let runtime = match threads::runtime(threads_of_function()) {
        Ok(runtime) => runtime,
        Err(cause) => {
            eprintln!("error: can't start: {cause}");
            return 1.into();
        }
    };
    let (function, margin) = match std::panic::catch_unwind(begin) {
        Ok(Ok(function)) => function,
        Ok(Err(error)) => return runtime.block_on(fail(&error)),
        Err(_) => return runtime.block_on(fail(&anyhow!("the set-up panicked"))),
    };
    match runtime.block_on(serve(Arc::new(function), margin)) {
        Ok(()) => 0.into(),
        Err(error) => {
            tracing::error!(%error, "the runtime ended");
            1.into()
        }
    }
}

const API: &str = "AWS_LAMBDA_RUNTIME_API";

/// Megabytes from which on Lambda gives a function a whole processor (AWS Lambda's guide, "Memory").
const WHOLE_PROCESSOR_MB: usize = 1769;

/// Threads for tasks: more than one would only take turns where there is less than a processor.
fn threads_of_function() -> usize {
    let memory = std::env::var("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").ok().and_then(|text| text.parse().ok());
    match memory {
        Some(0..WHOLE_PROCESSOR_MB) => 1,
        _ => threads::processors(),
    }
}

/// Reads the settings, opens the model and starts the log.
fn begin() -> anyhow::Result<(Function, Duration)> {
    let start = Instant::now();
    let (_, settings) = resources::begin()?;
    let folder = std::env::var_os("LAMBDA_TASK_ROOT").filter(|folder| !folder.is_empty());
    let model = settings.open_model(folder.as_deref().map(Path::new))?;
    let function = Function::new(model.clone(), &settings, Resources::of(&settings, &model, Cloud::AWS))?;
    tracing::info!(ready_ms = start.elapsed().as_secs_f64() * 1e3, "ready");
    Ok((function, settings.margin))
}

type Response = FunctionResponse<Box<RawValue>, BodyDataStream>;

async fn serve(function: Arc<Function>, margin: Duration) -> Result<(), lambda_runtime::Error> {
    let handler = move |event: LambdaEvent<Box<RawValue>>| {
        let function = function.clone();
        async move { answer(&function, event, margin).await }
    };
    lambda_runtime::run_concurrent(lambda_runtime::service_fn(handler)).await
}

async fn answer(
    function: &Function,
    event: LambdaEvent<Box<RawValue>>,
    margin: Duration,
) -> Result<Response, Diagnostic> {
    let until = Instant::now() + left(event.context.deadline).saturating_sub(margin);
    match function.answer(event.payload.get(), until, &event.context.request_id).await {
        Ok(Reply::Json(text)) => Ok(FunctionResponse::BufferedResponse(text)),
        Ok(Reply::Stream(response)) => {
            let (mut head, body) = response.into_parts();
            let cookies = head.headers.get_all(header::SET_COOKIE).iter();
            let cookies = cookies.filter_map(|value| Some(value.to_str().ok()?.to_owned())).collect();
            head.headers.remove(header::SET_COOKIE);
            let metadata_prelude =
                MetadataPrelude { status_code: head.status, headers: head.headers, cookies };
            Ok(FunctionResponse::StreamingResponse(StreamResponse {
                metadata_prelude,
                stream: body.into_data_stream(),
            }))
        }
        Err(failed) => {
            tracing::error!(kind = failed.kind, message = failed.message, "the event failed");
            Err(Diagnostic { error_type: failed.kind.to_owned(), error_message: failed.message })
        }
    }
}

/// How long it is to a deadline in milliseconds since 1970. cargo-lambda's emulator gives the
/// milliseconds that are left instead, which no clock has shown for long.
fn left(deadline_ms: u64) -> Duration {
    const LONG_AGO: u64 = 1_000_000_000_000;
    let deadline = Duration::from_millis(deadline_ms);
    if deadline_ms < LONG_AGO {
        return deadline.min(MAX_INVOCATION);
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    deadline.saturating_sub(now).min(MAX_INVOCATION)
}

/// The longest that Lambda lets a function run.
const MAX_INVOCATION: Duration = Duration::from_secs(15 * 60);

/// Tells the platform why the function can't begin.
async fn fail(error: &anyhow::Error) -> std::process::ExitCode {
    let message = format!("{error:#}");
    eprintln!("error: {message}");
    let kind = error.downcast_ref::<ampoule_host::Error>().map_or("Settings", |error| error.code());
    let told = async {
        let body = serde_json::json!({ "errorType": kind, "errorMessage": message, "stackTrace": [] });
        let request = lambda_runtime_api_client::build_request()
            .method("POST")
            .uri("/2018-06-01/runtime/init/error")
            .header("lambda-runtime-function-error-type", format!("Init.{kind}"))
            .body(Body::from(body.to_string()))?;
        lambda_runtime_api_client::PooledClient::builder().build().call(request).await
    };
    if let Err(cause) = told.await {
        eprintln!("error: the platform can't be told: {cause}");
    }
    1.into()
}
