//! A tensor's elements as numbers: what kernels read and write.

#![allow(clippy::clone_on_copy, reason = "the same lines move numbers and strings")]

use tract_data::half::bf16;
use tract_data::internal::*;

use crate::narrow::{decode, encode};
use crate::{Dtype, Tensor};

/// The most elements that a kernel makes: a shape computed from values may ask for anything.
const MAX_ELEMENTS: usize = 1 << 31;

/// How many elements a tensor of `shape` has.
pub(crate) fn volume(shape: &[usize]) -> TractResult<usize> {
    let product = shape.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim));
    product
        .filter(|&n| n <= MAX_ELEMENTS)
        .with_context(|| format!("{shape:?} has more than {MAX_ELEMENTS} elements"))
}

macro_rules! each_dtype {
    ($tensor:expr, $datum:ident => $body:expr, $other:expr) => {
        match $tensor.inner.datum_type() {
            DatumType::Bool => {
                type $datum = bool;
                $body
            }
            DatumType::U8 => {
                type $datum = u8;
                $body
            }
            DatumType::I8 => {
                type $datum = i8;
                $body
            }
            DatumType::U16 => {
                type $datum = u16;
                $body
            }
            DatumType::I16 => {
                type $datum = i16;
                $body
            }
            DatumType::U32 => {
                type $datum = u32;
                $body
            }
            DatumType::I32 => {
                type $datum = i32;
                $body
            }
            DatumType::U64 => {
                type $datum = u64;
                $body
            }
            DatumType::I64 => {
                type $datum = i64;
                $body
            }
            DatumType::F16 => {
                type $datum = f16;
                $body
            }
            DatumType::F32 => {
                type $datum = f32;
                $body
            }
            DatumType::F64 => {
                type $datum = f64;
                $body
            }
            DatumType::String => {
                type $datum = String;
                $body
            }
            _ => $other,
        }
    };
}

impl Tensor {
    /// Of `values`, row-major, in the type that holds `dtype`.
    pub(crate) fn of<T: Datum>(dtype: Dtype, shape: &[usize], values: Vec<T>) -> TractResult<Self> {
        ensure!(dtype.storage() == T::datum_type(), "{dtype} is not held in {:?}", T::datum_type());
        let inner: tract_data::prelude::Tensor =
            tract_ndarray::ArrayD::from_shape_vec(tract_ndarray::IxDyn(shape), values)?.into();
        Ok(Self { inner: inner.into_arc_tensor(), dtype })
    }

    /// The elements in the type that holds them.
    pub(crate) fn slice<T: Datum>(&self) -> TractResult<&[T]> {
        self.inner.try_as_plain_ram()?.as_slice()
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.len()
    }

    /// Numbers as f64; the largest 64-bit integers are rounded.
    pub(crate) fn f64s(&self) -> TractResult<Vec<f64>> {
        fn each<T: Datum + Copy>(tensor: &Tensor, number: impl Fn(T) -> f64) -> TractResult<Vec<f64>> {
            Ok(tensor.slice::<T>()?.iter().map(|x| number(*x)).collect())
        }
        match self.dtype {
            Dtype::Bool => each(self, |x: bool| f64::from(u8::from(x))),
            Dtype::U8 | Dtype::U4 | Dtype::U2 => each(self, |x: u8| x.into()),
            Dtype::I8 | Dtype::I4 | Dtype::I2 => each(self, |x: i8| x.into()),
            Dtype::U16 => each(self, |x: u16| x.into()),
            Dtype::I16 => each(self, |x: i16| x.into()),
            Dtype::U32 => each(self, |x: u32| x.into()),
            Dtype::I32 => each(self, |x: i32| x.into()),
            Dtype::U64 => each(self, |x: u64| x as f64),
            Dtype::I64 => each(self, |x: i64| x as f64),
            Dtype::F16 => each(self, |x: f16| x.to_f64()),
            Dtype::Bf16 => each(self, |x: u16| bf16::from_bits(x).to_f64()),
            Dtype::F32 => each(self, |x: f32| x.into()),
            Dtype::F64 => each(self, |x: f64| x),
            Dtype::String => bail!("expected numbers, got strings"),
            narrow => each(self, |x: u8| decode(narrow, x)),
        }
    }

    /// As [`Tensor::f64s`], rounded to f32.
    pub(crate) fn f32s(&self) -> TractResult<Vec<f32>> {
        match self.dtype {
            Dtype::F32 => Ok(self.slice::<f32>()?.to_vec()),
            _ => Ok(self.f64s()?.into_iter().map(|x| x as f32).collect()),
        }
    }

