//! HTTP without a socket: a wrapped request goes to the service, and its answer is wrapped again.

use std::time::Instant;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;

use super::{Failed, Function, MAX_REPLY_BYTES, Reply, json};
use crate::event::http::{Caller, Reply as Wrapped, Request};
use crate::serve::Refusal;
use crate::settings::ResponseMode;

impl Function {
    pub(super) async fn http(&self, request: Request, until: Instant, id: &str) -> Result<Reply, Failed> {
        let caller = request.caller;
        let mut response = match request.inner {
            Ok(request) => {
                let mut request = request.map(Body::from);
                let headers = request.headers_mut();
                if let (None, Ok(id)) = (headers.get("x-request-id"), HeaderValue::from_str(id)) {
                    headers.insert("x-request-id", id);
                }
                match tokio::time::timeout_at(until.into(), self.entrance.answer(request)).await {
                    Ok(response) => response,
                    Err(_) => {
                        let why = "no answer within the time that the function has";
                        Refusal::new(StatusCode::GATEWAY_TIMEOUT, "deadline_exceeded", why).into_response()
                    }
                }
            }
            Err(why) => Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", why).into_response(),
        };
        // Of a connection that isn't there.
        for name in [header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING] {
            response.headers_mut().remove(name);
        }
        if self.response_mode == ResponseMode::Stream && caller == Caller::Url {
            return Ok(Reply::Stream(response));
        }
        Ok(Reply::Json(whole(caller, response).await?))
    }
}

/// A buffered answer; one that is too large for a reply becomes an error that says so.
async fn whole(caller: Caller, response: Response) -> Result<Box<RawValue>, Failed> {
    let text = wrapped(caller, response).await?;
    let bytes = text.get().len();
    if bytes <= MAX_REPLY_BYTES {
        return Ok(text);
    }
    let why = format!(
        "the answer is too large: expected at most {MAX_REPLY_BYTES} bytes, got {bytes} \
         (a function URL can stream it: AMPOULE_RESPONSE_MODE=stream)"
    );
    let refusal = Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "output_too_large", why);
    wrapped(caller, refusal.into_response()).await
}

async fn wrapped(caller: Caller, response: Response) -> Result<Box<RawValue>, Failed> {
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|cause| Failed::unfinished(cause.to_string()))?.to_bytes();
    json(&Wrapped::of(caller, head.status, &head.headers, &body))
}
