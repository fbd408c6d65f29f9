// What `hardhat build` left: the contracts that are deployed, without tests.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";

const artifacts = join(root, "artifacts");

/** Every contract of this repository that has code, with the settings that it was compiled with. */
export function contracts() {
  return readdirSync(join(artifacts, "contracts"), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json") && !file.includes(".t.sol"))
    .map((file) => JSON.parse(readFileSync(join(artifacts, "contracts", file), "utf8")))
    .filter(({ deployedBytecode }) => deployedBytecode !== "0x")
    .map((artifact) => ({ ...artifact, settings: input(artifact.buildInfoId).settings }));
}

const inputs = new Map();
function input(id) {
  if (!inputs.has(id))
    inputs.set(id, JSON.parse(readFileSync(join(artifacts, "build-info", `${id}.json`), "utf8")).input);
  return inputs.get(id);
}
