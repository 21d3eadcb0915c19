//! What a disk and other programs do to a job on folders, with a hundred objects each: all end done,
//! or among the dead letters with a reason.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use ampoule_functions::settings::After;
use serde_json::Value;

use super::ground::{Ground, Kind, OBJECTS, clean, filled};

/// Runs the command behind `limits`, which a shell sets, and does `meanwhile` for as long as it runs.
fn run(ground: &Ground, limits: &str, mut meanwhile: impl FnMut(&Path)) -> ExitStatus {
    let batch = ground.batch();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limits}\nexec \"$0\" \"$@\"")]).arg(batch.get_program());
    command.args(batch.get_args()).args(["--input", "delete"]);
    command.envs(batch.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut child = command.spawn().expect("a shell is there");
    loop {
        meanwhile(ground.folder.path());
        if let Some(status) = child.try_wait().expect("it was started") {
            return status;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs it again, and checks that it ends as a clean run does, but for what was `taken` away.
async fn finish(ground: &Ground, taken: &[String]) {
    let status = run(ground, "", |_| {});
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    assert_eq!(ground.inputs().await, Vec::<String>::new());
    let (outputs, expected) = (ground.outputs().await, clean(Kind::Folder).await);
    let is_taken = |key: &str| taken.iter().any(|taken| key.contains(taken));
    for (key, bytes) in &expected {
        match outputs.get(key) {
            Some(there) => assert!(key.ends_with(".error.json") || there == bytes, "{key} differs"),
            None => assert!(is_taken(key), "{key} is missing"),
        }
    }
    let more: Vec<&String> = outputs.keys().filter(|key| !expected.contains_key(*key)).collect();
    assert!(more.iter().all(|key| key.starts_with("_dead/")), "{more:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_takes_nothing_more_keeps_every_input() {
    let ground = filled(Kind::Folder).await;
    let status = run(&ground, "trap '' XFSZ; ulimit -f 0", |_| {});
    assert_eq!(status.code(), Some(1));
    assert_eq!(ground.inputs().await.len(), OBJECTS);
    finish(&ground, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_may_open_no_more_files_loses_nothing() {
    for limit in [16, 22] {
        let ground = filled(Kind::Folder).await;
        let status = run(&ground, &format!("ulimit -n {limit}"), |_| {});
        println!("{limit} open files: {status}, {} inputs are left", ground.inputs().await.len());
        finish(&ground, &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_on_a_predictions_path_is_a_reason() {
    let ground = filled(Kind::Folder).await;
    let at = |key: &str| ground.path("outputs").join(key);
    std::fs::create_dir(at("k03.json.jsonl")).expect("a folder can be made");
    symlink("/dev/null", at("k04.json.jsonl")).expect("linked");
    symlink("nowhere", at("k05.json.jsonl")).expect("linked");
    let (totals, outcomes) = ground.sweep(After::Delete).await;
    assert_eq!((totals.refused, totals.failed), (8, 0), "{outcomes:?}");
    assert_eq!(ground.inputs().await, ["k03.json", "k04.json", "k05.json"]);
    let outputs = ground.outputs().await;
    for key in ["k03", "k04", "k05"] {
        let record: Value =
            serde_json::from_slice(&outputs[&format!("_dead/{key}.json.error.json")]).expect("a record");
        let error = record["error"].as_str().expect("a text");
        assert!(error.contains("expected a free path"), "{error}");
        assert!(outputs.contains_key(&format!("_dead/%other/{key}.json.jsonl")), "{:?}", outputs.keys());
    }
    std::fs::remove_dir(at("k03.json.jsonl")).expect("it is there");
    std::fs::remove_file(at("k04.json.jsonl")).expect("it is there");
    std::fs::remove_file(at("k05.json.jsonl")).expect("it is there");
    finish(&ground, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inputs_that_another_program_takes_away_are_no_failure() {
    let ground = filled(Kind::Folder).await;
    let mut taken = Vec::new();
    let status = run(&ground, "", |folder| {
        if !folder.join("outputs/_jobs").exists() {
            return;
        }
        // From the end, where the job comes last.
        let key = format!("k{:02}.json", OBJECTS - 1 - taken.len() % OBJECTS);
        if std::fs::rename(folder.join("inputs").join(&key), folder.join(&key)).is_ok() {
            taken.push(key);
        }
    });
    println!("{} inputs were taken away", taken.len());
    assert!(!taken.is_empty());
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    finish(&ground, &taken).await;
}
