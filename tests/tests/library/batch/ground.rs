//! A place to work on: inputs and outputs in folders, or in buckets of either half of the double.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ampoule_functions::job::{Job, JobSettings, ObjectName, Outcome, Share, Sweep, Totals, Work};
use ampoule_functions::settings::After;
use ampoule_functions::store::{
    About, Content, Expect, Gcs, GcsSettings, KeyPair, Local, S3, S3Settings, Store, StoreError,
};
use ampoule_host::{Host, HostConfig, Model};
use ampoule_tests::double::{Double, Entry};
use ampoule_tests::{ampoule, cache, sealed};
use bytes::Bytes;
use futures::TryStreamExt as _;

/// Which stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    S3,
    Gcs,
}

pub const KINDS: [Kind; 3] = [Kind::Folder, Kind::S3, Kind::Gcs];

/// Those that the double keeps, with a history and a script.
pub const BUCKETS: [Kind; 2] = [Kind::S3, Kind::Gcs];

/// Inputs and outputs in two stores that are empty at first.
pub struct Ground {
    pub kind: Kind,
    pub folder: tempfile::TempDir,
    pub double: Double,
}

impl Ground {
    pub fn new(kind: Kind) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let double = Double::start();
        for name in ["inputs", "outputs"] {
            std::fs::create_dir(folder.path().join(name)).expect("a folder can be made");
            double.bucket(name);
        }
        Self { kind, folder, double }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn store(&self, name: &str) -> Arc<dyn Store> {
        match self.kind {
            Kind::Folder => Arc::new(Local::new(self.path(name))),
            Kind::S3 => {
                let settings = S3Settings {
                    endpoint: Some(self.double.s3_endpoint()),
                    key_pair: Some(KeyPair { id: "any".to_owned(), secret: "any".to_owned() }),
                    read_timeout: Duration::from_secs(2),
                    attempt_timeout: Duration::from_secs(4),
                    ..S3Settings::default()
                };
                Arc::new(S3::connect(name, settings).await)
            }
            Kind::Gcs => {
                let settings = GcsSettings {
                    endpoint: Some(self.double.gcs_endpoint()),
                    patience: Duration::from_secs(2),
                };
                Arc::new(Gcs::connect(name, settings).await.expect("there is nothing to refuse"))
            }
        }
    }

    /// `ampoule batch` with the iris model, from the inputs to the outputs.
    pub fn batch(&self) -> Command {
        let location = |name: &str| match self.kind {
            Kind::Folder => self.path(name).to_string_lossy().into_owned(),
            Kind::S3 => format!("s3://{name}"),
            Kind::Gcs => format!("gs://{name}"),
        };
        let mut command = Command::new(ampoule());
        command
            .arg("batch")
            .arg(sealed("iris"))
            .args([location("inputs"), location("outputs")])
            .env("AMPOULE_CACHE", cache())
            .env("AWS_ENDPOINT_URL_S3", self.double.s3_endpoint())
            .env("AWS_ACCESS_KEY_ID", "any")
            .env("AWS_SECRET_ACCESS_KEY", "any")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("STORAGE_EMULATOR_HOST", self.double.gcs_endpoint())
            .stdout(Stdio::null());
        command
    }

    /// Uploads an input, in the place of one that is there.
    pub async fn put(&self, key: &str, bytes: &[u8]) {
        if self.kind != Kind::Folder {
            self.double.put("inputs", key, bytes.to_vec());
            return;
        }
        let store = self.store("inputs").await;
        let content = Content::Bytes(Bytes::copy_from_slice(bytes));
        loop {
            let expect = match store.head(key).await {
                Ok(object) => Expect::Version(object.version),
                Err(_) => Expect::Nothing,
            };
            match store.write(key, &content, &About::default(), &expect).await {
                Ok(_) => return,
                Err(StoreError::Changed { .. }) => {}
                Err(cause) => panic!("{key:?}: {cause}"),
            }
        }
    }

    /// Every object of a store: bytes and what stands beside them.
    pub async fn all(&self, name: &str) -> BTreeMap<String, (Bytes, About)> {
        if self.kind != Kind::Folder {
            let objects = self.double.objects(name).into_iter().map(|(key, mut object)| {
                // On Cloud Storage the store's own metadata lie among the writer's.
                object.metadata.retain(|name, _| !name.contains('_'));
                (key, (object.bytes, About { content_type: object.content_type, metadata: object.metadata }))
            });
            return objects.collect();
        }
        let store = self.store(name).await;
        let (mut all, mut page) = (BTreeMap::new(), None);
        loop {
            let listed = store.list("", page.as_deref()).await.expect("it can be listed");
            for object in listed.objects {
                let reading = store.read(&object.key, 0, None).await.expect("it was listed");
                let about = reading.object.about.clone();
                let pieces: Vec<Bytes> = reading.bytes.try_collect().await.expect("it can be read");
                all.insert(object.key, (pieces.concat().into(), about));
            }
            page = listed.next;
            if page.is_none() {
                return all;
            }
        }
    }

