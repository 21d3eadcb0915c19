// The page at /docs, in a browser, on a server of a table of flowers and a picture model.
//
//   AMPOULE_URL=http://127.0.0.1:8080 IMAGE=scene.png npm test
//
// AMPOULE_URL   a running server, such as `ampoule serve iris.wasm clouds.wasm`
// IMAGE         a PNG in which the picture model finds something
// AMPOULE_TOKEN the server's token, if it wants one
//
// browser.mjs says what else there is to set.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { after, before, test } from "node:test";

import { launch, needed, shoot } from "./browser.mjs";

const BASE = new URL(needed("AMPOULE_URL"));
const IMAGE = needed("IMAGE");
const TOKEN = process.env.AMPOULE_TOKEN;
const SETOSA = ["5.1", "3.5", "1.4", "0.2"];

let browser;
let models;

before(async () => {
  const headers = TOKEN ? { Authorization: `Bearer ${TOKEN}` } : {};
  const response = await fetch(new URL("/models", BASE), { headers });
  assert.equal(response.status, 200, "GET /models");
  ({ models } = await response.json());
  browser = await launch();
});

after(() => browser?.close());

/** The model that takes pictures. */
const pictures = () => models.find(({ inputs }) => inputs[0].media?.length) ?? assert.fail("no model takes pictures");

/** The model of four numbers. */
function flowers() {
  const numbers = ({ inputs }) => inputs.reduce((sum, { dtype, shape = [] }) => sum + (dtype ? shape.reduce((a, b) => a * b, 1) : NaN), 0);
  return models.find((model) => numbers(model) === SETOSA.length) ?? assert.fail("no model takes four numbers");
}

/** Opens the page on a model, calls `use` and checks that the page kept to itself. */
async function on(model, use, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1400, height: 1000 }, ...options });
  const page = await context.newPage();
  const strayed = [];
  const wrong = [];
  page.on("request", (request) => {
    const { protocol, origin } = new URL(request.url());
    if (!["data:", "blob:"].includes(protocol) && origin !== BASE.origin) strayed.push(request.url());
  });
  page.on("pageerror", (error) => wrong.push(String(error)));
  page.on("console", (message) => {
    // A refused request is one that these tests provoke; whatever the policy blocks is not.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) wrong.push(message.text());
  });
  try {
    await page.goto(new URL(`/docs#${encodeURIComponent(model.name)}`, BASE).href);
    if (TOKEN) {
      await page.getByLabel("The server wants a token").fill(TOKEN);
      await page.getByRole("button", { name: "Continue" }).click();
    }
    await page.locator("h1", { hasText: model.name }).waitFor();
    if (models.length > 1) assert.equal(await page.getByLabel("Model").inputValue(), model.name);
    await use(page);
    assert.deepEqual(strayed, [], "requests that left the origin");
    assert.deepEqual(wrong, [], "errors on the page");
  } finally {
    await context.close();
  }
}

async function fill(page, values) {
  const inputs = page.locator("#instance input.number");
  assert.equal(await inputs.count(), values.length, "number fields");
  for (const [index, value] of values.entries()) await inputs.nth(index).fill(value);
}

const predict = (page) => page.getByRole("button", { name: "Predict" }).click();

/** What the mask over the picture looks like. */
async function overlay(page) {
  await page.locator("#mask").waitFor({ state: "visible" });
  return page.evaluate(async () => {
    const mask = document.getElementById("mask");
    const picture = mask.parentElement.querySelector("img");
    await picture.decode();
    const { data } = mask.getContext("2d").getImageData(0, 0, mask.width, mask.height);
    let drawn = 0;
    for (let at = 3; at < data.length; at += 4) drawn += data[at] > 0 ? 1 : 0;
    const box = ({ x, y, width, height }) => [x, y, width, height].map(Math.round);
    return {
      drawn: drawn / (mask.width * mask.height),
      size: [mask.width, mask.height],
      picture: [picture.naturalWidth, picture.naturalHeight],
      boxes: [box(mask.getBoundingClientRect()), box(picture.getBoundingClientRect())],
      opacity: Number(getComputedStyle(mask).opacity),
    };
  });
}

function assertOverlay(found) {
  assert.ok(found.drawn > 0.001, `expected something in the mask, got ${found.drawn} of its pixels`);
  assert.deepEqual(found.size, found.picture, "the mask has the picture's size");
  assert.deepEqual(found.boxes[0], found.boxes[1], "the mask lies on the picture");
  assert.ok(found.boxes[0][2] > 50 && found.boxes[0][3] > 10, `expected a picture to see, got ${found.boxes[0]}`);
  assert.ok(found.opacity > 0, "the mask can be seen");
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [400, 1400]) {
    test(`numbers get a label, and nothing is cut off (${colorScheme}, ${width} px)`, async () => {
      await on(flowers(), async (page) => {
        await fill(page, SETOSA);
        await predict(page);
        await page.locator("#answer").getByText("setosa").first().waitFor();
        await page.getByText(/^Answered in [\d.]+ ms$/).waitFor();
        const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.ok(beyond <= 0, `the page is ${beyond} px wider than the window`);
        await shoot(page, `table-${colorScheme}-${width}`);
      }, { colorScheme, viewport: { width, height: 900 } });
    });
  }
}

