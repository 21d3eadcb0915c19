//! [`Cache`]: plans for concrete shapes, built when first asked for, the least recently used given up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::plan::Plan;
use crate::profile::Clock;
use crate::read::Reader;
use crate::steps::{Rehearsal, Steps};
use crate::{Error, Tensor};

pub(crate) struct Cache {
    reader: Reader,
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

/// How a set of shapes is run.
enum Way {
    Plan(Box<Plan>),
    Steps,
}

impl Cache {
    pub(crate) fn new(reader: Reader, capacity: usize) -> Self {
        let capacity = capacity.max(1);
        Self {
            reader,
            steps: OnceLock::new(),
            entries: ArcSwap::default(),
            writing: Mutex::new(()),
            clock: AtomicU64::new(0),
            capacity,
        }
    }

    /// Runs `inputs` by the plan for their shapes, building it first if need be. A plan that the cache gives up
    /// meanwhile lives until its last run ends.
    pub(crate) fn run(&self, inputs: &[Tensor]) -> Result<Vec<(String, Tensor)>, Error> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.run(&self.reader.description, inputs),
            (Way::Steps, None) => Err(Error::unsupported("there is no plan")),
            (Way::Plan(plan), _) => plan.run(inputs, &self.reader.description.outputs),
        })
    }

    /// As [`Cache::run`], with the times of its nodes on `clock`, and without the outputs.
    pub(crate) fn measure(&self, clock: &Clock, inputs: &[Tensor]) -> Result<(), Error> {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.measure(clock, &self.reader.description, inputs),
            (Way::Steps, None) => Err(Error::unsupported("there is no plan")),
            (Way::Plan(plan), _) => plan.measure(clock, inputs),
        })
    }

    /// Builds the plan for `shapes` and never gives it up; it does not count towards the capacity.
    pub(crate) fn keep(&self, shapes: &[&[usize]]) -> Result<(), Error> {
        self.get(shapes, true, |_| Ok(()))
    }

    fn steps(&self) -> Option<&Steps> {
        self.steps.get_or_init(|| Steps::new(&self.reader.proto, &self.reader.onnx).ok()).as_ref()
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
                let message = format!("the graph takes no input of {}", list(shapes));
                Err(Error::input(message).caused_by(error))
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

fn find(entries: &[Arc<Entry>], shapes: &[&[usize]]) -> Option<Arc<Entry>> {
    entries.iter().find(|e| e.shapes.iter().map(Vec::as_slice).eq(shapes.iter().copied())).cloned()
}

/// `[1, 4, 256, 256] and [1]`.
fn list(shapes: &[&[usize]]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|shape| format!("{shape:?}")).collect();
    shapes.join(" and ")
}
