//! Two functions that the C library has too, so that it isn't asked for them.
//!
//! The C library of a build machine gives them a version of its own (`GLIBC_2.35` from that on), and a
//! program that asks for it doesn't start on AWS Lambda, whose C library is 2.34. All others that we
//! use are older; `ampoule package` checks it.

#[expect(unsafe_code, reason = "takes the place of the C library's function, with its signature and meaning")]
#[unsafe(no_mangle)]
extern "C" fn hypot(x: f64, y: f64) -> f64 {
    libm::hypot(x, y)
}

#[expect(unsafe_code, reason = "takes the place of the C library's function, with its signature and meaning")]
#[unsafe(no_mangle)]
extern "C" fn hypotf(x: f32, y: f32) -> f32 {
    libm::hypotf(x, y)
}
