//! [`decode`]: a picture file becomes an [`Image`], within limits that its header is held to first.

mod jpeg;
mod png;
mod tiff;
mod webp;

use super::Image;
use super::orientation::Orientation;
use crate::Failure;

/// How large a decoded picture may be.
///
/// A file of a few bytes can claim billions of pixels. Its header is compared with these limits
/// before any memory is taken for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Width × height
    pub max_pixels: u64,
    /// Bytes of the decoded samples, all bands together. A decoder may hold up to three times as much
    /// while it works.
    pub max_bytes: u64,
    /// Pixels across
    pub max_width: u32,
    /// Pixels down
    pub max_height: u32,
}

impl Default for DecodeLimits {
    /// 64 Mi pixels, 256 MiB, 65,535 pixels in each direction.
    fn default() -> Self {
        Self { max_pixels: 64 << 20, max_bytes: 256 << 20, max_width: 65_535, max_height: 65_535 }
    }
}

impl DecodeLimits {
    /// The number of samples of a picture that is within the limits.
    fn check(&self, width: u64, height: u64, bands: u64, sample_bytes: u64) -> Result<usize, Failure> {
        if width == 0 || height == 0 || bands == 0 {
            return Err(Failure::caller("the picture is empty")
                .expected("at least 1 x 1 with 1 band")
                .actual(format!("{width} x {height} with {bands} bands")));
        }
        let too_large = |expected: String, actual| {
            Err(Failure::caller("the picture is too large").expected(expected).actual(actual))
        };
        let pixels = width.checked_mul(height).filter(|&pixels| pixels <= self.max_pixels);
        let Some(pixels) = pixels else {
            return too_large(format!("at most {} pixels", self.max_pixels), format!("{width} x {height}"));
        };
        if width > u64::from(self.max_width) || height > u64::from(self.max_height) {
            return too_large(
                format!("at most {} x {}", self.max_width, self.max_height),
                format!("{width} x {height}"),
            );
        }
        let samples = pixels.checked_mul(bands);
        match samples.and_then(|samples| samples.checked_mul(sample_bytes)) {
            Some(bytes) if bytes <= self.max_bytes && isize::try_from(bytes).is_ok() => {
                // Fewer than the bytes, which fit.
                Ok(usize::try_from(bytes / sample_bytes).unwrap_or(usize::MAX))
            }
            _ => too_large(
                format!("at most {} bytes of samples", self.max_bytes),
                format!("{width} x {height} with {bands} bands of {sample_bytes} bytes"),
            ),
        }
    }
}

/// The picture in `bytes`: PNG, JPEG, WebP or TIFF, told by its first bytes.
///
/// - PNG becomes `u8`, or `u16` where it has 16 bits: grey, grey + alpha, RGB or RGBA. A palette is
///   expanded, 1 to 4 bits are stretched to 0–255, a transparent colour becomes alpha. Animations
///   are refused.
/// - JPEG becomes `u8`, grey or RGB, with the samples that libjpeg-turbo and Pillow give; CMYK becomes
///   RGB, taken as inverted as Adobe writes it. More than 8 bits, lossless and arithmetic coding are
///   refused.
/// - WebP becomes `u8`: RGB or RGBA. Animations are refused.
/// - TIFF becomes `u8`, `u16` or `f32` with any number of bands, those beyond RGB included: the first
///   page, in strips or tiles, bands together or apart, uncompressed or by LZW, deflate or PackBits,
///   with predictors 1 to 3, as BigTIFF too. Palettes, CMYK, YCbCr and JPEG inside are refused, and
///   so are signed samples and other bits.
///
/// The rows are as stored; [`decode_upright`] turns the picture as its camera was held.
///
/// # Errors
/// A [`Fault::Caller`](crate::Fault::Caller) failure where the format is another, the picture is
/// beyond `limits`, or the file is truncated or corrupt.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, Failure> {
    read(bytes, limits).map(|(image, _)| image)
}

/// [`decode`], and the picture turned upright as its EXIF orientation says (tag 274 for a TIFF).
/// A file without one is taken as upright.
///
/// # Errors
/// As [`decode`].
pub fn decode_upright(bytes: &[u8], limits: &DecodeLimits) -> Result<Image, Failure> {
    read(bytes, limits).and_then(|(image, orientation)| orientation.upright(image))
}

fn read(bytes: &[u8], limits: &DecodeLimits) -> Result<(Image, Orientation), Failure> {
    match format_of(bytes) {
        Format::Png => png::decode(bytes, limits),
        Format::Jpeg => jpeg::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
        Format::Other(name) => Err(Failure::caller("the picture's format can't be read")
            .expected("PNG, JPEG, WebP or TIFF")
            .actual(name)),
    }
}

enum Format {
    Png,
    Jpeg,
    WebP,
    Tiff,
    /// A format that is named and refused
    Other(&'static str),
}

fn format_of(bytes: &[u8]) -> Format {
    match bytes {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Format::Png,
        [0xff, 0xd8, 0xff, ..] => Format::Jpeg,
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Format::WebP,
        [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Format::Tiff,
        [] => Format::Other("an empty file"),
        [b'G', b'I', b'F', b'8', ..] => Format::Other("GIF"),
        [b'B', b'M', ..] => Format::Other("BMP"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => Format::Other("AVIF"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => Format::Other("HEIF"),
        [0, 0, 0, 12, b'j', b'P', b' ', b' ', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => {
            Format::Other("JPEG 2000")
        }
        [0xff, 0x0a, ..] | [0, 0, 0, 12, b'J', b'X', b'L', b' ', ..] => Format::Other("JPEG XL"),
        [b'%', b'P', b'D', b'F', ..] => Format::Other("PDF"),
        [b'<', ..] => Format::Other("markup such as SVG"),
        _ => Format::Other("a file that starts like none of them"),
    }
}

/// A file of `format` that its decoder can't read.
fn corrupt(format: &str, reason: impl std::fmt::Display) -> Failure {
    Failure::caller(format!("the {format} is truncated, corrupt or of an unknown kind: {reason}"))
}

/// The orientation in a block of EXIF, which is a TIFF without a picture; upright where it can't be read.
fn exif_orientation(exif: Option<&[u8]>) -> Orientation {
    let block = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
    block.map(tiff::orientation).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_inclusive_and_each_is_named() {
        let limits = DecodeLimits { max_pixels: 100, max_bytes: 300, max_width: 20, max_height: 30 };
        assert_eq!(limits.check(10, 10, 3, 1).expect("all at their limit"), 300);
        for (width, height, bands, bytes, expected) in [
            (11, 10, 1, 1, "at most 100 pixels"),
            (21, 1, 1, 1, "at most 20 x 30"),
            (1, 31, 1, 1, "at most 20 x 30"),
            (10, 10, 2, 2, "at most 300 bytes of samples"),
            (u64::MAX, u64::MAX, u64::MAX, 4, "at most 100 pixels"),
            (1, 1, u64::MAX, 4, "at most 300 bytes of samples"),
            (0, 1, 1, 1, "at least 1 x 1 with 1 band"),
        ] {
            let failure = limits.check(width, height, bands, bytes).expect_err("beyond a limit");
            assert_eq!(failure.expected.as_deref(), Some(expected), "{width} x {height}");
        }
    }

    #[test]
    fn a_bomb_is_named_as_the_documentation_says() {
        let failure = DecodeLimits::default().check(65_535, 65_535, 3, 1).expect_err("4 billion pixels");
        assert_eq!(
            failure.to_string(),
            "the picture is too large: expected at most 67108864 pixels, got 65535 x 65535"
        );
    }
}
