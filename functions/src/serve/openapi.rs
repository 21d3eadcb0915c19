//! [`document`]: the server's routes as an OpenAPI 3.1 document, made from the models' signatures.
//!
//! [`predictions`] describes the routes of a model, [`schema`] the values that go in and come out,
//! [`failures`] the ways in which a request gets no answer.

mod failures;
mod predictions;
mod schema;

use ampoule_host::Manifest;
use serde_json::{Map, Value, json};

/// Describes a server of `models`; the first one is behind `/predictions` and `/invocations`.
///
/// Source of the format: OpenAPI Specification 3.1.0 and JSON Schema 2020-12.
pub fn document(models: &[&Manifest]) -> Value {
    let mut paths = Map::new();
    let mut schemas = Map::new();
    schemas.insert("Error".to_owned(), failures::schema());
    schemas.insert("Model".to_owned(), model_schema());
    for (path, operation) in server_routes(models) {
        paths.insert(path.to_owned(), json!({ "get": operation }));
    }
    if let Some(first) = models.first() {
        for (path, id) in [("/predictions", "predict"), ("/invocations", "invoke")] {
            paths.insert(path.to_owned(), json!({ "post": predictions::operation(first, id) }));
        }
    }
    for model in models {
        let operation = predictions::operation(model, &format!("predict-{}", model.name));
        paths.insert(format!("/models/{}/predictions", model.name), json!({ "post": operation }));
        schemas.extend(predictions::schemas(model));
    }
    json!({
        "openapi": "3.1.0",
        "info": info(models),
        // Both are allowed: whether a token is wanted is the operator's choice.
        "security": [{}, { "token": [] }],
        "tags": tags(models),
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": failures::responses(),
            "headers": {
                "RequestId": {
                    "description": "The caller's x-request-id if it is a plain word, or else one of the server's; the log has it too",
                    "schema": { "type": "string" },
                },
            },
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer", "description": "The server's token, where one is set" },
            },
        },
    })
}

fn info(models: &[&Manifest]) -> Value {
    let named: Vec<String> = models.iter().map(|model| format!("{} {}", model.name, model.version)).collect();
    json!({
        "title": format!("Ampoule: {}", named.join(", ")),
        "summary": "Predictions of sealed models",
        "version": env!("CARGO_PKG_VERSION"),
    })
}

fn tags(models: &[&Manifest]) -> Vec<Value> {
    let of_model = |model: &&Manifest| match predictions::description(model) {
        Some(description) => json!({ "name": model.name, "description": description }),
        None => json!({ "name": model.name }),
    };
    let mut tags: Vec<Value> = models.iter().map(of_model).collect();
    // No model has a capital letter in its name.
    tags.push(json!({ "name": "Server", "description": "What is served, and how it is doing" }));
    tags
}

/// The routes that no model answers, each with its GET operation.
fn server_routes(models: &[&Manifest]) -> [(&'static str, Value); 8] {
    let names: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
    let name = match names.as_slice() {
        [] => json!({ "type": "string" }),
        names => json!({ "type": "string", "enum": names }),
    };
    let model = json!({ "$ref": "#/components/schemas/Model" });
    let list = json!({
        "type": "object",
        "properties": {
            "default": { "type": "string", "description": "The name of the model behind /predictions" },
            "models": { "type": "array", "items": model },
        },
        "required": ["default", "models"],
    });
    let status = json!({
        "type": "object",
        "properties": { "status": { "const": "ok" } },
        "required": ["status"],
    });

    let health = |id| {
        let what = "Whether the server takes requests";
        let mut health = get(id, what, "application/json", status.clone(), &[405, 503]);
        health["security"] = json!([]);
        health
    };
    let parameters = json!({
        "type": "object",
        "properties": {
            "MaxConcurrentTransforms": { "type": "integer" },
            "BatchStrategy": { "enum": ["SINGLE_RECORD", "MULTI_RECORD"] },
            "MaxPayloadInMB": { "type": "integer" },
        },
        "required": ["MaxConcurrentTransforms", "BatchStrategy", "MaxPayloadInMB"],
    });
    let mut one = get("getModel", "One model", "application/json", model, &[401, 403, 404, 405]);
    one["parameters"] = json!([{ "name": "name", "in": "path", "required": true, "schema": name }]);
    let usual = [401, 403, 405];
    let text = || json!({ "type": "string" });
    let metrics_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    [
        ("/health", health("health")),
        ("/ping", health("ping")),
        (
            "/execution-parameters",
            get(
                "getExecutionParameters",
                "How SageMaker's batch transform is to call /invocations",
                "application/json",
                parameters,
                &usual,
            ),
        ),
        ("/models", get("listModels", "The models", "application/json", list, &usual)),
        ("/models/{name}", one),
        (
            "/openapi.json",
            get("getOpenapi", "This document", "application/json", json!({ "type": "object" }), &usual),
        ),
        ("/docs", get("getDocs", "A page to try the models on", "text/html", text(), &usual)),
        (
            "/metrics",
            get("getMetrics", "Counters and durations, for Prometheus", metrics_type, text(), &usual),
        ),
    ]
}

fn get(id: &str, summary: &str, content_type: &str, schema: Value, failures: &[u16]) -> Value {
    let mut responses = failures::references(failures);
    let content = Map::from_iter([(content_type.to_owned(), json!({ "schema": schema }))]);
    responses.insert("200".to_owned(), json!({ "description": summary, "content": content }));
    json!({ "operationId": id, "summary": summary, "tags": ["Server"], "responses": responses })
}

/// What `/models` says of a model.
fn model_schema() -> Value {
    let text = |what: &str| json!({ "type": "string", "description": what });
    let fields = |what: &str| {
        json!({ "type": "array", "description": what, "items": {
            "type": "object",
            "properties": {
                "name": { "type": "string" },
                "dtype": {
                    "enum": ["bool", "u8", "i8", "i16", "i32", "i64", "f16", "f32", "f64", "string"],
                    "description": "The type of an array's elements; without it and without media, any JSON value is meant",
                },
                "shape": {
                    "type": "array",
                    "items": { "type": ["integer", "string"] },
                    "description": "Of one instance; a name stands for a size that differs, no shape for a single value",
                },
                "media": { "type": "array", "items": { "type": "string" } },
                "description": { "type": "string" },
                "unit": { "type": "string" },
                "range": { "type": "array", "items": { "type": "number" }, "minItems": 2, "maxItems": 2 },
                "labels": { "type": "array", "items": { "type": "string" } },
                "missing": { "type": "boolean", "description": "Whether null may stand for a value" },
            },
            "required": ["name"],
        }})
    };
    json!({
        "type": "object",
        "properties": {
            "name": text("As in the routes"),
            "version": text("The model's version"),
            "description": { "type": ["string", "null"] },
            "digest": text("sha256 of the ampoule's file"),
            "predictions": text("The path of its predictions"),
            "inputs": fields("What an instance has"),
            "outputs": fields("What a prediction has"),
            "samples": { "type": "array", "description": "Instances that show what the model takes", "items": {} },
        },
        "required": ["name", "version", "digest", "predictions", "inputs", "outputs", "samples"],
    })
}

#[cfg(test)]
mod tests;
