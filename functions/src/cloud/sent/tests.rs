//! Who sends what: one case for each shape, and for each way in which it can be broken.

use axum::http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;
use crate::job::ObjectName;

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            (name, HeaderValue::from_bytes(value.as_bytes()).expect("a header's value"))
        })
        .collect()
}

fn object(key: &str) -> Notice {
    Notice::Objects(vec![ObjectName {
        bucket: "scenes".to_owned(),
        key: key.to_owned(),
        version: Some("1587627537231057".to_owned()),
        sequencer: None,
    }])
}

fn nothing(what: &str) -> Notice {
    Notice::Nothing { what: what.to_owned() }
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// `StorageObjectData` as Cloud Storage sends it.
fn resource(name: &str) -> Value {
    json!({
        "kind": "storage#object", "id": format!("scenes/{name}/1587627537231057"), "bucket": "scenes", "name": name,
        "generation": "1587627537231057", "metageneration": "1", "contentType": "image/png", "size": "352",
        "crc32c": "AAAAAA==", "etag": "CNHZkbuF/ugCEAE=", "timeCreated": "2020-04-23T07:38:57.230Z",
    })
}

const FINALIZED: &str = "google.cloud.storage.object.v1.finalized";

fn binary(kind: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("content-type", "application/json"),
        ("ce-id", "1096434104173400"),
        ("ce-source", "//storage.googleapis.com/projects/_/buckets/scenes"),
        ("ce-specversion", "1.0"),
        ("ce-type", kind),
        ("ce-subject", "objects/folder/x.png"),
        ("ce-time", "2020-04-23T07:38:57.772Z"),
        ("ce-bucket", "scenes"),
    ]
}

fn structured(changes: Value) -> String {
    let mut event = json!({
        "specversion": "1.0", "id": "1", "source": "//storage.googleapis.com/projects/_/buckets/scenes",
        "type": FINALIZED, "datacontenttype": "application/json", "data": resource("folder/x.png"),
    });
    for (name, value) in changes.as_object().cloned().unwrap_or_default() {
        match value {
            Value::Null => event.as_object_mut().and_then(|event| event.remove(&name)),
            value => event.as_object_mut().and_then(|event| event.insert(name, value)),
        };
    }
    event.to_string()
}

const STRUCTURED: [(&str, &str); 1] = [("content-type", "application/cloudevents+json; charset=utf-8")];
const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

fn push(message: Value) -> String {
    let mut envelope = json!({
        "message": { "messageId": "136969346945", "message_id": "136969346945", "publishTime": "2014-10-02T15:01:23.045Z" },
        "subscription": "projects/p/subscriptions/s", "deliveryAttempt": 1,
    });
    for (name, value) in message.as_object().cloned().unwrap_or_default() {
        envelope["message"][name] = value;
    }
    envelope.to_string()
}

fn attributes(event: &str, key: &str) -> Value {
    json!({
        "eventType": event, "bucketId": "scenes", "objectId": key, "objectGeneration": "1587627537231057",
        "notificationConfig": "projects/_/buckets/scenes/notificationConfigs/1", "payloadFormat": "NONE",
    })
}

