//! [`Coding`]: the bytes of one strip or tile become samples.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;
use weezl::BitOrder;

use super::super::super::filled;
use super::super::corrupt;
use super::directory::{Directory, Order, Tag};
use crate::Failure;

/// A sample as it is stored; a float is handled by its bits.
pub(super) trait Sample: Copy + Default {
    const BYTES: usize;
    fn from_bytes(bytes: &[u8], order: Order) -> Self;
    fn plus(self, other: Self) -> Self;
    fn inverted(self) -> Self;
}

macro_rules! sample {
    ($($type:ty),*) => {$(
        impl Sample for $type {
            const BYTES: usize = size_of::<$type>();
            fn from_bytes(bytes: &[u8], order: Order) -> Self {
                let bytes = bytes.try_into().expect("the caller cuts pieces of BYTES");
                match order {
                    Order::Little => Self::from_le_bytes(bytes),
                    Order::Big => Self::from_be_bytes(bytes),
                }
            }
            fn plus(self, other: Self) -> Self {
                self.wrapping_add(other)
            }
            fn inverted(self) -> Self {
                Self::MAX - self
            }
        }
    )*};
}
sample!(u8, u16, u32);

#[derive(Clone, Copy)]
enum Compression {
    None,
    Lzw,
    Deflate,
    PackBits,
}

#[derive(Clone, Copy, PartialEq)]
enum Predictor {
    None,
    /// Differences of samples along a row
    Horizontal,
    /// Differences of bytes along a row, the first bytes of all floats first
    Float,
}

/// How every strip or tile of a file is coded.
pub(super) struct Coding {
    compression: Compression,
    predictor: Predictor,
    order: Order,
}

impl Coding {
    pub fn read(directory: &Directory, float: bool) -> Result<Self, Failure> {
        let compression = match directory.value_or(Tag::Compression, 1)? {
            1 => Compression::None,
            5 => Compression::Lzw,
            8 | 32946 => Compression::Deflate,
            32773 => Compression::PackBits,
            other => {
                let name = match other {
                    2..=4 => "fax",
                    6 | 7 => "JPEG",
                    34712 => "JPEG 2000",
                    34887 => "LERC",
                    34925 => "LZMA",
                    50000 => "Zstandard",
                    50001 => "WebP",
                    50002 => "JPEG XL",
                    _ => "another",
                };
                return Err(Failure::caller("the TIFF's compression can't be read")
                    .expected("none, LZW, deflate or PackBits")
                    .actual(format!("{name} ({other})")));
            }
        };
        let predictor = match directory.value_or(Tag::Predictor, 1)? {
            1 => Predictor::None,
            2 => Predictor::Horizontal,
            3 if float => Predictor::Float,
            other => return Err(corrupt("TIFF", format!("predictor {other} for its samples"))),
        };
        if directory.value_or(Tag::FillOrder, 1)? != 1 {
            return Err(corrupt("TIFF", "its bits are in reverse order"));
        }
        Ok(Self { compression, predictor, order: directory.order })
    }

    /// Appends `rows` rows of `row` samples with `bands` interleaved bands to `out`.
    pub fn decode<T: Sample>(
        &self,
        coded: &[u8],
        row: usize,
        rows: usize,
        bands: usize,
        out: &mut Vec<T>,
    ) -> Result<(), Failure> {
        let too_large = || corrupt("TIFF", "a strip or tile overflows");
        let row_bytes = row.checked_mul(T::BYTES).ok_or_else(too_large)?;
        let len = row_bytes.checked_mul(rows).ok_or_else(too_large)?;
        let plain = self.unpacked(coded, len)?;
        let bytes: &[u8] = &plain;
        for line in bytes.chunks_exact(row_bytes) {
            let start = out.len();
            if self.predictor == Predictor::Float {
                append_floats(line, bands, out);
            } else {
                out.extend(line.chunks_exact(T::BYTES).map(|sample| T::from_bytes(sample, self.order)));
            }
            if self.predictor == Predictor::Horizontal {
                let line = &mut out[start..];
                for i in bands..line.len() {
                    line[i] = line[i].plus(line[i - bands]);
                }
            }
        }
        Ok(())
    }

    /// The first `len` bytes of what is coded; what the file holds beyond them is ignored.
    fn unpacked<'a>(&self, coded: &'a [u8], len: usize) -> Result<Cow<'a, [u8]>, Failure> {
        let unpack = match self.compression {
            Compression::None => return coded.get(..len).map(Cow::Borrowed).ok_or_else(too_short),
            Compression::Deflate => inflate,
            Compression::PackBits => unpack_bits,
            Compression::Lzw => unpack_lzw,
        };
        let mut plain = filled(len, 0)?;
        unpack(coded, &mut plain)?;
        Ok(Cow::Owned(plain))
    }
}

fn inflate(coded: &[u8], plain: &mut [u8]) -> Result<(), Failure> {
    ZlibDecoder::new(coded).read_exact(plain).map_err(|error| corrupt("TIFF", error))
}

fn unpack_lzw(mut coded: &[u8], mut plain: &mut [u8]) -> Result<(), Failure> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(BitOrder::Msb, 8);
    while !plain.is_empty() {
        let step = decoder.decode_bytes(coded, plain);
        step.status.map_err(|error| corrupt("TIFF", error))?;
        if step.consumed_in == 0 && step.consumed_out == 0 {
            return Err(too_short());
        }
        coded = &coded[step.consumed_in..];
        plain = &mut plain[step.consumed_out..];
    }
    Ok(())
}

fn too_short() -> Failure {
    corrupt("TIFF", "a strip or tile is too short")
}

/// TIFF 6.0, §9: a count, then that many bytes or one byte to repeat.
fn unpack_bits(mut coded: &[u8], mut plain: &mut [u8]) -> Result<(), Failure> {
    while !plain.is_empty() {
        let (&count, rest) = coded.split_first().ok_or_else(too_short)?;
        let count = i8::from_ne_bytes([count]);
        let len = usize::from(count.unsigned_abs()) + 1;
        coded = match count {
            0.. => {
                let (literal, rest) = rest.split_at_checked(len).ok_or_else(too_short)?;
                let fits = len.min(plain.len());
                plain[..fits].copy_from_slice(&literal[..fits]);
                plain = &mut plain[fits..];
                rest
            }
            -128 => rest,
            _ => {
                let (&byte, rest) = rest.split_first().ok_or_else(too_short)?;
                let fits = len.min(plain.len());
                plain[..fits].fill(byte);
                plain = &mut plain[fits..];
                rest
            }
        };
    }
    Ok(())
}

/// The floating-point predictor of TIFF technical note 3: undo the differences of bytes, then
/// gather each float from the four quarters of the row, most significant first.
fn append_floats<T: Sample>(line: &[u8], bands: usize, out: &mut Vec<T>) {
    let mut line = line.to_vec();
    for i in bands..line.len() {
        line[i] = line[i].wrapping_add(line[i - bands]);
    }
    let row = line.len() / T::BYTES;
    out.extend((0..row).map(|i| {
        let bytes: Vec<u8> = (0..T::BYTES).map(|quarter| line[quarter * row + i]).collect();
        T::from_bytes(&bytes, Order::Big)
    }));
}
