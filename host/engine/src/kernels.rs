//! This crate's own kernels: operators of `ai.onnx` that tract lacks, or whose shapes or dtypes it can't plan for.
//! `steps` calls them with every input at hand; none is on the way of a graph that tract plans whole.

#![allow(clippy::needless_range_loop, reason = "an axis counts in several shapes at once")]

mod arithmetic;
mod attention;
mod cast;
mod flow;
mod gather;
mod loss;
mod moves;
mod quantized;
mod recurrent;
mod reduce;
mod resize;
mod sampled;
mod scatter;
mod shapes;
mod signal;
mod unary;
mod walk;
mod windows;

use tract_onnx::Onnx;
use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

use crate::{Dtype, Tensor};
pub(crate) use flow::stacked;

/// From a node's inputs to its outputs.
pub(crate) type Kernel = fn(&Call) -> TractResult<Vec<Tensor>>;

/// One evaluation of a node.
pub(crate) struct Call<'a> {
    pub(crate) node: &'a NodeProto,
    /// Of the operator set that the node is from
    pub(crate) version: i64,
    /// `None` where an optional one is left out
    pub(crate) inputs: Vec<Option<Tensor>>,
}

impl Call<'_> {
    pub(crate) fn input(&self, at: usize) -> TractResult<&Tensor> {
        self.optional(at).with_context(|| format!("input {at} is missing"))
    }

    pub(crate) fn optional(&self, at: usize) -> Option<&Tensor> {
        self.inputs.get(at)?.as_ref()
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|attribute| attribute.name == name)
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.i)
    }

    pub(crate) fn float(&self, name: &str, default: f64) -> f64 {
        self.attribute(name).map_or(default, |attribute| attribute.f.into())
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> String {
        self.attribute(name).map_or_else(
            || default.to_owned(),
            |attribute| String::from_utf8_lossy(&attribute.s).into_owned(),
        )
    }

    pub(crate) fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attribute(name).map(|attribute| attribute.ints.clone())
    }

    /// Integers that older operator sets have as an attribute and newer ones as an input.
    pub(crate) fn ints_or_input(&self, name: &str, at: usize) -> TractResult<Option<Vec<i64>>> {
        match self.ints(name) {
            Some(ints) => Ok(Some(ints)),
            None => self.optional(at).map(Tensor::i64s).transpose(),
        }
    }

    /// Whether the node's output `at` is asked for.
    pub(crate) fn wants(&self, at: usize) -> bool {
        self.node.output.get(at).is_some_and(|name| !name.is_empty())
    }
}

impl Tensor {
    /// The only element as a bool.
    pub(crate) fn truth(&self) -> TractResult<bool> {
        Ok(self.integer()? != 0)
    }

    /// The only element, an integer or bool.
    pub(crate) fn integer(&self) -> TractResult<i64> {
        ensure!(self.len() == 1, "expected one element, got {:?}", self.shape());
        Ok(self.i64s()?[0])
    }

    /// The only element.
    pub(crate) fn number(&self) -> TractResult<f64> {
        ensure!(self.len() == 1, "expected one element, got {:?}", self.shape());
        Ok(self.f64s()?[0])
    }

    /// `axis` as a position in the shape; negative ones count from the end.
    pub(crate) fn axis(&self, axis: i64) -> TractResult<usize> {
        axis_of(axis, self.shape().len())
    }

    /// Whether another tensor has the same dtype, shape and bits.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let form = |tensor: &Self| (tensor.dtype(), tensor.shape().to_vec());
        form(self) == form(other) && self.as_bytes() == other.as_bytes() && self.strings() == other.strings()
    }

    /// Numbers of `like`'s dtype, rounded once.
    pub(crate) fn like(like: &Self, shape: &[usize], values: Vec<f64>) -> TractResult<Self> {
        Self::of_f64s(like.dtype(), shape, values)
    }
}

/// `axis` as a position among `rank` axes; negative ones count from the end.
pub(crate) fn axis_of(axis: i64, rank: usize) -> TractResult<usize> {
    let signed = i64::try_from(rank)?;
    ensure!(
        (-signed..signed).contains(&axis),
        "expected an axis from {} to {}, got {axis}",
        -signed,
        signed - 1
    );
    Ok(usize::try_from(axis.rem_euclid(signed))?)
}

/// Whether this crate has to run a node: tract has no such operator, or answers otherwise than ONNX says.
pub(crate) fn replaces(node: &NodeProto, version: i64, onnx: &Onnx) -> bool {
    if find(node).is_none() {
        return false;
    }
    !onnx.op_register.0.contains_key(&node.op_type) || is_wrong(node, version) || is_narrow(node)
}

/// What tract 0.23.9 answers otherwise than the specification, found by the node cases.
fn is_wrong(node: &NodeProto, version: i64) -> bool {
    let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
    let given = |at: usize| node.input.get(at).is_some_and(|name| !name.is_empty());
    match node.op_type.as_str() {
        // Shifts by more than the width, or by less than zero.
        "BitShift" => true,
        // alpha is applied twice in f16.
        "Celu" => true,
        // Rounded to f32 at each step of the way, where sums cancel out.
        "DFT" => attribute("inverse").is_none_or(|a| a.i == 0),
        // The order of a reversed sequence; sigmoid and tanh are approximated.
        "GRU" => true,
        "LSTM" | "RNN" => given(4) || attribute("direction").is_some_and(|a| a.s != b"forward"),
        // An index beyond the depth.
        "OneHot" => true,
        // The extreme of nothing but infinities is the largest number.
        "ReduceMax" | "ReduceMin" => true,
        // Reads the attribute `mode` as DepthToSpace does.
        "SpaceToDepth" => attribute("mode").is_some(),
        // Ignores alpha.
        "Swish" => attribute("alpha").is_some_and(|a| a.f != 1.0),
        _ => version < 0,
    }
}

/// Whether a cast is to a dtype that tract lacks.
fn is_narrow(node: &NodeProto) -> bool {
    let to = node.attribute.iter().filter(|a| matches!(a.name.as_str(), "to" | "dtype" | "output_dtype"));
    let lacks = |dtype: Dtype| dtype.to_tract().is_none();
    let constant = node.attribute.iter().filter_map(|a| a.t.as_ref()).map(|t| i64::from(t.data_type));
    to.map(|a| a.i)
        .chain(constant)
        .any(|code| i32::try_from(code).ok().and_then(Dtype::from_onnx).is_some_and(lacks))
}

/// Operators of `com.microsoft` that have a kernel.
const MICROSOFT: [&str; 2] = ["QLinearAdd", "QLinearMul"];

/// The kernel of a node's operator.
pub(crate) fn find(node: &NodeProto) -> Option<Kernel> {
    let ours = match node.domain.as_str() {
        "" | "ai.onnx" => !MICROSOFT.contains(&node.op_type.as_str()),
        "com.microsoft" => MICROSOFT.contains(&node.op_type.as_str()),
        _ => false,
    };
    if !ours {
        return None;
    }
    let families = [
        shapes::find,
        moves::find,
        gather::find,
        scatter::find,
        cast::find,
        arithmetic::find,
        unary::find,
        reduce::find,
        quantized::find,
        resize::find,
        sampled::find,
        windows::find,
        signal::find,
        recurrent::find,
        attention::find,
        loss::find,
    ];
    families.iter().find_map(|family| family(&node.op_type))
}
