//! [`Tensor`]: an immutable, dense, row-major array, shared when cloned.

mod elements;
#[cfg(feature = "graphs")]
mod proto;
mod text;

#[cfg(feature = "graphs")]
pub(crate) use elements::volume;

use std::sync::Arc;

use tract_data::prelude as tract;

use crate::{Dtype, Error};

const _: () = assert!(cfg!(target_endian = "little"), "tensors are viewed in place as little-endian bytes");

/// The elements, row-major (the last axis varies fastest). A clone shares them.
#[derive(Clone, Debug)]
pub struct Tensor {
    inner: Arc<tract::Tensor>,
    dtype: Dtype,
}

impl Tensor {
    /// Copies `bytes`, row-major little-endian, once. `bool` is one byte of 0 or 1.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `bytes` is not as long as `shape` and `dtype` say, their product overflows, or a `bool`
    /// is neither 0 nor 1. `Unsupported` for `string`, which has no byte form.
    pub fn from_le_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Result<Self, Error> {
        if dtype == Dtype::String {
            return Err(Error::unsupported(format!("a tensor of {dtype} cannot be made from bytes")));
        }
        let expected = shape
            .iter()
            .try_fold(dtype.size_bytes(), |size, &dim| size.checked_mul(dim))
            .filter(|&size| isize::try_from(size).is_ok())
            .ok_or_else(|| Error::input(format!("{dtype}{shape:?} has more bytes than can be addressed")))?;
        if bytes.len() != expected {
            return Err(Error::input(format!(
                "{dtype}{shape:?}: expected {expected} bytes, got {}",
                bytes.len()
            )));
        }
        if let (Dtype::Bool, Some(at)) = (dtype, bytes.iter().position(|&byte| byte > 1)) {
            return Err(Error::input(format!(
                "bool{shape:?}: expected 0 or 1, got {} at byte {at}",
                bytes[at]
            )));
        }
        #[allow(unsafe_code, reason = "the alternative clears the memory before it is overwritten")]
        // SAFETY: the length matches, every bit pattern of these dtypes is a value, and bools were checked.
        let inner = unsafe { tract::Tensor::from_raw_dt(dtype.storage(), shape, bytes) }
            .map_err(|e| Error::input(format!("{dtype}{shape:?} could not be made")).caused_by(&e))?;
        Ok(Self { inner: Arc::new(inner), dtype })
    }

    /// Zeros, of numbers or truth values.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are more than can be addressed.
    pub(crate) fn zeros(dtype: Dtype, shape: &[usize]) -> Result<Self, Error> {
        let inner = tract::Tensor::zero_dt(dtype.storage(), shape)
            .map_err(|e| Error::input(format!("{dtype}{shape:?} could not be made")).caused_by(&e))?;
        Ok(Self { inner: Arc::new(inner), dtype })
    }

    /// A tensor of strings, row-major.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there are not as many strings as `shape` says.
    pub fn from_strings(shape: &[usize], strings: Vec<String>) -> Result<Self, Error> {
        let got = strings.len();
        Self::of(Dtype::String, shape, strings)
            .map_err(|_| Error::input(format!("string{shape:?}: got {got} strings")))
    }

    /// The element type.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The dims, outermost first; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        self.inner.shape()
    }

    /// The elements as little-endian bytes, without a copy; empty for [`Dtype::String`].
    pub fn as_bytes(&self) -> &[u8] {
        if self.dtype == Dtype::String { &[] } else { self.inner.as_bytes() }
    }

    /// The elements of a [`Dtype::String`] tensor, `None` for any other.
    pub fn strings(&self) -> Option<&[String]> {
        self.inner.as_plain_ram()?.as_slice().ok()
    }

    /// `None` if tract holds it in a form or dtype that cannot leave the graph.
    #[cfg(feature = "graphs")]
    pub(crate) fn from_tract(value: tract_onnx::prelude::TValue) -> Option<Self> {
        use tract_onnx::prelude::IntoArcTensor;
        let dtype = Dtype::from_tract(value.datum_type())?;
        value.is_plain_ram().then(|| Self { inner: value.into_arc_tensor(), dtype })
    }

    pub(crate) fn as_tract(&self) -> &tract::Tensor {
        &self.inner
    }

    #[cfg(feature = "graphs")]
    pub(crate) fn to_tract(&self) -> tract_onnx::prelude::TValue {
        use tract_onnx::prelude::IntoTValue;
        self.inner.clone().into_tvalue()
    }
}

/// The bytes of [`Tensor::as_bytes`], so that a tensor can own what another library views.
impl AsRef<[u8]> for Tensor {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}
