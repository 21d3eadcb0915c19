//! Write a predictor for an ampoule.

mod failure;
pub mod image;
pub mod results;
pub mod table;
mod tensor;

pub use failure::{Failure, Fault};
pub use tensor::{Dtype, Element, Elements, Tensor, f16_to_f32};
