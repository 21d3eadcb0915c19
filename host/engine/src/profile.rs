//! [`Profile`]: where the time of a graph goes, node by node and by operator; [`Profile::to_svg`] draws it.

mod picture;

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan::eval;
use tract_onnx::tract_hir::internal::{TypedSimplePlan, TypedSimpleState};

use crate::conv;

/// tract's operators that are this crate's, registered under these names.
const OURS: [&str; 2] = ["Linear", "Trees"];

/// Who computes a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Implementation {
    /// A kernel of this crate
    Ours,
    /// An operator of tract
    Tract,
    /// ONNX Runtime, the whole graph at once
    OnnxRuntime,
}

/// One node, or one step of a region of nodes that are computed together.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeTime {
    /// As the file has it, or as it was made of the file's names when the graph was optimised
    pub name: String,
    /// What it computes, after optimisation
    pub operator: String,
    pub by: Implementation,
    /// Mean of the runs; of all times, where a loop computes it several times in a run
    pub time: Duration,
    /// Of the time in nodes, 0 to 1
    pub share: f64,
}

/// All nodes of one operator.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorTime {
    pub operator: String,
    pub by: Implementation,
    /// How many there are
    pub nodes: usize,
    /// Their sum, mean of the runs
    pub time: Duration,
    /// Of the time in nodes, 0 to 1
    pub share: f64,
}

/// What [`Graph::profile`](crate::Graph::profile) measures. Displays as a table, the longest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    runs: usize,
    whole: Duration,
    nodes: Vec<NodeTime>,
}

impl Profile {
    /// How many runs were measured.
    pub fn runs(&self) -> usize {
        self.runs
    }

    /// One run from end to end, mean of the runs. More than the nodes' sum: finding inputs, clearing, measuring.
    pub fn whole(&self) -> Duration {
        self.whole
    }

    /// In the order in which they ran.
    pub fn nodes(&self) -> &[NodeTime] {
        &self.nodes
    }

    /// The longest first, of equals the first by name.
    pub fn operators(&self) -> Vec<OperatorTime> {
        let mut operators: Vec<OperatorTime> = Vec::new();
        for node in &self.nodes {
            let same = operators.iter_mut().find(|o| o.operator == node.operator && o.by == node.by);
            match same {
                Some(operator) => {
                    operator.nodes += 1;
                    operator.time += node.time;
                    operator.share += node.share;
                }
                None => operators.push(OperatorTime {
                    operator: node.operator.clone(),
                    by: node.by,
                    nodes: 1,
                    time: node.time,
                    share: node.share,
                }),
            }
        }
        operators.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.operator.cmp(&b.operator)));
        operators
    }

    /// A picture of one file: the whole above, its operators below it, their nodes at the bottom, each as wide as its
    /// time. Names and times show under the pointer.
    pub fn to_svg(&self) -> String {
        picture::svg(self)
    }
}

impl fmt::Display for Implementation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::Tract => "tract",
            Self::OnnxRuntime => "onnxruntime",
        })
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inside: Duration = self.nodes.iter().map(|node| node.time).sum();
        let (runs, plural) = (self.runs, if self.runs == 1 { "" } else { "s" });
        writeln!(
            f,
            "{:.2?} each of {runs} run{plural}, {inside:.2?} of it in {} nodes",
            self.whole,
            self.nodes.len()
        )?;
        writeln!(f, "\n{:<28} {:<11} {:>6} {:>12} {:>7}", "operator", "by", "nodes", "time", "share")?;
        for OperatorTime { operator, by, nodes, time, share } in self.operators() {
            let (by, time, percent) = (by.to_string(), format!("{time:.2?}"), 100.0 * share);
            writeln!(f, "{operator:<28} {by:<11} {nodes:>6} {time:>12} {percent:>6.1}%")?;
        }
        writeln!(f, "\n{:<28} {:<11} {:>12} {:>7}  node", "operator", "by", "time", "share")?;
        let mut nodes: Vec<&NodeTime> = self.nodes.iter().collect();
        nodes.sort_by_key(|node| std::cmp::Reverse(node.time));
        for NodeTime { name, operator, by, time, share } in nodes {
            let (by, time, percent) = (by.to_string(), format!("{time:.2?}"), 100.0 * share);
            writeln!(f, "{operator:<28} {by:<11} {time:>12} {percent:>6.1}%  {name}")?;
        }
        Ok(())
    }
}

/// Collects times while a graph runs in one thread.
#[derive(Default)]
pub(crate) struct Clock(RefCell<Seen>);

#[derive(Default)]
struct Seen {
    places: HashMap<(String, String), usize>,
    nodes: Vec<(String, String, Implementation, Duration)>,
}

impl Clock {
    pub(crate) fn add(&self, name: &str, operator: &str, by: Implementation, time: Duration) {
        let mut seen = self.0.borrow_mut();
        let next = seen.nodes.len();
        let at = *seen.places.entry((name.to_owned(), operator.to_owned())).or_insert(next);
        match seen.nodes.get_mut(at) {
            Some(node) => node.3 += time,
            None => seen.nodes.push((name.to_owned(), operator.to_owned(), by, time)),
        }
    }

    /// Runs a plan of tract's and measures its nodes.
    pub(crate) fn run(&self, plan: &Arc<TypedSimplePlan>, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let mut state: TypedSimpleState = plan.spawn()?;
        state.run_plan_with_eval(inputs, |context, own, node: &TypedNode, inputs| {
            let operator = node.op.name().to_string();
            if let Some(region) = conv::region(node.op.as_ref()) {
                return self.region(&node.name, region, &inputs);
            }
            let start = Instant::now();
            let outputs = eval(context, own, node, inputs);
            let time = start.elapsed();
            if !matches!(operator.as_str(), "Source" | "Const" | "TypedSource") {
                let by = if OURS.contains(&operator.as_str()) {
                    Implementation::Ours
                } else {
                    Implementation::Tract
                };
                self.add(&node.name, &operator, by, time);
            }
            outputs
        })
    }

    /// The steps of nodes that are computed together.
    fn region(&self, name: &str, region: &conv::Blocked, inputs: &[TValue]) -> TractResult<TVec<TValue>> {
        let lines = region.describe();
        let mut times = vec![Duration::ZERO; lines.len()];
        let mut last = Instant::now();
        let outputs = region.compute(inputs, |step| {
            let now = Instant::now();
            times[step] += now - last;
            last = now;
        })?;
        // What is left is the way back to tract's layout.
        let leaving = last.elapsed();
        for (at, (line, time)) in lines.iter().zip(times).enumerate() {
            let (operator, about) = line.split_once(' ').unwrap_or((line, ""));
            self.add(&format!("{name} {at}: {about}"), operator, Implementation::Ours, time);
        }
        self.add(&format!("{name} {}", lines.len()), "Leave", Implementation::Ours, leaving);
        Ok(outputs)
    }

    /// The means of `runs`, which took `whole` in all.
    pub(crate) fn profile(self, runs: usize, whole: Duration) -> Profile {
        let count = u32::try_from(runs.max(1)).unwrap_or(u32::MAX);
        let seen = self.0.into_inner().nodes;
        let sum: Duration = seen.iter().map(|node| node.3).sum();
        let share = |time: Duration| if sum.is_zero() { 0.0 } else { time.as_secs_f64() / sum.as_secs_f64() };
        let node = |(name, operator, by, time): (String, String, Implementation, Duration)| NodeTime {
            name,
            operator,
            by,
            time: time / count,
            share: share(time),
        };
        Profile { runs, whole: whole / count, nodes: seen.into_iter().map(node).collect() }
    }
}
