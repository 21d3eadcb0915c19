//! The double itself: that it does what S3 does, that other servers do the same, and that every fault
//! of its script takes place.

use std::collections::BTreeMap;
use std::time::Duration;

use ampoule_tests::double::{Deed, Double, Fault, Operation};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, EncodingType, Tag, Tagging,
};

use ampoule_tests::client::config;

fn client(endpoint: &str) -> Client {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(Duration::from_secs(20))
        .read_timeout(Duration::from_secs(2));
    let config = config(endpoint)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .timeout_config(timeouts.build());
    Client::from_conf(config.build())
}

/// The error's code, or its kind where no code came.
fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(SdkError::ServiceError(error)) => match error.err().code() {
            Some(code) => code.to_owned(),
            None => error.raw().status().to_string(),
        },
        Err(SdkError::DispatchFailure(_)) => "no answer".to_owned(),
        Err(SdkError::TimeoutError(_)) => "timeout".to_owned(),
        Err(SdkError::ResponseError(error)) => format!("broken {}", error.raw().status()),
        Err(_) => "not sent".to_owned(),
    }
}

#[tokio::test]
async fn an_object_comes_back_with_what_was_written_beside_it() {
    let double = Double::start();
    double.bucket("in");
    let s3 = client(&double.s3_endpoint());
    for key in ["a", "a//b", "/lead", "../up", "a b+c%2F?&#=", "æøå/雲.tif", "dir/", "x\u{1}y"] {
        let put = s3.put_object().bucket("in").key(key).body(ByteStream::from_static(b"some bytes"));
        let put = put.content_type("text/plain").metadata("identity", "x y").if_none_match("*");
        let put = put.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.expect(key);
        let head = s3.head_object().bucket("in").key(key).checksum_mode(ChecksumMode::Enabled);
        let head = head.send().await.expect(key);
        assert_eq!(head.e_tag(), put.e_tag(), "{key}");
        assert_eq!(head.content_length(), Some(10), "{key}");
        assert_eq!(head.content_type(), Some("text/plain"), "{key}");
        assert_eq!(head.metadata().and_then(|all| all.get("identity")).map(String::as_str), Some("x y"));
        assert_eq!(head.checksum_sha256(), put.checksum_sha256(), "{key}");
        assert!(head.checksum_sha256().is_some(), "{key}");
        assert!(head.last_modified().is_some(), "{key}");
        let get = s3.get_object().bucket("in").key(key).range("bytes=5-").send().await.expect(key);
        assert_eq!(get.content_range(), Some("bytes 5-9/10"), "{key}");
        assert_eq!(get.body.collect().await.expect(key).into_bytes(), "bytes", "{key}");
        assert_eq!(double.get("in", key).expect(key).bytes, "some bytes");
    }
    assert_eq!(double.objects("in").len(), 8);
    assert_eq!(double.history().len(), 8);
    assert!(
        double.history().iter().all(|entry| entry.who.contains("aws-sdk-rust")),
        "{:?}",
        double.history()
    );
}

#[tokio::test]
async fn a_streamed_body_is_checked_by_what_stands_behind_it() {
    let double = Double::start();
    double.bucket("in");
    let s3 = client(&double.s3_endpoint());
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let content: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 251) as u8).collect();
    std::fs::write(file.path(), &content).expect("it can be written");
    for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc64Nvme, ChecksumAlgorithm::Sha256] {
        let body = ByteStream::from_path(file.path()).await.expect("it can be read");
        let put = s3.put_object().bucket("in").key("large").body(body).checksum_algorithm(algorithm.clone());
        put.send().await.unwrap_or_else(|why| panic!("{algorithm}: {why:?}"));
        let object = double.get("in", "large").expect("it is there");
        assert!(object.bytes == content, "{algorithm}");
        let kept = object.checksum.expect("it is kept").0.name().to_owned();
        assert_eq!(kept, algorithm.as_str().to_lowercase());
    }
    double.script(vec![Fault::FlippedUp.on(Operation::Write)]);
    let body = ByteStream::from_path(file.path()).await.expect("it can be read");
    let put = s3.put_object().bucket("in").key("flipped").body(body);
    assert_eq!(code(put.send().await), "BadDigest");
    assert!(double.get("in", "flipped").is_none());
}

