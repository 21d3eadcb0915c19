//! [`Bytes`]: a register of bytes, for what 8, 16 or 32 rows, or trees, decide at once.
#![allow(unsafe_code, reason = "a processor's own instructions")]

#[allow(unused_imports, reason = "each processor has one or the other")]
use super::{Outcomes, TILE, find, find_packed};

/// A register. Its methods are to be called where the processor has its instructions.
pub(super) trait Bytes: Copy {
    const WIDTH: usize;

    /// Something for each register of a tile.
    type Tile<T: Copy>: AsMut<[T]>;

    fn tile<T: Copy>(of: T) -> Self::Tile<T>;

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

    /// 255 where this is above that, both read as signed numbers, otherwise 0.
    unsafe fn above(self, other: Self) -> Self;

    /// `yes` where this is 255, `no` where it is 0.
    unsafe fn choose(self, yes: Self, no: Self) -> Self;

    unsafe fn and(self, other: Self) -> Self;

    unsafe fn or(self, other: Self) -> Self;

    /// The difference, wrapping around.
    unsafe fn minus(self, other: Self) -> Self;

    /// 255 where this is that, otherwise 0.
    unsafe fn equal(self, other: Self) -> Self;

    /// Twice this, and one more where `outcome` is 255 and not 0.
    unsafe fn push(self, outcome: Self) -> Self;

    /// [`find`] for trees of more than four levels.
    unsafe fn find_deep<const DEPTH: usize, const BRANCHES: usize>(
        outcomes: impl Outcomes<Self>,
        found: &mut [u8; TILE],
    );
}

/// Registers that look bytes up by bytes.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code, reason = "numbers look nothing up")
)]
pub(super) trait LookUp: Bytes {
    /// The byte of `table` at each place; places are below 16.
    ///
    /// # Safety
    ///
    /// As [`Bytes::splat`].
    unsafe fn look_up(table: &[u8; 32], place: Self) -> Self;

    /// The same for places below 128, and 0 for all from 16 on, as for those that are negative.
    ///
    /// # Safety
    ///
    /// As [`Bytes::splat`].
    unsafe fn look_up_below_16(table: &[u8; 32], place: Self) -> Self;
}

/// For 1, 2, 4 and 8 branches, the bit of each among those that [`Bytes::push`] put into a byte, the first one's the highest.
/// It stands there once for each half of a long register.
#[cfg_attr(
    not(any(target_arch = "x86_64", target_arch = "aarch64", target_feature = "simd128")),
    allow(dead_code, reason = "numbers look nothing up")
)]
pub(super) const BITS: [[u8; 32]; 4] = {
    let (mut bits, mut at) = ([[0; 32]; 4], 0);
    while at < 4 * 32 {
        let (level, place) = (at / 32, at % 16);
        if place < 1 << level {
            bits[level][at % 32] = 1 << ((1 << level) - 1 - place);
        }
        at += 1;
    }
    bits
};

