//! Strings through `wasi:nn`, which has no tensor of them: `X` holds their lengths, `X.utf8` their bytes.
//! The comment on the world in `guest/wit/ampoule.wit` says it in full.

use crate::{Elements, Failure, Tensor};

const BYTES: &str = ".utf8";

/// The name under which the bytes of `name`'s strings travel.
pub(super) fn bytes_of(name: &str) -> String {
    format!("{name}{BYTES}")
}

/// The strings whose bytes are called `name`, if that is what the name says.
pub(super) fn strings_of(name: &str) -> Option<&str> {
    name.strip_suffix(BYTES)
}

/// The length of each string in bytes, and the bytes of all.
///
/// # Errors
/// A caller's failure where a string is missing; a model's failure where one has 2 GiB or more.
pub(super) fn pack(
    name: &str,
    shape: &[usize],
    items: &[Option<String>],
) -> Result<(Vec<i32>, Vec<u8>), Failure> {
    let instances = shape.first().copied().unwrap_or(1).max(1);
    let instance = |index: usize| index / (items.len() / instances).max(1);
    let mut lengths = Vec::with_capacity(items.len());
    let mut bytes = Vec::with_capacity(items.iter().flatten().map(String::len).sum());
    for (index, item) in items.iter().enumerate() {
        let text = item.as_ref().ok_or_else(|| {
            Failure::caller(format!("input \"{name}\" has a missing string, which graphs don't know"))
                .expected("a string (or an `impute` step before the graph)")
                .actual("null")
                .at(instance(index))
        })?;
        let length = i32::try_from(text.len()).map_err(|_| {
            Failure::model(format!("input \"{name}\" has a string that is too long"))
                .expected("less than 2147483648 bytes")
                .actual(format!("{} bytes", text.len()))
                .at(instance(index))
        })?;
        lengths.push(length);
        bytes.extend_from_slice(text.as_bytes());
    }
    Ok((lengths, bytes))
}

/// The strings of an output, in the shape of their lengths.
///
/// # Errors
/// A model's failure where lengths and bytes don't fit together.
pub(super) fn unpack(name: &str, lengths: &Tensor, bytes: &Tensor) -> Result<Tensor, Failure> {
    let (Elements::I32(sizes), Elements::U8(utf8)) = (lengths.elements(), bytes.elements()) else {
        return Err(Failure::model(format!("output \"{name}\" is no tensor of strings"))
            .expected("i32 lengths and u8 bytes")
            .actual(format!("{lengths} and {bytes}")));
    };
    let mut rest = utf8.as_slice();
    let mut items = Vec::with_capacity(sizes.len());
    for (index, &size) in sizes.iter().enumerate() {
        let own = usize::try_from(size).ok().and_then(|size| rest.split_at_checked(size));
        let (own, others) = own.ok_or_else(|| {
            Failure::model(format!("output \"{name}\": the length of string {index} is wrong"))
                .expected(format!("0 to {} bytes", rest.len()))
                .actual(format!("{size} bytes"))
        })?;
        let text = std::str::from_utf8(own)
            .map_err(|cause| Failure::model(format!("output \"{name}\": string {index}: {cause}")))?;
        items.push(Some(text.to_owned()));
        rest = others;
    }
    if !rest.is_empty() {
        return Err(Failure::model(format!("output \"{name}\" has bytes behind its last string"))
            .expected(format!("{} bytes", utf8.len() - rest.len()))
            .actual(format!("{} bytes", utf8.len())));
    }
    Tensor::from_elements(lengths.shape(), Elements::String(items))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fault;

    fn some(texts: &[&str]) -> Vec<Option<String>> {
        texts.iter().map(|&text| Some(text.to_owned())).collect()
    }

    fn unpacked(lengths: &[i32], bytes: &[u8]) -> Result<Tensor, Failure> {
        let lengths = Tensor::new(&[lengths.len()], lengths.to_vec())?;
        unpack("y", &lengths, &Tensor::new(&[bytes.len()], bytes.to_vec())?)
    }

    #[test]
    fn strings_come_back_as_they_were() {
        for texts in [&[][..], &[""], &["", "", ""], &["a", "", "ü€𝄞", "\0\0"], &["end\0", "\0begin"]] {
            let items = some(texts);
            let (lengths, bytes) = pack("x", &[items.len()], &items).expect("strings");
            assert_eq!(bytes.len(), texts.iter().map(|text| text.len()).sum::<usize>());
            let back = unpacked(&lengths, &bytes).expect("strings");
            assert_eq!((back.shape(), back.elements()), (&[items.len()][..], &Elements::String(items)));
        }
    }

    #[test]
    fn a_missing_string_is_the_callers_and_has_a_place() {
        let mut items = some(&["a", "b", "c", "d", "e", "f"]);
        items[3] = None;
        for (shape, instance) in [(&[6][..], 3), (&[6, 1], 3), (&[3, 2], 1), (&[1, 6], 0)] {
            let failure = pack("x", shape, &items).expect_err("one is missing");
            assert_eq!((failure.fault, failure.instance), (Fault::Caller, Some(instance)), "{shape:?}");
            assert_eq!(failure.actual.as_deref(), Some("null"));
        }
    }

    #[test]
    fn lengths_and_bytes_that_differ_are_refused() {
        for (lengths, bytes, expected) in [
            (&[2][..], &b"a"[..], "string 0 is wrong: expected 0 to 1 bytes, got 2 bytes"),
            (&[1, -1], b"a", "string 1 is wrong: expected 0 to 0 bytes, got -1 bytes"),
            (&[1], b"ab", "behind its last string: expected 1 bytes, got 2 bytes"),
            (&[], b"a", "behind its last string: expected 0 bytes, got 1 bytes"),
            (&[1, 1], "ü".as_bytes(), "string 0: incomplete utf-8"),
            (&[1], b"\xff", "string 0: invalid utf-8"),
        ] {
            let failure = unpacked(lengths, bytes).expect_err(expected);
            assert!(failure.to_string().contains(expected), "expected {expected:?} in \"{failure}\"");
            assert_eq!(failure.fault, Fault::Model);
        }
        let floats = Tensor::new(&[1], vec![1f32]).expect("a tensor");
        let failure = unpack("y", &floats, &floats).expect_err("no strings");
        assert!(failure.to_string().contains("got f32[1] and f32[1]"), "{failure}");
    }
}
