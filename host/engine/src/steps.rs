//! [`Steps`]: a graph run operator by operator, where no plan of the whole can be made: shapes that depend on
//! values, control flow, dtypes and operators that tract lacks or has another way.
//!
//! What follows one another and is tract's is planned together (`planned`), the rest is done by this crate's
//! kernels (`kernels`) and, for subgraphs, by `flow`.

mod flow;
mod planned;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use tract_onnx::Onnx;
use tract_onnx::pb::{GraphProto, NodeProto, OperatorSetIdProto};
use tract_onnx::prelude::*;

use crate::hold::Builders;
use crate::kernels::{self, Call, Kernel};
use crate::profile::{Clock, Implementation};
use crate::read::{Reader, called, guard};
use crate::signature::{Description, TensorInfo};
use crate::{Error, ErrorKind, Tensor, hold};
use flow::Flow;
use planned::Planned;

pub(crate) struct Steps {
    shared: Shared,
    body: Body,
}

/// What all nodes of a model have in common.
struct Shared {
    onnx: Onnx,
    /// What its operators are built with
    _builders: Arc<Builders>,
    ir_version: i64,
    opsets: Vec<OperatorSetIdProto>,
}

/// A graph or subgraph in the order that it is run in.
struct Body {
    inputs: Vec<String>,
    outputs: Vec<String>,
    constants: HashMap<String, Tensor>,
    units: Vec<Unit>,
    /// By unit, the values that nothing needs after it
    done: Vec<Vec<String>>,
}

enum Unit {
    Kernel(NodeProto, Kernel),
    Flow(Flow),
    Planned(Planned),
}

/// The values that nodes see: their graph's, and those of the graphs around it.
struct Scope<'a> {
    values: HashMap<String, Tensor>,
    body: &'a Body,
    outside: Outside<'a>,
}

/// What a body is run in: the values around it, and who measures.
#[derive(Clone, Copy, Default)]
struct Outside<'a> {
    scope: Option<&'a Scope<'a>>,
    clock: Option<&'a Clock>,
}

impl Scope<'_> {
    fn get(&self, name: &str) -> Option<&Tensor> {
        let here = self.values.get(name).or_else(|| self.body.constants.get(name));
        here.or_else(|| self.outside.scope.and_then(|outer| outer.get(name)))
    }

    /// For a body inside of this one.
    fn within(&self) -> Outside<'_> {
        Outside { scope: Some(self), clock: self.outside.clock }
    }

    fn inputs(&self, node: &NodeProto) -> TractResult<Vec<Option<Tensor>>> {
        let input = |name: &String| match (name.as_str(), self.get(name)) {
            ("", _) => Ok(None),
            (_, Some(tensor)) => Ok(Some(tensor.clone())),
            (_, None) => Err(TractError::msg(format!("nothing makes {name:?}"))),
        };
        node.input.iter().map(input).collect()
    }
}

impl Steps {
    /// Reads the constants and finds who runs which node.
    ///
    /// # Errors
    ///
    /// `InvalidModel` for constants that contradict themselves, and for values that nothing makes.
    pub(crate) fn new(reader: &Reader) -> Result<Self, Error> {
        let model = &reader.proto;
        let graph = model.graph.as_ref().ok_or_else(|| Error::model("the file holds no graph"))?;
        let shared = Shared {
            onnx: reader.onnx.clone(),
            _builders: reader.builders.clone(),
            ir_version: model.ir_version,
            opsets: model.opset_import.clone(),
        };
        let body = Body::new(graph, &shared, &HashSet::new())?;
        Ok(Self { shared, body })
    }

    /// As [`Steps::run`], with the times of its nodes on `clock`, and without the outputs.
    pub(crate) fn measure(
        &self,
        clock: &Clock,
        description: &Description,
        inputs: &[Tensor],
    ) -> Result<(), Error> {
        let named = description.inputs.iter().map(|info| info.name.clone()).zip(inputs.iter().cloned());
        let outside = Outside { scope: None, clock: Some(clock) };
        self.body.run(&self.shared, named.collect(), outside).map(drop)
    }

