//! How a bucket is reached: endpoint, credentials and time limits.

use std::sync::Once;
use std::time::Duration;

use google_cloud_auth::credentials::anonymous;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_storage::client::{Storage, StorageControl};
use google_cloud_storage::read_resume_policy::NeverResume;

use super::{Gcs, chain};
use crate::store::StoreError;

/// How a bucket is reached, and how long anything may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcsSettings {
    /// `http://127.0.0.1:4443` for a server of one's own, which gets no credentials. What isn't set
    /// comes from `STORAGE_EMULATOR_HOST`; without that it is the service, with the credentials that
    /// the environment gives ("application default").
    pub endpoint: Option<String>,
    /// Until an answer begins, and between the bytes of one; a write has a second more for each
    /// 256 KiB.
    pub patience: Duration,
}

impl Default for GcsSettings {
    fn default() -> Self {
        Self { endpoint: None, patience: Duration::from_secs(30) }
    }
}

impl Gcs {
    /// The bucket, as `settings` and the environment say. Nothing is asked of it yet.
    ///
    /// # Errors
    /// [`StoreError::Denied`]: there are no credentials, or the endpoint is no address.
    pub async fn connect(bucket: &str, settings: GcsSettings) -> Result<Self, StoreError> {
        static PROVIDER: Once = Once::new();
        // One that was installed already is as good.
        PROVIDER.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
        let mut data = Storage::builder()
            .with_retry_policy(NeverRetry)
            .with_read_resume_policy(NeverResume)
            .with_grpc_subchannel_count(1);
        let mut control = StorageControl::builder().with_retry_policy(NeverRetry);
        if let Some(endpoint) = settings.endpoint.or_else(emulator) {
            let endpoint = endpoint.trim_end_matches('/');
            let nobody = anonymous::Builder::new().build();
            data = data.with_endpoint(endpoint).with_credentials(nobody.clone());
            control = control.with_endpoint(endpoint).with_credentials(nobody);
        }
        let denied = |cause: String| StoreError::Denied { cause };
        Ok(Self {
            name: format!("gs://{bucket}"),
            bucket: format!("projects/_/buckets/{bucket}"),
            data: data.build().await.map_err(|cause| denied(chain(&cause)))?,
            control: control.build().await.map_err(|cause| denied(chain(&cause)))?,
            patience: settings.patience,
        })
    }
}

/// The address that Google's tools take from the environment, with or without a scheme.
fn emulator() -> Option<String> {
    let host = std::env::var("STORAGE_EMULATOR_HOST").ok().filter(|host| !host.is_empty())?;
    Some(if host.contains("://") { host } else { format!("http://{host}") })
}
