//! Rows of one format after another into batches.

use crate::{Dim, Form, Manifest};

use super::{Batches, Bounds, Keep, Original, Place, Row, Rows, RowsError};
use crate::{Filler, Refusal};

/// A format, read one row at a time.
pub(super) trait RowSource: Send {
    type Row: Send;

    /// The next row, or why it can't be one; none at the file's end.
    fn next(&mut self) -> Result<Option<Taken<Self::Row>>, RowsError>;

    /// Adds a row to a batch.
    fn fill(&self, place: Place, row: &Self::Row, filler: &mut Filler<'_>) -> Result<(), Refusal>;

    /// Bytes that a row takes.
    fn bytes(row: &Self::Row) -> usize;

    /// A row as it came; nothing where it can't be held.
    fn original(&self, row: Option<Self::Row>) -> Original;
}

/// A row that was read.
pub(super) struct Taken<R> {
    pub place: Place,
    pub row: Result<R, Refusal>,
}

pub(super) fn batches<'m, S: RowSource + 'm>(
    manifest: &'m Manifest,
    bounds: Bounds,
    keep: &Keep,
    mut source: S,
) -> Batches<'m> {
    let originals = matches!(keep, Keep::Originals(_));
    let mut pending = None;
    let mut done = false;
    Box::new(std::iter::from_fn(move || {
        if done {
            return None;
        }
        let rows = some(manifest, bounds, originals, &mut source, &mut pending);
        done = !matches!(&rows, Ok(rows) if !rows.rows.is_empty());
        match rows {
            Ok(rows) => (!done).then_some(Ok(rows)),
            Err(cause) => Some(Err(cause)),
        }
    }))
}

/// The next rows of a file. One that fits the signature but not the shapes of those before it is
/// left in `pending`: it begins the next batch.
fn some<S: RowSource>(
    manifest: &Manifest,
    bounds: Bounds,
    keep: bool,
    source: &mut S,
    pending: &mut Option<Taken<S::Row>>,
) -> Result<Rows, RowsError> {
    let mut filler = Filler::new(manifest);
    let (mut rows, mut originals, mut kept_bytes) = (Vec::new(), Vec::new(), 0);
    while rows.len() < bounds.rows && filler.bytes() + kept_bytes < bounds.bytes {
        let next = match pending.take() {
            Some(taken) => Some(taken),
            None => source.next()?,
        };
        let Some(Taken { place, row }) = next else { break };
        let (row, refused) = match row {
            Err(refusal) => (None, Some(refusal)),
            Ok(row) => match source.fill(place, &row, &mut filler) {
                Ok(()) => (Some(row), None),
                Err(_) if begins_anew(manifest, &filler, |filler| source.fill(place, &row, filler)) => {
                    *pending = Some(Taken { place, row: Ok(row) });
                    break;
                }
                Err(refusal) => (Some(row), Some(refusal)),
            },
        };
        kept_bytes += size_of::<Row>() + refused.as_ref().map_or(0, |refusal| refusal.why.len());
        rows.push(Row { place, refused });
        if keep {
            kept_bytes += row.as_ref().map_or(0, S::bytes);
            originals.push(source.original(row));
        }
    }
    Ok(Rows { batch: filler.finish(), rows, originals })
}

/// Whether a row that doesn't fit those before it is right by itself: where the signature leaves
/// an axis open, the first row of a batch settles it.
fn begins_anew(
    manifest: &Manifest,
    filler: &Filler<'_>,
    fill: impl FnOnce(&mut Filler<'_>) -> Result<(), Refusal>,
) -> bool {
    let open = |form: Form<'_>| match form {
        Form::Tensor(_, shape) => shape.iter().any(|axis| matches!(axis, Dim::Symbol(_))),
        _ => false,
    };
    filler.rows() > 0
        && manifest.inputs.iter().any(|field| open(field.form()))
        && fill(&mut Filler::new(manifest)).is_ok()
}
