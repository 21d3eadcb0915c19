//! Hostile JSON and tables: every value that a signature doesn't let in, at every place, is refused
//! with that place.

use super::table::{Case, Good, SETTLED, hold};
use ampoule_tests::{Server, sealed};

const INPUTS: [&str; 4] = ["sepal_length", "sepal_width", "petal_length", "petal_width"];
const ROW: &str = "[5.1,3.5,1.4,0.2]";
const SHAPE: &str =
    "expected an object or an array of 4 values (sepal_length, sepal_width, petal_length, petal_width)";

fn iris() -> (Server, Good) {
    let server =
        Server::start_with(&[&sealed("iris").to_string_lossy(), "--max-instances", "1000"], &SETTLED);
    (server, Good::json(&format!("{{\"instances\":[{ROW},[6.0,2.7,5.1,1.6]]}}")))
}

/// A body of one instance.
fn one(instance: &str) -> String {
    format!("{{\"instances\":[{instance}]}}")
}

/// An instance by name, with `value` in place of `name`'s.
fn by_name(name: &str, value: &str) -> String {
    let member = |input: &&str| format!("\"{input}\":{}", if *input == name { value } else { "1" });
    format!("{{{}}}", INPUTS.iter().map(member).collect::<Vec<_>>().join(","))
}

fn deep(open: &str, close: &str) -> String {
    open.repeat(10_000) + "1" + &close.repeat(10_000)
}

fn not_json(name: &str, body: impl Into<Vec<u8>>, says: &str) -> Case {
    Case::json(name, body).code("invalid_json").says(says)
}

fn request(name: &str, body: &str, path: &str, says: &str) -> Case {
    Case::json(name, body).code("invalid_request").at(path).says(says)
}

fn instance(name: &str, body: &str, path: &str, says: &str) -> Case {
    Case::json(name, body).code("invalid_instance").at(path).says(says)
}

/// The whole message is `path: says`.
fn exactly(name: &str, body: &str, path: &str, says: &str) -> Case {
    instance(name, body, path, &format!("{path}: {says}"))
}

