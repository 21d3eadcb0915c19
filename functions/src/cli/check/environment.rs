//! [`Environment`]: a place that an ampoule runs in, and how instances are taken there.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_host::{Ampoule, Engine, Fault, Manifest, Model, OnnxRuntime, Reuse};
use ampoule_wire::Decoder;
use ampoule_wire::encode::Encoder;
use ampoule_wire::media;
use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::ValueEnum;
use reqwest::Url;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::compare::{Answer, cut};
use super::ground::{Ground, Ran};
use super::instances::unblob;
use super::lambda::Platform;
use super::{Tools, container, http, javascript, v2, wasmtime};
use crate::cli::limits::LimitOptions;
use crate::cli::package::program::{BOOTSTRAP, CLOUD, Program};

const XGBOOST: &str = include_str!("xgboost.py");

/// The environments that are looked for on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Local {
    /// The engine that a portable ampoule brings along, in the sandbox
    Portable,
    /// `wasmtime run`, for a portable ampoule with a command
    Wasmtime,
    /// `wasmtime serve`, for one that is sealed with --portable=http
    WasmtimeServe,
    /// `ampoule export js`, in Node
    Node,
    /// `ampoule export js`, in Chromium
    Browser,
    /// `ampoule serve`
    Serve,
    /// The program for containers, from a package
    Cloud,
    /// `ampoule package image`, run by Docker or Podman
    Container,
    /// The program for AWS Lambda, from a package, under a Runtime API of our own
    Lambda,
    /// `ampoule batch`
    Batch,
}

/// What is asked besides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Against {
    /// A server that takes `{"instances": […]}` and gives `{"predictions": […]}`.
    Server(Url),
    /// A server that takes and gives tensors, at `…/infer`.
    Infer(Url),
    OnnxRuntime,
    /// A program that gets instances as lines of JSON, and prints predictions so.
    Python(PathBuf),
    /// A model that XGBoost saved.
    Xgboost(PathBuf),
}

impl std::str::FromStr for Against {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let file = |path: &str| match path {
            "" => Err("expected a file behind the colon, got none".to_owned()),
            path => Ok(PathBuf::from(path)),
        };
        if text == "onnxruntime" {
            Ok(Self::OnnxRuntime)
        } else if let Some(path) = text.strip_prefix("python:") {
            file(path).map(Self::Python)
        } else if let Some(path) = text.strip_prefix("xgboost:") {
            file(path).map(Self::Xgboost)
        } else if text.starts_with("http://") || text.starts_with("https://") {
            let url = Url::parse(text).map_err(|cause| format!("not a URL: {cause}"))?;
            if url.path().ends_with("/infer") {
                return Ok(Self::Infer(url));
            }
            Ok(Self::Server(if url.path() == "/" {
                url.join("predictions").map_err(|cause| cause.to_string())?
            } else {
                url
            }))
        } else {
            Err("expected http://…, https://…, onnxruntime, python:FILE or xgboost:MODEL".to_owned())
        }
    }
}

/// A place that an ampoule runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Environment {
    Local(Local),
    Against(Against),
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(local) => {
                let value = local.to_possible_value();
                f.write_str(value.as_ref().map_or("", |value| value.get_name()))
            }
            Self::Against(Against::Server(url) | Against::Infer(url)) => {
                // Names go into reports and manifests, where no key is to be.
                let mut url = url.clone();
                let _ = url.set_username("").and_then(|()| url.set_password(None));
                url.set_query(None);
                write!(f, "{url}")
            }
            Self::Against(Against::OnnxRuntime) => f.write_str("onnxruntime"),
            Self::Against(Against::Python(path)) => write!(f, "python:{}", path.display()),
            Self::Against(Against::Xgboost(path)) => write!(f, "xgboost:{}", path.display()),
        }
    }
}

