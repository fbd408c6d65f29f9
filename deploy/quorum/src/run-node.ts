import { setTimeout as sleep } from "node:timers/promises";
import { onStop } from "@msec/service";
import { requireBinary } from "./binary.ts";
import { NetworkFolder, privacyOf, readPlan } from "./network.ts";
import { type Running, startNode } from "./node.ts";
import { NetworkProblem } from "./problem.ts";
import { noteProcess } from "./run.ts";

// One node in the foreground, for whoever starts processes by systemd: ends when the node does, stops it when told to end.

const MANAGER_MS = 60_000;

async function main(root: string, name: string): Promise<void> {
  const folder = new NetworkFolder(root);
  const one = readPlan(folder).nodes.find((node) => node.name === name);
  if (!one) throw new NetworkProblem(`there is no ${name} in ${folder.root}`);
  let starting: Promise<Running> | undefined;
  let stopping = false;
  onStop(async () => {
    stopping = true;
    await (await starting)?.stop();
  });
  const privacy = privacyOf(one);
  if (privacy) await answersSoon(`${privacy.q2t}/upcheck`, `the privacy manager of ${name}`);
  if (stopping) return;
  const running = await (starting = startNode(folder, one, requireBinary()));
  await noteProcess(folder, name, running.pid);
  await running.exited;
  if (!stopping) throw new NetworkProblem(`${name} ended: see ${folder.log(name)}`);
}

async function answersSoon(url: string, who: string): Promise<void> {
  for (const end = Date.now() + MANAGER_MS; Date.now() < end; await sleep(200))
    if ((await fetch(url, { signal: AbortSignal.timeout(1000) }).catch(() => undefined))?.ok) return;
  throw new NetworkProblem(`${who} does not answer after ${MANAGER_MS / 1000} s, and the node would end without it`);
}

const [root, name] = process.argv.slice(2);
if (!root || !name) {
  process.stderr.write("usage: run-node NETWORK NODE\n");
  process.exit(2);
}
// The process that it waits for is no handle of this one.
const awake = setInterval(() => undefined, 60_000);
main(root, name)
  .catch((error: Error) => {
    process.stderr.write(`run-node: ${error.message}\n`);
    process.exit(1);
  })
  .finally(() => clearInterval(awake));
