//! The recorded events of the public crate `aws_lambda_events`: each is answered, ignored or refused by name.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use ampoule_functions::event::http::Caller;
use ampoule_functions::event::{Event, Notice, Unreadable};
use ampoule_tests::root;

/// What is made of an event, in a word or two.
fn kind(payload: &str) -> String {
    match Event::read(payload) {
        Ok(Event::Http(request)) => {
            let caller = match request.caller {
                Caller::Url => "url",
                Caller::Rest => "rest",
                Caller::Balancer | Caller::MultiValueBalancer => "balancer",
            };
            match request.inner {
                Ok(inner) => format!("{caller} {} {}", inner.method(), inner.uri()),
                Err(why) => format!("{caller}, 400: {why}"),
            }
        }
        Ok(Event::Notice(notice)) => told(&notice),
        Ok(Event::Queue(queue)) => {
            let notices = queue.messages.iter().map(|message| match &message.notice {
                Ok(notice) => told(notice),
                Err(cause) => refused(cause),
            });
            format!("queue of {}", notices.collect::<Vec<_>>().join(", "))
        }
        Ok(Event::Tasks(tasks)) => format!("{} tasks", tasks.tasks.len()),
        Ok(Event::Items(items)) => format!("{} items", items.items.len()),
        Ok(Event::Shard(shard)) => format!("shard of {} records", shard.records.len()),
        Ok(Event::Topics(topics)) => {
            format!("topics of {} records", topics.partitions.values().map(Vec::len).sum::<usize>())
        }
        Err(cause) => refused(&cause),
    }
}

fn told(notice: &Notice) -> String {
    match notice {
        Notice::Objects(objects) => {
            let names = objects.iter().map(|object| format!("{}/{}", object.bucket, object.key));
            names.collect::<Vec<_>>().join(" + ")
        }
        Notice::Schedule => "schedule".to_owned(),
        Notice::Nothing { what } => format!("ignored: {what}"),
    }
}

fn refused(cause: &Unreadable) -> String {
    match cause {
        Unreadable::Unknown { got } => format!("refused: {got}"),
        Unreadable::Invalid { what, why } => format!("invalid {what}: {why}"),
    }
}

/// Where cargo keeps the crate's source.
fn fixtures() -> PathBuf {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("there are packages");
    let package = packages.iter().find(|package| package["name"] == "aws_lambda_events");
    let manifest = package.expect("the tests name it")["manifest_path"].as_str().expect("a path");
    PathBuf::from(manifest).parent().expect("it lies in a folder").join("src/fixtures")
}

/// What each of them is to us.
const TABLE: &str = include_str!("recorded.txt");

#[test]
fn every_recorded_event_is_answered_ignored_or_refused_by_name() {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(fixtures()).expect("the crate holds its events") {
        let path = entry.expect("it can be read").path();
        if path.extension().is_some_and(|ending| ending == "json") {
            let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
            let payload = std::fs::read_to_string(&path).expect("it is text");
            found.insert(name.trim_start_matches("example-").to_owned(), kind(&payload));
        }
    }
    let table: BTreeMap<String, String> = TABLE
        .lines()
        .map(|line| line.split_once(" | ").expect("a name and what it is"))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    assert_eq!(table.len(), 173, "the crate holds so many");
    assert_eq!(found.keys().collect::<Vec<_>>(), table.keys().collect::<Vec<_>>());
    for (name, kind) in &table {
        assert_eq!(&found[name], kind, "{name}");
    }
}
