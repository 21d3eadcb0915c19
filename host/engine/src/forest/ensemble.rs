//! [`Ensemble`]: a forest made ready for rows of one dtype, with whichever kernel its precisions ask for.

use super::kernel::Kernel;
use super::{Arithmetic, Checked, Compare};
use crate::Error;

/// Rows, row-major.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rows<'r> {
    F32(&'r [f32]),
    F64(&'r [f64]),
}

/// Raw scores, `[rows, outputs]`, in the forest's arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scores {
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// A forest ready to answer. Immutable.
#[derive(Debug)]
pub(crate) enum Ensemble {
    /// Values and sums in f32
    Single(Kernel<f32, f32>),
    /// Values in f32, sums in f64
    Mixed(Kernel<f32, f64>),
    /// Values and sums in f64
    Double(Kernel<f64, f64>),
}

/// The dtype of an [`Ensemble`]'s rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowType {
    F32,
    F64,
}

impl Ensemble {
    /// For rows of `row`. Where the forest compares in f32, f64 rows are rounded by [`Ensemble::scores`].
    pub(crate) fn of(forest: &Checked, row: RowType) -> Self {
        match (row, forest.compare, forest.arithmetic) {
            (RowType::F64, Compare::F64, _) => Self::Double(Kernel::of(forest)),
            (_, _, Arithmetic::F32) => Self::Single(Kernel::of(forest)),
            (_, _, Arithmetic::F64) => Self::Mixed(Kernel::of(forest)),
        }
    }

    /// Raw scores of `rows`, `width` wide.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for rows narrower than the forest's features.
    pub(crate) fn scores(&self, rows: Rows, width: usize) -> Result<Scores, Error> {
        let narrow = |rows: &[f64]| rows.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let widen = |rows: &[f32]| rows.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        Ok(match (self, rows) {
            (Self::Single(kernel), Rows::F32(rows)) => Scores::F32(kernel.scores(rows, width)?),
            (Self::Single(kernel), Rows::F64(rows)) => Scores::F32(kernel.scores(&narrow(rows), width)?),
            (Self::Mixed(kernel), Rows::F32(rows)) => Scores::F64(kernel.scores(rows, width)?),
            (Self::Mixed(kernel), Rows::F64(rows)) => Scores::F64(kernel.scores(&narrow(rows), width)?),
            (Self::Double(kernel), Rows::F32(rows)) => Scores::F64(kernel.scores(&widen(rows), width)?),
            (Self::Double(kernel), Rows::F64(rows)) => Scores::F64(kernel.scores(rows, width)?),
        })
    }
}
