// What `hardhat build` left: the contracts that are deployed, without tests, and every other build that lies beside them.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../setup.mjs";

const artifacts = join(root, "artifacts");
const infos = join(artifacts, "build-info");
const read = (...path) => JSON.parse(readFileSync(join(...path), "utf8"));
const settingsOf = (id) => read(infos, `${id}.json`).input.settings;

/** Every contract that has code, of this repository or built from a package, with the settings that it was compiled with. */
export function contracts() {
  const settings = new Map();
  return readdirSync(artifacts, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".json") && !file.startsWith("build-info") && !file.includes(".t.sol"))
    .map((file) => read(artifacts, file))
    .filter(({ deployedBytecode }) => deployedBytecode !== "0x")
    .map((artifact) => {
      const id = artifact.buildInfoId;
      if (!settings.has(id)) settings.set(id, settingsOf(id));
      return { ...artifact, settings: settings.get(id) };
    });
}

/** Every build, of whatever profile and whether of tests or not: its settings, and the code of all it compiled but tests. */
export function builds() {
  return readdirSync(infos)
    .filter((file) => file.endsWith(".output.json"))
    .map((file) => {
      const id = file.slice(0, -".output.json".length);
      const codes = Object.entries(read(infos, file).output.contracts ?? {})
        .filter(([source]) => !source.endsWith(".t.sol"))
        .flatMap(([, compiled]) => Object.entries(compiled))
        .map(([name, { evm }]) => ({ name, code: evm?.deployedBytecode?.object ?? "" }));
      return { id, settings: settingsOf(id), codes: codes.filter(({ code }) => code !== "") };
    });
}
