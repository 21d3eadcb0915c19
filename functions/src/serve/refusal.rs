//! [`Refusal`]: the one form in which the server says no.

use ampoule_host::{Error, Fault, Limit};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use ampoule_wire as wire;

/// A request that got no prediction.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    /// A stable word for programs.
    pub code: &'static str,
    /// A sentence for the caller; it carries nothing of our insides.
    pub message: String,
    /// Where in the request the offending value stands.
    pub path: Option<String>,
    /// Whether the rest of the request was left unread, so that the connection can't go on.
    pub close: bool,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), path: None, close: false }
    }

    pub fn closing(mut self) -> Self {
        self.close = true;
        self
    }

    /// What a failed call becomes. What the caller can't mend is told in general words; the log has the rest.
    pub fn of(error: &Error) -> Self {
        let status = match error {
            Error::Limit { limit: Limit::InputBytes | Limit::Instances, .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Limit { limit: Limit::DeadlineMs, .. } => StatusCode::GATEWAY_TIMEOUT,
            Error::Overloaded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            error if error.kind().fault == Fault::Caller => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let message = match error {
            _ if status != StatusCode::INTERNAL_SERVER_ERROR => error.to_string(),
            Error::Limit { .. } => "the model ran into one of its limits".to_owned(),
            _ => "the model failed on this request".to_owned(),
        };
        let path = match error {
            Error::Failure(failure) => failure.instance.map(|instance| format!("instances[{instance}]")),
            _ => None,
        };
        Self { path, ..Self::new(status, error.code(), message) }
    }
}

impl From<wire::Refusal> for Refusal {
    fn from(refusal: wire::Refusal) -> Self {
        let status = match refusal.code {
            wire::Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let path = (!refusal.path.is_empty()).then(|| refusal.path.clone());
        Self { path, ..Self::new(status, refusal.code.name(), refusal.to_string()) }
    }
}

/// The body of a [`Refusal`].
#[derive(serde::Serialize)]
struct Body<'a> {
    error: &'a str,
    code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Body { error: &self.message, code: self.code, path: self.path.as_deref() };
        let body = serde_json::to_vec(&body).expect("strings are JSON");
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"ampoule\""));
        }
        if self.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}
