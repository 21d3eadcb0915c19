//! [`Lanes`]: sixteen f32 side by side, as the processor at hand has them, and [`Isa`]: which processor that is.
//!
//! `unsafe` because the instructions are chosen at run time and memory is read through pointers: the kernels that are
//! built on this trait index with offsets that `conv::shape` has computed and checked once per plan.
#![allow(unsafe_code, reason = "SIMD intrinsics behind run-time dispatch have no safe form")]

/// Floats in a block of channels, on every processor, so that a plan's layout doesn't depend on it.
pub(super) const BLOCK: usize = 16;

/// What the kernels are compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isa {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Of WebAssembly.
    #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
    Simd128,
    /// Plain Rust, for the tests: no processor is given it, tract's own kernels are faster.
    #[cfg_attr(not(test), allow(dead_code, reason = "the tests compare the others with it"))]
    Plain,
}

impl Isa {
    /// The best that this processor has, `None` where tract's own kernels are the better choice.
    pub(super) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Some(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Some(Self::Avx2);
            }
        }
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        return Some(Self::Simd128);
        #[cfg(not(all(target_family = "wasm", target_feature = "simd128")))]
        None
    }

    /// All that can run here.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::Plain];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                all.push(Self::Avx2);
            }
            if is_x86_feature_detected!("avx512f") {
                all.push(Self::Avx512);
            }
        }
        #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
        all.push(Self::Simd128);
        all
    }
}

/// [`Lanes::WIDTH`] f32 side by side. `max` and `min` return the right operand where one is NaN.
///
/// # Safety
///
/// Every method needs the processor to have the implementor's instructions; `load` and `store` as many valid floats.
pub(super) trait Lanes: Copy {
    /// What divides [`BLOCK`].
    const WIDTH: usize = BLOCK;
    /// So much of a block that several of it stay in registers, beside what they are sums of.
    type Sums: Lanes;
    /// So much of a block that six of it do, and what they are turned into.
    type Line: Lanes;

    unsafe fn splat(x: f32) -> Self;
    /// Four floats that follow each other, each in all lanes, if that is faster than one at a time.
    const SPREADS: bool = false;
    #[inline(always)]
    unsafe fn spread(from: *const f32) -> [Self; 4] {
        // SAFETY: the caller's floats.
        std::array::from_fn(|at| unsafe { Self::splat(*from.add(at)) })
    }
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    unsafe fn div(self, other: Self) -> Self;
    unsafe fn max(self, other: Self) -> Self;
    unsafe fn min(self, other: Self) -> Self;
    /// `self * by + to`, rounded once where the processor can.
    unsafe fn mul_add(self, by: Self, to: Self) -> Self;
    /// To the nearest integer, halves to even. For values within the range of i32.
    unsafe fn round(self) -> Self;
    /// Times two to the power of `n`, an integer of -126 to 127.
    unsafe fn scale(self, n: Self) -> Self;
}

/// Adds to `sums` the products of `lanes` floats of each of `P` pixels, `pixel` apart, with weights of `K` blocks, which
/// follow each other.
#[inline(always)]
pub(super) unsafe fn add_products<V: Lanes, const K: usize, const P: usize>(
    sums: &mut [[V; K]; P],
    input: *const f32,
    pixel: usize,
    mut weight: *const f32,
    lanes: usize,
) {
    // SAFETY: the caller's pixels and weights.
    unsafe {
        let add = |sums: &mut [[V; K]; P], x: [V; P], weight: *const f32| {
            let mut w = [V::splat(0.0); K];
            for (k, w) in w.iter_mut().enumerate() {
                *w = V::load(weight.add(k * BLOCK));
            }
            for (sums, x) in sums.iter_mut().zip(x) {
                for (sum, w) in sums.iter_mut().zip(w) {
                    *sum = x.mul_add(w, *sum);
                }
            }
        };
        let mut lane = 0;
        while V::SPREADS && lane + 4 <= lanes {
            let mut four = [[V::splat(0.0); 4]; P];
            for (p, four) in four.iter_mut().enumerate() {
                *four = V::spread(input.add(p * pixel + lane));
            }
            for at in 0..4 {
                add(sums, four.map(|four| four[at]), weight);
                weight = weight.add(K * BLOCK);
            }
            lane += 4;
        }
        for lane in lane..lanes {
            let mut x = [V::splat(0.0); P];
            for (p, x) in x.iter_mut().enumerate() {
                *x = V::splat(*input.add(p * pixel + lane));
            }
            add(sums, x, weight);
            weight = weight.add(K * BLOCK);
        }
    }
}

