//! Packages: what lies in them, that they are the same every time, and that the real programs serve
//! from them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use ampoule_host::{Ampoule, Batch, Column, ColumnDtype, Host, HostConfig, Numeric, Values};
use ampoule_tests::{Answer, eventually, has, run, said, sealed, serving};
use serde_json::{Value, json};

const FLOWER: &str = r#"{"instances": [[5.1, 3.5, 1.4, 0.2]]}"#;

/// Packs `model` with `more` options and gives the file's path.
fn pack(folder: &Path, form: &str, model: &str, more: &[&str]) -> PathBuf {
    let out = folder.join(format!("{model}-{form}"));
    let ampoule = sealed(model);
    let arguments = ["package", form, &ampoule.to_string_lossy(), "-o", &out.to_string_lossy()];
    let output = run(folder, &[&arguments, more].concat());
    assert!(output.status.success(), "{}", said(&output));
    out
}

/// The files of a zip: names, modes and contents.
fn unzipped(path: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).expect("it is there")).expect("a zip");
    let mut files = BTreeMap::new();
    for index in 0..zip.len() {
        let mut file = zip.by_index(index).expect("an entry");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("it is whole");
        let name = file.name().expect("a name").into_owned();
        files.insert(name, (file.unix_mode().unwrap_or(0) & 0o777, bytes));
    }
    files
}

fn unzip(path: &Path, folder: &Path) {
    for (name, (mode, bytes)) in unzipped(path) {
        let path = folder.join(&name);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("made");
        std::fs::write(&path, bytes).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        std::fs::set_permissions(&path, mode).expect("set");
    }
}

#[test]
fn a_zip_has_the_program_the_model_and_its_code_and_is_always_the_same() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let zip = pack(folder.path(), "lambda", "iris", &["--bootstrap", "/bin/true"]);
    let files = unzipped(&zip);
    let iris = std::fs::read(sealed("iris")).expect("it is there");
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let code = names.iter().find(|name| name.ends_with(".cwasm")).copied().expect("there is code");
    assert_eq!(names, ["bootstrap", code, "cache/key", "iris.wasm"]);
    assert!(code.starts_with("cache/"), "{code}");
    assert_eq!(files["bootstrap"].0, 0o755);
    assert_eq!(files["bootstrap"].1, std::fs::read("/bin/true").expect("it is there"));
    let sealed = Ampoule::from_bytes(iris, "iris").expect("it is an ampoule");
    let packed = Ampoule::from_bytes(files["iris.wasm"].1.clone(), "iris").expect("it is an ampoule");
    assert_eq!(packed.digest(), sealed.digest(), "the sealed file is named");
    assert_eq!(packed.manifest_text(), sealed.manifest_text());
    assert_eq!(packed.graph(0), sealed.graph(0));
    assert!(packed.is_packed() && !sealed.is_packed());
    assert!(packed.bytes().len() < sealed.bytes().len() / 4, "the predictor is there as code only");
    for name in ["iris.wasm", code, "cache/key"] {
        assert_eq!(files[name].0, 0o644, "{name} can be read by the function's user");
    }
    let first = std::fs::read(&zip).expect("it is there");
    let again = pack(folder.path(), "lambda", "iris", &["--bootstrap", "/bin/true"]);
    assert_eq!(first, std::fs::read(again).expect("it is there"), "the same inputs give the same bytes");
}

