//! What is particular to a folder as a store: links, other programs, processes that end, and size.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use ampoule_functions::store::{About, Content, Expect, Local, Store, StoreError, Version};
use futures::TryStreamExt as _;

async fn put(store: &Local, key: &str, bytes: &'static str) -> Result<Version, StoreError> {
    store.write(key, &Content::Bytes(bytes.into()), &About::default(), &Expect::Nothing).await
}

async fn keys(store: &Local) -> Vec<String> {
    let page = store.list("", None).await.expect("it can be listed");
    page.objects.into_iter().map(|object| object.key).collect()
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[tokio::test]
async fn a_file_that_a_person_put_there_is_an_object() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::create_dir(folder.path().join("a")).expect("a folder can be made");
    std::fs::write(folder.path().join("a/x y%20+.png"), "bytes").expect("written");
    let store = Local::new(folder.path());
    assert_eq!(keys(&store).await, ["a/x y%20+.png"]);
    let head = store.head("a/x y%20+.png").await.expect("it is there");
    assert_eq!((head.bytes, head.about, head.sha256), (5, About::default(), None));
    // To look makes nothing.
    assert_eq!(files(folder.path()), 1);
    store.delete("a/x y%20+.png", &head.version).await.expect("it is that version");
    assert!(folder.path().join("a").is_dir());
}

#[tokio::test]
async fn nothing_is_read_written_or_deleted_through_a_link() {
    let outside = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(outside.path().join("secret"), "secret").expect("written");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let at = |name: &str| folder.path().join(name);
    symlink(outside.path().join("secret"), at("file")).expect("linked");
    symlink(outside.path(), at("folder")).expect("linked");
    symlink("nowhere", at("dangling")).expect("linked");
    let made = Command::new("mkfifo").arg(at("pipe")).status().expect("mkfifo is there");
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket can be made");
    std::fs::write(at("real"), "x").expect("written");
    let store = Local::new(folder.path());
    assert_eq!(keys(&store).await, ["real"]);
    let any = Version("0".to_owned());
    for key in ["file", "folder", "folder/secret", "folder/new", "dangling", "pipe", "socket", "real/x"] {
        assert!(matches!(store.head(key).await, Err(StoreError::NotFound { .. })), "{key}");
        assert!(
            matches!(store.read(key, 0, None).await.map(|_| ()), Err(StoreError::NotFound { .. })),
            "{key}"
        );
        assert!(matches!(store.delete(key, &any).await, Err(StoreError::NotFound { .. })), "{key}");
        assert!(matches!(store.tag(key, &any, "a", "b").await, Err(StoreError::NotFound { .. })), "{key}");
        let refused = put(&store, key, "mine").await;
        assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{key}: {refused:?}");
        let replace = Expect::Version(any.clone());
        let refused = store.write(key, &Content::Bytes("mine".into()), &About::default(), &replace).await;
        assert!(matches!(refused, Err(StoreError::Unsupported { .. })), "{key}: {refused:?}");
    }
    assert_eq!(std::fs::read_to_string(outside.path().join("secret")).expect("it is there"), "secret");
    assert_eq!(files(outside.path()), 1);
}

#[tokio::test]
async fn the_side_folder_may_be_no_link_either() {
    let outside = tempfile::tempdir().expect("a folder can be made");
    let folder = tempfile::tempdir().expect("a folder can be made");
    symlink(outside.path(), folder.path().join(".ampoule")).expect("linked");
    let store = Local::new(folder.path());
    assert!(put(&store, "k", "x").await.is_err());
    assert_eq!((files(outside.path()), files(folder.path())), (0, 1));
}

#[tokio::test]
async fn an_object_is_in_the_way_of_a_folder_and_the_other_way_round() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = Local::new(folder.path());
    put(&store, "a", "x").await.expect("written");
    put(&store, "b/c", "x").await.expect("written");
    for key in ["a/b", "a/", "b"] {
        let refused = put(&store, key, "y").await.expect_err("it can't be held");
        assert!(matches!(refused, StoreError::Unsupported { .. }), "{key}: {refused}");
        assert!(
            refused.to_string().starts_with(&format!("{key:?}: expected a free path, got ")),
            "{refused}"
        );
    }
    assert_eq!(keys(&store).await, ["a", "b/c"]);
}