    /// The keys of what is left of the inputs.
    pub async fn inputs(&self) -> Vec<String> {
        self.all("inputs").await.into_keys().collect()
    }

    /// Predictions and dead letters, without the records of jobs.
    pub async fn outputs(&self) -> BTreeMap<String, Bytes> {
        let all = self.all("outputs").await.into_iter();
        all.filter(|(key, _)| !key.starts_with("_jobs/")).map(|(key, (bytes, _))| (key, bytes)).collect()
    }

    pub async fn job(&self, settings: JobSettings) -> Job {
        Job::new(iris(), self.store("inputs").await, self.store("outputs").await, settings)
            .expect("they lie apart")
    }

    /// Sweeps with a job of its own; gives the totals and each object's outcome.
    pub async fn sweep(&self, after: After) -> (Totals, BTreeMap<String, Outcome>) {
        sweep(&self.job(JobSettings { after, ..JobSettings::default() }).await).await
    }

    /// How the input store is named in events.
    pub fn named(&self, key: &str) -> ObjectName {
        let bucket = match self.kind {
            Kind::Folder => self.path("inputs").to_string_lossy().into_owned(),
            Kind::S3 | Kind::Gcs => "inputs".to_owned(),
        };
        ObjectName { bucket, key: key.to_owned(), version: None, sequencer: None }
    }

    /// What the store calls the version of an object that the double's history is about.
    pub fn version(&self, entry: &Entry) -> String {
        match self.kind {
            Kind::Folder | Kind::S3 => entry.etag.trim_matches('"').to_owned(),
            Kind::Gcs => entry.generation.to_string(),
        }
    }
}

/// How many inputs there are on [`filled`] ground.
pub const OBJECTS: usize = 100;

/// What a clean run makes of [`filled`] ground.
pub async fn clean(kind: Kind) -> BTreeMap<String, Bytes> {
    let ground = filled(kind).await;
    let (totals, outcomes) = ground.sweep(After::Delete).await;
    assert_eq!((totals.done, totals.refused), (OBJECTS - 5, 5), "{outcomes:?}");
    ground.outputs().await
}

/// [`OBJECTS`] inputs, five of them poison.
pub async fn filled(kind: Kind) -> Ground {
    let ground = Ground::new(kind);
    let store = ground.store("inputs").await;
    for number in 0..OBJECTS {
        let bytes = if number % 20 == 7 { POISON.to_vec() } else { flower(number) };
        // With a checksum, as the stores' own tools send one.
        let content = Content::Bytes(bytes.into());
        let key = format!("k{number:02}.json");
        store.write(&key, &content, &About::default(), &Expect::Nothing).await.expect("it is new");
    }
    ground
}

pub async fn sweep(job: &Job) -> (Totals, BTreeMap<String, Outcome>) {
    let mut outcomes = BTreeMap::new();
    let sweep = Sweep::begin(job, Share::WHOLE, far()).await.expect("the job can begin");
    let totals = sweep
        .run(std::future::pending(), |step| {
            let twice = outcomes.insert(step.key.to_owned(), step.outcome.clone());
            assert!(twice.is_none() || step.outcome == &Outcome::Skipped { why: "it is gone".to_owned() });
        })
        .await
        .expect("the sweep ends");
    (totals, outcomes)
}

pub async fn object(job: &Job, name: &ObjectName) -> Outcome {
    job.object(name, far()).await
}

/// Later than any test ends.
pub fn far() -> Instant {
    Instant::now() + Duration::from_secs(3_600)
}

/// The iris model, opened once.
pub fn iris() -> Model {
    static IRIS: OnceLock<Model> = OnceLock::new();
    let open = || {
        let host = Host::new(HostConfig { cache: Some(cache()), ..HostConfig::default() });
        host.and_then(|host| host.open(&sealed("iris"))).expect("the model opens")
    };
    IRIS.get_or_init(open).clone()
}

/// The `number`th flower as JSON, of 50 that differ.
pub fn flower(number: usize) -> Vec<u8> {
    let size = |place: usize| 1.0 + ((number % 50) * (place + 3) % 17) as f64 / 3.0;
    format!("[[{:.2}, {:.2}, {:.2}, {:.2}]]", size(0), size(1), size(2), size(3)).into_bytes()
}

pub const POISON: &[u8] = b"{\"instances\": [[1, 2";
