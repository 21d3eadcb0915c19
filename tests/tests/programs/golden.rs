//! The models' answers against those of the libraries that trained or publish them.

use std::path::Path;

use ampoule_tests::{Server, root, run, said, sealed};
use serde_json::{Value, json};

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("the file is there")).expect("it is JSON")
}

#[test]
fn iris_answers_as_xgboost_does_on_every_flower() {
    const SPECIES: [&str; 3] = ["setosa", "versicolor", "virginica"];
    let reference = read_json(&root().join("models/iris/reference.json"));
    let server = Server::start(&[&sealed("iris").to_string_lossy()]);
    let answer = server.post("/predictions", &json!({ "instances": reference["instances"] }).to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let predictions = answer["predictions"].as_array().expect("a list");
    let labels = reference["labels"].as_array().expect("a list");
    assert_eq!((predictions.len(), labels.len()), (150, 150));
    let mut worst = 0f64;
    for (index, prediction) in predictions.iter().enumerate() {
        let class = usize::try_from(labels[index].as_u64().expect("a class")).expect("it is small");
        assert_eq!(prediction["label"], SPECIES[class], "flower {index}");
        for class in 0..3 {
            let ours = prediction["probabilities"][class].as_f64().expect("a number");
            let theirs = reference["probabilities"][index][class].as_f64().expect("a number");
            worst = worst.max((ours - theirs).abs());
        }
    }
    println!("iris: 150 labels equal, largest difference of a probability {worst:.1e}");
    assert!(worst <= 1e-6, "{worst}");
}

/// The share of pixels that differ, and how many there are.
fn differing(ours: &Path, theirs: &Path) -> (f64, u32) {
    let open = |path: &Path| {
        image::open(path).unwrap_or_else(|cause| panic!("{}: {cause}", path.display())).to_luma8()
    };
    let (ours, theirs) = (open(ours), open(theirs));
    assert_eq!(ours.dimensions(), theirs.dimensions());
    let differing = ours.pixels().zip(theirs.pixels()).filter(|(a, b)| a != b).count();
    let pixels = ours.width() * ours.height();
    (differing as f64 / f64::from(pixels), pixels)
}

#[test]
fn clouds_masks_agree_with_onnx_runtime_on_every_scene() {
    let clouds = root().join("models/clouds");
    let out = tempfile::tempdir().expect("a folder can be made");
    let output = run(
        out.path(),
        &["batch", &sealed("clouds").to_string_lossy(), &clouds.join("scenes").to_string_lossy(), "masks"],
    );
    assert!(output.status.success(), "{}", said(&output));
    let (mut wrong, mut all) = (0.0, 0.0);
    for entry in std::fs::read_dir(clouds.join("scenes")).expect("the scenes are there").flatten() {
        let name = entry.path().file_name().expect("a name").to_string_lossy().into_owned();
        let mask = format!("{name}.png");
        let reference = clouds.join("reference").join(Path::new(&name).with_extension("png"));
        let (share, pixels) = differing(&out.path().join("masks").join(mask), &reference);
        println!("{name}: {:.4} % of {pixels} pixels differ", share * 100.0);
        assert!(share <= 1e-4, "{name}: {share}");
        wrong += share * f64::from(pixels);
        all += f64::from(pixels);
    }
    assert!(all > 0.0 && wrong / all <= 1e-4, "{wrong} of {all}");
}

#[test]
fn csmask_classes_agree_with_its_python_package() {
    let csmask = root().join("models/csmask");
    if !csmask.join("model_4b_l1c.onnx").exists() {
        assert!(std::env::var_os("CI").is_none(), "the model is missing: run `make csmask`");
        println!("skipped: run `make csmask`");
        return;
    }
    let out = tempfile::tempdir().expect("a folder can be made");
    let model = sealed("csmask");
    for scene in ["square", "fields", "coast", "small"] {
        let input = csmask.join("golden").join(scene).with_extension("tif");
        let output = run(
            out.path(),
            &["predict", &model.to_string_lossy(), &input.to_string_lossy(), "-o", "mask.png"],
        );
        assert!(output.status.success(), "{}", said(&output));
        let (share, pixels) =
            differing(&out.path().join("mask.png"), &csmask.join("golden").join(scene).with_extension("png"));
        println!("{scene}: {:.4} % of {pixels} pixels differ", share * 100.0);
        assert!(share <= 1e-3, "{scene}: {share}");
    }
}
