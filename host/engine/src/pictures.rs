//! Batches whose pictures are computed each by itself ([`independent`](crate::batch::independent)).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::runs::Answer;
use crate::{Error, Tensor};

/// How many pictures there are to be computed one by one: more than one, and as many in each input.
pub(crate) fn count(inputs: &[Tensor]) -> Option<usize> {
    let count = *inputs.first()?.shape().first()?;
    let same = inputs.iter().all(|input| input.shape().first() == Some(&count));
    (same && count > 1).then_some(count)
}

/// Runs each of `count` pictures by itself, with up to so many threads beside the caller's.
pub(crate) fn each(
    inputs: &[Tensor],
    count: usize,
    helpers: usize,
    run: impl Fn(&[Tensor]) -> Answer + Sync,
) -> Answer {
    let answers: Vec<OnceLock<Answer>> = (0..count).map(|_| OnceLock::new()).collect();
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        while let Some((at, answer)) = Some(next.fetch_add(1, Ordering::Relaxed))
            .and_then(|at| Some((at, answers.get(at)?)))
            .filter(|_| !failed.load(Ordering::Relaxed))
        {
            let made = one(inputs, at).and_then(|inputs| run(&inputs));
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

/// The picture number `at` of each input.
pub(crate) fn one(inputs: &[Tensor], at: usize) -> Result<Vec<Tensor>, Error> {
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