    /// Runs once over zeros, if all inputs are arrays of floats and no subgraph may repeat itself.
    pub(crate) fn rehearse(&self, description: &Description, shapes: &[&[usize]]) -> Rehearsal {
        let infos = || description.inputs.iter().zip(shapes);
        let size = |info: &TensorInfo, shape: &[usize]| {
            shape.iter().try_fold(info.dtype.size_bytes(), |size, dim| size.checked_mul(*dim))
        };
        let bytes = infos().try_fold(0usize, |sum, (info, shape)| sum.checked_add(size(info, shape)?));
        let flows = self.body.units.iter().any(|unit| matches!(unit, Unit::Flow(_)));
        // A number or a row of them may be sizes, whatever their dtype.
        let floats = infos().all(|(info, shape)| info.dtype.is_float() && shape.len() > 1);
        if flows || !floats || bytes.is_none_or(|bytes| bytes > REHEARSAL_BYTES) {
            return Rehearsal::Unknown;
        }
        let zeros = infos().map(|(info, shape)| Tensor::zeros(info.dtype, shape));
        let run = || zeros.collect::<Result<Vec<_>, _>>().and_then(|zeros| self.run(description, &zeros));
        match hold::tried(run) {
            (Ok(_), _) => Rehearsal::Passed,
            (Err(_), true) => Rehearsal::Unknown,
            (Err(error), false) => Rehearsal::Failed(error),
        }
    }

    /// `inputs` in the graph's order, checked against its signature; the outputs in its order.
    pub(crate) fn run(
        &self,
        description: &Description,
        inputs: &[Tensor],
    ) -> Result<Vec<(String, Tensor)>, Error> {
        let named = description.inputs.iter().map(|info| info.name.clone()).zip(inputs.iter().cloned());
        let answers = self.body.run(&self.shared, named.collect(), Outside::default())?;
        let named = answers.into_iter().zip(&description.outputs);
        named.map(|(tensor, info)| Ok((info.name.clone(), declared(tensor, info)?))).collect()
    }
}

/// What a run over zeros says about a graph.
pub(crate) enum Rehearsal {
    Passed,
    /// Zeros are as good as other numbers to it, so that it fails with all.
    Failed(Error),
    /// Its values may decide its shapes, or it is too large to try.
    Unknown,
}

/// The most bytes of zeros that a graph is tried with. What its nodes make of them is watched; these, and what a part that is
/// planned at that moment copies of them, are not.
const REHEARSAL_BYTES: usize = 5 << 20;

/// A file that declares another dtype than its graph computes contradicts itself.
pub(crate) fn declared(tensor: Tensor, info: &TensorInfo) -> Result<Tensor, Error> {
    if tensor.dtype() == info.dtype {
        return Ok(tensor);
    }
    let (name, declared, got) = (&info.name, info.dtype, tensor.dtype());
    Err(Error::model(format!("output {name:?}: the file declares {declared}, the graph has {got}")))
}

impl Shared {
    /// The version of the operator set that `domain` is taken from.
    fn version(&self, domain: &str) -> i64 {
        let plain = |domain: &str| if domain == "ai.onnx" { String::new() } else { domain.to_owned() };
        let of = self.opsets.iter().find(|set| plain(&set.domain) == plain(domain));
        of.map_or(1, |set| set.version)
    }
}

impl Body {
    fn new(graph: &GraphProto, shared: &Shared, outer: &HashSet<String>) -> Result<Self, Error> {
        let mut constants = HashMap::new();
        for proto in &graph.initializer {
            let tensor = guard("reading a constant", ErrorKind::InvalidModel, || Tensor::from_proto(proto))
                .map_err(|e| {
                Error::model(format!("tensor {:?} can't be read", proto.name)).caused_by(&e)
            })?;
            constants.insert(proto.name.clone(), tensor);
        }
        let names = |list: &[tract_onnx::pb::ValueInfoProto]| -> Vec<String> {
            list.iter().map(|info| info.name.clone()).collect()
        };
        let inputs: Vec<String> =
            names(&graph.input).into_iter().filter(|name| !constants.contains_key(name)).collect();
        let outputs = names(&graph.output);
        let mut known: HashSet<String> =
            outer.iter().chain(&inputs).chain(constants.keys()).cloned().collect();
        let mut units = Vec::new();
        let mut run: Vec<NodeProto> = Vec::new();
        for (at, node) in graph.node.iter().enumerate() {
            if let Some(name) = reads(node).into_iter().find(|name| !known.contains(*name)) {
                return Err(Error::model(format!(
                    "operator {}: nothing before it makes its input {name:?}",
                    called(node)
                )));
            }
            known.extend(node.output.iter().filter(|name| !name.is_empty()).cloned());
            if !kernels::replaces(node, shared.version(&node.domain), &shared.onnx) && !is_flow(node) {
                run.push(node.clone());
                continue;
            }
            let after = &graph.node[at..];
            units.extend(
                Planned::new(std::mem::take(&mut run), &constants, after, &outputs).map(Unit::Planned),
            );
            units.push(Unit::single(node, shared, &constants, &known)?);
        }
        units.extend(Planned::new(run, &constants, &[], &outputs).map(Unit::Planned));
        if let Some(name) = outputs.iter().find(|name| !known.contains(*name)) {
            return Err(Error::model(format!("nothing makes the output {name:?}")));
        }
        let done = last_uses(&units, &outputs);
        Ok(Self { inputs, outputs, constants, units, done })
    }

