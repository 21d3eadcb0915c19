//! `ampoule seal --portable`: the engine goes into the file too.

use ampoule_host::seal::{self, Parts};
use ampoule_host::{Ampoule, Batch, Host, HostConfig, Manifest, sha256_hex};
use image::{DynamicImage, ImageFormat};

use super::{Front, PICTURES};
use ampoule_wire::{self as wire, Decoder};

/// A component of the contract's world `engine`.
const ENGINE: &[u8] = include_bytes!(env!("AMPOULE_PORTABLE_ENGINE"));

/// The same for boosters alone.
const BOOSTERS: &[u8] = include_bytes!(env!("AMPOULE_PORTABLE_BOOSTERS"));

/// A component of the contract's world `front`: a command.
const RUN: &[u8] = include_bytes!(env!("AMPOULE_FRONT_RUN"));

/// The same for HTTP.
const HTTP: &[u8] = include_bytes!(env!("AMPOULE_FRONT_HTTP"));

/// Puts the engine in, with the graphs ready for the shapes that they are given.
///
/// # Errors
/// The engine can't run a graph.
pub fn portable(sealed: &Ampoule, front: Front) -> anyhow::Result<Ampoule> {
    let host = Host::new(HostConfig::default())?;
    let name = sealed.manifest().name.clone();
    let front = match front {
        Front::Run => RUN,
        Front::Http => HTTP,
    };
    let (trials, batches) = (trials(sealed.manifest()), batches(sealed.manifest()));
    let bytes = crate::cli::runtime(None)?.block_on(async {
        let model = host.open_ampoule(Ampoule::from_bytes(sealed.bytes().to_vec(), &name)?)?;
        let shapes = seal::shapes(&model, trials, batches).await;
        seal::portable(sealed, &Parts { engine: ENGINE, boosters: BOOSTERS, front }, &shapes).await
    })?;
    Ok(Ampoule::from_bytes(bytes, &name)?)
}

/// What shows the shapes that the graphs are given: the manifest's samples; for pictures, some of two sizes.
fn trials(manifest: &Manifest) -> Vec<Batch> {
    let samples = serde_json::json!({ "instances": manifest.samples }).to_string();
    let mut trials = Vec::new();
    if !manifest.samples.is_empty() {
        trials.extend(
            Decoder::new(manifest, usize::MAX).request(samples.as_bytes()).map(|request| request.instances),
        );
    }
    let sizes = if manifest.takes_media().is_some() { [(64, 48), (700, 500)].as_slice() } else { &[] };
    for &(width, height) in sizes {
        let mut png = std::io::Cursor::new(Vec::new());
        if DynamicImage::new_rgb8(width, height).write_to(&mut png, ImageFormat::Png).is_ok() {
            trials.extend(wire::blob(manifest, png.into_inner(), None));
        }
    }
    trials
}

/// Whether graphs may be given batches of other sizes than in the trials. Of our own predictor it is known that it gives
/// them one picture, or tile of one, at a time, unless the pipeline says otherwise.
fn batches(manifest: &Manifest) -> bool {
    let one = manifest.pipeline.as_ref().is_some_and(|pipeline| {
        pipeline.get("image").is_some() && pipeline.get("batch").is_none_or(|batch| *batch == 1)
    });
    !one || manifest.predictor_sha256 != sha256_hex(PICTURES)
}
