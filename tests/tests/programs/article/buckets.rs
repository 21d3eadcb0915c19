//! The buckets of a server of somebody else, as a client of S3 sees them.

use std::collections::BTreeMap;

use ampoule_tests::client::{client, make_bucket};
use aws_sdk_s3::Client;

use super::{INPUT, OUTPUT};

/// The two buckets of a server.
pub struct Buckets(Client);

/// An object, and what tells it from another.
#[derive(PartialEq)]
pub struct Found {
    pub bytes: Vec<u8>,
    etag: Option<String>,
    modified: Option<String>,
}

impl Buckets {
    /// Makes the buckets as soon as the server is ready for them.
    pub async fn of(endpoint: &str) -> Self {
        let client = client(endpoint);
        for bucket in [INPUT, OUTPUT] {
            make_bucket(&client, bucket).await;
        }
        Self(client)
    }

    /// Uploads a picture; gives its `ETag`.
    pub async fn put(&self, key: &str, bytes: &[u8]) -> String {
        let put = self.0.put_object().bucket(INPUT).key(key).body(bytes.to_vec().into());
        let put =
            put.content_type("image/png").send().await.unwrap_or_else(|cause| panic!("{key}: {cause:?}"));
        put.e_tag().expect("an upload has one").to_owned()
    }

    /// Every object of a bucket.
    pub async fn all(&self, bucket: &str) -> BTreeMap<String, Found> {
        let listed = self.0.list_objects_v2().bucket(bucket).send().await.expect("it can be listed");
        assert_ne!(listed.is_truncated(), Some(true));
        let mut all = BTreeMap::new();
        for object in listed.contents() {
            let key = object.key().expect("it has one");
            let got = self.0.get_object().bucket(bucket).key(key).send().await.expect("it was listed");
            let bytes = got.body.collect().await.expect("it can be read").to_vec();
            let etag = object.e_tag().map(str::to_owned);
            let modified = object.last_modified().map(ToString::to_string);
            all.insert(key.to_owned(), Found { bytes, etag, modified });
        }
        all
    }
}
