// Predicts each line of standard input, an instance as JSON, by the package beside this file; prints a line for each.

import { createInterface } from "node:readline";

import { Refusal, open } from "./index.js";

/** A blob as bytes, where its base64 is such. */
function instance(value) {
  if (typeof value?.b64 !== "string") return value;
  const bytes = Buffer.from(value.b64, "base64");
  return bytes.toString("base64") === value.b64 ? new Uint8Array(bytes) : value;
}

function prediction(value) {
  if (!(value?.bytes instanceof Uint8Array)) return value;
  const { bytes, ...rest } = value;
  return { ...rest, b64: Buffer.from(bytes).toString("base64") };
}

const model = await open();
for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  try {
    const [given] = await model.predict([instance(JSON.parse(line))]);
    answer = { given: prediction(given) };
  } catch (cause) {
    if (!(cause instanceof Refusal)) throw cause;
    answer = { [cause.status < 500 ? "refused" : "failed"]: cause.message };
  }
  console.log(JSON.stringify(answer));
}
