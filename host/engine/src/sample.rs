//! Made-up inputs for a graph, to measure it with.

use std::collections::BTreeMap;

use crate::signature::{Dim, TensorInfo};
use crate::{Dtype, Error, Graph, Tensor};

impl Graph {
    /// A tensor for each input, filled with a fixed pattern. `shapes` names inputs' shapes; without one, the first axis
    /// is 1 where it is open, and the others must be fixed.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a shape of an unknown input, and for one that is missing.
    pub fn sample(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Vec<(String, Tensor)>, Error> {
        let known = |name: &String| self.inputs().iter().any(|info| info.name == *name);
        if let Some(unknown) = shapes.keys().find(|name| !known(name)) {
            let names: Vec<String> = self.inputs().iter().map(|info| format!("{:?}", info.name)).collect();
            return Err(Error::input(format!(
                "expected shapes of {}, got one of {unknown:?}",
                names.join(", ")
            )));
        }
        let tensor = |info: &TensorInfo| {
            let shape = shapes.get(&info.name).cloned().map_or_else(|| declared(info), Ok)?;
            Ok((info.name.clone(), filled(info.dtype, &shape)?))
        };
        self.inputs().iter().map(tensor).collect()
    }
}

fn declared(info: &TensorInfo) -> Result<Vec<usize>, Error> {
    let axis = |(axis, dim): (usize, &Dim)| match dim {
        Dim::Fixed(size) => Ok(*size),
        Dim::Symbol(_) if axis == 0 => Ok(1),
        Dim::Symbol(symbol) => Err(Error::input(format!(
            "input {:?}, {info}: expected a shape, since its axis {symbol:?} is open",
            info.name
        ))),
    };
    info.shape.iter().enumerate().map(axis).collect()
}

/// Values from 0 to 7 that differ from one element to the next.
fn filled(dtype: Dtype, shape: &[usize]) -> Result<Tensor, Error> {
    let size = |count: usize| count.checked_mul(dtype.size_bytes().max(1));
    let count = shape.iter().try_fold(1usize, |count, &size| count.checked_mul(size));
    let count = count.filter(|&count| size(count).is_some_and(|bytes| bytes <= isize::MAX as usize));
    let count = count.ok_or_else(|| Error::input(format!("{shape:?} is too large")))?;
    let values = (0..count).map(|index| (index % 71 * 37 % 71) as f32 / 10.0);
    let bytes: Vec<u8> = match dtype {
        Dtype::F32 => values.flat_map(f32::to_le_bytes).collect(),
        Dtype::F64 => values.flat_map(|value| f64::from(value).to_le_bytes()).collect(),
        Dtype::I64 => values.flat_map(|value| (value as i64).to_le_bytes()).collect(),
        Dtype::String => return Tensor::from_strings(shape, values.map(|value| value.to_string()).collect()),
        other => vec![0; count * other.size_bytes()],
    };
    Tensor::from_le_bytes(dtype, shape, &bytes)
}
