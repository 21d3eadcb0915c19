//! `ampoule deploy`: everything that puts an ampoule on a platform, as files and commands.
//!
//! The files of `functions/deploy` and the `template.yaml` are the only source; what is said of a
//! model in them (name, digest, memory, how its answers leave) is filled in here. No cloud is called:
//! the commands to run are printed.

mod files;
mod plan;

use std::path::PathBuf;

use ampoule_host::Ampoule;
use anyhow::{Context as _, bail};

use self::plan::Plan;
use super::outcome::publish;
use super::package::program::{BOOTSTRAP, CLOUD, Program};
use super::package::{self, File};
use super::{Exit, outcome};

/// Writes everything that puts an ampoule on a platform, and prints the commands that do so.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ampoule deploy aws iris.wasm --input my-flowers --output my-predictions
  ampoule deploy aws iris.wasm --dry-run
  ampoule deploy gcp clouds.wasm --project my-project --region europe-west1 --input-action delete
  ampoule deploy kubernetes iris.wasm --image registry.example.com/iris:1.0.0

It calls no cloud and needs no credentials; the commands that it prints do.")]
pub struct Deploy {
    platform: Platform,
    #[arg(value_name = "AMPOULE")]
    ampoule: PathBuf,
    /// The folder to write [default: NAME-PLATFORM]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Print the files instead; neither compile nor write anything
    #[arg(long, conflicts_with = "out")]
    dry_run: bool,
    /// Bucket whose uploads are predicted [default: NAME-input]
    #[arg(long, value_name = "BUCKET")]
    input: Option<String>,
    /// Bucket for predictions [default: NAME-output]
    #[arg(long, value_name = "BUCKET")]
    output: Option<String>,
    /// What happens to an input once its prediction is safe
    #[arg(long, value_enum, default_value_t = InputAction::Keep, value_name = "ACTION")]
    input_action: InputAction,
    /// Mebibytes of memory [default: by the model]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(128..=10_240))]
    memory_mib: Option<u64>,
    /// Google Cloud: the project
    #[arg(long, default_value = "my-project")]
    project: String,
    /// Google Cloud: the region
    #[arg(long, default_value = "europe-west1")]
    region: String,
    /// Where the image is pushed to [default: by project and region; NAME:VERSION for Kubernetes]
    #[arg(long)]
    image: Option<String>,
    /// The program that serves [default: serving/bootstrap or serving/cloud beside ampoule]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Platform {
    /// AWS Lambda with SAM or Terraform
    Aws,
    /// Google Cloud Run, with Eventarc and Cloud Scheduler
    Gcp,
    /// Any Kubernetes, and KServe
    Kubernetes,
    /// Azure Functions
    Azure,
}

/// What happens to an input once its prediction is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum InputAction {
    Keep,
    Delete,
    Tag,
}

impl Deploy {
    pub fn run(self) -> anyhow::Result<Exit> {
        let ampoule = Ampoule::open(&self.ampoule)?;
        let plan = self.plan(&ampoule)?;
        let rendered = files::render(self.platform, &plan)?;
        if self.dry_run {
            let mut text = String::new();
            for file in &rendered {
                let content = String::from_utf8_lossy(&file.bytes);
                text.push_str(&format!("# ==> {} <==\n{}\n\n", file.path, content.trim_end()));
            }
            for line in files::commands(self.platform, &plan) {
                text.push_str(&format!("# $ {line}\n"));
            }
            outcome::print(text.as_bytes())?;
            return Ok(Exit::Done);
        }
        let folder = self.out.clone().unwrap_or_else(|| {
            PathBuf::from(format!("{}-{}", ampoule.manifest().name, self.platform.name()))
        });
        let packed = self.pack(&ampoule)?;
        let mut written = String::new();
        for file in rendered.iter().chain(&packed) {
            let path = folder.join(&file.path);
            publish(&path, &file.bytes)?;
            if file.mode & 0o111 != 0 {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(file.mode);
                std::fs::set_permissions(&path, mode)
                    .with_context(|| format!("can't make {} a program", path.display()))?;
            }
            written.push_str(&format!("{}  {} bytes\n", path.display(), file.bytes.len()));
        }
        written.push_str(&format!("\n$ cd {}\n", folder.display()));
        for line in files::commands(self.platform, &plan) {
            written.push_str(&format!("$ {line}\n"));
        }
        outcome::print(written.as_bytes())?;
        Ok(Exit::Done)
    }

    fn plan(&self, ampoule: &Ampoule) -> anyhow::Result<Plan> {
        let mut plan = Plan::of(ampoule);
        if let Some(memory_mib) = self.memory_mib {
            plan.memory_mib = memory_mib;
        }
        plan.input = self.input.clone().unwrap_or(plan.input);
        plan.output = self.output.clone().unwrap_or(plan.output);
        plan.input_action = self.input_action;
        plan.project.clone_from(&self.project);
        plan.region.clone_from(&self.region);
        plan.image = match (&self.image, self.platform) {
            (Some(image), _) => image.clone(),
            (None, Platform::Gcp) => {
                let Plan { project, region, resource, version, .. } = &plan;
                format!("{region}-docker.pkg.dev/{project}/ampoule/{resource}:{version}")
            }
            (None, _) => format!("{}:{}", plan.resource, plan.version),
        };
        if self.platform == Platform::Gcp && plan.input_action == InputAction::Tag {
            bail!("--input-action tag: Cloud Storage has no tags; expected keep or delete");
        }
        plan.check()?;
        Ok(plan)
    }

    /// The program, the ampoule and its code, in the form that the platform takes.
    fn pack(&self, ampoule: &Ampoule) -> anyhow::Result<Vec<File>> {
        let name = if self.platform == Platform::Aws { BOOTSTRAP } else { CLOUD };
        let program = Program::find(self.program.as_deref(), name)?;
        Ok(match self.platform {
            Platform::Aws => {
                vec![File::plain("lambda.zip", package::lambda_zip(ampoule, &program)?)]
            }
            Platform::Gcp | Platform::Kubernetes => {
                let files = package::files(ampoule, &program)?.into_iter();
                files.map(|file| file.under("ampoule")).collect()
            }
            Platform::Azure => package::files(ampoule, &program)?,
        })
    }
}

impl Platform {
    fn name(self) -> &'static str {
        match self {
            Self::Aws => "aws",
            Self::Gcp => "gcp",
            Self::Kubernetes => "kubernetes",
            Self::Azure => "azure",
        }
    }
}

impl InputAction {
    /// As the setting `INPUT_ACTION` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::Tag => "tag",
        }
    }
}
