//! The pictures, and the masks that a local run makes of them.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use ampoule_tests::{root, run, said, sealed};

use super::{INPUT, OUTPUT};

/// The begin of keys: what a cloud encodes in one way in its events and in another in its paths.
const FOLDERS: [&str; 4] = ["", "2026/11/", "a b+c/", "100%25 é/"];

/// 24 pictures that differ, by key: both halves of every scene, as PNG.
pub fn pictures() -> BTreeMap<String, Vec<u8>> {
    let scenes = std::fs::read_dir(root().join("models/clouds/scenes")).expect("the scenes are there");
    let mut scenes: Vec<PathBuf> = scenes.flatten().map(|entry| entry.path()).collect();
    scenes.sort();
    let mut pictures = BTreeMap::new();
    for path in scenes {
        let scene = image::open(&path).expect("a picture");
        let name = path.file_stem().expect("a name").to_string_lossy();
        let half = scene.width() / 2;
        for (side, left) in [("west", 0), ("east", scene.width() - half)] {
            let mut bytes = Cursor::new(Vec::new());
            let picture = scene.crop_imm(left, 0, half, scene.height());
            picture.write_to(&mut bytes, image::ImageFormat::Png).expect("it can be written");
            let folder = FOLDERS[pictures.len() % FOLDERS.len()];
            pictures.insert(format!("{folder}{name} {side}.png"), bytes.into_inner());
        }
    }
    assert_eq!(pictures.len(), 24);
    pictures
}

/// What `ampoule batch` makes of the pictures in a folder of this machine.
pub struct Masks(BTreeMap<String, Vec<u8>>);

impl Masks {
    pub fn here(pictures: &BTreeMap<String, Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        for (key, bytes) in pictures {
            let path = folder.path().join(INPUT).join(key);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
            std::fs::write(path, bytes).expect("written");
        }
        let output = run(folder.path(), &["batch", &sealed("clouds").to_string_lossy(), INPUT, OUTPUT]);
        assert!(output.status.success(), "{}", said(&output));
        let mut masks = BTreeMap::new();
        collect(&folder.path().join(OUTPUT), "", &mut masks);
        assert_eq!(masks.len(), pictures.len(), "{:?}", masks.keys());
        Self(masks)
    }

    /// Whether `found` are these masks and nothing else but the job's own record.
    pub fn check(&self, mut found: BTreeMap<String, Vec<u8>>) {
        found.retain(|key, _| !key.starts_with("_jobs/"));
        assert!(found.keys().eq(self.0.keys()), "{:?}, {:?}", found.keys(), self.0.keys());
        for (key, bytes) in found {
            assert!(bytes.starts_with(b"\x89PNG"), "{key}");
            assert!(self.0[&key] == bytes, "{key} is another mask than the local run's");
        }
    }
}

/// Files below a folder, but for records and what a store keeps beside them.
fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if prefix.is_empty() && (name.starts_with('.') || name == "_jobs") {
            continue;
        }
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), files);
        } else {
            let bytes = std::fs::read(entry.path()).expect("it can be read");
            files.insert(format!("{prefix}{name}"), bytes);
        }
    }
}
