//! Rows to a model and back: a row that the predictor refuses is taken out, and the others go on.

use ampoule_host::{Batch, Error, Limits, Model};
use ampoule_wire::rows::{Bounds, Rows};

/// Batches that a host with these limits takes.
pub fn bounds(limits: &Limits) -> Bounds {
    Bounds::of(limits.max_instances, limits.max_input_bytes)
}

/// The predictions for the rows that were not refused; the predictor may refuse more of them.
/// Where the object is the one instance, its refusal is the error.
///
/// # Errors
/// What [`Model::predict`] answers where no single row is at fault.
pub async fn predict(rows: &mut Rows, model: &Model, parameters: Option<&str>) -> Result<Batch, Error> {
    loop {
        let instances = rows.batch.instances();
        let batch = match instances {
            0 => return Ok(Batch::Json(Vec::new())),
            1 => std::mem::replace(&mut rows.batch, Batch::Json(Vec::new())),
            _ => rows.batch.clone(),
        };
        match model.predict(batch, parameters.map(str::to_owned)).await {
            Ok(answer) => return Ok(answer.predictions),
            Err(Error::Failure(failure)) if rows.refuse_failed(&failure, instances) => {}
            Err(cause) => return Err(cause),
        }
    }
}
