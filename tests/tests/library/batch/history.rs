//! What a store's own history says about loss: the checks of I1 to I3 that need no word of ours.

use std::collections::BTreeMap;

use ampoule_functions::job::Job;
use ampoule_host::sha256_hex;
use ampoule_tests::double::{Deed, Entry};

use super::ground::Ground;

/// Fails if an input left before what it became was there, if an output was written over, or if
/// anything else was removed.
pub fn check(ground: &Ground) {
    let history = ground.double.history();
    let ours = |entry: &&Entry| entry.who != "test" && entry.who != "rival";
    for (at, gone) in history.iter().enumerate().filter(|(_, entry)| entry.deed == Deed::Deleted) {
        if !ours(&gone) {
            continue;
        }
        assert_eq!(gone.bucket, "inputs", "an output was removed: {gone:?}");
        let version = ground.version(gone);
        let safe = history[..at].iter().any(|entry| {
            let says = |name: &str, value: &str| {
                entry.metadata.get(&format!("ampoule-{name}")).is_some_and(|said| said == value)
            };
            entry.deed == Deed::Written
                && !entry.key.ends_with(".error.json")
                && says("output", "1")
                && says("key-sha256", &sha256_hex(gone.key.as_bytes()))
                && says("version", &version)
                && says("sha256", &entry.sha256)
        });
        assert!(safe, "{:?} of {version} left before its prediction or its copy was there", gone.key);
    }
    // The same input, model and settings: the same bytes, however often they were written.
    let mut written: BTreeMap<(String, String, String), &Entry> = BTreeMap::new();
    for entry in history.iter().filter(|entry| entry.deed == Deed::Written && entry.bucket == "outputs") {
        let (Some(version), Some(model)) =
            (entry.metadata.get("ampoule-version"), entry.metadata.get("ampoule-model"))
        else {
            continue;
        };
        if entry.key.ends_with(".error.json") {
            continue;
        }
        let of = (entry.key.clone(), version.clone(), model.clone());
        if let Some(first) = written.insert(of, entry) {
            assert_eq!(first.sha256, entry.sha256, "{:?} was written twice, and differs", entry.key);
        }
    }
}

/// The same for what is there at the end: each input is there, done, or among the dead letters.
pub fn check_end(ground: &Ground, job: &Job, inputs: &[String]) {
    let (left, out) = (ground.double.objects("inputs"), ground.double.objects("outputs"));
    for key in inputs {
        let done = out.get(&job.prediction_key(key));
        let whole = done.is_some_and(|object| {
            object.metadata.get("ampoule-sha256") == Some(&sha256_hex(&object.bytes))
                && object.metadata.get("ampoule-key-sha256") == Some(&sha256_hex(key.as_bytes()))
        });
        let dead =
            out.contains_key(&format!("_dead/{key}")) && out.contains_key(&format!("_dead/{key}.error.json"));
        assert!(whole || dead || left.contains_key(key), "{key:?} is lost");
    }
}
