//! [`Value`]: a tensor on its way into ONNX Runtime, in place, or out of it, by a copy.
#![allow(unsafe_code, reason = "functions of another language")]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;

use ort_sys::{ONNXTensorElementDataType as Element, ONNXType, OrtValue};

use super::library::{Failure, Library, Owned};
use crate::{Dtype, Tensor};

/// What ONNX Runtime holds for `'a`, which is how long the memory of the inputs stays where it is.
pub(super) struct Value<'a> {
    value: Owned<OrtValue>,
    library: &'a Library,
    inputs: PhantomData<&'a [Tensor]>,
}

impl<'a> Value<'a> {
    /// Numbers are viewed in place, strings are copied.
    pub(super) fn of(library: &'a Library, tensor: &'a Tensor) -> Result<Self, Failure> {
        let element = element(tensor.dtype())
            .ok_or_else(|| Failure::new(format!("ONNX Runtime takes no {}", tensor.dtype())))?;
        let shape = tensor.shape().iter().map(|&dim| i64::try_from(dim));
        let shape: Vec<i64> = shape.collect::<Result<_, _>>().map_err(|e| Failure::new(e.to_string()))?;
        let (table, bytes) = (library.table, tensor.as_bytes());
        // SAFETY: the shape is copied during the call. The bytes are as many as dtype and shape say and stay for `'a`;
        // an input is never written to, though the interface takes it as mutable.
        let value = unsafe {
            let api = table.api.as_ptr();
            table.owned((*api).ReleaseValue, |out| {
                let (dims, rank) = (shape.as_ptr(), shape.len());
                if tensor.dtype() == Dtype::String {
                    let allocator = library.allocator.as_ptr();
                    ((*api).CreateTensorAsOrtValue)(allocator, dims, rank, element, out)
                } else {
                    let (memory, data) = (library.memory.as_ptr(), bytes.as_ptr().cast_mut().cast());
                    ((*api).CreateTensorWithDataAsOrtValue)(
                        memory,
                        data,
                        bytes.len(),
                        dims,
                        rank,
                        element,
                        out,
                    )
                }
            })?
        };
        let value = Self { value, library, inputs: PhantomData };
        if tensor.dtype() == Dtype::String {
            value.fill(tensor.strings().unwrap_or_default())?;
        }
        Ok(value)
    }

    /// `None` for null.
    ///
    /// # Safety
    ///
    /// `value` is null or the caller's, and what it views stays for `'a`.
    pub(super) unsafe fn from_raw(library: &'a Library, value: *mut OrtValue) -> Option<Self> {
        let value = NonNull::new(value)?;
        // SAFETY: the caller's promise; the function is the one for values.
        let value = unsafe { Owned::new(value, (*library.table.api.as_ptr()).ReleaseValue) };
        Some(Self { value, library, inputs: PhantomData })
    }

    pub(super) fn as_ptr(&self) -> *mut OrtValue {
        self.value.as_ptr()
    }

    /// Each string by its length, since one may hold a zero byte.
    fn fill(&self, strings: &[String]) -> Result<(), Failure> {
        let table = self.library.table;
        for (at, string) in strings.iter().enumerate() {
            // SAFETY: there are as many elements as strings. The place that comes back is as long as was asked for, and
            // is written before anything else is asked of the value.
            unsafe {
                let resize = (*table.api.as_ptr()).GetResizedStringTensorElementBuffer;
                let place = table.made(|out| resize(self.as_ptr(), at, string.len(), out))?;
                ptr::copy_nonoverlapping(string.as_ptr(), place.as_ptr().cast(), string.len());
            }
        }
        Ok(())
    }

    /// A copy of what it holds, or what it is if that is no tensor of this crate's dtypes.
    pub(super) fn tensor(&self) -> Result<Tensor, Failure> {
        let kind = self.kind()?;
        if kind != ONNXType::ONNX_TYPE_TENSOR as i32 {
            let names = ["nothing", "a tensor", "a sequence", "a map", "an opaque value", "a sparse tensor"];
            let name = usize::try_from(kind).ok().and_then(|kind| names.get(kind)).copied();
            return Err(Failure::new(format!("expected a tensor, got {}", name.unwrap_or("another type"))));
        }
        let (dtype, shape) = self.form()?;
        if dtype == Dtype::String {
            let strings = self.strings(shape.iter().product())?;
            return Tensor::from_strings(&shape, strings).map_err(|e| Failure::new(e.to_string()));
        }
        let size = shape.iter().try_fold(dtype.size_bytes(), |size, &dim| size.checked_mul(dim));
        let size = size.filter(|&size| isize::try_from(size).is_ok());
        let size = size.ok_or_else(|| Failure::new(format!("{dtype}{shape:?} is too large")))?;
        let bytes = if size == 0 {
            &[]
        } else {
            // SAFETY: a tensor holds the elements that its shape says, one behind the other, for as long as it lives.
            unsafe {
                let data = (*self.library.table.api.as_ptr()).GetTensorMutableData;
                let data = self.library.table.made(|out| data(self.as_ptr(), out))?;
                slice::from_raw_parts(data.as_ptr().cast_const().cast::<u8>(), size)
            }
        };
        Tensor::from_le_bytes(dtype, &shape, bytes).map_err(|e| Failure::new(e.to_string()))
    }

