//! [`tiff`]: samples of any type and any number of bands, losslessly.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::super::{Image, Pixels};
use crate::Failure;

/// The uncompressed bytes that a strip has at most, unless one row has more.
const STRIP_BYTES: usize = 1 << 18;

/// A TIFF 6.0 file, little-endian, in strips compressed by deflate, bands interleaved.
///
/// Three bands of whole numbers are marked as red, green and blue; otherwise the first band is marked
/// as grey and the others as of no stated meaning, which programs for satellite pictures show as bands.
///
/// # Errors
/// A [`Fault::Model`](crate::Fault::Model) failure where the file would be larger than the format's
/// 4 GiB, or there are more than 65,535 bands.
pub fn tiff(image: &Image) -> Result<Vec<u8>, Failure> {
    match image.pixels() {
        Pixels::U8(items) => write(image, items, 1, |item| [*item]),
        Pixels::U16(items) => write(image, items, 1, |item| item.to_le_bytes()),
        Pixels::F32(items) => write(image, items, 3, |item| item.to_le_bytes()),
    }
}

fn write<T, const N: usize>(
    image: &Image,
    items: &[T],
    sample_format: u16,
    bytes: impl Fn(&T) -> [u8; N],
) -> Result<Vec<u8>, Failure> {
    let too_large = || {
        Failure::model("the picture is too large for a TIFF")
            .expected("below 4 GiB and at most 65535 bands")
            .actual(format!("{} x {} with {} bands", image.width(), image.height(), image.bands()))
    };
    let bands = u16::try_from(image.bands()).map_err(|_| too_large())?;
    let row = items.len() / super::size(image.height());
    let rows = (STRIP_BYTES / (row * N)).max(1);

    // The header's offset of the directory is filled in when it is known.
    let mut out = b"II*\0\0\0\0\0".to_vec();
    let (mut offsets, mut counts) = (Vec::new(), Vec::new());
    for strip in items.chunks(row * rows) {
        let start = out.len();
        let plain: Vec<u8> = strip.iter().flat_map(&bytes).collect();
        let mut encoder = ZlibEncoder::new(out, Compression::default());
        out = encoder
            .write_all(&plain)
            .and_then(|()| encoder.finish())
            .map_err(|error| Failure::model(format!("a TIFF can't be written: {error}")))?;
        offsets.push(u32::try_from(start).map_err(|_| too_large())?);
        counts.push(u32::try_from(out.len() - start).map_err(|_| too_large())?);
        // Offsets are even by §2 of the specification.
        out.resize(out.len().next_multiple_of(2), 0);
    }

    let bits = u16::try_from(N * 8).map_err(|_| too_large())?;
    let colour = bands == 3 && sample_format == 1;
    let mut fields = vec![
        Field::longs(256, vec![image.width()]),
        Field::longs(257, vec![image.height()]),
        Field::shorts(258, vec![bits; usize::from(bands)]),
        Field::shorts(259, vec![8]),
        Field::shorts(262, vec![if colour { 2 } else { 1 }]),
        Field::longs(273, offsets),
        Field::shorts(277, vec![bands]),
        Field::longs(278, vec![u32::try_from(rows).unwrap_or(u32::MAX)]),
        Field::longs(279, counts),
        Field::shorts(284, vec![1]),
    ];
    if bands > 1 && !colour {
        fields.push(Field::shorts(338, vec![0; usize::from(bands) - 1]));
    }
    fields.push(Field::shorts(339, vec![sample_format; usize::from(bands)]));

    let directory = u32::try_from(out.len()).map_err(|_| too_large())?;
    out[4..8].copy_from_slice(&directory.to_le_bytes());
    append_directory(&mut out, &fields).ok_or_else(too_large)?;
    Ok(out)
}

/// One field of the directory: TIFF 6.0, §2.
struct Field {
    tag: u16,
    kind: u16,
    count: usize,
    bytes: Vec<u8>,
}

impl Field {
    fn shorts(tag: u16, values: Vec<u16>) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { tag, kind: 3, count: values.len(), bytes }
    }

    fn longs(tag: u16, values: Vec<u32>) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self { tag, kind: 4, count: values.len(), bytes }
    }
}

/// Appends the directory and behind it what does not fit into its fields; `None` beyond 4 GiB.
fn append_directory(out: &mut Vec<u8>, fields: &[Field]) -> Option<()> {
    let mut behind = Vec::new();
    let behind_at = out.len() + 2 + fields.len() * 12 + 4;
    out.extend(u16::try_from(fields.len()).ok()?.to_le_bytes());
    for field in fields {
        out.extend(field.tag.to_le_bytes());
        out.extend(field.kind.to_le_bytes());
        out.extend(u32::try_from(field.count).ok()?.to_le_bytes());
        if field.bytes.len() <= 4 {
            let mut value = [0; 4];
            value[..field.bytes.len()].copy_from_slice(&field.bytes);
            out.extend(value);
        } else {
            out.extend(u32::try_from(behind_at + behind.len()).ok()?.to_le_bytes());
            behind.extend(&field.bytes);
            behind.resize(behind.len().next_multiple_of(2), 0);
        }
    }
    out.extend(0u32.to_le_bytes());
    out.extend(behind);
    Some(())
}
