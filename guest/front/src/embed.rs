//! `ampoule:model/asking`: predictions for a program that holds the ampoule, as `POST /predictions` gives them.

use ampoule_wire::{Batch, Decoder, Request, blob, encode};
use serde_json::{Map, Value};

use crate::bindings::ampoule::model::predictor;
use crate::bindings::exports::ampoule::model::asking::{Answer, Guest, Refusal};
use crate::refused::Refused;
use crate::{Component, manifest};

/// Instances of one call.
const MAX_INSTANCES: usize = 100_000;

impl Guest for Component {
    fn ask(body: String) -> Result<Answer, Refusal> {
        let request = Decoder::new(manifest(), MAX_INSTANCES).request(body.as_bytes());
        let Request { instances, parameters } = request.map_err(Refused::from)?;
        Ok(predict(&instances, parameters.as_deref())?)
    }

    fn ask_blobs(blobs: Vec<Vec<u8>>, parameters: Option<String>) -> Result<Answer, Refusal> {
        if let Some(Err(cause)) = parameters.as_deref().map(serde_json::from_str::<Map<String, Value>>) {
            let message = format!("parameters: expected an object: {cause}");
            let path = "parameters".to_owned();
            return Err(Refused { status: 400, code: "invalid_request", path, message }.into());
        }
        let mut items = Vec::with_capacity(blobs.len());
        for (index, bytes) in blobs.into_iter().enumerate() {
            match blob(manifest(), bytes, None) {
                Ok(Batch::Media(mut one)) => items.append(&mut one),
                Ok(_) => {}
                Err(refusal) => {
                    let path = format!("instances[{index}]");
                    return Err(Refused::from(ampoule_wire::Refusal { path, ..refusal }).into());
                }
            }
        }
        Ok(predict(&Batch::Media(items), parameters.as_deref())?)
    }
}

fn predict(instances: &Batch, parameters: Option<&str>) -> Result<Answer, Refused> {
    let count = instances.instances();
    let predictions = match count {
        0 => Batch::Json(Vec::new()),
        _ => predictor::predict(instances, parameters)?,
    };
    predictions.check(count).map_err(|why| Refused::broken(&why))?;
    if let Batch::Media(items) = predictions {
        return Ok(Answer::Media(items));
    }
    let body = encode::answer(&predictions, &manifest().outputs).map_err(|why| Refused::broken(&why))?;
    String::from_utf8(body).map(Answer::Json).map_err(|cause| Refused::broken(&cause.to_string()))
}

impl From<Refused> for Refusal {
    fn from(Refused { status, code, path, message }: Refused) -> Self {
        Self { status, code: code.to_owned(), path, message }
    }
}
