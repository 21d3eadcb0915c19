//! Amazon's own client for a server of one's own: path style, any credentials, no second try.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_sdk_s3::primitives::ByteStream;

pub fn client(endpoint: &str) -> Client {
    Client::from_conf(config(endpoint).build())
}

pub fn config(endpoint: &str) -> Builder {
    aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("any", "any", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
}

/// Makes a bucket, and waits until it holds what it is given: a server may take it before.
pub async fn make_bucket(s3: &Client, bucket: &str) {
    for _ in 0..600 {
        let _ = s3.create_bucket().bucket(bucket).send().await;
        let put = s3.put_object().bucket(bucket).key("ready").body(ByteStream::from_static(b"x"));
        if put.send().await.is_ok() {
            s3.delete_object().bucket(bucket).key("ready").send().await.expect("it can be deleted");
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    panic!("the server takes no bucket");
}
