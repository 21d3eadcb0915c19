//! The whole job, as articles on serverless inference have it: pictures are uploaded, the bucket's events tell the
//! function, and there are masks where there were pictures. On SeaweedFS with the program of Lambda,
//! and with that of Cloud Run on the double.

mod buckets;
mod pictures;

use std::ffi::OsStr;
use std::process::Command;
use std::time::SystemTime;

use ampoule_tests::double::event::s3_record;
use ampoule_tests::double::{Deed, Double, Entry};
use ampoule_tests::platform::{Platform, Process};
use ampoule_tests::servers::ObjectServer;
use ampoule_tests::{Answer, Server, cache, sealed, serving};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use buckets::Buckets;
use pictures::{Masks, pictures};

const INPUT: &str = "pictures";
const OUTPUT: &str = "masks";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_events_make_masks_of_pictures_and_change_nothing_when_they_come_again() {
    let Some(server) = ObjectServer::seaweedfs() else { return };
    let pictures = pictures();
    let expected = Masks::here(&pictures);
    let buckets = Buckets::of(&server.endpoint).await;
    let mut records = Vec::new();
    for (number, (key, bytes)) in (1..).zip(&pictures) {
        let etag = buckets.put(key, bytes).await;
        records.push(s3_record(INPUT, key, bytes.len(), &etag, number, SystemTime::now()));
    }
    assert!(records.iter().any(|record| record["s3"]["object"]["key"].to_string().contains("a+b%2Bc/")));

    let (model, cache) = (sealed("clouds"), cache());
    let platform = Platform::start();
    let variables = [
        ("AMPOULE_MODEL", model.as_os_str()),
        ("AMPOULE_CACHE", cache.as_os_str()),
        ("INPUT_BUCKET_NAME", OsStr::new(INPUT)),
        ("OUTPUT_BUCKET_NAME", OsStr::new(OUTPUT)),
        ("INPUT_ACTION", OsStr::new("delete")),
        ("AWS_ENDPOINT_URL", OsStr::new(&server.endpoint)),
        ("AWS_REGION", OsStr::new("us-east-1")),
        ("AWS_ACCESS_KEY_ID", OsStr::new("any")),
        ("AWS_SECRET_ACCESS_KEY", OsStr::new("any")),
    ];
    let mut process = Process::start(&serving("bootstrap"), &platform, &variables);

    // Some come from the bucket itself, one by one and two in one event, the others through a queue.
    let (told, queued) = records.split_at(5);
    let (alone, together) = told.split_at(3);
    let mut notifications: Vec<&[Value]> = alone.iter().map(std::slice::from_ref).collect();
    notifications.push(together);
    let batches: Vec<&[Value]> = queued.chunks(10).collect();
    let mut masks = None;
    for is_first in [true, false] {
        for records in &notifications {
            let posted = platform.invoke(&json!({ "Records": records }).to_string());
            assert_eq!(posted.kind, "response", "{posted:?}");
            let counts = posted.json();
            let (now, before) = if is_first { (records.len(), 0) } else { (0, records.len()) };
            assert_eq!((&counts["done"], &counts["skipped"]), (&json!(now), &json!(before)), "{counts}");
        }
        for records in &batches {
            let posted = platform.invoke(&messages(records).to_string());
            assert_eq!(posted.json(), json!({ "batchItemFailures": [] }), "{posted:?}");
        }
        assert_eq!(buckets.all(INPUT).await.into_keys().collect::<Vec<_>>(), Vec::<String>::new());
        let found = buckets.all(OUTPUT).await;
        if let Some(masks) = masks {
            assert!(found == masks, "another round of the same events changed something");
        }
        masks = Some(found);
    }
    assert!(process.is_alive());
    let masks = masks.expect("there were two rounds").into_iter();
    expected.check(masks.map(|(key, object)| (key, object.bytes)).collect());
}

/// The form of a queue's call: each message holds an event of the bucket.
fn messages(records: &[Value]) -> Value {
    let message = |(number, record): (usize, &Value)| {
        json!({
            "messageId": format!("059f36b4-87a3-44ab-83d2-{number:012}"),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": json!({ "Records": [record] }).to_string(),
            "attributes": { "ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183" },
            "messageAttributes": {},
            "md5OfBody": "098f6bcd4621d373cade4e832627b4f6",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:111122223333:uploads",
            "awsRegion": "us-east-1",
        })
    };
    json!({ "Records": records.iter().enumerate().map(message).collect::<Vec<_>>() })
}

