//! Who may ask: a token, or only programs of this machine.

use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Service;
use super::container::HEALTH;
use super::refusal::Refusal;

/// Who may ask.
#[derive(Clone, Debug)]
pub enum Access {
    /// Whoever reaches the loopback address, but no page of another site in their browser.
    ThisMachine,
    /// Whoever has the token; its sha256 is kept, not the token.
    Token([u8; 32]),
    /// Anyone: something in front of the server decides.
    Anyone,
}

impl Access {
    /// Access with `token`.
    pub fn token(token: &str) -> Self {
        Self::Token(Sha256::digest(token.as_bytes()).into())
    }
}

/// The refusal of a request whose sender may not ask. Health is open to everyone, since a probe has no token,
/// and so is the page, which asks its reader for one and holds nothing else.
pub(crate) fn check(service: &Service, request: &Request<Body>) -> Option<Response> {
    let path = request.uri().path();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let open = reads
        && (HEALTH.contains(&path)
            || matches!(path, "/docs" | "/")
            || service.settings.health_route.as_deref() == Some(path));
    let refusal = match &service.settings.access {
        Access::Anyone => None,
        Access::ThisMachine => foreign(request.headers()),
        Access::Token(_) if open => None,
        Access::Token(expected) => missing_token(request.headers(), expected),
    }?;
    service.metrics.refused(refusal.code);
    Some(refusal.closing().into_response())
}

fn missing_token(headers: &HeaderMap, expected: &[u8; 32]) -> Option<Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let given: [u8; 32] = Sha256::digest(given.map_or("", |(_, token)| token.trim()).as_bytes()).into();
    if bool::from(given.ct_eq(expected)) {
        return None;
    }
    let why = "expected the header \"Authorization: Bearer TOKEN\" with the server's token";
    Some(Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", why))
}

/// A page of another site reaches a loopback server through its reader's browser: by its own name
/// (which then stands in `Host`), or across origins (which then stands in `Origin`).
fn foreign(headers: &HeaderMap) -> Option<Refusal> {
    let local = |authority: &str| {
        let host =
            authority.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = host.map_or(authority, |(host, _)| host);
        matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
    };
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or(""));
    if let Some(host) = text(header::HOST).filter(|host| !local(host)) {
        let why =
            format!("expected a loopback name in Host, got {:?}", host.chars().take(80).collect::<String>());
        return Some(Refusal::new(StatusCode::FORBIDDEN, "forbidden_host", why));
    }
    let origin = text(header::ORIGIN)?;
    let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
    if local(authority) {
        return None;
    }
    let why = format!(
        "expected a page of this server, got one of {:?}",
        origin.chars().take(80).collect::<String>()
    );
    Some(Refusal::new(StatusCode::FORBIDDEN, "forbidden_origin", why))
}
