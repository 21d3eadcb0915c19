//! How tensors travel through `wasi:nn`, which has neither bools nor strings of its own. A bool is a `u8` of 0 or 1. Of
//! strings, the lengths travel under the name of the graph's input or output, the bytes under that name and `.utf8`.
//! `guest/wit/ampoule.wit` says so to predictors.

use crate::{Dtype, Error, Tensor, TensorInfo};

/// What follows the name in that of the bytes.
const BYTES: &str = ".utf8";

/// The name under which the bytes of `name`'s strings travel.
fn bytes_of(name: &str) -> String {
    format!("{name}{BYTES}")
}

/// Refuses names that could be read in two ways: one that is another's with `.utf8`.
///
/// # Errors
///
/// A sentence that names both.
pub fn check_names(tensors: &[TensorInfo]) -> Result<(), String> {
    let named = |name: &str| tensors.iter().any(|info| info.name == name);
    let bytes = |info: &&TensorInfo| info.name.strip_suffix(BYTES).is_some_and(named);
    match tensors.iter().find(bytes) {
        None => Ok(()),
        Some(info) => {
            let name = info.name.strip_suffix(BYTES).unwrap_or_default();
            Err(format!(
                "{:?} stands beside {name:?}, whose strings would travel under that name (rename one)",
                info.name
            ))
        }
    }
}

/// Bytes that the strings among `given` take once they are made.
pub fn made_bytes(inputs: &[TensorInfo], given: &[(String, Tensor)]) -> usize {
    let bytes = |wanted: &str| {
        given
            .iter()
            .filter(|(name, _)| name == wanted)
            .map(|(_, tensor)| tensor.as_bytes().len())
            .sum::<usize>()
    };
    let texts = inputs.iter().filter(|info| info.dtype == Dtype::String);
    let size = |info: &TensorInfo| {
        let strings = bytes(&info.name) / size_of::<i32>();
        strings.saturating_mul(size_of::<String>()).saturating_add(bytes(&bytes_of(&info.name)))
    };
    texts.map(size).fold(0, usize::saturating_add)
}

/// Makes of what was `given` what a graph with these `inputs` takes: bools and strings where it takes such; the rest stays
/// as it is.
///
/// # Errors
///
/// A sentence that names the input, what was expected and what came.
pub fn take(
    inputs: &[TensorInfo],
    mut given: Vec<(String, Tensor)>,
) -> Result<Vec<(String, Tensor)>, String> {
    for info in inputs.iter().filter(|info| info.dtype == Dtype::Bool) {
        let bools =
            |(name, tensor): &&mut (String, Tensor)| *name == info.name && tensor.dtype() == Dtype::U8;
        for (name, tensor) in given.iter_mut().filter(bools) {
            *tensor = Tensor::from_le_bytes(Dtype::Bool, tensor.shape(), tensor.as_bytes())
                .map_err(|cause| format!("input {name:?}: {cause}"))?;
        }
    }
    for info in inputs.iter().filter(|info| info.dtype == Dtype::String) {
        let (name, beside) = (&info.name, bytes_of(&info.name));
        let at = |wanted: &str| given.iter().position(|(name, _)| name == wanted);
        let bytes = match (at(name), at(&beside)) {
            // The engine says that it is missing.
            (None, None) => continue,
            (Some(_), Some(bytes)) => given.swap_remove(bytes).1,
            (lengths, _) => {
                let (got, missing) = if lengths.is_some() { (name, &beside) } else { (&beside, name) };
                return Err(format!(
                    "input {name:?}: expected {info} as lengths in {name:?} and UTF-8 in {beside:?}, got {got:?} \
                     without {missing:?}"
                ));
            }
        };
        if let Some((_, tensor)) = given.iter_mut().find(|(other, _)| other == name) {
            *tensor =
                Tensor::from_utf8(tensor, &bytes).map_err(|cause| format!("input {name:?}: {cause}"))?;
        }
    }
    Ok(given)
}

/// What a graph gave, as it travels: the tensor, and for strings another one under its own name.
///
/// # Errors
///
/// `Unsupported` for a dtype that `wasi:nn` has no tensor of, and for more strings than it can count.
pub fn give(name: &str, tensor: Tensor) -> Result<(Tensor, Option<(String, Tensor)>), Error> {
    match tensor.dtype() {
        Dtype::String => {
            let too_long = |cause| Error::unsupported(format!("output {name:?}: {cause}"));
            let (lengths, bytes) = tensor.to_utf8().map_err(too_long)?;
            Ok((lengths, Some((bytes_of(name), bytes))))
        }
        dtype if travels_as(dtype).is_some() => Ok((tensor, None)),
        dtype => Err(Error::unsupported(format!("output {name:?}: wasi:nn has no tensor type for {dtype}"))),
    }
}