/// The ampoule, and all that its environments need.
pub struct Subject<'a> {
    pub ampoule: &'a Ampoule,
    /// Its file, from the root.
    pub file: &'a Path,
    pub ground: &'a Ground,
    pub tools: &'a Tools,
    pub limits: &'a LimitOptions,
    /// The package that is made of it once.
    package: OnceCell<TempDir>,
    /// What runs containers, looked for once.
    runner: OnceCell<Result<PathBuf, String>>,
}

impl Environment {
    /// Whether answers may leave fields out.
    pub fn is_partial(&self, manifest: &Manifest) -> bool {
        match self {
            Self::Against(Against::Python(_) | Against::Xgboost(_) | Against::Infer(_)) => true,
            // A picture in a file comes without what is said about it.
            Self::Local(Local::Wasmtime | Local::Batch) => {
                manifest.outputs.iter().any(|field| !field.media.is_empty())
            }
            _ => false,
        }
    }

    /// Whether it is asked for the instances alone that the reference predicts.
    pub fn takes_valid_only(&self) -> bool {
        matches!(self, Self::Against(Against::Python(_) | Against::Xgboost(_) | Against::Infer(_)))
    }

    /// Whether it has a form for an instance.
    pub fn takes(&self, instance: &Value) -> bool {
        !matches!(self, Self::Against(Against::Infer(_))) || v2::takes(instance)
    }

    /// Where it is asked, if that is a server that `--against` names.
    pub fn server(&self) -> Option<&Url> {
        match self {
            Self::Against(Against::Server(url) | Against::Infer(url)) => Some(url),
            _ => None,
        }
    }

    /// Why it is not here.
    pub fn absent(&self, subject: &Subject<'_>) -> Option<String> {
        let front = |interface: &str, seal: &str| {
            if !subject.ampoule.is_portable() {
                return Some(format!("the file is not portable (seal it with {seal})"));
            }
            let exports = subject.ampoule.exports().iter().any(|name| name.starts_with(interface));
            if !exports {
                return Some(format!("the file doesn't export {interface} (seal it with {seal})"));
            }
            let program = &subject.tools.wasmtime;
            (!is_program(program)).then(|| format!("no program {} (--wasmtime PATH)", program.display()))
        };
        let program = |name| Program::find(None, name).err().map(|cause| format!("{cause:#}"));
        match self {
            Self::Local(Local::Wasmtime) => front("wasi:cli/run@", "--portable"),
            Self::Local(Local::WasmtimeServe) => front("wasi:http/incoming-handler@", "--portable=http"),
            Self::Local(Local::Node | Local::Browser) if !cfg!(feature = "portable") => {
                Some("this build makes no JavaScript".to_owned())
            }
            Self::Local(Local::Portable | Local::Node | Local::Browser) if !subject.ampoule.is_portable() => {
                Some("the file is not portable (seal it with --portable)".to_owned())
            }
            Self::Local(Local::Node) => {
                let program = &subject.tools.node;
                (!is_program(program)).then(|| format!("no program {} (--node PATH)", program.display()))
            }
            Self::Local(Local::Browser) => {
                subject.browser().is_none().then(|| "no program chromium (--browser PATH)".to_owned())
            }
            Self::Local(Local::Container) => program(CLOUD).or_else(|| subject.runner().err()),
            Self::Local(Local::Cloud) => program(CLOUD),
            Self::Local(Local::Lambda) => program(BOOTSTRAP),
            _ => None,
        }
    }

