//! What each caller sends, read; and what is refused, with its reason.

use ampoule_functions::event::items::Item;
use ampoule_functions::event::queue::Order;
use ampoule_functions::event::{Event, Notice};
use ampoule_functions::job::ObjectName;
use serde_json::{Value, json};

pub fn uploaded(bucket: &str, key: &str, sequencer: &str) -> Value {
    json!({
        "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "eu-central-1",
        "eventTime": "2026-01-01T00:00:00.000Z", "eventName": "ObjectCreated:Put",
        "s3": { "s3SchemaVersion": "1.0", "bucket": { "name": bucket, "arn": format!("arn:aws:s3:::{bucket}") },
                "object": { "key": key, "size": 3, "eTag": "d41d8cd9", "sequencer": sequencer } }
    })
}

pub fn notification(records: &[Value]) -> Value {
    json!({ "Records": records })
}

pub fn message(id: &str, body: &Value) -> Value {
    json!({ "messageId": id, "receiptHandle": "r", "body": body.to_string(), "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:eu-central-1:1:uploads", "attributes": {} })
}

fn envelope(body: &Value) -> Value {
    json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:eu-central-1:1:t", "Message": body.to_string() })
}

fn bridge(kind: &str, source: &str, detail: Value) -> Value {
    json!({ "version": "0", "id": "1", "detail-type": kind, "source": source, "resources": [], "detail": detail })
}

fn created(key: &str) -> Value {
    bridge(
        "Object Created",
        "aws.s3",
        json!({ "version": "0", "bucket": { "name": "in" },
                "object": { "key": key, "size": 5, "etag": "abc", "version-id": "v", "sequencer": "617f08299329d189" } }),
    )
}

fn object(key: &str) -> ObjectName {
    ObjectName {
        bucket: "in".to_owned(),
        key: key.to_owned(),
        version: Some("d41d8cd9".to_owned()),
        sequencer: Some("00A1".to_owned()),
    }
}

fn read(payload: &Value) -> Event {
    Event::read(&payload.to_string()).unwrap_or_else(|cause| panic!("{payload}: {cause}"))
}

fn notice(payload: &Value) -> Notice {
    match read(payload) {
        Event::Notice(notice) => notice,
        other => panic!("expected a notice, got {other:?}"),
    }
}

fn refused(payload: &Value) -> String {
    match Event::read(&payload.to_string()) {
        Ok(event) => panic!("expected {payload} to be refused, got {event:?}"),
        Err(cause) => cause.to_string(),
    }
}

#[test]
fn a_key_is_decoded_exactly_once_where_its_source_encodes_it() {
    for (encoded, key) in [
        ("red+flower.jpg", "red flower.jpg"),
        ("a%2Bb", "a+b"),
        ("a%2520b", "a%20b"),
        ("%252F", "%2F"),
        ("dir%2Ffile", "dir/file"),
        ("a//b/../c/", "a//b/../c/"),
        ("%E2%82%AC", "€"),
        ("%00%0A", "\0\n"),
        ("€", "€"),
    ] {
        let expected = Notice::Objects(vec![object(key)]);
        assert_eq!(notice(&notification(&[uploaded("in", encoded, "00A1")])), expected, "{encoded}");
        let Event::Tasks(tasks) = read(&json!({
            "invocationSchemaVersion": "1.0", "invocationId": "i", "job": { "id": "j" },
            "tasks": [{ "taskId": "t", "s3Key": encoded, "s3VersionId": "1", "s3BucketArn": "arn:aws:s3:::in" }]
        })) else {
            panic!("these are tasks")
        };
        assert_eq!(tasks.tasks[0].object.as_ref().map(|object| object.key.as_str()), Ok(key));
        // EventBridge and Step Functions name the key itself.
        let Notice::Objects(objects) = notice(&created(encoded)) else { panic!("an object") };
        assert_eq!(objects[0].key, encoded);
        let Event::Items(items) =
            read(&json!({ "Items": [{ "Key": encoded, "Size": 3, "ETag": "\"abc\"" }] }))
        else {
            panic!("items")
        };
        assert!(
            matches!(&items.items[0], Item::Object { key, version, .. } if key == encoded && version.as_deref() == Some("abc"))
        );
    }
    for encoded in ["%", "a%2", "a%zz", "%C3", ""] {
        let why = refused(&notification(&[uploaded("in", encoded, "00A1")]));
        assert!(why.starts_with("S3 notification: "), "{encoded}: {why}");
    }
}