#[test]
fn what_is_not_json_is_refused_with_its_position() {
    let (mut server, good) = iris();
    let cases = [
        not_json("an empty body", "", "expected JSON, got nothing"),
        not_json("spaces", "  ", "not JSON: EOF while parsing a value at line 1 column 2"),
        not_json("a word", "hello", "not JSON: expected value at line 1 column 1"),
        not_json("form fields", "instances=1&x=2", "not JSON: expected value at line 1 column 1"),
        not_json("truncated in a list", "{\"instances\":[[1,2", "not JSON: EOF while parsing a list"),
        not_json("truncated in a string", "{\"instan", "not JSON: EOF while parsing a string"),
        not_json("truncated in an object", "{\"instances\":[],", "not JSON: EOF while parsing"),
        not_json("truncated in a number", "{\"instances\":[[1.", "not JSON: EOF while parsing a value"),
        not_json("truncated in a word", "{\"instances\":nul", "not JSON: EOF while parsing a value"),
        not_json("garbage behind", one(ROW) + " x", "not JSON: trailing characters at line 1 column 35"),
        not_json("two documents", one(ROW) + &one(ROW), "not JSON: trailing characters"),
        not_json("NUL behind", one(ROW) + "\0", "not JSON: trailing characters"),
        not_json("a byte order mark", format!("\u{feff}{}", one(ROW)), "not JSON: expected value"),
        not_json(
            "UTF-16",
            one(ROW).encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            "not JSON",
        ),
        not_json(
            "no UTF-8 in a key",
            b"{\"inst\xff\":[]}".as_slice(),
            "not JSON: invalid unicode code point",
        ),
        not_json(
            "no UTF-8 in a value",
            b"{\"instances\":[[\"\xc0\xaf\",1,1,1]]}".as_slice(),
            "not JSON: invalid unicode",
        ),
        not_json("no UTF-8 between", b"{\xff\"instances\":[]}".as_slice(), "not JSON: key must be a string"),
        not_json(
            "half a surrogate pair",
            one("[\"\\ud800\",1,1,1]"),
            "not JSON: unexpected end of hex escape",
        ),
        not_json(
            "the other half",
            one("[\"\\udc00\",1,1,1]"),
            "not JSON: lone leading surrogate in hex escape",
        ),
        not_json("two first halves", one("[\"\\ud800\\ud800\",1,1,1]"), "not JSON: lone leading surrogate"),
        not_json("a bad escape", one("[\"\\x41\",1,1,1]"), "not JSON: invalid escape"),
        not_json("a control character", "{\"inst\nances\":[]}", "not JSON: control character"),
        not_json("a comma too many", "{\"instances\":[[1,2,3,4],]}", "not JSON: trailing comma"),
        not_json("a comma too few", "{\"instances\":[[1 2,3,4]]}", "not JSON: expected `,` or `]`"),
        not_json("single quotes", "{'instances':[]}", "not JSON: key must be a string"),
        not_json("a comment", "{/* */\"instances\":[]}", "not JSON: key must be a string"),
        not_json("a key that is a number", "{1:[]}", "not JSON: key must be a string"),
        not_json("no colon", "{\"instances\" []}", "not JSON: expected `:`"),
        not_json("NaN", one("[NaN,1,1,1]"), "not JSON: expected value at line 1 column 16"),
        not_json("Infinity", one("[Infinity,1,1,1]"), "not JSON: expected value"),
        not_json("-Infinity", one("[-Infinity,1,1,1]"), "not JSON: invalid number"),
        not_json("a leading zero", one("[01,1,1,1]"), "not JSON: invalid number"),
        not_json("a plus", one("[+1,1,1,1]"), "not JSON: expected value"),
        not_json("a bare point", one("[.5,1,1,1]"), "not JSON: expected value"),
        not_json("a hexadecimal number", one("[0x10,1,1,1]"), "not JSON: expected `,` or `]`"),
        not_json("an exponent without digits", one("[1e,1,1,1]"), "not JSON: invalid number"),
        not_json("True", one("[True,1,1,1]"), "not JSON: expected value"),
        not_json("a bomb of brackets", "[".repeat(1 << 20), "").code("invalid_request").says("got an array"),
        not_json("truncated parameters", "{\"parameters\":{\"a\":[1,", "not JSON: EOF while parsing"),
    ];
    hold(&mut server, &good, &cases);
}