#[tokio::test]
async fn packaged_code_is_used_as_it_is_and_a_changed_one_is_not() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let zip = pack(folder.path(), "lambda", "iris", &["--bootstrap", "/bin/true"]);
    let task = folder.path().join("task");
    unzip(&zip, &task);
    let cache = task.join("cache");
    let open = || {
        let config = HostConfig { cache: Some(cache.clone()), ..HostConfig::default() };
        Host::with_model(config, &task.join("iris.wasm"))
    };
    let model = open().expect("it opens");
    assert!(model.opening().precompiled, "the code that was packed is used");
    let sealed = Ampoule::open(&sealed("iris")).expect("it is an ampoule");
    assert_eq!(model.digest(), sealed.digest(), "it is known by the sealed file's digest");
    let column = |(name, value): (&str, f32)| Column {
        name: name.to_owned(),
        shape: vec![1],
        values: Values::Numeric(Numeric { dtype: ColumnDtype::F32, data: value.to_le_bytes().to_vec() }),
    };
    let values = [("sepal_length", 5.1), ("sepal_width", 3.5), ("petal_length", 1.4), ("petal_width", 0.2)];
    let flower = Batch::Columns(values.into_iter().map(column).collect());
    let answer = model.predict(flower, None).await.expect("a prediction");
    assert!(format!("{:?}", answer.predictions).contains("setosa"));

    let code = std::fs::read_dir(&cache).expect("a folder").flatten().map(|entry| entry.path());
    let code =
        code.into_iter().find(|path| path.extension().is_some_and(|end| end == "cwasm")).expect("code");
    let mut bytes = std::fs::read(&code).expect("it is there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    // The open model runs the old file.
    std::fs::remove_file(&code).expect("removed");
    std::fs::write(&code, bytes).expect("written");
    let refused = open().err().expect("nothing else is there").to_string();
    assert!(refused.contains("was changed"), "changed code is not used: {refused}");
}

