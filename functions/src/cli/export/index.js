import { base64, unbase64 } from "./base64.js";
import { instantiate } from "./model.js";
import { digest, manifest, modules } from "./sealed.js";
import { wasi } from "./wasi.js";

export { digest, manifest };

/** Why there is no prediction. */
export class Refusal extends Error {
  constructor({ status, code, path, message }, options) {
    super(message, options);
    this.name = "Refusal";
    /** As HTTP has it: 400 to 499 where the instances or the parameters are at fault. */
    this.status = status;
    /** A word for the kind, such as `invalid_instance`. */
    this.code = code;
    /** Where the value at fault stands, such as `instances[3].age`; empty for the whole. */
    this.path = path;
    const [, index] = /^instances\[(\d+)\]/.exec(path) ?? [];
    /** The instance at fault, counted from zero; `undefined` where none is. */
    this.instance = index === undefined ? undefined : Number(index);
  }
}

/** Opens the model: reads its modules from beside this file, and compiles them. */
export async function open() {
  const compiling = Object.entries(modules).map(async ([name, module]) => [name, await compiled(module)]);
  const parts = new Map(await Promise.all(compiling));
  const fresh = async () => (await instantiate((name) => parts.get(name), wasi)).asking;
  return new Model(fresh, await fresh());
}

/** A module from its place, or from base64. */
async function compiled(url) {
  if (typeof url === "string") return WebAssembly.compile(unbase64(url));
  if (url.protocol === "file:") {
    // Bundlers for browsers have no such module: they are not to look for it.
    const files = "node:fs/promises";
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ files);
    return WebAssembly.compile(await readFile(url));
  }
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: expected a module, got HTTP ${response.status}`);
  const type = response.headers.get("content-type") ?? "";
  if (type.startsWith("application/wasm")) return WebAssembly.compileStreaming(response);
  return WebAssembly.compile(await response.arrayBuffer());
}

class Model {
  #fresh;
  /** The instance that answers; `null` after one that broke. */
  #asking;

  constructor(fresh, asking) {
    this.#fresh = fresh;
    this.#asking = asking;
    this.manifest = manifest;
  }

  /** Predictions for instances, in their order. Throws a `Refusal` that names the first instance at fault. */
  async predict(instances, parameters) {
    const blobs = await pictures(instances);
    const said = parameters === undefined ? undefined : json(parameters, "parameters");
    const body = blobs ? "" : `{"instances":${batch(instances)}${said === undefined ? "" : `,"parameters":${said}`}}`;
    this.#asking ??= await this.#fresh();
    let answer;
    try {
      answer = blobs ? this.#asking.askBlobs(blobs, said) : this.#asking.ask(body);
    } catch (cause) {
      if (typeof cause?.code === "string" && typeof cause.status === "number") throw new Refusal(cause);
      // What it left in memory is not to be trusted.
      this.#asking = null;
      throw new Refusal({ status: 500, code: "guest_trap", path: "", message: `the model failed: ${cause?.message ?? cause}` }, { cause });
    }
    if (answer.tag === "json") return JSON.parse(answer.val).predictions;
    return answer.val.map(({ contentType, bytes, metadata }) => ({
      ...(metadata && JSON.parse(metadata)),
      content_type: contentType,
      bytes,
    }));
  }
}

const takesMedia = manifest.inputs.length === 1 && (manifest.inputs[0].media ?? []).length > 0;

const isBytes = (value) => value instanceof Uint8Array || value instanceof Uint8ClampedArray || value instanceof ArrayBuffer;
const isBlob = (value) => typeof Blob !== "undefined" && value instanceof Blob;

/** The bytes of all instances, where each is a blob and the model takes such. */
async function pictures(instances) {
  if (!takesMedia || !Array.isArray(instances) || !instances.every((item) => isBytes(item) || isBlob(item))) return null;
  const bytes = async (item) => (item instanceof Uint8Array ? item : new Uint8Array(isBlob(item) ? await item.arrayBuffer() : item));
  return Promise.all(instances.map(bytes));
}

/** The JSON text of instances. */
function batch(instances) {
  if (!Array.isArray(instances)) return json(instances, "instances");
  const { inputs } = manifest;
  const texts = instances.map((instance, index) => {
    const path = `instances[${index}]`;
    if (inputs.length === 1 && ArrayBuffer.isView(instance)) return field(instance, inputs[0], path);
    if (Array.isArray(instance) && inputs.length > 1) {
      return `[${instance.map((value, at) => field(value, inputs[at], `${path}[${at}]`)).join(",")}]`;
    }
    if (isPlain(instance)) {
      const members = Object.entries(instance).filter(([, value]) => value !== undefined);
      const named = ([name, value]) => {
        const text = field(value, inputs.find((input) => input.name === name), `${path}.${name}`);
        return `${JSON.stringify(name)}:${text}`;
      };
      return `{${members.map(named).join(",")}}`;
    }
    return json(instance, path);
  });
  return `[${texts.join(",")}]`;
}

/** The JSON text of an input's value. A typed array may hold a tensor of several axes, row-major. */
function field(value, input, path) {
  const shape = input?.shape ?? [];
  const flat = ArrayBuffer.isView(value) && shape.length > 1 && shape.every((axis) => typeof axis === "number");
  if (!flat || value.length !== shape.reduce((product, axis) => product * axis, 1)) return json(value, path);
  let texts = Array.from(value, (item, at) => json(item, `${path}[${at}]`));
  for (const axis of [...shape].reverse()) {
    const rows = [];
    for (let at = 0; at < texts.length; at += axis) rows.push(`[${texts.slice(at, at + axis).join(",")}]`);
    texts = rows;
  }
  return texts[0];
}

const isPlain = (value) => {
  if (value === null || typeof value !== "object") return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
};

/** JSON text; whole numbers may be bigints, lists typed arrays. What JSON can't hold is refused with its place. */
function json(value, path) {
  switch (typeof value) {
    case "number":
      if (Number.isFinite(value)) return Object.is(value, -0) ? "-0" : String(value);
      break;
    case "bigint":
      return String(value);
    case "string":
    case "boolean":
      return JSON.stringify(value);
    case "undefined":
      return "null";
    case "object":
      if (value === null) return "null";
      if (takesMedia && isBytes(value)) return `{"b64":"${base64(new Uint8Array(value))}"}`;
      if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) {
        return `[${Array.from(value, (item, index) => json(item, `${path}[${index}]`)).join(",")}]`;
      }
      if (isPlain(value)) {
        const members = Object.entries(value).filter(([, item]) => item !== undefined);
        return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${json(item, `${path}.${name}`)}`).join(",")}}`;
      }
      break;
  }
  const got = typeof value === "object" ? `a ${value.constructor?.name ?? "strange object"}` : typeof value === "number" ? value : `a ${typeof value}`;
  const message = `${path}: expected a value that JSON can hold, got ${got}`;
  throw new Refusal({ status: 400, code: "invalid_instance", path, message });
}
