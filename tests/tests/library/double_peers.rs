//! That the double's S3 half answers as other servers do, so that no test rests on a mistake of its
//! own: the same requests to the double, SeaweedFS and moto, answer by answer.

use ampoule_tests::client::{client, make_bucket};
use ampoule_tests::double::Double;
use ampoule_tests::servers::ObjectServer;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Tag, Tagging};

/// What the double says, and what a peer says where that is something else: SeaweedFS 4.48 lists folders
/// before files and calls a missing object's condition unmet; moto 5.2.5 checks no checksums and fails on
/// an upload that it doesn't know.
struct Expected {
    step: &'static str,
    double: &'static str,
    seaweedfs: Option<&'static str>,
    moto: Option<&'static str>,
}

const fn all(step: &'static str, answer: &'static str) -> Expected {
    Expected { step, double: answer, seaweedfs: None, moto: None }
}

impl Expected {
    const fn seaweedfs(mut self, answer: &'static str) -> Self {
        self.seaweedfs = Some(answer);
        self
    }

    const fn moto(mut self, answer: &'static str) -> Self {
        self.moto = Some(answer);
        self
    }
}

const EXPECTED: &[Expected] = &[
    all("create where nothing is", "ok"),
    all("create where something is", "PreconditionFailed"),
    all("replace the version that is there", "ok"),
    all("replace a version that isn't there", "PreconditionFailed"),
    all("replace where nothing is", "NoSuchKey").seaweedfs("PreconditionFailed"),
    all("write with a wrong sha256", "BadDigest").moto("ok"),
    all("write with a wrong md5", "BadDigest").moto("ok"),
    all("the version after it all", "same").moto("another"),
    all("read the version that is there", "second"),
    all("read a version that isn't there", "PreconditionFailed"),
    all("read from the middle", "cond"),
    all("read the end of a longer range", "nd"),
    all("read behind the end", "InvalidRange"),
    all("read what isn't there", "NoSuchKey"),
    all("look at what isn't there", "NotFound"),
    all("look at a version that isn't there", "412"),
    all("metadata", "x=1 text/plain"),
    all("delete a version that isn't there", "PreconditionFailed"),
    all("delete the version that is there", "ok"),
    all("delete it again", "NoSuchKey").seaweedfs("PreconditionFailed"),
    all("delete what isn't there, whatever it is", "ok"),
    all("tags of what has none", ""),
    all("tags", "a=1 b=2"),
    all("tags after other tags", "c=3"),
    all("tags of what isn't there", "NoSuchKey"),
    all("list", "a b,a+b,a/b,b,é").seaweedfs("a/b,a b,a+b,b,é"),
    all("list two of them", "a b,a+b more").seaweedfs("a/b,a b more"),
    all("list the next", "a/b,b more").seaweedfs("a+b,b more"),
    all("list a prefix", "a/b"),
    all("list a bucket that isn't there", "NoSuchBucket"),
    all("complete parts where nothing is", "ok"),
    all("complete parts where something is", "PreconditionFailed"),
    all("complete parts that are too small", "EntityTooSmall"),
    all("complete an upload that isn't there", "NoSuchUpload").moto("500"),
    all("the ETag of parts", "-2"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_double_answers_as_expected() {
    let double = Double::start();
    compare(&double.s3_endpoint(), |expected| expected.double).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seaweedfs_answers_as_the_double_does() {
    let Some(server) = ObjectServer::seaweedfs() else { return };
    compare(&server.endpoint, |expected| expected.seaweedfs.unwrap_or(expected.double)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moto_answers_as_the_double_does() {
    let Some(server) = ObjectServer::moto() else { return };
    compare(&server.endpoint, |expected| expected.moto.unwrap_or(expected.double)).await;
}

async fn compare(endpoint: &str, expected: impl Fn(&Expected) -> &'static str) {
    let s3 = client(endpoint);
    make_bucket(&s3, "peers").await;
    let mut answers = Vec::new();
    conditions(&s3, &mut answers).await;
    reads(&s3, &mut answers).await;
    tags(&s3, &mut answers).await;
    listings(&s3, &mut answers).await;
    parts(&s3, &mut answers).await;
    let steps: Vec<&str> = answers.iter().map(|(step, _)| *step).collect();
    let listed: Vec<&str> = EXPECTED.iter().map(|expected| expected.step).collect();
    assert_eq!(steps, listed);
    let wrong: Vec<String> = answers
        .iter()
        .zip(EXPECTED)
        .filter(|((_, answer), row)| answer != expected(row))
        .map(|((step, answer), row)| format!("{step}: expected {:?}, got {answer:?}", expected(row)))
        .collect();
    assert!(wrong.is_empty(), "{endpoint}\n{}", wrong.join("\n"));
}

type Answers = Vec<(&'static str, String)>;

async fn conditions(s3: &Client, answers: &mut Answers) {
    let mut say = |step, answer| answers.push((step, answer));
    let put = |key: &str, bytes: &'static str| {
        s3.put_object().bucket("peers").key(key).body(ByteStream::from_static(bytes.as_bytes()))
    };
    say("create where nothing is", code(put("k", "first").if_none_match("*").send().await));
    say("create where something is", code(put("k", "other").if_none_match("*").send().await));
    let first = etag(s3, "k").await;
    say("replace the version that is there", code(put("k", "second").if_match(&first).send().await));
    say("replace a version that isn't there", code(put("k", "third").if_match(&first).send().await));
    say("replace where nothing is", code(put("none", "x").if_match(&first).send().await));
    let wrong = put("k", "third").checksum_sha256("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
    let before = etag(s3, "k").await;
    say("write with a wrong sha256", code(wrong.send().await));
    let wrong = put("k", "third").content_md5("1B2M2Y8AsgTpgAmY7PhCfg==");
    say("write with a wrong md5", code(wrong.send().await));
    let after = etag(s3, "k").await;
    say("the version after it all", if before == after { "same" } else { "another" }.to_owned());
    put("k", "second").send().await.expect("it can be written");
}

async fn reads(s3: &Client, answers: &mut Answers) {
    let mut say = |step, answer| answers.push((step, answer));
    let get = |key: &str| s3.get_object().bucket("peers").key(key);
    let text =
        async |request: aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder| match request
            .send()
            .await
        {
            Ok(answer) => {
                let bytes = answer.body.collect().await.expect("a body").into_bytes();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            Err(error) => code::<(), _>(Err(error)),
        };
    let here = etag(s3, "k").await;
    let stale = "\"5d41402abc4b2a76b9719d911017c592\"";
    say("read the version that is there", text(get("k").if_match(&here)).await);
    say("read a version that isn't there", text(get("k").if_match(stale)).await);
    say("read from the middle", text(get("k").range("bytes=2-")).await);
    say("read the end of a longer range", text(get("k").range("bytes=4-99")).await);
    say("read behind the end", text(get("k").range("bytes=6-")).await);
    say("read what isn't there", text(get("none")).await);
    let head = |key: &str| s3.head_object().bucket("peers").key(key);
    say("look at what isn't there", code(head("none").send().await));
    say("look at a version that isn't there", code(head("k").if_match(stale).send().await));
    let put = s3.put_object().bucket("peers").key("about").metadata("x", "1").content_type("text/plain");
    put.body(ByteStream::from_static(b"x")).send().await.expect("it can be written");
    let about = head("about").send().await.expect("it is there");
    let metadata: Vec<String> =
        about.metadata().into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
    let kind = about.content_type().unwrap_or_default();
    say("metadata", format!("{} {kind}", metadata.join(" ")));
    let delete = |key: &str| s3.delete_object().bucket("peers").key(key);
    say("delete a version that isn't there", code(delete("k").if_match(stale).send().await));
    say("delete the version that is there", code(delete("k").if_match(&here).send().await));
    say("delete it again", code(delete("k").if_match(&here).send().await));
    say("delete what isn't there, whatever it is", code(delete("k").send().await));
}

async fn tags(s3: &Client, answers: &mut Answers) {
    let mut say = |step, answer| answers.push((step, answer));
    let put = s3.put_object().bucket("peers").key("tagged").body(ByteStream::from_static(b"x"));
    put.send().await.expect("it can be written");
    let get = async |key: &str| match s3.get_object_tagging().bucket("peers").key(key).send().await {
        Ok(answer) => {
            let mut tags: Vec<String> =
                answer.tag_set().iter().map(|tag| format!("{}={}", tag.key(), tag.value())).collect();
            tags.sort();
            tags.join(" ")
        }
        Err(error) => code::<(), _>(Err(error)),
    };
    let set = async |tags: &[(&str, &str)]| {
        let tags = tags.iter().map(|(name, value)| Tag::builder().key(*name).value(*value).build());
        let tags: Result<Vec<Tag>, _> = tags.collect();
        let tagging = Tagging::builder().set_tag_set(tags.ok()).build().expect("tags");
        let set = s3.put_object_tagging().bucket("peers").key("tagged").tagging(tagging);
        set.send().await.expect("they can be set");
    };
    say("tags of what has none", get("tagged").await);
    set(&[("a", "1"), ("b", "2")]).await;
    say("tags", get("tagged").await);
    set(&[("c", "3")]).await;
    say("tags after other tags", get("tagged").await);
    say("tags of what isn't there", get("none").await);
}

async fn listings(s3: &Client, answers: &mut Answers) {
    let mut say = |step, answer| answers.push((step, answer));
    for key in ["about", "tagged"] {
        s3.delete_object().bucket("peers").key(key).send().await.expect("it can be deleted");
    }
    for key in ["b", "a b", "é", "a/b", "a+b"] {
        let put = s3.put_object().bucket("peers").key(key).body(ByteStream::from_static(b"x"));
        put.send().await.expect("it can be written");
    }
    let list = || s3.list_objects_v2().bucket("peers");
    let told = |answer: &aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output| {
        let keys: Vec<&str> = answer.contents().iter().filter_map(|object| object.key()).collect();
        format!("{}{}", keys.join(","), if answer.is_truncated() == Some(true) { " more" } else { "" })
    };
    say("list", told(&list().send().await.expect("a listing")));
    let two = list().max_keys(2).send().await.expect("a listing");
    say("list two of them", told(&two));
    let token = two.next_continuation_token().expect("there is more");
    let next = list().max_keys(2).continuation_token(token).send().await.expect("a listing");
    say("list the next", told(&next));
    say("list a prefix", told(&list().prefix("a/").send().await.expect("a listing")));
    say("list a bucket that isn't there", code(s3.list_objects_v2().bucket("nowhere").send().await));
}

async fn parts(s3: &Client, answers: &mut Answers) {
    let mut say = |step, answer| answers.push((step, answer));
    let upload = async |key: &str, sizes: &[usize]| {
        let begun = s3.create_multipart_upload().bucket("peers").key(key).send().await.expect("it begins");
        let mut done = CompletedMultipartUpload::builder();
        for (number, size) in (1..).zip(sizes) {
            let part = s3.upload_part().bucket("peers").key(key).set_upload_id(begun.upload_id.clone());
            let part = part.part_number(number).body(ByteStream::from(vec![7; *size]));
            let part = part.send().await.expect("a part");
            done = done.parts(CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build());
        }
        let complete = s3.complete_multipart_upload().bucket("peers").key(key);
        let complete = complete.set_upload_id(begun.upload_id).if_none_match("*");
        complete.multipart_upload(done.build()).send().await
    };
    let made = upload("parts", &[5 << 20, 9]).await;
    let made_etag = made.as_ref().ok().and_then(|made| made.e_tag()).unwrap_or_default().to_owned();
    say("complete parts where nothing is", code(made));
    say("complete parts where something is", code(upload("parts", &[5 << 20, 9]).await));
    say("complete parts that are too small", code(upload("small", &[9, 9]).await));
    let unknown = s3.complete_multipart_upload().bucket("peers").key("parts").upload_id("none");
    let part = CompletedPart::builder().part_number(1).e_tag("\"x\"").build();
    let unknown = unknown.multipart_upload(CompletedMultipartUpload::builder().parts(part).build());
    say("complete an upload that isn't there", code(unknown.send().await));
    say("the ETag of parts", made_etag.trim_matches('"').get(32..).unwrap_or_default().to_owned());
}

async fn etag(s3: &Client, key: &str) -> String {
    let head = s3.head_object().bucket("peers").key(key).send().await;
    head.ok().and_then(|head| head.e_tag).unwrap_or_default()
}

/// The error's code, or its status where no code came.
fn code<T, E: ProvideErrorMetadata>(result: Result<T, SdkError<E>>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => {
            let status = error.raw_response().map(|raw| raw.status().as_u16().to_string());
            match &error {
                SdkError::ServiceError(service) if service.err().code().is_some() => {
                    service.err().code().unwrap_or_default().to_owned()
                }
                _ => status.unwrap_or_else(|| "no answer".to_owned()),
            }
        }
    }
}
