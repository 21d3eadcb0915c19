//! [`Counts`]: axes, ranks and sizes with which tract counts as they stand. One below zero has no end to it, for each of very
//! many there would be memory, and what is not there, a dim of a picture or a number, is read from wherever it would lie.

use tract_onnx::pb::{AttributeProto, NodeProto};
use tract_onnx::tract_hir::internal::*;

/// The most dims of a tensor: more than exporters write.
const MOST: i64 = 64;

/// The most elements of a window: tract lists each.
const WINDOW: i64 = 1 << 18;

/// The longest table.
const LENGTH: i64 = 1 << 20;

/// Bytes for each place in a table.
const PLACE_BYTES: usize = 16;

/// The widest border: tract tries each place of a window that reaches into one.
const BORDER: u64 = 1 << 24;

/// What is asked of the shapes around a node, as far as they are known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    axis: Option<Axis>,
    fewest: Option<Fewest>,
    /// Inputs with an element for each dim, or some of them
    sizes: &'static [usize],
    /// Inputs of one element, which is read wherever it would lie
    scalars: &'static [usize],
    /// Inputs whose value is how long a table is
    lengths: &'static [usize],
    /// The outputs, where the second input has an element for each
    parts: Option<usize>,
    /// The input whose axes behind the second are a window
    kernel: Option<usize>,
    /// What is made for each place in it
    table: Option<Table>,
}

/// A table that is made of shapes alone.
#[derive(Clone, Copy, Debug)]
enum Table {
    /// Of queries and keys: which sees which
    Pairs,
    /// As large as the first input
    Like,
}

/// An axis that a loop goes up to.
#[derive(Clone, Copy, Debug)]
struct Axis {
    at: i64,
    /// Axes that the outputs have beyond the input's
    more: i64,
}

/// How many dims some of its inputs and outputs have at least.
#[derive(Clone, Copy, Debug)]
struct Fewest {
    dims: i64,
    inputs: &'static [usize],
    outputs: bool,
}

impl Counts {
    /// # Errors
    ///
    /// The node has an axis that no tensor has, a window of very many elements, a border that is very wide, an order of axes that
    /// is none, or a loop with more inputs than its body.
    pub(super) fn of(node: &NodeProto) -> TractResult<Self> {
        for attribute in &node.attribute {
            if attribute.name.contains("axis") || attribute.name.contains("axes") {
                let far = attribute.ints.iter().chain([&attribute.i]).find(|at| !(-MOST..MOST).contains(at));
                ensure!(far.is_none(), "{}: expected one of {MOST} axes, got {far:?}", attribute.name);
            }
        }
        let ints = |name| attribute(node, name).map_or(&[][..], |attribute| attribute.ints.as_slice());
        let window = ints("kernel_shape").iter().try_fold(1i64, |size, dim| size.checked_mul(*dim));
        ensure!(
            window.is_some_and(|window| window <= WINDOW),
            "kernel_shape: expected a window of at most {WINDOW} elements, got {:?}",
            ints("kernel_shape")
        );
        ensure!(
            ints("pads").iter().all(|pad| pad.unsigned_abs() <= BORDER),
            "pads: expected at most {BORDER}, got {:?}",
            ints("pads")
        );
        let mut order = ints("perm").to_vec();
        order.sort_unstable();
        ensure!(
            order.iter().zip(0..).all(|(axis, at)| *axis == at),
            "perm: expected each axis once, got {:?}",
            ints("perm")
        );
        if node.op_type == "Scan" {
            check_scan(node)?;
        }
        let axis = match node.op_type.as_str() {
            "LayerNormalization" | "RMSNormalization" => Some(0),
            "OneHot" => Some(1),
            _ => None,
        };
        let at = attribute(node, "axis").map_or(-1, |attribute| attribute.i);
        let axis = axis.map(|more| Axis { at, more });
        let fewest = |dims, inputs, outputs| Some(Fewest { dims, inputs, outputs });
        let fewest = match node.op_type.as_str() {
            "DFT" | "MatMulNBits" => fewest(1, &[0], true),
            "GridSample" => fewest(2, &[0, 1], true),
            "GatherND" => fewest(1, &[1], false),
            "BatchNormalization" | "GroupNormalization" | "InstanceNormalization" | "LRN" => {
                fewest(2, &[0], true)
            }
            "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => fewest(2, &[0], true),
            "AveragePool" | "LpPool" | "MaxPool" => fewest(3, &[0], true),
            "Conv" | "ConvInteger" | "ConvTranspose" => fewest(3, &[0, 1], true),
            "QLinearConv" => fewest(3, &[0, 3], true),
            _ => None,
        };
        let sizes: &[usize] = match node.op_type.as_str() {
            "ConstantOfShape" => &[0],
            "Expand" | "Reshape" | "Squeeze" | "Tile" | "Unsqueeze" | "Upsample" => &[1],
            "Pad" => &[1, 3],
            "Resize" => &[1, 2, 3],
            "Slice" => &[1, 2, 3, 4],
            name if name.starts_with("Reduce") => &[1],
            _ => &[],
        };
        let scalars: &[usize] = match node.op_type.as_str() {
            "BlackmanWindow" | "HammingWindow" | "HannWindow" | "If" => &[0],
            "CumSum" | "Pow" | "TopK" | "Trilu" => &[1],
            "Clip" | "DFT" | "DequantizeLinear" | "Dropout" | "OneHot" | "QuantizeLinear" => &[1, 2],
            "ConvInteger" | "MatMulInteger" => &[2, 3],
            "Loop" => &[0, 1],
            "MelWeightMatrix" => &[0, 1, 2, 3, 4],
            "Pad" => &[2],
            "QLinearConv" | "QLinearMatMul" => &[1, 2, 4, 5, 6, 7],
            "Range" => &[0, 1, 2],
            "STFT" => &[1, 3],
            _ => &[],
        };
        let lengths: &[usize] = match node.op_type.as_str() {
            "DFT" => &[1],
            "MelWeightMatrix" => &[0, 1],
            _ => &[],
        };
        let parts = (node.op_type == "Split").then_some(node.output.len());
        let causal = || attribute(node, "is_causal").is_some_and(|attribute| attribute.i != 0);
        let table = match node.op_type.as_str() {
            "Attention" if causal() => Some(Table::Pairs),
            "EyeLike" => Some(Table::Like),
            _ => None,
        };
        let kernel = match node.op_type.as_str() {
            "Conv" | "ConvInteger" | "ConvTranspose" => Some(1),
            "QLinearConv" => Some(3),
            _ => None,
        };
        Ok(Self { axis, fewest, sizes, scalars, lengths, parts, kernel, table })
    }