    /// An `ONNXType`, as the number that it is in C: a newer library may have others.
    fn kind(&self) -> Result<i32, Failure> {
        let mut kind = 0;
        let table = self.library.table;
        // SAFETY: the enum is an i32, which is where the call writes it.
        table.checked(unsafe {
            ((*table.api.as_ptr()).GetValueType)(self.as_ptr(), (&raw mut kind).cast::<ONNXType>())
        })?;
        Ok(kind)
    }

    /// A tensor's dtype and shape.
    fn form(&self) -> Result<(Dtype, Vec<usize>), Failure> {
        let (mut code, mut rank) = (0i32, 0);
        let table = self.library.table;
        // SAFETY: the description is released when it is dropped. The enum is an i32, which is where the call writes
        // it, and there are as many dims as the list is long.
        let dims = unsafe {
            let api = table.api.as_ptr();
            let form = table.owned((*api).ReleaseTensorTypeAndShapeInfo, |out| {
                ((*api).GetTensorTypeAndShape)(self.as_ptr(), out)
            })?;
            let form = form.as_ptr();
            table.checked(((*api).GetTensorElementType)(form, (&raw mut code).cast::<Element>()))?;
            table.checked(((*api).GetDimensionsCount)(form, &mut rank))?;
            let mut dims = vec![0i64; rank];
            table.checked(((*api).GetDimensions)(form, dims.as_mut_ptr(), rank))?;
            dims
        };
        let dtype = ELEMENTS.iter().find(|(_, element)| *element as i32 == code).map(|(dtype, _)| *dtype);
        let dtype = dtype.ok_or_else(|| Failure::new(format!("element type {code} has no dtype here")))?;
        let shape = dims.iter().map(|&dim| usize::try_from(dim)).collect::<Result<_, _>>();
        Ok((dtype, shape.map_err(|_| Failure::new(format!("expected dims from 0, got {dims:?}")))?))
    }

    /// The `count` strings of a tensor.
    fn strings(&self, count: usize) -> Result<Vec<String>, Failure> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let (table, mut length) = (self.library.table, 0);
        let (bytes, mut ends) = {
            // SAFETY: the text is as long as the first call says, and there is an offset for each string.
            unsafe {
                let api = table.api.as_ptr();
                table.checked(((*api).GetStringTensorDataLength)(self.as_ptr(), &mut length))?;
                let (mut bytes, mut starts) = (vec![0u8; length], vec![0usize; count]);
                table.checked(((*api).GetStringTensorContent)(
                    self.as_ptr(),
                    bytes.as_mut_ptr().cast(),
                    length,
                    starts.as_mut_ptr(),
                    count,
                ))?;
                (bytes, starts)
            }
        };
        ends.push(length);
        let string = |place: &[usize]| {
            let bytes = bytes.get(place[0]..place[1]).ok_or_else(|| Failure::new("strings overlap"))?;
            String::from_utf8(bytes.to_vec()).map_err(|e| Failure::new(format!("a string: {e}")))
        };
        ends.windows(2).map(string).collect()
    }
}

fn element(dtype: Dtype) -> Option<Element> {
    ELEMENTS.iter().find(|(known, _)| *known == dtype).map(|(_, element)| *element)
}

/// The dtypes that cross: those whose element takes whole bytes on both sides.
const ELEMENTS: [(Dtype, Element); 18] = [
    (Dtype::Bool, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL),
    (Dtype::U8, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8),
    (Dtype::I8, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8),
    (Dtype::U16, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16),
    (Dtype::I16, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16),
    (Dtype::U32, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32),
    (Dtype::I32, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32),
    (Dtype::U64, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64),
    (Dtype::I64, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64),
    (Dtype::F16, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16),
    (Dtype::Bf16, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16),
    (Dtype::F32, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
    (Dtype::F64, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE),
    (Dtype::F8E4M3, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FN),
    (Dtype::F8E4M3Fnuz, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E4M3FNUZ),
    (Dtype::F8E5M2, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2),
    (Dtype::F8E5M2Fnuz, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT8E5M2FNUZ),
    (Dtype::String, Element::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING),
];

/// Whether tensors of `dtype` can be handed over.
pub(super) fn crosses(dtype: Dtype) -> bool {
    element(dtype).is_some()
}