/// e to the power of `x`, relative error below 2e-7; 0 below -87.3, and 2.4e38 above 88.3.
#[inline(always)]
pub(super) unsafe fn exp<V: Lanes>(x: V) -> V {
    // SAFETY: as the caller's.
    unsafe {
        // The bounds where two to the power of n stays a normal number. NaN stays: it is the right operand.
        let x = V::splat(88.3).min(V::splat(-87.3).max(x));
        let n = x.mul(V::splat(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts, the first with zeros at its end, so that n times it is exact.
        let r = n.mul_add(V::splat(-0.693_359_4), x);
        let r = n.mul_add(V::splat(2.121_944_4e-4), r);
        // Taylor's terms up to r^7 / 7!: |r| <= ln 2 / 2, so the next is below 6e-9.
        let mut sum = V::splat(1.0 / 5040.0);
        for term in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            sum = sum.mul_add(r, V::splat(term));
        }
        sum.scale(n)
    }
}

#[derive(Clone, Copy)]
pub(super) struct Plain([f32; BLOCK]);

impl Plain {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Plain {
    type Sums = Self;
    type Line = Self;
    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self([x; BLOCK])
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's sixteen floats.
        Self(unsafe { from.cast::<[f32; BLOCK]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's sixteen floats.
        unsafe { to.cast::<[f32; BLOCK]>().write_unaligned(self.0) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    unsafe fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    unsafe fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    unsafe fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    unsafe fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    unsafe fn mul_add(self, by: Self, to: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] * by.0[i] + to.0[i]))
    }
    #[inline(always)]
    unsafe fn round(self) -> Self {
        Self(self.0.map(f32::round_ties_even))
    }
    #[inline(always)]
    unsafe fn scale(self, n: Self) -> Self {
        self.zip(n, |x, n| x * f32::from_bits(((n as i32 + 127) as u32) << 23))
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Lanes;

    #[derive(Clone, Copy)]
    pub(in crate::conv) struct Avx512(__m512);

    // SAFETY of all blocks below: the processor has the instructions and the pointers are valid, as the trait asks.
    impl Lanes for Avx512 {
        type Sums = Self;
        type Line = Self;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            Self(unsafe { _mm512_set1_ps(x) })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            Self(unsafe { _mm512_sub_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            Self(unsafe { _mm512_mul_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            Self(unsafe { _mm512_div_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            Self(unsafe { _mm512_max_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            Self(unsafe { _mm512_min_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn mul_add(self, by: Self, to: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(self.0, by.0, to.0) })
        }
        #[inline(always)]
        unsafe fn round(self) -> Self {
            Self(unsafe { _mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(self.0) })
        }
        #[inline(always)]
        unsafe fn scale(self, n: Self) -> Self {
            Self(unsafe { _mm512_scalef_ps(self.0, n.0) })
        }
    }

    #[derive(Clone, Copy)]
    pub(in crate::conv) struct Avx2(__m256, __m256);

    // SAFETY of all blocks below: the processor has the instructions and the pointers are valid, as the trait asks.
    impl Lanes for Avx2 {
        type Sums = Self;
        type Line = Self;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            unsafe { Self(_mm256_set1_ps(x), _mm256_set1_ps(x)) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Self(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            unsafe { Self(_mm256_sub_ps(self.0, other.0), _mm256_sub_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            unsafe { Self(_mm256_div_ps(self.0, other.0), _mm256_div_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            unsafe { Self(_mm256_max_ps(self.0, other.0), _mm256_max_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            unsafe { Self(_mm256_min_ps(self.0, other.0), _mm256_min_ps(self.1, other.1)) }
        }
        #[inline(always)]
        unsafe fn mul_add(self, by: Self, to: Self) -> Self {
            unsafe { Self(_mm256_fmadd_ps(self.0, by.0, to.0), _mm256_fmadd_ps(self.1, by.1, to.1)) }
        }
        #[inline(always)]
        unsafe fn round(self) -> Self {
            unsafe {
                Self(
                    _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0),
                    _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.1),
                )
            }
        }
        #[inline(always)]
        unsafe fn scale(self, n: Self) -> Self {
            unsafe { Self(scale(self.0, n.0), scale(self.1, n.1)) }
        }
    }

    #[inline(always)]
    unsafe fn scale(x: __m256, n: __m256) -> __m256 {
        // SAFETY: as the caller's.
        unsafe {
            let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
            _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
mod simd128 {
    use std::arch::wasm32::*;

    use super::Lanes;

    /// So many registers.
    #[derive(Clone, Copy)]
    pub(in crate::conv) struct Simd128<const N: usize>([v128; N]);

    impl<const N: usize> Simd128<N> {
        #[inline(always)]
        fn zip(self, other: Self, f: impl Fn(v128, v128) -> v128) -> Self {
            Self(std::array::from_fn(|at| f(self.0[at], other.0[at])))
        }
    }

    impl<const N: usize> Lanes for Simd128<N> {
        const WIDTH: usize = 4 * N;
        type Sums = Simd128<2>;
        type Line = Simd128<1>;
        #[inline(always)]
        unsafe fn splat(x: f32) -> Self {
            Self([f32x4_splat(x); N])
        }
        // A load into all lanes is three instructions where it is compiled for x86.
        const SPREADS: bool = true;
        #[inline(always)]
        unsafe fn spread(from: *const f32) -> [Self; 4] {
            // SAFETY: the caller's floats.
            let x = unsafe { v128_load(from.cast()) };
            [
                Self([i32x4_shuffle::<0, 0, 0, 0>(x, x); N]),
                Self([i32x4_shuffle::<1, 1, 1, 1>(x, x); N]),
                Self([i32x4_shuffle::<2, 2, 2, 2>(x, x); N]),
                Self([i32x4_shuffle::<3, 3, 3, 3>(x, x); N]),
            ]
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            // SAFETY: the caller's floats.
            Self(std::array::from_fn(|at| unsafe { v128_load(from.add(4 * at).cast()) }))
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            for (at, x) in self.0.into_iter().enumerate() {
                // SAFETY: the caller's floats.
                unsafe { v128_store(to.add(4 * at).cast(), x) };
            }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_add(a, b))
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_sub(a, b))
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_mul(a, b))
        }
        #[inline(always)]
        unsafe fn div(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_div(a, b))
        }
        // The pseudo-minimum and -maximum are one instruction of a processor, and give their left operand for NaN.
        #[inline(always)]
        unsafe fn max(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_pmax(b, a))
        }
        #[inline(always)]
        unsafe fn min(self, other: Self) -> Self {
            self.zip(other, |a, b| f32x4_pmin(b, a))
        }
        /// Rounded twice: WebAssembly has no such instruction that is the same everywhere.
        #[inline(always)]
        unsafe fn mul_add(self, by: Self, to: Self) -> Self {
            Self(std::array::from_fn(|at| f32x4_add(f32x4_mul(self.0[at], by.0[at]), to.0[at])))
        }
        #[inline(always)]
        unsafe fn round(self) -> Self {
            Self(self.0.map(|x| f32x4_nearest(x)))
        }
        #[inline(always)]
        unsafe fn scale(self, n: Self) -> Self {
            self.zip(n, |x, n| {
                let exponent = i32x4_add(i32x4_trunc_sat_f32x4(n), i32x4_splat(127));
                f32x4_mul(x, i32x4_shl(exponent, 23))
            })
        }
    }
}

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
pub(super) use simd128::Simd128;

/// Calls a function that is generic over [`Lanes`] in its version for `isa`; unsafe as the function is.
macro_rules! on {
    ($isa:expr, $call:ident($($name:ident: $type:ty),*)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f")]
        unsafe fn avx512($($name: $type),*) {
            // SAFETY: as the caller's; the feature is enabled here.
            unsafe { $call::<$crate::conv::lanes::Avx512>($($name),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2($($name: $type),*) {
            // SAFETY: as the caller's; the features are enabled here.
            unsafe { $call::<$crate::conv::lanes::Avx2>($($name),*) }
        }
        // `Isa::detect` found the features; the rest is the caller's.
        match $isa {
            #[cfg(target_arch = "x86_64")]
            $crate::conv::lanes::Isa::Avx512 => avx512($($name),*),
            #[cfg(target_arch = "x86_64")]
            $crate::conv::lanes::Isa::Avx2 => avx2($($name),*),
            #[cfg(all(target_family = "wasm", target_feature = "simd128"))]
            $crate::conv::lanes::Isa::Simd128 => $call::<$crate::conv::lanes::Simd128<4>>($($name),*),
            $crate::conv::lanes::Isa::Plain => $call::<$crate::conv::lanes::Plain>($($name),*),
        }
    }};
}
pub(super) use on;
