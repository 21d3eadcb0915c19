//! A task of a Cloud Run job: sweeps its share of the input bucket, and ends.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::job::{Share, Totals, Work};
use crate::lazy::Lazy;
use crate::settings::{CLOUD_RUN_TASK_COUNT, CLOUD_RUN_TASK_INDEX, Environment};

/// The share of this task; none where the process is no task of a job.
///
/// # Errors
/// There is no such task.
pub fn share(environment: &Environment) -> anyhow::Result<Option<Share>> {
    if !environment.has(&CLOUD_RUN_TASK_INDEX) {
        return Ok(None);
    }
    let (index, count) =
        (environment.number(&CLOUD_RUN_TASK_INDEX)?, environment.number(&CLOUD_RUN_TASK_COUNT)?);
    match Share::new(index, count) {
        Some(share) => Ok(Some(share)),
        None => {
            bail!("CLOUD_RUN_TASK_INDEX: expected a number below CLOUD_RUN_TASK_COUNT ({count}), got {index}")
        }
    }
}

/// Sweeps until all is done, `patience` is over or `stop` completes. What came of it is one line on
/// standard output.
///
/// # Errors
/// Objects are left: the platform starts the task again, which goes on with those.
pub async fn run(
    work: &Lazy<dyn Work>,
    share: Share,
    patience: Duration,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let work = work.get().await.context("the buckets can't be opened")?;
    let totals = tokio::select! {
        totals = work.sweep(share, start + patience) => totals?,
        () = stop => bail!("stopped before the share was done"),
    };
    println!("{}", report(share, &totals, start.elapsed()));
    if !totals.is_complete() {
        bail!(
            "{} objects failed{}",
            totals.failed,
            if totals.unfinished { " and others are left" } else { "" }
        );
    }
    Ok(())
}

fn report(share: Share, totals: &Totals, took: Duration) -> String {
    let mut report = serde_json::json!(totals);
    report["task"] = share.index().into();
    report["tasks"] = share.count().into();
    report["seconds"] = ((took.as_secs_f64() * 1e3).round() / 1e3).into();
    report.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_from_the_environment() {
        let of = |pairs: &[(&'static str, &'static str)]| share(&Environment::of(pairs.iter().copied()));
        assert_eq!(of(&[]).expect("no task"), None);
        let second = of(&[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "3")]).expect("a task");
        assert_eq!(second, Share::new(1, 3));
        assert_eq!(of(&[("CLOUD_RUN_TASK_INDEX", "0")]).expect("the only one"), Some(Share::WHOLE));
        for pairs in [
            [("CLOUD_RUN_TASK_INDEX", "3"), ("CLOUD_RUN_TASK_COUNT", "3")],
            [("CLOUD_RUN_TASK_INDEX", "x"), ("CLOUD_RUN_TASK_COUNT", "3")],
            [("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "0")],
        ] {
            let why = of(&pairs).expect_err("no such task").to_string();
            assert!(why.starts_with("CLOUD_RUN_TASK_"), "{why}");
        }
    }
}
