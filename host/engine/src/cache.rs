//! [`Cache`]: plans for concrete shapes, built when first asked for, the least recently used given up; and [`Frozen`], those
//! of them that are kept where no others are asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::batch::independent;
use crate::graph::Asked;
use crate::pictures;
use crate::plan::Plan;
use crate::profile::Clock;
use crate::read::Reader;
use crate::runs::{Answer, Runs};
use crate::signature::TensorInfo;
use crate::steps::{Rehearsal, Steps};
use crate::{Error, Tensor};

pub(crate) struct Cache {
    /// What plans are made of
    reader: Reader,
    /// Whether the pictures of a batch are computed one by one, with one plan for batches of every size
    independent: bool,
    /// What runs the shapes that there is no plan for, made when they are first seen
    steps: OnceLock<Option<Steps>>,
    /// Readers take no lock; a writer replaces the list.
    entries: ArcSwap<Vec<Arc<Entry>>>,
    /// Held to replace the list, never to build.
    writing: Mutex<()>,
    clock: AtomicU64,
    capacity: usize,
}

struct Entry {
    shapes: Vec<Vec<usize>>,
    /// Built by whoever comes first; others with the same shapes wait for it, and only they.
    plan: OnceLock<Result<Way, Error>>,
    used: AtomicU64,
    /// Prepared at load, kept for good.
    kept: bool,
}

impl Entry {
    fn is_for(&self, shapes: &[&[usize]]) -> bool {
        self.shapes.iter().map(Vec::as_slice).eq(shapes.iter().copied())
    }
}

/// How a set of shapes is run.
enum Way {
    Plan(Box<Plan>),
    Steps,
}

impl Cache {
    pub(crate) fn new(reader: Reader, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        let graph = reader.proto.graph.as_ref();
        let independent = graph.is_some_and(|graph| independent(graph, &reader.description));
        Self {
            reader,
            independent,
            steps: OnceLock::new(),
            entries: ArcSwap::default(),
            writing: Mutex::new(()),
            clock: AtomicU64::new(0),
            capacity,
        }
    }

    /// How many pictures there are to be computed one by one.
    fn pictures(&self, inputs: &[Tensor]) -> Option<usize> {
        pictures::count(inputs).filter(|_| self.independent)
    }

    fn run_whole(&self, inputs: &[Tensor]) -> Answer {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        let description = &self.reader.description;
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.run(description, inputs),
            (Way::Steps, None) => Err(Error::unsupported("there is no plan")),
            (Way::Plan(plan), _) => plan.run(inputs, &description.outputs),
        })
    }

    fn measure_whole(&self, clock: &Clock, inputs: &[Tensor]) -> Result<(), Error> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.measure(clock, &self.reader.description, inputs),
            (Way::Steps, None) => Err(Error::unsupported("there is no plan")),
            (Way::Plan(plan), _) => plan.measure(clock, inputs),
        })
    }

    /// Builds the plan for `shapes` and never gives it up; it does not count towards the capacity.
    pub(crate) fn keep(&self, shapes: &[&[usize]]) -> Result<(), Error> {
        let mut one: Vec<Vec<usize>> = shapes.iter().map(|shape| shape.to_vec()).collect();
        if self.independent {
            one.iter_mut().filter_map(|shape| shape.first_mut()).for_each(|count| *count = 1.min(*count));
        }
        let shapes: &[&[usize]] = &one.iter().map(Vec::as_slice).collect::<Vec<_>>();
        self.get(shapes, true, |_| Ok(()))
    }

    /// Lets go of what plans are made of, if there are some and they serve all that is asked for.
    pub(crate) fn frozen(self, asked: Asked) -> Box<dyn Runs> {
        let planned = |entry: &Arc<Entry>| matches!(entry.plan.get(), Some(Ok(Way::Plan(_))));
        let entries = self.entries.load_full();
        let serve = match asked {
            Asked::Anything => false,
            Asked::WarmInBatches => self.independent,
            Asked::Warm => true,
        };
        if !serve || entries.is_empty() || !entries.iter().all(planned) {
            return Box::new(self);
        }
        Box::new(Frozen { entries: entries.to_vec(), independent: self.independent })
    }

    fn steps(&self) -> Option<&Steps> {
        self.steps.get_or_init(|| Steps::new(&self.reader).ok()).as_ref()
    }

    fn get<T>(
        &self,
        shapes: &[&[usize]],
        kept: bool,
        run: impl FnOnce(&Way) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let found = find(&self.entries.load(), shapes);
        let entry = found.unwrap_or_else(|| self.insert(shapes, kept));
        entry.used.store(self.clock.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        match entry.plan.get_or_init(|| self.way(shapes)) {
            Ok(way) => run(way),
            Err(error) => {
                // A failure is not worth the place of a plan that works.
                self.replace(|entries| entries.retain(|e| !Arc::ptr_eq(e, &entry)));
                Err(no_input(shapes).caused_by(error))
            }
        }
    }

    /// Steps only where values may decide shapes: a graph of floats alone that has no plan has none for its shapes.
    fn way(&self, shapes: &[&[usize]]) -> Result<Way, Error> {
        let error = match Plan::build(&self.reader, Some(shapes)) {
            Ok(plan) => return Ok(Way::Plan(Box::new(plan))),
            Err(error) => error,
        };
        let Some(steps) = self.steps() else { return Err(error) };
        match steps.rehearse(&self.reader.description, shapes) {
            Rehearsal::Failed(_) => Err(error),
            Rehearsal::Passed | Rehearsal::Unknown => Ok(Way::Steps),
        }
    }

    fn insert(&self, shapes: &[&[usize]], kept: bool) -> Arc<Entry> {
        self.replace(|entries| {
            // Another thread may have been here since the look-up.
            if let Some(entry) = find(entries, shapes) {
                return entry;
            }
            let loose = entries.iter().filter(|e| !e.kept);
            if !kept && loose.clone().count() >= self.capacity {
                let oldest = loose.min_by_key(|e| e.used.load(Ordering::Relaxed)).cloned();
                entries.retain(|e| oldest.as_ref().is_none_or(|oldest| !Arc::ptr_eq(e, oldest)));
            }
            let entry = Arc::new(Entry {
                shapes: shapes.iter().map(|shape| shape.to_vec()).collect(),
                plan: OnceLock::new(),
                used: AtomicU64::new(self.clock.load(Ordering::Relaxed)),
                kept,
            });
            entries.push(entry.clone());
            entry
        })
    }

    fn replace<T>(&self, change: impl FnOnce(&mut Vec<Arc<Entry>>) -> T) -> T {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = Vec::clone(&self.entries.load());
        let result = change(&mut entries);
        self.entries.store(Arc::new(entries));
        result
    }
}

