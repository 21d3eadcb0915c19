//! The lines of Vertex AI's batch prediction.
//! Source: <https://cloud.google.com/vertex-ai/docs/predictions/get-batch-predictions>, and the
//! reference of `BatchPredictionJob.OutputConfig`.

use std::io::Write;

use crate::{Batch, Field};

use super::{Lay, WriteError, Written};
use crate::encode::Encoder;
use crate::rows::{InstanceConfig, Rows};

/// The two kinds of files that a job writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `{"instance": …, "prediction": …}`, or `{"key": …, "prediction": …}`.
    Results,
    /// `{"instance": …, "error": {"code": …, "message": …}}`, the error a `google.rpc.Status`.
    Errors,
}

/// The name of the shard `index` of `count`.
pub fn shard_name(part: Part, index: usize, count: usize) -> String {
    let part = match part {
        Part::Results => "results",
        Part::Errors => "errors_stats",
    };
    format!("prediction.{part}-{index:05}-of-{count:05}")
}

/// `INVALID_ARGUMENT` of `google.rpc.Code`.
const INVALID_ARGUMENT: u8 = 3;

/// One part, line by line.
pub(super) struct Lines<'a, W> {
    part: Part,
    config: InstanceConfig,
    outputs: &'a [Field],
    out: W,
    written: Written,
}

impl<'a, W> Lines<'a, W> {
    pub fn new(part: Part, config: InstanceConfig, outputs: &'a [Field], out: W) -> Self {
        Self { part, config, outputs, out, written: Written::new("application/jsonl", "jsonl") }
    }
}

impl<W: Write> Lay for Lines<'_, W> {
    fn write(&mut self, rows: &Rows, predictions: &Batch) -> Result<(), WriteError> {
        let encoder = Encoder::new(predictions, self.outputs);
        let mut lines = Vec::new();
        let mut instance = 0;
        for (row, original) in rows.rows.iter().zip(&rows.originals) {
            match (&row.refused, self.part) {
                (None, Part::Results) => {
                    lines.push(b'{');
                    lines.extend_from_slice(self.config.name(original).as_bytes());
                    lines.extend_from_slice(b",\"prediction\":");
                    encoder.write(instance, &mut lines).map_err(WriteError::Contract)?;
                    lines.extend_from_slice(b"}\n");
                    self.written.predicted += 1;
                }
                (Some(refusal), Part::Errors) => {
                    let message = serde_json::Value::from(refusal.to_string());
                    let name = self.config.name(original);
                    let line = format!(
                        "{{{name},\"error\":{{\"code\":{INVALID_ARGUMENT},\"message\":{message}}}}}\n"
                    );
                    lines.extend_from_slice(line.as_bytes());
                    self.written.refused += 1;
                }
                _ => {}
            }
            instance += usize::from(row.refused.is_none());
        }
        self.out.write_all(&lines)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Written, WriteError> {
        self.out.flush()?;
        Ok(self.written)
    }
}
