//! Files through `ampoule predict`: every format, in bounded memory.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use ampoule_tests::{ampoule, cache, run, said, sealed};

const HEADER: &str = "id,sepal_length,sepal_width,note,petal_length,petal_width\n";

fn predicted(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let iris = sealed("iris");
    let iris = iris.to_string_lossy();
    let mut all = vec!["predict", &*iris];
    all.extend_from_slice(arguments);
    let output = run(folder, &all);
    (output.status.code(), said(&output))
}

#[test]
fn a_table_gives_the_same_predictions_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = |name: &str| folder.path().join(name);
    let table = format!("{HEADER}1,5.1,3.5,a,1.4,0.2\n2,x,3.0,b,5.2,2.3\n3,6.7,3.0,\"c,d\",5.2,2.3\n");
    std::fs::write(path("rows.csv"), &table).expect("it is written");
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(table.as_bytes()).expect("it is packed");
    std::fs::write(path("packed.csv.gz"), packer.finish().expect("it is packed")).expect("it is written");
    let same = ["rows.csv", "packed.csv.gz"];
    for (name, output) in same.into_iter().zip(["a.parquet", "b.parquet"]) {
        let (code, said) = predicted(folder.path(), &[name, "-o", output]);
        assert_eq!(code, Some(3), "{said}");
        let why = "row 1 (line 3): instances[1].sepal_length: expected a number, got \"x\"";
        assert!(said.contains(why), "{said}");
    }
    let bytes = |name: &str| std::fs::read(path(name)).expect("it was written");
    assert_eq!(bytes("a.parquet"), bytes("b.parquet"), "the same rows, the same bytes");
    // What was written is a table again: the row that was refused has no numbers now.
    let (code, said) = predicted(folder.path(), &["a.parquet", "-o", "c.csv"]);
    assert_eq!(code, Some(3), "{said}");
    let lines = String::from_utf8(bytes("c.csv")).expect("text");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(
        lines[0],
        "id,sepal_length,sepal_width,note,petal_length,petal_width,label,probabilities,error,\
         predicted_label,predicted_probabilities,predicted_error"
    );
    assert!(lines[1].starts_with("1,5.1,3.5,a,1.4,0.2,setosa,"), "{}", lines[1]);
    assert!(lines[2].ends_with("instances[1].sepal_length: expected a number, got null\""), "{}", lines[2]);
    assert!(lines[3].starts_with("3,6.7,3.0,\"c,d\",5.2,2.3,virginica,"), "{}", lines[3]);
    assert_eq!(lines.len(), 4);
}

#[test]
fn a_file_that_is_broken_is_refused() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    for (name, bytes, why) in [
        ("a.csv", &b"sepal_length,x\n1,2\n"[..], "expected a column \"sepal_width\", which is missing"),
        ("b.csv", b"1,2,3,\"4\n1,2,3,4\n", "line 1: expected a closing quote"),
        ("c.parquet", b"PAR1, but no more", "not Parquet: expected PAR1 at its end"),
        ("d.jsonl.gz", b"\x1f\x8b\x08\0\0\0\0\0\0\xff", "not gzip: "),
        ("e.json", b"{\"instances\":[[1,2,3,4]", "expected a comma or the array's end"),
    ] {
        std::fs::write(folder.path().join(name), bytes).expect("it is written");
        let (code, said) = predicted(folder.path(), &[name]);
        assert_eq!(code, Some(3), "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
    }
}

/// The most memory that a process has had, in bytes.
fn peak_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux says so");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") << 10
}

#[test]
fn a_large_table_takes_the_memory_of_a_batch() {
    let mut child = Command::new(ampoule())
        .args(["predict", &sealed("iris").to_string_lossy(), "-", "--format", "csv"])
        .env("AMPOULE_CACHE", cache())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(HEADER.as_bytes()).expect("it reads");
    let row = format!("7,5.1,3.5,{},1.4,0.2\n", "n".repeat(1000));
    let block = row.repeat(1000);
    for _ in 0..256 {
        input.write_all(block.as_bytes()).expect("it reads");
    }
    let peak = peak_bytes(child.id());
    drop(input);
    assert!(child.wait().expect("it ends").success());
    println!("256 MB of a table: at most {} MB of memory", peak >> 20);
    assert!(peak < 100 << 20, "{peak} bytes");
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let iris = sealed("iris").to_string_lossy().into_owned();
    std::fs::create_dir(folder.path().join("in")).expect("a folder can be made");
    std::fs::write(folder.path().join("in/row.json"), "[[5.1, 3.5, 1.4, 0.2]]").expect("it is written");
    let model = ampoule_tests::root().join("models/iris/model.onnx").to_string_lossy().into_owned();
    let commands: [&[&str]; 5] = [
        &["inspect", &iris],
        &["predict", &iris, "in/row.json"],
        &["batch", &iris, "in", "out", "--report", "report.json"],
        &["new", "begun", "--model", &model],
        &["deploy", "aws", &iris, "--dry-run"],
    ];
    for arguments in commands {
        let (reader, writer) = std::io::pipe().expect("there are pipes");
        drop(reader);
        let output = Command::new(ampoule())
            .args(arguments)
            .current_dir(folder.path())
            .env("AMPOULE_CACHE", cache())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        assert!(output.stderr.is_empty() || arguments[0] == "batch", "{arguments:?}: {}", said(&output));
    }
    let report = std::fs::read_to_string(folder.path().join("report.json")).expect("it was written");
    assert!(report.contains("\"done\":1"), "{report}");
}
