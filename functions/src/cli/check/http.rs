//! Asking over HTTP, or in another wrapping, by requests of several instances.

use std::net::SocketAddr;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Url};
use serde_json::{Value, json};

use super::compare::{Answer, cut};
use super::ground::Ground;

/// Instances and bytes of text in one request.
pub const INSTANCES: usize = 64;
const BYTES: usize = 3 << 20;

/// How instances and predictions stand in a request and its answer.
pub trait Protocol {
    /// Instances in one request, at most.
    fn at_once(&self) -> usize {
        INSTANCES
    }

    /// A request's body.
    ///
    /// # Errors
    /// The protocol has no form for an instance.
    fn body(&self, instances: &[Value]) -> anyhow::Result<String>;

    /// The predictions of an answer to `asked` instances.
    ///
    /// # Errors
    /// It is none, and what was expected.
    fn predictions(&self, answer: Value, asked: usize) -> anyhow::Result<Vec<Value>>;
}

/// `{"instances": […]}` and `{"predictions": […]}`.
pub struct Instances;

impl Protocol for Instances {
    fn body(&self, instances: &[Value]) -> anyhow::Result<String> {
        Ok(json!({ "instances": instances }).to_string())
    }

    fn predictions(&self, mut answer: Value, _: usize) -> anyhow::Result<Vec<Value>> {
        match answer.get_mut("predictions").map(Value::take) {
            Some(Value::Array(predictions)) => Ok(predictions),
            _ => bail!("expected {{\"predictions\": […]}}, got {}", cut(&answer.to_string())),
        }
    }
}

/// Asks for `instances` by requests of several; `send` posts a body and gives the answer's status and body. A request that
/// is refused is sent again instance by instance.
///
/// # Errors
/// No answer came, or one that is none.
pub fn ask(
    instances: &[Value],
    protocol: &impl Protocol,
    mut send: impl FnMut(String) -> anyhow::Result<(u16, Vec<u8>)>,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(instances.len());
    for chunk in chunks(instances, protocol.at_once()) {
        if let Some(given) = request(chunk, protocol, &mut send)? {
            answers.extend(given);
            continue;
        }
        for instance in chunk {
            let alone = request(std::slice::from_ref(instance), protocol, &mut send)?;
            answers.extend(alone.unwrap_or_default());
        }
    }
    Ok(answers)
}

/// One request; `None` where it was refused, and holds several instances.
fn request(
    instances: &[Value],
    protocol: &impl Protocol,
    send: &mut impl FnMut(String) -> anyhow::Result<(u16, Vec<u8>)>,
) -> anyhow::Result<Option<Vec<Answer>>> {
    let (status, body) = send(protocol.body(instances)?)?;
    let text = String::from_utf8_lossy(&body);
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    if status == 200 {
        let Some(answer) = answer else { bail!("expected JSON, got {}", cut(&text)) };
        let predictions = protocol.predictions(answer, instances.len())?;
        if predictions.len() != instances.len() {
            bail!("expected {} predictions, got {}", instances.len(), predictions.len());
        }
        return Ok(Some(predictions.into_iter().map(Answer::Given).collect()));
    }
    let error = answer.and_then(|answer| answer.get("error")?.as_str().map(str::to_owned));
    let why = error.unwrap_or_else(|| cut(&text));
    match status {
        400 | 413 | 422 | 500 if instances.len() > 1 => Ok(None),
        400 | 413 | 422 => Ok(Some(vec![Answer::Refused(why)])),
        500 => Ok(Some(vec![Answer::Failed(why)])),
        401 | 403 => bail!("it answered {status}: {why} (--header NAME:VALUE sends what it asks for)"),
        _ => bail!("it answered {status}: {why}"),
    }
}

fn chunks(instances: &[Value], at_once: usize) -> Vec<&[Value]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, instance) in instances.iter().enumerate() {
        let size = match instance.get("b64").and_then(Value::as_str) {
            Some(text) => text.len(),
            None => instance.to_string().len(),
        };
        if index > start && (index - start >= at_once || bytes + size > BYTES) {
            chunks.extend(instances.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.extend(instances.get(start..).filter(|chunk| !chunk.is_empty()));
    chunks
}

/// A header of `--header`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header(HeaderName, HeaderValue);

impl FromStr for Header {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected NAME:VALUE, such as \"Authorization: Bearer TOKEN\"".to_owned();
        let (name, value) = text.split_once(':').ok_or_else(expected)?;
        let name = name.trim().parse().map_err(|_| expected())?;
        let mut value: HeaderValue = value.trim().parse().map_err(|_| expected())?;
        value.set_sensitive(true);
        Ok(Self(name, value))
    }
}

fn builder() -> ClientBuilder {
    // One that was installed already is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    Client::builder()
}

/// A server that is asked.
pub struct Server<'a> {
    ground: &'a Ground,
    client: Client,
}

