//! [`Kernel`]: what most operators here are, tensors in and tensors out, with one rule for their dtypes and shapes.

use std::borrow::Cow;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;

/// What the builder of an operator gives tract.
pub(super) type Built = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// An operator without state. Whole numbers come as i64 where tract would hand over symbolic ones.
pub(super) trait Kernel: std::fmt::Debug + Send + Sync + 'static {
    /// Dtype and shape of every output, for inputs of these, whose dims may be symbols.
    fn facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>>;

    fn eval(&self, inputs: &[TValue]) -> TractResult<TVec<Tensor>>;
}

/// The operator of a node that `kernel` computes, with those outputs that the node names.
pub(super) fn built(node: &NodeProto, kernel: impl Kernel) -> Built {
    let wanted = (0..node.output.len()).filter(|at| !node.output[*at].is_empty()).collect();
    let inputs = node.input.iter().filter(|name| !name.is_empty()).count();
    let operator = Operator { name: node.op_type.clone(), kernel: Arc::new(kernel), inputs, wanted };
    Ok((expand(operator), vec![]))
}

/// The operator with the first output of `kernel` alone, for graphs that are typed already.
pub(super) fn typed(name: &str, kernel: impl Kernel) -> impl TypedOp {
    Operator { name: name.to_owned(), kernel: Arc::new(kernel), inputs: 1, wanted: tvec!(0) }
}

/// Rows and their length: a tensor of rank 1 is one row.
pub(super) fn rows_of(shape: &[usize]) -> (usize, usize) {
    match shape {
        [] => (1, 1),
        [width] => (1, *width),
        [rows, rest @ ..] => (*rows, rest.iter().product()),
    }
}

/// As [`rows_of`], where dims may be symbols.
pub(super) fn dims_of(shape: &[TDim]) -> (TDim, TDim) {
    match shape {
        [] => (1.to_dim(), 1.to_dim()),
        [width] => (1.to_dim(), width.clone()),
        [rows, rest @ ..] => (rows.clone(), rest.iter().product()),
    }
}

pub(super) fn elements<T: Datum>(tensor: &Tensor) -> TractResult<&[T]> {
    tensor.try_as_plain_ram()?.as_slice()
}

/// The numbers as f32, or an error for strings.
pub(super) fn f32s(tensor: &Tensor) -> TractResult<Cow<'_, Tensor>> {
    numeric(tensor.datum_type())?;
    tensor.cast_to::<f32>()
}

pub(super) fn numeric(datum: DatumType) -> TractResult<()> {
    ensure!(datum.is_number() || datum == DatumType::Bool, "expected numbers, got {datum:?}");
    Ok(())
}

/// Row-major.
pub(super) fn tensor<T: Datum>(shape: &[usize], elements: Vec<T>) -> TractResult<Tensor> {
    Ok(tract_ndarray::ArrayD::from_shape_vec(shape, elements)?.into_tensor())
}

/// The elements of `values` at `positions`, as a tensor of `shape`.
pub(super) fn pick(values: &Tensor, positions: &[usize], shape: &[usize]) -> TractResult<Tensor> {
    fn of<T: Datum>(values: &Tensor, positions: &[usize], shape: &[usize]) -> TractResult<Tensor> {
        let values = elements::<T>(values)?;
        tensor(shape, positions.iter().map(|at| values[*at].clone()).collect())
    }
    dispatch_datum!(of(values.datum_type())(values, positions, shape))
}

/// Equal only to its clones.
#[derive(Clone, Debug)]
struct Operator {
    name: String,
    kernel: Arc<dyn Kernel>,
    inputs: usize,
    /// Positions among the kernel's outputs
    wanted: TVec<usize>,
}

impl Operator {
    fn wanted_facts(&self, inputs: &[TypedFact]) -> TractResult<TVec<TypedFact>> {
        // Each has one at least; those that have more count them.
        ensure!(!inputs.is_empty(), "{}: expected an input, got none", self.name);
        let facts = self.kernel.facts(inputs).with_context(|| self.name.clone())?;
        let (most, last) = (facts.len(), self.wanted.last().copied().unwrap_or(0));
        ensure!(last < most, "{}: expected at most {most} outputs, got {}", self.name, last + 1);
        Ok(self.wanted.iter().map(|at| facts[*at].clone()).collect())
    }
}

impl Expansion for Operator {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.wanted.len())
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, self.inputs)?;
        check_output_arity(outputs, self.wanted.len())?;
        solver.given_all(inputs.iter().map(|input| &input.datum_type), move |solver, datums| {
            solver.given_all(inputs.iter().map(|input| &input.shape), move |solver, shapes| {
                let facts: Vec<TypedFact> =
                    datums.iter().zip(shapes).map(|(datum, shape)| concrete(*datum).fact(shape)).collect();
                for (output, fact) in outputs.iter().zip(self.wanted_facts(&facts)?) {
                    solver.equals(&output.datum_type, fact.datum_type)?;
                    solver.equals(&output.shape, fact.shape.to_tvec())?;
                }
                Ok(())
            })
        })
    }

    fn wire(&self, prefix: &str, model: &mut TypedModel, inputs: &[OutletId]) -> TractResult<TVec<OutletId>> {
        let mut wires = tvec!();
        for (at, input) in inputs.iter().enumerate() {
            let datum = model.outlet_fact(*input)?.datum_type;
            wires.push(if concrete(datum) == datum {
                *input
            } else {
                model.wire_node(format!("{prefix}.whole.{at}"), cast(concrete(datum)), &[*input])?[0]
            });
        }
        model.wire_node(prefix, self.clone(), &wires)
    }
}

fn concrete(datum: DatumType) -> DatumType {
    if datum == DatumType::TDim { DatumType::I64 } else { datum }
}

impl Op for Operator {
    fn name(&self) -> StaticName {
        self.name.clone().into()
    }

    op_as_typed_op!();
}

impl PartialEq for Operator {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel) && self.wanted == other.wanted
    }
}

impl Eq for Operator {}

impl TypedOp for Operator {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let plain: Vec<TypedFact> =
            inputs.iter().map(|fact| fact.datum_type.fact(fact.shape.clone())).collect();
        self.wanted_facts(&plain)
    }

    as_op!();
}

impl EvalOp for Operator {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let outputs = self.kernel.eval(&inputs).with_context(|| self.name.clone())?;
        let all = outputs.into_iter().enumerate();
        Ok(all.filter(|(at, _)| self.wanted.contains(at)).map(|(_, tensor)| tensor.into_tvalue()).collect())
    }
}
