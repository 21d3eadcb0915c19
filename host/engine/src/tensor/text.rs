//! Strings as two tensors of numbers, for interfaces that have no tensor of strings.

use crate::{Dtype, Error, Tensor};

impl Tensor {
    /// Strings of the shape of `lengths`, which holds the bytes of each, `i32`; `bytes` is their UTF-8, `u8[total]`,
    /// row-major, one after the other with nothing between them.
    ///
    /// # Errors
    ///
    /// `InvalidInput`, without the tensor's name, for other dtypes or a shape of `bytes` that has not one axis, a
    /// length below 0, lengths whose sum is not `total`, and a string that is no UTF-8.
    pub fn from_utf8(lengths: &Self, bytes: &Self) -> Result<Self, Error> {
        let differs = |what: &str, expected: &str, got: &Self| {
            let (dtype, shape) = (got.dtype(), got.shape());
            Error::input(format!("{what} of strings: expected {expected}, got {dtype}{shape:?}"))
        };
        if lengths.dtype() != Dtype::I32 {
            return Err(differs("the lengths", "i32", lengths));
        }
        if bytes.dtype() != Dtype::U8 || bytes.shape().len() != 1 {
            return Err(differs("the bytes", "u8[total]", bytes));
        }
        let (shape, utf8) = (lengths.shape(), bytes.as_bytes());
        let chunks = lengths.as_bytes().chunks_exact(4);
        let lengths = || chunks.clone().map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]]));
        let mut total = 0u64;
        for (at, length) in lengths().enumerate() {
            total += u64::try_from(length).map_err(|_| {
                Error::input(format!("the length of string {at}: expected at least 0 bytes, got {length}"))
            })?;
        }
        if total != utf8.len() as u64 {
            let got = utf8.len();
            return Err(Error::input(format!(
                "the lengths of strings add up to {total} bytes, got {got} bytes"
            )));
        }
        let mut rest = utf8;
        let mut strings = Vec::with_capacity(lengths().len());
        for (at, length) in lengths().enumerate() {
            // Each length is at least 0, and all of them together are what there is.
            let (own, others) = rest.split_at(usize::try_from(length).unwrap_or(0));
            let text = std::str::from_utf8(own).map_err(|cause| {
                let valid = cause.valid_up_to();
                Error::input(format!(
                    "string {at}: expected UTF-8, got other bytes after {valid} of {length} bytes"
                ))
            })?;
            strings.push(text.to_owned());
            rest = others;
        }
        Self::of(Dtype::String, shape, strings)
            .map_err(|cause| Error::input(format!("string{shape:?} could not be made")).caused_by(&cause))
    }

    /// The reverse of [`Tensor::from_utf8`]: the lengths and the bytes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for another dtype than `string`; `Unsupported` for a string of 2 GiB or more.
    pub fn to_utf8(&self) -> Result<(Self, Self), Error> {
        let (dtype, shape) = (self.dtype(), self.shape());
        let strings =
            self.strings().ok_or_else(|| Error::input(format!("expected strings, got {dtype}{shape:?}")))?;
        let total = strings.iter().map(String::len).sum();
        let (mut lengths, mut bytes) = (Vec::with_capacity(strings.len() * 4), Vec::with_capacity(total));
        for (at, text) in strings.iter().enumerate() {
            let length = i32::try_from(text.len()).map_err(|_| {
                Error::unsupported(format!("string {at}: expected less than 2 GiB, got {} bytes", text.len()))
            })?;
            lengths.extend(length.to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        let lengths = Self::from_le_bytes(Dtype::I32, shape, &lengths)?;
        Ok((lengths, Self::from_le_bytes(Dtype::U8, &[total], &bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(shape: &[usize], lengths: &[i32]) -> Tensor {
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
        Tensor::from_le_bytes(Dtype::I32, shape, &bytes).expect("a tensor")
    }

    fn bytes(bytes: &[u8]) -> Tensor {
        Tensor::from_le_bytes(Dtype::U8, &[bytes.len()], bytes).expect("a tensor")
    }

    #[test]
    fn strings_come_back_as_they_were() {
        let long = "ä".repeat(100_000);
        for (shape, strings) in [
            (&[0, 1][..], &[][..]),
            (&[1], &[""]),
            (&[3, 1], &["", "", ""]),
            (&[2, 2], &["a", "", "ü€𝄞", "\0\0"]),
            (&[3], &["trailing\0", "\0leading", "in\0side"]),
            (&[4], &[&long[..], "x", "", "y"]),
            (&[], &["a scalar"]),
        ] {
            let strings: Vec<String> = strings.iter().map(|&text| text.to_owned()).collect();
            let (lengths, bytes) = Tensor::from_strings(shape, strings.clone())
                .and_then(|tensor| tensor.to_utf8())
                .expect("both");
            assert_eq!(lengths.shape(), shape);
            assert_eq!(bytes.shape(), [strings.iter().map(String::len).sum::<usize>()]);
            let back = Tensor::from_utf8(&lengths, &bytes).expect("strings");
            assert_eq!((back.shape(), back.strings()), (shape, Some(&strings[..])));
        }
    }

    #[test]
    fn one_long_string_among_short_ones_costs_its_own_length() {
        let mut strings = vec!["x".to_owned(); 10_000];
        strings[5_000] = "y".repeat(1_000_000);
        let (lengths, bytes) =
            Tensor::from_strings(&[10_000, 1], strings).and_then(|tensor| tensor.to_utf8()).expect("both");
        assert_eq!(lengths.as_bytes().len() + bytes.as_bytes().len(), 4 * 10_000 + 9_999 + 1_000_000);
    }

    #[test]
    fn what_is_no_strings_is_refused() {
        let floats = Tensor::from_le_bytes(Dtype::F32, &[1], &[0; 4]).expect("a tensor");
        let square = Tensor::from_le_bytes(Dtype::U8, &[2, 2], b"abcd").expect("a tensor");
        for (lengths, bytes, expected) in [
            (floats.clone(), bytes(b""), "the lengths of strings: expected i32, got f32[1]"),
            (lengths(&[1], &[4]), floats, "the bytes of strings: expected u8[total], got f32[1]"),
            (lengths(&[1], &[4]), square, "the bytes of strings: expected u8[total], got u8[2, 2]"),
            (
                lengths(&[2], &[5, -1]),
                bytes(b"abcd"),
                "the length of string 1: expected at least 0 bytes, got -1",
            ),
            (
                lengths(&[1], &[i32::MIN]),
                bytes(b""),
                "the length of string 0: expected at least 0 bytes, got -2147483648",
            ),
            (lengths(&[2], &[1, 2]), bytes(b"abcd"), "the lengths of strings add up to 3 bytes, got 4 bytes"),
            (lengths(&[2], &[3, 2]), bytes(b"abcd"), "the lengths of strings add up to 5 bytes, got 4 bytes"),
            (
                lengths(&[3], &[i32::MAX; 3]),
                bytes(b"ab"),
                "the lengths of strings add up to 6442450941 bytes, got 2 bytes",
            ),
            (lengths(&[0], &[]), bytes(b"a"), "the lengths of strings add up to 0 bytes, got 1 bytes"),
            (
                lengths(&[2], &[1, 3]),
                bytes(b"ab\xffc"),
                "string 1: expected UTF-8, got other bytes after 1 of 3 bytes",
            ),
            // A letter that is cut in two is whole in the bytes, and in no string.
            (
                lengths(&[2], &[1, 1]),
                bytes("ü".as_bytes()),
                "string 0: expected UTF-8, got other bytes after 0 of 1 bytes",
            ),
            (
                lengths(&[1], &[3]),
                bytes(b"\xed\xa0\x80"),
                "string 0: expected UTF-8, got other bytes after 0 of 3 bytes",
            ),
        ] {
            let error = Tensor::from_utf8(&lengths, &bytes).expect_err(expected);
            assert_eq!(error.to_string(), expected);
            assert_eq!(error.kind(), crate::ErrorKind::InvalidInput);
        }
        assert!(bytes(b"a").to_utf8().is_err());
    }
}
