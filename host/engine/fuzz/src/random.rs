//! [`Random`]: choices that follow from a seed (Marsaglia's xorshift with 64 bits).

pub struct Random(u64);

impl Random {
    pub fn new(seed: u32) -> Self {
        Self(u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// Below `end`, which is more than 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }

    pub fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    /// A number at which things go wrong.
    pub fn integer(&mut self) -> i64 {
        const ODD: [i64; 22] = [
            0,
            1,
            -1,
            2,
            3,
            5,
            64,
            255,
            256,
            -128,
            65_535,
            1 << 20,
            (1 << 24) - 1,
            1 << 24,
            1 << 28,
            i32::MAX as i64,
            i32::MIN as i64,
            u32::MAX as i64,
            1 << 40,
            1 << 53,
            i64::MAX,
            i64::MIN,
        ];
        if self.one_in(3) { self.below(40) as i64 - 8 } else { *self.pick(&ODD) }
    }

    pub fn float(&mut self) -> f64 {
        const ODD: [f64; 12] =
            [0.0, -0.0, 1.0, -1.0, 0.5, 1e-40, 1e-320, 1e38, 1e39, 1e308, -1e308, 16_777_217.0];
        if self.one_in(3) { self.next() as f64 / 1e12 } else { *self.pick(&ODD) }
    }
}
