//! [`Real`]: f32 and f64, for code that is the same in both.
#![allow(clippy::unnecessary_cast, reason = "the macro is for two types")]

use std::ops::{Add, Div, Mul, Neg, Sub};

pub(crate) trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    /// Rounded to nearest.
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
    fn exp(self) -> Self;
    fn ln_1p(self) -> Self;
    fn abs(self) -> Self;
    /// The greater one; a number rather than NaN.
    fn max(self, other: Self) -> Self;
    /// The less one; a number rather than NaN.
    fn min(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
    /// The greatest number that is at most `x`.
    fn at_most(x: f64) -> Self;
    const INFINITY: Self;
    const NAN: Self;
}

macro_rules! real {
    ($t:ident) => {
        impl Real for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            fn of(x: f64) -> Self {
                x as Self
            }
            fn wide(self) -> f64 {
                self.into()
            }
            fn exp(self) -> Self {
                self.exp()
            }
            fn ln_1p(self) -> Self {
                self.ln_1p()
            }
            fn abs(self) -> Self {
                self.abs()
            }
            fn max(self, other: Self) -> Self {
                self.max(other)
            }
            fn min(self, other: Self) -> Self {
                self.min(other)
            }
            fn is_nan(self) -> bool {
                self.is_nan()
            }
            fn at_most(x: f64) -> Self {
                let near = x as Self;
                if f64::from(near) > x { near.next_down() } else { near }
            }
            const INFINITY: Self = $t::INFINITY;
            const NAN: Self = $t::NAN;
        }
    };
}

real!(f32);
real!(f64);
