//! `wasi:http/incoming-handler`: `GET /health`, `GET /manifest` and `POST /predictions`, with bodies as `ampoule serve` takes
//! and gives them.

use std::io::{Read, Write};

use ampoule_wire::{Batch, Decoder, Manifest, Request, blob, encode};
use wasip2::http::types::{
    Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

use crate::bindings::ampoule::model::predictor;
use crate::refused::Refused;
use crate::{Component, manifest};

/// Bytes of a request's body.
const MAX_BODY_BYTES: u64 = 64 << 20;

/// Instances of one call.
const MAX_INSTANCES: usize = 100_000;

wasip2::http::proxy::export!(Component);

impl wasip2::exports::http::incoming_handler::Guest for Component {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        answer(manifest(), &request).send(out);
    }
}

struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
    /// The methods that there are, where another was asked for.
    allow: Option<&'static str>,
}

impl Answer {
    fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, content_type: "application/json".to_owned(), body, allow: None }
    }

    /// No prediction, and why.
    fn refusal(status: u16, code: &str, error: &str, path: &str) -> Self {
        let mut body = serde_json::json!({ "error": error, "code": code });
        if !path.is_empty() {
            body["path"] = path.into();
        }
        Self::json(status, body.to_string().into_bytes())
    }

    fn refused(refused: impl Into<Refused>) -> Self {
        let Refused { status, code, path, message } = refused.into();
        Self::refusal(status, code, &message, &path)
    }

    fn send(self, out: ResponseOutparam) {
        let headers = Fields::new();
        let mut put = |name: &str, value: &str| {
            let _ = headers.append(name, value.as_bytes());
        };
        put("content-type", &self.content_type);
        put("content-length", &self.body.len().to_string());
        put("x-content-type-options", "nosniff");
        put("cache-control", "no-store");
        if let Some(methods) = self.allow {
            put("allow", methods);
        }
        let response = OutgoingResponse::new(headers);
        let _ = response.set_status_code(self.status);
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(out, Ok(response));
        // A caller that left gets no answer.
        if let Ok(mut stream) = body.write()
            && stream.write_all(&self.body).is_ok()
        {
            let _ = stream.flush();
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn answer(manifest: &Manifest, request: &IncomingRequest) -> Answer {
    let target = request.path_with_query().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let own = format!("/models/{}/predictions", manifest.name);
    let get = matches!(request.method(), Method::Get | Method::Head);
    match path {
        "/health" if get => {
            let body = serde_json::json!({ "status": "ok", "models": [manifest.name] });
            Answer::json(200, body.to_string().into_bytes())
        }
        "/manifest" if get => Answer::json(200, manifest.to_json().into_bytes()),
        "/health" | "/manifest" => Answer {
            allow: Some("GET, HEAD"),
            ..Answer::refusal(405, "method_not_allowed", &format!("{path}: expected GET"), "")
        },
        path if path == "/predictions" || path == own => match request.method() {
            Method::Post => predict(manifest, request),
            _ => Answer {
                allow: Some("POST"),
                ..Answer::refusal(405, "method_not_allowed", &format!("{path}: expected POST"), "")
            },
        },
        _ => {
            let expected = "expected /health, /manifest or /predictions";
            Answer::refusal(404, "not_found", &format!("{path:.64}: no such path: {expected}"), "")
        }
    }
}

fn predict(manifest: &Manifest, request: &IncomingRequest) -> Answer {
    let header = |name: &str| {
        let values = request.headers().get(name);
        values.first().map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let content_type = header("content-type");
    let body = match body(request) {
        Ok(body) => body,
        Err(answer) => return answer,
    };
    let essence = content_type.as_deref().map(ampoule_wire::media::essence);
    let is_json = match essence.as_deref() {
        None => manifest.takes_media().is_none() || body.first() == Some(&b'{'),
        Some(essence) => essence == "application/json" || essence.ends_with("+json"),
    };
    let decoded = if is_json {
        Decoder::new(manifest, MAX_INSTANCES).request(&body)
    } else if manifest.takes_media().is_some() {
        blob(manifest, body, content_type.as_deref()).map(|instances| Request { instances, parameters: None })
    } else {
        let got = content_type.unwrap_or_default();
        let why = format!("content-type: expected application/json, got {}", ampoule_wire::quoted(&got));
        return Answer::refusal(415, "unsupported_media_type", &why, "");
    };
    let Request { instances, parameters } = match decoded {
        Ok(request) => request,
        Err(refusal) => return Answer::refused(refusal),
    };
    let count = instances.instances();
    if count == 0 {
        return Answer::json(200, b"{\"predictions\":[]}".to_vec());
    }
    let predictions = match predictor::predict(&instances, parameters.as_deref()) {
        Ok(predictions) => predictions,
        Err(failure) => return Answer::refused(failure),
    };
    if let Err(why) = predictions.check(count) {
        return Answer::refused(Refused::broken(&why));
    }
    // A picture for a picture.
    match predictions {
        Batch::Media(mut items) if !is_json && items.len() == 1 => match items.pop() {
            Some(item) => {
                Answer { status: 200, content_type: item.content_type, body: item.bytes, allow: None }
            }
            None => Answer::refused(Refused::broken("no prediction")),
        },
        predictions => match encode::answer(&predictions, &manifest.outputs) {
            Ok(body) => Answer::json(200, body),
            Err(why) => Answer::refused(Refused::broken(&why)),
        },
    }
}

/// The whole body.
fn body(request: &IncomingRequest) -> Result<Vec<u8>, Answer> {
    let broken = || Answer::refusal(400, "invalid_request", "the body can't be read", "");
    let incoming = request.consume().map_err(|()| broken())?;
    let stream = incoming.stream().map_err(|()| broken())?;
    let mut body = Vec::new();
    stream.take(MAX_BODY_BYTES + 1).read_to_end(&mut body).map_err(|_| broken())?;
    if body.len() as u64 > MAX_BODY_BYTES {
        let why = format!("body: expected at most {MAX_BODY_BYTES} bytes, got more");
        return Err(Answer::refusal(413, "too_large", &why, ""));
    }
    Ok(body)
}
