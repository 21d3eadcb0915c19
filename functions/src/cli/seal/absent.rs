//! `ampoule seal --portable`, in a build without the feature.

use ampoule_host::Ampoule;

use super::Front;

/// # Errors
/// Always.
pub fn portable(_: &Ampoule, _: Front) -> anyhow::Result<Ampoule> {
    anyhow::bail!("--portable: this build carries no engine to put in (`make build` makes one that does)")
}
