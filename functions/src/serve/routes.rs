//! What is where.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use super::container::{HEALTH, PREDICT};
use super::predictions::Dialect;
use super::refusal::Refusal;
use super::{Service, predictions};

type Shared = State<Arc<Service>>;

/// The page for people.
const DOCS: &str = include_str!("docs.html");

pub(crate) fn router(service: Arc<Service>) -> Router {
    // Where `Routes` answers what is posted, before it comes here.
    let predict = || answers(MethodRouter::new(), "POST");
    let mut router = Router::new()
        .route("/health", answers(get(health), "GET, HEAD"))
        .route("/ping", answers(get(health), "GET, HEAD"))
        .route("/predictions", predict())
        .route("/invocations", predict())
        .route("/execution-parameters", answers(get(execution_parameters), "GET, HEAD"))
        .route("/models", answers(get(models), "GET, HEAD"))
        .route("/models/{name}", answers(get(model), "GET, HEAD"))
        .route("/models/{name}/predictions", answers(post(predict_named), "POST"))
        .route("/openapi.json", answers(get(openapi), "GET, HEAD"))
        .route("/docs", answers(get(docs), "GET, HEAD"))
        .route("/", answers(get(home), "GET, HEAD"))
        .route("/metrics", answers(get(metrics), "GET, HEAD"));
    for (path, route) in [
        (&service.settings.health_route, answers(get(health), "GET, HEAD")),
        (&service.settings.predict_route, predict()),
    ] {
        if let Some(path) = path.as_deref().filter(|path| !HEALTH.contains(path) && !PREDICT.contains(path)) {
            // A path that is given is a path, not a pattern.
            router = router.route(&path.replace('{', "{{").replace('}', "}}"), route);
        }
    }
    router.fallback(unknown).with_state(service)
}

/// A route that names its methods to a caller who uses another.
fn answers(route: MethodRouter<Arc<Service>>, allow: &'static str) -> MethodRouter<Arc<Service>> {
    route.fallback(move |State(service): Shared, method: Method| async move {
        service.metrics.refused("method_not_allowed");
        let why = format!("expected {allow}, got {method}");
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", why).closing();
        ([(header::ALLOW, HeaderValue::from_static(allow))], refusal).into_response()
    })
}

async fn unknown(State(service): Shared, uri: Uri) -> Response {
    service.metrics.refused("unknown_route");
    let shown: String = uri.path().chars().take(80).collect();
    let why = format!("nothing is at {shown:?} (GET /docs shows what there is)");
    Refusal::new(StatusCode::NOT_FOUND, "unknown_route", why).closing().into_response()
}

fn json(body: impl IntoResponse) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response()
}

async fn health(State(service): Shared) -> Response {
    if service.ready.load(Ordering::SeqCst) {
        return json(r#"{"status":"ok"}"#);
    }
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the server is stopping").into_response()
}

async fn execution_parameters(State(service): Shared) -> Response {
    let settings = &service.settings;
    match service.models.get(&service.first) {
        Some(served) => {
            json(settings.transform.parameters(&served.model, settings.max_body_bytes).to_string())
        }
        None => Refusal::new(StatusCode::NOT_FOUND, "unknown_model", "no model is served").into_response(),
    }
}

async fn predict_named(State(service): Shared, Path(name): Path<String>, request: Request<Body>) -> Response {
    predictions::answer(&service, &name, Dialect::Own, request).await
}

/// What is said of a model: what `/models` lists, and `/models/{name}` in full.
fn summary(service: &Service, name: &str) -> Option<serde_json::Value> {
    let model = &service.models.get(name)?.model;
    let manifest = model.manifest();
    Some(serde_json::json!({
        "name": manifest.name,
        "version": manifest.version,
        "description": manifest.description,
        "licence": manifest.licence,
        "source": manifest.source,
        "digest": format!("sha256:{}", model.digest()),
        "predictions": format!("/models/{name}/predictions"),
        "inputs": manifest.inputs,
        "outputs": manifest.outputs,
        "samples": manifest.samples,
    }))
}

async fn models(State(service): Shared) -> Response {
    let list: Vec<_> = service.models.keys().filter_map(|name| summary(&service, name)).collect();
    json(serde_json::json!({ "default": service.first, "models": list }).to_string())
}

async fn model(State(service): Shared, Path(name): Path<String>) -> Response {
    match summary(&service, &name) {
        Some(summary) => json(summary.to_string()),
        None => {
            let shown: String = name.chars().take(64).collect();
            let why = format!("no model {shown:?} is served here (GET /models lists them)");
            Refusal::new(StatusCode::NOT_FOUND, "unknown_model", why).into_response()
        }
    }
}

async fn openapi(State(service): Shared) -> Response {
    json((*service.openapi).clone())
}

async fn docs() -> Response {
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
                  img-src data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    (headers, DOCS).into_response()
}

async fn home() -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, HeaderValue::from_static("docs"))]).into_response()
}

async fn metrics(State(service): Shared) -> Response {
    let content_type = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(header::CONTENT_TYPE, content_type)], service.metrics.text()).into_response()
}
