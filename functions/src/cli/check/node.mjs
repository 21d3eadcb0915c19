// Predicts each line of standard input, and prints a line for each.

import { readFileSync } from "node:fs";

import { answers } from "./answers.mjs";

const lines = readFileSync(0, "utf8").split("\n").filter((line) => line);
for await (const answer of answers(lines)) console.log(answer);
