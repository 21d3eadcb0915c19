//! The command is killed, at every point and at random; run again, it ends as if it had not been.
//! What was lost is seen in the stores, and in the double's own history.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use ampoule_functions::job::JobSettings;
use ampoule_functions::settings::After;
use ampoule_tests::double::{Fault, Operation};
use bytes::Bytes;

use super::ground::{BUCKETS, Ground, Kind, POISON, flower};
use super::history;

const OBJECTS: usize = 50;

/// Some pages of a listing, so that a job has something to check off before its end.
const PAGE: usize = 20;

/// How often the command is killed at each point.
const TIMES: u64 = 4;

/// How many workers are killed at random times, one to three at a time, in each store: 321 in all. One that had
/// ended before doesn't count.
const KILLS: usize = 107;

fn start(ground: &Ground) -> Child {
    let mut command = ground.batch();
    command.args(["--input", "delete", "--max-refused", "0.5"]).stderr(Stdio::null());
    command.spawn().expect("the command starts")
}

fn kill(mut child: Child) {
    child.kill().expect("it can be killed");
    child.wait().expect("it was started");
}

async fn filled(kind: Kind) -> (Ground, Vec<String>) {
    let ground = Ground::new(kind);
    ground.double.page(PAGE);
    for number in 0..OBJECTS {
        let bytes = if number % 25 == 12 { POISON.to_vec() } else { flower(number) };
        ground.put(&format!("k{number:04}.json"), &bytes).await;
    }
    let inputs = ground.inputs().await;
    (ground, inputs)
}

/// What a run that nobody kills makes of them.
async fn undisturbed(kind: Kind) -> BTreeMap<String, Bytes> {
    let (ground, _) = filled(kind).await;
    let status = start(&ground).wait().expect("it ends");
    assert_eq!(status.code(), Some(3));
    ground.outputs().await
}

/// Runs the command to its end, and checks that nothing was lost, doubled or removed.
async fn finish(ground: &Ground, inputs: &[String], expected: &BTreeMap<String, Bytes>, what: &str) {
    let status = start(ground).wait().expect("it ends");
    assert!(matches!(status.code(), Some(0 | 3)), "{what}: {status}");
    let job = ground.job(JobSettings { after: After::Delete, ..JobSettings::default() }).await;
    assert_eq!(ground.inputs().await, Vec::<String>::new(), "{what}: nothing is left to do");
    let outputs = ground.outputs().await;
    let keys = |outputs: &BTreeMap<String, Bytes>| outputs.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&outputs), keys(expected), "{what}");
    for (key, bytes) in expected.iter().filter(|(key, _)| !key.ends_with(".error.json")) {
        assert_eq!(&outputs[key], bytes, "{what}: {key}");
    }
    for (key, bytes) in outputs.iter().filter(|(key, _)| key.ends_with(".error.json")) {
        serde_json::from_slice::<serde_json::Value>(bytes)
            .unwrap_or_else(|_| panic!("{what}: {key} is torn"));
    }
    if BUCKETS.contains(&ground.kind) {
        history::check(ground);
        history::check_end(ground, &job, inputs);
    }
}

/// A point on the way: the request at which the double stops answering, before or after it does it,
/// and which of those, the `n`th time.
type Point = (&'static str, Fault, Operation, &'static str, fn(u64) -> u64);

const FIRST: fn(u64) -> u64 = |_| 1;
const SOME: fn(u64) -> u64 = |n| 1 + 11 * n;
/// A prediction is looked for twice: whether it is there, and that it is whole.
const SECOND: fn(u64) -> u64 = |_| 2;
/// Two objects are poison.
const EITHER: fn(u64) -> u64 = |n| 1 + n % 2;

#[rustfmt::skip]
const POINTS: [Point; 15] = {
    use Fault::{HangAfter, HangBefore, Trickle};
    use Operation::{Delete, Head, List, Read, Write};
    [
        ("before the job's record", HangBefore, Write, "_jobs/*.json", FIRST),
        ("after the job's record", HangAfter, Write, "_jobs/*.json", FIRST),
        ("after a page of the listing", HangAfter, List, "*", |n| 1 + n % 3),
        ("before a reading begins", HangBefore, Read, "k*.json", SOME),
        ("in the middle of a reading", Trickle, Read, "k*.json", SOME),
        ("before it is looked whether it is done", HangBefore, Head, "k*.jsonl", SOME),
        ("before the prediction is written", HangBefore, Write, "k*.jsonl", SOME),
        ("after the prediction is written, its answer lost", HangAfter, Write, "k*.jsonl", SOME),
        ("before the prediction is verified", HangBefore, Head, "k0021.json.jsonl", SECOND),
        ("before the input is deleted", HangBefore, Delete, "k*.json", SOME),
        ("after the input is deleted, its answer lost", HangAfter, Delete, "k*.json", SOME),
        ("before the checkpoint", HangBefore, Write, "_jobs/*.checkpoint.json", EITHER),
        ("after the checkpoint, its answer lost", HangAfter, Write, "_jobs/*.checkpoint.json", EITHER),
        ("after a dead letter's copy, before its record", HangBefore, Write, "_dead/*.error.json", EITHER),
        ("after a dead letter's record, before its input goes", HangAfter, Write, "_dead/*.error.json", EITHER),
    ]
};

