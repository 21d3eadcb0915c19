//! Hostile HTTP: sizes, encodings, framing, routes, strangers, and callers who are too slow or too many.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::table::{Case, Good, SETTLED, hold};
use ampoule_tests::{Answer, Server, eventually, sealed};
use flate2::Compression;
use flate2::write::GzEncoder;

const BODY: &str = "{\"instances\":[[5.1,3.5,1.4,0.2]]}";
const MAX_BODY: usize = 10_000;
const MAX_DECODED: usize = 100_000;

fn start(arguments: &[&str]) -> (Server, Good) {
    let iris = sealed("iris");
    let mut all = vec![iris.to_str().expect("a path of the repository is text")];
    all.extend_from_slice(arguments);
    (Server::start_with(&all, &SETTLED), Good::json(BODY))
}

fn limited() -> (Server, Good) {
    start(&["--max-body-bytes", "10000", "--max-decoded-bytes", "100000", "--body-timeout-ms", "1000"])
}

/// A request as bytes: its first line, `headers` and `body`, with the host that a browser would send.
fn raw(line: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut bytes = format!("{line}\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n").into_bytes();
    bytes.extend_from_slice(body.as_ref());
    bytes
}

fn post(headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    raw("POST /predictions HTTP/1.1", headers, body)
}

fn chunked(body: &str) -> Vec<u8> {
    post("transfer-encoding: chunked\r\n", body)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes")
}

/// The good request, its spaces stretched to `bytes`.
fn stretched(bytes: usize) -> String {
    format!("{BODY}{}", " ".repeat(bytes - BODY.len()))
}