    /// Takes instances through it; gives an answer for each.
    ///
    /// # Errors
    /// It can't be started, or its answers are none.
    pub fn ask(&self, subject: &Subject<'_>, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let answers = match self {
            Self::Local(Local::Portable) => subject.here(Engine::Portable, instances),
            Self::Local(Local::Wasmtime) => wasmtime::run(subject, instances),
            Self::Local(Local::WasmtimeServe) => wasmtime::serve(subject, instances),
            Self::Local(Local::Node) => javascript::node(subject, instances),
            Self::Local(Local::Browser) => {
                let program = subject.browser().context("no program chromium")?;
                javascript::browser(subject, &program, instances)
            }
            Self::Local(Local::Serve) => subject.serve(instances),
            Self::Local(Local::Cloud) => subject.cloud(instances),
            Self::Local(Local::Container) => {
                let program = subject.runner().map_err(anyhow::Error::msg)?;
                container::ask(subject, &program, instances)
            }
            Self::Local(Local::Lambda) => subject.lambda(instances),
            Self::Local(Local::Batch) => subject.batch(instances),
            Self::Against(Against::Server(url)) => http::Server::new(
                subject.ground,
                url,
                &subject.tools.header,
            )?
            .ask(url, &http::Instances, instances),
            Self::Against(Against::Infer(url)) => {
                let server = http::Server::new(subject.ground, url, &subject.tools.header)?;
                v2::ask(&server, url, subject.ampoule.manifest(), instances)
            }
            Self::Against(Against::OnnxRuntime) => {
                let library = subject.tools.onnxruntime_library.as_deref();
                let library = library.context("expected --onnxruntime-library, got none")?;
                subject.here(Engine::OnnxRuntime(OnnxRuntime::open(library)?), instances)
            }
            Self::Against(Against::Python(file)) => subject.python(&[file.as_os_str()], instances),
            Self::Against(Against::Xgboost(file)) => subject.xgboost(file, instances),
        }?;
        if answers.len() != instances.len() {
            bail!("expected {} predictions, got {}", instances.len(), answers.len());
        }
        Ok(answers)
    }
}

impl<'a> Subject<'a> {
    pub fn new(
        ampoule: &'a Ampoule,
        file: &'a Path,
        ground: &'a Ground,
        tools: &'a Tools,
        limits: &'a LimitOptions,
    ) -> Self {
        Self { ampoule, file, ground, tools, limits, package: OnceCell::new(), runner: OnceCell::new() }
    }

    /// Answers of this process, instance by instance.
    ///
    /// # Errors
    /// The engine can't open the ampoule.
    pub fn here(&self, engine: Engine, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let model = self.limits.host_of(Reuse::Never, engine)?.open(self.file)?;
        instances.iter().map(|instance| self.ground.wait(predict(&model, instance))).collect()
    }

    fn browser(&self) -> Option<PathBuf> {
        javascript::browser_of(self.tools.browser.as_deref())
    }

    fn runner(&self) -> Result<PathBuf, String> {
        let find = || container::runner(self.ground, self.tools.container.as_deref());
        self.runner.get_or_init(find).clone()
    }

    fn serve(&self, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let mut command = self.own("serve")?;
        command.arg(self.file).args(["--host", "127.0.0.1", "--port", "0", "--log", "info"]);
        let mut server = self.ground.start(command)?;
        let address = self.ground.listens(&mut server, logged)?;
        http::here(self.ground, address, instances)
    }

    fn cloud(&self, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let mut command = self.packed(CLOUD)?;
        command.env("PORT", "0");
        let mut server = self.ground.start(command)?;
        let address = self.ground.listens(&mut server, logged)?;
        let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
        http::here(self.ground, address, instances)
    }

    fn lambda(&self, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let mut platform = Platform::start(self.ground)?;
        let mut command = self.packed(BOOTSTRAP)?;
        command
            .env("AWS_LAMBDA_RUNTIME_API", platform.address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "check")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1024");
        let mut function = self.ground.start(command)?;
        platform.ask(self.ground, &mut function, instances)
    }

