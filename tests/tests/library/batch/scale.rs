//! Many objects and large ones: exact counts, in bounded memory.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Child;
use std::time::Duration;

use ampoule_functions::job::{JobSettings, Outcome};
use ampoule_functions::settings::After;

use super::ground::{BUCKETS, Ground, Kind, POISON, flower, sweep};
use super::history;

/// Resident bytes that a run may come to, whatever the size of its objects and their number.
const MAX_RESIDENT_BYTES: u64 = 150 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_objects_with_five_percent_poison_are_counted_exactly() {
    counts(Kind::Folder, 10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_objects_of_a_bucket_with_five_percent_poison_are_counted_exactly() {
    for kind in BUCKETS {
        let ground = counts(kind, 1_000).await;
        history::check(&ground);
        let asked: BTreeMap<_, usize> =
            ground.double.asked().iter().fold(BTreeMap::new(), |mut sum, asked| {
                *sum.entry(asked.operation).or_default() += 1;
                sum
            });
        println!("{kind:?}, requests: {asked:?}");
    }
}

async fn counts(kind: Kind, objects: usize) -> Ground {
    let ground = Ground::new(kind);
    for number in 0..objects {
        let bytes = if number % 20 == 13 { POISON.to_vec() } else { flower(number) };
        let key = format!("{}/{number:05}.json", number % 7);
        if kind == Kind::Folder {
            let path = ground.path("inputs").join(&key);
            std::fs::create_dir_all(path.parent().expect("it lies in a folder"))
                .expect("a folder can be made");
            std::fs::write(path, bytes).expect("a file can be written");
        } else {
            ground.put(&key, &bytes).await;
        }
    }
    let settings = JobSettings { after: After::Delete, max_objects_at_once: 64, ..JobSettings::default() };
    let (totals, outcomes) = sweep(&ground.job(settings).await).await;
    let poison = objects / 20;
    assert_eq!((totals.done, totals.refused), (objects - poison, poison), "{totals:?}");
    assert_eq!((totals.skipped, totals.failed, totals.unfinished), (0, 0, false), "{totals:?}");
    assert_eq!((totals.instances, outcomes.len()), (objects - poison, objects));
    assert!(
        outcomes.values().all(|outcome| matches!(outcome, Outcome::Done { .. } | Outcome::Refused { .. }))
    );
    assert_eq!(ground.inputs().await.len(), 0);
    assert_eq!(ground.outputs().await.len(), objects + poison);
    ground
}

/// Runs a job in a process of its own; gives the most memory that it had.
fn run(ground: &Ground) -> u64 {
    let mut child = ground.batch().spawn().expect("the command starts");
    let mut most = 0;
    loop {
        most = most.max(peak(&child).unwrap_or(0));
        if let Some(status) = child.try_wait().expect("it was started") {
            assert!(status.success(), "{status}");
            return most;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The most resident memory of a process that runs, in bytes.
fn peak(child: &Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()? << 10)
}

/// `tests/bench/batch` does the same with 2 GB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_table_takes_little_memory() {
    let ground = Ground::new(Kind::Folder);
    let mut table = std::io::BufWriter::new(
        std::fs::File::create(ground.path("inputs").join("flowers.csv")).expect("a file can be made"),
    );
    let rows = 4_000_000;
    for row in 0..rows {
        writeln!(table, "{}.{},3.5,1.4,0.{}", 4 + row % 3, row % 10, row % 9).expect("it can be written");
    }
    table.into_inner().expect("it can be written").sync_all().expect("it can be written");
    let most = run(&ground);
    let lines = std::fs::read(ground.path("outputs").join("flowers.csv.jsonl")).expect("it is there");
    assert_eq!(lines.iter().filter(|&&byte| byte == b'\n').count(), rows);
    println!("{rows} rows: {} MiB", most >> 20);
    assert!(most <= MAX_RESIDENT_BYTES, "{} MiB", most >> 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_a_hundred_thousand_objects_takes_little_memory() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        for number in 0..100_000 {
            ground.double.put("inputs", &format!("2026/a-long-folder-name/{number:06}.txt"), "x");
        }
        ground.put("2026/last.json", &flower(1)).await;
        let most = run(&ground);
        assert_eq!(ground.outputs().await.len(), 1);
        println!("{kind:?}, 100,000 objects: {} MiB", most >> 20);
        assert!(most <= MAX_RESIDENT_BYTES, "{kind:?}: {} MiB", most >> 20);
    }
}