    /// Integers and bools as i64; those of u64 above its range wrap round.
    pub(crate) fn i64s(&self) -> TractResult<Vec<i64>> {
        fn each<T: Datum + Copy>(tensor: &Tensor, number: impl Fn(T) -> i64) -> TractResult<Vec<i64>> {
            Ok(tensor.slice::<T>()?.iter().map(|x| number(*x)).collect())
        }
        match self.dtype {
            Dtype::Bool => each(self, |x: bool| x.into()),
            Dtype::U8 | Dtype::U4 | Dtype::U2 => each(self, |x: u8| x.into()),
            Dtype::I8 | Dtype::I4 | Dtype::I2 => each(self, |x: i8| x.into()),
            Dtype::U16 => each(self, |x: u16| x.into()),
            Dtype::I16 => each(self, |x: i16| x.into()),
            Dtype::U32 => each(self, |x: u32| x.into()),
            Dtype::I32 => each(self, |x: i32| x.into()),
            Dtype::U64 => each(self, |x: u64| x as i64),
            Dtype::I64 => each(self, |x: i64| x),
            other => bail!("expected integers, got {other}"),
        }
    }

    /// Of f64s, each rounded once to a float of `dtype`, or cut off and held to the range of an integer.
    pub(crate) fn of_f64s(dtype: Dtype, shape: &[usize], values: Vec<f64>) -> TractResult<Self> {
        let v = &values;
        match dtype {
            Dtype::Bool => made(dtype, shape, v, |x| x != 0.0),
            Dtype::U8 => made(dtype, shape, v, |x| x as u8),
            Dtype::I8 => made(dtype, shape, v, |x| x as i8),
            Dtype::U4 => made(dtype, shape, v, |x| x.clamp(0.0, 15.0) as u8),
            Dtype::I4 => made(dtype, shape, v, |x| x.clamp(-8.0, 7.0) as i8),
            Dtype::U2 => made(dtype, shape, v, |x| x.clamp(0.0, 3.0) as u8),
            Dtype::I2 => made(dtype, shape, v, |x| x.clamp(-2.0, 1.0) as i8),
            Dtype::U16 => made(dtype, shape, v, |x| x as u16),
            Dtype::I16 => made(dtype, shape, v, |x| x as i16),
            Dtype::U32 => made(dtype, shape, v, |x| x as u32),
            Dtype::I32 => made(dtype, shape, v, |x| x as i32),
            Dtype::U64 => made(dtype, shape, v, |x| x as u64),
            Dtype::I64 => made(dtype, shape, v, |x| x as i64),
            Dtype::F16 => made(dtype, shape, v, f16::from_f64),
            Dtype::Bf16 => made(dtype, shape, v, |x| bf16::from_f64(x).to_bits()),
            Dtype::F32 => made(dtype, shape, v, |x| x as f32),
            Dtype::F64 => Self::of(dtype, shape, values),
            Dtype::String => bail!("expected strings, got numbers"),
            narrow => made(dtype, shape, v, |x| encode(narrow, x, true)),
        }
    }

    /// Of integers, each wrapped round to `dtype`, an integer or bool.
    pub(crate) fn of_i64s(dtype: Dtype, shape: &[usize], values: Vec<i64>) -> TractResult<Self> {
        let v = &values;
        match dtype {
            Dtype::Bool => made(dtype, shape, v, |x| x != 0),
            Dtype::U8 => made(dtype, shape, v, |x| x as u8),
            Dtype::I8 => made(dtype, shape, v, |x| x as i8),
            Dtype::U4 => made(dtype, shape, v, |x| (x & 15) as u8),
            Dtype::I4 => made(dtype, shape, v, |x| ((x << 60) >> 60) as i8),
            Dtype::U2 => made(dtype, shape, v, |x| (x & 3) as u8),
            Dtype::I2 => made(dtype, shape, v, |x| ((x << 62) >> 62) as i8),
            Dtype::U16 => made(dtype, shape, v, |x| x as u16),
            Dtype::I16 => made(dtype, shape, v, |x| x as i16),
            Dtype::U32 => made(dtype, shape, v, |x| x as u32),
            Dtype::I32 => made(dtype, shape, v, |x| x as i32),
            Dtype::U64 => made(dtype, shape, v, |x| x as u64),
            Dtype::I64 => Self::of(dtype, shape, values),
            other => bail!("expected an integer dtype, got {other}"),
        }
    }

