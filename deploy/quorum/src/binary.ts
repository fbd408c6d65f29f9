import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { NetworkProblem } from "./problem.ts";

/** A GoQuorum node's program. */
export interface Binary {
  path: string;
  /** Such as 24.4.1. */
  version: string;
}

const ADVICE =
  "no package registry carries one: take it from the image quorumengineering/quorum:24.4.1, or build it, and name it in GOQUORUM_BIN; without it the city runs on the embedded chain";

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The node that GOQUORUM_BIN names, else a `geth` on the PATH whose version says Quorum; otherwise why there is none. */
export function findBinary(env: NodeJS.ProcessEnv = process.env): Binary | { missing: string } {
  const named = env.GOQUORUM_BIN;
  const path =
    named ??
    (env.PATH ?? "")
      .split(delimiter)
      .map((folder) => join(folder, "geth"))
      .find(isExecutable);
  if (path === undefined) return { missing: `there is no GoQuorum node: ${ADVICE}` };
  if (!isExecutable(path)) return { missing: `GOQUORUM_BIN is ${path}, which is no program that can be run` };
  const { stdout, status } = spawnSync(path, ["version"], { encoding: "utf8", timeout: 10_000 });
  const version = /^Quorum Version:\s*(\S+)/m.exec(stdout ?? "")?.[1];
  if (status !== 0 || version === undefined)
    return { missing: `${path} is not GoQuorum: its \`version\` does not say Quorum; ${ADVICE}` };
  return { path, version };
}

/** The node, or an error that says what to do. */
export function requireBinary(): Binary {
  const found = findBinary();
  if ("missing" in found) throw new NetworkProblem(found.missing);
  return found;
}
