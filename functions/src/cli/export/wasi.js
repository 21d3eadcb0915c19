// What the model's parts import: a log, clocks and random numbers. There are no files, no network and no input.

const decoder = new TextDecoder();

class IoError {
  toDebugString() {
    return "closed";
  }
}

class Pollable {
  ready() {
    return true;
  }
  block() {}
}

class InputStream {
  read() {
    throw { tag: "closed" };
  }
  blockingRead() {
    throw { tag: "closed" };
  }
  subscribe() {
    return new Pollable();
  }
}

/** Lines for the console. */
class OutputStream {
  #line = "";

  checkWrite() {
    return 1n << 20n;
  }
  write(bytes) {
    const lines = (this.#line + decoder.decode(bytes)).split("\n");
    this.#line = lines.pop();
    for (const line of lines) console.error(line);
  }
  blockingWriteAndFlush(bytes) {
    this.write(bytes);
  }
  flush() {}
  blockingFlush() {}
  subscribe() {
    return new Pollable();
  }
}

const log = new OutputStream();
const nanoseconds = () => BigInt(Math.round(performance.now() * 1e6));

/** They seed hash maps. Where a runtime has no better ones, these will do. */
function getRandomBytes(length) {
  const bytes = new Uint8Array(Number(length));
  if (!globalThis.crypto?.getRandomValues) return bytes.map(() => Math.random() * 256);
  for (let at = 0; at < bytes.length; at += 65536) crypto.getRandomValues(bytes.subarray(at, at + 65536));
  return bytes;
}

const getRandomU64 = () => new DataView(getRandomBytes(8).buffer).getBigUint64(0);

export const wasi = {
  "wasi:cli/stderr": { getStderr: () => log },
  "wasi:cli/stdin": { getStdin: () => new InputStream() },
  "wasi:cli/stdout": { getStdout: () => log },
  "wasi:clocks/monotonic-clock": {
    now: nanoseconds,
    resolution: () => 1000n,
    subscribeInstant: () => new Pollable(),
    subscribeDuration: () => new Pollable(),
  },
  "wasi:clocks/wall-clock": {
    now() {
      const now = Date.now();
      return { seconds: BigInt(Math.floor(now / 1000)), nanoseconds: (now % 1000) * 1e6 };
    },
    resolution: () => ({ seconds: 0n, nanoseconds: 1e6 }),
  },
  "wasi:io/error": { Error: IoError },
  "wasi:io/poll": { Pollable, poll: (pollables) => Uint32Array.from(pollables.keys()) },
  "wasi:io/streams": { InputStream, OutputStream },
  "wasi:random/insecure": { getInsecureRandomBytes: getRandomBytes, getInsecureRandomU64: getRandomU64 },
  "wasi:random/insecure-seed": { insecureSeed: () => [getRandomU64(), getRandomU64()] },
  "wasi:random/random": { getRandomBytes, getRandomU64 },
};