    /// # Errors
    ///
    /// A shape that is known is none that tract can count with.
    pub(super) fn check(&self, inputs: &[&InferenceFact], outputs: &[&InferenceFact]) -> TractResult<()> {
        let rank = |fact: &InferenceFact| fact.shape.rank().concretize();
        if let Some(Axis { at, more }) = self.axis {
            let input = inputs.iter().take(1).map(|fact| (fact, more));
            for (fact, more) in input.chain(outputs.iter().map(|fact| (fact, 0))) {
                let Some(rank) = rank(fact).map(|rank| rank + more) else { continue };
                ensure!((-rank..rank).contains(&at), "expected an axis of {rank}, got {at}");
            }
        }
        if let Some(fewest) = self.fewest {
            let inputs = fewest.inputs.iter().filter_map(|input| inputs.get(*input));
            for rank in inputs.chain(outputs.iter().filter(|_| fewest.outputs)).filter_map(|fact| rank(fact))
            {
                ensure!(rank >= fewest.dims, "expected {} dims or more, got {rank}", fewest.dims);
            }
        }
        for fact in self.scalars.iter().filter_map(|input| inputs.get(*input)) {
            ensure!(elements(fact, 0) != Some(0), "expected one element, got none");
        }
        for value in self.lengths.iter().filter_map(|input| inputs.get(*input)?.value.concretize()) {
            ensure!(value.len() == 1, "expected one element, got {}", value.len());
            let length = value.cast_to_scalar::<i64>()?;
            ensure!(length <= LENGTH, "expected a length of at most {LENGTH}, got {length}");
        }
        if let (Some(parts), Some(elements)) = (self.parts, inputs.get(1).and_then(|fact| elements(fact, 0)))
        {
            ensure!(elements == parts as i64, "expected {parts} parts, got {elements}");
        }
        if let Some(size) = self.kernel.and_then(|at| elements(inputs.get(at)?, 2)) {
            ensure!(size <= WINDOW, "expected a window of at most {WINDOW} elements, got {size}");
        }
        let long = |fact: &&InferenceFact| {
            let at = rank(fact).and_then(|rank| usize::try_from(rank - 2).ok())?;
            fact.shape.dim(at)?.concretize()?.to_i64().ok()
        };
        let places = match self.table {
            Some(Table::Pairs) => inputs.iter().take(2).filter_map(long).reduce(i64::saturating_mul),
            Some(Table::Like) => inputs.first().and_then(|fact| elements(fact, 0)),
            None => None,
        };
        super::has_room(usize::try_from(places.unwrap_or(0)).unwrap_or(0).saturating_mul(PLACE_BYTES))?;
        for fact in self.sizes.iter().filter_map(|input| inputs.get(*input)) {
            let dims = elements(fact, 0);
            ensure!(dims.is_none_or(|dims| dims <= MOST), "expected at most {MOST} dims, got {dims:?}");
        }
        Ok(())
    }
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// How many there are along the axes from one on, as far as dims are known.
fn elements(fact: &InferenceFact, from: usize) -> Option<i64> {
    let dims = fact.shape.dims().skip(from).filter_map(|dim| dim.concretize()?.to_i64().ok());
    // Of a scalar, and of what has no dim that is known, there is nothing to say.
    dims.reduce(|elements, dim| elements.saturating_mul(dim))
}

/// tract takes the inputs that a Scan goes through from those of its body, and adds as many states as are left.
fn check_scan(node: &NodeProto) -> TractResult<()> {
    let Some(body) = attribute(node, "body").and_then(|body| body.g.as_ref()) else { return Ok(()) };
    let scanned = attribute(node, "num_scan_inputs").map_or(0, |scanned| scanned.i);
    let states = usize::try_from(scanned).ok().and_then(|scanned| body.input.len().checked_sub(scanned));
    ensure!(
        states.is_some_and(|states| states <= body.output.len()),
        "Scan: expected num_scan_inputs of a body with {} inputs and {} outputs, got {scanned}",
        body.input.len(),
        body.output.len()
    );
    Ok(())
}
