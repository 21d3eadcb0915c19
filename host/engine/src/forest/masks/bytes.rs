//! [`Bytes`]: a register of bytes, for what 16 or 32 rows decide at once.
#![allow(unsafe_code, reason = "a processor's own instructions")]

/// A register. Its methods are to be called where the processor has its instructions.
pub(super) trait Bytes: Copy {
    const WIDTH: usize;

    /// # Safety
    ///
    /// `from` has [`Bytes::WIDTH`] bytes.
    unsafe fn load(from: *const u8) -> Self;

    /// # Safety
    ///
    /// `to` has room for [`Bytes::WIDTH`] bytes.
    unsafe fn store(self, to: *mut u8);

    /// # Safety
    ///
    /// The processor has the instructions; so for all that follow.
    unsafe fn splat(byte: u8) -> Self;

    /// 255 where this is at least that, otherwise 0.
    unsafe fn at_least(self, other: Self) -> Self;

    /// `yes` where this is 255, `no` where it is 0.
    unsafe fn choose(self, yes: Self, no: Self) -> Self;

    unsafe fn and(self, other: Self) -> Self;

    unsafe fn or(self, other: Self) -> Self;
}

macro_rules! bytes {
    ($type:ty, $width:literal, $load:expr, $store:expr, $splat:expr, $at_least:expr, $choose:expr, $and:expr, $or:expr) => {
        impl Bytes for $type {
            const WIDTH: usize = $width;
            #[inline(always)]
            unsafe fn load(from: *const u8) -> Self {
                // SAFETY: the caller's, here and below.
                unsafe { $load(from.cast()) }
            }
            #[inline(always)]
            unsafe fn store(self, to: *mut u8) {
                // SAFETY: the caller's.
                unsafe { $store(to.cast(), self) }
            }
            #[inline(always)]
            unsafe fn splat(byte: u8) -> Self {
                // SAFETY: the caller's.
                unsafe { $splat(byte) }
            }
            #[inline(always)]
            unsafe fn at_least(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $at_least(self, other) }
            }
            #[inline(always)]
            unsafe fn choose(self, yes: Self, no: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $choose(self, yes, no) }
            }
            #[inline(always)]
            unsafe fn and(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $and(self, other) }
            }
            #[inline(always)]
            unsafe fn or(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $or(self, other) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Bytes;
    use std::arch::x86_64::*;

    bytes!(
        __m256i,
        32,
        |from: *const __m256i| _mm256_loadu_si256(from),
        |to: *mut __m256i, x| _mm256_storeu_si256(to, x),
        |byte: u8| _mm256_set1_epi8(byte as i8),
        |x, y| _mm256_cmpeq_epi8(_mm256_max_epu8(x, y), x),
        |mask, yes, no| _mm256_blendv_epi8(no, yes, mask),
        |x, y| _mm256_and_si256(x, y),
        |x, y| _mm256_or_si256(x, y)
    );

    // Every x86-64 has SSE2.
    bytes!(
        __m128i,
        16,
        |from: *const __m128i| _mm_loadu_si128(from),
        |to: *mut __m128i, x| _mm_storeu_si128(to, x),
        |byte: u8| _mm_set1_epi8(byte as i8),
        |x, y| _mm_cmpeq_epi8(_mm_max_epu8(x, y), x),
        |mask, yes, no| _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no)),
        |x, y| _mm_and_si128(x, y),
        |x, y| _mm_or_si128(x, y)
    );
}

#[cfg(target_arch = "x86_64")]
pub(super) type Common = std::arch::x86_64::__m128i;

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::Bytes;
    use std::arch::aarch64::*;

    // Every AArch64 has NEON.
    bytes!(
        uint8x16_t,
        16,
        |from: *const u8| vld1q_u8(from),
        |to: *mut u8, x| vst1q_u8(to, x),
        |byte: u8| vdupq_n_u8(byte),
        |x, y| vcgeq_u8(x, y),
        |mask, yes, no| vbslq_u8(mask, yes, no),
        |x, y| vandq_u8(x, y),
        |x, y| vorrq_u8(x, y)
    );
}

#[cfg(target_arch = "aarch64")]
pub(super) type Common = std::arch::aarch64::uint8x16_t;

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
#[allow(unused_unsafe, reason = "what touches no memory is safe to call here, and isn't on x86")]
mod simd128 {
    use super::Bytes;
    use std::arch::wasm32::*;

    bytes!(
        v128,
        16,
        |from: *const v128| v128_load(from),
        |to: *mut v128, x| v128_store(to, x),
        |byte: u8| u8x16_splat(byte),
        |x, y| u8x16_ge(x, y),
        |mask, yes, no| v128_bitselect(yes, no, mask),
        |x, y| v128_and(x, y),
        |x, y| v128_or(x, y)
    );
}

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
pub(super) type Common = std::arch::wasm32::v128;

/// Eight bytes in a number, where there are no registers of bytes.
#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_family = "wasm", target_feature = "simd128")
)))]
#[allow(unused_unsafe, reason = "numbers need none")]
mod word {
    use super::Bytes;

    const HIGH: u64 = 0x8080_8080_8080_8080;

    /// Per byte, whether x >= y: the high bits decide where they differ, and otherwise whether `x - y` borrows.
    fn at_least(x: u64, y: u64) -> u64 {
        let low = (x | HIGH) - (y & !HIGH);
        let high = ((x & !y) | (!(x ^ y) & low)) & HIGH;
        (high >> 7) * 255
    }

    bytes!(
        u64,
        8,
        |from: *const u64| from.read_unaligned(),
        |to: *mut u64, x| to.write_unaligned(x),
        |byte: u8| u64::from_ne_bytes([byte; 8]),
        |x, y| at_least(x, y),
        |mask: u64, yes: u64, no: u64| mask & yes | !mask & no,
        |x: u64, y: u64| x & y,
        |x: u64, y: u64| x | y
    );
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_family = "wasm", target_feature = "simd128")
)))]
pub(super) type Common = u64;
