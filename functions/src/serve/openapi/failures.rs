//! The ways in which a request gets no answer, by status.

use serde_json::{Map, Value, json};

/// A status that refusals have, and the words that programs tell them apart by.
struct Failure {
    status: u16,
    name: &'static str,
    description: &'static str,
    codes: &'static [&'static str],
}

const FAILURES: [Failure; 13] = [
    Failure {
        status: 400,
        name: "BadRequest",
        description: "The body is not what the signature asks for",
        codes: &[
            "invalid_json",
            "invalid_request",
            "invalid_instance",
            "invalid_encoding",
            "incomplete_body",
        ],
    },
    Failure {
        status: 401,
        name: "Unauthorized",
        description: "The token is missing or wrong",
        codes: &["unauthorized"],
    },
    Failure {
        status: 403,
        name: "Forbidden",
        description: "The server is for programs of its own machine, and a page of another site asked",
        codes: &["forbidden_host", "forbidden_origin"],
    },
    Failure {
        status: 404,
        name: "NotFound",
        description: "Nothing of this name is served",
        codes: &["unknown_model", "unknown_route"],
    },
    Failure {
        status: 405,
        name: "MethodNotAllowed",
        description: "The route is there, but not for this method",
        codes: &["method_not_allowed"],
    },
    Failure {
        status: 406,
        name: "NotAcceptable",
        description: "Predictions have none of the forms that Accept names",
        codes: &["not_acceptable"],
    },
    Failure {
        status: 408,
        name: "RequestTimeout",
        description: "The body came too slowly",
        codes: &["slow_body"],
    },
    Failure {
        status: 413,
        name: "ContentTooLarge",
        description: "The body has more bytes or instances than the server's limits",
        codes: &["too_large"],
    },
    Failure {
        status: 415,
        name: "UnsupportedMediaType",
        description: "The body is of a type or an encoding that the server does not read",
        codes: &["unsupported_media_type", "unsupported_encoding"],
    },
    Failure {
        status: 422,
        name: "UnprocessableContent",
        description: "An instance matches the signature, but the model can't make anything of it",
        codes: &["invalid_instance"],
    },
    Failure {
        status: 500,
        name: "InternalServerError",
        description: "The model failed; the log has the cause under the request's id",
        codes: &[
            "model_failure",
            "guest_trap",
            "guest_contract",
            "guest_oom",
            "output_too_large",
            "tensors_too_large",
            "invalid_graph",
            "sandbox",
            "internal",
        ],
    },
    Failure {
        status: 503,
        name: "ServiceUnavailable",
        description: "The server is busy or stopping: try again later",
        codes: &["overloaded", "stopping"],
    },
    Failure {
        status: 504,
        name: "GatewayTimeout",
        description: "The prediction took longer than its deadline",
        codes: &["deadline_exceeded"],
    },
];

/// The body of every failure.
pub fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "error": { "type": "string", "description": "A sentence for people: what was expected, and what came" },
            "code": { "type": "string", "description": "A stable word for programs" },
            "path": {
                "type": "string",
                "description": "Where in the request the offending value stands",
                "examples": ["instances[3].size[1]"],
            },
        },
        "required": ["error", "code"],
    })
}

/// All failures as named responses.
pub fn responses() -> Map<String, Value> {
    FAILURES.iter().map(|failure| (failure.name.to_owned(), response(failure))).collect()
}

fn response(failure: &Failure) -> Value {
    let mut response = json!({
        "description": failure.description,
        "content": { "application/json": { "schema": {
            "allOf": [
                { "$ref": "#/components/schemas/Error" },
                { "properties": { "code": { "enum": failure.codes } } },
            ],
        }}},
    });
    let header = match failure.status {
        401 => Some(("WWW-Authenticate", "How to authenticate", "string")),
        405 => Some(("Allow", "The methods that the route has", "string")),
        503 => Some(("Retry-After", "Seconds to wait", "integer")),
        _ => None,
    };
    if let Some((name, description, of)) = header {
        response["headers"] = json!({ name: { "description": description, "schema": { "type": of } } });
    }
    response
}

/// The failures with one of `statuses`, as an operation refers to them.
pub fn references(statuses: &[u16]) -> Map<String, Value> {
    let referred = FAILURES.iter().filter(|failure| statuses.contains(&failure.status));
    referred
        .map(|failure| {
            let reference = format!("#/components/responses/{}", failure.name);
            (failure.status.to_string(), json!({ "$ref": reference }))
        })
        .collect()
}
