// The page of a package that `ampoule export js` wrote, in a browser, from a static file server, with no network.
//
// IRIS, CLOUDS  the folders of a table of flowers and of a picture model
// IMAGE, MASK   a PNG, and the mask that the picture model gives for it
//
// browser.mjs says what else there is to set.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, extname, join, normalize } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";

import { launch, needed, shoot } from "./browser.mjs";

const [IRIS, CLOUDS, IMAGE, MASK] = ["IRIS", "CLOUDS", "IMAGE", "MASK"].map(needed);

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm" };

let browser;
let server;
let base;
/** Paths that were asked for. */
let served = [];

before(async () => {
  server = createServer((request, response) => {
    const [, model, ...rest] = normalize(new URL(request.url, "http://x").pathname).split("/");
    const folder = { iris: IRIS, clouds: CLOUDS }[model];
    const name = rest.join("/") || "index.html";
    served.push(`${request.method} /${model}/${name}`);
    try {
      const bytes = readFileSync(join(folder, name));
      response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream" }).end(bytes);
    } catch {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${server.address().port}`;
  // No way out but to this machine.
  browser = await launch("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1");
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Opens a model's page, calls `use`, and checks that all came from its folder. */
async function on(model, use, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 }, ...options });
  const page = await context.newPage();
  const strayed = [];
  const wrong = [];
  served = [];
  context.on("request", (request) => {
    if (!["data:", "blob:"].includes(new URL(request.url()).protocol) && !request.url().startsWith(`${base}/${model}/`)) strayed.push(request.url());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") wrong.push(message.text());
  });
  try {
    await page.goto(`${base}/${model}/index.html`);
    await page.locator("h1", { hasText: model }).waitFor();
    await use(page);
    assert.deepEqual(strayed, [], "requests that left the folder");
    assert.deepEqual(wrong, [], "errors on the page");
    assert.deepEqual(served.filter((line) => !line.startsWith(`GET /${model}/`)), [], "nothing is sent");
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(beyond <= 0, `the page is ${beyond} px wider than the window`);
  } finally {
    await context.close();
  }
}

const predict = (page) => page.getByRole("button", { name: "Predict" }).click();

/** The picture that the link saves. */
async function saved(page) {
  const link = page.getByRole("link", { name: "Save it" });
  await link.waitFor();
  const waiting = page.waitForEvent("download");
  await link.click();
  return readFileSync(await (await waiting).path());
}

for (const [colorScheme, width] of [["light", 1400], ["dark", 400]]) {
  test(`a table's form has the sample in it, and gets its prediction (${colorScheme}, ${width} px)`, async () => {
    await on("iris", async (page) => {
      const inputs = page.locator("#instance input.number");
      assert.deepEqual(await inputs.evaluateAll((all) => all.map(({ value }) => value)), ["5.1", "3.5", "1.4", "0.2"]);
      assert.ok(await page.getByLabel("sepal_length").isVisible(), "fields have names");
      await predict(page);
      await page.locator("#answer").getByText("setosa").first().waitFor();
      await page.getByText(/^Answered in [\d.]+ ms$/).waitFor();
      for (const gone of ["OpenAPI", "Metrics", "The same with curl"]) assert.equal(await page.getByText(gone).isVisible(), false, gone);
      await shoot(page, `export-table-${colorScheme}-${width}`);
    }, { colorScheme, viewport: { width, height: 900 } });
  });

  test(`a chosen picture gets the native engine's mask over it (${colorScheme}, ${width} px)`, async () => {
    await on("clouds", async (page) => {
      await page.locator("#instance input[type=file]").setInputFiles(IMAGE);
      await page.locator(".drop img").waitFor({ state: "visible" });
      await predict(page);
      await page.locator("#mask").waitFor({ state: "visible", timeout: 120_000 });
      const found = await page.evaluate(() => {
        const mask = document.getElementById("mask");
        const { data } = mask.getContext("2d").getImageData(0, 0, mask.width, mask.height);
        const boxes = [mask, mask.parentElement.querySelector("img")].map((element) => {
          const { x, y, width, height } = element.getBoundingClientRect();
          return [x, y, width, height].map(Math.round);
        });
        return { drawn: data.filter((_, at) => at % 4 === 3).some((alpha) => alpha > 0), boxes };
      });
      assert.ok(found.drawn, "something is drawn");
      assert.deepEqual(found.boxes[0], found.boxes[1], "the mask lies on the picture");
      await page.getByText("cloud_fraction").first().waitFor();
      assert.ok((await saved(page)).equals(readFileSync(MASK)), "the mask is the native engine's, byte by byte");
      await shoot(page, `export-picture-${colorScheme}-${width}`);
    }, { colorScheme, viewport: { width, height: 900 } });
  });
}

test("a dropped picture is taken", async () => {
  await on("clouds", async (page) => {
    const file = { name: basename(IMAGE), bytes: readFileSync(IMAGE).toString("base64") };
    const transfer = await page.evaluateHandle(({ name, bytes }) => {
      const transfer = new DataTransfer();
      const content = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([content], name, { type: "image/png" }));
      return transfer;
    }, file);
    await page.dispatchEvent(".drop", "drop", { dataTransfer: transfer });
    await page.locator(".drop img").waitFor({ state: "visible" });
    await predict(page);
    await page.locator("#mask").waitFor({ state: "visible", timeout: 120_000 });
  });
});

test("what is refused is marked at its place", async () => {
  await on("iris", async (page) => {
    const input = page.locator("#instance input.number").nth(2);
    await input.fill("long");
    await predict(page);
    const path = page.locator("#error .path");
    await path.waitFor();
    assert.equal(await path.textContent(), "instances[0].petal_length");
    assert.match(await page.locator("#error").textContent(), /400 invalid_instance.*expected a number, got "long"/s);
    assert.equal(await input.getAttribute("aria-invalid"), "true");
    await shoot(page, "export-refused");
    await input.fill("1.4");
    await predict(page);
    await page.locator("#answer").getByText("setosa").first().waitFor();
  });
});

test("opened as a file, the page says what it needs", async () => {
  const page = await browser.newPage();
  await page.goto(pathToFileURL(join(IRIS, "index.html")).href);
  await page.getByText("browsers load no modules from files").waitFor();
  await shoot(page, "export-file");
  await page.close();
});