    fn batch(&self, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let folder = self.ground.folder()?;
        let (input, output) = (folder.path().join("in"), folder.path().join("out"));
        std::fs::create_dir(&input)?;
        let mut command = self.own("batch")?;
        command.arg(self.file).args([&input, &output]);
        if self.ampoule.manifest().takes_media().is_none() {
            std::fs::write(input.join("rows.jsonl"), lines(instances))?;
            let mut ran = self.ground.run(command, Vec::new())?;
            let written = output.join("rows.jsonl.jsonl");
            let Ok(bytes) = std::fs::read(&written) else { return Err(ran.failed()) };
            ran.output = bytes;
            return rows(&ran, instances.len());
        }
        let mut names = Vec::new();
        for (index, instance) in instances.iter().enumerate() {
            names.push(self.blob(&input, index, instance)?);
        }
        let ran = self.ground.run(command, Vec::new())?;
        let mut answers = Vec::new();
        for name in names {
            let Some(name) = name else {
                answers.push(Answer::Refused("it holds no blob".to_owned()));
                continue;
            };
            let outputs = self.ampoule.manifest().outputs.first();
            let media = outputs.and_then(|field| field.media.first());
            let ending = media.map_or("jsonl", |media| media::ending(media));
            let dead = output.join("_dead").join(format!("{name}.error.json"));
            let answer = match (std::fs::read(output.join(format!("{name}.{ending}"))), std::fs::read(dead)) {
                (Ok(bytes), _) if media.is_some() => prediction(&bytes),
                (Ok(bytes), _) => {
                    Answer::Given(serde_json::from_slice(&bytes).context("expected a line of JSON")?)
                }
                (_, Ok(error)) => Answer::Refused(cut(&String::from_utf8_lossy(&error))),
                _ => return Err(ran.failed()),
            };
            answers.push(answer);
        }
        Ok(answers)
    }

    fn xgboost(&self, file: &Path, instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let manifest = self.ampoule.manifest();
        let (inputs, outputs) = (json!(manifest.inputs).to_string(), json!(manifest.outputs).to_string());
        let arguments =
            ["-c".as_ref(), XGBOOST.as_ref(), file.as_os_str(), inputs.as_ref(), outputs.as_ref()];
        self.python(&arguments, instances)
    }

    fn python(&self, arguments: &[&OsStr], instances: &[Value]) -> anyhow::Result<Vec<Answer>> {
        let mut command = Command::new(&self.tools.python);
        command.args(arguments);
        let ran = self.ground.run(command, lines(instances))?;
        if !ran.status.success() {
            return Err(ran.failed());
        }
        rows(&ran, instances.len())
    }

    /// A command of this program, with what its environment says of other servers left out.
    fn own(&self, name: &str) -> anyhow::Result<Command> {
        let mut command =
            Command::new(std::env::current_exe().context("can't find this program's own file")?);
        command.arg(name).envs(self.limits.variables());
        for variable in ["AMPOULE_ENGINE", "AMPOULE_TOKEN"] {
            command.env_remove(variable);
        }
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("AIP_") || name.starts_with("SAGEMAKER_") {
                command.env_remove(&variable);
            }
        }
        Ok(command)
    }

    /// A program that serves, beside the ampoule and its code as `ampoule package` packs them.
    fn packed(&self, name: &'static str) -> anyhow::Result<Command> {
        let program = Program::find(None, name)?.path;
        let folder = match self.package.get() {
            Some(folder) => folder.path(),
            None => {
                let folder = self.ground.folder()?;
                let packed = ampoule_host::package(self.ampoule).context("can't compile the ampoule")?;
                std::fs::write(folder.path().join("model.wasm"), packed.ampoule)?;
                for (name, bytes) in packed.cache {
                    let path = folder.path().join("cache").join(name);
                    std::fs::create_dir_all(path.parent().unwrap_or(folder.path()))?;
                    std::fs::write(path, bytes)?;
                }
                self.package.get_or_init(|| folder).path()
            }
        };
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AMPOULE_MODEL", folder.join("model.wasm"))
            .env("AMPOULE_LOG", "info")
            .envs(self.limits.variables());
        Ok(command)
    }

    /// Writes the blob of an instance into `folder`, and gives its name; none where there is no blob in it.
    pub fn blob(&self, folder: &Path, index: usize, instance: &Value) -> anyhow::Result<Option<String>> {
        let Some(bytes) = unblob(instance, self.ampoule.manifest()) else { return Ok(None) };
        let ending = media::sniff(&bytes).map_or("png", media::ending);
        let name = format!("{index:06}.{ending}");
        std::fs::write(folder.join(&name), bytes).context("can't write into a temporary folder")?;
        Ok(Some(name))
    }
}

