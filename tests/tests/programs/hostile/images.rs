//! Hostile pictures: truncated, lying, exploding, or none at all; over HTTP and in a folder.

use std::fs;

use super::pictures::{good_jpeg, good_png, grey, grey_but, header, png, tiff, webp, zeros, zlib};
use super::table::{Case, Good, SETTLED, hold};
use ampoule_tests::{Server, root, run, said, sealed};
use serde_json::Value;

const TYPES: &str = "expected image/png or image/jpeg or image/webp or image/tiff, got ";

fn clouds() -> (Server, Good) {
    let server = Server::start_with(&[&sealed("clouds").to_string_lossy(), "--memory-mib", "128"], &SETTLED);
    let body = fs::read(root().join("models/clouds/scenes/speck.png")).expect("the scene is there");
    (server, Good { path: "/predictions", content_type: "image/png", body })
}

/// A picture that the predictor refuses.
fn picture(name: &str, content_type: &str, bytes: impl Into<Vec<u8>>) -> Case {
    Case::post(name, content_type, bytes).status(422).code("invalid_instance").at("instances[0]")
}

/// A body that is refused before the predictor sees it.
fn refused(name: &str, content_type: &str, bytes: impl Into<Vec<u8>>) -> Case {
    Case::post(name, content_type, bytes).code("invalid_instance").at("instances[0]")
}

fn too_large(name: &str, content_type: &str, bytes: Vec<u8>, says: &str) -> Case {
    picture(name, content_type, bytes).says("the picture is too large: expected at most ").says(says)
}

