//! What each caller gets back, with a job that does as it is told and a real model.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ampoule_functions::job::{ObjectName, Outcome, Share, Totals, Work};
use ampoule_functions::lambda::{Failed, Function, Reply};
use ampoule_functions::lazy::Lazy;
use ampoule_functions::resources::Resources;
use ampoule_functions::settings::{Environment, Settings};
use ampoule_functions::store::{Local, Store};
use ampoule_host::{Host, HostConfig, Model};
use ampoule_tests::{cache, sealed};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::orders::orders;
use super::shapes::{message, notification, uploaded};

/// A job whose outcomes are fixed by key; what isn't named is done.
#[derive(Default)]
struct Fixed {
    outcomes: HashMap<&'static str, Outcome>,
    seen: Mutex<Vec<ObjectName>>,
}

#[async_trait]
impl Work for Fixed {
    async fn object(&self, object: &ObjectName, _: Instant) -> Outcome {
        self.seen.lock().expect("no test panics in it").push(object.clone());
        assert_ne!(object.key, "bug", "a bug");
        self.outcomes.get(object.key.as_str()).cloned().unwrap_or(Outcome::Done { instances: 1 })
    }

    async fn sweep(&self, share: Share, _: Instant) -> anyhow::Result<Totals> {
        assert_eq!(share, Share::WHOLE);
        match self.outcomes.get("sweep") {
            Some(_) => anyhow::bail!("the bucket is gone"),
            None => Ok(Totals { done: 7, instances: 9, ..Totals::default() }),
        }
    }
}

fn iris() -> Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let open = || {
        let host = Host::new(HostConfig { cache: Some(cache()), ..HostConfig::default() }).expect("a host");
        host.open(&sealed("iris")).expect("it opens")
    };
    MODEL.get_or_init(open).clone()
}

