//! [`Flow`]: `If`, `Loop` and `Scan`, whose subgraphs see the values of the graphs around them.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::*;

use super::{Body, Scope, Shared, in_node};
use crate::kernels::{Call, stacked};
use crate::{Error, Tensor};

pub(super) struct Flow {
    node: NodeProto,
    /// `then_branch` and `else_branch`, or `body` alone
    bodies: Vec<Body>,
}

impl Flow {
    pub(super) fn new(node: &NodeProto, shared: &Shared, known: &HashSet<String>) -> Result<Self, Error> {
        let names: &[&str] = if node.op_type == "If" { &["then_branch", "else_branch"] } else { &["body"] };
        let body = |name: &&str| {
            let graph = node.attribute.iter().find(|a| a.name == **name).and_then(|a| a.g.as_ref());
            let graph = graph.ok_or_else(|| Error::model(format!("{} has no {name}", node.op_type)))?;
            Body::new(graph, shared, known)
        };
        Ok(Self { bodies: names.iter().map(body).collect::<Result<_, _>>()?, node: node.clone() })
    }

    pub(super) fn node(&self) -> &NodeProto {
        &self.node
    }

    pub(super) fn run(&self, shared: &Shared, scope: &mut Scope) -> Result<(), Error> {
        let inputs = in_node(&self.node, || scope.inputs(&self.node))?;
        let version = shared.version(&self.node.domain);
        let call = Call { node: &self.node, version, inputs };
        let outputs = match self.node.op_type.as_str() {
            "If" => {
                let yes = in_node(&self.node, || call.input(0)?.truth())?;
                self.bodies[usize::from(!yes)].run(shared, HashMap::new(), scope.within())?
            }
            "Loop" => self.repeat(&call, shared, scope)?,
            _ if version < 9 => {
                return in_node(&self.node, || bail!("a Scan of operator set 8 is not read"));
            }
            _ => self.scan(&call, shared, scope)?,
        };
        scope.put(&self.node.output, outputs);
        Ok(())
    }

    fn repeat(&self, call: &Call, shared: &Shared, scope: &Scope) -> Result<Vec<Tensor>, Error> {
        let body = &self.bodies[0];
        let node = &self.node;
        let (trips, mut going) = in_node(node, || {
            let trips = call.optional(0).map(Tensor::integer).transpose()?;
            Ok((trips.unwrap_or(i64::MAX), call.optional(1).map(Tensor::truth).transpose()?.unwrap_or(true)))
        })?;
        let mut carried: Vec<Tensor> =
            in_node(node, || (2..call.inputs.len()).map(|at| call.input(at).cloned()).collect())?;
        in_node(node, || {
            ensure!(
                body.inputs.len() == carried.len() + 2,
                "expected {} inputs of its body",
                carried.len() + 2
            );
            ensure!(body.outputs.len() > carried.len(), "expected {} outputs of its body", carried.len() + 1);
            Ok(())
        })?;
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); body.outputs.len() - 1 - carried.len()];
        let mut trip = 0;
        while trip < trips && going {
            let counter = in_node(node, || {
                Ok([Tensor::of(crate::Dtype::I64, &[], vec![trip])?, Tensor::of_bools(&[], vec![going])?])
            })?;
            let named = body.inputs.iter().cloned().zip(counter.into_iter().chain(carried));
            let mut outputs = body.run(shared, named.collect(), scope.within())?.into_iter();
            going = in_node(node, || outputs.next().context("its body has no outputs")?.truth())?;
            carried = outputs.by_ref().take(body.inputs.len() - 2).collect();
            collected.iter_mut().zip(outputs).for_each(|(all, one)| all.push(one));
            trip += 1;
        }
        for tensors in &collected {
            carried.push(in_node(node, || stacked(tensors, 0))?);
        }
        Ok(carried)
    }

    fn scan(&self, call: &Call, shared: &Shared, scope: &Scope) -> Result<Vec<Tensor>, Error> {
        let (body, node) = (&self.bodies[0], &self.node);
        let scanned = in_node(node, || Ok(usize::try_from(call.int("num_scan_inputs", 0))?))?;
        let states = in_node(node, || {
            let states = call.inputs.len().checked_sub(scanned).context("more scanned inputs than inputs")?;
            ensure!(scanned > 0, "expected an input to scan");
            ensure!(body.outputs.len() >= states, "expected {states} outputs of its body or more");
            Ok(states)
        })?;
        let mut carried: Vec<Tensor> =
            in_node(node, || (0..states).map(|at| call.input(at).cloned()).collect())?;
        let over = in_node(node, || {
            let axes = call.ints("scan_input_axes").unwrap_or_else(|| vec![0; scanned]);
            let backwards = call.ints("scan_input_directions").unwrap_or_else(|| vec![0; scanned]);
            ensure!(
                axes.len() == scanned && backwards.len() == scanned,
                "expected {scanned} axes and directions"
            );
            let each = axes.iter().zip(&backwards).enumerate().map(|(at, (&axis, &back))| {
                let tensor = call.input(states + at)?.clone();
                let axis = tensor.axis(axis)?;
                Ok((tensor, axis, back != 0))
            });
            each.collect::<TractResult<Vec<_>>>()
        })?;
        let steps = over.first().map_or(0, |(tensor, axis, _)| tensor.shape()[*axis]);
        let mut collected: Vec<Vec<Tensor>> = vec![Vec::new(); body.outputs.len() - states];
        for step in 0..steps {
            let slices = in_node(node, || {
                let slice = |(tensor, axis, back): &(Tensor, usize, bool)| {
                    ensure!(tensor.shape()[*axis] == steps, "scanned inputs differ in their length");
                    tensor.at(*axis, if *back { steps - 1 - step } else { step })
                };
                over.iter().map(slice).collect::<TractResult<Vec<_>>>()
            })?;
            let named = body.inputs.iter().cloned().zip(carried.into_iter().chain(slices));
            let mut outputs = body.run(shared, named.collect(), scope.within())?.into_iter();
            carried = outputs.by_ref().take(states).collect();
            collected.iter_mut().zip(outputs).for_each(|(all, one)| all.push(one));
        }
        in_node(node, || {
            let count = collected.len();
            let axes = call.ints("scan_output_axes").unwrap_or_else(|| vec![0; count]);
            let backwards = call.ints("scan_output_directions").unwrap_or_else(|| vec![0; count]);
            ensure!(
                axes.len() == count && backwards.len() == count,
                "expected {count} output axes and directions"
            );
            for ((mut tensors, axis), back) in collected.into_iter().zip(axes).zip(backwards) {
                if back != 0 {
                    tensors.reverse();
                }
                carried.push(stacked(&tensors, axis)?);
            }
            Ok(())
        })?;
        Ok(carried)
    }
}
