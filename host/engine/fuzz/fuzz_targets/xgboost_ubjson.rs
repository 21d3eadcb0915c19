#![no_main]

use ampoule_engine_fuzz::{Random, booster, json, ubjson};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

// JSON stands for the UBJSON that says the same, so that it can be changed as JSON is.
fuzz_target!(|data: &[u8]| match ubjson::of_json(data) {
    Some(binary) => booster(&binary),
    None => booster(data),
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed);
    let changed = match random.below(8) {
        0 => ubjson::of_json(&data[..size]),
        1 => None,
        _ => json::mutate(&data[..size], &mut random),
    };
    match changed.filter(|changed| changed.len() <= max_size) {
        Some(changed) => {
            data[..changed.len()].copy_from_slice(&changed);
            changed.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
