//! Every fault of the double's script, a hundred objects each: all end done, or among the dead letters
//! with a reason.

use std::collections::BTreeMap;

use ampoule_functions::job::{JobSettings, Share, Work as _};
use ampoule_functions::settings::After;
use ampoule_host::sha256_hex;
use ampoule_tests::double::{Deed, Fault, Operation, Rule};
use bytes::Bytes;

use super::ground::{BUCKETS, Ground, Kind, OBJECTS, POISON, clean, far, filled, sweep};
use super::history;

/// Faults after which no object can succeed: the job stops, and goes on once they are gone.
const STOPPING: [Fault; 4] = [Fault::ExpiredToken, Fault::ClockSkew, Fault::ReadOnly, Fault::Elsewhere];

fn rules(kind: Kind, fault: Fault, seed: u64) -> Vec<Rule> {
    let share = |rule: Rule| vec![rule.share(0.08, seed)];
    match fault {
        Fault::HangBefore | Fault::HangAfter => vec![fault.rule().keys("k*").share(0.02, seed)],
        // What the store keeps, and what others do, is not seen to by any answer: only inputs are theirs.
        Fault::Replaced | Fault::Gone => {
            share(fault.rule().keys("k*.json").on(Operation::Read).on(Operation::Delete))
        }
        // Messages of gRPC have no checksum of their own; TLS is what keeps them whole.
        Fault::FlippedDown if kind == Kind::Gcs => share(fault.on(Operation::Read)),
        Fault::FlippedAtRest => vec![fault.on(Operation::Write).keys("_dead/*").first(2)],
        Fault::TokenRefused => vec![fault.on(Operation::List)],
        _ => share(fault.rule()),
    }
}

async fn meets(kind: Kind, fault: Fault, expected: &BTreeMap<String, Bytes>) {
    let ground = filled(kind).await;
    let inputs: Vec<String> = ground.inputs().await;
    ground.double.script(rules(kind, fault, 11));
    let settings = || JobSettings { after: After::Delete, ..JobSettings::default() };
    let first = ground.job(settings()).await.sweep(Share::WHOLE, far()).await;
    let met = ground.double.met();
    assert!(met.iter().any(|met| met.fault == fault), "{fault:?} did not take place");
    match &first {
        // Nothing but the store was at fault.
        Ok(totals) => assert!(totals.refused <= 5 || fault == Fault::Replaced, "{fault:?}: {totals:?}"),
        Err(cause) => assert!(
            STOPPING.contains(&fault) || matches!(fault, Fault::Full | Fault::TokenRefused),
            "{fault:?}: {cause:#}"
        ),
    }
    ground.double.script(Vec::new());
    let job = ground.job(settings()).await;
    let (totals, outcomes) = sweep(&job).await;
    assert_eq!((totals.failed, totals.unfinished), (0, false), "{fault:?}: {first:?}, then {outcomes:?}");
    history::check(&ground);
    history::check_end(&ground, &job, &inputs_left(&ground, &inputs));
    assert_eq!(ground.inputs().await, Vec::<String>::new(), "{fault:?}: nothing is left to do");
    if !matches!(fault, Fault::Replaced | Fault::Gone) {
        let outputs = ground.outputs().await;
        for (key, bytes) in expected {
            let there = outputs.get(key).unwrap_or_else(|| panic!("{fault:?}: {key} is missing"));
            // A record tells its own time, and what rotted in the store was whole when it was written.
            let rotten = fault == Fault::FlippedAtRest && key.starts_with("_dead/");
            assert!(rotten || key.ends_with(".error.json") || there == bytes, "{fault:?}: {key} differs");
        }
        let more: Vec<_> = outputs.iter().filter(|(key, _)| !expected.contains_key(*key)).collect();
        assert!(more.is_empty(), "{fault:?}: {more:?}");
    }
    println!("{kind:?}, {fault:?}: {} requests met it", met.len());
}

/// Those that no rival deleted.
fn inputs_left(ground: &Ground, inputs: &[String]) -> Vec<String> {
    let history = ground.double.history();
    let taken = |key: &String| {
        history.iter().any(|entry| {
            entry.bucket == "inputs"
                && entry.who == "rival"
                && entry.deed == Deed::Deleted
                && entry.key == *key
        })
    };
    inputs.iter().filter(|key| !taken(key)).cloned().collect()
}

async fn every_fault(kind: Kind) {
    let expected = std::sync::Arc::new(clean(kind).await);
    assert_eq!(sha256_hex(&expected["_dead/k07.json"]), sha256_hex(POISON));
    let mut failed = Vec::new();
    for faults in Fault::ALL.chunks(5) {
        let runs: Vec<_> = faults
            .iter()
            .map(|&fault| {
                let expected = expected.clone();
                (fault, tokio::spawn(async move { meets(kind, fault, &expected).await }))
            })
            .collect();
        for (fault, run) in runs {
            if run.await.is_err() {
                failed.push(fault);
            }
        }
    }
    assert!(failed.is_empty(), "{} of {} faults: {failed:?}", failed.len(), Fault::ALL.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_s3_ends_in_the_predictions_of_a_clean_run() {
    every_fault(Kind::S3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_of_cloud_storage_ends_in_the_predictions_of_a_clean_run() {
    every_fault(Kind::Gcs).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_throttles_is_asked_less_and_the_job_ends() {
    for kind in BUCKETS {
        let ground = filled(kind).await;
        let slow = Fault::SlowDown { retry_after: None };
        ground.double.script(vec![slow.rule().share(0.3, 5)]);
        let job = ground.job(JobSettings { after: After::Delete, ..JobSettings::default() }).await;
        let (totals, outcomes) = sweep(&job).await;
        // What was written before a visit failed is found to be there by the next.
        let done = totals.done + totals.skipped;
        assert_eq!((done, totals.refused, totals.failed), (OBJECTS - 5, 5, 0), "{kind:?}: {outcomes:?}");
        let (asked, met) = (ground.double.asked().len(), ground.double.met().len());
        println!("{kind:?}: {asked} requests for {OBJECTS} objects, {met} of them throttled");
        assert!(asked < OBJECTS * 16, "{kind:?}: {asked} requests");
    }
}
