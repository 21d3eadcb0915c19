//! Ways over the elements of tensors: strides, broadcasting, and an odometer of indices.

use tract_onnx::tract_hir::internal::*;

/// Row-major strides.
pub(crate) fn strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![1isize; shape.len()];
    for at in (1..shape.len()).rev() {
        strides[at - 1] = strides[at].saturating_mul(shape[at] as isize);
    }
    strides
}

/// The shape that all of `shapes` are spread to (ONNX, "Multidirectional Broadcasting").
pub(crate) fn broadcast(shapes: &[&[usize]]) -> TractResult<Vec<usize>> {
    let rank = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut common = vec![1; rank];
    for shape in shapes {
        for (to, &dim) in common[rank - shape.len()..].iter_mut().zip(*shape) {
            match (*to, dim) {
                (_, 1) => {}
                (1, _) => *to = dim,
                (a, b) => ensure!(a == b, "{shapes:?} don't broadcast"),
            }
        }
    }
    Ok(common)
}

/// Positions in a tensor of `shape` of the elements of its spread form.
pub(crate) fn spread(shape: &[usize], to: &[usize]) -> Walk {
    let own = strides(shape);
    let skipped = to.len() - shape.len();
    let steps =
        (0..to.len()).map(|at| if at < skipped || shape[at - skipped] == 1 { 0 } else { own[at - skipped] });
    Walk::new(to, steps.collect(), 0)
}

/// Positions, row-major over `shape`, with its own step for each axis.
pub(crate) struct Walk {
    shape: Vec<usize>,
    steps: Vec<isize>,
    index: Vec<usize>,
    place: isize,
    left: usize,
}

impl Walk {
    pub(crate) fn new(shape: &[usize], steps: Vec<isize>, start: isize) -> Self {
        let left = shape.iter().product();
        Self { shape: shape.to_vec(), steps, index: vec![0; shape.len()], place: start, left }
    }
}

impl Iterator for Walk {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let place = self.place as usize;
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.place += self.steps[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.place -= self.steps[axis] * self.index[axis] as isize;
            self.index[axis] = 0;
        }
        Some(place)
    }
}

/// The index of each element, row-major.
pub(crate) fn indices(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + use<> {
    let shape = shape.to_vec();
    let count: usize = shape.iter().product();
    (0..count).map(move |mut place| {
        let mut index = vec![0; shape.len()];
        for axis in (0..shape.len()).rev() {
            index[axis] = place % shape[axis];
            place /= shape[axis];
        }
        index
    })
}

/// The position of `index` in a tensor of `strides`.
pub(crate) fn place(index: &[usize], strides: &[isize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * *s as usize).sum()
}

/// `(outer, dim, inner)`: how many blocks, the length of `axis`, how far its elements lie apart.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product())
}