#[test]
fn every_sender_is_known_by_what_it_sends() {
    let key = "folder/a+b %2F ü#1.png";
    let cases: Vec<(&str, HeaderMap, String, Notice)> = vec![
        ("binary", headers(&binary(FINALIZED)), resource(key).to_string(), object(key)),
        ("structured", headers(&STRUCTURED), structured(json!({ "data": resource(key) })), object(key)),
        (
            "structured, data in base64",
            headers(&STRUCTURED),
            structured(json!({ "data": null, "data_base64": base64(&resource(key).to_string()) })),
            object(key),
        ),
        (
            "version 0.3",
            headers(&STRUCTURED),
            structured(json!({ "specversion": "0.3" })),
            object("folder/x.png"),
        ),
        (
            "encoded attributes",
            headers(&[
                ("content-type", "application/json"),
                ("ce-id", "%31"),
                ("ce-source", "%2F%2Fstorage.googleapis.com%2Fb"),
                ("ce-specversion", "1.0"),
                ("ce-type", "google.cloud.storage.object.v1%2Efinalized"),
            ]),
            resource(key).to_string(),
            object(key),
        ),
        (
            "quoted attributes",
            headers(&[
                ("content-type", "application/json"),
                ("ce-id", "1"),
                ("ce-source", "\"a \\\"b\\\"\""),
                ("ce-specversion", "\"1.0\""),
                ("ce-type", FINALIZED),
            ]),
            resource(key).to_string(),
            object(key),
        ),
        (
            "a deletion",
            headers(&binary("google.cloud.storage.object.v1.deleted")),
            resource(key).to_string(),
            nothing("google.cloud.storage.object.v1.deleted"),
        ),
        (
            "changed metadata",
            headers(&STRUCTURED),
            structured(json!({ "type": "google.cloud.storage.object.v1.metadataUpdated" })),
            nothing("google.cloud.storage.object.v1.metadataUpdated"),
        ),
        (
            "an event of Azure",
            headers(&STRUCTURED),
            structured(json!({ "type": "Microsoft.Storage.BlobCreated", "data": { "url": "https://x" } })),
            nothing("Microsoft.Storage.BlobCreated"),
        ),
        (
            "a schedule as event",
            headers(&binary("google.cloud.scheduler.job.v1.executed")),
            r#"{"customData":"eA=="}"#.to_owned(),
            Notice::Schedule,
        ),
        (
            "a message as event",
            headers(&binary("google.cloud.pubsub.topic.v1.messagePublished")),
            push(json!({ "attributes": attributes("OBJECT_FINALIZE", key) })),
            object(key),
        ),
        ("a schedule", headers(&[("x-cloudscheduler", "true")]), String::new(), Notice::Schedule),
        (
            "a push, attributes only",
            headers(&JSON),
            push(json!({ "attributes": attributes("OBJECT_FINALIZE", key) })),
            object(key),
        ),
        (
            "a push with the object",
            headers(&JSON),
            push(json!({
                "attributes": attributes("OBJECT_FINALIZE", key), "data": base64(&resource(key).to_string()),
            })),
            object(key),
        ),
        (
            "a push without attributes",
            headers(&JSON),
            push(json!({ "data": base64(&resource(key).to_string()) })),
            object(key),
        ),
        (
            "a push of a deletion",
            headers(&JSON),
            push(json!({ "attributes": attributes("OBJECT_DELETE", key) })),
            nothing("OBJECT_DELETE"),
        ),
        ("a push of a schedule", headers(&JSON), push(json!({ "data": base64("sweep\n") })), Notice::Schedule),
        (
            "unwrapped, with metadata",
            headers(&[
                ("x-goog-pubsub-message-id", "1"),
                ("x-goog-pubsub-subscription-name", "projects/p/subscriptions/s"),
                ("eventtype", "OBJECT_FINALIZE"),
                ("bucketid", "scenes"),
                ("objectid", "folder/x.png"),
                ("objectgeneration", "1587627537231057"),
                ("payloadformat", "NONE"),
            ]),
            String::new(),
            object("folder/x.png"),
        ),
        (
            "unwrapped, no attributes",
            headers(&[("x-goog-pubsub-message-id", "1")]),
            resource(key).to_string(),
            object(key),
        ),
        ("unwrapped, no metadata", headers(&JSON), resource(key).to_string(), object(key)),
        (
            "a background event",
            headers(&JSON),
            json!({
                "context": {
                    "eventId": "1", "timestamp": "2020-04-23T07:38:57.772Z", "eventType": "google.storage.object.finalize",
                    "resource": { "service": "storage.googleapis.com", "name": "projects/_/buckets/scenes/objects/x",
                                  "type": "storage#object" },
                },
                "data": resource(key),
            })
            .to_string(),
            object(key),
        ),
        (
            "a background event, flat",
            headers(&JSON),
            json!({
                "eventId": "1", "eventType": "google.storage.object.finalize", "data": {},
                "resource": format!("projects/_/buckets/scenes/objects/{key}#1587627537231057"),
            })
            .to_string(),
            object(key),
        ),
        (
            "a background event of the first kind",
            headers(&JSON),
            json!({
                "eventId": "1", "eventType": "providers/cloud.storage/eventTypes/object.change", "resource": "x",
                "data": { "name": key, "bucket": "scenes", "resourceState": "not_exists" },
            })
            .to_string(),
            nothing("a deleted object"),
        ),
        (
            "a background message",
            headers(&JSON),
            json!({
                "context": { "eventId": "1", "eventType": "google.pubsub.topic.publish" },
                "data": { "@type": "type.googleapis.com/google.pubsub.v1.PubsubMessage",
                          "attributes": attributes("OBJECT_FINALIZE", key), "data": null },
            })
            .to_string(),
            object(key),
        ),
        (
            "another background event",
            headers(&JSON),
            json!({ "context": { "eventId": "1", "eventType": "google.firestore.document.write" }, "data": {} })
                .to_string(),
            nothing("google.firestore.document.write"),
        ),
        (
            "MinIO",
            headers(&JSON),
            json!({
                "EventName": "s3:ObjectCreated:Put", "Key": "scenes/folder/x.png",
                "Records": [{
                    "eventVersion": "2.0", "eventSource": "minio:s3", "eventName": "s3:ObjectCreated:Put",
                    "s3": { "bucket": { "name": "scenes" }, "object": { "key": "folder%2Fx.png", "eTag": "abc" } },
                }],
            })
            .to_string(),
            Notice::Objects(vec![ObjectName {
                bucket: "scenes".to_owned(),
                key: "folder/x.png".to_owned(),
                version: Some("abc".to_owned()),
                sequencer: None,
            }]),
        ),
    ];
    for (what, headers, body, expected) in cases {
        assert_eq!(Sent::read(&headers, body.as_bytes()), Ok(Sent::Notice(expected)), "{what}: {body}");
    }
}

