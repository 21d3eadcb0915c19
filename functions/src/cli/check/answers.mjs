// Predicts instances by the package beside this file; what comes of each is `given`, `refused` or `failed`.

import { base64, unbase64 } from "./base64.js";
import { Refusal, open } from "./index.js";

/** A blob as bytes, where its base64 is such. */
function instance(value) {
  if (typeof value?.b64 !== "string") return value;
  try {
    const blob = unbase64(value.b64);
    return base64(blob) === value.b64 ? blob : value;
  } catch {
    return value;
  }
}

function prediction(value) {
  if (!(value?.bytes instanceof Uint8Array)) return value;
  const { bytes, ...rest } = value;
  return { ...rest, b64: base64(bytes) };
}

/** For each line of JSON, an instance, a line of JSON. */
export async function* answers(lines) {
  const model = await open();
  for await (const line of lines) {
    let answer;
    try {
      const [given] = await model.predict([instance(JSON.parse(line))]);
      answer = { given: prediction(given) };
    } catch (cause) {
      if (!(cause instanceof Refusal)) throw cause;
      answer = { [cause.status < 500 ? "refused" : "failed"]: cause.message };
    }
    yield JSON.stringify(answer);
  }
}