#[tokio::test]
async fn a_file_that_another_program_changed_is_another_version_without_our_record() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = Local::new(folder.path());
    let about = About { content_type: Some("text/plain".to_owned()), ..About::default() };
    let content = Content::Bytes("mine".into());
    let mine = store.write("k", &content, &about, &Expect::Nothing).await.expect("written");
    store.tag("k", &mine, "ampoule", "done").await.expect("tagged");
    let reading = store.read("k", 0, Some(&mine)).await.expect("it is there");
    std::fs::write(folder.path().join("k"), "theirs, and longer").expect("written");
    let outcome: Result<Vec<bytes::Bytes>, _> = reading.bytes.try_collect().await;
    assert!(matches!(outcome, Err(StoreError::Changed { .. })), "{outcome:?}");
    let head = store.head("k").await.expect("it is there");
    assert_ne!(head.version, mine);
    assert_eq!((head.about, head.sha256), (About::default(), None));
    assert!(store.tags("k").await.expect("it is there").is_empty());
    assert!(matches!(store.delete("k", &mine).await, Err(StoreError::Changed { .. })));
}

#[tokio::test]
async fn bytes_that_turned_on_the_disk_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = Local::new(folder.path());
    let version = put(&store, "k", "right").await.expect("written");
    let path = folder.path().join("k");
    let time = path.metadata().and_then(|facts| facts.modified()).expect("a file has a time");
    std::fs::write(&path, "wrong").expect("written");
    let file = std::fs::File::options().write(true).open(&path).expect("it is there");
    file.set_modified(time).expect("a time can be set");
    let reading = store.read("k", 0, Some(&version)).await.expect("it looks the same");
    let outcome: Result<Vec<bytes::Bytes>, _> = reading.bytes.try_collect().await;
    assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
}

#[tokio::test]
async fn what_an_ended_process_left_half_written_is_swept() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let temporary = folder.path().join(".ampoule/temporary");
    std::fs::create_dir_all(&temporary).expect("a folder can be made");
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(600);
    let make = |name: &str| {
        let file = std::fs::File::create(temporary.join(name)).expect("a file can be made");
        file.set_modified(old).expect("a time can be set");
        file
    };
    drop(make("left"));
    let held = make("held");
    held.lock().expect("it can be locked");
    put(&Local::new(folder.path()), "k", "x").await.expect("written");
    let names: Vec<_> = std::fs::read_dir(&temporary)
        .expect("it is there")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(names, ["held"]);
    assert_eq!(keys(&Local::new(folder.path())).await, ["k"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_made_by_a_write_and_refused_by_a_listing() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let store = Local::new(folder.path().join("a/b"));
    assert!(matches!(store.list("", None).await, Err(StoreError::Denied { .. })));
    assert!(matches!(store.head("k").await, Err(StoreError::NotFound { .. })));
    put(&store, "k", "x").await.expect("written");
    assert_eq!(keys(&store).await, ["k"]);
}

#[tokio::test]
async fn a_folder_of_100_000_files_is_listed_in_order() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::create_dir(folder.path().join("in")).expect("a folder can be made");
    let mut expected: Vec<String> = (0..100_000).map(|index| format!("in/{index}.png")).collect();
    for key in &expected {
        std::fs::File::create(folder.path().join(key)).expect("a file can be made");
    }
    expected.sort();
    let store = Local::new(folder.path());
    let (mut found, mut page) = (Vec::new(), None);
    loop {
        let listed = store.list("in/", page.as_deref()).await.expect("it can be listed");
        assert!(listed.objects.len() <= 1_000);
        found.extend(listed.objects.into_iter().map(|object| object.key));
        page = listed.next;
        if page.is_none() {
            break;
        }
    }
    assert!(found == expected, "{} of {} keys", found.len(), expected.len());
}