#[test]
fn a_request_of_another_form_is_refused() {
    let (mut server, good) = iris();
    let rows = |count: usize| format!("{{\"instances\":[{}]}}", vec![ROW; count].join(","));
    let none = "expected an object with \"instances\"";
    let keys = "expected \"instances\" and \"parameters\", got ";
    let mut cases = vec![
        request("a number", "5", "", &format!("{none}, got 5")),
        request("a negative number", "-5", "", &format!("{none}, got -5")),
        request("a fraction", "0.5", "", &format!("{none}, got 0.5")),
        request("a string", "\"instances\"", "", &format!("{none}, got \"instances\"")),
        request("null", "null", "", &format!("{none}, got null")),
        request("true", "true", "", &format!("{none}, got true")),
        request("an array", &format!("[{ROW}]"), "", &format!("{none}, got an array")),
        request("arrays without end", &deep("[", "]"), "", &format!("{none}, got an array")),
        request("no instances", "{}", "", "expected \"instances\", got none"),
        request("parameters only", "{\"parameters\":{}}", "", "expected \"instances\", got none"),
        request(
            "instances twice",
            &format!("{{\"instances\":[{ROW}],\"instances\":[]}}"),
            "",
            "\"instances\" stands twice",
        ),
        request(
            "instances twice, one in disguise",
            &format!("{{\"instances\":[{ROW}],\"\\u0069nstances\":[]}}"),
            "",
            "\"instances\" stands twice",
        ),
        request(
            "parameters twice",
            "{\"parameters\":{},\"parameters\":{\"a\":1},\"instances\":[]}",
            "",
            "\"parameters\" stands twice",
        ),
        request(
            "no parameters twice",
            "{\"parameters\":null,\"parameters\":null}",
            "",
            "\"parameters\" stands twice",
        ),
        request("an unknown key", "{\"inputs\":[],\"instances\":[]}", "", &format!("{keys}\"inputs\"")),
        request("the wrong case", "{\"Instances\":[]}", "", &format!("{keys}\"Instances\"")),
        request("a space behind", "{\"instances \":[]}", "", &format!("{keys}\"instances \"")),
        request("a Cyrillic letter", "{\"instаnces\":[]}", "", &format!("{keys}\"instаnces\"")),
        request("wide letters", "{\"ｉｎｓｔａｎｃｅｓ\":[]}", "", &format!("{keys}\"ｉｎｓｔａｎｃｅｓ\"")),
        request("a joiner", "{\"insta\\u200dnces\":[]}", "", &format!("{keys}\"insta\\u{{200d}}nces\"")),
        request("an empty key", "{\"\":[]}", "", &format!("{keys}\"\"")),
        request("a prototype", "{\"__proto__\":{},\"instances\":[]}", "", &format!("{keys}\"__proto__\"")),
        request(
            "a key of a megabyte",
            &format!("{{\"{}\":1}}", "k".repeat(1 << 20)),
            "",
            &format!("{keys}\"kkkk"),
        ),
        request(
            "depth under an unknown key",
            &format!("{{\"a\":{}}}", deep("[", "]")),
            "",
            &format!("{keys}\"a\""),
        ),
        request(
            "parameters that are an array",
            "{\"parameters\":[1],\"instances\":[]}",
            "parameters",
            "expected an object, got \"[1]\"",
        ),
        request(
            "parameters that are a string",
            "{\"parameters\":\"x\",\"instances\":[]}",
            "parameters",
            "expected an object, got ",
        ),
        request(
            "parameters that are a number",
            "{\"parameters\":1,\"instances\":[]}",
            "parameters",
            "parameters: expected an object, got \"1\"",
        ),
        request(
            "parameters that are true",
            "{\"parameters\":true,\"instances\":[]}",
            "parameters",
            "expected an object, got \"true\"",
        ),
        request(
            "parameters that are deep arrays",
            &format!("{{\"parameters\":{},\"instances\":[]}}", deep("[", "]")),
            "parameters",
            "expected an object",
        ),
        not_json(
            "depth in the parameters",
            format!("{{\"parameters\":{{\"a\":{}}},\"instances\":[]}}", deep("[", "]")),
            "recursion limit exceeded",
        )
        .at("parameters"),
        not_json(
            "objects without end in the parameters",
            format!("{{\"parameters\":{}}}", deep("{\"a\":", "}")),
            "recursion limit exceeded",
        )
        .at("parameters"),
        not_json(
            "a number out of range in the parameters",
            "{\"parameters\":{\"a\":1e999},\"instances\":[]}",
            "number out of range",
        )
        .at("parameters"),
        Case::json("one instance too many", rows(1001))
            .status(413)
            .code("too_large")
            .at("instances")
            .says("instances: expected at most 1000 instances (limit max_instances), got more"),
        Case::json("many too many", format!("{{\"instances\":[{}]}}", "[],".repeat(100_000)))
            .code("invalid_instance")
            .at("instances[0]")
            .says("expected 4 values, got 0"),
        Case::json("as many as may be", rows(1000)).status(200).says("setosa"),
        Case::json("no instance", "{\"instances\":[]}").status(200).says("{\"predictions\":[]}"),
        Case::json("parameters that are null", "{\"parameters\":null,\"instances\":[]}").status(200),
        Case::json("escapes in a key", format!("{{\"\\u0069nstances\":[{ROW}]}}")).status(200),
    ];
    for (kind, value, shown) in [
        ("a number", "5", "5"),
        ("a string", "\"x\"", "\"x\""),
        ("null", "null", "null"),
        ("false", "false", "false"),
        ("a fraction", "1.5", "1.5"),
        ("an object", "{}", "an object"),
    ] {
        let body = format!("{{\"instances\":{value}}}");
        cases.push(request(
            &format!("instances that are {kind}"),
            &body,
            "instances",
            &format!("instances: expected an array, got {shown}"),
        ));
    }
    hold(&mut server, &good, &cases);
}