#[test]
fn what_cant_be_packed_is_said() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let iris = sealed("iris").to_string_lossy().into_owned();
    let script = folder.path().join("script");
    std::fs::write(&script, "#!/bin/sh\n").expect("written");
    let mut foreign = std::fs::read("/bin/true").expect("it is there");
    // The machine's number, at its place in an ELF header: the other of the two that we know.
    let other = if cfg!(target_arch = "aarch64") { 62u16 } else { 183 };
    foreign[18..20].copy_from_slice(&other.to_le_bytes());
    let elsewhere = folder.path().join("elsewhere");
    std::fs::write(&elsewhere, foreign).expect("written");
    let (script, elsewhere) = (script.to_string_lossy(), elsewhere.to_string_lossy());
    for (arguments, expected) in [
        (["package", "lambda", "missing.wasm", "--bootstrap", "/bin/true"], "can't read missing.wasm"),
        (["package", "lambda", "/bin/true", "--bootstrap", "/bin/true"], "is not an ampoule"),
        (["package", "lambda", &iris, "--bootstrap", "missing"], "can't read missing"),
        (["package", "lambda", &iris, "--bootstrap", &script], "expected a 64-bit program for Linux"),
        (["package", "lambda", &iris, "--bootstrap", &elsewhere], "package on such a machine"),
        (["package", "image", &iris, "--certificates", "missing"], "missing"),
    ] {
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn an_image_is_an_oci_layout_and_is_always_the_same() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let image = pack(folder.path(), "image", "iris", &["--program", "/bin/true"]);
    let bytes = std::fs::read(&image).expect("it is there");
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(bytes.as_slice()).entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").to_string_lossy().into_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("it is whole");
        files.insert(path, content);
    }
    let read = |path: &str| -> Value { serde_json::from_slice(&files[path]).expect("JSON") };
    let blob = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest");
        let content = &files[&format!("blobs/{}", digest.replace(':', "/"))];
        assert_eq!(format!("sha256:{}", ampoule_host::sha256_hex(content)), digest);
        assert_eq!(descriptor["size"].as_u64(), Some(content.len() as u64));
        content.clone()
    };
    assert_eq!(read("oci-layout")["imageLayoutVersion"], "1.0.0");
    let manifest: Value =
        serde_json::from_slice(&blob(&read("index.json")["manifests"][0])).expect("a manifest");
    let config: Value = serde_json::from_slice(&blob(&manifest["config"])).expect("a configuration");
    assert_eq!(config["config"]["Entrypoint"], json!(["/ampoule/cloud"]));
    assert_eq!(config["config"]["User"], "65532:65532");
    let layers = manifest["layers"].as_array().expect("layers");
    let mut inside = Vec::new();
    for (layer, diff_id) in layers.iter().zip(config["rootfs"]["diff_ids"].as_array().expect("digests")) {
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(blob(layer).as_slice()).read_to_end(&mut tar).expect("it is whole");
        assert_eq!(format!("sha256:{}", ampoule_host::sha256_hex(&tar)), diff_id.as_str().expect("a digest"));
        for entry in tar::Archive::new(tar.as_slice()).entries().expect("a tar") {
            inside.push(entry.expect("an entry").path().expect("a path").to_string_lossy().into_owned());
        }
    }
    for path in
        ["ampoule/cloud", "ampoule/iris.wasm", "ampoule/cache/key", "etc/ssl/certs/ca-certificates.crt"]
    {
        assert!(inside.iter().any(|known| known == path), "expected {path} in {inside:?}");
    }
    assert!(inside.iter().any(|path| path.ends_with("/libc.so.6")), "{inside:?}");
    let again = pack(folder.path(), "image", "iris", &["--program", "/bin/true"]);
    assert_eq!(bytes, std::fs::read(again).expect("it is there"), "the same inputs give the same bytes");
}

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_real_function_answers_out_of_its_zip() {
    let bootstrap = serving("bootstrap");
    let folder = tempfile::tempdir().expect("a folder can be made");
    let zip = pack(folder.path(), "lambda", "iris", &["--bootstrap", &bootstrap.to_string_lossy()]);
    let bytes = zip.metadata().expect("facts").len();
    assert!(bytes <= 12_000_000, "expected a zip of 12 MB at most, got {bytes} bytes");
    let task = folder.path().join("task");
    unzip(&zip, &task);

    // What the function asks for its events, and answers to.
    let runtime = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = runtime.local_addr().expect("an address").to_string();
    let _function = Running(
        Command::new(task.join("bootstrap"))
            .current_dir(&task)
            .env_clear()
            .envs([("AWS_LAMBDA_RUNTIME_API", address.as_str()), ("AWS_LAMBDA_FUNCTION_NAME", "iris")])
            .envs([("AWS_LAMBDA_FUNCTION_VERSION", "1"), ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")])
            .envs([("LAMBDA_TASK_ROOT", task.to_string_lossy().as_ref()), ("AWS_REGION", "eu-central-1")])
            .envs([("AWS_LAMBDA_LOG_GROUP_NAME", "g"), ("AWS_LAMBDA_LOG_STREAM_NAME", "s")])
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts"),
    );
    let event = json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/predictions", "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "1", "apiId": "a", "domainName": "d", "domainPrefix": "p", "requestId": "r",
            "routeKey": "$default", "stage": "$default", "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390u64,
            "http": {"method": "POST", "path": "/predictions", "protocol": "HTTP/1.1",
                     "sourceIp": "1.2.3.4", "userAgent": "test"},
        },
        "body": FLOWER, "isBase64Encoded": false,
    })
    .to_string();
    let answer = answered(&runtime, &event);
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().expect("a body")).expect("JSON");
    assert_eq!(body["predictions"][0]["label"], "setosa", "{body}");
}

/// Gives `event` to whoever asks for one, and waits for the answer to it.
fn answered(runtime: &TcpListener, event: &str) -> Value {
    for stream in runtime.incoming() {
        let mut stream = stream.expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time can be set");
        while let Some((head, body)) = request(&mut stream) {
            if head.contains("/invocation/next") {
                let later = std::time::SystemTime::now() + Duration::from_secs(60);
                let deadline = later.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_millis();
                let reply = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
                     lambda-runtime-aws-request-id: r-1\r\nlambda-runtime-deadline-ms: {deadline}\r\n\
                     lambda-runtime-invoked-function-arn: arn:aws:lambda:eu-central-1:1:function:iris\r\n\
                     lambda-runtime-trace-id: Root=1-1-1\r\n\r\n{event}",
                    event.len()
                );
                stream.write_all(reply.as_bytes()).expect("sent");
            } else if head.contains("/invocation/r-1/response") {
                return serde_json::from_slice(&body).expect("JSON");
            } else {
                panic!("{head}{}", String::from_utf8_lossy(&body));
            }
        }
    }
    unreachable!("a listener goes on for ever")
}