macro_rules! bytes {
    ($type:ty, $width:literal, $load:expr, $store:expr, $splat:expr, $above:expr, $choose:expr, $and:expr, $or:expr, $minus:expr, $equal:expr, $push:expr, $find_deep:ident) => {
        impl Bytes for $type {
            const WIDTH: usize = $width;
            type Tile<T: Copy> = [T; TILE / $width];
            #[inline(always)]
            fn tile<T: Copy>(of: T) -> Self::Tile<T> {
                [of; TILE / $width]
            }
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
            unsafe fn above(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $above(self, other) }
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
            #[inline(always)]
            unsafe fn minus(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $minus(self, other) }
            }
            #[inline(always)]
            unsafe fn equal(self, other: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $equal(self, other) }
            }
            #[inline(always)]
            unsafe fn push(self, outcome: Self) -> Self {
                // SAFETY: the caller's.
                unsafe { $push(self, outcome) }
            }
            #[inline(always)]
            unsafe fn find_deep<const DEPTH: usize, const BRANCHES: usize>(
                outcomes: impl Outcomes<Self>,
                found: &mut [u8; TILE],
            ) {
                // SAFETY: the caller's.
                unsafe { $find_deep::<Self, DEPTH, BRANCHES>(outcomes, found) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Bytes, LookUp, Outcomes, TILE, find, find_packed};
    use std::arch::x86_64::*;

    bytes!(
        __m256i,
        32,
        |from: *const __m256i| _mm256_loadu_si256(from),
        |to: *mut __m256i, x| _mm256_storeu_si256(to, x),
        |byte: u8| _mm256_set1_epi8(byte as i8),
        |x, y| _mm256_cmpgt_epi8(x, y),
        |mask, yes, no| _mm256_blendv_epi8(no, yes, mask),
        |x, y| _mm256_and_si256(x, y),
        |x, y| _mm256_or_si256(x, y),
        |x, y| _mm256_sub_epi8(x, y),
        |x, y| _mm256_cmpeq_epi8(x, y),
        |x, outcome| _mm256_sub_epi8(_mm256_add_epi8(x, x), outcome),
        find_packed
    );

    impl LookUp for __m256i {
        #[inline(always)]
        unsafe fn look_up(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the caller's, and the table is as long as the register.
            unsafe { _mm256_shuffle_epi8(_mm256_loadu_si256(table.as_ptr().cast()), place) }
        }

        #[inline(always)]
        unsafe fn look_up_below_16(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the caller's. Of a place the shuffle takes the low four bits, unless the highest one is set.
            unsafe { Self::look_up(table, _mm256_adds_epu8(place, _mm256_set1_epi8(0x70))) }
        }
    }

    // Every x86-64 has SSE2.
    bytes!(
        __m128i,
        16,
        |from: *const __m128i| _mm_loadu_si128(from),
        |to: *mut __m128i, x| _mm_storeu_si128(to, x),
        |byte: u8| _mm_set1_epi8(byte as i8),
        |x, y| _mm_cmpgt_epi8(x, y),
        |mask, yes, no| _mm_or_si128(_mm_and_si128(mask, yes), _mm_andnot_si128(mask, no)),
        |x, y| _mm_and_si128(x, y),
        |x, y| _mm_or_si128(x, y),
        |x, y| _mm_sub_epi8(x, y),
        |x, y| _mm_cmpeq_epi8(x, y),
        |x, outcome| _mm_sub_epi8(_mm_add_epi8(x, x), outcome),
        find
    );
}

#[cfg(target_arch = "x86_64")]
pub(super) type Common = std::arch::x86_64::__m128i;

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::{Bytes, LookUp, Outcomes, TILE, find_packed};
    use std::arch::aarch64::*;

    // Every AArch64 has NEON.
    bytes!(
        uint8x16_t,
        16,
        |from: *const u8| vld1q_u8(from),
        |to: *mut u8, x| vst1q_u8(to, x),
        |byte: u8| vdupq_n_u8(byte),
        |x, y| vcgtq_s8(vreinterpretq_s8_u8(x), vreinterpretq_s8_u8(y)),
        |mask, yes, no| vbslq_u8(mask, yes, no),
        |x, y| vandq_u8(x, y),
        |x, y| vorrq_u8(x, y),
        |x, y| vsubq_u8(x, y),
        |x, y| vceqq_u8(x, y),
        |x, outcome| vsubq_u8(vaddq_u8(x, x), outcome),
        find_packed
    );

    impl LookUp for uint8x16_t {
        #[inline(always)]
        unsafe fn look_up(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the caller's, and the table is longer than the register.
            unsafe { vqtbl1q_u8(vld1q_u8(table.as_ptr()), place) }
        }

        #[inline(always)]
        unsafe fn look_up_below_16(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self::look_up(table, place) }
        }
    }
}

#[cfg(target_arch = "aarch64")]
pub(super) type Common = std::arch::aarch64::uint8x16_t;

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
#[allow(unused_unsafe, reason = "what touches no memory is safe to call here, and isn't on x86")]
mod simd128 {
    use super::{Bytes, LookUp, Outcomes, TILE, find_packed};
    use std::arch::wasm32::*;

