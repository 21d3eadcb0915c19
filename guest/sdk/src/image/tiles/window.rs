//! [`Window`]: how much each pixel of a tile counts where tiles overlap.

use std::f64::consts::PI;

/// The weight of a tile's pixels; that of pixel (y, x) is `w(y) · w(x)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Window {
    /// `w(i) = min(i + 1, tile − i, overlap) / overlap`: a ramp over the overlap; 1 without one.
    /// Sums are divided by the sum of the weights, so that tiles that agree give what they agree on.
    Linear {
        /// Pixels that a tile shares with the next
        overlap: u32,
    },
    /// A cosine ramp over `r = overlap · (tile − 1)` at each end: `w(i) = (1 − cos(π i / r)) / 2`
    /// for `i ≤ r`, 1 in the middle, mirrored at the end (a tapered cosine or Tukey window with
    /// `alpha = 2 · overlap`). Sums are *not* divided: for the published tiles of 256 pixels at
    /// 0.2, the ramps of neighbours add up to 1.
    Tukey {
        /// The fraction of its side that a tile shares with the next, 0 to 0.5
        overlap: f64,
    },
}

impl Window {
    /// The weights along one side of a tile of `tile` pixels.
    pub(super) fn weights(self, tile: usize) -> Vec<f64> {
        // Sides are below 2^32, which f64 holds exactly.
        let last = tile.saturating_sub(1) as f64;
        match self {
            Self::Linear { overlap: 0 } => vec![1.0; tile],
            Self::Linear { overlap } => (0..tile)
                .map(|i| (i + 1).min(tile - i).min(super::super::size(overlap)) as f64 / f64::from(overlap))
                .collect(),
            Self::Tukey { overlap } if overlap <= 0.0 || tile <= 1 => vec![1.0; tile],
            Self::Tukey { overlap } => {
                let alpha = 2.0 * overlap;
                let ramp = (alpha * last / 2.0).floor();
                (0..tile)
                    .map(|i| {
                        let i = i as f64;
                        // Written as scipy writes it, so that the last bits agree.
                        if i <= ramp {
                            0.5 * (1.0 + (PI * (-1.0 + 2.0 * i / alpha / last)).cos())
                        } else if i < last - ramp {
                            1.0
                        } else {
                            0.5 * (1.0 + (PI * (-2.0 / alpha + 1.0 + 2.0 * i / alpha / last)).cos())
                        }
                    })
                    .collect()
            }
        }
    }

    /// Whether sums are divided by the sum of the weights.
    pub(super) fn is_divided(self) -> bool {
        matches!(self, Self::Linear { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linear_ramp_is_as_long_as_the_overlap() {
        for (overlap, expected) in [
            (0, [1.0, 1.0, 1.0, 1.0, 1.0]),
            (1, [1.0, 1.0, 1.0, 1.0, 1.0]),
            (2, [0.5, 1.0, 1.0, 1.0, 0.5]),
            (4, [0.25, 0.5, 0.75, 0.5, 0.25]),
        ] {
            assert_eq!(Window::Linear { overlap }.weights(5), expected, "overlap {overlap}");
        }
    }

    #[test]
    fn the_published_ramps_add_up_to_one() {
        let weights = Window::Tukey { overlap: 0.2 }.weights(256);
        for i in 0..52 {
            assert!((weights[i] + weights[204 + i] - 1.0).abs() < 1e-12, "pixel {i}");
        }
        assert_eq!((weights[0], weights[52], weights[128]), (0.0, 1.0, 1.0));
    }
}
