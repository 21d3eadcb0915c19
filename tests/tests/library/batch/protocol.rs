//! One object's way, and the invariants.

use std::time::Duration;

use ampoule_functions::job::{JobSettings, Outcome, Work as _};
use ampoule_functions::settings::After;
use ampoule_functions::store::{About, Content, Expect};
use ampoule_host::sha256_hex;
use ampoule_tests::double::{Fault, Operation};
use bytes::Bytes;
use serde_json::Value;

use super::ground::{BUCKETS, Ground, KINDS, Kind, POISON, far, flower, object, sweep};
use super::history;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i1_no_input_leaves_before_its_prediction_or_its_record_is_safe() {
    for kind in KINDS {
        for after in [After::Keep, After::Delete, After::Tag, After::Move] {
            let ground = Ground::new(kind);
            for number in 0..30 {
                ground.put(&format!("a/{number}.json"), &flower(number)).await;
            }
            ground.put("bad.json", POISON).await;
            let before = ground.all("inputs").await;
            let (totals, outcomes) = ground.sweep(after).await;
            assert_eq!(
                (totals.done, totals.refused, totals.failed),
                (30, 1, 0),
                "{kind:?} {after:?}: {outcomes:?}"
            );
            let (left, outputs) = (ground.all("inputs").await, ground.outputs().await);
            for number in 0..30 {
                let line: Value = serde_json::from_slice(&outputs[&format!("a/{number}.json.jsonl")])
                    .expect("a prediction");
                assert!(line["label"].is_string(), "{line}");
            }
            let error: Value =
                serde_json::from_slice(&outputs["_dead/bad.json.error.json"]).expect("a record");
            assert_eq!((&error["key"], &error["code"]), (&"bad.json".into(), &"invalid_json".into()));
            let bytes = |key: &str| left.get(key).map(|(bytes, _)| bytes.clone());
            match after {
                After::Keep | After::Tag => {
                    assert_eq!(left.len(), 31);
                    assert!(before.iter().all(|(key, (was, _))| bytes(key).as_ref() == Some(was)));
                    assert!(!outputs.contains_key("_dead/bad.json"));
                }
                After::Delete => assert_eq!(left.len(), 0, "{left:?}"),
                After::Move => {
                    assert_eq!(left.len(), 30);
                    assert_eq!(bytes("_done/a/7.json"), Some(flower(7).into()));
                }
            }
            if matches!(after, After::Delete | After::Move) {
                assert_eq!(outputs["_dead/bad.json"], POISON);
            }
            if after == After::Tag {
                let store = ground.store("inputs").await;
                let tag = async |key| store.tags(key).await.expect("it is there").remove("ampoule");
                assert_eq!(tag("a/3.json").await.as_deref(), Some("done"));
                assert_eq!(tag("bad.json").await.as_deref(), Some("refused"));
            }
            history::check(&ground);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i2_sixteen_workers_on_the_same_keys_make_one_output_each() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        for number in 0..60 {
            ground.put(&format!("{number}.json"), &flower(number)).await;
        }
        let mut workers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let job = ground.job(JobSettings { after: After::Delete, ..JobSettings::default() }).await;
            workers.spawn(async move { sweep(&job).await });
        }
        let mut done = 0;
        while let Some(worker) = workers.join_next().await {
            let (totals, outcomes) = worker.expect("it ends");
            assert_eq!((totals.failed, totals.refused), (0, 0), "{kind:?}: {outcomes:?}");
            done += totals.done;
        }
        assert!(done >= 60, "{done}");
        assert_eq!(ground.inputs().await, Vec::<String>::new());
        let outputs = ground.outputs().await;
        assert_eq!(outputs.len(), 60, "{:?}", outputs.keys());
        if BUCKETS.contains(&kind) {
            history::check(&ground);
            let written = ground.double.history();
            let written =
                written.iter().filter(|entry| entry.bucket == "outputs" && !entry.key.starts_with("_jobs/"));
            assert_eq!(written.count(), 60, "each output is written once");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i3_a_newer_upload_is_never_removed_and_gets_its_own_prediction() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        for number in 0..40 {
            ground.put(&format!("{number}.json"), &flower(number)).await;
        }
        let job = ground.job(JobSettings { after: After::Delete, ..JobSettings::default() }).await;
        let work = tokio::spawn(async move { sweep(&job).await });
        // A rival uploads others under the same keys, meanwhile and afterwards.
        for number in 0..40 {
            ground.put(&format!("{number}.json"), &flower(number + 1)).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        work.await.expect("it ends");
        let (totals, outcomes) = ground.sweep(After::Delete).await;
        assert_eq!((totals.failed, totals.refused), (0, 0), "{outcomes:?}");
        assert_eq!(ground.inputs().await, Vec::<String>::new());
        let outputs = ground.outputs().await;
        let clean = Ground::new(Kind::Folder);
        for number in 0..40 {
            clean.put(&format!("{number}.json"), &flower(number + 1)).await;
        }
        clean.sweep(After::Keep).await;
        assert_eq!(outputs, clean.outputs().await, "the newest uploads' predictions stand there: {kind:?}");
        history::check(&ground);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i4_what_cannot_be_predicted_ends_with_a_reason_and_a_second_run_has_nothing_left() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        let bad: [(&str, &[u8], &str); 5] = [
            ("empty.json", b"", "expected JSON, got nothing"),
            ("half.json", POISON, ""),
            ("text.csv", b"a,b\n1,2\n", "expected 4"),
            ("word.jsonl", b"[1,2,3,\"x\"]\n", "instances[0][3]: expected a number"),
            ("shape.jsonl", b"[1,2,3]\n", "instances[0]"),
        ];
        for (key, bytes, _) in bad {
            ground.put(key, bytes).await;
        }
        ground.put("good.jsonl", b"[5.1,3.5,1.4,0.2]\n[1,2,3]\n[6,3,5,2]\n").await;
        ground.put("notes.txt", b"not ours").await;
        ground.put(".hidden.json", &flower(1)).await;
        ground.put("dir/", b"").await;
        let (totals, outcomes) = ground.sweep(After::Delete).await;
        assert_eq!(
            (totals.done, totals.refused, totals.failed, totals.skipped),
            (1, 5, 0, 3),
            "{outcomes:?}"
        );
        assert_eq!(totals.instances, 2, "a row that is refused doesn't stop the others");
        let outputs = ground.outputs().await;
        assert_eq!(outputs["good.jsonl.jsonl"].split(|&byte| byte == b'\n').count(), 4);
        for (key, bytes, says) in bad {
            assert_eq!(outputs[&format!("_dead/{key}")], bytes);
            let record: Value =
                serde_json::from_slice(&outputs[&format!("_dead/{key}.error.json")]).expect("a record");
            let error = record["error"].as_str().expect("a text");
            assert!(error.contains(says), "{key}: expected {says:?} in {error:?}");
        }
        let mut left = ground.inputs().await;
        left.sort_unstable();
        assert_eq!(left, [".hidden.json", "dir/", "notes.txt"]);
        let (again, _) = ground.sweep(After::Delete).await;
        assert_eq!((again.done, again.refused, again.failed, again.skipped), (0, 0, 0, 3));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i5_a_job_goes_on_with_the_model_and_the_settings_that_it_began_with() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        ground.put("a.json", &flower(1)).await;
        let named = |parameters: Option<&str>| JobSettings {
            name: Some("nightly".to_owned()),
            parameters: parameters.map(str::to_owned),
            ..JobSettings::default()
        };
        sweep(&ground.job(named(None)).await).await;
        let record: Value =
            serde_json::from_slice(&ground.all("outputs").await["_jobs/nightly.json"].0).expect("a record");
        assert_eq!(record["digest"], super::ground::iris().digest());
        let other = ground.job(named(Some("{}"))).await;
        let error =
            other.sweep(ampoule_functions::job::Share::WHOLE, far()).await.expect_err("it is another");
        assert!(error.to_string().contains("the job nightly began with the model iris"), "{error}");
        let outcome = object(&other, &ground.named("a.json")).await;
        assert!(matches!(outcome, Outcome::Denied { .. }), "{outcome:?}");
        // As if another model had begun it.
        let mut of_another = record;
        of_another["digest"] = "0".repeat(64).into();
        ground.double.put("outputs", "_jobs/later.json", of_another.to_string());
        let later =
            ground.job(JobSettings { name: Some("later".to_owned()), ..JobSettings::default() }).await;
        let error =
            later.sweep(ampoule_functions::job::Share::WHOLE, far()).await.expect_err("it is another");
        assert!(error.to_string().contains(&"0".repeat(64)), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn i6_a_job_stops_when_too_much_is_refused() {
    let ground = Ground::new(Kind::Folder);
    for number in 0..400 {
        let bad = number % 5 == 0;
        ground.put(&format!("{number:03}.json"), if bad { POISON } else { b"[[1,2,3,4]]" }).await;
    }
    let (totals, _) = ground.sweep(After::Delete).await;
    assert!(totals.unfinished, "{totals:?}");
    assert!((20..40).contains(&totals.refused), "{totals:?}");
    let left = ground.inputs().await.len();
    assert_eq!(left + totals.done + totals.refused, 400);
    let lenient = JobSettings { after: After::Delete, max_refused_share: 0.5, ..JobSettings::default() };
    let (rest, _) = sweep(&ground.job(lenient).await).await;
    assert_eq!((totals.done + rest.done, totals.refused + rest.refused, rest.unfinished), (320, 80, false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicates_in_any_order_of_five_events_come_to_the_same() {
    for kind in BUCKETS {
        let clean = Ground::new(kind);
        clean.put("k.json", &flower(4)).await;
        clean.sweep(After::Keep).await;
        let expected = clean.outputs().await;
        let job_settings = || JobSettings { after: After::Delete, ..JobSettings::default() };
        let ground = Ground::new(kind);
        let job = ground.job(job_settings()).await;
        let mut orders = Vec::new();
        permute(&mut [0, 1, 2, 3, 4], 0, &mut orders);
        assert_eq!(orders.len(), 120);
        for (round, order) in orders.iter().enumerate() {
            // Uploads 0 to 4 of one key; their events come in some order, among them later ones first.
            let mut uploaded = 0;
            for &event in order {
                while uploaded <= event {
                    ground.put("k.json", &flower(uploaded)).await;
                    uploaded += 1;
                }
                let outcome = object(&job, &ground.named("k.json")).await;
                assert!(
                    matches!(outcome, Outcome::Done { instances: 1 } | Outcome::Skipped { .. }),
                    "{round} {order:?}: {outcome:?}"
                );
            }
            assert_eq!(
                ground.outputs().await,
                expected,
                "{order:?}: the last upload's prediction stands there"
            );
            assert_eq!(ground.inputs().await, Vec::<String>::new());
        }
        history::check(&ground);
    }
}

fn permute(items: &mut [usize], from: usize, orders: &mut Vec<Vec<usize>>) {
    if from == items.len() {
        return orders.push(items.to_vec());
    }
    for other in from..items.len() {
        items.swap(from, other);
        permute(items, from + 1, orders);
        items.swap(from, other);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_output_is_never_an_input() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        ground.put("a.jsonl", b"[1,2,3,4]\n").await;
        ground.sweep(After::Keep).await;
        // The predictions come back as uploads, as a replication might bring them.
        let (bytes, about) = ground.all("outputs").await.remove("a.jsonl.jsonl").expect("it is there");
        let store = ground.store("inputs").await;
        store.write("b.jsonl", &Content::Bytes(bytes), &about, &Expect::Nothing).await.expect("it is new");
        let (totals, outcomes) = ground.sweep(After::Delete).await;
        assert_eq!(outcomes["b.jsonl"], Outcome::Skipped { why: "it is a job's output".to_owned() });
        assert_eq!((totals.refused, totals.failed), (0, 0));
        assert_eq!(ground.inputs().await, ["b.jsonl"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_in_the_way_stays_and_so_does_the_input() {
    for kind in KINDS {
        let ground = Ground::new(kind);
        ground.put("a.json", &flower(1)).await;
        ground.put("b.json", &flower(2)).await;
        let out = ground.store("outputs").await;
        let foreign = Content::Bytes(Bytes::from_static(b"mine"));
        out.write("a.json.jsonl", &foreign, &About::default(), &Expect::Nothing).await.expect("it is new");
        let (totals, outcomes) = ground.sweep(After::Delete).await;
        assert_eq!((totals.done, totals.refused, totals.failed), (1, 1, 0), "{outcomes:?}");
        assert!(matches!(outcomes["a.json"], Outcome::Refused { code: "output_exists", .. }), "{outcomes:?}");
        assert_eq!(ground.inputs().await, ["a.json"]);
        let outputs = ground.outputs().await;
        assert_eq!(outputs["a.json.jsonl"], "mine");
        assert!(outputs.contains_key("_dead/%other/a.json.jsonl"), "{:?}", outputs.keys());
        assert!(outputs.contains_key("_dead/a.json.error.json"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prediction_that_differs_is_kept_beside_the_first_and_the_input_stays() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        ground.put("a.json", &flower(1)).await;
        ground.sweep(After::Keep).await;
        // The same claims about other bytes: as if a machine computed otherwise.
        let (_, mut about) = ground.all("outputs").await.remove("a.json.jsonl").expect("it is there");
        about.metadata.insert("ampoule-sha256".to_owned(), sha256_hex(b"other\n"));
        let store = ground.store("outputs").await;
        let there = store.head("a.json.jsonl").await.expect("it is there");
        let content = Content::Bytes(Bytes::from_static(b"other"));
        let expect = Expect::Version(there.version);
        store.write("a.json.jsonl", &content, &about, &expect).await.expect("it is replaced");
        let (_, outcomes) = ground.sweep(After::Delete).await;
        assert!(
            matches!(outcomes["a.json"], Outcome::Refused { code: "not_repeatable", .. }),
            "{outcomes:?}"
        );
        let outputs = ground.outputs().await;
        assert_eq!(outputs["a.json.jsonl"], "other");
        assert!(outputs.contains_key("_dead/%other/a.json.jsonl"), "{:?}", outputs.keys());
        assert_eq!(ground.inputs().await, ["a.json"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_comes_damaged_each_time_is_put_on_record_and_stays() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        for number in 0..20 {
            ground.put(&format!("{number}.json"), &flower(number)).await;
        }
        ground.double.script(vec![Fault::FlippedDown.on(Operation::Read).keys("7.json").always()]);
        let (totals, outcomes) = ground.sweep(After::Delete).await;
        assert_eq!((totals.done, totals.refused, totals.failed), (19, 1, 0), "{kind:?}: {outcomes:?}");
        let Outcome::Refused { code, error } = &outcomes["7.json"] else { panic!("{outcomes:?}") };
        assert_eq!(*code, "corrupt_object");
        assert!(error.contains("expected content with checksum"), "{error}");
        assert_eq!(ground.inputs().await, ["7.json"]);
        let outputs = ground.outputs().await;
        let record: Value = serde_json::from_slice(&outputs["_dead/7.json.error.json"]).expect("a record");
        assert!(record["attempts"].as_u64() > Some(1), "{record}");
        assert!(!outputs.contains_key("_dead/7.json"), "{:?}", outputs.keys());
        history::check(&ground);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_not_done_in_time_may_come_again() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        ground.put("a.json", &flower(1)).await;
        let job = ground.job(JobSettings { after: After::Delete, ..JobSettings::default() }).await;
        let outcome = job.object(&ground.named("a.json"), std::time::Instant::now()).await;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        let outcome = object(&job, &ground.named("a.json")).await;
        assert_eq!(outcome, Outcome::Done { instances: 1 });
        let outcome = object(&job, &ground.named("a.json")).await;
        assert_eq!(outcome, Outcome::Skipped { why: "it is gone".to_owned() });
        let mut elsewhere = ground.named("a.json");
        elsewhere.bucket = "other".to_owned();
        assert!(matches!(object(&job, &elsewhere).await, Outcome::Denied { .. }));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_without_an_ending_is_what_its_content_type_says() {
    for kind in BUCKETS {
        let ground = Ground::new(kind);
        let store = ground.store("inputs").await;
        for (key, content_type) in [("rows", Some("text/csv; charset=utf-8")), ("what", None)] {
            let about = About { content_type: content_type.map(str::to_owned), ..About::default() };
            let content = Content::Bytes(Bytes::from_static(b"5.1,3.5,1.4,0.2\n6,3,5,2\n"));
            store.write(key, &content, &about, &Expect::Nothing).await.expect("it is new");
        }
        let (_, outcomes) = ground.sweep(After::Keep).await;
        assert_eq!(outcomes["rows"], Outcome::Done { instances: 2 });
        assert!(matches!(outcomes["what"], Outcome::Refused { code: "unknown_format", .. }), "{outcomes:?}");
    }
}
