//! What `functions/src/store.rs` promises, checked on every store: a folder, S3 as SeaweedFS, moto and
//! the tests' own double speak it, and Cloud Storage as the double does.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;

use ampoule_functions::store::retry::Retry;
use ampoule_functions::store::{
    About, Content, Expect, Gcs, GcsSettings, KeyPair, Local, Object, S3, S3Settings, Store, StoreError,
    Version,
};
use ampoule_tests::double::Double;
use ampoule_tests::servers::ObjectServer;
use bytes::Bytes;
use futures::TryStreamExt as _;

use ampoule_tests::client::{client, make_bucket};

mod keys;

/// A store under test, empty at the begin of each check.
#[derive(Clone)]
struct Subject {
    store: Arc<dyn Store>,
    habits: Habits,
}

/// What a server does in its own way. A check holds it to that, too.
#[derive(Clone, Copy)]
struct Habits {
    /// Whether a key is a path: none leads through an object.
    is_path: bool,
    /// Whether there are folders in a bucket: a listing follows them, `a/` is there when `a/b` is, and
    /// `a` has tags, none of course.
    keeps_folders: bool,
    /// Whether of uploads in parts that end at once exactly one creates.
    races_parts: bool,
    /// Whether an upload in parts replaces only the version that it names.
    matches_parts: bool,
    /// The keys that it refuses, or makes into others.
    loses: fn(&str) -> bool,
}

type Check = (&'static str, fn(Subject) -> Pin<Box<dyn Future<Output = ()> + Send>>);

macro_rules! checks {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), |subject| Box::pin($name(subject)))),*] };
}

const CHECKS: &[Check] = checks![
    an_object_comes_back_as_it_was_written,
    an_empty_object_is_an_object,
    large_content_goes_in_parts,
    of_sixteen_writers_exactly_one_creates,
    a_replacement_names_what_it_replaces,
    a_deletion_names_what_it_deletes,
    a_read_of_a_version_gives_no_other,
    a_read_begins_where_it_is_told,
    a_tag_leaves_the_others,
    what_is_not_there_is_not_found,
    a_listing_goes_page_by_page,
    a_prefix_is_the_begin_of_a_key,
    every_odd_key_comes_back_or_is_refused,
];

async fn check(store: Arc<dyn Store>, habits: Habits) {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        empty(&*store).await;
        let subject = Subject { store: Arc::clone(&store), habits };
        if tokio::spawn(check(subject)).await.is_err() {
            failed.push(*name);
        }
    }
    assert!(
        failed.is_empty(),
        "{}: {} of {} checks failed: {failed:?}",
        store.name(),
        failed.len(),
        CHECKS.len()
    );
}

async fn empty(store: &dyn Store) {
    for object in all(store, "").await {
        store.delete(&object.key, &object.version).await.expect("it was listed");
    }
}

const EXACT: Habits =
    Habits { is_path: false, keeps_folders: false, races_parts: true, matches_parts: true, loses: is_blank };

/// What the AWS SDK doesn't send.
fn is_blank(key: &str) -> bool {
    key.trim().is_empty()
}

/// What Cloud Storage has no name for.
fn is_no_name(key: &str) -> bool {
    matches!(key, "." | "..") || key.contains(['\r', '\n'])
}

/// What moto 5.2.5 finds no route for.
fn has_line_feed(key: &str) -> bool {
    key.contains('\n') || is_blank(key)
}

