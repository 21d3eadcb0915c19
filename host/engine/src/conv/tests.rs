//! The kernels against plain loops, and whole regions against tract, on seeded random shapes, for every processor that
//! this one can be.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod graphs;
mod kernels;

/// Numbers that look random and are the same each time (xorshift, Marsaglia 2003).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// From `low` to `high`, both included.
    pub(super) fn within(&mut self, low: usize, high: usize) -> usize {
        low + self.next() as usize % (high - low + 1)
    }

    pub(super) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.within(0, choices.len() - 1)]
    }

    /// From -1 to 1.
    pub(super) fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() as f64 / (1u64 << 52) as f64 - 1.0) as f32).collect()
    }
}

/// Whether `got` is within 1e-5 of the greatest magnitude that its terms can have summed up to.
pub(super) fn assert_close(title: &str, got: &[f32], expected: &[f32], scale: f32) {
    assert_eq!(got.len(), expected.len(), "{title}");
    for (at, (got, expected)) in got.iter().zip(expected).enumerate() {
        let near = got == expected || (got - expected).abs() <= 1e-5 * expected.abs().max(scale);
        assert!(near, "{title}, element {at}: expected {expected}, got {got}");
    }
}
