// What this project's transactions cost, beside other people's contracts doing the same jobs: one run, one network, one
// way of measuring (21,000 + calldata + execution at Istanbul's rules, before refunds).
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { root } from "../setup.mjs";
import { peers } from "./peers.mjs";

/** Names in the output, the group and name under which the Solidity tests state them, and the target. */
const jobs = {
  anchorEpoch: ["DataAnchor", "anchor, 3 signatures", 80_000],
  enrolDevice: ["DeviceRegistry", "enrol, 2 registrars", 220_000],
  buyWithPermit: ["Market", "buy with permit", 160_000],
  settleMatch: ["Market", "settle", 190_000],
  deliverHour: ["Market", "deliver an hour", 70_000],
  release: ["Market", "release", 60_000],
  wrongKeyProofHour: ["Escrow", "proveWrongKey, nodes 19", 105_000],
  wrongKeyProof48: ["Escrow", "proveWrongKey, nodes 48", 145_000],
  unopenablePack6500: ["Market", "proveUnopenable, 6500 bytes", 330_000],
  rate: ["Reputation", "rate", 70_000],
  grantConsent: ["ConsentRegistry", "grant, new grantee", 60_000],
  revokeAll: ["ConsentRegistry", "revokeAll", 35_000],
};

const usage = "usage: npm run gas -- [--json FILE]\n";
const args = process.argv.slice(2);
if (args.length !== 0 && (args.length !== 2 || args[0] !== "--json")) {
  process.stderr.write(usage);
  process.exit(2);
}
try {
  const values = measure(peers(say));
  const result = report(values);
  print(result);
  if (args.length === 2) writeFileSync(resolve(args[1]), `${JSON.stringify(result, null, 2)}\n`);
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

/** Runs the gas tests of a copy of the contracts, in which the peers' tests lie too, and reads what they state. */
function measure(codes) {
  const copy = join(root, "node_modules", ".cache", "msec-gas");
  const put = (path) => cpSync(join(root, path), join(copy, path), { recursive: true });
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  for (const path of ["contracts", "hardhat.config.ts", "package.json", "artifacts", "cache"]) put(path);
  for (const path of ["packages/core/vectors", "packages/trust/vectors"]) put(path);
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"));
  mkdirSync(join(copy, "contracts/peers"));
  cpSync(join(root, "tools/gas/Peers.t.sol"), join(copy, "contracts/peers/Peers.t.sol"));
  for (const [name, bytecode] of Object.entries(codes))
    writeFileSync(join(copy, `contracts/peers/${name}.json`), JSON.stringify({ bytecode }));

  say("measuring");
  run(copy, ["build", "--no-tests"]);
  const tests = ["--grep", "[gG]as"];
  run(copy, ["test", "solidity", "--network", "istanbul", "--snapshot", ...tests]);
  const values = {};
  for (const group of new Set([...Object.values(jobs).map(([of]) => of), "Peers"]))
    values[group] = JSON.parse(readFileSync(join(copy, `snapshots/${group}.json`), "utf8"));
  rmSync(copy, { recursive: true, force: true });
  return values;
}

function run(cwd, command) {
  const { status, stdout, stderr } = spawnSync("hardhat", command, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`hardhat ${command[0]} failed:\n${(stdout + stderr).slice(-3000)}`);
}

function report(values) {
  const ours = {};
  const targets = {};
  const ratios = {};
  const peersGas = {};
  for (const [job, [group, name, target]] of Object.entries(jobs)) {
    const gas = Number(values[group][name]);
    if (!Number.isInteger(gas) || gas <= 21_000) throw new Error(`no test stated the gas of ${job}`);
    [ours[job], targets[job], ratios[job], peersGas[job]] = [gas, target, {}, {}];
  }
  for (const [key, value] of Object.entries(values.Peers)) {
    const [job, peer] = key.split("|");
    peersGas[job][peer] = Number(value);
    ratios[job][peer] = Number((Number(value) / ours[job]).toFixed(2));
  }
  return { rules: "istanbul", ours, targets, peers: peersGas, ratios };
}

function print({ ours, targets, peers: others, ratios }) {
  const n = (value) => value.toLocaleString("en").padStart(9);
  for (const [job, gas] of Object.entries(ours)) {
    const verdict = gas <= targets[job] ? "within" : "ABOVE";
    process.stdout.write(`${job.padEnd(20)}${n(gas)}  ${verdict} its target of ${targets[job].toLocaleString("en")}\n`);
    for (const [peer, theirs] of Object.entries(others[job]))
      process.stdout.write(`${"".padEnd(20)}${n(theirs)}  ${ratios[job][peer].toFixed(2)} times: ${peer}\n`);
  }
}