/// One request: its head and its body. None where the connection has ended.
fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0u8];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("a head is text");
    let header = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.trim().to_owned())
    };
    let mut body = vec![0; header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    stream.read_exact(&mut body).expect("the body is whole");
    Some((head, body))
}

#[test]
fn the_real_image_answers_in_a_container() {
    let cloud = serving("cloud");
    if !has("buildah") || !is_root() {
        eprintln!("skipped: buildah and root are needed");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder can be made");
    let image = pack(folder.path(), "image", "iris", &["--program", &cloud.to_string_lossy()]);
    let buildah = Buildah { folder: folder.path().join("containers") };
    let pulled = buildah.said(&["from", &format!("oci-archive:{}", image.display())]);
    buildah.serves(&pulled);

    // The Dockerfile, on our own layer of libraries, since there is no registry to pull another from.
    let deployed = folder.path().join("deployed");
    let iris = sealed("iris");
    let arguments = ["deploy", "gcp", &iris.to_string_lossy(), "--out", &deployed.to_string_lossy()];
    let output = run(folder.path(), &[&arguments[..], &["--program", &cloud.to_string_lossy()]].concat());
    assert!(output.status.success(), "{}", said(&output));
    let base = buildah.said(&["commit", &pulled, "base"]);
    assert!(!base.is_empty());
    let context = deployed.to_string_lossy().into_owned();
    buildah.said(&[
        "build",
        "--isolation",
        "chroot",
        "--build-arg",
        "BASE=localhost/base",
        "-t",
        "iris",
        &context,
    ]);
    buildah.serves(&buildah.said(&["from", "localhost/iris"]));
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

struct Buildah {
    folder: PathBuf,
}

impl Buildah {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        let place = |name: &str| self.folder.join(name).to_string_lossy().into_owned();
        command.args(["--storage-driver", "vfs", "--root", &place("root"), "--runroot", &place("run")]);
        command.args(arguments);
        command
    }

    /// The last line that it printed.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().lines().last().unwrap_or_default().to_owned()
    }

    /// Runs what the container runs, and asks it.
    fn serves(&self, container: &str) {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let variable = format!("PORT={port}");
        let arguments =
            ["run", "--isolation", "chroot", "--env", &variable, container, "--", "/ampoule/cloud"];
        let _server = Running(self.command(&arguments).spawn().expect("it starts"));
        let ask = |request: &str| -> Result<Answer, String> {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|cause| cause.to_string())?;
            stream.write_all(request.as_bytes()).map_err(|cause| cause.to_string())?;
            Answer::read(&mut stream)
        };
        let health = "GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        let healthy = || ask(health).is_ok_and(|answer| answer.status == 200);
        assert!(eventually(Duration::from_secs(120), healthy), "it is healthy");
        let answer = ask(&format!(
            "POST /predictions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{FLOWER}",
            FLOWER.len()
        ));
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["predictions"][0]["label"], "setosa");
        // Nothing of the container but its own program is ended: the chroot's child is the listener.
        self.end(port);
    }

    /// Ends the program that listens on `port`: `buildah run` doesn't pass a kill on.
    fn end(&self, port: u16) {
        let processes = std::fs::read_dir("/proc").expect("Linux has it").flatten();
        for process in processes {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            let ours =
                environment.split(|byte| *byte == 0).any(|line| line == format!("PORT={port}").as_bytes());
            let program = std::fs::read_link(process.path().join("exe")).unwrap_or_default();
            if ours && program.ends_with("ampoule/cloud") {
                let id = process.file_name().to_string_lossy().into_owned();
                let _ = Command::new("kill").arg(id).status();
            }
        }
    }
}