fn function(outcomes: &[(&'static str, Outcome)], variables: &[(&str, &str)]) -> (Function, Arc<Fixed>) {
    let work = Arc::new(Fixed { outcomes: outcomes.iter().cloned().collect(), ..Fixed::default() });
    let job: Arc<dyn Work> = work.clone();
    let resources = Resources {
        work: Lazy::new(move || std::future::ready(Ok(job.clone()))),
        output: Lazy::new(|| std::future::ready(Err(anyhow::anyhow!("no store in this test")))),
    };
    let settings = Settings::read(&Environment::of(variables.iter().copied())).expect("settings");
    (Function::new(iris(), &settings, resources).expect("a function"), work)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(300)
}

async fn ask(function: &Function, event: &Value) -> Result<Value, Failed> {
    match function.answer(&event.to_string(), soon(), "id").await? {
        Reply::Json(text) => Ok(serde_json::from_str(text.get()).expect("a reply is JSON")),
        Reply::Stream(_) => panic!("expected a whole reply"),
    }
}

fn failed() -> Outcome {
    Outcome::Failed { error: "busy".to_owned() }
}

fn refused() -> Outcome {
    Outcome::Refused { code: "invalid_instance", error: "no picture".to_owned() }
}

fn denied() -> Outcome {
    Outcome::Denied { error: "403".to_owned() }
}

fn queue(keys: &[&str], arn: &str) -> Value {
    let records = keys.iter().map(|key| {
        let mut message = message(&format!("m-{key}"), &notification(&[uploaded("in", key, "01")]));
        message["eventSourceARN"] = arn.into();
        message
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

const STANDARD_QUEUE: &str = "arn:aws:sqs:eu-central-1:1:uploads";
const FIFO_QUEUE: &str = "arn:aws:sqs:eu-central-1:1:uploads.fifo";

fn items(names: &[&str]) -> Value {
    json!({ "batchItemFailures": names.iter().map(|name| json!({ "itemIdentifier": name })).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_gets_the_messages_that_failed() {
    let (function, work) = function(&[("b", failed()), ("c", refused())], &[]);
    let reply = ask(&function, &queue(&["a", "b", "c", "d"], STANDARD_QUEUE)).await;
    assert_eq!(reply, Ok(items(&["m-b"])));
    assert_eq!(work.seen.lock().expect("free").len(), 4);
    assert_eq!(ask(&function, &queue(&["a", "c"], STANDARD_QUEUE)).await, Ok(items(&[])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_queue_stops_at_the_first_that_failed() {
    let (function, work) = function(&[("b", failed())], &[]);
    let reply = ask(&function, &queue(&["a", "b", "c", "d"], FIFO_QUEUE)).await;
    assert_eq!(reply, Ok(items(&["m-b", "m-c", "m-d"])));
    let seen: Vec<String> = work.seen.lock().expect("free").iter().map(|object| object.key.clone()).collect();
    assert_eq!(seen, ["a", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_several_records_fails_with_one_of_them() {
    let (function, _) = function(&[("b", failed())], &[]);
    let both = notification(&[uploaded("in", "a", "01"), uploaded("in", "b", "01")]);
    let other = notification(&[uploaded("in", "c", "01")]);
    let event = json!({ "Records": [message("m-1", &both), message("m-2", &other)] });
    assert_eq!(ask(&function, &event).await, Ok(items(&["m-1"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_sends_goes_to_the_queues_own_dead_letters() {
    let (function, _) = function(&[], &[]);
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent" });
    let event = json!({ "Records": [message("m-1", &json!({ "hello": 1 })), message("m-2", &test), message("m-3", &json!("x"))] });
    assert_eq!(ask(&function, &event).await, Ok(items(&["m-1", "m-3"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_an_id_is_never_named() {
    let (function, _) = function(&[("b", failed())], &[]);
    let mut event = queue(&["a", "b"], STANDARD_QUEUE);
    event["Records"][1]["messageId"] = "".into();
    let error = ask(&function, &event).await.expect_err("all have to come again");
    assert_eq!(error.kind, "Unfinished");
    // One that was done needs no name.
    event["Records"][1]["messageId"] = "m-b".into();
    event["Records"][0]["messageId"] = Value::Null;
    assert_eq!(ask(&function, &event).await, Ok(items(&["m-b"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bug_met_with_one_object_is_that_objects_failure() {
    let (function, _) = function(&[], &[]);
    let reply = ask(&function, &queue(&["a", "bug", "c"], STANDARD_QUEUE)).await;
    assert_eq!(reply, Ok(items(&["m-bug"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_object_stops_what_has_not_begun() {
    let (function, work) = function(&[("a", denied())], &[("AMPOULE_MAX_CONCURRENT_CALLS", "1")]);
    let keys = ["a", "b", "c"];
    // The host of these tests runs 16 at one time, so the queue is a strict one.
    let reply = ask(&function, &queue(&keys, FIFO_QUEUE)).await;
    assert_eq!(reply, Ok(items(&["m-a", "m-b", "m-c"])));
    assert_eq!(work.seen.lock().expect("free").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_time_left_is_not_begun() {
    let (function, work) = function(&[], &[]);
    let event = queue(&["a", "b"], STANDARD_QUEUE);
    let reply = function.answer(&event.to_string(), Instant::now(), "id").await.expect("a reply");
    let Reply::Json(text) = reply else { panic!("a whole reply") };
    assert_eq!(serde_json::from_str::<Value>(text.get()).expect("JSON"), items(&["m-a", "m-b"]));
    assert!(work.seen.lock().expect("free").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_told_to_tell_again() {
    let (function, _) = function(&[("b", failed()), ("c", refused()), ("d", denied())], &[]);
    let event =
        |keys: &[&str]| notification(&keys.iter().map(|key| uploaded("in", key, "01")).collect::<Vec<_>>());
    let done =
        json!({ "done": 1, "skipped": 0, "refused": 1, "failed": 0, "instances": 1, "unfinished": false });
    assert_eq!(ask(&function, &event(&["a", "c"])).await, Ok(done));
    let error = ask(&function, &event(&["a", "b"])).await.expect_err("b failed");
    assert_eq!(
        (error.kind, error.message.as_str()),
        ("Unfinished", "1 of 2 objects are not done; \"b\": busy")
    );
    let error = ask(&function, &event(&["a", "b", "d"])).await.expect_err("d was denied");
    assert_eq!((error.kind, error.message.as_str()), ("Denied", "2 of 3 objects are not done; \"d\": 403"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_latest_of_one_keys_events_is_done_and_all_are_acknowledged() {
    for order in orders(&["01", "02", "03", "04", "05"]) {
        let (function, work) = function(&[], &[]);
        let messages: Vec<Value> = order
            .iter()
            .map(|sequencer| {
                message(&format!("m-{sequencer}"), &notification(&[uploaded("in", "k", sequencer)]))
            })
            .collect();
        assert_eq!(ask(&function, &json!({ "Records": messages })).await, Ok(items(&[])), "{order:?}");
        let seen: Vec<Option<String>> =
            work.seen.lock().expect("free").iter().map(|object| object.sequencer.clone()).collect();
        assert_eq!(seen, [Some("05".to_owned())], "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latest_event_that_failed_comes_again() {
    let (function, _) = function(&[("k", failed())], &[]);
    let messages: Vec<Value> = ["02", "01", "02"]
        .iter()
        .enumerate()
        .map(|(index, sequencer)| {
            message(&format!("m-{index}"), &notification(&[uploaded("in", "k", sequencer)]))
        })
        .collect();
    assert_eq!(ask(&function, &json!({ "Records": messages })).await, Ok(items(&["m-0"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_sweeps() {
    let event = json!({ "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
    let (function, _) = function(&[], &[]);
    assert_eq!(ask(&function, &event).await.expect("swept")["done"], 7);
    let (function, _) = self::function(&[("sweep", failed())], &[]);
    let error = ask(&function, &event).await.expect_err("it is gone");
    assert_eq!(error.message, "the bucket is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_gets_a_code() {
    let (function, _) = function(
        &[
            ("b", failed()),
            ("c", refused()),
            ("d", denied()),
            ("e", Outcome::Skipped { why: "it is gone".to_owned() }),
        ],
        &[],
    );
    for (version, bucket) in
        [("1.0", json!({ "s3BucketArn": "arn:aws:s3:::in" })), ("2.0", json!({ "s3Bucket": "in" }))]
    {
        let task = |key: &str| {
            let mut task = json!({ "taskId": format!("t-{key}"), "s3Key": key, "s3VersionId": null });
            task.as_object_mut().expect("an object").extend(bucket.as_object().expect("an object").clone());
            task
        };
        let tasks: Vec<Value> = ["a", "b", "c", "e", "%zz", "d"].map(task).into();
        let event = json!({ "invocationSchemaVersion": version, "invocationId": "i", "job": { "id": "j" }, "tasks": tasks });
        let reply = ask(&function, &event).await.expect("a reply");
        assert_eq!(reply["invocationSchemaVersion"], version);
        assert_eq!(reply["invocationId"], "i");
        assert_eq!(reply["treatMissingKeysAs"], "TemporaryFailure");
        let results: Vec<(&str, &str, &str)> = reply["results"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|result| {
                let text = |name: &str| result[name].as_str().expect("a text");
                (text("taskId"), text("resultCode"), text("resultString"))
            })
            .collect();
        assert_eq!(
            results,
            [
                ("t-a", "Succeeded", "1 prediction"),
                ("t-b", "TemporaryFailure", "busy"),
                ("t-c", "PermanentFailure", "invalid_instance: no picture"),
                ("t-e", "Succeeded", "it is gone"),
                (
                    "t-%zz",
                    "PermanentFailure",
                    "invalid_task: S3 Batch Operations: the key \"%zz\" is not form-encoded: a % without two digits"
                ),
                ("t-d", "TemporaryFailure", "403"),
            ]
        );
    }
}

const SETOSA: [f64; 4] = [5.1, 3.5, 1.4, 0.2];

#[tokio::test(flavor = "multi_thread")]
async fn a_state_machine_gets_a_result_for_each_item() {
    let (function, work) = function(&[("c", refused())], &[("INPUT_BUCKET_NAME", "s3://scenes/in")]);
    let row =
        json!({ "sepal_length": "5.1", "sepal_width": "3.5", "petal_length": "1.4", "petal_width": "0.2" });
    let event = json!({ "Items": [{ "Key": "a", "Size": 1, "ETag": "\"e\"" }, SETOSA, row, ["x"], { "Key": "c", "Size": 1 }] });
    let reply = ask(&function, &event).await.expect("a reply");
    let results = reply["results"].as_array().expect("a list");
    assert_eq!(results[0], json!({ "outcome": "done", "key": "a", "instances": 1 }));
    assert_eq!(results[1]["prediction"]["label"], "setosa", "{reply}");
    assert_eq!(results[2], results[1]);
    assert_eq!(
        (&results[3]["outcome"], &results[3]["code"]),
        (&json!("refused"), &json!("invalid_instance"))
    );
    assert_eq!(
        results[4],
        json!({ "outcome": "refused", "key": "c", "code": "invalid_instance", "error": "no picture" })
    );
    let seen = work.seen.lock().expect("free").clone();
    assert_eq!((seen[0].bucket.as_str(), seen[0].version.as_deref()), ("scenes", Some("e")));

    let (function, _) = self::function(&[("b", failed())], &[]);
    let event = json!({ "BatchInput": { "bucket": "in" }, "Items": [{ "Key": "a" }, { "Key": "b" }] });
    let error = ask(&function, &event).await.expect_err("b failed");
    assert_eq!((error.kind, error.message.as_str()), ("Unfinished", "1 of 2 items are not done: busy"));
    let event = json!({ "Items": [{ "Key": "a", "Size": 1 }] });
    assert_eq!(ask(&function, &event).await.expect("a reply")["results"][0]["code"], "no_bucket");
}

fn kafka(values: &[Option<&[u8]>]) -> Value {
    let record = |(index, value): (usize, &Option<&[u8]>)| {
        json!({ "topic": "flowers", "partition": index % 2, "offset": 10 + index, "timestamp": 1, "timestampType": "CREATE_TIME",
                "value": value.map(|value| STANDARD.encode(value)), "headers": [{ "h": [-1, 5] }] })
    };
    let mut partitions = BTreeMap::<String, Vec<Value>>::new();
    for (index, value) in values.iter().enumerate() {
        partitions.entry(format!("flowers-{}", index % 2)).or_default().push(record((index, value)));
    }
    json!({ "eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092", "records": partitions })
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_gets_the_predictions_in_the_form_that_the_records_came_in() {
    let (function, _) = function(&[], &[]);
    let row = json!(SETOSA).to_string();
    let event = kafka(&[Some(row.as_bytes()), None, Some(b"[1]"), Some(row.as_bytes())]);
    let reply = ask(&function, &event).await.expect("a reply");
    let first = &reply["records"]["flowers-0"];
    assert_eq!((&first[0]["topic"], &first[0]["offset"]), (&json!("flowers"), &json!(10)));
    assert_eq!(first[0]["prediction"]["label"], "setosa", "{reply}");
    assert_eq!(first[1]["error"]["code"], "invalid_instance", "{reply}");
    let second = &reply["records"]["flowers-1"];
    assert_eq!(second[0], json!({ "topic": "flowers", "partition": 1, "offset": 11 }));
    assert_eq!(second[1]["prediction"]["label"], "setosa");
    // Whoever reads partial replies can put the record aside.
    assert_eq!(
        reply["batchItemFailures"],
        json!([{ "itemIdentifier": { "partition": "flowers-0", "offset": 12 } }])
    );
}

/// A function that writes predictions to a folder.
fn keeping(folder: &Path) -> Function {
    let store: Arc<dyn Store> = Arc::new(Local::new(folder));
    let resources = Resources {
        work: Lazy::new(|| std::future::ready(Err(anyhow::anyhow!("no job in this test")))),
        output: Lazy::ready(store),
    };
    let variables = [("OUTPUT_BUCKET_NAME", "out"), ("OUTPUT_PREFIX", "live/")];
    let settings = Settings::read(&Environment::of(variables)).expect("settings");
    Function::new(iris(), &settings, resources).expect("a function")
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_for_records_are_written_once_where_there_is_a_bucket_for_them() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let function = keeping(folder.path());
    let row = json!(SETOSA).to_string();
    let event = kafka(&[Some(row.as_bytes()), Some(b"x"), Some(row.as_bytes())]);
    let reply = ask(&function, &event).await.expect("a reply");
    let key = "live/flowers/0/00000000000000000010-00000000000000000012.jsonl";
    assert_eq!(reply["written"][0], key);
    // What is on record need not come again.
    assert_eq!(reply["batchItemFailures"], json!([]));
    let written = lines(&folder.path().join(key));
    assert_eq!(json!(written), reply["records"]["flowers-0"]);
    assert_eq!(written[1]["prediction"]["label"], "setosa");
    let refused =
        lines(&folder.path().join("live/flowers/1/00000000000000000011-00000000000000000011.jsonl"));
    assert_eq!(refused[0]["error"]["code"], reply["records"]["flowers-1"][0]["error"]["code"]);
    assert!(refused[0]["error"]["message"].is_string());
    assert_eq!(ask(&function, &event).await, Ok(reply));

    let reply = ask(&function, &kinesis(&[row.as_bytes(), b"{", row.as_bytes()])).await.expect("a reply");
    assert_eq!(reply["batchItemFailures"], json!([]));
    let key = "live/flowers/shardId-000000000006/490-492.jsonl";
    assert_eq!(reply["written"], json!([key]));
    assert_eq!(json!(lines(&folder.path().join(key))), reply["records"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_whose_names_are_hostile_stay_in_their_place() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let function = keeping(&folder.path().join("out"));
    let mut event = kafka(&[Some(json!(SETOSA).to_string().as_bytes())]);
    event["records"]["flowers-0"][0]["topic"] = "../../a/b".into();
    let reply = ask(&function, &event).await.expect("a reply");
    let written = reply["written"][0].as_str().expect("a key");
    assert!(written.starts_with("live/..%2F..%2Fa%2Fb/0/"), "{written}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 1);
}

fn kinesis(values: &[&[u8]]) -> Value {
    let record = |(index, value): (usize, &&[u8])| {
        json!({ "kinesis": { "kinesisSchemaVersion": "1.0", "partitionKey": "p", "sequenceNumber": format!("49{index}"),
                             "data": STANDARD.encode(value), "approximateArrivalTimestamp": 1545084650.987 },
                "eventSource": "aws:kinesis", "eventID": format!("shardId-000000000006:49{index}"),
                "eventSourceARN": "arn:aws:kinesis:eu-central-1:1:stream/flowers" })
    };
    json!({ "Records": values.iter().enumerate().map(record).collect::<Vec<_>>() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_goes_on_from_the_first_record_that_failed() {
    let (function, _) = function(&[], &[]);
    let row = json!(SETOSA).to_string();
    let reply = ask(&function, &kinesis(&[row.as_bytes(), b"{", row.as_bytes()])).await.expect("a reply");
    assert_eq!(reply["batchItemFailures"], json!([{ "itemIdentifier": "491" }]));
    assert_eq!(reply["records"].as_array().map(Vec::len), Some(1));
    assert_eq!(reply["records"][0]["sequenceNumber"], "490");
    assert_eq!(reply["records"][0]["prediction"]["label"], "setosa");
    let reply = ask(&function, &kinesis(&[row.as_bytes(), row.as_bytes()])).await.expect("a reply");
    assert_eq!(reply["batchItemFailures"], json!([]));
    assert_eq!(reply["state"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tumbling_window_gets_its_state_back() {
    let (function, _) = function(&[], &[]);
    let mut event = kinesis(&[json!(SETOSA).to_string().as_bytes()]);
    event["window"] = json!({ "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:02:00Z" });
    event["state"] = json!({ "seen": 3 });
    let reply = ask(&function, &event).await.expect("a reply");
    assert_eq!(reply["state"], json!({ "seen": 3 }));
    let last = json!({ "window": {}, "state": {}, "isFinalInvokeForWindow": true, "Records": [] });
    let reply = ask(&function, &last).await.expect("a reply");
    assert_eq!(reply, json!({ "records": [], "batchItemFailures": [], "state": {} }));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_records_with_bad_ones_among_them_are_each_answered() {
    let (function, _) = function(&[], &[]);
    let row = json!(SETOSA).to_string();
    let values: Vec<Option<&[u8]>> = (0..3000)
        .map(|index| Some(if index % 7 == 0 { b"nonsense".as_slice() } else { row.as_bytes() }))
        .collect();
    let reply = ask(&function, &kafka(&values)).await.expect("a reply");
    let mut seen = 0;
    for partition in ["flowers-0", "flowers-1"] {
        for line in reply["records"][partition].as_array().expect("a list") {
            let index = line["offset"].as_i64().expect("a number") - 10;
            assert_eq!(line["error"].is_object(), index % 7 == 0, "{line}");
            assert_eq!(line["prediction"].is_object(), index % 7 != 0, "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 3000);
}

fn url(method: &str, path: &str, headers: Value, body: Option<(&str, bool)>) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": path, "rawQueryString": "a=1&a=2", "cookies": ["c=1"], "headers": headers,
        "requestContext": { "http": { "method": method, "path": path, "protocol": "HTTP/1.1" }, "stage": "$default", "requestId": "r" },
        "body": body.map(|(text, _)| text), "isBase64Encoded": body.is_some_and(|(_, encoded)| encoded)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn http_goes_through_the_same_service_from_all_callers() {
    let (function, _) = function(&[], &[]);
    let body = json!({ "instances": [SETOSA] }).to_string();
    let encoded = STANDARD.encode(&body);
    let json_type = json!({ "content-type": "application/json" });
    let reply = ask(&function, &url("POST", "/predictions", json_type.clone(), Some((&body, false))))
        .await
        .expect("a reply");
    assert_eq!(reply["statusCode"], 200, "{reply}");
    assert_eq!(reply["headers"]["content-type"], "application/json");
    assert_eq!(reply["headers"]["x-request-id"], "id");
    assert_eq!(reply["isBase64Encoded"], false);
    let answer: Value = serde_json::from_str(reply["body"].as_str().expect("text")).expect("JSON");
    assert_eq!(answer["predictions"][0]["label"], "setosa");

    let same = ask(&function, &url("POST", "/predictions", json_type.clone(), Some((&encoded, true)))).await;
    assert_eq!(same, Ok(reply.clone()));

    let mut staged = url("POST", "/prod/predictions", json_type, Some((&body, false)));
    staged["requestContext"]["stage"] = "prod".into();
    assert_eq!(ask(&function, &staged).await, Ok(reply.clone()));

    let rest = json!({
        "resource": "/{proxy+}", "path": "/predictions", "httpMethod": "POST", "headers": { "Content-Type": "application/json" },
        "multiValueHeaders": { "Content-Type": ["application/json"] }, "queryStringParameters": null,
        "requestContext": { "stage": "prod", "path": "/prod/predictions" }, "body": body, "isBase64Encoded": false
    });
    let answered = ask(&function, &rest).await.expect("a reply");
    assert_eq!(answered["body"], reply["body"]);
    assert_eq!(answered["multiValueHeaders"]["content-type"], json!(["application/json"]));
    assert_eq!(answered.get("headers"), None);

    let mut balancer = json!({
        "requestContext": { "elb": { "targetGroupArn": "arn" } }, "httpMethod": "POST", "path": "/predictions",
        "queryStringParameters": { "q": "a%20b" }, "headers": { "content-type": "application/json" }, "body": body, "isBase64Encoded": false
    });
    let answered = ask(&function, &balancer).await.expect("a reply");
    assert_eq!((&answered["body"], &answered["statusDescription"]), (&reply["body"], &json!("200 OK")));
    assert_eq!(answered["headers"]["content-type"], "application/json");
    let single = balancer.as_object_mut().expect("an object").remove("headers").expect("they are there");
    balancer["multiValueHeaders"] = json!({ "content-type": [single["content-type"]] });
    let answered = ask(&function, &balancer).await.expect("a reply");
    assert_eq!(answered["multiValueHeaders"]["content-type"], json!(["application/json"]));
    assert_eq!(answered.get("headers"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_has_the_servers_routes_limits_and_errors() {
    let (function, _) = function(&[], &[("AMPOULE_TOKEN", "secret"), ("AMPOULE_MAX_BODY_BYTES", "1000")]);
    let key = json!({ "authorization": "Bearer secret", "content-type": "application/json" });
    let long = " ".repeat(1001);
    for (event, status, code) in [
        (url("GET", "/health", json!({}), None), 200, ""),
        (url("GET", "/models", json!({}), None), 401, "unauthorized"),
        (url("GET", "/models", key.clone(), None), 200, ""),
        (url("GET", "/nothing", key.clone(), None), 404, "unknown_route"),
        (url("GET", "/a b?c{d}", key.clone(), None), 404, "unknown_route"),
        (url("DELETE", "/predictions", key.clone(), None), 405, "method_not_allowed"),
        (url("POST", "/predictions", key.clone(), None), 400, "invalid_json"),
        (
            url("POST", "/predictions", key.clone(), Some(("{\"instances\":[[1]]}", false))),
            400,
            "invalid_instance",
        ),
        (url("POST", "/predictions", key.clone(), Some((&long, false))), 413, "too_large"),
        (url("POST", "/predictions", key.clone(), Some(("%%%", true))), 400, "invalid_request"),
        (url("NO METHOD", "/predictions", key.clone(), None), 400, "invalid_request"),
        (url("GET", "/health", json!({ "a\nb": "c" }), None), 400, "invalid_request"),
        (url("GET", "/health", json!({ "a": "c\nd" }), None), 400, "invalid_request"),
    ] {
        let reply = ask(&function, &event).await.unwrap_or_else(|error| panic!("{event}: {error}"));
        assert_eq!(reply["statusCode"], status, "{event}: {reply}");
        if !code.is_empty() {
            let body: Value = serde_json::from_str(reply["body"].as_str().expect("text")).expect("JSON");
            assert_eq!(body["code"], code, "{event}: {reply}");
        }
        assert_eq!(reply["headers"].get("content-length").or(reply["headers"].get("connection")), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_call_ends_with_the_functions_time() {
    let (function, _) = function(&[], &[]);
    let body = json!({ "instances": [SETOSA] }).to_string();
    let event = url("POST", "/predictions", json!({}), Some((&body, false)));
    let past = Instant::now().checked_sub(Duration::from_secs(1)).expect("the clock runs for longer");
    let Ok(Reply::Json(text)) = function.answer(&event.to_string(), past, "id").await else {
        panic!("a reply")
    };
    let reply: Value = serde_json::from_str(text.get()).expect("JSON");
    // What is ready at once is answered all the same.
    assert!(reply["statusCode"] == 504 || reply["statusCode"] == 200, "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_url_in_stream_mode_gets_a_stream_and_nobody_else_does() {
    let (function, _) = function(&[], &[("AMPOULE_RESPONSE_MODE", "stream")]);
    let event = url("GET", "/health", json!({}), None).to_string();
    let Ok(Reply::Stream(response)) = function.answer(&event, soon(), "id").await else { panic!("a stream") };
    assert_eq!(response.status(), 200);
    let balancer = json!({ "requestContext": { "elb": { "targetGroupArn": "arn" } }, "httpMethod": "GET", "path": "/health", "headers": {} });
    let answered = ask(&function, &balancer).await.expect("a whole reply");
    assert_eq!(answered["statusCode"], 200, "{answered}");
}