/// One instance alone, in this process.
async fn predict(model: &Model, instance: &Value) -> anyhow::Result<Answer> {
    let manifest = model.manifest();
    let body = json!({ "instances": [instance] }).to_string();
    let request = match Decoder::new(manifest, 1).request(body.as_bytes()) {
        Ok(request) => request,
        Err(refusal) => return Ok(Answer::Refused(refusal.to_string())),
    };
    let predictions = match model.predict(request.instances, None).await {
        Ok(answer) => answer.predictions,
        Err(cause) if cause.kind().fault == Fault::Caller => return Ok(Answer::Refused(cause.to_string())),
        Err(cause) => return Ok(Answer::Failed(format!("{:#}", anyhow::Error::from(cause)))),
    };
    let mut text = Vec::new();
    if let Err(why) = Encoder::new(&predictions, &manifest.outputs).write(0, &mut text) {
        return Ok(Answer::Failed(why));
    }
    Ok(Answer::Given(serde_json::from_slice(&text).context("the prediction is not JSON")?))
}

/// Where a server of ours says that it listens.
fn logged(line: &str) -> Option<SocketAddr> {
    let event: Value = serde_json::from_str(line).ok()?;
    event["address"].as_str()?.parse().ok()
}

pub fn lines(instances: &[Value]) -> Vec<u8> {
    instances.iter().map(|instance| format!("{instance}\n")).collect::<String>().into_bytes()
}

/// A line of a program's output for each instance.
pub fn rows(ran: &Ran, instances: usize) -> anyhow::Result<Vec<Answer>> {
    let text = ran.text()?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    if lines.len() != instances {
        let cause = ran.failed();
        bail!("expected {instances} lines of JSON, got {}: {cause}", lines.len());
    }
    let answer = |(index, line): (usize, &&str)| {
        let value: Value = serde_json::from_str(line)
            .with_context(|| format!("line {}: expected JSON, got {}", index + 1, cut(line)))?;
        let refused = match value.as_object() {
            Some(members) if members.contains_key("code") => members.get("error").and_then(Value::as_str),
            _ => None,
        };
        Ok(refused.map(|why| Answer::Refused(why.to_owned())).unwrap_or(Answer::Given(value)))
    };
    lines.iter().enumerate().map(answer).collect()
}

/// A picture as the prediction that it is within JSON, or a prediction as it is.
pub fn prediction(bytes: &[u8]) -> Answer {
    match media::sniff(bytes) {
        Some(content_type) => {
            Answer::Given(json!({ "content_type": content_type, "b64": STANDARD.encode(bytes) }))
        }
        None => match serde_json::from_slice(bytes) {
            Ok(value) => Answer::Given(value),
            Err(_) => Answer::Given(json!({ "b64": STANDARD.encode(bytes) })),
        },
    }
}

/// Whether a program is there: at its path, or in `PATH`.
pub fn is_program(program: &Path) -> bool {
    if program.components().count() > 1 {
        return program.is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_check_against_is_read() {
        let server = |url: &str| Against::Server(Url::parse(url).expect("a URL"));
        for (text, expected) in [
            ("http://a:80", Ok(server("http://a/predictions"))),
            ("https://a/v1/models/m:predict", Ok(server("https://a/v1/models/m:predict"))),
            ("onnxruntime", Ok(Against::OnnxRuntime)),
            ("python:a b.py", Ok(Against::Python("a b.py".into()))),
            ("xgboost:m.json", Ok(Against::Xgboost("m.json".into()))),
            ("python:", Err("expected a file")),
            (
                "http://a/v2/models/m/infer",
                Ok(Against::Infer(Url::parse("http://a/v2/models/m/infer").expect("a URL"))),
            ),
            ("ftp://a", Err("expected http://…, https://…, onnxruntime")),
        ] {
            match (text.parse::<Against>(), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{text}"),
                (Err(got), Err(expected)) => assert!(got.starts_with(expected), "{text}: {got}"),
                (got, _) => panic!("{text}: {got:?}"),
            }
        }
    }
}