#[test]
fn a_notice_is_the_same_however_it_comes() {
    let notification = notification(&[uploaded("in", "a.png", "00A1")]);
    let expected = Notice::Objects(vec![object("a.png")]);
    let sns = json!({ "Records": [{ "EventSource": "aws:sns", "EventVersion": "1.0", "Sns": { "Type": "Notification", "Message": notification.to_string() } }] });
    assert_eq!(notice(&notification), expected);
    assert_eq!(notice(&sns), expected);
    let bodies = [notification.clone(), envelope(&notification), envelope(&envelope(&notification))];
    let messages: Vec<Value> = bodies.iter().map(|body| message("m", body)).collect();
    let Event::Queue(queue) = read(&json!({ "Records": messages })) else { panic!("a queue") };
    assert_eq!(queue.order, Order::Any);
    for message in queue.messages {
        assert_eq!(message.notice, Ok(expected.clone()));
    }
    let deep = (0..9).fold(notification, |body, _| envelope(&body));
    let Event::Queue(queue) = read(&json!({ "Records": [message("m", &deep)] })) else { panic!("a queue") };
    assert!(queue.messages[0].notice.is_err());
}

#[test]
fn minio_says_it_with_a_prefix() {
    let mut record = uploaded("in", "a%2Fb.png", "00A1");
    record["eventSource"] = "minio:s3".into();
    record["eventName"] = "s3:ObjectCreated:Put".into();
    let event = json!({ "EventName": "s3:ObjectCreated:Put", "Key": "in/a/b.png", "Records": [record] });
    assert_eq!(notice(&event), Notice::Objects(vec![object("a/b.png")]));
}

#[test]
fn what_asks_for_no_work_is_ignored() {
    let mut deleted = uploaded("in", "a", "1");
    deleted["eventName"] = "ObjectRemoved:Delete".into();
    for (event, what) in [
        (
            json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "t", "Bucket": "in", "RequestId": "r", "HostId": "h" }),
            "s3:TestEvent",
        ),
        (notification(&[deleted.clone()]), "ObjectRemoved:Delete"),
        (bridge("Object Deleted", "aws.s3", json!({})), "Object Deleted"),
        (bridge("Object Tags Added", "aws.s3", json!({})), "Object Tags Added"),
        (notification(&[]), "an event without records"),
    ] {
        assert_eq!(notice(&event), Notice::Nothing { what: what.to_owned() });
    }
    // A deletion doesn't hide an upload that came with it.
    let both = notification(&[deleted, uploaded("in", "b", "00A1")]);
    assert_eq!(notice(&both), Notice::Objects(vec![object("b")]));
    for source in ["aws.events", "aws.scheduler"] {
        assert_eq!(notice(&bridge("Scheduled Event", source, json!({}))), Notice::Schedule);
    }
}

#[test]
fn tasks_of_both_schemas_are_read() {
    let event = json!({
        "invocationSchemaVersion": "2.0", "invocationId": "i", "job": { "id": "j", "userArguments": { "k": "v" } },
        "tasks": [{ "taskId": "t", "s3Key": "a.png", "s3VersionId": null, "s3Bucket": "in" }]
    });
    let Event::Tasks(tasks) = read(&event) else { panic!("tasks") };
    let object = tasks.tasks[0].object.as_ref().expect("it is one");
    assert_eq!((object.bucket.as_str(), object.key.as_str()), ("in", "a.png"));
    let point = "arn:aws:s3:eu-central-1:1:accesspoint/p";
    let event = json!({ "invocationSchemaVersion": "1.0", "invocationId": "i", "tasks": [
        { "taskId": "t", "s3Key": "a", "s3BucketArn": point }, { "taskId": "u", "s3Key": "a" }, { "taskId": "v", "s3Bucket": "in" } ] });
    let Event::Tasks(tasks) = read(&event) else { panic!("tasks") };
    assert_eq!(tasks.tasks[0].object.as_ref().map(|object| object.bucket.as_str()), Ok(point));
    assert!(tasks.tasks[1].object.is_err() && tasks.tasks[2].object.is_err());
    let newer = json!({ "invocationSchemaVersion": "3.0", "invocationId": "i", "tasks": [] });
    assert_eq!(
        refused(&newer),
        "S3 Batch Operations: expected invocationSchemaVersion 1.0 or 2.0, got \"3.0\""
    );
}

