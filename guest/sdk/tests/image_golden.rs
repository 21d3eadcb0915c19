//! Pictures against Pillow, numpy, tifffile and the published cloud masks' tiling.
//!
//! `image_golden/make.py` makes the files and says what they must become. Tolerances: nothing for
//! lossless files, whole numbers resized, borders and normalisation; 1e-6 for floats resized and for
//! blended tiles; 1/255 of the range for letterboxes, which Pillow may resize in another order; one level
//! for JPEG, where no sample differs from those of libjpeg-turbo 3.2 on x86-64; what a case states for WebP.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ampoule_guest::image::steps::{Decode, Fit, Pad, Tile, ToTensor};
use ampoule_guest::image::{self, DecodeLimits, Filter, Image, Layout, Pixels};
use ampoule_guest::{Fault, Tensor};
use serde::Deserialize;

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "image_golden"].iter().collect()
}

fn read(name: &str) -> Vec<u8> {
    let path = folder().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Raw little-endian numbers in `arrays/`.
#[derive(Deserialize)]
struct Array {
    array: String,
    shape: Vec<usize>,
    dtype: String,
}

impl Array {
    fn pixels(&self) -> Pixels {
        let bytes = read(&format!("arrays/{}", self.array));
        match self.dtype.as_str() {
            "u8" => Pixels::U8(bytes),
            "u16" => Pixels::U16(bytes.as_chunks().0.iter().map(|&item| u16::from_le_bytes(item)).collect()),
            "f32" => Pixels::F32(bytes.as_chunks().0.iter().map(|&item| f32::from_le_bytes(item)).collect()),
            other => panic!("dtype {other}"),
        }
    }

    fn image(&self) -> Image {
        let side = |axis: usize| u32::try_from(self.shape[axis]).expect("small");
        Image::new(side(1), side(0), side(2), self.pixels()).expect("the shape fits")
    }

    fn floats(&self) -> Vec<f32> {
        match self.pixels() {
            Pixels::F32(items) => items,
            other => panic!("{} is no f32", other.type_name()),
        }
    }
}

#[derive(Deserialize)]
struct Cases {
    decode: Vec<DecodeCase>,
    hostile: Vec<HostileCase>,
    resize: Vec<ResizeCase>,
    nearest: Vec<NearestCase>,
    pad: Vec<FrameCase<Pad>>,
    fit: Vec<FrameCase<Fit>>,
    tensor: Vec<FrameCase<ToTensor>>,
    tiles: Vec<TilesCase>,
}

#[derive(Deserialize)]
struct DecodeCase {
    file: String,
    mode: serde_json::Value,
    orientation: serde_json::Value,
    within: f64,
    expected: Array,
}

#[derive(Deserialize)]
struct HostileCase {
    file: String,
    message: String,
}

#[derive(Deserialize)]
struct ResizeCase {
    filter: Filter,
    input: Array,
    expected: Array,
}

#[derive(Deserialize)]
struct NearestCase {
    before: u16,
    dtype: String,
    /// The indices that the pixels come from
    expected: Array,
}

#[derive(Deserialize)]
struct FrameCase<Step> {
    step: Step,
    input: Array,
    expected: Array,
}

#[derive(Deserialize)]
struct TilesCase {
    step: Tile,
    width: u32,
    height: u32,
    /// Both diagonals of every tile, `[n, 2, tile]`, of a picture whose pixels are numbered
    expected: Array,
    /// `[2, height, width]`
    blended: Array,
}

fn cases() -> Cases {
    serde_json::from_slice(&read("cases.json")).expect("make.py writes what this test reads")
}

fn numbers(pixels: &Pixels) -> Vec<f64> {
    match pixels {
        Pixels::U8(items) => items.iter().map(|&item| f64::from(item)).collect(),
        Pixels::U16(items) => items.iter().map(|&item| f64::from(item)).collect(),
        Pixels::F32(items) => items.iter().map(|&item| f64::from(item)).collect(),
    }
}

/// The largest difference of two pictures' samples, where shape and type are the same.
#[track_caller]
fn difference(actual: &Image, expected: &Image, what: &str) -> f64 {
    let shape = |image: &Image| (image.height(), image.width(), image.bands(), image.pixels().type_name());
    assert_eq!(shape(actual), shape(expected), "{what}");
    let pairs = numbers(actual.pixels()).into_iter().zip(numbers(expected.pixels()));
    pairs.map(|(actual, expected)| (actual - expected).abs()).fold(0.0, f64::max)
}

#[test]
fn files_of_every_kind_are_read_as_pillow_reads_them() {
    let mut worst = [("png", 0.0), ("jpeg", 0.0), ("webp", 0.0), ("tiff", 0.0), ("turned", 0.0)];
    let (mut jpeg_samples, mut jpeg_differ) = (0, 0);
    for case in cases().decode {
        let what = format!("{} as {} {}", case.file, case.mode, case.orientation);
        let step = serde_json::json!({"mode": case.mode, "orientation": case.orientation});
        let step: Decode = serde_json::from_value(step).expect("a valid step");
        let actual = step
            .apply(&read(&format!("files/{}", case.file)))
            .unwrap_or_else(|failure| panic!("{what}: {failure}"));
        let expected = case.expected.image();
        let difference = difference(&actual, &expected, &what);
        assert!(difference <= case.within, "{what}: off by {difference}");
        if case.file.ends_with(".jpg") {
            let pairs = numbers(actual.pixels()).into_iter().zip(numbers(expected.pixels()));
            jpeg_samples += pairs.len();
            jpeg_differ += pairs.filter(|(actual, expected)| actual != expected).count();
        }
        let kind = worst.iter_mut().find(|(kind, _)| case.file.starts_with(kind)).expect("a known kind");
        kind.1 = f64::max(kind.1, difference);
    }
    println!("largest differences: {worst:?}; {jpeg_differ} of {jpeg_samples} samples of JPEGs differ");
}

#[test]
fn pictures_are_resized_as_pillow_resizes_them() {
    let mut worst = std::collections::BTreeMap::new();
    for case in cases().resize {
        let image = case.input.image();
        let expected = case.expected.image();
        let actual =
            image::resize(&image, expected.width(), expected.height(), case.filter).expect("it fits");
        let what = format!(
            "{:?} of {} {:?} to {:?}",
            case.filter, case.input.dtype, case.input.shape, case.expected.shape
        );
        let difference = difference(&actual, &expected, &what);
        let allowed = match (case.filter, case.input.dtype.as_str()) {
            (Filter::Nearest, _) | (_, "u8" | "u16") => 0.0,
            _ => 1e-6,
        };
        assert!(difference <= allowed, "{what}: off by {difference}");
        let kind = worst.entry(format!("{:?} {}", case.filter, case.input.dtype)).or_insert(0.0);
        *kind = f64::max(*kind, difference);
    }
    println!("largest differences: {worst:?}");
}

#[test]
fn the_nearest_pixel_is_pillows_at_every_size() {
    for case in cases().nearest {
        let pixels = match case.dtype.as_str() {
            "uint16" => Pixels::U16((0..case.before).collect()),
            _ => Pixels::F32((0..case.before).map(f32::from).collect()),
        };
        let column = Image::new(1, case.before.into(), 1, pixels).expect("it fits");
        let expected = case.expected.image();
        let actual = image::resize(&column, 1, expected.height(), Filter::Nearest).expect("it fits");
        let what = format!("{} to {} of {}", case.before, expected.height(), case.dtype);
        assert_eq!(numbers(actual.pixels()), numbers(expected.pixels()), "{what}");
    }
}

#[test]
fn borders_are_numpys() {
    for case in cases().pad {
        let actual = case.step.apply(&case.input.image()).expect("it fits");
        assert_eq!(actual, case.expected.image(), "{:?}", case.step);
        let Pad { left, top, .. } = case.step;
        let input = case.input.image();
        assert_eq!(
            image::crop(&actual, left, top, input.width(), input.height()),
            Ok(input),
            "{:?}",
            case.step
        );
    }
}

#[test]
fn letterboxes_are_pillows() {
    for case in cases().fit {
        let actual = case.step.apply(&case.input.image()).expect("it fits");
        let difference = difference(&actual, &case.expected.image(), &format!("{:?}", case.step));
        let allowed = if case.step.filter == Filter::Nearest { 0.0 } else { 1.0 };
        assert!(difference <= allowed, "{:?}: off by {difference}", case.step);
    }
}

#[test]
fn tensors_are_numpys() {
    for case in cases().tensor {
        let actual = case.step.apply(&case.input.image()).expect("three bands");
        assert_eq!(actual.shape(), case.expected.shape, "{:?}", case.step);
        assert_eq!(actual.items::<f32>().expect("f32"), case.expected.floats(), "{:?}", case.step);
    }
}

/// What stands for a model's answers, as `make.py` computes it.
fn answers(shape: &[usize]) -> Tensor {
    let items = (0..shape.iter().product::<usize>())
        .map(|index| {
            let hashed = u32::try_from(index).expect("small").wrapping_mul(2_654_435_761) >> 8;
            hashed as f32 / 16_777_216.0
        })
        .collect();
    Tensor::new(shape, items).expect("the shape fits")
}

#[test]
fn tiles_are_cut_and_blended_as_numpy_and_the_published_masks_do() {
    let mut worst = 0f32;
    for case in cases().tiles {
        let what = format!("{:?} of {} x {}", case.step, case.width, case.height);
        let (width, height) = (case.width as usize, case.height as usize);
        let numbered: Vec<f32> = (0..width * height).map(|number| number as f32).collect();
        let planar = Tensor::new(&[1, 1, height, width], numbered.clone()).expect("it fits");
        let (grid, tiles) = case.step.apply(&planar, Layout::Nchw).expect("a grid");
        let tile = grid.tile();
        assert_eq!(tiles.shape(), [case.expected.shape[0], 1, tile, tile], "{what}");
        let items = tiles.items::<f32>().expect("f32");
        let diagonals = items.chunks_exact(tile * tile).flat_map(|tile_items| {
            let main = (0..tile).map(move |i| tile_items[i * tile + i]);
            main.chain((0..tile).map(move |i| tile_items[i * tile + tile - 1 - i]))
        });
        let expected = numbers(&case.expected.pixels());
        assert!(diagonals.map(f64::from).eq(expected), "{what}: the tiles differ");

        // Two bands, the other layout: the same tiles, one behind the other.
        let doubled = numbered.iter().flat_map(|&number| [number, -number]).collect();
        let interleaved = Tensor::new(&[height, width, 2], doubled).expect("it fits");
        for index in 0..grid.len() {
            let pair = grid.cut(&interleaved, Layout::Nhwc, index..index + 1).expect("a tile");
            let (first, second) = pair.items::<f32>().expect("f32").split_at(tile * tile);
            assert_eq!(first, &items[index * tile * tile..][..tile * tile], "{what}");
            assert!(first.iter().zip(second).all(|(a, b)| *a == -b), "{what}");
        }

        let given = answers(&[grid.len(), 2, tile, tile]);
        let blended = grid.blend(&given).expect("all answers");
        assert_eq!(blended.shape()[1..], case.blended.shape, "{what}");
        let pairs = blended.items::<f32>().expect("f32").iter().zip(case.blended.floats());
        let difference = pairs.map(|(actual, expected)| (actual - expected).abs()).fold(0.0, f32::max);
        assert!(difference <= 1e-6, "{what}: off by {difference}");
        worst = worst.max(difference);

        // Answers that come one by one make the same picture.
        let mut blender = image::Blender::new(&grid, 2).expect("it fits");
        for answer in given.items::<f32>().expect("f32").chunks_exact(2 * tile * tile) {
            blender
                .add(&Tensor::new(&[1, 2, tile, tile], answer.to_vec()).expect("it fits"))
                .expect("in order");
        }
        assert_eq!(blender.finish().expect("all answers"), blended, "{what}");
    }
    println!("largest difference: {worst}");
}

#[test]
fn tiles_and_answers_of_other_shapes_are_refused() {
    let grid = image::Grid::new(20, 10, 8, 2).expect("valid");
    let picture = answers(&[1, 3, 10, 20]);
    assert!(grid.cut(&picture, Layout::Nchw, 0..grid.len()).is_ok());
    assert!(grid.cut(&picture, Layout::Nhwc, 0..1).is_err());
    assert!(grid.cut(&answers(&[2, 3, 10, 20]), Layout::Nchw, 0..1).is_err());
    assert!(grid.cut(&picture, Layout::Nchw, 0..grid.len() + 1).is_err());
    assert!(grid.blend(&answers(&[grid.len(), 2, 8, 7])).is_err());
    assert!(grid.blend(&answers(&[grid.len() - 1, 2, 8, 8])).is_err());
    assert!(grid.blend(&answers(&[grid.len() + 1, 2, 8, 8])).is_err());
    assert!(image::Blender::new(&grid, 0).is_err());
    assert!(image::Blender::new(&grid, usize::MAX).is_err());
    for (width, height, tile, overlap) in
        [(0, 1, 8, 0), (1, 0, 8, 0), (1, 1, 0, 0), (1, 1, 8, 8), (1, 1, 8, 9)]
    {
        assert!(image::Grid::new(width, height, tile, overlap).is_err(), "{width} {height} {tile} {overlap}");
    }
    for (tile, overlap) in [(0, 0.2), (8, 0.6), (8, -0.1), (8, f64::NAN)] {
        assert!(image::Grid::tukey(9, 9, tile, overlap).is_err(), "{tile} {overlap}");
    }
}

/// Long enough for a slow machine, far too short to fill gigabytes.
const SOON: Duration = Duration::from_millis(500);

#[test]
fn hostile_files_are_refused_soon_and_by_name() {
    for case in cases().hostile {
        let bytes = read(&format!("hostile/{}", case.file));
        let start = Instant::now();
        let result = image::decode(&bytes, &DecodeLimits::default());
        let took = start.elapsed();
        assert!(took < SOON, "{}: {took:?}", case.file);
        match result {
            Ok(_) => assert_eq!(case.message, "", "{} was read", case.file),
            Err(failure) => {
                assert!(!case.message.is_empty(), "{}: {failure}", case.file);
                assert_eq!(failure.fault, Fault::Caller, "{}", case.file);
                let text = failure.to_string();
                assert!(text.contains(&case.message), "{}: {text}", case.file);
            }
        }
    }
}

fn files() -> Vec<(String, Vec<u8>)> {
    let mut names: Vec<String> =
        cases().decode.into_iter().map(|case| format!("files/{}", case.file)).collect();
    names.dedup();
    names.into_iter().map(|name| (name.clone(), read(&name))).collect()
}

#[test]
fn a_truncated_file_is_refused_wherever_it_ends() {
    for (name, bytes) in files() {
        for sixteenth in 0..16 {
            let part = &bytes[..bytes.len() * sixteenth / 16];
            let Err(failure) = image::decode(part, &DecodeLimits::default()) else {
                // Metadata behind the samples of a TIFF or a WebP may be missing; no sample may.
                let whole = image::decode(&bytes, &DecodeLimits::default()).expect("the whole file is read");
                assert_eq!(
                    image::decode(part, &DecodeLimits::default()),
                    Ok(whole),
                    "{name} to {sixteenth}/16"
                );
                continue;
            };
            assert_eq!(failure.fault, Fault::Caller, "{name} to {sixteenth}/16: {failure}");
        }
    }
}

#[test]
fn no_changed_byte_makes_the_decoder_panic() {
    let limits = DecodeLimits { max_pixels: 1 << 16, ..DecodeLimits::default() };
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).expect("below a usize")
    };
    let rounds = std::env::var("AMPOULE_MUTATIONS").map_or(40, |rounds| rounds.parse().expect("a number"));
    for (name, bytes) in files() {
        for _ in 0..rounds {
            let mut changed = bytes.clone();
            for _ in 0..=next(4) {
                // Half of the changes hit the header, where they matter most.
                let span = if next(2) == 0 { changed.len() } else { changed.len().min(400) };
                let at = next(span);
                changed[at] = [0, 1, 0x7f, 0x80, 0xff, changed[at] ^ 1 << next(8)][next(6)];
            }
            let result = std::panic::catch_unwind(|| image::decode_upright(&changed, &limits));
            if result.is_err() {
                let path = std::env::temp_dir().join("ampoule-panic");
                std::fs::write(&path, &changed).expect("the temporary folder can be written");
                panic!("{name}, changed as in {}", path.display());
            }
        }
    }
}
