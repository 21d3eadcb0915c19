//! Rows to a model and back: a row that the predictor refuses is taken out, and the others go on.

use ampoule_host::{Batch, Error, Failure, Fault, Model};

use super::{Original, Rows};
use crate::wire::{Code, Refusal};

impl Rows {
    /// The predictions for the rows that were not refused; the predictor may refuse more of them.
    /// Where the object is the one instance, its refusal is the error.
    ///
    /// # Errors
    /// What [`Model::predict`] answers where no single row is at fault.
    pub async fn predict(&mut self, model: &Model, parameters: Option<&str>) -> Result<Batch, Error> {
        let whole = matches!(self.originals.as_slice(), [Original::Name(_)]);
        loop {
            let instances = self.batch.instances();
            let batch = match instances {
                0 => return Ok(Batch::Json(Vec::new())),
                1 => std::mem::replace(&mut self.batch, Batch::Json(Vec::new())),
                _ => self.batch.clone(),
            };
            let cause = match model.predict(batch, parameters.map(str::to_owned)).await {
                Ok(answer) => return Ok(answer.predictions),
                Err(cause) => cause,
            };
            let refused = match &cause {
                Error::Failure(failure) if cause.kind().fault == Fault::Caller && !whole => {
                    self.refused_row(failure, instances)
                }
                _ => None,
            };
            let Some((instance, refusal)) = refused else { return Err(cause) };
            self.refuse(instance, refusal);
        }
    }

    /// The instance that a failure names, or the only one, and why it is refused.
    fn refused_row(&self, failure: &Failure, instances: usize) -> Option<(usize, Refusal)> {
        let instance = match failure.instance {
            Some(instance) => instance as usize,
            None if instances == 1 => 0,
            None => return None,
        };
        let row = self.rows.get(self.accepted().nth(instance)?)?;
        let path = format!("instances[{}]", row.place.row);
        let mut why = failure.message.clone();
        if let Some(expected) = &failure.expected {
            why.push_str(&format!(": expected {expected}"));
        }
        if let Some(actual) = &failure.actual {
            why.push_str(if failure.expected.is_some() { ", got " } else { ": got " });
            why.push_str(actual);
        }
        Some((instance, Refusal { code: Code::InvalidInstance, path, why }))
    }
}
