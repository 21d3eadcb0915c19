//! Objects' bytes on their way to Cloud Storage.

use std::io;
use std::path::Path;
use std::time::Duration;

use ampoule_host::hex;
use google_cloud_storage::Error;
use google_cloud_storage::builder::storage::WriteObject;
use google_cloud_storage::model;
use google_cloud_storage::streaming_source::{Seek, StreamingSource};
use md5::{Digest as _, Md5};
use sha2::Sha256;

use super::call::Asked;
use super::{Gcs, SHA256};
use crate::store::{About, Content, StoreError, Version};

/// The slowest upload that isn't given up.
const BYTES_PER_SECOND: u64 = 256 << 10;
const PIECE: usize = 256 << 10;

/// Writes an object where `expected` is the generation of that key; 0 is none.
pub async fn write(
    store: &Gcs,
    key: &str,
    content: &Content,
    about: &About,
    expected: i64,
) -> Result<Version, StoreError> {
    let lost =
        |cause: io::Error| StoreError::Lost { cause: format!("can't read what is to be written: {cause}") };
    let sums = Sums::of(content).await.map_err(lost)?;
    let patience = store.patience + Duration::from_secs(sums.bytes / BYTES_PER_SECOND);
    let call = store.call(key).asked(Asked::NewObject).patience(patience);
    let written = match content {
        Content::Bytes(bytes) => {
            call.ask(|| {
                let request = store.data.write_object(&store.bucket, key, bytes.clone());
                sent(request, about, &sums, expected)
            })
            .await?
        }
        Content::File(path) => {
            call.ask(async || {
                let file = tokio::fs::File::open(path).await.map_err(Error::ser)?;
                sent(store.data.write_object(&store.bucket, key, file), about, &sums, expected).await
            })
            .await?
        }
    };
    // An answer that isn't the service's own has neither.
    let stored = written.checksums.and_then(|checksums| checksums.crc32c);
    if written.generation <= 0 || stored != Some(sums.crc32c) {
        return Err(StoreError::Lost { cause: "the answer doesn't describe what was written".to_owned() });
    }
    Ok(Version(written.generation.to_string()))
}

async fn sent<S>(
    request: WriteObject<S>,
    about: &About,
    sums: &Sums,
    expected: i64,
) -> Result<model::Object, Error>
where
    S: StreamingSource + Seek + Send + Sync + 'static,
    <S as StreamingSource>::Error: Send + Sync + 'static,
    <S as Seek>::Error: Send + Sync + 'static,
{
    let ours = (SHA256.to_owned(), sums.sha256.clone());
    let metadata = about.metadata.iter().map(|(name, value)| (name.clone(), value.clone()));
    let mut request = request
        .set_if_generation_match(expected)
        .set_metadata(metadata.chain([ours]))
        .with_known_crc32c(sums.crc32c)
        .with_known_md5_hash(sums.md5);
    if let Some(content_type) = &about.content_type {
        request = request.set_content_type(content_type);
    }
    request.send_unbuffered().await
}

/// What is known of content before it is sent.
struct Sums {
    bytes: u64,
    crc32c: u32,
    md5: [u8; 16],
    sha256: String,
}

impl Sums {
    async fn of(content: &Content) -> io::Result<Self> {
        let content = content.clone();
        let sums = tokio::task::spawn_blocking(move || match content {
            Content::Bytes(bytes) => Self::from(&mut bytes.as_ref()),
            Content::File(path) => Self::from(&mut open(&path)?),
        });
        sums.await.map_err(io::Error::other)?
    }

    fn from(source: &mut dyn io::Read) -> io::Result<Self> {
        let (mut bytes, mut crc32c, mut md5, mut sha256) = (0, 0, Md5::new(), Sha256::new());
        let mut piece = vec![0; PIECE];
        loop {
            let length = source.read(&mut piece)?;
            let Some(read) = piece.get(..length).filter(|read| !read.is_empty()) else { break };
            bytes += length as u64;
            crc32c = crc32c::crc32c_append(crc32c, read);
            md5.update(read);
            sha256.update(read);
        }
        let sha256 = hex(&sha256.finalize());
        Ok(Self { bytes, crc32c, md5: md5.finalize().into(), sha256 })
    }
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    std::fs::File::open(path)
        .map_err(|cause| io::Error::new(cause.kind(), format!("{}: {cause}", path.display())))
}