#[tokio::test]
async fn of_sixteen_writers_that_expect_nothing_one_succeeds() {
    let double = Double::start();
    double.bucket("out");
    let s3 = client(&double.s3_endpoint());
    let writers = (0..16).map(|number| {
        let s3 = s3.clone();
        tokio::spawn(async move {
            let body = ByteStream::from(format!("{number}").into_bytes());
            code(s3.put_object().bucket("out").key("one").if_none_match("*").body(body).send().await)
        })
    });
    let mut answers = BTreeMap::new();
    for writer in writers.collect::<Vec<_>>() {
        *answers.entry(writer.await.expect("it ends")).or_insert(0) += 1;
    }
    assert_eq!(answers, BTreeMap::from([("ok".to_owned(), 1), ("PreconditionFailed".to_owned(), 15)]));
}

#[tokio::test]
async fn a_listing_gives_every_key_once_page_by_page() {
    let double = Double::start();
    let odd = ["a b", "a+b", "a%2Fb", "æ", "z\u{1}", "//", "..", "a/../b", "<&>\"'", "dir/"];
    for number in 0..2_490 {
        double.put("in", &format!("n/{number:04}"), "x");
    }
    for key in odd {
        double.put("in", &format!("n/{key}"), "x");
    }
    double.put("in", "m", "x");
    double.put("in", "o", "x");
    let s3 = client(&double.s3_endpoint());
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let list = s3.list_objects_v2().bucket("in").prefix("n/").encoding_type(EncodingType::Url);
        let page = list.set_continuation_token(token).send().await.expect("a page");
        for object in page.contents() {
            let key = object.key().expect("it has a key").replace('+', " ");
            keys.push(percent_encoding::percent_decode_str(&key).decode_utf8_lossy().into_owned());
        }
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(keys.len(), 2_500);
    assert!(keys.is_sorted(), "by bytes");
    let expected: Vec<String> =
        double.objects("in").into_keys().filter(|key| key.starts_with("n/")).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn an_upload_in_parts_makes_its_object_at_the_end_if_none_is_there() {
    let double = Double::start();
    double.bucket("out");
    let s3 = client(&double.s3_endpoint());
    let parts = [vec![1u8; 5 << 20], vec![2u8; 5 << 20], vec![3u8; 7]];
    for (key, expected) in [("new", "ok"), ("there", "PreconditionFailed")] {
        if expected != "ok" {
            double.put("out", key, "before");
        }
        let begin = s3.create_multipart_upload().bucket("out").key(key).metadata("identity", "i");
        let begin = begin.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.expect("it begins");
        let mut done = CompletedMultipartUpload::builder();
        for (number, bytes) in (1..).zip(&parts) {
            let part = s3.upload_part().bucket("out").key(key).set_upload_id(begin.upload_id.clone());
            let part = part.part_number(number).checksum_algorithm(ChecksumAlgorithm::Sha256);
            let part = part.body(ByteStream::from(bytes.clone())).send().await.expect("a part");
            let part = CompletedPart::builder()
                .part_number(number)
                .set_e_tag(part.e_tag)
                .set_checksum_sha256(part.checksum_sha256);
            done = done.parts(part.build());
        }
        assert_eq!(double.unfinished(), [("out".to_owned(), key.to_owned())]);
        let complete =
            s3.complete_multipart_upload().bucket("out").key(key).set_upload_id(begin.upload_id.clone());
        let complete = complete.multipart_upload(done.build()).if_none_match("*");
        assert_eq!(code(complete.send().await), expected);
        if expected == "ok" {
            let object = double.get("out", key).expect("it is there");
            assert_eq!(object.bytes, parts.concat());
            assert!(object.etag.ends_with("-3\""), "{}", object.etag);
            assert_eq!(object.metadata.get("identity").map(String::as_str), Some("i"));
        } else {
            assert_eq!(double.get("out", key).expect("it is there").bytes, "before");
            let abort = s3.abort_multipart_upload().bucket("out").key(key).set_upload_id(begin.upload_id);
            abort.send().await.expect("it can be given up");
        }
        assert!(double.unfinished().is_empty());
    }
}

/// What a client sees of each fault when it writes, and whether the object is there then.
const WRITES: [(Fault, &str, bool); 24] = [
    (Fault::Internal, "InternalError", false),
    (Fault::InternalAfter, "InternalError", true),
    (Fault::SlowDown { retry_after: Some(3) }, "SlowDown", false),
    (Fault::TooManyRequests, "TooManyRequests", false),
    (Fault::Timeout, "RequestTimeout", false),
    (Fault::Conflict, "ConditionalRequestConflict", false),
    (Fault::PreconditionAfter, "PreconditionFailed", true),
    (Fault::ExpiredToken, "ExpiredToken", false),
    (Fault::ClockSkew, "RequestTimeTooSkewed", false),
    (Fault::ReadOnly, "AccessDenied", false),
    (Fault::Full, "InsufficientStorage", false),
    (Fault::Elsewhere, "PermanentRedirect", false),
    (Fault::ResetBefore, "no answer", false),
    (Fault::ResetAfter, "no answer", true),
    (Fault::CloseBefore, "no answer", false),
    (Fault::CloseAfter, "no answer", true),
    (Fault::HangBefore, "timeout", false),
    (Fault::HangAfter, "timeout", true),
    (Fault::Delay { ms: 30 }, "ok", true),
    (Fault::FlippedUp, "BadDigest", false),
    (Fault::FlippedAtRest, "ok", true),
    (Fault::Empty, "ok", false),
    (Fault::Replaced, "PreconditionFailed", true),
    (Fault::WrongVersion, "ok", true),
];

#[tokio::test]
async fn a_write_meets_every_fault_that_a_script_names() {
    let double = Double::start();
    double.bucket("out");
    let s3 = client(&double.s3_endpoint());
    for (number, (fault, expected, is_there)) in WRITES.into_iter().enumerate() {
        let key = format!("{number}");
        double.script(vec![fault.on(Operation::Write)]);
        let put = || {
            let body = ByteStream::from_static(b"some bytes");
            s3.put_object().bucket("out").key(&key).if_none_match("*").body(body).send()
        };
        let first = code(put().await);
        let first = if first == "timeout" || first == "no answer" && expected == "timeout" {
            "timeout"
        } else {
            &first
        };
        assert_eq!(first, expected, "{fault:?}");
        assert_eq!(double.get("out", &key).is_some(), is_there, "{fault:?}");
        let again = if is_there { "PreconditionFailed" } else { "ok" };
        assert_eq!(code(put().await), again, "{fault:?}, again");
        assert_eq!(double.met().len(), number + 1, "{fault:?}");
    }
    let rotten = double.get("out", "20").expect("it is there");
    assert_ne!(rotten.bytes, "some bytes");
    assert_eq!(rotten.etag, double.get("out", "18").expect("it is there").etag);
}

#[tokio::test]
async fn a_read_meets_every_fault_that_a_script_names() {
    let double = Double::start();
    let content = "some bytes".repeat(10_000);
    let s3 = client(&double.s3_endpoint());
    for (fault, expected) in [
        (Fault::ResetInBody, "half"),
        (Fault::CloseInBody, "half"),
        (Fault::Truncated, "short"),
        (Fault::FlippedDown, "flipped"),
        (Fault::Trickle, "whole"),
        (Fault::Replaced, "PreconditionFailed"),
        (Fault::Gone, "NoSuchKey"),
        (Fault::Internal, "InternalError"),
        (Fault::ReadOnly, "whole"),
        (Fault::Empty, "short"),
    ] {
        let etag = double.put("in", "k", content.clone()).etag;
        double.script(vec![fault.on(Operation::Read)]);
        let get = s3.get_object().bucket("in").key("k").if_match(&etag);
        let seen = match get.send().await {
            Err(error) => code::<(), _>(Err(error)),
            Ok(get) => match get.body.collect().await.map(|body| body.into_bytes()) {
                Err(_) => "half".to_owned(),
                Ok(bytes) if bytes == content => "whole".to_owned(),
                Ok(bytes) if bytes.len() == content.len() => "flipped".to_owned(),
                Ok(_) => "short".to_owned(),
            },
        };
        assert_eq!(seen, expected, "{fault:?}");
    }
    let deeds: Vec<(Deed, &str)> = double
        .history()
        .iter()
        .filter(|entry| entry.who == "rival")
        .map(|entry| (entry.deed, if entry.key == "k" { "k" } else { "?" }))
        .collect();
    assert_eq!(deeds, [(Deed::Written, "k"), (Deed::Deleted, "k")]);
}

#[tokio::test]
async fn a_listing_meets_every_fault_that_a_script_names() {
    let double = Double::start();
    for key in ["a", "b", "c"] {
        double.put("in", key, "x");
    }
    let s3 = client(&double.s3_endpoint());
    for (fault, expected) in [
        (Fault::ListedTwice, "abca"),
        (Fault::ListedBackwards, "cba"),
        (Fault::TokenRefused, "InvalidArgument"),
        (Fault::Internal, "InternalError"),
        (Fault::Delay { ms: 10 }, "abc"),
    ] {
        double.script(vec![fault.on(Operation::List)]);
        let seen = match s3.list_objects_v2().bucket("in").send().await {
            Ok(page) => page.contents().iter().filter_map(|object| object.key()).collect(),
            Err(error) => code::<(), _>(Err(error)),
        };
        assert_eq!(seen, expected, "{fault:?}");
    }
}

#[tokio::test]
async fn a_rule_takes_the_requests_that_it_names_and_no_others() {
    let double = Double::start();
    double.bucket("out");
    let s3 = client(&double.s3_endpoint());
    double.script(vec![
        Fault::Internal.on(Operation::Write).keys("a/*").nth(2),
        Fault::Conflict.on(Operation::Write).keys("*.png").first(2),
        Fault::SlowDown { retry_after: None }.on(Operation::Head).always(),
    ]);
    let mut seen = Vec::new();
    for key in ["a/1", "b/1", "a/2", "a/3", "x.png", "a/x.png", "y.png"] {
        let body = ByteStream::from_static(b"x");
        seen.push(code(s3.put_object().bucket("out").key(key).body(body).send().await));
    }
    let conflict = "ConditionalRequestConflict";
    assert_eq!(seen, ["ok", "ok", "InternalError", "ok", conflict, conflict, "ok"]);
    for _ in 0..3 {
        assert_eq!(code(s3.head_object().bucket("out").key("a/1").send().await), "503");
    }
    assert_eq!(double.met().len(), 6);
    assert_eq!(double.asked().len(), 10);
}

#[tokio::test]
async fn tags_are_replaced_whole() {
    let double = Double::start();
    double.put("in", "k", "x");
    let s3 = client(&double.s3_endpoint());
    for (name, value) in [("one", "1"), ("two & <three>", "")] {
        let tag = Tag::builder().key(name).value(value).build().expect("a tag");
        let tagging = Tagging::builder().tag_set(tag).build().expect("tags");
        s3.put_object_tagging().bucket("in").key("k").tagging(tagging).send().await.expect("it is set");
        let tags = s3.get_object_tagging().bucket("in").key("k").send().await.expect("it is read");
        let tags: Vec<(&str, &str)> = tags.tag_set().iter().map(|tag| (tag.key(), tag.value())).collect();
        assert_eq!(tags, [(name, value)]);
    }
}

#[test]
fn an_event_names_the_object_as_its_cloud_does() {
    let double = Double::start();
    let object = double.put("in", "a b/c+d%2F é.png", "some bytes");
    let s3 = double.s3_event("in", "a b/c+d%2F é.png");
    let named = &s3["Records"][0]["s3"];
    assert_eq!(named["bucket"]["name"], "in");
    assert_eq!(named["object"]["key"], "a+b/c%2Bd%252F+%C3%A9.png");
    assert_eq!(named["object"]["eTag"], object.etag.trim_matches('"'));
    assert_eq!(named["object"]["size"], 10);
    assert_eq!(
        double.eventbridge_event("in", "a b/c+d%2F é.png")["detail"]["object"]["key"],
        "a b/c+d%2F é.png"
    );
    let gcs = double.gcs_event("in", "a b/c+d%2F é.png");
    assert_eq!(gcs["type"], "google.cloud.storage.object.v1.finalized");
    assert_eq!(gcs["subject"], "objects/a b/c+d%2F é.png");
    assert_eq!(gcs["data"]["name"], "a b/c+d%2F é.png");
    assert_eq!(gcs["data"]["generation"], object.generation.to_string());
    // A later upload of the same key comes after it in the order of S3's sequencers.
    double.put("in", "a b/c+d%2F é.png", "others");
    let later = double.s3_event("in", "a b/c+d%2F é.png");
    let sequencer = |event: &serde_json::Value| event["Records"][0]["s3"]["object"]["sequencer"].to_string();
    assert!(sequencer(&s3) < sequencer(&later));
}
