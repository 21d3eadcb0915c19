//! What the clouds send about an upload, made from an object of the double.

use std::time::SystemTime;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Double, clock, gcs};

/// What a form-encoded key leaves as it is; a space becomes `+`.
const FORM: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_').remove(b' ').remove(b'/');

/// The record of an S3 event notification that says of an upload; `number` orders those of one key.
pub fn s3_record(
    bucket: &str,
    key: &str,
    size: usize,
    etag: &str,
    number: u64,
    modified: SystemTime,
) -> Value {
    let key = utf8_percent_encode(key, FORM).to_string().replace(' ', "+");
    json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": clock::iso(modified),
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AWS:AIDAEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "uploads",
            "bucket": {
                "name": bucket,
                "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {
                "key": key,
                "size": size,
                "eTag": etag.trim_matches('"'),
                "sequencer": format!("{number:018X}"),
            },
        },
    })
}

impl Double {
    /// An S3 event notification of the upload of an object that is there.
    pub fn s3_event(&self, bucket: &str, key: &str) -> Value {
        let object = self.get(bucket, key).expect("the object is there");
        let size = object.bytes.len();
        json!({"Records": [s3_record(bucket, key, size, &object.etag, object.generation, object.modified)]})
    }

    /// The EventBridge form of the same; its key is not encoded.
    pub fn eventbridge_event(&self, bucket: &str, key: &str) -> Value {
        let object = self.get(bucket, key).expect("the object is there");
        json!({
            "version": "0",
            "id": format!("17793124-05d4-b198-2fde-{:012x}", object.generation),
            "detail-type": "Object Created",
            "source": "aws.s3",
            "account": "111122223333",
            "time": clock::iso(object.modified),
            "region": "us-east-1",
            "resources": [format!("arn:aws:s3:::{bucket}")],
            "detail": {
                "version": "0",
                "bucket": {"name": bucket},
                "object": {
                    "key": key,
                    "size": object.bytes.len(),
                    "etag": object.etag.trim_matches('"'),
                    "sequencer": format!("{:018X}", object.generation),
                },
                "request-id": "C3D13FE58DE4C810",
                "requester": "111122223333",
                "source-ip-address": "127.0.0.1",
                "reason": "PutObject",
            },
        })
    }

    /// A structured CloudEvent of Cloud Storage about the same; in the binary form `data` is the body
    /// and every other member a header `ce-NAME`.
    pub fn gcs_event(&self, bucket: &str, key: &str) -> Value {
        let object = self.get(bucket, key).expect("the object is there");
        json!({
            "specversion": "1.0",
            "id": format!("{}", 1_096_434_104_173_400_u64 + object.generation),
            "source": format!("//storage.googleapis.com/projects/_/buckets/{bucket}"),
            "type": "google.cloud.storage.object.v1.finalized",
            "subject": format!("objects/{key}"),
            "time": clock::iso(object.modified),
            "datacontenttype": "application/json",
            "bucket": bucket,
            "data": gcs::description(bucket, key, &object),
        })
    }
}