#[test]
fn every_wrong_value_is_named_by_its_place() {
    let (mut server, good) = iris();
    let mut cases = Vec::new();
    for (kind, value, says) in [
        ("a string", "\"1\"", "expected a number, got \"1\""),
        ("true", "true", "expected a number, got true"),
        ("null", "null", "expected a number, got null"),
        ("an object", "{\"a\":1}", "expected f32, got an object"),
        ("an array", "[1]", "expected f32, got an array"),
    ] {
        for (at, input) in INPUTS.iter().enumerate() {
            let mut row = ["1"; 4];
            row[at] = value;
            let rows = format!("{{\"instances\":[{ROW},{ROW},{ROW},[{}]]}}", row.join(","));
            cases.push(exactly(&format!("{kind} at {at}"), &rows, &format!("instances[3][{at}]"), says));
            let named = one(&by_name(input, value));
            cases.push(exactly(
                &format!("{kind} for {input}"),
                &named,
                &format!("instances[0].{input}"),
                says,
            ));
        }
    }
    for (kind, value, shown) in [
        ("a number", "5", "5"),
        ("a string", "\"5,3,1,0\"", "\"5,3,1,0\""),
        ("true", "true", "true"),
        ("null", "null", "null"),
    ] {
        let body = format!("{{\"instances\":[{ROW},{value}]}}");
        cases.push(exactly(
            &format!("{kind} as an instance"),
            &body,
            "instances[1]",
            &format!("{SHAPE}, got {shown}"),
        ));
    }
    for input in INPUTS {
        let others: Vec<String> =
            INPUTS.iter().filter(|other| **other != input).map(|other| format!("\"{other}\":1")).collect();
        let missing = one(&format!("{{{}}}", others.join(",")));
        cases.push(exactly(
            &format!("without {input}"),
            &missing,
            "instances[0]",
            &format!("expected \"{input}\", which is missing"),
        ));
        let twice = one(&by_name(input, &format!("1,\"{input}\":2")));
        cases.push(exactly(
            &format!("{input} twice"),
            &twice,
            &format!("instances[0].{input}"),
            "stands twice",
        ));
    }
    let keys = "expected sepal_length, sepal_width, petal_length, petal_width, got the key ";
    let out_of_range = "expected a number that a double can hold, got a larger one";
    let digits = "9".repeat(1 << 20);
    cases.extend([
        exactly("no values", &one("[]"), "instances[0]", "expected 4 values, got 0"),
        exactly("too few values", &one("[1,2,3]"), "instances[0]", "expected 4 values, got 3"),
        exactly("too many values", &one("[1,2,3,4,5]"), "instances[0]", "expected 4 values, got more"),
        exactly(
            "depth behind the last value",
            &one(&format!("[1,2,3,4,{}]", deep("[", "]"))),
            "instances[0]",
            "expected 4 values, got more",
        ),
        exactly("no keys", &one("{}"), "instances[0]", "expected \"sepal_length\", which is missing"),
        exactly("an unknown key", &one("{\"colour\":1}"), "instances[0]", &format!("{keys}\"colour\"")),
        exactly(
            "a key in the wrong case",
            &one("{\"Petal_Width\":1}"),
            "instances[0]",
            &format!("{keys}\"Petal_Width\""),
        ),
        exactly(
            "a Cyrillic letter in a key",
            &one("{\"petal_wіdth\":1}"),
            "instances[0]",
            &format!("{keys}\"petal_wіdth\""),
        ),
        exactly(
            "a space in a key",
            &one("{\" petal_width\":1}"),
            "instances[0]",
            &format!("{keys}\" petal_width\""),
        ),
        exactly(
            "NUL in a key",
            &one("{\"petal_width\\u0000\":1}"),
            "instances[0]",
            &format!("{keys}\"petal_width\\0\""),
        ),
        exactly(
            "depth under an unknown key",
            &one(&deep("{\"a\":", "}")),
            "instances[0]",
            &format!("{keys}\"a\""),
        ),
        exactly(
            "depth under a key",
            &one(&format!("{{\"petal_width\":{}}}", deep("{\"a\":", "}"))),
            "instances[0].petal_width",
            "expected f32, got an object",
        ),
        exactly(
            "depth in place of a value",
            &one(&format!("[1,{}]", deep("[", "]"))),
            "instances[0][1]",
            "expected f32, got an array",
        ),
        exactly(
            "arrays without end",
            &format!("{{\"instances\":{}", "[".repeat(1 << 20)),
            "instances[0][0]",
            "expected f32, got an array",
        ),
        exactly("1e999", &one("[1,2,1e999,4]"), "instances[0][2]", out_of_range),
        exactly("-1e999", &one("[1,2,3,-1e999]"), "instances[0][3]", out_of_range),
        exactly(
            "an exponent of twenty digits",
            &one("[1e99999999999999999999,2,3,4]"),
            "instances[0][0]",
            out_of_range,
        ),
        exactly(
            "a million digits",
            &one(&by_name("petal_width", &digits)),
            "instances[0].petal_width",
            out_of_range,
        ),
        exactly(
            "beyond f32",
            &one("[1,1e39,1,1]"),
            "instances[0][1]",
            "expected a number that f32 can hold, got 1e39",
        ),
        exactly(
            "beyond f32, negative",
            &one("[1,-3.5e38,1,1]"),
            "instances[0][1]",
            "expected a number that f32 can hold, got -3.5e38",
        ),
        exactly(
            "the last of many",
            &format!("{{\"instances\":[{},[1,2,3,null]]}}", vec![ROW; 999].join(",")),
            "instances[999][3]",
            "expected a number, got null",
        ),
        exactly(
            "a long string",
            &one(&format!("[\"{}\",1,1,1]", "x".repeat(1 << 20))),
            "instances[0][0]",
            &format!("expected a number, got \"{}…\"", "x".repeat(40)),
        ),
        exactly(
            "a string that breaks out",
            &one("[\"\\\"}],\\r\\n\\u001b[31m\",1,1,1]"),
            "instances[0][0]",
            "expected a number, got \"\\\"}],\\r\\n\\u{1b}[31m\"",
        ),
        Case::json("a million digits behind the point", one(&format!("[0.{digits},1,1,1]"))).status(200),
        Case::json("a million zeros and a one", one(&format!("[0.{}1,1,1,1]", "0".repeat(1 << 20))))
            .status(200),
        Case::json("a negative zero", one("[-0,-0.0,1,1]")).status(200),
        Case::json("the smallest double", one("[5e-324,1e-400,1,1]")).status(200),
        Case::json(
            "the keys in another order",
            one("{\"petal_width\":0.2,\"petal_length\":1.4,\"sepal_width\":3.5,\"sepal_length\":5.1}"),
        )
        .status(200)
        .says("setosa"),
    ]);
    hold(&mut server, &good, &cases);
}