#[test]
fn cloud_storage_events_make_masks_of_pictures_and_change_nothing_when_they_come_again() {
    let double = Double::start();
    double.bucket(OUTPUT);
    let pictures = pictures();
    let expected = Masks::here(&pictures);
    let mut events = Vec::new();
    for (key, bytes) in &pictures {
        double.put(INPUT, key, bytes.clone());
        events.push(double.gcs_event(INPUT, key));
    }
    let server = Server::of(
        Command::new(serving("cloud"))
            .env_clear()
            .env("AMPOULE_MODEL", sealed("clouds"))
            .env("AMPOULE_CACHE", cache())
            .envs([("PORT", "0"), ("INPUT_BUCKET_NAME", INPUT), ("OUTPUT_BUCKET_NAME", OUTPUT)])
            .env("INPUT_ACTION", "delete")
            .env("STORAGE_EMULATOR_HOST", double.gcs_endpoint()),
    );
    let mut changes = 0;
    for is_first in [true, false] {
        for (number, event) in events.iter().enumerate() {
            let answer = match number % 3 {
                0 => binary(&server, event),
                1 => {
                    let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
                    server.ask("POST", "/", &structured, event.to_string().as_bytes())
                }
                _ => server.post("/", &pushed(event).to_string()),
            };
            assert_eq!(answer.status, 204, "{event}: {}", answer.text());
        }
        if is_first {
            changes = double.history().len();
        }
    }
    let history = double.history();
    assert_eq!(history.len(), changes, "another round of the same events changed something");
    assert_eq!(double.objects(INPUT).len(), 0);
    // Each mask is written once, and before its picture goes.
    let masks = double.objects(OUTPUT);
    for key in pictures.keys() {
        let numbers = |is_meant: &dyn Fn(&Entry) -> bool| -> Vec<usize> {
            history.iter().filter(|entry| is_meant(entry)).map(|entry| entry.number).collect()
        };
        let mask = format!("{key}.png");
        let written = numbers(&|entry| entry.bucket == OUTPUT && decoded(&entry.key) == mask);
        let gone =
            numbers(&|entry| entry.bucket == INPUT && entry.key == *key && entry.deed == Deed::Deleted);
        assert!(written.len() == 1 && gone.len() == 1 && written < gone, "{key}: {written:?}, {gone:?}");
    }
    expected.check(masks.into_iter().map(|(key, object)| (key, object.bytes.to_vec())).collect());
}

/// Sends a `CloudEvent` in its binary form, as Eventarc does.
fn binary(server: &Server, event: &Value) -> Answer {
    let mut headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    for (name, value) in event.as_object().expect("an object") {
        if let Some(text) = value.as_str().filter(|_| name != "datacontenttype") {
            // A header is ASCII: the others are percent-encoded (CloudEvents' HTTP binding, 3.1.3.2).
            headers.push((format!("ce-{name}"), escaped(text)));
        }
    }
    let headers: Vec<(&str, &str)> =
        headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    server.ask("POST", "/", &headers, event["data"].to_string().as_bytes())
}

/// The same as a notification of the bucket that Pub/Sub pushes.
fn pushed(event: &Value) -> Value {
    let data = &event["data"];
    json!({
        "message": {
            "messageId": "2070443601311540",
            "publishTime": event["time"],
            "data": STANDARD.encode(data.to_string()),
            "attributes": {
                "notificationConfig": format!("projects/_/buckets/{INPUT}/notificationConfigs/1"),
                "eventType": "OBJECT_FINALIZE",
                "payloadFormat": "JSON_API_V1",
                "bucketId": INPUT,
                "objectId": data["name"],
                "objectGeneration": data["generation"],
            },
        },
        "subscription": "projects/p/subscriptions/uploads",
    })
}

fn escaped(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet = percent_encoding::CONTROLS.add(b' ').add(b'"').add(b'%');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}

fn decoded(key: &str) -> String {
    percent_encoding::percent_decode_str(key).decode_utf8().expect("keys are UTF-8").into_owned()
}
