//! [`Reply`]: an HTTP answer in the wrapping that its caller takes.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, StatusCode, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Caller;

/// An HTTP answer, wrapped.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<String, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<String>>,
    body: std::borrow::Cow<'a, str>,
    is_base64_encoded: bool,
}

impl<'a> Reply<'a> {
    /// Wraps an answer. A body that is no text becomes base64.
    pub fn of(caller: Caller, status: StatusCode, headers: &HeaderMap, body: &'a [u8]) -> Self {
        let mut all = BTreeMap::<String, Vec<String>>::new();
        for (name, value) in headers {
            if let Ok(value) = value.to_str() {
                all.entry(name.as_str().to_owned()).or_default().push(value.to_owned());
            }
        }
        // Some readers of payload 2.0 want the list also where it is empty.
        let cookies =
            (caller == Caller::Url).then(|| all.remove(header::SET_COOKIE.as_str()).unwrap_or_default());
        let joined = |all: BTreeMap<String, Vec<String>>| {
            all.into_iter().map(|(name, values)| (name, values.join(", "))).collect()
        };
        let (headers, multi_value_headers) = match caller {
            Caller::Url | Caller::Balancer => (Some(joined(all)), None),
            Caller::Rest | Caller::MultiValueBalancer => (None, Some(all)),
        };
        let status_description = match caller {
            Caller::Balancer | Caller::MultiValueBalancer => {
                Some(format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or("Unknown")))
            }
            Caller::Url | Caller::Rest => None,
        };
        let (body, is_base64_encoded) = match std::str::from_utf8(body) {
            Ok(text) => (text.into(), false),
            Err(_) => (STANDARD.encode(body).into(), true),
        };
        Self {
            status_code: status.as_u16(),
            status_description,
            headers,
            multi_value_headers,
            cookies,
            body,
            is_base64_encoded,
        }
    }
}
