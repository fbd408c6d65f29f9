import { setTimeout as sleep } from "node:timers/promises";
import { type Hex, MODE } from "@msec/core";
import { type Deployed, describeStream, descriptionOf, Operators, published } from "@msec/trade";
import { signerOf } from "../market/buy.ts";
import { type EnrolledDevice } from "./devices.ts";

const WAIT_MS = 500;

/** Has the owner of a device describe its streams, where nobody has, as soon as the device has registered them. */
export async function describeDevice(
  { plan, streams, owner }: EnrolledDevice,
  run: { operators: { url: string }[]; deployment: Deployed },
  stopped: () => boolean,
): Promise<void> {
  if (!plan.thing) return;
  const operators = new Operators(run.operators.map(({ url }) => url));
  for (const { streamId, preimage } of streams) {
    while (!(await registered(operators, streamId))) {
      if (stopped()) return;
      await sleep(WAIT_MS);
    }
    if (await descriptionOf(operators, run.deployment, streamId, owner.address)) continue;
    const signer = { address: owner.address, sign: signerOf(owner) };
    const thing = published(preimage, plan.thing);
    await describeStream(operators, run.deployment, streamId, thing, signer);
    if (!plan.sampleSlots || preimage.mode !== MODE.open) continue;
    let first: number | null;
    while ((first = (await operators.stream(streamId)).firstSlot) === null) {
      if (stopped()) return;
      await sleep(WAIT_MS);
    }
    const sample = { fromSlot: first, toSlot: first + plan.sampleSlots - 1 };
    await describeStream(operators, run.deployment, streamId, { ...thing, sample }, signer);
  }
}

/** Whether every operator knows a stream. */
async function registered(operators: Operators, streamId: Hex): Promise<boolean> {
  const answers = await Promise.all(
    operators.urls.map(async (url) => (await fetch(`${url}/streams/${streamId}`)).ok),
  ).catch(() => [false]);
  return answers.every(Boolean);
}
