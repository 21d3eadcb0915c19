//! An object server for tests that speaks S3 and Cloud Storage over one memory, keeps the history of
//! every change, and fails as a script says.
//!
//! It enforces conditions and checksums exactly and keeps keys as they are; signatures and tokens are
//! not checked. `tests/tests/library/stores.rs` holds its S3 half to what other servers do.

pub mod checksum;
mod clock;
pub mod event;
pub mod fault;
mod gcs;
mod http;
pub mod memory;
mod refusal;
mod s3;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub use fault::{Asked, Fault, Met, Operation, Rule};
pub use memory::{Deed, Entry, Object};

use fault::Script;
use memory::{Condition, Draft, Memory};

/// The server. It runs on threads of its own and ends when it is dropped.
pub struct Double {
    shared: Arc<Shared>,
    s3: SocketAddr,
    gcs: SocketAddr,
    uploads: Arc<s3::S3>,
    runtime: Option<Runtime>,
}

struct Shared {
    memory: Memory,
    script: Script,
}

impl Double {
    /// Starts it on ports of the system's choice, with no bucket.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let listen = || {
            let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
            listener.set_nonblocking(true).expect("a socket can be so");
            let address = listener.local_addr().expect("it is bound");
            let _guard = runtime.enter();
            (TcpListener::from_std(listener).expect("the runtime takes it"), address)
        };
        let shared = Arc::new(Shared { memory: Memory::default(), script: Script::default() });
        let uploads = Arc::new(s3::S3::default());
        let (listener, s3) = listen();
        runtime.spawn(http::accept(listener, shared.clone(), uploads.clone()));
        let (listener, gcs) = listen();
        runtime.spawn(http::accept(listener, shared.clone(), Arc::new(gcs::Gcs::new(gcs))));
        Self { shared, s3, gcs, uploads, runtime: Some(runtime) }
    }

    /// For S3 clients, in path style, with any credentials and region.
    pub fn s3_endpoint(&self) -> String {
        format!("http://{}", self.s3)
    }

    /// For Cloud Storage clients (`STORAGE_EMULATOR_HOST`), with any token or none: objects' bytes over
    /// the JSON API, everything else over gRPC on the same port.
    pub fn gcs_endpoint(&self) -> String {
        format!("http://{}", self.gcs)
    }

    /// Makes a bucket where there is none.
    pub fn bucket(&self, bucket: &str) {
        self.shared.memory.make_bucket(bucket);
    }

    /// Lists so many objects at a time from now on, fewer than is asked for, as services may.
    pub fn page(&self, objects: usize) {
        self.shared.memory.set_page(objects);
    }

    /// Uploads an object, and makes its bucket where there is none.
    pub fn put(&self, bucket: &str, key: &str, bytes: impl Into<Bytes>) -> Object {
        self.bucket(bucket);
        let draft = Draft { bytes: bytes.into(), ..Draft::default() };
        let put = self.shared.memory.write(bucket, key, draft, &Condition::default(), "test");
        put.expect("the bucket is there")
    }

    /// Deletes an object that is there.
    pub fn remove(&self, bucket: &str, key: &str) {
        let gone = self.shared.memory.delete(bucket, key, &Condition::default(), "test");
        assert!(gone.is_ok_and(|gone| gone.is_some()), "{bucket}/{key} is there");
    }

    pub fn get(&self, bucket: &str, key: &str) -> Option<Object> {
        self.shared.memory.read(bucket, key).ok()
    }

    /// Every object of a bucket, by key.
    pub fn objects(&self, bucket: &str) -> BTreeMap<String, Object> {
        self.shared.memory.objects(bucket)
    }

    /// The bytes of everything, by bucket and key.
    pub fn snapshot(&self) -> BTreeMap<(String, String), Bytes> {
        let memory = &self.shared.memory;
        memory
            .buckets()
            .into_iter()
            .flat_map(|bucket| {
                let objects = memory.objects(&bucket);
                objects.into_iter().map(move |(key, object)| ((bucket.clone(), key), object.bytes))
            })
            .collect()
    }

    /// Every change since the start, in the order in which they took place.
    pub fn history(&self) -> Vec<Entry> {
        self.shared.memory.history()
    }

    /// Replaces the script; an empty one lets everything succeed.
    pub fn script(&self, rules: Vec<Rule>) {
        self.shared.script.set(rules);
    }

    /// The requests that met a fault since the start.
    pub fn met(&self) -> Vec<Met> {
        self.shared.script.met()
    }

    /// Every request since the start.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.script.asked()
    }

    /// S3 uploads in parts that were neither completed nor given up: bucket and key of each.
    pub fn unfinished(&self) -> Vec<(String, String)> {
        self.uploads.unfinished()
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
