//! The files of each platform, and what is filled into them.

use anyhow::ensure;
use serde_json::json;

use super::{Plan, Platform};
use crate::cli::package::File;

const TEMPLATE: &str = include_str!("../../../../template.yaml");

const TERRAFORM: [(&str, &str); 5] = [
    ("terraform/alarms.tf", include_str!("../../../deploy/terraform/alarms.tf")),
    ("terraform/batch.tf", include_str!("../../../deploy/terraform/batch.tf")),
    ("terraform/buckets.tf", include_str!("../../../deploy/terraform/buckets.tf")),
    ("terraform/main.tf", include_str!("../../../deploy/terraform/main.tf")),
    ("terraform/variables.tf", include_str!("../../../deploy/terraform/variables.tf")),
];

const DOCKERFILE: (&str, &str) = ("Dockerfile", include_str!("../../../deploy/Dockerfile"));

const GOOGLE: [(&str, &str); 5] = [
    ("batch.yaml", include_str!("../../../deploy/gcp/batch.yaml")),
    ("deploy.sh", include_str!("../../../deploy/gcp/deploy.sh")),
    ("job.yaml", include_str!("../../../deploy/gcp/job.yaml")),
    ("lifecycle.json", include_str!("../../../deploy/gcp/lifecycle.json")),
    ("service.yaml", include_str!("../../../deploy/gcp/service.yaml")),
];

const KUBERNETES: [(&str, &str); 2] = [
    ("deployment.yaml", include_str!("../../../deploy/kubernetes/deployment.yaml")),
    ("kserve.yaml", include_str!("../../../deploy/kubernetes/kserve.yaml")),
];

const AZURE: [(&str, &str); 3] = [
    ("host.json", include_str!("../../../deploy/azure/host.json")),
    ("predictions/function.json", include_str!("../../../deploy/azure/predictions/function.json")),
    ("uploads/function.json", include_str!("../../../deploy/azure/uploads/function.json")),
];

/// A platform's files, filled in.
///
/// # Errors
/// A file names something that no plan has.
pub fn render(platform: Platform, plan: &Plan) -> anyhow::Result<Vec<File>> {
    let filled = |files: &[(&str, &str)]| -> anyhow::Result<Vec<File>> {
        files.iter().map(|(path, text)| fill(path, text, plan)).collect()
    };
    Ok(match platform {
        Platform::Aws => {
            let template = TEMPLATE.replace("target/lambda.zip", "lambda.zip");
            let mut files =
                vec![File::plain("template.yaml", template), File::plain("samconfig.toml", sam(plan))];
            // These have variables of their own.
            files.extend(TERRAFORM.iter().map(|(path, content)| File::plain(*path, *content)));
            files.push(File::plain("terraform/terraform.tfvars.json", terraform(plan)));
            files
        }
        Platform::Gcp => [filled(&[DOCKERFILE])?, filled(&GOOGLE)?].concat(),
        Platform::Kubernetes => [filled(&[DOCKERFILE])?, filled(&KUBERNETES)?].concat(),
        Platform::Azure => filled(&AZURE)?,
    })
}

/// The commands that do it, to be run in the folder of the files.
pub fn commands(platform: Platform, plan: &Plan) -> Vec<String> {
    let Plan { resource, image, .. } = plan;
    match platform {
        Platform::Aws => vec![
            "sam deploy".to_owned(),
            "cd terraform && terraform init && terraform apply    # instead of sam".to_owned(),
        ],
        Platform::Gcp => vec!["./deploy.sh".to_owned()],
        Platform::Kubernetes => vec![
            format!("docker build -t {image} . && docker push {image}"),
            format!(
                "kubectl create secret generic {resource} --from-literal=token=\"$(openssl rand -hex 32)\""
            ),
            "kubectl apply -f deployment.yaml    # or, with KServe: kubectl apply -f kserve.yaml".to_owned(),
        ],
        Platform::Azure => vec!["func azure functionapp publish \"$APP\" --custom".to_owned()],
    }
}

/// A file with each `@word@` replaced by what the plan has for it.
fn fill(path: &str, text: &str, plan: &Plan) -> anyhow::Result<File> {
    let memory_mib = plan.memory_mib.to_string();
    let mut text = text.to_owned();
    for (word, value) in [
        ("@name@", plan.name.as_str()),
        ("@resource@", &plan.resource),
        ("@digest@", &plan.digest),
        ("@memory_mib@", &memory_mib),
        ("@input@", &plan.input),
        ("@output@", &plan.output),
        ("@input_action@", plan.input_action.name()),
        ("@image@", &plan.image),
        ("@project@", &plan.project),
        ("@region@", &plan.region),
    ] {
        text = text.replace(word, value);
    }
    let between: Vec<&str> = text.split('@').collect();
    let word = |part: &&&str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let left = between.get(1..between.len().saturating_sub(1)).unwrap_or_default().iter().find(word);
    ensure!(left.is_none(), "{path}: nothing is known for @{}@", left.copied().unwrap_or_default());
    let mode = if path.ends_with(".sh") { 0o755 } else { 0o644 };
    Ok(File { path: path.to_owned(), mode, bytes: text.into_bytes() })
}

fn sam(plan: &Plan) -> String {
    let overrides: Vec<toml::Value> = [
        ("ModelName", plan.name.as_str()),
        ("ModelDigest", &plan.digest),
        ("Architecture", architecture()),
        ("MemoryMiB", &plan.memory_mib.to_string()),
        ("InputBucketName", &plan.input),
        ("OutputBucketName", &plan.output),
        ("InputAction", plan.input_action.name()),
        ("ResponseMode", plan.response_mode()),
        ("UploadsPerCall", &plan.uploads_per_call.to_string()),
    ]
    .into_iter()
    .map(|(name, value)| toml::Value::String(format!("{name}={value}")))
    .collect();
    format!(
        "version = 0.1\n\n[default.global.parameters]\nstack_name = \"{}\"\n\n[default.deploy.parameters]\n\
         capabilities = \"CAPABILITY_IAM\"\nresolve_s3 = true\nconfirm_changeset = true\n\
         parameter_overrides = {}\n",
        plan.resource,
        toml::Value::Array(overrides)
    )
}

fn terraform(plan: &Plan) -> String {
    let variables = json!({
        "name": plan.resource,
        "digest": plan.digest,
        "architecture": architecture(),
        "memory_mib": plan.memory_mib,
        "input_bucket": plan.input,
        "output_bucket": plan.output,
        "input_action": plan.input_action.name(),
        "response_mode": plan.response_mode(),
        "uploads_per_call": plan.uploads_per_call,
    });
    format!("{variables:#}\n")
}

/// The processors that this machine compiles for, as Lambda names them.
fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" }
}