test("the curl command shows what is in the form", async () => {
  await on(flowers(), async (page) => {
    await fill(page, ["6.25", "3", "5.5", "2"]);
    const command = await page.locator("#curl").textContent();
    assert.match(command, /6\.25.*3.*5\.5.*2/s);
    assert.ok(command.includes(new URL(flowers().predictions, BASE).href), command);
  });
});

for (const [what, value] of [["an empty number", ""], ["text in a number", "long"]]) {
  test(`${what} is refused at its place`, async () => {
    await on(flowers(), async (page) => {
      await fill(page, SETOSA);
      const input = page.locator("#instance input.number").nth(2);
      await input.fill(value);
      await predict(page);
      const path = page.locator("#error .path");
      await path.waitFor();
      const { inputs } = flowers();
      const expected = inputs.length > 1 ? `instances[0].${inputs[2].name}` : `instances[0].${inputs[0].name}[2]`;
      assert.equal(await path.textContent(), expected);
      assert.match(await page.locator("#error").textContent(), /400 invalid_instance.*expected a number/s);
      assert.equal(await page.locator("[aria-invalid=true]").count(), 1);
      assert.equal(await input.getAttribute("aria-invalid"), "true");
      await shoot(page, value ? "refused-text" : "refused-empty");
      await input.fill(SETOSA[2]);
      assert.equal(await page.locator("[aria-invalid=true]").count(), 0, "what was mended is no longer marked");
    });
  });
}

for (const [colorScheme, width] of [["light", 1400], ["dark", 400]]) {
  test(`a chosen picture gets its mask over it (${colorScheme}, ${width} px)`, async () => {
    await on(pictures(), async (page) => {
      await page.locator("#instance input[type=file]").setInputFiles(IMAGE);
      await page.locator(".drop img").waitFor({ state: "visible" });
      await predict(page);
      assertOverlay(await overlay(page));
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(beyond <= 0, `the page is ${beyond} px wider than the window`);
      await shoot(page, `picture-${colorScheme}-${width}`);
      await page.getByLabel("Opacity").fill("0");
      assert.equal((await overlay(page)).opacity, 0, "the slider hides the mask");
    }, { colorScheme, viewport: { width, height: 900 } });
  });
}

test("a dropped picture gets its mask over it", async () => {
  await on(pictures(), async (page) => {
    const file = { name: basename(IMAGE), bytes: readFileSync(IMAGE).toString("base64") };
    const transfer = await page.evaluateHandle(({ name, bytes }) => {
      const transfer = new DataTransfer();
      const content = Uint8Array.from(atob(bytes), (letter) => letter.charCodeAt(0));
      transfer.items.add(new File([content], name, { type: "image/png" }));
      return transfer;
    }, file);
    for (const type of ["dragenter", "dragover", "drop"]) await page.dispatchEvent(".drop", type, { dataTransfer: transfer });
    await page.locator(".drop img").waitFor({ state: "visible" });
    await predict(page);
    assertOverlay(await overlay(page));
  });
});

test("no picture, and a file that is none, are refused", async () => {
  await on(pictures(), async (page) => {
    await predict(page);
    await page.locator("#error").getByText("choose a file first").waitFor();
    const text = { name: "notes.txt", mimeType: "text/plain", buffer: Buffer.from("not a picture") };
    await page.locator("#instance input[type=file]").setInputFiles(text);
    await predict(page);
    await page.locator("#error").getByText(/^4\d\d /).waitFor();
    assert.equal(await page.locator("#instance input[aria-invalid=true]").count(), 1);
    await shoot(page, "refused-file");
  });
});

test("the keyboard is enough", async () => {
  await on(flowers(), async (page) => {
    await page.locator("#instance input.number").first().focus();
    for (const value of SETOSA) {
      await page.keyboard.press("ControlOrMeta+A");
      await page.keyboard.type(value);
      await page.keyboard.press("Tab");
    }
    assert.equal(await page.evaluate(() => document.activeElement.id), "predict");
    await page.keyboard.press("Enter");
    await page.locator("#answer").getByText("setosa").first().waitFor();
  });
});

test("a token is asked for, kept in this tab, and sent", { skip: !TOKEN && "the server wants no token" }, async () => {
  await on(flowers(), async (page) => {
    assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0);
    await fill(page, SETOSA);
    await predict(page);
    await page.locator("#answer").getByText("setosa").first().waitFor();
    assert.ok(!(await page.content()).includes(TOKEN), "the token is not shown");
    await page.getByRole("button", { name: "Forget the token" }).click();
    await predict(page);
    await page.getByLabel("The server wants a token").waitFor();
    await shoot(page, "token");
  });
});
