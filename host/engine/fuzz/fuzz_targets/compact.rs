#![no_main]

use ampoule_engine_fuzz::booster;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| booster(data));

// The first files are the libraries'; what is changed is what is made of them.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, _seed: u32| {
    let sealed = if data[..size].starts_with(b"\0ampfst") {
        None
    } else {
        ampoule_engine::compact(&data[..size]).ok()
    };
    match sealed.flatten().filter(|sealed| sealed.len() <= max_size) {
        Some(sealed) => {
            data[..sealed.len()].copy_from_slice(&sealed);
            sealed.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
});