/// What SeaweedFS 4.48, whose buckets are folders, refuses, or makes into another path.
fn is_no_path(key: &str) -> bool {
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..") || segment.len() > 255;
    is_blank(key) || key.contains(['\\', '\0']) || key.split('/').any(is_odd) || key == ".uploads"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_a_store() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = Local::new(folder.path().join("store"));
    std::fs::create_dir(folder.path().join("store")).expect("a folder can be made");
    check(Arc::new(store), Habits { is_path: true, loses: |_| false, ..EXACT }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_the_double_is_a_store() {
    let double = Double::start();
    double.bucket("contract");
    check(Arc::new(bucket(&double.s3_endpoint()).await), EXACT).await;
    assert_eq!(double.unfinished(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_cloud_storage_is_a_store() {
    let double = Double::start();
    double.bucket("contract");
    let settings = GcsSettings { endpoint: Some(double.gcs_endpoint()), ..GcsSettings::default() };
    let store = Gcs::connect("contract", settings).await.expect("there is nothing to refuse");
    check(Arc::new(store), Habits { loses: is_no_name, ..EXACT }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_moto_is_a_store() {
    let Some(server) = ObjectServer::moto() else { return };
    make_bucket(&client(&server.endpoint), "contract").await;
    let habits = Habits { races_parts: false, matches_parts: false, loses: has_line_feed, ..EXACT };
    check(Arc::new(bucket(&server.endpoint).await), habits).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_of_seaweedfs_is_a_store() {
    let Some(server) = ObjectServer::seaweedfs() else { return };
    make_bucket(&client(&server.endpoint), "contract").await;
    let habits = Habits { keeps_folders: true, races_parts: false, loses: is_no_path, ..EXACT };
    check(Arc::new(bucket(&server.endpoint).await), habits).await;
}

fn settings(endpoint: &str) -> S3Settings {
    S3Settings {
        endpoint: Some(endpoint.to_owned()),
        key_pair: Some(KeyPair { id: "any".to_owned(), secret: "any".to_owned() }),
        whole_bytes: 5 << 20,
        part_bytes: 5 << 20,
        ..S3Settings::default()
    }
}

async fn bucket(endpoint: &str) -> S3 {
    S3::connect("contract", settings(endpoint)).await
}

/// Every object whose key begins with `prefix`.
async fn all(store: &dyn Store, prefix: &str) -> Vec<Object> {
    let (mut objects, mut page) = (Vec::new(), None);
    loop {
        let listed = Retry::default().run(|| store.list(prefix, page.as_deref())).await;
        let listed = listed.expect("it can be listed");
        objects.extend(listed.objects);
        page = listed.next;
        if page.is_none() {
            return objects;
        }
    }
}

/// Creates an object; where the answer was lost, which servers do now and then, it looks.
async fn create(store: &dyn Store, key: &str, bytes: impl Into<Bytes>) -> Result<Version, StoreError> {
    let content = Content::Bytes(bytes.into());
    loop {
        match store.write(key, &content, &About::default(), &Expect::Nothing).await {
            Err(StoreError::Lost { cause }) => {
                eprintln!("{}: {cause}", store.name());
                let Ok(head) = store.head(key).await else { continue };
                let read = get(store, key, 0, Some(&head.version)).await?;
                let is_ours = matches!(&content, Content::Bytes(bytes) if read == *bytes);
                return if is_ours {
                    Ok(head.version)
                } else {
                    Err(StoreError::Changed { key: key.to_owned() })
                };
            }
            outcome => return outcome,
        }
    }
}

async fn get(
    store: &dyn Store,
    key: &str,
    start: u64,
    version: Option<&Version>,
) -> Result<Vec<u8>, StoreError> {
    let read = || async move {
        let reading = store.read(key, start, version).await?;
        let pieces: Vec<Bytes> = reading.bytes.try_collect().await?;
        Ok(pieces.concat())
    };
    Retry::default().run(read).await
}

fn sha256(bytes: &[u8]) -> String {
    ampoule_host::sha256_hex(bytes)
}

/// Bytes that don't repeat, the same every time.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(bytes)
    .collect()
}

async fn an_object_comes_back_as_it_was_written(Subject { store, .. }: Subject) {
    let about = About {
        content_type: Some("image/png".to_owned()),
        metadata: [("input", "a b+c%2F \"q\""), ("model-digest", "00ff"), ("empty-not", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    };
    let bytes = noise(100_000, 1);
    let content = Content::Bytes(bytes.clone().into());
    let version = store.write("a/b.png", &content, &about, &Expect::Nothing).await.expect("written");
    let head = store.head("a/b.png").await.expect("it is there");
    assert_eq!((head.key.as_str(), &head.version, head.bytes), ("a/b.png", &version, 100_000));
    assert_eq!(head.about, about);
    assert_eq!(head.sha256, Some(sha256(&bytes)));
    assert!(head.modified.is_some());
    let reading = store.read("a/b.png", 0, None).await.expect("it is there");
    assert_eq!((&reading.object.about, &reading.object.version), (&about, &version));
    assert_eq!(get(&*store, "a/b.png", 0, Some(&version)).await.expect("read"), bytes);
    let listed = all(&*store, "").await;
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].key.as_str(), &listed[0].version, listed[0].bytes), ("a/b.png", &version, 100_000));
    assert_eq!(
        listed[0].modified.map(|time| time.duration_since(head.modified.expect("a time")).is_ok()),
        Some(true)
    );
}

async fn an_empty_object_is_an_object(Subject { store, .. }: Subject) {
    let version = create(&*store, "empty", Bytes::new()).await.expect("written");
    assert_eq!(store.head("empty").await.expect("it is there").bytes, 0);
    assert_eq!(get(&*store, "empty", 0, Some(&version)).await.expect("read"), b"");
    assert!(matches!(create(&*store, "empty", "x").await, Err(StoreError::Changed { .. })));
    assert_eq!(all(&*store, "").await.len(), 1);
}

async fn large_content_goes_in_parts(Subject { store, habits }: Subject) {
    let bytes = noise((20 << 20) + 17, 2);
    let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
    file.write_all(&bytes).expect("written");
    let about = About {
        content_type: Some("text/csv".to_owned()),
        metadata: BTreeMap::from([("rows".to_owned(), "7".to_owned())]),
    };
    for (key, content) in
        [("file", Content::File(file.path().into())), ("bytes", Content::Bytes(bytes.clone().into()))]
    {
        let version = store.write(key, &content, &about, &Expect::Nothing).await.expect("written");
        let head = store.head(key).await.expect("it is there");
        assert_eq!((head.bytes, &head.version, &head.about), (bytes.len() as u64, &version, &about));
        assert!(get(&*store, key, 0, Some(&version)).await.expect("read") == bytes, "{key}: other bytes");
        let again = store.write(key, &content, &about, &Expect::Nothing).await;
        assert!(matches!(again, Err(StoreError::Changed { .. })), "{key}: {again:?}");
        let other = Content::Bytes(noise(11 << 20, 3).into());
        let stale = Expect::Version(Version(version.0.replace(|letter: char| letter.is_ascii_digit(), "0")));
        let version = match store.write(key, &other, &about, &stale).await {
            Err(StoreError::Changed { .. }) if habits.matches_parts => version,
            Ok(version) if !habits.matches_parts => version,
            outcome => panic!("{key}: {outcome:?}"),
        };
        let replaced = store.write(key, &other, &about, &Expect::Version(version)).await.expect("replaced");
        let head = store.head(key).await.expect("it is there");
        assert_eq!((head.bytes, head.version), (11 << 20, replaced));
    }
}

async fn of_sixteen_writers_exactly_one_creates(Subject { store, habits }: Subject) {
    for (key, bytes) in [("small", 1_000), ("parts", 6 << 20)] {
        let writers: Vec<_> = (0..16u64)
            .map(|writer| {
                let store = Arc::clone(&store);
                tokio::spawn(async move { create(&*store, key, noise(bytes, writer)).await })
            })
            .collect();
        let mut winners = Vec::new();
        for (writer, outcome) in writers.into_iter().enumerate() {
            match outcome.await.expect("it ends") {
                Ok(version) => winners.push((writer as u64, version)),
                Err(StoreError::Changed { .. } | StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{key}: writer {writer}: {error}"),
            }
        }
        if key == "small" || habits.races_parts {
            assert_eq!(winners.len(), 1, "{key}: {winners:?}");
        }
        // Where several could win, it is whole all the same.
        let read = get(&*store, key, 0, None).await.expect("read");
        assert!(winners.iter().any(|(winner, _)| read == noise(bytes, *winner)), "{key}: torn");
    }
}

async fn a_replacement_names_what_it_replaces(Subject { store, .. }: Subject) {
    let about = About { content_type: Some("text/plain".to_owned()), ..About::default() };
    let replace = |bytes: &'static str, version: &Version| {
        let (store, about, expect) = (Arc::clone(&store), about.clone(), Expect::Version(version.clone()));
        async move { store.write("k", &Content::Bytes(bytes.into()), &about, &expect).await }
    };
    let first = create(&*store, "k", "first").await.expect("written");
    let second = replace("second", &first).await.expect("it is the first");
    assert_ne!(first, second);
    let stale = replace("third", &first).await;
    assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
    assert_eq!(get(&*store, "k", 0, None).await.expect("read"), b"second");
    assert_eq!(store.head("k").await.expect("it is there").about, about);
    store.delete("k", &second).await.expect("it is the second");
    let gone = replace("fourth", &second).await;
    assert!(matches!(gone, Err(StoreError::Changed { .. })), "{gone:?}");
    assert!(matches!(store.head("k").await, Err(StoreError::NotFound { .. })));
}

async fn a_deletion_names_what_it_deletes(Subject { store, .. }: Subject) {
    let first = create(&*store, "k", "first").await.expect("written");
    create(&*store, "k2", "first").await.expect("written");
    let content = Content::Bytes("second".into());
    let second = store.write("k", &content, &About::default(), &Expect::Version(first.clone())).await;
    let second = second.expect("it is the first");
    let stale = store.delete("k", &first).await;
    assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
    assert_eq!(get(&*store, "k", 0, None).await.expect("read"), b"second");
    store.delete("k", &second).await.expect("it is the second");
    assert!(matches!(store.head("k").await, Err(StoreError::NotFound { .. })));
    let gone = store.delete("k", &second).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
    assert_eq!(get(&*store, "k2", 0, None).await.expect("read"), b"first");
    create(&*store, "k", "third").await.expect("the key is free");
}

async fn a_read_of_a_version_gives_no_other(Subject { store, .. }: Subject) {
    let first = create(&*store, "k", "first").await.expect("written");
    let content = Content::Bytes("other".into());
    let second = store.write("k", &content, &About::default(), &Expect::Version(first.clone())).await;
    let second = second.expect("it is the first");
    for start in [0, 2, 5] {
        let stale = store.read("k", start, Some(&first)).await.map(|_| ());
        assert!(matches!(stale, Err(StoreError::Changed { .. })), "from {start}: {stale:?}");
    }
    assert_eq!(get(&*store, "k", 0, Some(&second)).await.expect("read"), b"other");
}

async fn a_read_begins_where_it_is_told(Subject { store, .. }: Subject) {
    let bytes = noise(3 << 20, 4);
    let version = create(&*store, "k", bytes.clone()).await.expect("written");
    for start in [0, 1, 4_095, 1 << 20, (3 << 20) - 1, 3 << 20, 4 << 20] {
        for version in [None, Some(&version)] {
            let reading = store.read("k", start, version).await.expect("read");
            assert_eq!(reading.object.bytes, 3 << 20, "from {start}");
            let read = get(&*store, "k", start, version).await.expect("read");
            let expected = bytes.get(usize::try_from(start).expect("it fits")..).unwrap_or_default();
            assert!(read == expected, "from {start}: {} bytes", read.len());
        }
    }
}

async fn a_tag_leaves_the_others(Subject { store, .. }: Subject) {
    let version = create(&*store, "k", "x").await.expect("written");
    assert_eq!(store.tags("k").await.expect("it is there"), BTreeMap::new());
    for (name, value) in [("team", "sea ice"), ("ampoule", "done"), ("team", "clouds+more=1")] {
        store.tag("k", &version, name, value).await.expect("tagged");
    }
    let expected = BTreeMap::from(
        [("ampoule", "done"), ("team", "clouds+more=1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!(store.tags("k").await.expect("it is there"), expected);
    let head = store.head("k").await.expect("it is there");
    assert_eq!((head.version, head.bytes), (version.clone(), 1));
    let content = Content::Bytes("y".into());
    let second = store.write("k", &content, &About::default(), &Expect::Version(version.clone())).await;
    let stale = store.tag("k", &version, "ampoule", "done").await;
    assert!(matches!(stale, Err(StoreError::Changed { .. })), "{stale:?}");
    assert_eq!(store.tags("k").await.expect("it is there"), BTreeMap::new());
    store.tag("k", &second.expect("it is the first"), "a", "b").await.expect("tagged");
}

async fn what_is_not_there_is_not_found(Subject { store, habits }: Subject) {
    create(&*store, "a/b", "x").await.expect("written");
    let version = Version("0-0-0.000000000".to_owned());
    for key in ["none", "a", "a/", "a/b/c", "a/bc", "A/B"] {
        let outcomes = [
            store.head(key).await.map(|_| ()),
            store.read(key, 0, None).await.map(|_| ()),
            store.read(key, 0, Some(&version)).await.map(|_| ()),
            store.read(key, 7, None).await.map(|_| ()),
            store.tags(key).await.map(|_| ()),
            store.tag(key, &version, "a", "b").await,
            store.delete(key, &version).await,
        ];
        for (index, outcome) in outcomes.into_iter().enumerate() {
            if habits.keeps_folders && (key == "a/" || key == "a" && index == 4) {
                continue;
            }
            assert!(matches!(outcome, Err(StoreError::NotFound { .. })), "{key}, call {index}: {outcome:?}");
        }
    }
    assert_eq!(all(&*store, "").await.len(), 1);
    assert_eq!(all(&*store, "b").await, []);
}

async fn a_listing_goes_page_by_page(Subject { store, .. }: Subject) {
    const OBJECTS: usize = 1_050;
    let mut expected: Vec<String> = (0..OBJECTS)
        .map(|index| match index % 3 {
            0 => format!("d{}/n{index}", index % 7),
            1 => format!("n{index}"),
            _ => format!("n{}.x/n{index}", index % 5),
        })
        .collect();
    let mut writers = tokio::task::JoinSet::new();
    for keys in expected.chunks(OBJECTS.div_ceil(16)) {
        let (store, keys) = (Arc::clone(&store), keys.to_vec());
        writers.spawn(async move {
            for key in keys {
                create(&*store, &key, key.clone()).await.expect("written");
            }
        });
    }
    writers.join_all().await;
    expected.sort();
    let (mut found, mut pages, mut page) = (Vec::new(), 0, None);
    loop {
        let listed = store.list("", page.as_deref()).await.expect("it can be listed");
        for object in listed.objects {
            assert_eq!(object.bytes, object.key.len() as u64);
            found.push(object.key);
        }
        (pages, page) = (pages + 1, listed.next);
        if page.is_none() {
            break;
        }
    }
    assert!(pages > 1, "{pages} page");
    assert!(
        found == expected,
        "{} of {} objects, {:?}",
        found.len(),
        expected.len(),
        found.iter().zip(&expected).find(|(a, b)| a != b)
    );
    let some = all(&*store, "d3/n1").await;
    assert_eq!(some.len(), expected.iter().filter(|key| key.starts_with("d3/n1")).count());
}

async fn a_prefix_is_the_begin_of_a_key(Subject { store, habits }: Subject) {
    let keys = ["a-b", "a.b/x", "a/b", "a/bc", "a/b d/e", "a0", "b/a", "ü/1", "ü/2"];
    for key in keys {
        create(&*store, key, "x").await.expect("written");
    }
    let mut sorted = keys.map(str::to_owned).to_vec();
    sorted.sort();
    for prefix in ["", "a", "a/", "a/b", "a/b ", "a/b d/", "a/b d/e", "a/b d/ef", "b", "c", "ü", "ü/"] {
        let mut found: Vec<String> =
            all(&*store, prefix).await.into_iter().map(|object| object.key).collect();
        if habits.keeps_folders {
            found.sort();
        }
        let expected: Vec<String> = sorted.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        assert_eq!(found, expected, "{prefix:?}");
    }
}

async fn every_odd_key_comes_back_or_is_refused(Subject { store, habits }: Subject) {
    let keys = keys::odd();
    assert!(keys.len() >= 290, "{} keys", keys.len());
    let (mut held, mut lost) = (BTreeMap::new(), BTreeMap::new());
    for key in &keys {
        match create(&*store, key, key.clone()).await {
            Ok(version) => drop(held.insert(key.clone(), version)),
            Err(error) => drop(lost.insert(key.clone(), error.to_string())),
        }
    }
    // What was written is there under its own key and with its own bytes, and nothing else is there.
    let listed: BTreeSet<String> = all(&*store, "").await.into_iter().map(|object| object.key).collect();
    for (key, version) in &held {
        let read = get(&*store, key, 0, Some(version)).await;
        if !read.as_ref().is_ok_and(|bytes| bytes == key.as_bytes()) {
            lost.insert(key.clone(), format!("read {read:?}"));
        } else if !listed.contains(key) {
            lost.insert(key.clone(), "not listed".to_owned());
        }
    }
    let strays: Vec<_> = listed.iter().filter(|key| !held.contains_key(*key)).collect();
    let rewritten = held.keys().filter(|key| (habits.loses)(key)).count();
    assert!(strays.len() <= rewritten, "{strays:?} were never written");
    let in_the_way = |key: &str| {
        let leads = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with('/'));
        habits.is_path && held.keys().any(|other| leads(other, key) || leads(key, other))
    };
    let expected = |key: &str| (habits.loses)(key) || !held.contains_key(key) && in_the_way(key);
    let surprising: Vec<_> = keys.iter().filter(|key| lost.contains_key(*key) != expected(key)).collect();
    for key in &surprising {
        eprintln!("{}: {key:?}: {:?}", store.name(), lost.get(*key));
    }
    eprintln!("{}: {} of {} odd keys come back", store.name(), keys.len() - lost.len(), keys.len());
    assert!(surprising.is_empty(), "{} keys are not held as expected", surprising.len());
    for (key, version) in held.iter().filter(|(key, _)| !lost.contains_key(*key)) {
        store.delete(key, version).await.unwrap_or_else(|error| panic!("{key:?}: {error}"));
        assert!(matches!(store.head(key).await, Err(StoreError::NotFound { .. })), "{key:?}");
    }
    // What was in another's way is held in a store of its own.
    for key in lost.keys().filter(|key| habits.is_path && !(habits.loses)(key)) {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let alone = Local::new(folder.path());
        create(&alone, key, key.clone()).await.expect("its way is free");
        assert_eq!(get(&alone, key, 0, None).await.expect("read"), key.as_bytes());
        let listed: Vec<String> = all(&alone, "").await.into_iter().map(|object| object.key).collect();
        assert_eq!(listed, std::slice::from_ref(key));
    }
}