    bytes!(
        v128,
        16,
        |from: *const v128| v128_load(from),
        |to: *mut v128, x| v128_store(to, x),
        |byte: u8| u8x16_splat(byte),
        |x, y| i8x16_gt(x, y),
        |mask, yes, no| v128_bitselect(yes, no, mask),
        |x, y| v128_and(x, y),
        |x, y| v128_or(x, y),
        |x, y| i8x16_sub(x, y),
        |x, y| i8x16_eq(x, y),
        |x, outcome| i8x16_sub(i8x16_add(x, x), outcome),
        find_packed
    );

    impl LookUp for v128 {
        #[inline(always)]
        unsafe fn look_up(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the table is longer than the register.
            unsafe { i8x16_swizzle(v128_load(table.as_ptr().cast()), place) }
        }

        #[inline(always)]
        unsafe fn look_up_below_16(table: &[u8; 32], place: Self) -> Self {
            // SAFETY: the caller's.
            unsafe { Self::look_up(table, place) }
        }
    }
}

#[cfg(all(target_family = "wasm", target_feature = "simd128"))]
pub(super) type Common = std::arch::wasm32::v128;

/// Eight bytes in a number, where there are no registers of bytes.
#[cfg(any(
    test,
    not(any(
        target_arch = "x86_64",
        target_arch = "aarch64",
        all(target_family = "wasm", target_feature = "simd128")
    ))
))]
#[allow(unused_unsafe, reason = "numbers need none")]
mod word {
    use super::{Bytes, Outcomes, TILE, find};

    const HIGH: u64 = 0x8080_8080_8080_8080;
    const LOW: u64 = 0x0101_0101_0101_0101;

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
        |x: u64, y: u64| !at_least(y ^ HIGH, x ^ HIGH),
        |mask: u64, yes: u64, no: u64| mask & yes | !mask & no,
        |x: u64, y: u64| x & y,
        |x: u64, y: u64| x | y,
        // Per byte: no borrow leaves the lower seven bits, and the highest one is without carry.
        |x: u64, y: u64| ((x | HIGH) - (y & !HIGH)) ^ ((x ^ !y) & HIGH),
        |x: u64, y: u64| at_least(x, y) & at_least(y, x),
        |x: u64, outcome: u64| x << 1 & !LOW | outcome & LOW,
        find
    );
}

#[cfg(not(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    all(target_family = "wasm", target_feature = "simd128")
)))]
pub(super) type Common = u64;

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs of bytes, and what each method is to make of them.
    fn holds<B: Bytes>() {
        let of = |register: B| {
            let mut bytes = [0; TILE];
            // SAFETY: long enough, and what the target always has.
            unsafe { register.store(bytes.as_mut_ptr()) };
            bytes[0]
        };
        let mask = |is: bool| if is { 255 } else { 0 };
        for (x, y) in (0..=255u8).flat_map(|x| (0..=255u8).map(move |y| (x, y))) {
            // SAFETY: what the target always has.
            unsafe {
                // A neighbour that carries or borrows would be seen.
                let mut tile = [!x; TILE];
                tile[0] = x;
                let (a, b) = (B::load(tile.as_ptr()), B::splat(y));
                assert_eq!(of(a.above(b)), mask(x as i8 > y as i8), "{x} above {y}");
                assert_eq!(of(a.equal(b)), mask(x == y), "{x} equal {y}");
                assert_eq!((of(a.and(b)), of(a.or(b))), (x & y, x | y));
                assert_eq!(of(a.minus(b)), x.wrapping_sub(y), "{x} minus {y}");
                for outcome in [0, 255] {
                    let pushed = x.wrapping_mul(2).wrapping_add(outcome & 1);
                    assert_eq!(of(a.push(B::splat(outcome))), pushed, "{x} and {outcome}");
                    let chosen = if outcome == 0 { y } else { x };
                    assert_eq!(of(B::splat(outcome).choose(a, b)), chosen);
                }
            }
        }
    }

    #[test]
    fn bytes_are_what_they_are_alone() {
        holds::<Common>();
        holds::<u64>();
    }
}