#[test]
fn every_dtype_refuses_what_it_cannot_hold() {
    const INSTANCE: [(&str, &str); 12] = [
        ("vector", "[1,2,3]"),
        ("count", "4"),
        ("flag", "true"),
        ("tile", "[[1,2],[3,4]]"),
        ("tiny", "-1"),
        ("short", "2"),
        ("word", "3"),
        ("half", "0.5"),
        ("wide", "1.5"),
        ("age", "30"),
        ("colour", "\"red\""),
        ("open", "[[1,2],[3,4]]"),
    ];
    let with = |name: &str, value: &str| {
        let member =
            |(key, usual): &(&str, &str)| format!("\"{key}\":{}", if *key == name { value } else { usual });
        format!("{{{}}}", INSTANCE.iter().map(member).collect::<Vec<_>>().join(","))
    };
    let plain = with("", "");
    let mut server = Server::start_with(&[&sealed("typed").to_string_lossy()], &SETTLED);
    let good = Good::json(&format!("{{\"instances\":[{plain},{plain}]}}"));
    let mut cases = Vec::new();
    for (input, value, below, says) in [
        ("vector", "[1,2]", "", "expected an array of 3, got 2"),
        ("vector", "[1,2,3,4]", "", "expected an array of 3, got more"),
        ("vector", "[]", "", "expected an array of 3, got 0"),
        ("vector", "5", "", "expected f32[3], got 5"),
        ("vector", "\"1,2,3\"", "", "expected f32[3], got \"1,2,3\""),
        ("vector", "null", "", "expected f32[3], got null"),
        ("vector", "true", "", "expected f32[3], got true"),
        ("vector", "{\"0\":1,\"1\":2,\"2\":3}", "", "expected f32[3], got an object"),
        ("vector", "[1,\"2\",3]", "[1]", "expected a number, got \"2\""),
        ("vector", "[1,2,null]", "[2]", "expected a number, got null"),
        ("vector", "[[1],[2],[3]]", "[0]", "expected a number, got an array"),
        ("vector", "[1,{},3]", "[1]", "expected a number, got an object"),
        ("vector", "[1,1e39,3]", "[1]", "expected a number that f32 can hold, got 1e39"),
        ("vector", "[1,2,1e999]", "[2]", "expected a number that a double can hold, got a larger one"),
        ("count", "1.5", "", "expected an integer, got 1.5"),
        ("count", "-0.1", "", "expected an integer, got -0.1"),
        ("count", "18446744073709551616", "", "expected an integer, got 1.8446744073709552e19"),
        (
            "count",
            "18446744073709551615",
            "",
            "expected an integer that i64 can hold, got 18446744073709551615",
        ),
        (
            "count",
            "9223372036854775808",
            "",
            "expected an integer that i64 can hold, got 9223372036854775808",
        ),
        ("count", "-9223372036854775809", "", "expected an integer, got -9.223372036854776e18"),
        ("count", "9007199254740993.0", "", "expected an integer, got 9007199254740992.0"),
        ("count", "1e16", "", "expected an integer, got 1e16"),
        ("count", "1e400", "", "expected a number that a double can hold, got a larger one"),
        ("count", "\"4\"", "", "expected an integer, got \"4\""),
        ("count", "true", "", "expected an integer, got true"),
        ("count", "null", "", "expected an integer, got null"),
        ("count", "[4]", "", "expected i64, got an array"),
        ("count", "{}", "", "expected i64, got an object"),
        ("flag", "1", "", "expected true or false, got 1"),
        ("flag", "0", "", "expected true or false, got 0"),
        ("flag", "\"true\"", "", "expected true or false, got \"true\""),
        ("flag", "null", "", "expected true or false, got null"),
        ("flag", "[true]", "", "expected bool, got an array"),
        ("tile", "[[1,2],[3,256]]", "[1][1]", "expected an integer that u8 can hold, got 256"),
        ("tile", "[[1,2],[-1,4]]", "[1][0]", "expected an integer that u8 can hold, got -1"),
        ("tile", "[[1,2.5],[3,4]]", "[0][1]", "expected an integer, got 2.5"),
        ("tile", "[[1,2],[3]]", "[1]", "expected an array of 2, got 1"),
        ("tile", "[[1,2],[3,4,5]]", "[1]", "expected an array of 2, got more"),
        ("tile", "[[1,2]]", "", "expected an array of 2, got 1"),
        ("tile", "[[1,2],[3,4],[5,6]]", "", "expected an array of 2, got more"),
        ("tile", "[1,2,3,4]", "[0]", "expected an array of 2, got 1"),
        ("tile", "[[[1],2],[3,4]]", "[0][0]", "expected an integer, got an array"),
        ("tile", "[[],[]]", "[0]", "expected an array of 2, got 0"),
        ("tile", "[null,[1,2]]", "[0]", "expected an array of 2, got null"),
        ("tile", "\"AQIDBA==\"", "", "expected u8[2, 2], got \"AQIDBA==\""),
        ("tiny", "128", "", "expected an integer that i8 can hold, got 128"),
        ("tiny", "-129", "", "expected an integer that i8 can hold, got -129"),
        ("short", "32768", "", "expected an integer that i16 can hold, got 32768"),
        ("short", "-32769", "", "expected an integer that i16 can hold, got -32769"),
        ("word", "2147483648", "", "expected an integer that i32 can hold, got 2147483648"),
        ("word", "-2147483649", "", "expected an integer that i32 can hold, got -2147483649"),
        ("half", "65520", "", "expected a number that f16 can hold, got 65520"),
        ("half", "-1e6", "", "expected a number that f16 can hold, got -1000000.0"),
        ("wide", "1e309", "", "expected a number that a double can hold, got a larger one"),
        ("wide", "\"NaN\"", "", "expected a number, got \"NaN\""),
        ("age", "-1", "", "expected 0 to 150 years, got -1"),
        ("age", "151", "", "expected 0 to 150 years, got 151"),
        ("age", "150.1", "", "expected 0 to 150 years, got 150.1"),
        ("age", "null", "", "expected a number, got null"),
        ("colour", "\"blue\"", "", "expected one of red, green, got \"blue\""),
        ("colour", "\"Red\"", "", "expected one of red, green, got \"Red\""),
        ("colour", "\"rеd\"", "", "expected one of red, green, got \"rеd\""),
        ("colour", "\"red\\u0000\"", "", "expected one of red, green, got \"red\\0\""),
        ("colour", "\"\"", "", "expected one of red, green, got \"\""),
        ("colour", "0", "", "expected a string, got 0"),
        ("colour", "null", "", "expected a string, got null"),
        ("colour", "[\"red\"]", "", "expected string, got an array"),
        ("open", "[[1,2],[3]]", "[1]", "expected an array of 2, got 1"),
        ("open", "[[1,2],[3,4,5]]", "[1]", "expected an array of 2, got more"),
        ("open", "[1,2]", "[0]", "expected an array, got 1"),
        ("open", "1", "", "expected f32[h, w], got 1"),
        ("open", "[[[1]]]", "[0][0]", "expected a number, got an array"),
    ] {
        let path = format!("instances[0].{input}{below}");
        cases.push(exactly(&format!("{input} = {value}"), &one(&with(input, value)), &path, says));
    }
    cases.extend([
        exactly(
            "another shape for the second instance",
            &format!("{{\"instances\":[{plain},{}]}}", with("open", "[[1,2],[3,4],[5,6]]")),
            "instances[1].open",
            "expected an array of 2, got more",
        ),
        exactly(
            "a narrower second instance",
            &format!("{{\"instances\":[{plain},{}]}}", with("open", "[[1],[3]]")),
            "instances[1].open[0]",
            "expected an array of 2, got 1",
        ),
        exactly(
            "by position",
            &one("[[1,2,3],4,true,[[1,2],[3,\"4\"]]]"),
            "instances[0][3][1][1]",
            "expected an integer, got \"4\"",
        ),
        not_json(
            "half a surrogate pair",
            one(&with("colour", "\"\\ud83d\"")),
            "not JSON: unexpected end of hex escape",
        ),
        Case::json("an integer that no double holds", one(&with("count", "9007199254740993")))
            .status(200)
            .says("\"count_back\":9007199254740993"),
        Case::json("the smallest integer", one(&with("count", "-9223372036854775808")))
            .status(200)
            .says("\"count_back\":-9223372036854775808"),
        Case::json("an integer with an exponent", one(&with("count", "1e2")))
            .status(200)
            .says("\"count_back\":100"),
        Case::json("a missing float", one(&with("wide", "null"))).status(200),
        Case::json("the range's end", one(&with("age", "150.0"))).status(200),
        Case::json("an empty array where its size is open", one(&with("open", "[]"))).status(200),
    ]);
    hold(&mut server, &good, &cases);
}

