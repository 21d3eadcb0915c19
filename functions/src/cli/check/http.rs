//! Asking by `{"instances": […]}`, over HTTP or in another wrapping.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use reqwest::{Client, Url};
use serde_json::{Value, json};

use super::compare::{Answer, cut};
use super::ground::Ground;

/// Instances and bytes of text in one request.
const INSTANCES: usize = 64;
const BYTES: usize = 3 << 20;

/// Asks for `instances` by requests of several; `send` posts a body and gives the answer's status and body. A request that
/// is refused is sent again instance by instance.
///
/// # Errors
/// No answer came, or one that is none.
pub fn ask(
    instances: &[Value],
    mut send: impl FnMut(String) -> anyhow::Result<(u16, Vec<u8>)>,
) -> anyhow::Result<Vec<Answer>> {
    let mut answers = Vec::with_capacity(instances.len());
    for chunk in chunks(instances) {
        if let Some(given) = request(chunk, &mut send)? {
            answers.extend(given);
            continue;
        }
        for instance in chunk {
            answers.extend(request(std::slice::from_ref(instance), &mut send)?.unwrap_or_default());
        }
    }
    Ok(answers)
}

/// One request; `None` where it was refused, and holds several instances.
fn request(
    instances: &[Value],
    send: &mut impl FnMut(String) -> anyhow::Result<(u16, Vec<u8>)>,
) -> anyhow::Result<Option<Vec<Answer>>> {
    let (status, body) = send(json!({ "instances": instances }).to_string())?;
    let text = String::from_utf8_lossy(&body);
    let answer: Option<Value> = serde_json::from_slice(&body).ok();
    if status == 200 {
        let Some(Value::Array(predictions)) =
            answer.and_then(|mut answer| answer.get_mut("predictions").map(Value::take))
        else {
            bail!("expected {{\"predictions\": […]}}, got {}", cut(&text));
        };
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
        _ => bail!("it answered {status}: {why}"),
    }
}

fn chunks(instances: &[Value]) -> Vec<&[Value]> {
    let (mut chunks, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, instance) in instances.iter().enumerate() {
        let size = match instance.get("b64").and_then(Value::as_str) {
            Some(text) => text.len(),
            None => instance.to_string().len(),
        };
        if index > start && (index - start >= INSTANCES || bytes + size > BYTES) {
            chunks.extend(instances.get(start..index));
            (start, bytes) = (index, 0);
        }
        bytes += size;
    }
    chunks.extend(instances.get(start..).filter(|chunk| !chunk.is_empty()));
    chunks
}

/// Asks a server.
///
/// # Errors
/// As [`ask`].
pub fn server(ground: &Ground, url: &Url, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
    // One that was installed already is as good.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = Client::builder();
    if matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]")) {
        builder = builder.no_proxy();
    }
    let client = builder.build().context("can't set up HTTP")?;
    ask(instances, |body| {
        ground.wait(async {
            let request = client.post(url.clone()).header("content-type", "application/json").body(body);
            let response = request.send().await?;
            let status = response.status().as_u16();
            Ok((status, response.bytes().await?.to_vec()))
        })
    })
}

/// Where predictions are asked for on a server of ours.
///
/// # Errors
/// Never, for an address.
pub fn predictions(address: SocketAddr) -> anyhow::Result<Url> {
    Ok(Url::parse(&format!("http://{address}/predictions"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_is_sent_again_one_by_one() {
        let mut sent = Vec::new();
        let instances: Vec<Value> = (0..70).map(Value::from).collect();
        let answers = ask(&instances, |body| {
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
            (200, "[]", "expected {\"predictions\": […]}, got []"),
            (200, "{\"predictions\":[1,2]}", "expected 1 predictions, got 2"),
        ] {
            let error = ask(&[json!(1)], |_| Ok((status, body.as_bytes().to_vec()))).expect_err(body);
            assert_eq!(error.to_string(), expected);
        }
    }
}