#[test]
fn items_are_objects_rows_or_instances() {
    let event = json!({
        "BatchInput": { "bucket": "in" },
        "Items": [{ "Key": "a.png" }, { "sepal_length": "5.1" }, [1, 2], { "x": 1 }, "text", { "Key": 3 }]
    });
    let Event::Items(items) = read(&event) else { panic!("items") };
    assert_eq!(items.bucket.as_deref(), Some("in"));
    let kinds: Vec<&str> = items
        .items
        .iter()
        .map(|item| match item {
            Item::Object { .. } => "object",
            Item::Row(_) => "row",
            Item::Instance(_) => "instance",
        })
        .collect();
    assert_eq!(kinds, ["object", "row", "instance", "instance", "instance", "instance"]);
    // Without a bucket, a column may be named Key.
    let Event::Items(items) = read(&json!({ "Items": [{ "Key": "a" }, { "Key": "a", "Size": 1 }] })) else {
        panic!("items")
    };
    assert!(matches!(items.items[0], Item::Row(_)) && matches!(items.items[1], Item::Object { .. }));
}

#[test]
fn what_nobody_sends_is_refused_with_what_was_seen() {
    for (event, got) in [
        (json!({}), "an empty object"),
        (json!([1]), "an array"),
        (json!("x"), "a string"),
        (json!(null), "null"),
        (json!(7), "a number"),
        (json!({ "a": 1, "b\n": 2 }), "an object with \"a\", \"b\\n\""),
        (json!({ "Records": [{ "eventSource": "aws:dynamodb" }] }), "records of \"aws:dynamodb\""),
        (json!({ "Records": [{ "x": 1 }] }), "records without an event source"),
        (
            bridge("Order Placed", "my.shop", json!({})),
            "the EventBridge event \"Order Placed\" of \"my.shop\"",
        ),
        (
            json!({ "type": "TOKEN", "methodArn": "arn", "authorizationToken": "t" }),
            "a request to an API Gateway authorizer",
        ),
        (json!({ "eventSource": "aws:mq", "messages": [] }), "records of \"aws:mq\""),
    ] {
        let why = refused(&event);
        assert!(
            why.starts_with("expected an HTTP request") && why.ends_with(&format!("; got {got}")),
            "{event}: {why}"
        );
    }
}

#[test]
fn what_is_broken_is_refused_with_the_place() {
    let mixed = json!({ "Records": [uploaded("in", "a", "1"), { "eventSource": "aws:sqs", "body": "" }] });
    let mut old = uploaded("in", "a", "1");
    old["eventVersion"] = "3.0".into();
    let mut bare = uploaded("in", "a", "1");
    bare["s3"] = Value::Null;
    for (event, expected) in [
        (mixed, "Records: expected records of one source, got \"aws:s3\" and \"aws:sqs\""),
        (notification(&[old]), "S3 notification: expected eventVersion 2, got \"3.0\""),
        (notification(&[bare]), "S3 notification: expected \"s3\", which is missing"),
        (
            notification(&[uploaded("", "a", "1")]),
            "S3 notification: expected a bucket's name, got an empty one",
        ),
        (json!({ "Records": 3 }), "Records: invalid type"),
        (bridge("Object Created", "aws.s3", json!({})), "EventBridge event: missing field `bucket`"),
        (
            json!({ "eventSource": "aws:kafka", "records": { "t-0": [{ "topic": "t" }] } }),
            "Kafka: missing field `partition`",
        ),
        (json!({ "Items": 3 }), "Step Functions: invalid type"),
    ] {
        let why = refused(&event);
        assert!(why.starts_with(expected), "{event}: {why}");
    }
}

#[test]
fn text_that_is_no_json_never_panics() {
    let whole = notification(&[uploaded("in", "a%20b", "00A1")]).to_string();
    for end in 0..whole.len() {
        assert!(Event::read(&whole[..end]).is_err());
    }
    let nested = "[".repeat(100_000);
    assert!(Event::read(&nested).is_err());
    assert!(Event::read(&format!("{{\"Records\":{nested}")).is_err());
}
