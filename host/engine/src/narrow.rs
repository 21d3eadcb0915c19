//! Floats of 8 and 4 bits: what a code means, and the code of a number (ONNX, "Float stored in 8 bits").

use crate::Dtype;

/// Exponent bits, mantissa bits and bias.
fn layout(dtype: Dtype) -> (u32, u32, i32) {
    match dtype {
        Dtype::F8E4M3 => (4, 3, 7),
        Dtype::F8E4M3Fnuz => (4, 3, 8),
        Dtype::F8E5M2 => (5, 2, 15),
        Dtype::F8E5M2Fnuz => (5, 2, 16),
        Dtype::F8E8M0 => (8, 0, 127),
        _ => (2, 1, 1),
    }
}

/// The number that `code` stands for.
pub(crate) fn decode(dtype: Dtype, code: u8) -> f64 {
    let (exponents, mantissas, bias) = layout(dtype);
    if dtype == Dtype::F8E8M0 {
        return if code == 255 { f64::NAN } else { 2f64.powi(i32::from(code) - bias) };
    }
    let sign = code >> (exponents + mantissas) & 1;
    let magnitude = code & ((1u32 << (exponents + mantissas)) - 1) as u8;
    match (dtype, sign, magnitude) {
        (Dtype::F8E4M3, _, 0x7f) | (Dtype::F8E4M3Fnuz | Dtype::F8E5M2Fnuz, 1, 0) => return f64::NAN,
        (Dtype::F8E5M2, _, 0x7d..) => return f64::NAN,
        (Dtype::F8E5M2, 0, 0x7c) => return f64::INFINITY,
        (Dtype::F8E5M2, 1, 0x7c) => return f64::NEG_INFINITY,
        _ => {}
    }
    let exponent = i32::from(magnitude >> mantissas);
    let fraction = f64::from(magnitude & ((1 << mantissas) - 1)) / f64::from(1u32 << mantissas);
    let value = match exponent {
        0 => fraction * 2f64.powi(1 - bias),
        _ => (1.0 + fraction) * 2f64.powi(exponent - bias),
    };
    if sign == 1 { -value } else { value }
}

/// The code of the nearest number, of two equally near the even one. What is beyond the largest becomes the largest
/// if `saturate`, else infinity or NaN.
pub(crate) fn encode(dtype: Dtype, x: f64, saturate: bool) -> u8 {
    if dtype == Dtype::F8E8M0 {
        return encode_power(x, Rounding::Nearest, saturate);
    }
    let (exponents, mantissas, _) = layout(dtype);
    let sign = u8::from(x.is_sign_negative()) << (exponents + mantissas);
    let one_zero = matches!(dtype, Dtype::F8E4M3Fnuz | Dtype::F8E5M2Fnuz);
    let (largest, nan, beyond) = match dtype {
        Dtype::F8E4M3 => (0x7e, 0x7f | sign, 0x7f | sign),
        Dtype::F8E5M2 => (0x7b, 0x7e | sign, 0x7c | sign),
        Dtype::F4E2M1 => (0x07, 0x08, 0x07 | sign),
        _ => (0x7f, 0x80, 0x80),
    };
    if x.is_nan() {
        return nan;
    }
    if x.is_infinite() {
        match (saturate, one_zero) {
            (false, _) => return beyond,
            (true, true) => return largest | sign,
            (true, false) => {}
        }
    }
    let magnitude = x.abs();
    // Magnitudes ascend with their codes.
    let (mut low, mut high) = (0u8, largest);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if decode(dtype, middle) <= magnitude { low = middle } else { high = middle - 1 }
    }
    let below = decode(dtype, low);
    let code = if low == largest {
        let step = below - decode(dtype, low - 1);
        let over = magnitude - below;
        // Half a step beyond is a tie, which goes to the even of this code and the one that would follow.
        let rounds_up = over > step / 2.0 || over == step / 2.0 && low % 2 == 1;
        if rounds_up && !saturate && dtype != Dtype::F4E2M1 {
            return beyond;
        }
        low
    } else {
        let above = decode(dtype, low + 1);
        let (down, up) = (magnitude - below, above - magnitude);
        if down < up || down == up && low % 2 == 0 { low } else { low + 1 }
    };
    if one_zero && code == 0 { 0 } else { code | sign }
}

/// How a number between two powers of two is rounded to `F8E8M0`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rounding {
    Up,
    Down,
    Nearest,
}

/// The exponent of `x` as `F8E8M0`, which has neither sign nor zero.
pub(crate) fn encode_power(x: f64, rounding: Rounding, saturate: bool) -> u8 {
    if x.is_nan() {
        return 255;
    }
    let x = x.abs();
    let floor = x.log2().floor().clamp(-1000.0, 1000.0);
    let fraction = x / 2f64.powf(floor);
    let exponent = match rounding {
        Rounding::Down => floor,
        Rounding::Up if fraction > 1.0 => floor + 1.0,
        Rounding::Nearest if fraction >= 1.5 => floor + 1.0,
        _ => floor,
    };
    if exponent > 127.0 {
        return if saturate { 254 } else { 255 };
    }
    (exponent + 127.0).max(0.0) as u8
}
