//! [`Cache`]: plans for concrete shapes, built when first asked for, the least recently used given up.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use crate::batch::independent;
use crate::plan::Plan;
use crate::profile::Clock;
use crate::read::Reader;
use crate::signature::Description;
use crate::steps::{Rehearsal, Steps};
use crate::{Error, Tensor};

pub(crate) struct Cache {
    description: Description,
    /// What plans are made of; `None` once none is to be made any more
    reader: Option<Reader>,
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

/// The outputs by name.
type Answer = Result<Vec<(String, Tensor)>, Error>;

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
            description: reader.description.clone(),
            reader: Some(reader),
            independent,
            steps: OnceLock::new(),
            entries: ArcSwap::default(),
            writing: Mutex::new(()),
            clock: AtomicU64::new(0),
            capacity,
        }
    }

    /// Runs `inputs` by the plan for their shapes, building it first if need be. A plan that the cache gives up
    /// meanwhile lives until its last run ends. Up to so many threads help where pictures are computed one by one.
    pub(crate) fn run(&self, inputs: &[Tensor], helpers: usize) -> Answer {
        match self.pictures(inputs) {
            Some(count) => self.run_each(inputs, count, helpers),
            None => self.run_whole(inputs),
        }
    }

    /// How many pictures there are to be computed one by one: more than one.
    fn pictures(&self, inputs: &[Tensor]) -> Option<usize> {
        let count = *inputs.first()?.shape().first()?;
        let same = inputs.iter().all(|input| input.shape().first() == Some(&count));
        (self.independent && same && count > 1).then_some(count)
    }

    fn run_each(&self, inputs: &[Tensor], count: usize, helpers: usize) -> Answer {
        let answers: Vec<OnceLock<Answer>> = (0..count).map(|_| OnceLock::new()).collect();
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            while let Some((at, answer)) = Some(next.fetch_add(1, Ordering::Relaxed))
                .and_then(|at| Some((at, answers.get(at)?)))
                .filter(|_| !failed.load(Ordering::Relaxed))
            {
                let made = picture(inputs, at).and_then(|inputs| self.run_whole(&inputs));
                failed.fetch_or(made.is_err(), Ordering::Relaxed);
                // Each is taken by one.
                let _ = answer.set(made);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..helpers.min(count - 1) {
                // Where there is no thread to be had, the others do it.
                let _ = std::thread::Builder::new().name("engine".to_owned()).spawn_scoped(scope, work);
            }
            work();
        });
        // The first failure; what comes after it may not have been begun.
        let answers = answers.into_iter().map_while(OnceLock::into_inner).collect::<Result<Vec<_>, _>>()?;
        stack(&answers)
    }

    fn run_whole(&self, inputs: &[Tensor]) -> Answer {
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.run(&self.description, inputs),
            (Way::Steps, None) => Err(Error::unsupported("there is no plan")),
            (Way::Plan(plan), _) => plan.run(inputs, &self.description.outputs),
        })
    }

    /// As [`Cache::run`], with the times of its nodes on `clock`, and without the outputs.
    pub(crate) fn measure(&self, clock: &Clock, inputs: &[Tensor]) -> Result<(), Error> {
        if let Some(count) = self.pictures(inputs) {
            return (0..count).try_for_each(|at| self.measure(clock, &picture(inputs, at)?));
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
        self.get(&shapes, false, |way| match (way, self.steps()) {
            (Way::Steps, Some(steps)) => steps.measure(clock, &self.description, inputs),
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

    /// The shapes that there are plans for.
    pub(crate) fn planned(&self) -> Vec<Vec<Vec<usize>>> {
        let planned = |entry: &&Arc<Entry>| matches!(entry.plan.get(), Some(Ok(_)));
        self.entries.load().iter().filter(planned).map(|entry| entry.shapes.clone()).collect()
    }

    /// Lets go of what plans are made of, if there are some and one serves batches of every size.
    pub(crate) fn freeze(&mut self) {
        let needed = |entry: &Arc<Entry>| matches!(entry.plan.get(), Some(Ok(Way::Steps)));
        let entries = self.entries.load();
        if self.independent && !entries.is_empty() && !entries.iter().any(needed) {
            self.reader = None;
        }
    }

    fn steps(&self) -> Option<&Steps> {
        let reader = self.reader.as_ref();
        self.steps.get_or_init(|| reader.and_then(|read| Steps::new(&read.proto, &read.onnx).ok())).as_ref()
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
        let Some(reader) = &self.reader else {
            let planned: Vec<String> = self.planned().iter().map(|shapes| list(shapes)).collect();
            return Err(Error::input(format!("it was sealed for {} alone", planned.join(" or "))));
        };
        let error = match Plan::build(reader, Some(shapes)) {
            Ok(plan) => return Ok(Way::Plan(Box::new(plan))),
            Err(error) => error,
        };
        let Some(steps) = self.steps() else { return Err(error) };
        match steps.rehearse(&self.description, shapes) {
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

/// The picture number `at` of each input.
fn picture(inputs: &[Tensor], at: usize) -> Result<Vec<Tensor>, Error> {
    let one = |input: &Tensor| {
        let mut shape = input.shape().to_vec();
        let count = std::mem::replace(&mut shape[0], 1);
        let bytes = input.as_bytes().len() / count;
        Tensor::from_le_bytes(input.dtype(), &shape, &input.as_bytes()[at * bytes..][..bytes])
    };
    inputs.iter().map(one).collect()
}

/// The outputs of pictures as one batch.
fn stack(answers: &[Vec<(String, Tensor)>]) -> Answer {
    let Some(first) = answers.first() else { return Ok(Vec::new()) };
    let each = first.iter().enumerate().map(|(output, (name, tensor))| {
        let parts = answers.iter().map(|answer| answer[output].1.as_bytes()).collect::<Vec<_>>();
        let mut shape = tensor.shape().to_vec();
        if let Some(count) = shape.first_mut() {
            *count *= answers.len();
        }
        Ok((name.clone(), Tensor::from_le_bytes(tensor.dtype(), &shape, &parts.concat())?))
    });
    each.collect()
}

fn find(entries: &[Arc<Entry>], shapes: &[&[usize]]) -> Option<Arc<Entry>> {
    entries.iter().find(|e| e.shapes.iter().map(Vec::as_slice).eq(shapes.iter().copied())).cloned()
}

/// `[1, 4, 256, 256] and [1]`.
fn list<S: AsRef<[usize]>>(shapes: &[S]) -> String {
    let shapes: Vec<String> = shapes.iter().map(|shape| format!("{:?}", shape.as_ref())).collect();
    shapes.join(" and ")
}