impl Runs for Cache {
    /// By the plan for the inputs' shapes, which is built first if need be. One that the cache gives up meanwhile lives until
    /// its last run ends.
    fn run(&self, inputs: &[Tensor], _outputs: &[TensorInfo], helpers: usize) -> Answer {
        match self.pictures(inputs) {
            Some(count) => pictures::each(inputs, count, helpers, |inputs| self.run_whole(inputs)),
            None => self.run_whole(inputs),
        }
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], _outputs: &[TensorInfo]) -> Result<(), Error> {
        match self.pictures(inputs) {
            Some(count) => {
                (0..count).try_for_each(|at| self.measure_whole(clock, &pictures::one(inputs, at)?))
            }
            None => self.measure_whole(clock, inputs),
        }
    }

    fn plans_per_shape(&self) -> bool {
        true
    }

    fn planned(&self) -> Vec<Vec<Vec<usize>>> {
        planned(&self.entries.load())
    }
}

/// Plans for the shapes that were asked for at load, and nothing to make others of.
struct Frozen {
    entries: Vec<Arc<Entry>>,
    /// As [`Cache::independent`]: each plan is of one picture then
    independent: bool,
}

impl Frozen {
    fn plan(&self, inputs: &[Tensor]) -> Result<&Plan, Error> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        let entry = self.entries.iter().find(|entry| entry.is_for(&shapes));
        if let Some(Ok(Way::Plan(plan))) = entry.and_then(|entry| entry.plan.get()) {
            return Ok(plan);
        }
        let planned: Vec<String> = planned(&self.entries).iter().map(|shapes| list(shapes)).collect();
        let why = Error::input(format!("it was sealed for {} alone", planned.join(" or ")));
        Err(no_input(&shapes).caused_by(&why))
    }
}

impl Runs for Frozen {
    fn run(&self, inputs: &[Tensor], outputs: &[TensorInfo], helpers: usize) -> Answer {
        let run = |inputs: &[Tensor]| self.plan(inputs)?.run(inputs, outputs);
        match pictures::count(inputs).filter(|_| self.independent) {
            Some(count) => pictures::each(inputs, count, helpers, run),
            None => run(inputs),
        }
    }

    fn measure(&self, clock: &Clock, inputs: &[Tensor], _outputs: &[TensorInfo]) -> Result<(), Error> {
        let measure = |inputs: &[Tensor]| self.plan(inputs)?.measure(clock, inputs);
        match pictures::count(inputs).filter(|_| self.independent) {
            Some(count) => (0..count).try_for_each(|at| measure(&pictures::one(inputs, at)?)),
            None => measure(inputs),
        }
    }

    fn plans_per_shape(&self) -> bool {
        true
    }

    fn planned(&self) -> Vec<Vec<Vec<usize>>> {
        planned(&self.entries)
    }
}

/// The shapes that there are plans for.
fn planned(entries: &[Arc<Entry>]) -> Vec<Vec<Vec<usize>>> {
    let planned = |entry: &&Arc<Entry>| matches!(entry.plan.get(), Some(Ok(_)));
    entries.iter().filter(planned).map(|entry| entry.shapes.clone()).collect()
}

fn no_input(shapes: &[&[usize]]) -> Error {
    Error::input(format!("the graph takes no input of {}", list(shapes)))
}

fn find(entries: &[Arc<Entry>], shapes: &[&[usize]]) -> Option<Arc<Entry>> {
    entries.iter().find(|entry| entry.is_for(shapes)).cloned()
}

/// `[1, 4, 256, 256] and [1]`.
fn list<S: AsRef<[usize]>>(shapes: &[S]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|shape| format!("{:?}", shape.as_ref())).collect();
    shapes.join(" and ")
}
