//! What the S3 store makes of every fault that a server or the way to it can have, and how reading
//! goes on after one.

use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ampoule_functions::store::retry::{Pace, Retry};
use ampoule_functions::store::{
    About, Content, Expect, KeyPair, Location, S3, S3Settings, Store, StoreError, Version,
};
use ampoule_tests::double::{Double, Fault, Operation};
use ampoule_tests::eventually;
use bytes::Bytes;
use futures::TryStreamExt as _;

async fn bucket(endpoint: &str) -> S3 {
    patient_for(endpoint, Duration::from_secs(30)).await
}

async fn patient_for(endpoint: &str, read_timeout: Duration) -> S3 {
    let settings = S3Settings {
        endpoint: Some(endpoint.to_owned()),
        key_pair: Some(KeyPair { id: "any".to_owned(), secret: "any".to_owned() }),
        whole_bytes: 5 << 20,
        part_bytes: 5 << 20,
        read_timeout,
        ..S3Settings::default()
    };
    S3::connect("in", settings).await
}

/// What is asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    List,
    Head,
    Read,
    Write,
    /// A write in three parts.
    Parts,
    Delete,
    Tag,
    Tags,
}

use Call::{Delete, Head, List, Parts, Read, Tag, Tags, Write};

const CALLS: [Call; 8] = [List, Head, Read, Write, Parts, Delete, Tag, Tags];

impl Call {
    /// The request of it that meets the fault: the last, where there are several.
    fn operation(self) -> Operation {
        match self {
            List => Operation::List,
            Head => Operation::Head,
            Read => Operation::Read,
            Write => Operation::Write,
            Parts => Operation::Complete,
            Delete => Operation::Delete,
            Tag => Operation::Tag,
            Tags => Operation::Tags,
        }
    }

    async fn make(self, store: &S3, version: &Version) -> Result<(), StoreError> {
        let write = async |bytes: usize| {
            let content = Content::Bytes(vec![7; bytes].into());
            store.write("new", &content, &About::default(), &Expect::Nothing).await.map(|_| ())
        };
        match self {
            List => match store.list("", None).await?.objects.len() {
                0 => Err(wrong("an empty listing")),
                _ => Ok(()),
            },
            Head if store.head("k").await?.version != *version => Err(wrong("another version")),
            Head => Ok(()),
            Read => {
                let reading = store.read("k", 0, Some(version)).await?;
                let bytes: Vec<Bytes> = reading.bytes.try_collect().await?;
                if bytes.concat() == content() { Ok(()) } else { Err(wrong("other bytes")) }
            }
            Write => write(1_000).await,
            Parts => write(11 << 20).await,
            Delete => store.delete("k", version).await,
            Tag => store.tag("k", version, "a", "b").await,
            Tags => store.tags("k").await.map(|_| ()),
        }
    }
}

/// What no store may do: to succeed with something else.
fn wrong(what: &str) -> StoreError {
    StoreError::Unsupported { key: "k".to_owned(), cause: what.to_owned() }
}

fn content() -> Vec<u8> {
    (0..300_000u32).flat_map(u32::to_le_bytes).collect()
}

fn word(outcome: &Result<(), StoreError>) -> &'static str {
    match outcome {
        Ok(()) => "done",
        Err(StoreError::NotFound { .. }) => "not found",
        Err(StoreError::Changed { .. }) => "changed",
        Err(StoreError::Conflict { .. }) => "conflict",
        Err(StoreError::Throttled { .. }) => "throttled",
        Err(StoreError::Lost { .. }) => "lost",
        Err(StoreError::Denied { .. }) => "denied",
        Err(StoreError::Corrupt { .. }) => "corrupt",
        Err(StoreError::Unsupported { .. }) => "unsupported",
    }
}

