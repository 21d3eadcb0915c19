//! HTTP requests as function URLs, API Gateway and load balancers wrap them, and their answers.

mod reply;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use axum::http::{self, HeaderMap, HeaderName, HeaderValue, Method, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;

use super::{Keys, Unreadable, parse};
use ampoule_wire::quoted;

pub use reply::Reply;

/// Who wrapped a request; the answer is wrapped for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A function URL or an HTTP API (payload 2.0).
    Url,
    /// A REST API (payload 1.0).
    Rest,
    /// An application load balancer.
    Balancer,
    /// One whose target group has multi-value headers switched on.
    MultiValueBalancer,
}

/// A wrapped request.
#[derive(Debug)]
pub struct Request {
    pub caller: Caller,
    /// The request itself, or why there is none: that is the caller's fault, and gets an HTTP answer.
    pub inner: Result<http::Request<Bytes>, String>,
}

impl Caller {
    pub(super) fn of(keys: &Keys<'_>) -> Option<Self> {
        if keys.holds("requestContext", "http") {
            Some(Self::Url)
        } else if keys.holds("requestContext", "elb") {
            Some(if keys.has("multiValueHeaders") { Self::MultiValueBalancer } else { Self::Balancer })
        } else if keys.has("httpMethod") && keys.has("resource") {
            Some(Self::Rest)
        } else {
            None
        }
    }
}

/// The members of all three forms.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    request_context: Option<Context>,
    http_method: Option<String>,
    path: Option<String>,
    raw_path: Option<String>,
    raw_query_string: Option<String>,
    #[serde(default)]
    query_string_parameters: Option<BTreeMap<String, Option<String>>>,
    #[serde(default)]
    multi_value_query_string_parameters: Option<BTreeMap<String, Option<Vec<String>>>>,
    cookies: Option<Vec<String>>,
    headers: Option<BTreeMap<String, Option<String>>>,
    multi_value_headers: Option<BTreeMap<String, Option<Vec<String>>>>,
    body: Option<String>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
struct Context {
    http: Option<Http>,
    stage: Option<String>,
}

#[derive(Deserialize)]
struct Http {
    method: String,
    path: Option<String>,
}

impl Request {
    pub(super) fn read(payload: &str, caller: Caller) -> Result<Self, Unreadable> {
        let payload: Payload = parse(payload, "HTTP event")?;
        Ok(Self { caller, inner: payload.request(caller) })
    }
}

impl Payload {
    fn request(self, caller: Caller) -> Result<http::Request<Bytes>, String> {
        let (context, stage) = match self.request_context {
            Some(context) => (context.http, context.stage),
            None => (None, None),
        };
        let (method, path) = match caller {
            Caller::Url => {
                let inner = context.ok_or("expected requestContext.http, which is missing")?;
                let path = self.raw_path.or(inner.path).unwrap_or_default();
                (inner.method, without_stage(&path, stage.as_deref()).to_owned())
            }
            _ => {
                let method = self.http_method.ok_or("expected httpMethod, which is missing")?;
                (method, self.path.unwrap_or_default())
            }
        };
        let query = match caller {
            Caller::Url => self.raw_query_string.unwrap_or_default(),
            // A load balancer hands on what it got, a REST API what it means.
            Caller::Balancer | Caller::MultiValueBalancer => {
                query(self.multi_value_query_string_parameters, self.query_string_parameters, escaped)
            }
            Caller::Rest => {
                query(self.multi_value_query_string_parameters, self.query_string_parameters, encoded)
            }
        };
        let mut target = escaped(&path);
        if !target.starts_with('/') {
            target.insert(0, '/');
        }
        if !query.is_empty() {
            let _ = write!(target, "?{}", escaped(&query));
        }
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| format!("expected an HTTP method, got {}", quoted(&method)))?;
        let mut request = http::Request::new(match (self.body, self.is_base64_encoded) {
            (None, _) => Bytes::new(),
            (Some(text), Some(true)) => {
                let decoded = STANDARD.decode(&text);
                decoded
                    .map_err(|cause| format!("expected a body in base64, got other text ({cause})"))?
                    .into()
            }
            (Some(text), _) => text.into(),
        });
        *request.method_mut() = method;
        *request.uri_mut() = target.parse().map_err(|_| format!("expected a path, got {}", quoted(&path)))?;
        *request.headers_mut() = headers(self.multi_value_headers, self.headers, self.cookies)?;
        Ok(request)
    }
}

/// An HTTP API names its stage in the path, where it has one.
fn without_stage<'p>(path: &'p str, stage: Option<&str>) -> &'p str {
    let Some(stage) = stage.filter(|stage| !stage.is_empty() && *stage != "$default") else { return path };
    let rest = path.strip_prefix('/').and_then(|path| path.strip_prefix(stage));
    rest.filter(|rest| rest.is_empty() || rest.starts_with('/')).unwrap_or(path)
}

fn headers(
    multiple: Option<BTreeMap<String, Option<Vec<String>>>>,
    single: Option<BTreeMap<String, Option<String>>>,
    cookies: Option<Vec<String>>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("expected a header's name, got {}", quoted(name)))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| format!("header {name}: expected a header's text, got {}", quoted(value)))?;
        // Bodies come whole; what their connection did is over.
        if header != header::TRANSFER_ENCODING {
            headers.append(header, value);
        }
        Ok::<_, String>(())
    };
    match multiple.filter(|multiple| !multiple.is_empty()) {
        Some(multiple) => {
            for (name, values) in multiple {
                for value in values.unwrap_or_default() {
                    add(&name, &value)?;
                }
            }
        }
        None => {
            for (name, value) in single.unwrap_or_default() {
                add(&name, &value.unwrap_or_default())?;
            }
        }
    }
    if let Some(cookies) = cookies.filter(|cookies| !cookies.is_empty()) {
        add("cookie", &cookies.join("; "))?;
    }
    Ok(headers)
}

fn query(
    multiple: Option<BTreeMap<String, Option<Vec<String>>>>,
    single: Option<BTreeMap<String, Option<String>>>,
    encode: fn(&str) -> String,
) -> String {
    let pairs: Vec<(String, String)> = match multiple.filter(|multiple| !multiple.is_empty()) {
        Some(multiple) => multiple
            .into_iter()
            .flat_map(|(name, values)| {
                values.unwrap_or_default().into_iter().map(move |value| (name.clone(), value))
            })
            .collect(),
        None => {
            let pairs = single.unwrap_or_default().into_iter();
            pairs.map(|(name, value)| (name, value.unwrap_or_default())).collect()
        }
    };
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Escapes what may not stand in a path or a query, and leaves escapes as they are.
fn escaped(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    for (index, &byte) in bytes.iter().enumerate() {
        let is_escape = || {
            let digits = bytes.get(index + 1..index + 3);
            digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        let stays = match byte {
            b'%' => is_escape(),
            b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'#' | b'\\' | b'^' | b'|' => false,
            _ => byte.is_ascii_graphic(),
        };
        if stays {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Escapes a name or a value of a query that was decoded.
fn encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