async fn killed_at_points(kind: Kind) {
    let expected = undisturbed(kind).await;
    for (name, fault, operation, keys, which) in POINTS {
        for time in 0..TIMES {
            let (ground, inputs) = filled(kind).await;
            ground.double.script(vec![fault.on(operation).keys(keys).nth(which(time))]);
            let mut child = start(&ground);
            let begun = Instant::now();
            while ground.double.met().is_empty() {
                let ended = child.try_wait().expect("it was started");
                assert!(ended.is_none(), "{name}, {time}: it ended before ({ended:?})");
                assert!(begun.elapsed() < Duration::from_secs(60), "{name}, {time}: never came");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            kill(child);
            ground.double.script(Vec::new());
            finish(&ground, &inputs, &expected, &format!("{name}, {time}")).await;
        }
    }
    println!("{kind:?}: {} kills at {} points", POINTS.len() as u64 * TIMES, POINTS.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_to_s3_it_goes_on_and_nothing_is_lost() {
    killed_at_points(Kind::S3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_request_to_cloud_storage_it_goes_on_and_nothing_is_lost() {
    killed_at_points(Kind::Gcs).await;
}

/// What a folder shows of how far a run has come, the `n`th time.
type Sign = (&'static str, fn(&Path, usize) -> bool);

const SIGNS: [Sign; 15] = [
    ("the outputs' folder is used", |at, _| at.join("outputs/.ampoule").exists()),
    ("the job's record is begun", |at, _| files(&at.join("outputs/.ampoule/temporary"), "") > 0),
    ("a writer has a lock", |at, _| files(&at.join("outputs/.ampoule/locks"), "") > 0),
    ("the job is on record", |at, _| files(&at.join("outputs/_jobs"), ".json") > 0),
    ("what a prediction is of is there", |at, n| folders(&at.join("outputs/.ampoule/about")) > 1 + 8 * n),
    ("a prediction is there", |at, n| files(&at.join("outputs"), ".jsonl") > 11 * n),
    ("all predictions are there", |at, _| files(&at.join("outputs"), ".jsonl") == OBJECTS - 2),
    ("the inputs' folder is locked", |at, _| files(&at.join("inputs/.ampoule/locks"), "") > 0),
    ("an input is gone", |at, n| files(&at.join("inputs"), ".json") + 11 * n < OBJECTS),
    ("nearly all inputs are gone", |at, _| files(&at.join("inputs"), ".json") <= 2),
    ("all inputs are gone", |at, _| files(&at.join("inputs"), ".json") == 0),
    ("a dead letter's copy is there", |at, _| files(&at.join("outputs/_dead"), ".json") > 0),
    ("both copies are there", |at, _| copies(&at.join("outputs/_dead")) == 2),
    ("a dead letter's record is there", |at, _| files(&at.join("outputs/_dead"), ".error.json") > 0),
    ("both records are there", |at, _| files(&at.join("outputs/_dead"), ".error.json") == 2),
];

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}

fn files(folder: &Path, ending: &str) -> usize {
    names(folder).filter(|name| name.ends_with(ending)).count()
}

fn folders(folder: &Path) -> usize {
    names(folder).count()
}

fn copies(folder: &Path) -> usize {
    names(folder).filter(|name| !name.ends_with(".error.json")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_sign_in_a_folder_it_goes_on_and_nothing_is_lost() {
    let expected = undisturbed(Kind::Folder).await;
    let (mut kills, mut late) = (0, 0);
    for (name, sign) in SIGNS {
        for time in 0..TIMES {
            let (ground, inputs) = filled(Kind::Folder).await;
            let mut child = start(&ground);
            let ended = |child: &mut Child| child.try_wait().expect("it was started").is_some();
            while !sign(ground.folder.path(), time as usize) && !ended(&mut child) {
                std::hint::spin_loop();
            }
            late += usize::from(ended(&mut child));
            kill(child);
            kills += 1;
            finish(&ground, &inputs, &expected, &format!("{name}, {time}")).await;
        }
    }
    println!("{kills} kills at {} signs, {late} of them after the end", SIGNS.len());
    assert!(late < kills / 2, "the kills came too late: {late} of {kills}");
}

async fn killed_at_random(kind: Kind, seed: u64) {
    let expected = undisturbed(kind).await;
    let mut random = seed;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 11) as f64 / (1_u64 << 53) as f64
    };
    // How long a worker takes differs from machine to machine and from minute to minute, so the time within which it
    // is killed is found by killing: some three in four are killed at work.
    let mut within = Duration::from_millis(200);
    let (mut kills, mut late) = (0, 0);
    for round in 0.. {
        if kills >= KILLS {
            break;
        }
        assert!(late < 4 * KILLS, "{kind:?}: {late} of {} workers ended before their time", kills + late);
        let (ground, inputs) = filled(kind).await;
        let workers: Vec<Child> = (0..1 + round % 3).map(|_| start(&ground)).collect();
        for mut worker in workers {
            tokio::time::sleep(within.mul_f64(next())).await;
            match worker.try_wait().expect("it was started") {
                None => {
                    kills += 1;
                    within = within.mul_f64(1.1);
                }
                Some(_) => {
                    late += 1;
                    within = within.mul_f64(0.75);
                }
            }
            kill(worker);
        }
        finish(&ground, &inputs, &expected, &format!("{kind:?}, round {round}")).await;
    }
    println!("{kind:?}: {kills} kills at random times, and {late} after the end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_one_to_three_workers_on_a_folder_go_on_and_nothing_is_lost() {
    killed_at_random(Kind::Folder, 0x2545_f491_4f6c_dd1d).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_one_to_three_workers_on_s3_go_on_and_nothing_is_lost() {
    killed_at_random(Kind::S3, 0x9e37_79b9_7f4a_7c15).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_random_one_to_three_workers_on_cloud_storage_go_on_and_nothing_is_lost() {
    killed_at_random(Kind::Gcs, 0xbf58_476d_1ce4_e5b9).await;
}
