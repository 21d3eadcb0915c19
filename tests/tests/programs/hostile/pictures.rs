//! Picture files, whole and otherwise, made byte by byte.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// A picture of stripes, `width` by `height`, as a good PNG.
pub fn good_png(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, image::ImageFormat::Png)
}

pub fn good_jpeg(width: u32, height: u32) -> Vec<u8> {
    encoded(width, height, image::ImageFormat::Jpeg)
}

fn encoded(width: u32, height: u32, format: image::ImageFormat) -> Vec<u8> {
    let shade = |x: u32, y: u32| u8::try_from((x * 7 + y * 13) % 256).expect("below 256");
    let picture =
        image::RgbImage::from_fn(width, height, |x, y| image::Rgb([shade(x, y), shade(y, x), shade(x, x)]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).expect("a picture can be encoded");
    bytes.into_inner()
}

/// PNG (third edition) §5: the signature and the chunks.
pub fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        let mut crc = Crc::new();
        crc.update(*name);
        crc.update(data);
        bytes.extend(u32::try_from(data.len()).expect("a chunk is small").to_be_bytes());
        bytes.extend_from_slice(*name);
        bytes.extend_from_slice(data);
        bytes.extend(crc.sum().to_be_bytes());
    }
    bytes
}

/// §11.2.1: width, height, bits of a sample, colour type, and the rest by default.
pub fn header(width: u32, height: u32, bits: u8, colour: u8) -> Vec<u8> {
    [&width.to_be_bytes()[..], &height.to_be_bytes(), &[bits, colour, 0, 0, 0]].concat()
}

pub fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes")
}

/// `bytes` zeros as zlib (RFC 1950) at some thousandth of their size, without ever holding them: a
/// block of a mebibyte that ends on a byte can stand any number of times.
pub fn zeros(bytes: u64) -> Vec<u8> {
    const BLOCK: usize = 1 << 20;
    let mut encoder = flate2::Compress::new(Compression::best(), false);
    let zeros = vec![0; BLOCK];
    let mut block = |flush| {
        let mut out = Vec::with_capacity(8192);
        encoder.compress_vec(&zeros, &mut out, flush).expect("there is room");
        out
    };
    let first = block(flate2::FlushCompress::Full);
    let other = block(flate2::FlushCompress::Full);
    let blocks = bytes.div_ceil(BLOCK as u64);
    let mut stream = vec![0x78, 0xda];
    stream.extend(first);
    for _ in 1..blocks {
        stream.extend_from_slice(&other);
    }
    // The last block: empty, of fixed codes.
    stream.extend([0x03, 0x00]);
    // Adler-32 of zeros: the low half stays 1, the high half counts them.
    let high = u32::try_from(blocks * BLOCK as u64 % 65_521).expect("below 65521");
    stream.extend((high << 16 | 1).to_be_bytes());
    stream
}

/// A little-endian TIFF 6.0 of one directory: `(tag, type, count, value)` for each entry, then `data`,
/// which begins at [`tiff_data`].
pub fn tiff(entries: &[(u16, u16, u32, u32)], next: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"II\x2a\0\x08\0\0\0".to_vec();
    bytes.extend(u16::try_from(entries.len()).expect("few").to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(next.to_le_bytes());
    bytes.extend_from_slice(data);
    bytes
}

pub fn tiff_data(entries: usize) -> u32 {
    u32::try_from(8 + 2 + entries * 12 + 4).expect("few")
}

/// The entries of a grey picture of one strip, 8 bits a sample.
pub fn grey(width: u32, height: u32) -> Vec<(u16, u16, u32, u32)> {
    vec![
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, tiff_data(9)),
        (277, 3, 1, 1),
        (278, 4, 1, height),
        (279, 4, 1, width.wrapping_mul(height)),
    ]
}

/// The same with one entry's count and value changed.
pub fn grey_but(tag: u16, count: u32, value: u32) -> Vec<(u16, u16, u32, u32)> {
    let mut entries = grey(16, 16);
    for entry in &mut entries {
        if entry.0 == tag {
            (entry.2, entry.3) = (count, value);
        }
    }
    entries
}

/// RIFF with one WebP chunk.
pub fn webp(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).expect("small").to_le_bytes();
    [b"RIFF", &length(12 + data.len())[..], b"WEBP", name, &length(data.len()), data].concat()
}
