// Asks an exported model, and prints what it says as JSON.
//
//   node ask.mjs FOLDER < questions.json
//
// A question is a list of instances. In them {"$f32": [...]}, {"$i64": ["..."]}, {"$u8": [...]}, {"$number": "NaN"} and
// {"$file": "PATH"} stand for what JSON has no words for; {"$blob": "PATH"} is a file as a Blob. An answer is
// {"predictions": [...]} or {"refused": {...}}, bytes as {"$u8": "BASE64"}.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";

const { Refusal, manifest, open } = await import(pathToFileURL(resolve(process.argv[2], "index.js")).href);

const SPECIAL = {
  $f32: (values) => Float32Array.from(values),
  $i64: (values) => BigInt64Array.from(values, BigInt),
  $u8: (values) => Uint8Array.from(values),
  $number: Number,
  $file: (path) => new Uint8Array(readFileSync(path)),
  $blob: (path) => new Blob([readFileSync(path)]),
};

function revive(_, value) {
  const [key] = value !== null && typeof value === "object" ? Object.keys(value) : [];
  return key !== undefined && key in SPECIAL ? SPECIAL[key](value[key]) : value;
}

const shown = (_, value) => (value instanceof Uint8Array ? { $u8: Buffer.from(value).toString("base64") } : value);

const model = await open();
const answers = [];
for (const instances of JSON.parse(readFileSync(0, "utf8"), revive)) {
  try {
    answers.push({ predictions: await model.predict(instances) });
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    const { status, code, path, instance, message } = cause;
    answers.push({ refused: { status, code, path, instance, message } });
  }
}
console.log(JSON.stringify({ name: manifest.name, answers }, shown));