#[test]
fn tables_are_refused_by_row_and_column() {
    let (mut server, good) = iris();
    let csv = |name: &str, body: &[u8]| Case::post(name, "text/csv", body).code("invalid_instance");
    let header = "sepal_length,sepal_width,petal_length,petal_width\n";
    let cases = [
        csv("too few columns", b"1,2\n").says("expected 4 columns, got 2 (\"1\", \"2\")"),
        csv("other names", b"a,b,c,d\n1,2,3,4\n")
            .at("instances[0].sepal_length")
            .says("expected a number, got \"a\""),
        csv("a column is missing", b"sepal_length,x\n1,2\n")
            .says("expected a column \"sepal_width\", which is missing"),
        csv("a column stands twice", b"sepal_length,sepal_length,sepal_width,petal_length,petal_width\n")
            .says("column \"sepal_length\" stands twice"),
        csv("a short row", format!("{header}1,2,3,4\n1,2,3\n").as_bytes())
            .at("instances[1]")
            .says("expected 4 cells, got 3"),
        csv("a long row", b"1,2,3,4\n1,2,3,4,5\n").at("instances[1]").says("expected 4 cells, got 5"),
        csv("a word", format!("{header}1,2,x,4\n").as_bytes())
            .at("instances[0].petal_length")
            .says("expected a number, got \"x\""),
        csv("an empty cell", b"1,2,,4\n").at("instances[0].petal_length").says("expected a number, got null"),
        csv("NaN", b"NaN,2,3,4\n").at("instances[0].sepal_length").says("expected a number, got \"NaN\""),
        csv("inf", b"1,2,3,-inf\n").at("instances[0].petal_width").says("expected a number, got \"-inf\""),
        csv("1e999", b"1,1e999,3,4\n")
            .at("instances[0].sepal_width")
            .says("expected a number, got \"1e999\""),
        csv("beyond f32", b"1,1e39,3,4\n")
            .at("instances[0].sepal_width")
            .says("expected a number that f32 can hold, got 1e39"),
        csv("a formula", b"=1+1,2,3,4\n")
            .at("instances[0].sepal_length")
            .says("expected a number, got \"=1+1\""),
        csv("an open quote", b"\"1,2,3,4\n1,2,3,4\n").says("line 1: expected a closing quote"),
        csv("no UTF-8", b"1,2,\xff,4\n").at("instances[0]").says("expected UTF-8"),
        csv("NUL", b"1,2,3,4\x00\n").at("instances[0].petal_width").says("expected a number, got \"4\\0\""),
        csv("semicolons", b"1;2;3;4\n").says("expected 4 columns, got 1 (\"1;2;3;4\")"),
        csv("a hundred thousand columns", ",".repeat(100_000).as_bytes())
            .says("expected 4 columns, got 100001"),
        csv("a cell of a megabyte", ("x".repeat(1 << 20) + ",2,3,4\n").as_bytes())
            .at("instances[0].sepal_length")
            .says("expected a number"),
        csv("JSON", good.body.as_slice()).says("expected 4 columns, got 8"),
        Case::post("one row too many", "text/csv", "1,2,3,4\n".repeat(1001))
            .status(413)
            .code("too_large")
            .says("expected at most 1000 instances (limit max_instances), got more"),
        Case::post("nothing", "text/csv", "").status(200).says("{\"predictions\":[]}"),
        Case::post("a header only", "text/csv", header).status(200).says("{\"predictions\":[]}"),
        Case::post(
            "a byte order mark and CRLF",
            "text/csv",
            format!("\u{feff}{}1,2,3,4\r\n", header.replace('\n', "\r\n")),
        )
        .status(200)
        .says("label"),
    ];
    hold(&mut server, &good, &cases);
}
