//! [`predict`]: an object's bytes become the bytes of its prediction.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;

use ampoule_host::{Batch, Error, Form, Limits, Manifest, Model};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::input::{Input, Reader, reader};
use super::spool::{Spool, Spooled};
use super::trouble::{Stage, Trouble};
use ampoule_wire::rows::{self, Format, Layout, Rows, RowsError, WriteError, Writer};
use ampoule_wire::{Refusal, media};

/// How often a call is tried that a predictor's trap or deadline ended.
const TRAPS: u32 = 2;
const DEADLINES: u32 = 3;

/// Calls with rows of one object that run at one time.
const AHEAD: usize = 4;

/// Bytes of all objects that are held at one time, and the most that one with rows counts for.
const HELD_BYTES: u32 = 256 << 20;
const ROWS_BYTES: u64 = 16 << 20;

/// An object's prediction.
pub struct Prediction {
    pub spooled: Spooled,
    pub content_type: String,
    /// Predictions in it.
    pub instances: usize,
}

/// What a job asks of its model.
#[derive(Clone)]
pub struct Caller {
    pub model: Model,
    pub parameters: Option<String>,
    pub layout: Layout,
    /// Calls that run at one time.
    calls: Arc<Semaphore>,
    /// Bytes that may be held.
    held: Arc<Semaphore>,
}

impl Caller {
    /// One that makes at most so many calls at one time.
    pub fn new(model: Model, parameters: Option<String>, layout: Layout, calls: usize) -> Self {
        let held = Arc::new(Semaphore::new(HELD_BYTES as usize));
        Self { model, parameters, layout, calls: Arc::new(Semaphore::new(calls)), held }
    }
}

/// The format that a content type shows.
pub fn format_of(content_type: &str) -> Option<Format> {
    Some(match &*media::essence(content_type) {
        "application/json" => Format::Json,
        "text/csv" => Format::Csv,
        "application/vnd.apache.parquet" => Format::Parquet,
        essence if media::JSON_LINES.contains(&essence) => Format::Jsonl,
        essence if essence.starts_with("image/") => Format::Image,
        _ => return None,
    })
}

/// The ending of the keys of predictions, without the dot.
pub fn ending(layout: &Layout, manifest: &Manifest, format: Format) -> &'static str {
    match (layout, manifest.outputs.as_slice()) {
        (Layout::Own, [output]) if format == Format::Image => match output.form() {
            Form::Media(types) => types.first().map_or("jsonl", |content_type| media::ending(content_type)),
            _ => "jsonl",
        },
        (Layout::Own | Layout::Vertex(..), _) => "jsonl",
        (Layout::Csv, _) => "csv",
        (Layout::Parquet, _) => "parquet",
    }
}

/// Predicts all of `input`.
///
/// # Errors
/// [`Trouble::Refused`] where it has no prediction at all: it is broken, or every row is refused.
pub async fn predict(caller: &Caller, format: Format, mut input: Input) -> Result<Prediction, Trouble> {
    let limits = caller.model.host().limits().clone();
    if format == Format::Image {
        input.limit(limits.max_input_bytes as u64)?;
    }
    let bytes = if format == Format::Image { input.object.bytes } else { input.object.bytes.min(ROWS_BYTES) };
    let bytes = u32::try_from(bytes).unwrap_or(HELD_BYTES).min(HELD_BYTES);
    let _held =
        caller.held.acquire_many(bytes).await.map_err(|closed| Trouble::Failed(closed.to_string()))?;
    let (reader, broken, pump) = reader(input);
    let (caller, runtime) = (caller.clone(), Handle::current());
    let work = tokio::task::spawn_blocking(move || read(&caller, &limits, format, reader, &runtime));
    let (done, ()) = tokio::join!(work, pump);
    let done = done.unwrap_or_else(|cause| Err(Trouble::Failed(format!("a worker thread failed: {cause}"))));
    // What a reader makes of half an object is not the object's fault.
    match (broken.take(), done) {
        (Some(trouble), _) => Err(trouble),
        (None, done) => done,
    }
}

