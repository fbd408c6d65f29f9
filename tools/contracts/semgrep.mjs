// Rules of this project over its contracts; semgrep/sample.sol holds what each rule must find.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";
import { python } from "./python.mjs";

const folder = join(root, "tools/contracts/semgrep");

function scan(target) {
  const { stdout, stderr, error } = spawnSync(
    python("semgrep"),
    [
      "scan",
      ...["--config", join(folder, "rules.yml"), "--metrics", "off", "--disable-version-check"],
      ...["--no-git-ignore", "--exclude", "*.t.sol", "--json", target],
    ],
    { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 },
  );
  if (error) throw error;
  const report = JSON.parse(stdout || "{}");
  if (!report.results || report.errors.length > 0)
    throw new Error(`semgrep failed: ${report.errors?.[0]?.message ?? stderr.slice(-2000)}`);
  return report;
}

/** @returns {string[]} Findings, and rules that find nothing in the sample. */
export function checkSemgrep(say) {
  const ids = [...readFileSync(join(folder, "rules.yml"), "utf8").matchAll(/^ {2}- id: (.*)$/gm)].map((m) => m[1]);
  const seen = new Set(scan(join(folder, "sample.sol")).results.map((r) => r.check_id.split(".").pop()));
  const blind = ids.filter((id) => !seen.has(id)).map((id) => `the rule ${id} finds nothing in sample.sol`);
  const { results, paths } = scan("contracts");
  say(`${ids.length} rules over ${paths.scanned.length} files: ${results.length} findings`);
  return blind.concat(
    results.map((r) => `${r.path}:${r.start.line}: ${r.check_id.split(".").pop()}: ${r.extra.message}`),
  );
}
