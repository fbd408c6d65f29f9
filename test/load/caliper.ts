import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { artifact, type Profile, SOURCES } from "@msec/chain";
import { addressOfKey, type Hex, toHex } from "@msec/core";
import { npmTool } from "../support/npm-tool.ts";

// Hyperledger Caliper 0.6.0 as an outside judge of what the network takes: its own workers, its own web3, its own clock.

const CALIPER = { "@hyperledger/caliper-cli": "0.6.0", "@hyperledger/caliper-ethereum": "0.6.0" };
const TRANSACTION_GAS = 100_000;

/** A digest a transaction, as anybody may anchor one. */
const WORKLOAD = `"use strict";
const { randomBytes } = require("node:crypto");
const { WorkloadModuleBase } = require("@hyperledger/caliper-core");
class Anchor extends WorkloadModuleBase {
  async submitTransaction() {
    const digest = "0x" + randomBytes(32).toString("hex");
    await this.sutAdapter.sendRequests({ contract: "AgreementDigests", verb: "anchor", args: [digest] });
  }
}
module.exports.createWorkloadModule = () => new Anchor();
`;

export interface CaliperOptions {
  rate: number;
  seconds: number;
  workers: number;
}

export interface CaliperResult extends CaliperOptions {
  version: string;
  succeeded: number;
  failed: number;
  sendPerSecond: number;
  perSecond: number;
  averageMs: number;
  mostMs: number;
}

/** Has Caliper deploy AgreementDigests and anchor digests at a fixed rate. Throws what it says where it fails. */
export async function caliperRun({ ws, chainId }: Profile, options: CaliperOptions): Promise<CaliperResult> {
  const { rate, seconds, workers } = options;
  const tool = npmTool("caliper", CALIPER);
  // Inside the tool's folder, so that the workload finds Caliper.
  const workspace = mkdtempSync(join(tool, "run-"));
  try {
    const { abi, bytecode } = artifact(SOURCES.AgreementDigests);
    const deployer = new Uint8Array(randomBytes(32));
    const write = (name: string, value: unknown) => writeFileSync(join(workspace, name), JSON.stringify(value));
    write("digests.json", { name: "AgreementDigests", abi, bytecode, gas: 1_000_000 });
    write("network.json", {
      caliper: { blockchain: "ethereum" },
      ethereum: {
        url: ws,
        chainId,
        gasPrice: 0,
        transactionConfirmationBlocks: 1,
        contractDeployerAddress: addressOfKey(deployer),
        contractDeployerAddressPrivateKey: toHex(deployer),
        fromAddressSeed: toHex(new Uint8Array(randomBytes(32))) satisfies Hex,
        contracts: { AgreementDigests: { path: "./digests.json", gas: { anchor: TRANSACTION_GAS } } },
      },
    });
    write("benchmark.json", {
      test: {
        name: "M-Sec on GoQuorum",
        workers: { number: workers },
        rounds: [
          {
            label: "anchor",
            txDuration: seconds,
            rateControl: { type: "fixed-rate", opts: { tps: rate } },
            workload: { module: "anchor.js" },
          },
        ],
      },
    });
    writeFileSync(join(workspace, "anchor.js"), WORKLOAD);
    const output = await launch(tool, workspace);
    // | Name | Succ | Fail | Send Rate (TPS) | Max Latency (s) | Min Latency (s) | Avg Latency (s) | Throughput (TPS) |
    const row = output
      .split("\n")
      .map((line) => line.split("|").map((cell) => cell.trim()))
      .filter((cells) => cells[1] === "anchor")
      .pop();
    const [succeeded, failed, sendPerSecond, most, , average, perSecond] = (row ?? []).slice(2).map(Number);
    if (!succeeded || perSecond === undefined) throw new Error(`Caliper measured nothing: ${output.slice(-2000)}`);
    return {
      version: CALIPER["@hyperledger/caliper-cli"],
      ...options,
      succeeded,
      failed: failed ?? NaN,
      sendPerSecond: sendPerSecond ?? NaN,
      perSecond,
      averageMs: Math.round(1000 * (average ?? NaN)),
      mostMs: Math.round(1000 * (most ?? NaN)),
    };
  } finally {
    rmSync(workspace, { recursive: true, force: true });
  }
}

function launch(tool: string, workspace: string): Promise<string> {
  const child = spawn(
    process.execPath,
    [
      join(tool, "node_modules/@hyperledger/caliper-cli/caliper.js"),
      ...["launch", "manager", "--caliper-workspace", workspace],
      ...["--caliper-benchconfig", "benchmark.json", "--caliper-networkconfig", "network.json"],
    ],
    { cwd: workspace, stdio: ["ignore", "pipe", "pipe"], detached: true },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => (output += String(part)));
  // Its workers outlive it and hold its output open: they are ended with their group.
  child.on("exit", () => {
    try {
      process.kill(-(child.pid as number), "SIGKILL");
    } catch {
      // None is left.
    }
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) =>
      code === 0 ? resolve(output) : reject(new Error(`Caliper ended with ${code}: ${output.slice(-2000)}`)),
    );
  });
}
