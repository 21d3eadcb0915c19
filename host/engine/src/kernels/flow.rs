//! What loops and scans need of tensors: a slice of one axis, and a new axis of many.

use tract_onnx::tract_hir::internal::*;

use super::axis_of;
use super::walk::around;
use crate::Tensor;

impl Tensor {
    /// The slice at `at` of `axis`, without that axis.
    pub(crate) fn at(&self, axis: usize, at: usize) -> TractResult<Self> {
        let (outer, dim, inner) = around(self.shape(), axis);
        ensure!(at < dim, "expected a position below {dim}, got {at}");
        let mut shape = self.shape().to_vec();
        shape.remove(axis);
        self.pick(&shape, (0..outer).flat_map(|o| (0..inner).map(move |i| (o * dim + at) * inner + i)))
    }
}

/// Tensors of one shape as slices of a new axis.
pub(crate) fn stacked(tensors: &[Tensor], axis: i64) -> TractResult<Tensor> {
    let first = tensors.first().context("nothing was collected, so that its shape is unknown")?;
    ensure!(tensors.iter().all(|t| t.shape() == first.shape()), "what is collected differs in shape");
    let axis = axis_of(axis, first.shape().len() + 1)?;
    let mut shape = first.shape().to_vec();
    shape.insert(0, tensors.len());
    let whole = Tensor::chained(tensors, &shape)?;
    let (count, outer, inner) = (
        tensors.len(),
        first.shape()[..axis].iter().product::<usize>(),
        first.shape()[axis..].iter().product::<usize>(),
    );
    shape.remove(0);
    shape.insert(axis, count);
    let places = (0..outer)
        .flat_map(|o| (0..count).flat_map(move |c| (0..inner).map(move |i| (c * outer + o) * inner + i)));
    whole.pick(&shape, places)
}
