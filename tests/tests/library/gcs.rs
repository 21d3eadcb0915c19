//! What the Cloud Storage store makes of every fault that a service can show, and what it keeps beside
//! an object's bytes. `stores.rs` holds it to what every store promises.

use std::sync::Arc;
use std::time::Duration;

use ampoule_functions::store::{About, Content, Expect, Gcs, GcsSettings, Store, StoreError, Version};
use ampoule_tests::double::{Deed, Double, Fault, Operation};
use bytes::Bytes;
use futures::TryStreamExt as _;

async fn bucket(double: &Double) -> Gcs {
    double.bucket("b");
    let settings =
        GcsSettings { endpoint: Some(double.gcs_endpoint()), patience: Duration::from_millis(1_500) };
    Gcs::connect("b", settings).await.expect("there is nothing to refuse")
}

async fn create(store: &Gcs, key: &str, bytes: impl Into<Bytes>) -> Result<Version, StoreError> {
    store.write(key, &Content::Bytes(bytes.into()), &About::default(), &Expect::Nothing).await
}

async fn get(store: &Gcs, key: &str, start: u64, version: Option<&Version>) -> Result<Vec<u8>, StoreError> {
    let reading = store.read(key, start, version).await?;
    let pieces: Vec<Bytes> = reading.bytes.try_collect().await?;
    Ok(pieces.concat())
}

/// The name of what came out.
fn kind<T>(outcome: &Result<T, StoreError>) -> &'static str {
    match outcome {
        Ok(_) => "ok",
        Err(StoreError::NotFound { .. }) => "not found",
        Err(StoreError::Changed { .. }) => "changed",
        Err(StoreError::Conflict { .. }) => "conflict",
        Err(StoreError::Throttled { retry_after: None }) => "throttled",
        Err(StoreError::Throttled { retry_after: Some(_) }) => "throttled for a time",
        Err(StoreError::Lost { .. }) => "lost",
        Err(StoreError::Denied { .. }) => "denied",
        Err(StoreError::Corrupt { .. }) => "corrupt",
        Err(StoreError::Unsupported { .. }) => "unsupported",
    }
}

/// What each fault is to a writer who expects nothing, and whether an object is there then.
const WRITES: [(Fault, &str, bool); 29] = [
    (Fault::Internal, "lost", false),
    (Fault::InternalAfter, "lost", true),
    (Fault::SlowDown { retry_after: Some(3) }, "throttled for a time", false),
    (Fault::SlowDown { retry_after: None }, "throttled", false),
    (Fault::TooManyRequests, "throttled", false),
    (Fault::Timeout, "lost", false),
    (Fault::Conflict, "conflict", false),
    (Fault::PreconditionAfter, "changed", true),
    // Asked again, with the token of that moment.
    (Fault::ExpiredToken, "ok", true),
    (Fault::ClockSkew, "ok", true),
    (Fault::ReadOnly, "denied", false),
    (Fault::Full, "lost", false),
    (Fault::Elsewhere, "denied", false),
    (Fault::ResetBefore, "lost", false),
    (Fault::ResetAfter, "lost", true),
    (Fault::CloseBefore, "lost", false),
    (Fault::CloseAfter, "lost", true),
    (Fault::HangBefore, "lost", false),
    (Fault::HangAfter, "lost", true),
    (Fault::Delay { ms: 50 }, "ok", true),
    (Fault::ResetInBody, "lost", true),
    (Fault::CloseInBody, "lost", true),
    (Fault::Truncated, "lost", true),
    (Fault::FlippedUp, "corrupt", false),
    (Fault::FlippedAtRest, "ok", true),
    (Fault::WrongChecksum, "corrupt", true),
    (Fault::Empty, "lost", false),
    (Fault::ErrorIn200, "lost", false),
    (Fault::Replaced, "changed", true),
];

#[tokio::test]
async fn a_writer_knows_what_each_fault_means() {
    let double = Double::start();
    let store = bucket(&double).await;
    for (number, (fault, expected, is_there)) in WRITES.into_iter().enumerate() {
        let key = format!("{number}");
        double.script(vec![fault.on(Operation::Write)]);
        let outcome = create(&store, &key, "some bytes").await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
        assert_eq!(double.get("b", &key).is_some(), is_there, "{fault:?}");
        assert_eq!(double.met().len(), number + 1, "{fault:?}");
        let again = create(&store, &key, "some bytes").await;
        assert_eq!(kind(&again), if is_there { "changed" } else { "ok" }, "{fault:?}, again: {again:?}");
    }
    double.script(vec![Fault::ExpiredToken.on(Operation::Write).always()]);
    assert_eq!(kind(&create(&store, "expired", "x").await), "denied");
}

