//! The predictor for models that need no code: every step is what the manifest's pipeline says.

use ampoule_guest::{Failure, Manifest, Predictor};

struct Prebuilt;

impl Predictor for Prebuilt {
    fn load(manifest: &Manifest) -> Result<Self, Failure> {
        manifest.graph().map(|_| Self)
    }
}

ampoule_guest::export!(Prebuilt);
