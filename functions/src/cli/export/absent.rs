//! `ampoule export js`, in a build without the feature.

use ampoule_host::Ampoule;

use crate::cli::package::File;

/// # Errors
/// Always.
pub fn package(_: &Ampoule, _: &str) -> anyhow::Result<Vec<File>> {
    anyhow::bail!("this build makes no JavaScript (`make build` makes one that does)")
}