    fn run(
        &self,
        shared: &Shared,
        inputs: HashMap<String, Tensor>,
        outside: Outside,
    ) -> Result<Vec<Tensor>, Error> {
        let mut scope = Scope { values: inputs, body: self, outside };
        for (unit, done) in self.units.iter().zip(&self.done) {
            unit.run(shared, &mut scope)?;
            done.iter().for_each(|name| drop(scope.values.remove(name)));
        }
        let output = |name: &String| {
            scope.get(name).cloned().ok_or_else(|| Error::model(format!("nothing makes the output {name:?}")))
        };
        self.outputs.iter().map(output).collect()
    }
}

impl Unit {
    /// By a kernel where there is one.
    fn single(
        node: &NodeProto,
        shared: &Shared,
        constants: &HashMap<String, Tensor>,
        known: &HashSet<String>,
    ) -> Result<Self, Error> {
        if is_flow(node) {
            return Ok(Self::Flow(Flow::new(node, shared, known)?));
        }
        if let Some(kernel) = kernels::find(node) {
            return Ok(Self::Kernel(node.clone(), kernel));
        }
        let planned = Planned::alone(node, constants);
        Ok(Self::Planned(planned))
    }

    fn run(&self, shared: &Shared, scope: &mut Scope) -> Result<(), Error> {
        match self {
            Self::Kernel(node, kernel) => {
                let inputs = in_node(node, || scope.inputs(node))?;
                let call = Call { node, version: shared.version(&node.domain), inputs };
                let start = Instant::now();
                let outputs = in_node(node, || {
                    hold::ask(node, call.inputs.iter().flatten().map(Tensor::as_tract))?;
                    kernel(&call)
                })?;
                if let Some(clock) = scope.outside.clock {
                    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
                    let name = name.map_or("", String::as_str);
                    clock.add(name, &node.op_type, Implementation::Ours, start.elapsed());
                }
                scope.put(&node.output, outputs);
                Ok(())
            }
            Self::Flow(flow) => flow.run(shared, scope),
            Self::Planned(planned) => planned.run(shared, scope),
        }
    }

    fn reads(&self) -> Vec<&str> {
        match self {
            Self::Kernel(node, _) => reads(node),
            Self::Flow(flow) => reads(flow.node()),
            Self::Planned(planned) => planned.reads(),
        }
    }

    fn writes(&self) -> &[String] {
        match self {
            Self::Kernel(node, _) => &node.output,
            Self::Flow(flow) => &flow.node().output,
            Self::Planned(planned) => planned.writes(),
        }
    }
}

impl Scope<'_> {
    fn put(&mut self, names: &[String], tensors: Vec<Tensor>) {
        for (name, tensor) in names.iter().zip(tensors).filter(|(name, _)| !name.is_empty()) {
            self.values.insert(name.clone(), tensor);
        }
    }
}

/// What goes wrong in a node is said with its name.
fn in_node<T>(node: &NodeProto, call: impl FnOnce() -> TractResult<T>) -> Result<T, Error> {
    let kind = ErrorKind::InvalidInput;
    guard("running a kernel", kind, call)
        .map_err(|e| Error::new(kind, format!("operator {} failed", called(node))).caused_by(&e))
}

fn is_flow(node: &NodeProto) -> bool {
    node.domain.is_empty() && matches!(node.op_type.as_str(), "If" | "Loop" | "Scan")
}

/// Names that a node and its subgraphs take from outside of them.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut names: Vec<&str> =
        node.input.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
    let graphs = node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    for graph in graphs {
        let made: HashSet<&str> = graph
            .input
            .iter()
            .map(|info| info.name.as_str())
            .chain(graph.initializer.iter().map(|tensor| tensor.name.as_str()))
            .chain(graph.node.iter().flat_map(|node| node.output.iter().map(String::as_str)))
            .collect();
        let inside = graph.node.iter().flat_map(reads).chain(graph.output.iter().map(|o| o.name.as_str()));
        names.extend(inside.filter(|name| !made.contains(name)));
    }
    names
}

fn last_uses(units: &[Unit], outputs: &[String]) -> Vec<Vec<String>> {
    let mut needed: HashSet<&str> = outputs.iter().map(String::as_str).collect();
    let mut done = vec![Vec::new(); units.len()];
    for (unit, done) in units.iter().zip(&mut done).rev() {
        let names = unit.reads().into_iter().chain(unit.writes().iter().map(String::as_str));
        done.extend(names.filter(|name| needed.insert(name)).map(str::to_owned));
    }
    done
}
