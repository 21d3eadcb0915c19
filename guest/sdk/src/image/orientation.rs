//! [`Orientation`]: how a camera was held, and the picture turned upright.

use super::{Image, same_type};
use crate::Failure;

/// How the stored rows and columns lie in the upright picture: EXIF 2.32, §4.6.4 A, tag 274.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orientation {
    /// Rows and columns are exchanged, before anything is mirrored
    transposed: bool,
    mirrored_across: bool,
    mirrored_down: bool,
}

impl Orientation {
    /// The orientation of the tag's value; one that the specification does not know is upright.
    pub fn from_tag(value: u64) -> Self {
        let (transposed, mirrored_across, mirrored_down) = match value {
            2 => (false, true, false),
            3 => (false, true, true),
            4 => (false, false, true),
            5 => (true, false, false),
            6 => (true, true, false),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { transposed, mirrored_across, mirrored_down }
    }

    /// The picture as it was seen.
    ///
    /// # Errors
    /// None in practice: the result is as large as the picture.
    pub fn upright(self, image: Image) -> Result<Image, Failure> {
        if self == Self::default() {
            return Ok(image);
        }
        let (width, height) =
            if self.transposed { (image.height, image.width) } else { (image.width, image.height) };
        let pixels = same_type!(&image.pixels, items => self.turned(&image, items));
        Image::new(width, height, image.bands, pixels)
    }

    fn turned<T: Copy>(self, image: &Image, items: &[T]) -> Vec<T> {
        let (from_width, from_height, bands) = image.dims();
        let (width, height) =
            if self.transposed { (from_height, from_width) } else { (from_width, from_height) };
        let mut out = Vec::with_capacity(items.len());
        for y in 0..height {
            let y = if self.mirrored_down { height - 1 - y } else { y };
            for x in 0..width {
                let x = if self.mirrored_across { width - 1 - x } else { x };
                let pixel = if self.transposed { x * from_width + y } else { y * from_width + x };
                out.extend_from_slice(&items[pixel * bands..][..bands]);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pixels;
    use super::*;

    #[test]
    fn every_value_of_the_tag_turns_the_picture_upright() {
        // 1 2
        // 3 4
        // 5 6
        let image = Image::new(2, 3, 1, Pixels::U8(vec![1, 2, 3, 4, 5, 6])).expect("the length fits");
        for (tag, expected) in [
            (0, [1, 2, 3, 4, 5, 6]),
            (1, [1, 2, 3, 4, 5, 6]),
            (2, [2, 1, 4, 3, 6, 5]),
            (3, [6, 5, 4, 3, 2, 1]),
            (4, [5, 6, 3, 4, 1, 2]),
            (5, [1, 3, 5, 2, 4, 6]),
            (6, [5, 3, 1, 6, 4, 2]),
            (7, [6, 4, 2, 5, 3, 1]),
            (8, [2, 4, 6, 1, 3, 5]),
            (9, [1, 2, 3, 4, 5, 6]),
        ] {
            let upright = Orientation::from_tag(tag).upright(image.clone()).expect("it fits");
            assert_eq!(upright.pixels, Pixels::U8(expected.to_vec()), "tag {tag}");
            assert_eq!(upright.width, if (5..=8).contains(&tag) { 3 } else { 2 }, "tag {tag}");
        }
    }
}