#[test]
fn a_body_beyond_its_limit_is_refused() {
    let (mut server, good) = limited();
    let too_large = |case: Case| {
        case.status(413).code("too_large").says("the body is too large: expected at most 10000 bytes")
    };
    let encoded = |name: &str, encoding: &str, body: &[u8]| {
        Case::request(name, "POST", "/predictions", &[("content-encoding", encoding)], body)
    };
    let chunks = |count: usize| format!("{:x}\r\n{}\r\n", 1000, " ".repeat(1000)).repeat(count);
    let cases = [
        Case::json("at the limit", stretched(MAX_BODY)).status(200),
        too_large(Case::json("one byte more", stretched(MAX_BODY + 1))),
        too_large(Case::json("ten times more", stretched(10 * MAX_BODY))),
        too_large(Case::bytes("an exbibyte declared", post("content-length: 1152921504606846976\r\n", "{"))),
        too_large(Case::bytes(
            "a terabyte declared, with 100-continue",
            post("expect: 100-continue\r\ncontent-length: 1000000000000\r\n", ""),
        )),
        too_large(Case::bytes("chunks without end", chunked(&chunks(200)))),
        too_large(Case::bytes(
            "one byte more in chunks",
            chunked(&format!("{}1\r\n \r\n0\r\n\r\n", chunks(10))),
        )),
        Case::bytes(
            "at the limit in chunks",
            chunked(&format!(
                "{:x}\r\n{BODY}\r\n{:x}\r\n{}\r\n0\r\n\r\n",
                BODY.len(),
                9000,
                " ".repeat(9000)
            )),
        )
        .status(200),
        Case::bytes(
            "ten thousand chunks of a byte",
            chunked(
                &(BODY.bytes().map(|byte| format!("1\r\n{}\r\n", byte as char)).collect::<String>()
                    + &"1\r\n \r\n".repeat(9_900)
                    + "0\r\n\r\n"),
            ),
        )
        .status(200),
        Case::bytes("a chunk larger than the limit", chunked("ffffff\r\n{")).either(&[413, 408]),
        too_large(encoded("too large before it is decompressed", "gzip", &[0x1f; MAX_BODY + 1])),
        encoded("decompressed to the limit", "gzip", &gzip(stretched(MAX_DECODED).as_bytes())).status(200),
        encoded("decompressed beyond the limit", "gzip", &gzip(stretched(MAX_DECODED + 1).as_bytes()))
            .status(413)
            .code("too_large")
            .says("the decompressed body is too large: expected at most 100000 bytes"),
        encoded("a bomb", "gzip", &gzip(&vec![0; 9_000_000]))
            .status(413)
            .code("too_large")
            .says("the decompressed body"),
        encoded("a bomb of many members", "gzip", &gzip(&[b' '; 3000]).repeat(200))
            .status(413)
            .code("too_large")
            .says("the decompressed body"),
        encoded("a bomb in a bomb is opened once", "gzip", &gzip(&gzip(&vec![0; 50_000_000])))
            .status(400)
            .code("invalid_json"),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn an_encoding_that_is_not_one_whole_gzip_is_refused() {
    let (mut server, good) = limited();
    let whole = gzip(BODY.as_bytes());
    let named = |name: &str, headers: &[(&str, &str)]| {
        Case::request(name, "POST", "/predictions", headers, whole.clone())
            .status(415)
            .code("unsupported_encoding")
    };
    let damaged = |name: &str, body: &[u8]| {
        Case::request(name, "POST", "/predictions", &[("content-encoding", "gzip")], body)
            .status(400)
            .code("invalid_encoding")
            .says("not gzip: ")
    };
    let changed = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0xff;
        bytes
    };
    let last = whole.len() - 1;
    let cases = [
        named("br", &[("content-encoding", "br")]).says("expected no content encoding or gzip, got \"br\""),
        named("zstd", &[("content-encoding", "zstd")]).says("got \"zstd\""),
        named("deflate", &[("content-encoding", "deflate")]).says("got \"deflate\""),
        named("an unknown one", &[("content-encoding", "rot13")]).says("got \"rot13\""),
        named("gzip twice", &[("content-encoding", "gzip, gzip")]).says("got \"gzip, gzip\""),
        named("gzip and none", &[("content-encoding", "identity, gzip")]).says("got \"identity, gzip\""),
        named("two headers", &[("content-encoding", "gzip"), ("content-encoding", "gzip")])
            .says("got \"several\""),
        named(
            "two headers, one of nothing",
            &[("content-encoding", "identity"), ("content-encoding", "gzip")],
        )
        .says("got \"several\""),
        named("a long one", &[("content-encoding", &"x".repeat(4000))])
            .says(&format!("got \"{}\"", "x".repeat(40))),
        named("no text", &[("content-encoding", "\u{e9}")]).says("got \"no text\""),
        damaged("nothing", b""),
        damaged("no gzip", BODY.as_bytes()),
        damaged("truncated in its head", &whole[..5]),
        damaged("truncated in its body", &whole[..whole.len() / 2]),
        damaged("without its end", &whole[..whole.len() - 8]),
        damaged("garbage behind", &[whole.as_slice(), b"garbage"].concat()),
        damaged("zeros behind", &[whole.as_slice(), &[0; 100]].concat()),
        damaged("a wrong checksum", &changed(last - 5)),
        damaged("a wrong length", &changed(last)),
        damaged("a wrong method", &changed(2)),
        damaged("damaged data", &changed(12)),
        Case::request("in capitals", "POST", "/predictions", &[("content-encoding", "GZIP")], whole.clone())
            .status(200),
        Case::request(
            "two members",
            "POST",
            "/predictions",
            &[("content-encoding", "gzip")],
            [gzip(&BODY.as_bytes()[..9]), gzip(&BODY.as_bytes()[9..])].concat(),
        )
        .status(200),
        Case::request("none, said aloud", "POST", "/predictions", &[("content-encoding", "identity")], BODY)
            .status(200),
        Case::request("gzip that is not said", "POST", "/predictions", &[], whole.clone())
            .status(400)
            .code("invalid_json"),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn ambiguous_framing_is_refused() {
    let (mut server, good) = limited();
    let length = BODY.len();
    let bad = |name: &str, bytes: Vec<u8>| Case::bytes(name, bytes).status(400);
    let body = |name: &str, text: &str| {
        bad(name, chunked(text)).code("incomplete_body").says("the body ended before it was whole")
    };
    let cases = [
        bad("two lengths", post(&format!("content-length: {length}\r\ncontent-length: 5\r\n"), BODY)),
        bad("two lengths in one", post(&format!("content-length: {length}, 5\r\n"), BODY)),
        bad("the same length twice in one", post(&format!("content-length: {length}, {length}\r\n"), BODY)),
        bad("a length with a plus", post(&format!("content-length: +{length}\r\n"), BODY)),
        bad("a negative length", post("content-length: -1\r\n", BODY)),
        bad("a hexadecimal length", post("content-length: 0x21\r\n", BODY)),
        bad("a length that is a word", post("content-length: all\r\n", BODY)),
        bad("an empty length", post("content-length:\r\n", BODY)),
        bad("a length beyond 64 bits", post("content-length: 99999999999999999999\r\n", BODY)),
        Case::bytes("length and chunks", post("content-length: 5\r\ntransfer-encoding: chunked\r\n", format!("{length:x}\r\n{BODY}\r\n0\r\n\r\n")))
            .either(&[200, 400]),
        bad("an unknown transfer encoding", post("transfer-encoding: xchunked\r\n", BODY)),
        bad("chunked, then not", post("transfer-encoding: chunked, identity\r\n", BODY)),
        bad("chunks in HTTP/1.0", raw("POST /predictions HTTP/1.0", "transfer-encoding: chunked\r\n", "0\r\n\r\n")),
        body("a chunk size that is a word", "zz\r\n{}\r\n0\r\n\r\n"),
        body("a negative chunk size", "-1\r\n{}\r\n0\r\n\r\n"),
        body("a chunk size with a prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
        body("an empty chunk size", "\r\n{}\r\n0\r\n\r\n"),
        body("a chunk size beyond 64 bits", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        body("a chunk longer than it says", "1\r\n{}\r\n0\r\n\r\n"),
        body("an extension of a hundred kilobytes", &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(100_000))),
        body("a bare line feed in an extension", "2;a\nb\r\n{}\r\n0\r\n\r\n"),
        bad("NUL in a header", post("x-a: a\0b\r\n", BODY)),
        bad("a bare carriage return in a header", post("x-a: a\rb\r\n", BODY)),
        bad("a space before the colon", post("content-length : 2\r\n", BODY)),
        bad("a folded header", post("x-a: a\r\n b\r\n", BODY)),
        bad("a header without a colon", post("x-a\r\n", BODY)),
        bad("a header without a name", post(": a\r\n", BODY)),
        bad("a header with an odd name", post("x a: b\r\n", BODY)),
        bad("no version", b"POST /predictions\r\n\r\n".to_vec()),
        bad("HTTP/0.9", b"GET /\r\n".to_vec()),
        bad("HTTP/3.0", raw("GET /health HTTP/3.0", "", "")),
        bad("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec()),
        bad("an SSH greeting", b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec()),
        bad("zeros", vec![0; 4096]),
        bad("a path with a space", raw("GET /he alth HTTP/1.1", "", "")),
        Case::bytes("two hundred headers", post(&"x-a: b\r\n".repeat(200), BODY)).status(431),
        Case::bytes("a header of 128 KiB", post(&format!("x-a: {}\r\n", "b".repeat(128 << 10)), BODY)).status(431),
        Case::bytes("a header without end", {
            let mut bytes = post("", "");
            bytes.truncate(bytes.len() - 2);
            bytes.extend_from_slice(b"x-a: ");
            bytes.resize(1 << 20, b'b');
            bytes
        }).status(431),
        Case::bytes("a path of 64 KiB", raw(&format!("GET /{} HTTP/1.1", "a".repeat(64 << 10)), "", "")).either(&[414, 431]),
        Case::bytes("the same length twice", post(&format!("content-length: {length}\r\ncontent-length: {length}\r\n"), BODY)).either(&[200, 400]),
        Case::bytes("bare line feeds", format!("POST /predictions HTTP/1.1\nhost: localhost\nconnection: close\ncontent-length: {length}\n\n{BODY}")).either(&[200, 400]),
        Case::bytes("an extension", chunked(&format!("{length:x};name=value\r\n{BODY}\r\n0\r\n\r\n"))).status(200),
        Case::bytes("trailers", chunked(&format!("{length:x}\r\n{BODY}\r\n0\r\nx-a: b\r\n\r\n"))).status(200),
        Case::bytes("a path in full", raw("GET http://localhost/health HTTP/1.1", "", "")).status(200),
        Case::bytes("no host", "GET /health HTTP/1.1\r\nconnection: close\r\n\r\n").either(&[200, 400]),
    ];
    hold(&mut server, &good, &cases);
}

/// How many answers come back on one connection until it closes.
fn answers(server: &Server, bytes: &[u8]) -> Vec<u16> {
    let mut stream = server.connect();
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time can be set");
    let _ = stream.write_all(bytes);
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    let text = String::from_utf8_lossy(&all);
    text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)?.parse().ok()).collect()
}

#[test]
fn one_request_never_gets_two_predictions() {
    let (server, good) = start(&["--head-timeout-ms", "500", "--body-timeout-ms", "500"]);
    let expected = good.ask(&server);
    let inner = format!(
        "POST /predictions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let smuggled = format!("0\r\n\r\n{inner}");
    for (name, headers) in [
        (
            "length, then chunks",
            format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", smuggled.len()),
        ),
        ("two lengths", format!("content-length: {}\r\ncontent-length: 5\r\n", smuggled.len())),
        ("a length with a plus", "content-length: +5\r\n".to_owned()),
        (
            "a transfer encoding in disguise",
            "content-length: 5\r\ntransfer-encoding: xchunked\r\n".to_owned(),
        ),
        ("a space before the colon", "content-length: 5\r\ntransfer-encoding : chunked\r\n".to_owned()),
        ("a folded transfer encoding", "content-length: 5\r\ntransfer-encoding:\r\n chunked\r\n".to_owned()),
    ] {
        let bytes = format!("POST /predictions HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n{smuggled}");
        assert_eq!(answers(&server, bytes.as_bytes()), [400], "{name}");
        assert_eq!(good.ask(&server), expected, "{name}");
    }
    // What is refused before its body was read takes the connection along, and the body isn't a request.
    for (name, line, status) in [
        ("an unknown route", "POST /nothing HTTP/1.1", 404),
        ("a wrong method", "PUT /predictions HTTP/1.1", 405),
        ("an unknown model", "POST /models/none/predictions HTTP/1.1", 404),
    ] {
        let bytes = format!("{line}\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{inner}", inner.len());
        assert_eq!(answers(&server, bytes.as_bytes()), [status], "{name}");
    }
    let pipelined = inner.repeat(3);
    assert_eq!(answers(&server, pipelined.as_bytes()), [200, 200, 200], "three requests at once are three");
}

#[test]
fn a_route_or_method_that_is_not_there_is_named() {
    let (mut server, good) = limited();
    let at = |path: &str| Case::request(&format!("GET {:.60}", path), "GET", path, &[], "").status(404);
    let unknown = |path: &str| at(path).code("unknown_route").says("nothing is at");
    let model = |path: &str, shown: &str| {
        at(path).code("unknown_model").says(&format!("no model {shown} is served here"))
    };
    let long = "a".repeat(4096);
    let mut cases = vec![
        unknown("/nothing").says("\"/nothing\" (GET /docs shows what there is)"),
        unknown("//"),
        unknown("//predictions"),
        unknown("/predictions/"),
        unknown("/health/"),
        unknown("/Health"),
        unknown("/models//predictions/x"),
        unknown("/models/iris/predictions/x"),
        unknown("/../etc/passwd"),
        unknown("/..%2fetc%2fpasswd"),
        unknown("/%2e%2e/%2e%2e/etc/passwd"),
        unknown("/%00"),
        unknown("/.git/config"),
        unknown("/metrics/../health"),
        unknown("/v1/models/iris:predict"),
        unknown(&format!("/{long}")).says(&"a".repeat(79)),
        unknown("/%ff%fe"),
        unknown("/;/health"),
        model("/models/none", "\"none\""),
        model("/models/..", "\"..\""),
        model("/models/%2e%2e", "\"..\""),
        model("/models/%252e%252e", "\"%2e%2e\""),
        model("/models/..%2f..%2fetc%2fpasswd", "\"../../etc/passwd\""),
        model("/models/iris%00", "\"iris\\0\""),
        model("/models/iris%20", "\"iris \""),
        model("/models/IRIS", "\"IRIS\""),
        model("/models/%D1%96ris", "\"іris\""),
        model("/models/%0d%0aset-cookie:a=b", "\"\\r\\nset-cookie:a=b\""),
        model(&format!("/models/{long}"), &format!("\"{}\"", "a".repeat(64))),
        Case::request("a name that is no UTF-8", "GET", "/models/%ff%fe", &[], "").either(&[400, 404]),
        Case::request("POST to an unknown model", "POST", "/models/none/predictions", &[], BODY)
            .status(404)
            .code("unknown_model")
            .says("no model \"none\" is served here: expected iris"),
        Case::request("POST to a long name", "POST", &format!("/models/{long}/predictions"), &[], BODY)
            .status(404)
            .code("unknown_model"),
        Case::request("POST to a name in disguise", "POST", "/models/ir%69s/predictions", &[], BODY)
            .status(200),
        Case::request("a query", "POST", "/predictions?model=../none", &[], BODY).status(200),
    ];
    for path in ["/predictions", "/models/iris/predictions"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "post"] {
            let case = Case::request(&format!("{method} {path}"), method, path, &[], "").status(405);
            // An answer to HEAD has no body.
            cases.push(if method == "HEAD" {
                case
            } else {
                case.code("method_not_allowed").says(&format!("expected POST, got {method}"))
            });
        }
    }
    for path in ["/health", "/models", "/models/iris", "/openapi.json", "/docs", "/", "/metrics"] {
        for method in ["POST", "DELETE", "PROPFIND"] {
            let case = Case::request(&format!("{method} {path}"), method, path, &[], "").status(405);
            cases.push(case.code("method_not_allowed").says(&format!("expected GET, HEAD, got {method}")));
        }
    }
    hold(&mut server, &good, &cases);
    for (method, path, allow) in [
        ("GET", "/predictions", "POST"),
        ("HEAD", "/models/iris/predictions", "POST"),
        ("POST", "/health", "GET, HEAD"),
    ] {
        assert_eq!(server.ask(method, path, &[], b"").header("allow"), Some(allow), "{method} {path}");
    }
}

#[test]
fn a_content_type_that_is_not_taken_is_refused() {
    let (mut server, good) = limited();
    let refused = |said: &str| {
        Case::post(said, said, BODY).status(415).code("unsupported_media_type").says(&format!(
            "expected application/json, application/jsonlines, text/csv or image/*, got {said:?}"
        ))
    };
    let cases = [
        refused("text/plain"),
        refused("text/json"),
        refused("application/x-www-form-urlencoded"),
        refused("multipart/form-data; boundary=x"),
        refused("application/octet-stream"),
        refused("application/xml"),
        refused("application/json2"),
        refused("application/x-python-pickle"),
        refused("application/json, text/csv"),
        refused("*/*"),
        refused("image"),
        Case::post("an empty one", "", BODY).status(415).code("unsupported_media_type").says("got \"\""),
        Case::post("a long one", &"x/".repeat(2000), BODY)
            .status(415)
            .code("unsupported_media_type")
            .says(&"x/".repeat(40)),
        Case::post("no text", "\u{e9}/json", BODY)
            .status(415)
            .code("unsupported_media_type")
            .says("got \"no text\""),
        Case::post("a picture", "image/png", b"\x89PNG\r\n\x1a\n".as_slice())
            .code("invalid_instance")
            .at("instances[0]")
            .says("expected JSON or a table: this model takes no pictures"),
        Case::post("with a charset", "application/json; charset=utf-8", BODY).status(200),
        Case::post("in capitals", "Application/JSON", BODY).status(200),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn a_page_of_another_site_is_refused() {
    let (mut server, good) = limited();
    let with = |name: &str, headers: &str| {
        Case::bytes(name, format!("GET /models HTTP/1.1\r\nconnection: close\r\n{headers}\r\n"))
    };
    let host = |host: &str| {
        with(&format!("host {host}"), &format!("host: {host}\r\n"))
            .status(403)
            .code("forbidden_host")
            .says(&format!("expected a loopback name in Host, got {host:?}"))
    };
    let origin = |origin: &str| {
        with(&format!("origin {origin}"), &format!("host: localhost\r\norigin: {origin}\r\n"))
            .status(403)
            .code("forbidden_origin")
            .says(&format!("expected a page of this server, got one of {origin:?}"))
    };
    let cases = [
        host("evil.example"),
        host("evil.example:8080"),
        host("localhost.evil.example"),
        host("evillocalhost"),
        host("127.0.0.1.evil.example"),
        host("127.0.0.1.nip.io:80"),
        host("localhost:80@evil.example"),
        host("localhost:evil"),
        host("0.0.0.0"),
        host("169.254.169.254"),
        host("[::ffff:127.0.0.1]"),
        host("2130706433"),
        host("localhost."),
        origin("http://evil.example"),
        origin("https://localhost.evil.example"),
        origin("null"),
        origin("http://localhost@evil.example"),
        origin("file://"),
        origin("localhost"),
        with("an empty host", "host:\r\n").either(&[400, 403]),
        with("localhost", "host: localhost:8080\r\n").status(200),
        with("the loopback of version 6", "host: [::1]:8080\r\n").status(200),
        with("a name below localhost", "host: ampoule.localhost\r\n").status(200),
        with("a page of its own", "host: localhost\r\norigin: http://localhost:3000\r\n").status(200),
        Case::bytes(
            "a probe with another host",
            "GET /health HTTP/1.1\r\nhost: pod-1.cluster\r\nconnection: close\r\n\r\n",
        )
        .status(403)
        .code("forbidden_host"),
        Case::bytes(
            "a good host, then another",
            "GET /models HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        )
        .either(&[200, 400, 403]),
        Case::bytes(
            "another site's path in full",
            "GET http://evil.example/models HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n",
        )
        .status(403)
        .code("forbidden_host"),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn without_the_token_no_model_is_answered() {
    let (mut server, _) = start(&["--token", "s3cret"]);
    let routes = [
        ("GET", "/models"),
        ("GET", "/models/iris"),
        ("GET", "/models/none"),
        ("PUT", "/models"),
        ("GET", "/openapi.json"),
        ("GET", "/metrics"),
        ("GET", "/nothing"),
        ("POST", "/predictions"),
        ("POST", "/models/iris/predictions"),
        ("GET", "/predictions"),
        ("OPTIONS", "/predictions"),
        ("HEAD", "/models"),
        ("GET", "//health"),
        ("GET", "/health/"),
        ("GET", "/%68ealth"),
        ("GET", "/models/../health"),
    ];
    let credentials = [
        None,
        Some(""),
        Some("Bearer"),
        Some("Bearer "),
        Some("Bearer s3cre"),
        Some("Bearer s3crett"),
        Some("Bearer S3CRET"),
        Some("Basic s3cret"),
        Some("Bearer: s3cret"),
        Some("s3cret"),
        Some("Bearer s3cret, Bearer x"),
        Some("Bearer \u{e9}"),
    ];
    let mut asked = 0;
    for (method, path) in routes {
        for given in credentials {
            let headers: Vec<(&str, &str)> =
                given.map(|given| ("authorization", given)).into_iter().collect();
            let answer = server.ask(method, path, &headers, b"");
            let shown = format!("{method} {path} with {given:?}: {}", answer.text());
            assert_eq!(answer.status, 401, "{shown}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"ampoule\""), "{shown}");
            assert!(!answer.text().contains("s3cret") && !answer.text().contains("iris"), "{shown}");
            if method != "HEAD" {
                assert_eq!(answer.json()["code"], "unauthorized", "{shown}");
            }
            asked += 1;
        }
    }
    println!("{asked} requests refused");
    // A probe has no token, and the page asks its reader for one.
    for (path, status) in [("/health", 200), ("/docs", 200), ("/", 303)] {
        assert_eq!(server.get(path).status, status, "{path}");
    }
    let token = [("authorization", "Bearer s3cret"), ("content-type", "application/json")];
    assert_eq!(server.ask("POST", "/predictions", &token, BODY.as_bytes()).status, 200);
    let twice = [("authorization", "Bearer wrong"), ("authorization", "Bearer s3cret")];
    assert_eq!(server.ask("GET", "/models", &twice, b"").status, 401, "the first of two tokens counts");
    assert!(server.is_alive());
}

/// Waits for the end of a connection, and gives what came before it.
fn until_closed(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    bytes
}

#[test]
fn a_slow_caller_is_given_up() {
    let (mut server, good) = start(&["--head-timeout-ms", "400", "--body-timeout-ms", "400"]);
    let expected = good.ask(&server);
    let head =
        format!("POST /predictions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", BODY.len());
    let begun = |bytes: &str| {
        let mut stream = server.connect();
        stream.write_all(bytes.as_bytes()).expect("it is taken");
        stream
    };
    let mut silent: Vec<TcpStream> = (0..50).map(|_| begun("")).collect();
    silent.extend((0..50).map(|_| begun("POST /predic")));
    silent.extend((0..50).map(|_| begun("POST /predictions HTTP/1.1\r\nhost: localhost\r\nx-a: ")));
    let slow: Vec<TcpStream> =
        (0..50).map(|_| begun(&head)).chain((0..50).map(|_| begun(&format!("{head}{{\"ins")))).collect();
    let chunks =
        "POST /predictions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"in";
    let slow: Vec<TcpStream> = slow.into_iter().chain((0..50).map(|_| begun(chunks))).collect();
    assert_eq!(good.ask(&server), expected, "the good request waits for none of them");
    for stream in silent {
        let said = String::from_utf8_lossy(&until_closed(stream)).into_owned();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 408"), "{said}");
    }
    for mut stream in slow {
        let answer = Answer::read(&mut stream).expect("a slow body is answered");
        assert_eq!(answer.status, 408, "{}", answer.text());
        assert_eq!(answer.json()["code"], "slow_body");
        assert_eq!(answer.json()["error"], "no byte of the body came for 0.4 s");
        assert!(until_closed(stream).is_empty(), "the connection ends");
    }
    // A byte now and then keeps a head no longer than its time.
    let mut stream = begun("GET /health HTTP/1.1\r\nhost: localhost\r\n");
    let dripped = eventually(Duration::from_secs(20), || {
        std::thread::sleep(Duration::from_millis(50));
        stream.write_all(b"x-a: b\r\n").is_err()
    });
    assert!(dripped, "a head that never ends is given up");
    // One who says no more closes their half.
    let stream = begun(&format!("{head}{{\"ins"));
    stream.shutdown(Shutdown::Write).expect("it can be closed");
    let said = String::from_utf8_lossy(&until_closed(stream)).into_owned();
    assert!(said.is_empty() || said.contains("\"incomplete_body\""), "{said}");
    assert_eq!(good.ask(&server), expected);
    assert!(server.is_alive());
}

#[test]
fn a_reader_who_does_not_read_holds_up_nobody() {
    let (mut server, good) = start(&["--head-timeout-ms", "5000"]);
    let expected = good.ask(&server);
    let row = "[5.1,3.5,1.4,0.2],".repeat(20_000);
    let body = format!("{{\"instances\":[{}]}}", row.trim_end_matches(','));
    let request = format!(
        "POST /predictions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut readers: Vec<TcpStream> = (0..8)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(request.as_bytes()).expect("it is taken");
            stream
        })
        .collect();
    for _ in 0..50 {
        assert_eq!(good.ask(&server), expected);
    }
    // They find their answers whole when they read at last, but for the one who leaves.
    readers.pop();
    for mut reader in readers {
        let answer = Answer::read(&mut reader).expect("the answer waited");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["predictions"].as_array().map(Vec::len), Some(20_000));
    }
    assert_eq!(good.ask(&server), expected);
    assert!(server.is_alive());
}

#[test]
fn connections_beyond_the_last_place_wait_for_one() {
    let (mut server, good) = start(&["--max-connections", "8", "--head-timeout-ms", "1000"]);
    let expected = good.ask(&server);
    // More than are taken, and all of them silent: they run into their time, and the next is answered.
    let silent: Vec<TcpStream> = (0..40).map(|_| server.connect()).collect();
    assert_eq!(good.ask(&server), expected, "the silent are given up");
    drop(silent);
    // As many as are taken, and they leave.
    let idle: Vec<TcpStream> = (0..8).map(|_| server.connect()).collect();
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| good.ask(&server));
        drop(idle);
        assert_eq!(asked.join().expect("it is answered"), expected, "a place comes free when one leaves");
    });
    assert!(server.is_alive());
}

#[test]
fn overload_is_refused_early() {
    let hostile = sealed("hostile");
    let limits = [
        "--max-concurrent-calls",
        "1",
        "--max-queued-calls",
        "1",
        "--max-queue-ms",
        "60000",
        "--deadline-ms",
        "1500",
    ];
    let mut all = vec![hostile.to_str().expect("a path of the repository is text")];
    all.extend_from_slice(&limits);
    let mut server = Server::start(&all);
    let good = Good::json("{\"instances\":[\"compute\"]}");
    let expected = good.ask(&server);
    let answers: Vec<Answer> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| server.post("/predictions", "{\"instances\":[\"spin\"]}")))
            .collect();
        asked.into_iter().map(|asked| asked.join().expect("it is answered")).collect()
    });
    let count = |status: u16| answers.iter().filter(|answer| answer.status == status).count();
    assert_eq!((count(504), count(503)), (2, 6), "one runs, one waits, the others are refused");
    for answer in answers.iter().filter(|answer| answer.status == 503) {
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert_eq!(answer.json()["code"], "overloaded");
        assert!(answer.text().contains("all 1 places are taken and "), "{}", answer.text());
    }
    assert_eq!(good.ask(&server), expected);
    assert!(server.is_alive());
}