/// Reads rows, has them predicted some batches ahead, and writes the predictions in their order.
fn read(
    caller: &Caller,
    limits: &Limits,
    format: Format,
    input: Reader,
    runtime: &Handle,
) -> Result<Prediction, Trouble> {
    let manifest = caller.model.manifest();
    let mut spool = Spool::default();
    let mut writer = Writer::new(&caller.layout, manifest, format, &mut spool)?;
    let mut running: VecDeque<JoinHandle<Result<(Rows, Batch), Trouble>>> = VecDeque::new();
    let mut first = None;
    let (bounds, keep) = (crate::rows::bounds(limits), caller.layout.keeps());
    let batches = match format {
        Format::Parquet => rows::read_file(manifest, format, bounds, keep, on_disk(input)?)?,
        _ => rows::read(manifest, format, bounds, keep, input)?,
    };
    let mut write = |(rows, predictions): (Rows, Batch), writer: &mut Writer<'_>| {
        if first.is_none() {
            first = rows.rows.iter().find_map(|row| row.refused.clone());
        }
        writer.write(&rows, &predictions)
    };
    for rows in batches {
        let rows = rows?;
        let caller = caller.clone();
        running.push_back(runtime.spawn(async move { caller.call(rows).await }));
        if running.len() >= AHEAD
            && let Some(oldest) = running.pop_front()
        {
            write(wait(runtime, oldest)?, &mut writer)?;
        }
    }
    for oldest in running {
        write(wait(runtime, oldest)?, &mut writer)?;
    }
    let written = writer.finish()?;
    if let (0, Some(refusal)) = (written.predicted, first) {
        return Err(refusal.into());
    }
    let spooled = spool.finish().map_err(WriteError::Io)?;
    Ok(Prediction { spooled, content_type: written.content_type, instances: written.predicted })
}

/// A file without a name that holds all of `input`.
fn on_disk(mut input: Reader) -> Result<File, Trouble> {
    let mut file = tempfile::tempfile().map_err(WriteError::Io)?;
    std::io::copy(&mut input, &mut file).map_err(RowsError::Read)?;
    Ok(file)
}

fn wait(
    runtime: &Handle,
    call: JoinHandle<Result<(Rows, Batch), Trouble>>,
) -> Result<(Rows, Batch), Trouble> {
    let ended = runtime.block_on(call);
    ended.unwrap_or_else(|cause| Err(Trouble::Failed(format!("a worker failed: {cause}"))))
}

impl Caller {
    /// The predictions for some rows. A predictor that traps or is late gets another chance.
    async fn call(&self, rows: Rows) -> Result<(Rows, Batch), Trouble> {
        let mut tried = 0;
        loop {
            tried += 1;
            let mut rows = rows.clone();
            let place = self.calls.acquire().await.map_err(|closed| Trouble::Failed(closed.to_string()))?;
            let outcome = crate::rows::predict(&mut rows, &self.model, self.parameters.as_deref()).await;
            drop(place);
            let error = match outcome {
                Ok(predictions) => return Ok((rows, predictions)),
                Err(error) => error,
            };
            let (code, late) = (error.code(), error.code() == "deadline_exceeded");
            let again = match code {
                "guest_trap" | "guest_oom" | "guest_contract" => tried < TRAPS,
                "deadline_exceeded" => tried < DEADLINES,
                "overloaded" => true,
                _ => false,
            };
            if again {
                continue;
            }
            if late {
                let error = format!("{error} ({tried} times)");
                return Err(Trouble::Refused { code, stage: Stage::Predict, error });
            }
            return Err(error.into());
        }
    }
}

impl From<RowsError> for Trouble {
    fn from(error: RowsError) -> Self {
        match error {
            RowsError::Read(cause) => Self::Failed(format!("can't read the input: {cause}")),
            RowsError::Broken(refusal) => refusal.into(),
        }
    }
}

impl From<WriteError> for Trouble {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Io(cause) => Self::Failed(format!("can't keep the prediction on disk: {cause}")),
            WriteError::Contract(why) => Error::Contract(why).into(),
        }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused { code: refusal.code.name(), stage: Stage::Read, error: refusal.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_shows_a_format() {
        for name in media::JSON_LINES {
            assert_eq!(format_of(name), Some(Format::Jsonl), "{name}");
        }
        assert_eq!(format_of(" Text/CSV ; header=present"), Some(Format::Csv));
        assert_eq!(format_of("image/png"), Some(Format::Image));
        assert_eq!(format_of("application/octet-stream"), None);
    }
}
