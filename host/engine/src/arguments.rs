//! What a graph is given, held against what it declares.

use crate::signature::{Dim, TensorInfo};
use crate::{Error, Tensor};

/// `given` in the order of `inputs`.
///
/// # Errors
///
/// `InvalidInput` for a name that is missing, unknown or given twice, and for a dtype or shape other than the declared.
pub(crate) fn in_order(inputs: &[TensorInfo], given: Vec<(String, Tensor)>) -> Result<Vec<Tensor>, Error> {
    let mut slots = vec![None; inputs.len()];
    for (name, tensor) in given {
        let Some(at) = inputs.iter().position(|info| info.name == name) else {
            let names: Vec<String> = inputs.iter().map(|info| format!("{:?}", info.name)).collect();
            return Err(Error::input(format!("input {name:?} is unknown, expected {}", names.join(", "))));
        };
        if slots[at].replace(tensor).is_some() {
            return Err(Error::input(format!("input {name:?} is given twice")));
        }
    }
    let mut ordered = Vec::with_capacity(slots.len());
    for (info, slot) in inputs.iter().zip(slots) {
        let name = &info.name;
        let tensor: Tensor =
            slot.ok_or_else(|| Error::input(format!("input {name:?} is missing, expected {info}")))?;
        if tensor.dtype() != info.dtype || !fits(info, tensor.shape()) {
            let (dtype, shape) = (tensor.dtype(), tensor.shape());
            return Err(Error::input(format!("input {name:?}: expected {info}, got {dtype}{shape:?}")));
        }
        ordered.push(tensor);
    }
    same_symbols(inputs, &ordered)?;
    Ok(ordered)
}

/// A symbol stands for one number in a call, in whichever inputs it occurs.
fn same_symbols(inputs: &[TensorInfo], given: &[Tensor]) -> Result<(), Error> {
    let dims =
        || inputs.iter().zip(given).flat_map(|(i, t)| i.shape.iter().zip(t.shape()).map(move |d| (i, d)));
    for (at, (info, (dim, &got))) in dims().enumerate() {
        let Dim::Symbol(symbol) = dim else { continue };
        if symbol == "?" {
            continue;
        }
        if let Some((first, (_, &expected))) = dims().take(at).find(|(_, (d, n))| *d == dim && **n != got) {
            return Err(Error::input(format!(
                "input {:?}: expected {info} with {symbol} = {expected} as in input {:?}, got {symbol} = {got}",
                info.name, first.name
            )));
        }
    }
    Ok(())
}

pub(crate) fn fits(info: &TensorInfo, shape: &[usize]) -> bool {
    let fit = |(dim, &got): (&Dim, &usize)| if let Dim::Fixed(n) = dim { *n == got } else { true };
    info.shape.len() == shape.len() && info.shape.iter().zip(shape).all(fit)
}