#[test]
fn a_file_that_is_no_whole_picture_is_refused() {
    let (mut server, good) = clouds();
    let (whole_png, whole_jpeg) = (good_png(48, 40), good_jpeg(48, 40));
    let whole_tiff = tiff(&grey(16, 16), 0, &[128; 256]);
    let mut cases = Vec::new();
    for eighth in 1..8 {
        let cut = |whole: &[u8]| whole[..whole.len() * eighth / 8].to_vec();
        cases.push(
            picture(&format!("a PNG cut at {eighth}/8"), "image/png", cut(&whole_png))
                .says("the PNG is truncated, corrupt"),
        );
        cases.push(
            picture(&format!("a JPEG cut at {eighth}/8"), "image/jpeg", cut(&whole_jpeg))
                .says("the JPEG is truncated, corrupt"),
        );
        cases.push(
            picture(&format!("a TIFF cut at {eighth}/8"), "image/tiff", cut(&whole_tiff))
                .says("the TIFF is truncated, corrupt"),
        );
    }
    let changed = |at: usize| {
        let mut bytes = whole_png.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    let none = "the picture's format can't be read: expected PNG, JPEG, WebP or TIFF, got ";
    let frames = [&2u32.to_be_bytes()[..], &0u32.to_be_bytes()].concat();
    let corrupt_png = |name: &str, bytes: Vec<u8>| picture(name, "image/png", bytes).says("PNG");
    cases.extend([
        picture("nothing", "image/png", "").says(&format!("{none}an empty file")),
        picture("text", "image/png", "hello").says(&format!("{none}a file that starts like none of them")),
        picture("zeros", "image/jpeg", vec![0; 4096]).says(none),
        picture("SVG said to be a PNG", "image/png", "<svg onload=\"alert(1)\"/>")
            .says(&format!("{none}markup such as SVG")),
        picture("BMP said to be a PNG", "image/png", "BM\0\0\0\0").says(&format!("{none}BMP")),
        picture("AVIF said to be a PNG", "image/png", "\0\0\0\x1cftypavif").says(&format!("{none}AVIF")),
        picture("a PNG's first four bytes", "image/png", b"\x89PNG".as_slice()).says(none),
        picture("a PNG spoiled by line ends", "image/png", b"\x89PNG\n\x1a\n".as_slice()).says(none),
        refused("SVG", "image/svg+xml", "<svg/>")
            .says(&format!("{TYPES}image/svg+xml of 6 bytes (begins 3c 73 76 67 2f 3e)")),
        refused("GIF", "image/gif", "GIF89a\x01\0\x01\0").says(&format!("{TYPES}image/gif of 10 bytes")),
        refused("GIF said to be a PNG", "image/png", "GIF89a\x01\0\x01\0")
            .says(&format!("{TYPES}image/gif of 10 bytes")),
        refused("PDF said to be a PNG", "image/png", "%PDF-1.7\n")
            .says(&format!("{TYPES}application/pdf of 9 bytes")),
        refused("an unknown kind of picture", "image/x-icon", [0, 0, 1, 0].as_slice())
            .says(&format!("{TYPES}image/x-icon of 4 bytes (begins 00 00 01 00)")),
        corrupt_png("a PNG without data", png(&[(b"IHDR", header(8, 8, 8, 2)), (b"IEND", Vec::new())])),
        corrupt_png("a PNG without a header", png(&[(b"IDAT", zlib(&[0; 200])), (b"IEND", Vec::new())])),
        corrupt_png(
            "a PNG with two headers",
            png(&[
                (b"IHDR", header(8, 8, 8, 0)),
                (b"IHDR", header(900, 8, 8, 0)),
                (b"IDAT", zlib(&[0; 72])),
                (b"IEND", Vec::new()),
            ]),
        ),
        corrupt_png(
            "too little data in a PNG",
            png(&[(b"IHDR", header(64, 64, 8, 2)), (b"IDAT", zlib(&[0; 100])), (b"IEND", Vec::new())]),
        ),
        corrupt_png(
            "a PNG with an unknown filter",
            png(&[(b"IHDR", header(8, 8, 8, 0)), (b"IDAT", zlib(&[9; 72])), (b"IEND", Vec::new())]),
        ),
        corrupt_png(
            "a PNG of an unknown colour type",
            png(&[(b"IHDR", header(8, 8, 8, 5)), (b"IDAT", zlib(&[0; 72])), (b"IEND", Vec::new())]),
        ),
        corrupt_png(
            "a PNG of three bits",
            png(&[(b"IHDR", header(8, 8, 3, 0)), (b"IDAT", zlib(&[0; 72])), (b"IEND", Vec::new())]),
        ),
        corrupt_png(
            "a palette that is not there",
            png(&[(b"IHDR", header(8, 8, 8, 3)), (b"IDAT", zlib(&[0; 72])), (b"IEND", Vec::new())]),
        ),
        picture(
            "an index beyond the palette",
            "image/png",
            png(&[
                (b"IHDR", header(8, 8, 8, 3)),
                (b"PLTE", vec![1, 2, 3]),
                (b"IDAT", zlib(&[0, 9, 9, 9, 9, 9, 9, 9, 9].repeat(8))),
                (b"IEND", Vec::new()),
            ]),
        )
        .either(&[200, 422])
        .code(""),
        corrupt_png(
            "data that is no zlib",
            png(&[(b"IHDR", header(8, 8, 8, 0)), (b"IDAT", vec![0xff; 72]), (b"IEND", Vec::new())]),
        ),
        corrupt_png("a wrong checksum in the header", changed(30)),
        corrupt_png("a wrong checksum in the data", changed(60)),
        corrupt_png("a chunk longer than the file", {
            let mut bytes = png(&[(b"IHDR", header(8, 8, 8, 0))]);
            bytes.extend(b"\x7f\xff\xff\xffIDAT");
            bytes
        }),
        corrupt_png(
            "an animated PNG",
            png(&[
                (b"IHDR", header(8, 8, 8, 0)),
                (b"acTL", frames),
                (b"IDAT", zlib(&[0; 72])),
                (b"IEND", Vec::new()),
            ]),
        ),
        picture("a JPEG's start and end", "image/jpeg", b"\xff\xd8\xff\xd9".as_slice()).says("JPEG"),
        picture("a JPEG of markers", "image/jpeg", [b"\xff\xd8".as_slice(), &[0xff; 100_000]].concat())
            .says("JPEG"),
        picture("a JPEG with a segment beyond its end", "image/jpeg", b"\xff\xd8\xff\xe0\xff\xff".as_slice())
            .says("JPEG"),
        picture("a WebP without a chunk", "image/webp", b"RIFF\x04\0\0\0WEBP".as_slice()).says("WebP"),
        picture("a WebP of junk", "image/webp", webp(b"VP8L", &[0x2f; 64])).says("WebP"),
        picture("a lossy WebP of junk", "image/webp", webp(b"VP8 ", &[0x55; 64])).says("WebP"),
        picture("a WebP that says it is longer", "image/webp", webp(b"VP8L", b"\x2f\x07\xc0\x01\0"))
            .says("WebP"),
        picture("an animated WebP", "image/webp", webp(b"VP8X", &[2, 0, 0, 0, 7, 0, 0, 7, 0, 0]))
            .says("WebP"),
        Case::post("a PNG said to be a JPEG", "image/jpeg", whole_png.clone())
            .status(200)
            .says("cloud_fraction"),
        Case::post("a PNG with garbage behind", "image/png", [whole_png.as_slice(), &[0xaa; 1000]].concat())
            .status(200)
            .says("cloud_fraction"),
        Case::post("a whole TIFF", "image/tiff", whole_tiff.clone()).status(200).says("cloud_fraction"),
    ]);
    hold(&mut server, &good, &cases);
}

#[test]
fn a_picture_that_explodes_is_refused_by_its_header() {
    let (mut server, good) = clouds();
    // 8,192 bytes and a filter byte for each of 65,535 rows.
    let bomb = png(&[
        (b"IHDR", header(65_535, 65_535, 1, 0)),
        (b"IDAT", zeros(65_535 * 8193)),
        (b"IEND", Vec::new()),
    ]);
    println!("the bomb is a file of {} bytes", bomb.len());
    assert!(bomb.len() < 1 << 20, "{}", bomb.len());
    let head = |width: u32, height: u32, bits: u8, colour: u8| {
        png(&[(b"IHDR", header(width, height, bits, colour)), (b"IDAT", zlib(&[0; 64]))])
    };
    // T.81 §B.2.2: a frame header of three bands.
    let jpeg = |width: u16, height: u16| {
        let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
        let frame = [8, height[0], height[1], width[0], width[1], 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
        [
            b"\xff\xd8\xff\xc0\0\x11".as_slice(),
            &frame,
            b"\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0",
            &[0; 64],
            b"\xff\xd9",
        ]
        .concat()
    };
    let lossless = |width: u32, height: u32| {
        let bits = (width - 1) | (height - 1) << 14;
        webp(b"VP8L", &[&[0x2f][..], &bits.to_le_bytes(), &[0; 32]].concat())
    };
    let cases = [
        too_large(
            "65,535 by 65,535 pixels of a bit",
            "image/png",
            bomb,
            "67108864 pixels, got 65535 x 65535",
        ),
        too_large("the same without data", "image/png", head(65_535, 65_535, 1, 0), "got 65535 x 65535"),
        too_large("30,000 by 30,000", "image/png", head(30_000, 30_000, 1, 0), "got 30000 x 30000"),
        too_large(
            "10,000 by 10,000 of four bands",
            "image/png",
            head(10_000, 10_000, 8, 6),
            "got 10000 x 10000",
        ),
        picture("2^31-1 by 2^31-1", "image/png", head(i32::MAX as u32, i32::MAX as u32, 1, 0))
            .says("picture")
            .says("2147483647 x 2147483647"),
        picture("2^32-1 by 1", "image/png", head(u32::MAX, 1, 1, 0)).says("got 4294967295 x 1"),
        too_large("wider than may be", "image/png", head(65_536, 1, 8, 0), "65535 x 65535, got 65536 x 1"),
        too_large(
            "higher than may be",
            "image/png",
            head(1, 1_000_000, 8, 0),
            "65535 x 65535, got 1 x 1000000",
        ),
        too_large(
            "64 Mi pixels of eight bytes",
            "image/png",
            head(8192, 8192, 16, 6),
            "bytes of samples, got 8192 x 8192 with 4 bands of 2 bytes",
        ),
        picture("no pixels across", "image/png", head(0, 8, 8, 0)),
        picture("no pixels down", "image/png", head(8, 0, 8, 0)),
        // Within the limits of a picture, beyond those of the sandbox.
        Case::post(
            "64 Mi grey pixels",
            "image/png",
            png(&[(b"IHDR", header(8192, 8192, 1, 0)), (b"IDAT", zeros(8192 * 1025)), (b"IEND", Vec::new())]),
        )
        .either(&[422, 500]),
        picture(
            "a colour profile that explodes",
            "image/png",
            png(&[
                (b"IHDR", header(8, 8, 8, 0)),
                (b"iCCP", [b"x\0\0".as_slice(), &zeros(256 << 20)].concat()),
                (b"IDAT", zlib(&[0; 72])),
                (b"IEND", Vec::new()),
            ]),
        )
        .either(&[200, 422])
        .code(""),
        picture(
            "a text that explodes",
            "image/png",
            png(&[
                (b"IHDR", header(8, 8, 8, 0)),
                (b"zTXt", [b"x\0\0".as_slice(), &zeros(256 << 20)].concat()),
                (b"IDAT", zlib(&[0; 72])),
                (b"IEND", Vec::new()),
            ]),
        )
        .either(&[200, 422])
        .code(""),
        picture(
            "far more data than pixels",
            "image/png",
            png(&[(b"IHDR", header(8, 8, 8, 0)), (b"IDAT", zeros(512 << 20)), (b"IEND", Vec::new())]),
        )
        .either(&[200, 422])
        .code(""),
        too_large("a JPEG of 65,500 by 65,500", "image/jpeg", jpeg(65_500, 65_500), "got 65500 x 65500"),
        picture("a JPEG without rows", "image/jpeg", jpeg(8, 0)),
        too_large("a WebP of 16,000 by 16,000", "image/webp", lossless(16_000, 16_000), "got 16000 x 16000"),
        picture(
            "a WebP canvas of 2^24 by 2^24",
            "image/webp",
            webp(b"VP8X", &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn a_tiff_that_lies_is_refused() {
    let (mut server, good) = clouds();
    let data = [128; 256];
    let lies = |name: &str, bytes: Vec<u8>| picture(name, "image/tiff", bytes);
    let but = |tag: u16, count: u32, value: u32| tiff(&grey_but(tag, count, value), 0, &data);
    let without = |tag: u16| {
        let entries: Vec<_> = grey(16, 16).into_iter().filter(|entry| entry.0 != tag).collect();
        tiff(&entries, 0, &data)
    };
    let big = |offset: u64| [b"II\x2b\0\x08\0\0\0".as_slice(), &offset.to_le_bytes()].concat();
    let many = [b"II\x2a\0\x08\0\0\0\xff\xff".as_slice(), &[0; 64]].concat();
    let cases = [
        lies("no directory", b"II\x2a\0\0\0\0\0".to_vec()),
        lies("a directory beyond the end", b"II\x2a\0\xff\xff\xff\x7f".to_vec()),
        lies("a directory at the very end", b"II\x2a\0\x08\0\0\0".to_vec()),
        lies("65,535 entries that are not there", many),
        lies("a directory of nothing", tiff(&[], 0, &[])),
        lies("a large file's directory beyond 2^63", big(u64::MAX - 7)),
        lies("a large file's directory at 2^40", big(1 << 40)),
        lies("a large file cut short", b"II\x2b\0\x08\0".to_vec()),
        lies("big-endian, with nothing behind", b"MM\0\x2a\0\0\0\x08".to_vec()),
        lies("no width", without(256)),
        lies("no height", without(257)),
        lies("no strips", without(273)),
        lies("a width of 0", but(256, 1, 0)),
        lies("a height of 0", but(257, 1, 0)),
        lies("a width of 2^32-1", but(256, 1, u32::MAX)),
        too_large(
            "65,535 by 65,535",
            "image/tiff",
            tiff(&grey(65_535, 65_535), 0, &data),
            "got 65535 x 65535",
        ),
        lies("more rows than data", but(257, 1, 4096)),
        lies("bits that are none", but(258, 1, 0)),
        lies("seven bits", but(258, 1, 7)),
        lies("bits for 65,535 bands elsewhere", but(258, 65_535, 1 << 30)),
        lies("an unknown compression", but(259, 1, 9999)),
        lies("JPEG inside", but(259, 1, 7)),
        lies("LZW that is none", but(259, 1, 5)),
        lies("deflate that is none", but(259, 1, 8)),
        lies("PackBits that ends early", but(259, 1, 32_773)),
        lies("an unknown meaning", but(262, 1, 77)),
        lies("a palette", but(262, 1, 3)),
        lies("a strip beyond the end", but(273, 1, 1 << 30)),
        lies("a strip at 2^32-1", but(273, 1, u32::MAX)),
        lies("2^32-1 strips", but(273, u32::MAX, 8)),
        lies("a million strips elsewhere", but(273, 1_000_000, 0)),
        lies("65,535 bands", but(277, 1, 65_535)),
        lies("no bands", but(277, 1, 0)),
        lies("no rows in a strip", but(278, 1, 0)),
        lies("a strip longer than the file", but(279, 1, u32::MAX)),
        lies("a strip of nothing", but(279, 1, 0)),
        lies("2^32-1 lengths", but(279, u32::MAX, 8)),
        Case::post("a directory that comes after itself", "image/tiff", tiff(&grey(16, 16), 8, &data))
            .status(200)
            .says("cloud_fraction"),
        Case::post("a next directory beyond the end", "image/tiff", tiff(&grey(16, 16), u32::MAX, &data))
            .status(200)
            .says("cloud_fraction"),
        lies("a deflate bomb", {
            let mut entries = grey_but(259, 1, 8);
            for entry in &mut entries {
                if entry.0 == 279 {
                    entry.3 = 1 << 19;
                }
            }
            let mut bomb = zeros(256 << 20);
            bomb.resize(1 << 19, 0);
            tiff(&entries, 0, &bomb)
        })
        .either(&[200, 422])
        .code(""),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn a_picture_in_json_is_refused_by_its_place() {
    let (mut server, good) = clouds();
    let bad = |name: &str, instance: &str, path: &str, says: &str| {
        Case::json(name, format!("{{\"instances\":[{instance}]}}"))
            .code("invalid_instance")
            .at(path)
            .says(says)
    };
    let text = |name: &str, b64: &str| {
        bad(
            name,
            &format!("{{\"b64\":\"{b64}\"}}"),
            "instances[0].b64",
            "instances[0].b64: expected base64 (RFC 4648): ",
        )
    };
    let value = |name: &str, b64: &str, got: &str| {
        bad(
            name,
            &format!("{{\"b64\":{b64}}}"),
            "instances[0].b64",
            &format!("instances[0].b64: expected a base64 text, got {got}"),
        )
    };
    let whole = base64(&good_png(20, 10));
    let cut = base64(&good_png(20, 10)[..60]);
    let form = "instances[0]: expected an object with \"b64\", got ";
    let second = |instance: &str| format!("{{\"b64\":\"{whole}\"}},{instance}");
    let cases = [
        text("an alphabet of its own", "iVBORw0K*g==").says("Invalid symbol 42, offset 8"),
        text("the URL's alphabet", "iVBORw0K__-_").says("Invalid symbol 95, offset 8"),
        text("a space", "iVBO Rw0K"),
        text("a line end", "iVBO\\nRw0K"),
        text("a data URL", "data:image/png;base64,iVBORw0K"),
        text("no padding", "iVBORw0KGg"),
        text("too much padding", "iVBORw0KGg==="),
        text("padding within", "iVBO==w0K"),
        text("padding only", "===="),
        text("bits behind the end", "iVBORw0KGh=="),
        text("letters of another script", "іVBORw0K"),
        text("hexadecimal digits of odd length", "89504e470"),
        value("a number", "5", "integer `5`"),
        value("a fraction", "0.5", "floating point `0.5`"),
        value("true", "true", "boolean `true`"),
        value("null", "null", "null"),
        value("an array of bytes", "[137,80,78,71]", "sequence"),
        value("an object", "{\"b64\":\"\"}", "map"),
        bad(
            "nothing in it",
            "{\"b64\":\"\"}",
            "instances[0]",
            &format!("{TYPES}application/octet-stream of 0 bytes"),
        ),
        bad(
            "text in it",
            "{\"b64\":\"aGVsbG8=\"}",
            "instances[0]",
            &format!("{TYPES}application/octet-stream of 5 bytes (begins 68 65 6c 6c 6f)"),
        ),
        bad(
            "a type that is not taken",
            "{\"b64\":\"aGVsbG8=\",\"content_type\":\"text/html\"}",
            "instances[0]",
            &format!("{TYPES}text/html of 5 bytes"),
        ),
        bad(
            "a type that is a number",
            &format!("{{\"b64\":\"{whole}\",\"content_type\":5}}"),
            "instances[0]",
            "expected a string, got integer `5`",
        ),
        bad("no keys", "{}", "instances[0]", "instances[0]: expected \"b64\", which is missing"),
        bad(
            "a type only",
            "{\"content_type\":\"image/png\"}",
            "instances[0]",
            "expected \"b64\", which is missing",
        ),
        bad(
            "an unknown key",
            "{\"url\":\"file:///etc/passwd\"}",
            "instances[0]",
            "expected \"b64\" and \"content_type\", got the key \"url\"",
        ),
        bad("a key in the wrong case", "{\"B64\":\"\"}", "instances[0]", "got the key \"B64\""),
        bad(
            "b64 twice",
            &format!("{{\"b64\":\"{whole}\",\"b64\":\"{whole}\"}}"),
            "instances[0]",
            "\"b64\" stands twice",
        ),
        bad(
            "a type twice",
            "{\"content_type\":\"image/png\",\"content_type\":\"image/png\"}",
            "instances[0]",
            "\"content_type\" stands twice",
        ),
        bad(
            "two pictures in one",
            &format!("{{\"image\":{{\"b64\":\"{whole}\"}},\"b64\":\"{whole}\"}}"),
            "instances[0]",
            "expected one blob, got two",
        ),
        bad(
            "a picture in a picture in a picture",
            "{\"image\":{\"image\":{\"b64\":\"\"}}}",
            "instances[0].image",
            "got the key \"image\"",
        ),
        bad(
            "a bad text under the input's name",
            "{\"image\":{\"b64\":\"*\"}}",
            "instances[0].image.b64",
            "expected base64",
        ),
        bad("a picture that is a string", &format!("\"{whole}\""), "instances[0]", form),
        bad("a picture that is a number", "5", "instances[0]", &format!("{form}5")),
        bad("a picture that is null", "null", "instances[0]", &format!("{form}null")),
        bad("a row of a table", "[1,2,3,4]", "instances[0]", &format!("{form}an array")),
        bad(
            "a second that is no base64",
            &second("{\"b64\":\"*\"}"),
            "instances[1].b64",
            "instances[1].b64: expected base64",
        ),
        bad(
            "a second that is no picture",
            &second("{\"b64\":\"aGVsbG8=\"}"),
            "instances[1]",
            &format!("{TYPES}application/octet-stream"),
        ),
        bad(
            "a second that is cut",
            &second(&format!("{{\"b64\":\"{cut}\"}}")),
            "instances[1]",
            "the PNG is truncated, corrupt",
        )
        .status(422),
        bad(
            "a first that is cut",
            &format!("{{\"b64\":\"{cut}\"}},{{\"b64\":\"{whole}\"}}"),
            "instances[0]",
            "the PNG is truncated",
        )
        .status(422),
        Case::post("a table", "text/csv", "1,2,3,4\n")
            .code("invalid_instance")
            .says("input \"image\"")
            .says("doesn't fit into a table"),
        Case::post("a table with its header", "text/csv", "image\n1\n")
            .code("invalid_instance")
            .says("\"image\""),
        Case::json("no pictures", "{\"instances\":[]}").status(200).says("{\"predictions\":[]}"),
        Case::json(
            "under the input's name",
            format!("{{\"instances\":[{{\"image\":{{\"b64\":\"{whole}\"}}}}]}}"),
        )
        .status(200)
        .says("cloud_fraction"),
    ];
    hold(&mut server, &good, &cases);
}

/// RFC 4648 §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().fold(0u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - three.len()));
        for place in 0..4 {
            let letter = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] as char;
            text.push(if place <= three.len() { letter } else { '=' });
        }
    }
    text
}

#[test]
fn a_folder_is_done_but_for_what_is_no_picture() {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let scenes = folder.path().join("scenes");
    fs::create_dir(&scenes).expect("a folder can be made");
    let good = [
        ("a.png", good_png(40, 30)),
        ("c.jpg", good_jpeg(40, 30)),
        ("e.png", good_png(1, 1)),
        ("g.tif", tiff(&grey(16, 16), 0, &[9; 256])),
        ("i.png", good_png(200, 150)),
    ];
    let bomb = png(&[(b"IHDR", header(65_535, 65_535, 1, 0)), (b"IDAT", zlib(&[0; 64]))]);
    let bad = [
        ("b.png", good_png(40, 30)[..100].to_vec(), "the PNG is truncated, corrupt"),
        ("d.png", Vec::new(), TYPES),
        ("f.png", b"<svg/>".to_vec(), TYPES),
        ("h.png", bomb, "the picture is too large: expected at most 67108864 pixels, got 65535 x 65535"),
        ("j.jpg", b"GIF89a\x01\0\x01\0".to_vec(), "got image/gif of 10 bytes"),
    ];
    for (name, bytes) in
        good.iter().map(|(name, bytes)| (name, bytes)).chain(bad.iter().map(|(name, bytes, _)| (name, bytes)))
    {
        fs::write(scenes.join(name), bytes).expect("it can be written");
    }
    let clouds = sealed("clouds");
    let batch = || {
        run(
            folder.path(),
            &["batch", &clouds.to_string_lossy(), "scenes", "masks", "--report", "report.json"],
        )
    };
    for (round, done, skipped) in [(1, 5, 0), (2, 0, 5)] {
        let output = batch();
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        let report: Value =
            serde_json::from_slice(&fs::read(folder.path().join("report.json")).expect("it is there"))
                .expect("it is JSON");
        let counts = ["done", "skipped", "refused", "failed"].map(|name| report[name].as_u64());
        assert_eq!(counts, [Some(done), Some(skipped), Some(5), Some(0)], "round {round}: {report}");
        for (name, bytes, says) in &bad {
            let dead = folder.path().join("masks/_dead").join(format!("{name}.error.json"));
            let record: Value =
                serde_json::from_slice(&fs::read(&dead).expect("its record is there")).expect("it is JSON");
            assert_eq!(record["file"], *name);
            assert_eq!(record["model"], "clouds");
            let error = record["error"].as_str().expect("a text");
            assert!(error.contains(says), "{name}: expected {says:?} in {error:?}");
            assert!(said(&output).contains(name), "{name} is named: {}", said(&output));
            assert_eq!(&fs::read(scenes.join(name)).expect("the input is left where it is"), bytes);
        }
        for (name, _) in &good {
            let mask = folder.path().join("masks").join(format!("{name}.png"));
            let mask = image::open(&mask).unwrap_or_else(|cause| panic!("{}: {cause}", mask.display()));
            let picture = if name.ends_with(".tif") {
                (16, 16)
            } else {
                image::image_dimensions(scenes.join(name)).expect("a picture")
            };
            assert_eq!((mask.width(), mask.height()), picture, "{name}");
        }
    }
}