    /// Of bools.
    pub(crate) fn of_bools(shape: &[usize], values: Vec<bool>) -> TractResult<Self> {
        Self::of(Dtype::Bool, shape, values)
    }

    /// A vector of i64.
    pub(crate) fn vector(values: &[i64]) -> TractResult<Self> {
        Self::of(Dtype::I64, &[values.len()], values.to_vec())
    }

    /// The same elements in another shape of as many.
    pub(crate) fn shaped(&self, shape: &[usize]) -> TractResult<Self> {
        ensure!(volume(shape)? == self.len(), "{:?} can't become {shape:?}", self.shape());
        let mut inner = (*self.inner).clone();
        inner.set_shape(shape)?;
        Ok(Self { inner: inner.into_arc_tensor(), dtype: self.dtype })
    }

    /// The same bits under another dtype of the same width.
    pub(crate) fn relabelled(&self, dtype: Dtype) -> TractResult<Self> {
        Self::from_le_bytes(dtype, self.shape(), self.as_bytes()).map_err(|e| TractError::msg(e.to_string()))
    }

    /// The elements at `places`, row-major positions, in that order.
    pub(crate) fn pick(&self, shape: &[usize], places: impl Iterator<Item = usize>) -> TractResult<Self> {
        let count = volume(shape)?;
        each_dtype!(self, T => {
            let from = self.slice::<T>()?;
            let mut values = Vec::new();
            values.try_reserve_exact(count)?;
            for place in places {
                values.push(from.get(place).context("a place lies outside of the tensor")?.clone());
            }
            Self::of(self.dtype, shape, values)
        }, bail!("{} can't be moved", self.dtype))
    }

    /// As [`Tensor::pick`], with the one element of `fill` where there is no place.
    pub(crate) fn pick_or(
        &self,
        fill: &Self,
        shape: &[usize],
        places: impl Iterator<Item = Option<usize>>,
    ) -> TractResult<Self> {
        ensure!(self.dtype == fill.dtype, "expected {} to fill with, got {}", self.dtype, fill.dtype);
        let count = volume(shape)?;
        each_dtype!(self, T => {
            let (from, fill) = (self.slice::<T>()?, fill.slice::<T>()?.first().context("nothing to fill with")?);
            let mut values = Vec::new();
            values.try_reserve_exact(count)?;
            for place in places {
                values.push(match place {
                    Some(place) => from.get(place).context("a place lies outside of the tensor")?.clone(),
                    None => fill.clone(),
                });
            }
            Self::of(self.dtype, shape, values)
        }, bail!("{} can't be moved", self.dtype))
    }

    /// A copy in which the elements at `places` are those of `updates`, in their order.
    pub(crate) fn with(&self, places: &[usize], updates: &Self) -> TractResult<Self> {
        ensure!(self.dtype == updates.dtype, "expected {} to write, got {}", self.dtype, updates.dtype);
        ensure!(places.len() == updates.len(), "expected {} updates, got {}", places.len(), updates.len());
        each_dtype!(self, T => {
            let mut values = self.slice::<T>()?.to_vec();
            for (place, update) in places.iter().zip(updates.slice::<T>()?) {
                *values.get_mut(*place).context("a place lies outside of the tensor")? = update.clone();
            }
            Self::of(self.dtype, self.shape(), values)
        }, bail!("{} can't be written", self.dtype))
    }

    /// The elements of `tensors`, all of one dtype, one after the other.
    pub(crate) fn chained(tensors: &[Self], shape: &[usize]) -> TractResult<Self> {
        let first = tensors.first().context("expected a tensor")?;
        ensure!(tensors.iter().all(|t| t.dtype == first.dtype), "expected one dtype");
        each_dtype!(first, T => {
            let mut values = Vec::new();
            for tensor in tensors {
                values.extend_from_slice(tensor.slice::<T>()?);
            }
            Self::of(first.dtype, shape, values)
        }, bail!("{} can't be moved", first.dtype))
    }
}

/// A tensor of what `make` makes of each value.
fn made<S: Copy, T: Datum>(
    dtype: Dtype,
    shape: &[usize],
    values: &[S],
    make: impl Fn(S) -> T,
) -> TractResult<Tensor> {
    Tensor::of(dtype, shape, values.iter().map(|x| make(*x)).collect())
}