/// What the store is to say; none where the fault can't befall such a call.
fn expected(fault: Fault, call: Call) -> Option<&'static str> {
    let writes = matches!(call, Write | Parts | Delete | Tag);
    Some(match fault {
        Fault::Internal | Fault::InternalAfter | Fault::Timeout => "lost",
        Fault::SlowDown { .. } | Fault::TooManyRequests => "throttled",
        Fault::Conflict if writes => "conflict",
        Fault::PreconditionAfter if matches!(call, Write | Parts) => "changed",
        Fault::ExpiredToken | Fault::ClockSkew | Fault::Elsewhere => "denied",
        Fault::ReadOnly if writes => "denied",
        Fault::Full if writes => "lost",
        Fault::ResetBefore | Fault::ResetAfter | Fault::CloseBefore | Fault::CloseAfter => "lost",
        Fault::HangBefore | Fault::HangAfter => "lost",
        Fault::Delay { .. } => "done",
        Fault::Trickle if call == Read => "done",
        Fault::ResetInBody | Fault::CloseInBody if call == Read => "lost",
        Fault::Truncated | Fault::FlippedDown | Fault::WrongChecksum if call == Read => "corrupt",
        Fault::FlippedUp if call == Write => "corrupt",
        Fault::WrongVersion if call == Read => "lost",
        Fault::Empty if matches!(call, List | Head | Read | Write | Parts) => "lost",
        Fault::ErrorIn200 if matches!(call, List | Read | Write | Parts) => "lost",
        Fault::Replaced if matches!(call, Read | Write | Parts | Delete) => "changed",
        Fault::Gone if call == Delete => "not found",
        Fault::Gone if call == Read => "not found",
        _ => return None,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_is_called_by_its_name() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for fault in Fault::ALL {
        let double = Double::start();
        let patience = match fault {
            Fault::HangBefore | Fault::HangAfter => Duration::from_millis(1_500),
            _ => Duration::from_secs(30),
        };
        let store = patient_for(&double.s3_endpoint(), patience).await;
        let calm = bucket(&double.s3_endpoint()).await;
        for call in CALLS {
            let Some(expected) = expected(fault, call) else { continue };
            if double.get("in", "new").is_some() {
                double.remove("in", "new");
            }
            double.put("in", "k", content());
            let mut version = calm.head("k").await.expect("it is there").version;
            if fault == Fault::WrongChecksum {
                // Of what was put without a checksum there is none to be wrong.
                let expect = Expect::Version(version);
                let content = Content::Bytes(content().into());
                version = calm.write("k", &content, &About::default(), &expect).await.expect("written");
            }
            double.script(vec![fault.on(call.operation())]);
            let outcome = call.make(&store, &version).await;
            double.script(Vec::new());
            tried += 1;
            if word(&outcome) != expected {
                wrong.push(format!("{fault:?} to {call:?}: expected {expected}, got {outcome:?}"));
            }
            if matches!(outcome, Err(StoreError::Corrupt { .. })) {
                assert!(double.get("in", "new").is_none(), "{fault:?} to {call:?}: corrupt bytes are there");
            }
        }
    }
    assert!(tried > 150, "{tried} cases");
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn a_store_says_how_long_to_wait() {
    let double = Double::start();
    double.bucket("in");
    let store = bucket(&double.s3_endpoint()).await;
    for call in [List, Head, Write, Delete] {
        double.put("in", "k", "x");
        double.script(vec![Fault::SlowDown { retry_after: Some(7) }.on(call.operation())]);
        let outcome = call.make(&store, &Version("0".to_owned())).await;
        let Err(StoreError::Throttled { retry_after }) = outcome else { panic!("{call:?}: {outcome:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)), "{call:?}");
    }
}

#[tokio::test]
async fn an_upload_in_parts_that_fails_or_is_dropped_leaves_no_parts() {
    let double = Double::start();
    double.bucket("in");
    let store = bucket(&double.s3_endpoint()).await;
    let version = Version(String::new());
    for fault in [Fault::Internal.on(Operation::Part), Fault::Internal.on(Operation::Complete)] {
        double.script(vec![fault]);
        assert!(Parts.make(&store, &version).await.is_err());
    }
    double.script(vec![Fault::HangBefore.on(Operation::Part).always()]);
    let dropped = tokio::time::timeout(Duration::from_millis(300), Parts.make(&store, &version)).await;
    assert!(dropped.is_err());
    double.script(Vec::new());
    for _ in 0..200 {
        if double.unfinished().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((double.unfinished(), double.objects("in").len()), (Vec::new(), 0));
}

#[tokio::test]
async fn reading_goes_on_where_the_bytes_broke_off() {
    let double = Double::start();
    double.put("in", "k", content());
    let store: Arc<dyn Store> = Arc::new(bucket(&double.s3_endpoint()).await);
    let pace = Pace { tries: 3, first: Duration::from_millis(1), longest: Duration::from_millis(5) };
    let retry = Arc::new(Retry::new(pace));
    // Each try gives half of what is left, and breaks off.
    double.script(vec![Fault::ResetInBody.on(Operation::Read).first(5)]);
    let reading = retry.read(&store, "k", 0, None).await.expect("it is there");
    let bytes: Vec<Bytes> = reading.bytes.try_collect().await.expect("it goes on");
    assert!(bytes.concat() == content());
    let reads = double.asked().iter().filter(|asked| asked.operation == Operation::Read).count();
    assert_eq!(reads, 6);
    // What is another version meanwhile isn't mixed in.
    double.script(vec![Fault::ResetInBody.on(Operation::Read), Fault::Replaced.on(Operation::Read).nth(2)]);
    let reading = retry.read(&store, "k", 0, None).await.expect("it is there");
    let outcome: Result<Vec<Bytes>, _> = reading.bytes.try_collect().await;
    assert!(matches!(outcome, Err(StoreError::Changed { .. })), "{outcome:?}");
}

#[tokio::test]
async fn a_page_whose_token_is_refused_is_found_again() {
    let double = Double::start();
    for index in 0..1_500 {
        double.put("in", &format!("n{index:04}"), "x");
    }
    let store = bucket(&double.s3_endpoint()).await;
    let first = store.list("n", None).await.expect("it can be listed");
    double.script(vec![Fault::TokenRefused.on(Operation::List)]);
    let second = store.list("n", first.next.as_deref()).await.expect("it can be listed");
    assert_eq!(first.objects.len() + second.objects.len(), 1_500);
    assert_eq!(second.objects.first().map(|object| object.key.as_str()), Some("n1000"));
    assert_eq!(double.met().len(), 1);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_empty_one() {
    let double = Double::start();
    let store = bucket(&double.s3_endpoint()).await;
    let version = Version("0".to_owned());
    for call in [List, Read, Write, Parts] {
        let outcome = call.make(&store, &version).await;
        assert_eq!(word(&outcome), "denied", "{call:?}: {outcome:?}");
    }
    // Nobody listens.
    let store = bucket("http://127.0.0.1:9").await;
    for call in CALLS {
        let outcome = call.make(&store, &version).await;
        assert_eq!(word(&outcome), "lost", "{call:?}: {outcome:?}");
    }
}

#[test]
fn endpoint_region_and_credentials_come_from_the_profile() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let config = format!("[profile lab]\nregion = eu-north-1\nendpoint_url = http://{address}\n");
    let secrets = "[lab]\naws_access_key_id = LABKEY\naws_secret_access_key = secret\n".to_owned();
    let mut child = Command::new(std::env::current_exe().expect("a program knows where it is"));
    let this = module_path!().split_once("::").map_or("", |(_, module)| module);
    child.args(["--exact", &format!("{this}::lists_as_the_environment_says"), "--ignored"]);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        child.env_remove(name);
    }
    let mut child = child
        .env("AWS_PROFILE", "lab")
        .env("AWS_CONFIG_FILE", file("config", config))
        .env("AWS_SHARED_CREDENTIALS_FILE", file("credentials", secrets))
        .spawn()
        .expect("it starts");
    listener.set_nonblocking(true).expect("it can be asked");
    let mut connection = None;
    let asks = || {
        connection = listener.accept().ok();
        connection.is_some()
    };
    assert!(eventually(Duration::from_secs(60), asks), "it asks nobody");
    let (mut stream, _) = connection.expect("it asked");
    stream.set_nonblocking(false).expect("it can be waited for");
    let mut asked = Vec::new();
    while !asked.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut piece = [0; 4_096];
        let read = stream.read(&mut piece).expect("it sends its head");
        asked.extend_from_slice(&piece[..read]);
    }
    let refusal = "<Error><Code>AccessDenied</Code><Message>not you</Message></Error>";
    let answer = format!("HTTP/1.1 403 Forbidden\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len());
    stream.write_all(answer.as_bytes()).expect("sent");
    assert!(child.wait().expect("it ends").success());
    let asked = String::from_utf8(asked).expect("it is text");
    assert!(asked.starts_with("GET /bucket-x"), "{asked}");
    assert!(asked.contains("prefix=in%2F"), "{asked}");
    assert!(asked.contains("Credential=LABKEY/") && asked.contains("/eu-north-1/s3/"), "{asked}");
}

/// The other process of the test above.
#[tokio::test]
#[ignore = "needs the environment that another test gives it"]
async fn lists_as_the_environment_says() {
    let location: Location = "s3://bucket-x/in".parse().expect("it is a location");
    let store = location.open().await.expect("it opens");
    let refused = store.list(&location.prefix, None).await.expect_err("it is refused");
    assert!(matches!(refused, StoreError::Denied { .. }), "{refused}");
    assert!(refused.to_string().ends_with("AccessDenied: not you"), "{refused}");
}
