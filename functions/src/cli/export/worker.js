// Answers the page as a server would, so that the page stays free while the model computes.

import { base64 } from "./base64.js";
import { Refusal, digest, manifest, open } from "./index.js";

const opening = open();
// Whoever asks hears of it.
opening.catch(() => {});

/** Comes once the model can be asked, so that the page shows what a prediction takes. */
async function models() {
  await opening;
  return { default: manifest.name, models: [{ ...manifest, digest, predictions: "/predictions" }] };
}

async function predictions(body) {
  const { instances, parameters } = typeof body === "string" ? JSON.parse(body) : { instances: [body] };
  const model = await opening;
  const given = await model.predict(instances, parameters);
  return given.map((prediction) => {
    if (!(prediction?.bytes instanceof Uint8Array)) return prediction;
    const { bytes, ...rest } = prediction;
    return { ...rest, b64: base64(bytes) };
  });
}

onmessage = async ({ data: { id, body, models: wanted } }) => {
  try {
    postMessage({ id, status: 200, body: wanted ? await models() : { predictions: await predictions(body) } });
  } catch (cause) {
    const { status, code, path, message } = cause instanceof Refusal ? cause : { status: 500, code: "not_loaded", message: String(cause?.message ?? cause) };
    postMessage({ id, status, body: { error: message, code, path: path || undefined } });
  }
};