#[tokio::test]
async fn a_reader_knows_what_each_fault_means() {
    let double = Double::start();
    let store = bucket(&double).await;
    let content = "some bytes".repeat(40_000);
    for (fault, from_begin, from_middle) in [
        (Fault::ResetInBody, "lost", "lost"),
        (Fault::CloseInBody, "lost", "lost"),
        (Fault::Truncated, "lost", "lost"),
        (Fault::Trickle, "ok", "ok"),
        (Fault::FlippedDown, "corrupt", "flipped"),
        (Fault::WrongChecksum, "corrupt", "ok"),
        (Fault::WrongVersion, "lost", "lost"),
        (Fault::FlippedAtRest, "ok", "ok"),
        (Fault::Empty, "lost", "lost"),
        (Fault::ErrorIn200, "lost", "lost"),
        (Fault::HangBefore, "lost", "lost"),
        (Fault::ResetBefore, "lost", "lost"),
        (Fault::Internal, "lost", "lost"),
        (Fault::SlowDown { retry_after: Some(1) }, "throttled for a time", "throttled for a time"),
        (Fault::ExpiredToken, "ok", "ok"),
        (Fault::ReadOnly, "ok", "ok"),
        (Fault::Replaced, "changed", "changed"),
        (Fault::Gone, "not found", "not found"),
    ] {
        for (start, expected) in [(0, from_begin), (150_000, from_middle)] {
            let generation = double.put("b", "k", content.clone()).generation;
            double.script(vec![fault.on(Operation::Read)]);
            let outcome = get(&store, "k", start, Some(&Version(generation.to_string()))).await;
            let seen = match &outcome {
                Ok(bytes) if bytes.as_slice() != content.as_bytes().split_at(start as usize).1 => "flipped",
                outcome => kind(outcome),
            };
            assert_eq!(seen, expected, "{fault:?} from {start}");
        }
    }
    double.put("b", "rotten", content.clone());
    double.script(vec![Fault::FlippedAtRest.on(Operation::Read)]);
    assert_eq!(kind(&get(&store, "rotten", 0, None).await), "ok");
    assert_eq!(kind(&get(&store, "rotten", 0, None).await), "corrupt");
}