/// The dtype of `wasi:nn` as which elements of `dtype` travel one by one.
pub fn travels_as(dtype: Dtype) -> Option<Dtype> {
    use Dtype::{Bf16, Bool, F16, F32, F64, I32, I64, U8};
    match dtype {
        Bool => Some(U8),
        F16 | F32 | F64 | Bf16 | U8 | I32 | I64 => Some(dtype),
        _ => None,
    }
}

/// What is said where no graph is named so.
pub fn no_graph(name: &str, names: &[&str]) -> String {
    let expected = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("no graph \"{}\" is sealed in this ampoule: expected {expected}", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dim;

    fn info(name: &str, dtype: Dtype) -> TensorInfo {
        TensorInfo { name: name.to_owned(), dtype, shape: vec![Dim::Symbol("N".to_owned()), Dim::Fixed(1)] }
    }

    fn tensor(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> (String, Tensor) {
        (name.to_owned(), Tensor::from_le_bytes(dtype, shape, bytes).expect("a tensor"))
    }

    fn lengths(name: &str, lengths: &[i32]) -> (String, Tensor) {
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        tensor(name, Dtype::I32, &[lengths.len(), 1], &bytes)
    }

    fn utf8(name: &str, text: &[u8]) -> (String, Tensor) {
        tensor(name, Dtype::U8, &[text.len()], text)
    }

    #[test]
    fn strings_and_numbers_go_side_by_side_in_any_order() {
        let inputs = [info("age", Dtype::F32), info("sex", Dtype::String), info("port", Dtype::String)];
        let given = vec![
            utf8("port.utf8", b"CS"),
            lengths("sex", &[4, 0]),
            tensor("age", Dtype::F32, &[2, 1], &[0; 8]),
            utf8("sex.utf8", b"male"),
            lengths("port", &[1, 1]),
        ];
        assert_eq!(made_bytes(&inputs, &given), 4 * size_of::<String>() + 6);
        let mut joined = take(&inputs, given).expect("strings");
        joined.sort_by(|(a, _), (b, _)| a.cmp(b));
        let names: Vec<&str> = joined.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["age", "port", "sex"]);
        let strings = |at: usize| joined[at].1.strings().map(<[String]>::to_vec);
        assert_eq!(strings(1), Some(vec!["C".to_owned(), "S".to_owned()]));
        assert_eq!(strings(2), Some(vec!["male".to_owned(), String::new()]));
        assert_eq!(joined[2].1.shape(), [2, 1]);
    }

    #[test]
    fn halves_and_lies_are_refused_by_name() {
        let inputs = [info("x", Dtype::String)];
        for (given, expected) in [
            (
                vec![lengths("x", &[1])],
                "input \"x\": expected string[N, 1] as lengths in \"x\" and UTF-8 in \"x.utf8\", got \"x\" without \"x.utf8\"",
            ),
            (vec![utf8("x.utf8", b"a")], "got \"x.utf8\" without \"x\""),
            (
                vec![lengths("x", &[2]), utf8("x.utf8", b"a")],
                "input \"x\": the lengths of strings add up to 2 bytes",
            ),
            (
                vec![lengths("x", &[-1]), utf8("x.utf8", b"")],
                "input \"x\": the length of string 0: expected at least 0",
            ),
            (vec![lengths("x", &[1]), utf8("x.utf8", b"\xff")], "input \"x\": string 0: expected UTF-8"),
            (
                vec![utf8("x", b"a"), utf8("x.utf8", b"a")],
                "input \"x\": the lengths of strings: expected i32, got u8[1]",
            ),
        ] {
            let why = take(&inputs, given).expect_err(expected);
            assert!(why.contains(expected), "expected {expected:?} in {why:?}");
        }
        // What is too much or missing altogether is the engine's to name.
        let twice = vec![lengths("x", &[1]), lengths("x", &[1]), utf8("x.utf8", b"a"), utf8("x.utf8", b"a")];
        assert_eq!(take(&inputs, twice).expect("left to the engine").len(), 3);
        assert!(take(&inputs, Vec::new()).is_ok_and(|joined| joined.is_empty()));
    }

    #[test]
    fn names_that_mean_two_things_are_refused() {
        assert_eq!(check_names(&[info("x", Dtype::String), info("y.utf8", Dtype::U8)]), Ok(()));
        let why = check_names(&[info("x.utf8", Dtype::U8), info("x", Dtype::I32)]);
        assert!(why.is_err_and(|why| why.starts_with("\"x.utf8\" stands beside \"x\"")));
    }
}