impl<'a> Server<'a> {
    /// That of `url`; every request has these headers.
    ///
    /// # Errors
    /// There can be no client.
    pub fn new(ground: &'a Ground, url: &Url, headers: &[Header]) -> anyhow::Result<Self> {
        let headers: HeaderMap =
            headers.iter().map(|Header(name, value)| (name.clone(), value.clone())).collect();
        // What is meant for one server goes to no other.
        let mut builder = builder().default_headers(headers).redirect(reqwest::redirect::Policy::none());
        if matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
            builder = builder.no_proxy();
        }
        Ok(Self { ground, client: builder.build().context("can't set up HTTP")? })
    }

    /// For servers of ours, to which no proxy of the environment leads.
    ///
    /// # Errors
    /// As [`Server::new`].
    pub fn here(ground: &'a Ground) -> anyhow::Result<Self> {
        let client = builder().no_proxy().build().context("can't set up HTTP")?;
        Ok(Self { ground, client })
    }

    /// # Errors
    /// As [`ask`].
    pub fn ask(
        &self,
        url: &Url,
        protocol: &impl Protocol,
        instances: &[Value],
    ) -> anyhow::Result<Vec<Answer>> {
        ask(instances, protocol, |body| {
            self.ground.wait(async {
                let request = self.client.post(url.clone()).header("content-type", "application/json");
                let response = request.body(body).send().await?;
                let status = response.status().as_u16();
                Ok((status, response.bytes().await?.to_vec()))
            })
        })
    }

    /// The JSON at an address; none where there is none.
    ///
    /// # Errors
    /// No answer came.
    pub fn get(&self, url: &Url) -> anyhow::Result<Option<Value>> {
        self.ground.wait(async {
            let response = self.client.get(url.clone()).send().await?;
            if !response.status().is_success() {
                return Ok(None);
            }
            Ok(serde_json::from_slice(&response.bytes().await?).ok())
        })
    }
}

/// Asks a server of ours on this machine.
///
/// # Errors
/// As [`ask`].
pub fn here(ground: &Ground, address: SocketAddr, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    let url = Url::parse(&format!("http://{address}/predictions"))?;
    Server::here(ground)?.ask(&url, &Instances, instances)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_is_sent_again_one_by_one() {
        let mut sent = Vec::new();
        let instances: Vec<Value> = (0..70).map(Value::from).collect();
        let answers = ask(&instances, &Instances, |body| {
            let body: Value = serde_json::from_str(&body)?;
            let asked = body["instances"].as_array().cloned().unwrap_or_default();
            sent.push(asked.len());
            Ok(match asked.contains(&json!(66)) {
                true => (400, b"{\"error\":\"too large\"}".to_vec()),
                false => (200, json!({ "predictions": asked }).to_string().into_bytes()),
            })
        })
        .expect("they are answered");
        assert_eq!(sent, [64, 6, 1, 1, 1, 1, 1, 1]);
        let refused = |index: usize| index == 66;
        for (index, answer) in answers.iter().enumerate() {
            let expected = if refused(index) {
                Answer::Refused("too large".to_owned())
            } else {
                Answer::Given(json!(index))
            };
            assert_eq!(*answer, expected);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (status, body, expected) in [
            (404, "{\"error\":\"no model\"}", "it answered 404: no model"),
            (401, "{}", "it answered 401: {} (--header NAME:VALUE sends what it asks for)"),
            (200, "[]", "expected {\"predictions\": […]}, got []"),
            (200, "<p>", "expected JSON, got <p>"),
            (200, "{\"predictions\":[1,2]}", "expected 1 predictions, got 2"),
        ] {
            let error =
                ask(&[json!(1)], &Instances, |_| Ok((status, body.as_bytes().to_vec()))).expect_err(body);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn headers_are_read_as_curl_takes_them() {
        let header = |name: &'static str, value: &'static str| {
            Header(HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        assert_eq!("Authorization: Bearer a:b".parse(), Ok(header("authorization", "Bearer a:b")));
        assert_eq!("x-key:1".parse(), Ok(header("x-key", "1")));
        for wrong in ["", "Bearer", "a b: c", ":x", "a: \u{7f}\n"] {
            assert!(wrong.parse::<Header>().is_err(), "{wrong:?}");
        }
        assert!(!format!("{:?}", "key: secret".parse::<Header>()).contains("secret"));
    }
}