#[test]
fn a_generation_may_be_a_number() {
    let mut resource = resource("x");
    resource["generation"] = json!(1_587_627_537_231_057u64);
    let sent = Sent::read(&headers(&binary(FINALIZED)), resource.to_string().as_bytes());
    assert_eq!(sent, Ok(Sent::Notice(object("x"))));
}

#[test]
fn what_is_broken_is_refused_by_its_name() {
    let without = |name: &str| {
        let pairs: Vec<_> = binary(FINALIZED).into_iter().filter(|(known, _)| *known != name).collect();
        headers(&pairs)
    };
    let with = |name: &'static str, value: &'static str| {
        let mut pairs: Vec<_> = binary(FINALIZED).into_iter().filter(|(known, _)| *known != name).collect();
        pairs.push((name, value));
        headers(&pairs)
    };
    let good = resource("x").to_string();
    let mut twice = headers(&binary(FINALIZED));
    twice.append("ce-id", HeaderValue::from_static("2"));
    let cases: Vec<(HeaderMap, String, &str)> = vec![
        (without("ce-id"), good.clone(), "CloudEvent: expected \"id\", which is missing"),
        (without("ce-source"), good.clone(), "expected \"source\", which is missing"),
        (without("ce-type"), good.clone(), "expected \"type\", which is missing"),
        (without("ce-specversion"), good.clone(), "expected \"specversion\", which is missing"),
        (with("ce-specversion", "2.0"), good.clone(), "specversion: expected 1.0, got \"2.0\""),
        (with("ce-id", ""), good.clone(), "expected \"id\", got an empty one"),
        (with("ce-id", "%ff"), good.clone(), "ce-id: expected UTF-8"),
        (with("ce-source", "\u{fc}"), good.clone(), "ce-source: expected ASCII"),
        (twice, good.clone(), "\"ce-id\" stands twice"),
        (headers(&binary(FINALIZED)), "{".to_owned(), "data: expected JSON"),
        (headers(&binary(FINALIZED)), String::new(), "expected an object's resource"),
        (headers(&binary(FINALIZED)), "[]".to_owned(), "expected an object's resource"),
        (with("content-type", "text/plain"), good.clone(), "expected an object's resource"),
        (headers(&binary(FINALIZED)), r#"{"bucket":"b"}"#.to_owned(), "expected \"name\", which is missing"),
        (
            headers(&binary(FINALIZED)),
            r#"{"bucket":"b","name":""}"#.to_owned(),
            "name: expected a name, got an empty",
        ),
        (
            headers(&binary(FINALIZED)),
            r#"{"bucket":1,"name":"x"}"#.to_owned(),
            "bucket: expected a string, got \"1\"",
        ),
        (
            headers(&binary(FINALIZED)),
            r#"{"bucket":"b","name":"x","generation":"new"}"#.to_owned(),
            "generation: expected a number, got \"new\"",
        ),
        (headers(&STRUCTURED), "{".to_owned(), "CloudEvent: expected JSON"),
        (headers(&STRUCTURED), "[]".to_owned(), "CloudEvent: expected JSON"),
        (
            headers(&STRUCTURED),
            structured(json!({ "source": null })),
            "expected \"source\", which is missing",
        ),
        (headers(&STRUCTURED), structured(json!({ "id": 7 })), "id: expected a string, got \"7\""),
        (headers(&STRUCTURED), structured(json!({ "data_base64": "eA==" })), "got both"),
        (headers(&STRUCTURED), structured(json!({ "data": null, "data_base64": "*" })), "expected base64"),
        (
            headers(&[("content-type", "application/cloudevents+avro")]),
            good.clone(),
            "expected application/cloudevents+json, got \"application/cloudevents+avro\"",
        ),
        (headers(&[("content-type", "application/cloudevents-batch+json")]), "[]".to_owned(), "got a batch"),
        (headers(&JSON), r#"{"message":1,"subscription":"s"}"#.to_owned(), "message: expected an object"),
        (headers(&JSON), r#"{"message":{},"subscription":"s"}"#.to_owned(), "expected \"messageId\""),
        (headers(&JSON), push(json!({ "data": "%" })), "data: expected base64"),
        (headers(&JSON), push(json!({ "data": base64("hello") })), "got \"hello\""),
        (headers(&JSON), push(json!({ "attributes": [] })), "attributes: expected an object"),
        (
            headers(&JSON),
            push(json!({ "attributes": { "eventType": "OBJECT_FINALIZE", "bucketId": "b" } })),
            "expected \"objectId\", which is missing",
        ),
        (headers(&JSON), r#"{"context":{"eventId":"1"},"data":{}}"#.to_owned(), "expected \"eventType\""),
        (headers(&JSON), r#"{"context":7,"data":{}}"#.to_owned(), "context: expected an object"),
        (headers(&JSON), r#"{"context":{"eventType":"x"},"data":{}}"#.to_owned(), "expected \"eventId\""),
        (
            headers(&JSON),
            r#"{"eventId":"1","eventType":"google.storage.object.finalize","resource":"x","data":{}}"#
                .to_owned(),
            "expected a bucket and an object, got \"x\"",
        ),
        (
            headers(&JSON),
            r#"{"EventName":"x","Records":[{"eventSource":"minio:s3"}]}"#.to_owned(),
            "notification",
        ),
    ];
    for (headers, body, expected) in cases {
        let refused = Sent::read(&headers, body.as_bytes()).expect_err(expected).to_string();
        assert!(refused.contains(expected), "expected {expected:?}, got {refused:?} for {body}");
    }
}

#[test]
fn what_no_platform_sends_is_something_else() {
    for body in [
        "",
        "{",
        "[]",
        "7",
        r#"{"instances": [[1, 2]]}"#,
        r#"{"message": "hello"}"#,
        r#"{"data": 1}"#,
        r#"{"instances": [{"message": {}, "subscription": ""}]}"#,
        "\u{0}",
    ] {
        let sent = Sent::read(&headers(&JSON), body.as_bytes());
        assert!(matches!(sent, Ok(Sent::Other { .. })), "{body}: {sent:?}");
    }
    let bytes = Sent::read(&headers(&[("content-type", "image/png")]), b"\x89PNG\r\n\x1a\n");
    assert!(matches!(bytes, Ok(Sent::Other { .. })), "{bytes:?}");
}
