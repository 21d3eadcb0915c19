//! `/metrics`: what the server did, for Prometheus.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ampoule_host::{Model, Timings};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Outcome {
    model: String,
    /// `ok`, or the error's code.
    outcome: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Stage {
    model: String,
    stage: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    model: String,
    version: String,
}

/// From 10 µs to 40 s, each four times the last.
fn buckets() -> Histogram {
    Histogram::new((0..12).map(|power| 1e-5 * 4f64.powi(power)))
}

/// The registry and its families.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Outcome, Counter>,
    stages: Family<Stage, Histogram, fn() -> Histogram>,
    instances: Family<Of, Counter>,
    in_flight: Family<Of, Gauge>,
    load: Family<Of, Gauge<f64, AtomicU64>>,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("ampoule");
        let requests = Family::default();
        registry.register(
            "requests",
            "Requests by model and outcome: ok, or the error's code",
            requests.clone(),
        );
        let stages: Family<Stage, Histogram, fn() -> Histogram> = Family::new_with_constructor(buckets);
        let help = "Time of a request by stage: decode, preprocess, infer, postprocess, and total";
        registry.register_with_unit("request_duration", help, Unit::Seconds, stages.clone());
        let instances = Family::default();
        registry.register("instances", "Instances predicted", instances.clone());
        let in_flight = Family::default();
        registry.register("requests_in_flight", "Requests that are being answered", in_flight.clone());
        let load = Family::default();
        registry.register_with_unit("model_load", "Time to open the model", Unit::Seconds, load.clone());
        Self { registry, requests, stages, instances, in_flight, load }
    }

    /// The meters of one model, looked up once.
    pub fn meters(&self, model: &Model) -> Meters {
        let name = model.name().to_owned();
        let of = Of { model: name.clone(), version: model.manifest().version.clone() };
        self.load.get_or_create(&of).set(model.opening().total.as_secs_f64());
        let stage = |stage| self.stages.get_or_create(&Stage { model: name.clone(), stage }).clone();
        let ok = Outcome { model: name.clone(), outcome: "ok".to_owned() };
        Meters {
            requests: self.requests.clone(),
            ok: self.requests.get_or_create(&ok).clone(),
            instances: self.instances.get_or_create(&of).clone(),
            in_flight: self.in_flight.get_or_create(&of).clone(),
            decode: stage("decode"),
            preprocess: stage("preprocess"),
            infer: stage("infer"),
            postprocess: stage("postprocess"),
            total: stage("total"),
            model: name,
        }
    }

    /// Counts a request that no model saw.
    pub fn refused(&self, code: &str) {
        self.requests.get_or_create(&Outcome { model: String::new(), outcome: code.to_owned() }).inc();
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry).expect("writing to a string does not fail");
        out
    }
}

/// One model's meters.
pub(crate) struct Meters {
    model: String,
    requests: Family<Outcome, Counter>,
    ok: Counter,
    instances: Counter,
    in_flight: Gauge,
    decode: Histogram,
    preprocess: Histogram,
    infer: Histogram,
    postprocess: Histogram,
    total: Histogram,
}

impl Meters {
    /// Counts a request in flight until the guard is dropped.
    pub fn enter(&self) -> impl Drop + use<> {
        struct Flight(Gauge);
        impl Drop for Flight {
            fn drop(&mut self) {
                self.0.dec();
            }
        }
        self.in_flight.inc();
        Flight(self.in_flight.clone())
    }

    pub fn answered(&self, instances: usize, decode: Duration, timings: &Timings, total: Duration) {
        self.ok.inc();
        self.instances.inc_by(instances as u64);
        self.decode.observe(decode.as_secs_f64());
        self.preprocess.observe(timings.preprocess.as_secs_f64());
        self.infer.observe(timings.infer.as_secs_f64());
        self.postprocess.observe(timings.postprocess.as_secs_f64());
        self.total.observe(total.as_secs_f64());
    }

    pub fn refused(&self, code: &str) {
        self.requests.get_or_create(&Outcome { model: self.model.clone(), outcome: code.to_owned() }).inc();
    }
}
