//! How a bucket is reached: endpoint, region, credentials and time limits.

use std::fmt;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{Credentials, StalledStreamProtectionConfig};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};

use super::S3;

/// How a bucket is reached, and how long anything may take. What isn't set comes from where the AWS
/// tools take it: the environment, the profile, the machine's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    /// `http://127.0.0.1:9000` for a server of one's own.
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub profile: Option<String>,
    pub key_pair: Option<KeyPair>,
    /// Content beyond this goes in parts.
    pub whole_bytes: u64,
    /// The size of a part, 5 MiB at least; larger where there would be more than 10,000 of them.
    pub part_bytes: u64,
    pub connect_timeout: Duration,
    /// Until an answer begins, and between the bytes of one.
    pub read_timeout: Duration,
    /// For a whole request; one with content has a second more for each 256 KiB.
    pub attempt_timeout: Duration,
}

/// Credentials that are known beforehand.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    pub id: String,
    pub secret: String,
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "KeyPair({})", self.id)
    }
}

impl Default for S3Settings {
    fn default() -> Self {
        Self {
            endpoint: None,
            region: None,
            profile: None,
            key_pair: None,
            whole_bytes: 64 << 20,
            part_bytes: 16 << 20,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(60),
        }
    }
}

impl S3 {
    /// The bucket, as `settings` and the environment say. Nothing is asked of it yet.
    pub async fn connect(bucket: &str, settings: S3Settings) -> Self {
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(http);
        let mut regions = ProfileFileRegionProvider::builder();
        if let Some(profile) = &settings.profile {
            loader = loader.profile_name(profile);
            regions = regions.profile_name(profile);
        }
        if let Some(endpoint) = &settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(KeyPair { id, secret }) = &settings.key_pair {
            loader = loader.credentials_provider(Credentials::new(id, secret, None, None, "settings"));
        }
        // Without a region S3 says in its refusal which one the bucket has; servers of one's own don't mind.
        let region = RegionProviderChain::first_try(settings.region.clone().map(Region::new))
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(regions.build())
            .or_else(Region::new("us-east-1"));
        let shared = loader.region(region).load().await;
        let own = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
        let config = aws_sdk_s3::config::Builder::from(&shared)
            // A certificate names one label before the domain, so a bucket with a dot goes into the path.
            .force_path_style(own || bucket.contains('.'))
            // `store::retry` is the one place that tries again.
            .retry_config(RetryConfig::disabled())
            .timeout_config(settings.timeouts(0))
            // Who reads slowly is no fault of the server's; bytes that don't come have a limit of ours.
            .stalled_stream_protection(
                StalledStreamProtectionConfig::enabled().download_enabled(false).build(),
            )
            .build();
        Self {
            client: Client::from_conf(config),
            bucket: bucket.to_owned(),
            name: format!("s3://{bucket}"),
            settings,
        }
    }
}

impl S3Settings {
    /// The limits of a request with so many bytes of content.
    pub(super) fn timeouts(&self, content_bytes: u64) -> TimeoutConfig {
        let sending = Duration::from_secs(content_bytes >> 18);
        TimeoutConfig::builder()
            .connect_timeout(self.connect_timeout)
            .read_timeout(self.read_timeout + sending)
            .operation_attempt_timeout(self.attempt_timeout + sending)
            .build()
    }
}