#[tokio::test]
async fn calls_over_grpc_tell_what_each_fault_means() {
    let double = Double::start();
    let store = bucket(&double).await;
    for (fault, expected, is_gone) in [
        (Fault::Internal, "lost", false),
        (Fault::InternalAfter, "lost", true),
        (Fault::SlowDown { retry_after: Some(3) }, "throttled for a time", false),
        (Fault::TooManyRequests, "throttled", false),
        (Fault::Timeout, "lost", false),
        (Fault::Conflict, "conflict", false),
        (Fault::PreconditionAfter, "changed", true),
        (Fault::ExpiredToken, "ok", true),
        (Fault::ReadOnly, "denied", false),
        (Fault::ResetBefore, "lost", false),
        (Fault::ResetAfter, "lost", true),
        (Fault::CloseBefore, "lost", false),
        (Fault::CloseAfter, "lost", true),
        (Fault::HangBefore, "lost", false),
        (Fault::HangAfter, "lost", true),
        (Fault::Empty, "lost", false),
        (Fault::Replaced, "changed", false),
        (Fault::Gone, "not found", true),
    ] {
        let generation = double.put("b", "k", "x").generation;
        double.script(vec![fault.on(Operation::Delete)]);
        let outcome = store.delete("k", &Version(generation.to_string())).await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
        assert_eq!(double.get("b", "k").is_none(), is_gone, "{fault:?}");
    }
    double.put("b", "k", "x");
    for (fault, expected) in [
        (Fault::Internal, "lost"),
        (Fault::CloseInBody, "lost"),
        (Fault::ResetInBody, "lost"),
        (Fault::Truncated, "lost"),
        (Fault::Gone, "not found"),
    ] {
        double.script(vec![fault.on(Operation::Head)]);
        let outcome = store.head("k").await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_listing_is_in_order_whatever_the_service_gives() {
    let double = Double::start();
    let store = bucket(&double).await;
    for number in 0..1_500 {
        double.put("b", &format!("{number:04}"), "x");
    }
    for fault in [Fault::ListedTwice, Fault::ListedBackwards, Fault::Delay { ms: 5 }] {
        double.script(vec![fault.on(Operation::List)]);
        let page = store.list("", None).await.expect("a page");
        assert!(page.objects.is_sorted_by(|one, other| one.key < other.key), "{fault:?}");
        assert_eq!(page.objects.len(), 1_000, "{fault:?}");
        // The listing goes on behind the last key, whatever becomes of the token.
        double.script(vec![Fault::TokenRefused.on(Operation::List)]);
        let rest = store.list("", page.next.as_deref()).await.expect("the rest");
        assert_eq!((rest.objects.len(), rest.next), (500, None), "{fault:?}");
        assert_eq!(rest.objects.first().map(|object| object.key.as_str()), Some("1000"), "{fault:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_stops_the_job() {
    let double = Double::start();
    let settings = GcsSettings { endpoint: Some(double.gcs_endpoint()), ..GcsSettings::default() };
    let store = Gcs::connect("none", settings).await.expect("nothing is asked of it yet");
    assert_eq!(kind(&store.list("", None).await), "denied");
    assert_eq!(kind(&store.head("k").await), "denied");
    assert_eq!(kind(&get(&store, "k", 0, None).await), "denied");
    assert_eq!(kind(&create(&store, "k", "x").await), "denied");
    assert_eq!(kind(&create(&store, "k", vec![0; 17 << 20]).await), "denied");
    assert_eq!(kind(&store.delete("k", &Version("1".to_owned())).await), "denied");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_lost_answer() {
    let settings = GcsSettings { endpoint: Some("http://127.0.0.1:1".to_owned()), ..GcsSettings::default() };
    let store = Gcs::connect("b", settings).await.expect("nothing is asked of it yet");
    assert_eq!(kind(&store.head("k").await), "lost");
    assert_eq!(kind(&get(&store, "k", 0, None).await), "lost");
    assert_eq!(kind(&create(&store, "k", "x").await), "lost");
}

#[tokio::test]
async fn a_large_upload_is_resumable_and_whole_or_not_there() {
    let double = Double::start();
    let store = bucket(&double).await;
    let file = tempfile::NamedTempFile::new().expect("a file can be made");
    let bytes: Vec<u8> = (0..20 << 20).map(|at: u32| (at % 251) as u8).collect();
    std::fs::write(file.path(), &bytes).expect("it can be written");
    let content = Content::File(file.path().into());
    for (fault, expected, is_there) in [
        (None, "ok", true),
        (Some(Fault::ResetBefore), "lost", false),
        (Some(Fault::ResetAfter), "lost", true),
        (Some(Fault::FlippedUp), "corrupt", false),
        (Some(Fault::PreconditionAfter), "changed", true),
        (Some(Fault::Internal), "lost", false),
    ] {
        let key = format!("{fault:?}");
        double.script(fault.map(|fault| fault.on(Operation::Complete)).into_iter().collect());
        let outcome = store.write(&key, &content, &About::default(), &Expect::Nothing).await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
        assert_eq!(
            double.get("b", &key).map(|object| object.bytes == bytes),
            is_there.then_some(true),
            "{fault:?}"
        );
    }
    let steps: Vec<Operation> = double.asked().iter().take(2).map(|asked| asked.operation).collect();
    assert_eq!(steps, [Operation::Begin, Operation::Complete]);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_not_written() {
    let double = Double::start();
    let store = bucket(&double).await;
    let content = Content::File("/nowhere/at/all".into());
    let outcome = store.write("k", &content, &About::default(), &Expect::Nothing).await;
    let error = outcome.expect_err("there is no such file").to_string();
    assert!(error.contains("/nowhere/at/all"), "{error}");
    assert!(double.asked().is_empty());
}

#[tokio::test]
async fn two_who_tag_at_once_both_succeed() {
    let double = Double::start();
    let store = Arc::new(bucket(&double).await);
    let version = create(&store, "k", "x").await.expect("written");
    for round in 0..10 {
        let tag = |who: &'static str| {
            let (store, version) = (store.clone(), version.clone());
            tokio::spawn(async move { store.tag("k", &version, who, &format!("{round}")).await })
        };
        let (one, other) = (tag("one"), tag("other"));
        one.await.expect("it ends").expect("tagged");
        other.await.expect("it ends").expect("tagged");
        let tags = store.tags("k").await.expect("it is there");
        let expected = [("one", round.to_string()), ("other", round.to_string())];
        assert_eq!(tags, expected.map(|(name, value)| (name.to_owned(), value)).into());
    }
    let head = store.head("k").await.expect("it is there");
    assert_eq!(head.version, version, "tags make no new version");
    assert!(head.about.metadata.is_empty(), "tags are not what the writer said");
    let written: Vec<Deed> = double.history().iter().map(|entry| entry.deed).collect();
    assert_eq!(written.iter().filter(|deed| **deed == Deed::Written).count(), 1);
    assert_eq!(written.len(), 21, "each tag was set once");
}

#[tokio::test]
async fn a_tag_that_cannot_be_kept_is_refused() {
    let double = Double::start();
    let store = bucket(&double).await;
    let version = create(&store, "k", "x").await.expect("written");
    for name in ["", "a b", "a:b", "ä"] {
        assert_eq!(kind(&store.tag("k", &version, name, "1").await), "unsupported", "{name:?}");
    }
    let long = "x".repeat(9_000);
    assert_eq!(kind(&store.tag("k", &version, "long", &long).await), "unsupported");
    assert!(store.tags("k").await.expect("it is there").is_empty());
}

#[tokio::test]
async fn what_cloud_storage_has_no_key_for_is_refused_before_it_is_asked() {
    let double = Double::start();
    let store = bucket(&double).await;
    let long = "é".repeat(513);
    for key in ["", ".", "..", "a\nb", "a\r", long.as_str(), ".well-known/acme-challenge/x"] {
        assert_eq!(kind(&create(&store, key, "x").await), "unsupported", "{key:?}");
        assert_eq!(kind(&store.head(key).await), "unsupported", "{key:?}");
        assert_eq!(kind(&get(&store, key, 0, None).await), "unsupported", "{key:?}");
    }
    assert!(double.asked().is_empty());
    create(&store, &"é".repeat(512), "x").await.expect("1,024 bytes are a key");
}
