// What the tests of the pages share: the browser, what they are told, and pictures of what they see.
//
// CHROMIUM      the browser, /usr/bin/chromium unless said; nothing is downloaded
// SCREENSHOTS   a directory for pictures of the page; none are kept without it

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import { chromium } from "playwright-core";

const { CHROMIUM, SCREENSHOTS } = process.env;

// No graphics card and no calls home.
const ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** A variable of the environment that a test can't do without. */
export function needed(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: the comment at the top of the test says what it is`);
  return value;
}

/** The browser, with more arguments. */
export function launch(...more) {
  return chromium.launch({ executablePath: CHROMIUM ?? "/usr/bin/chromium", args: [...ARGS, ...more] });
}

/** Keeps a picture of the page. */
export async function shoot(page, name) {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}
