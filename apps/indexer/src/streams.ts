import { type Domain, type Hex, readThing, type SignedThing, type Thing, thingSigner } from "@msec/core";
import { bytes32 } from "@msec/service";
import { z } from "zod";
import { type Store } from "./store.ts";

const WAIT_MS = 10_000;
const time = z.int().min(0).nullable();

/** What an operator tells of a stream in its list. */
const told = z.object({
  streamId: bytes32,
  thing: z.int().min(1).nullable(),
  firstSlot: z.int().min(0).nullable(),
  toMs: time,
  anchoredAt: time,
});
export type Told = z.infer<typeof told>;
const signedThing = z.object({
  version: z.int().min(1),
  document: z.string(),
  signature: z.custom<Hex>((value) => /^0x[0-9a-f]{130}$/i.test(String(value))),
});

/** What an operator answers; undefined where it is away or refuses. */
async function ask(url: string): Promise<unknown> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(WAIT_MS) });
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Asks every operator how far its streams have come and what their owners say of them. An operator that is away, or tells
 * nonsense, changes nothing; of descriptions only what a stream's owner signed is taken, the highest version.
 */
export async function followStreams(store: Store, operators: readonly string[], domain: Domain): Promise<void> {
  for (const url of operators) {
    const answer = await ask(`${url}/streams`);
    const list = (Array.isArray(answer) ? answer : []).flatMap((given) => told.safeParse(given).data ?? []);
    await store.reached(list);
    for (const streamId of await store.outdated(list)) {
      const { data } = z.object({ thing: signedThing }).safeParse(await ask(`${url}/streams/${streamId}`));
      const thing = data && thingOfOwner(streamId, data.thing, domain, await store.ownerOf(streamId));
      if (thing) await store.putThing(streamId, data.thing.version, thing);
    }
  }
}

/** What a description says, if the stream's owner signed it and it is one of this stream. */
function thingOfOwner(streamId: Hex, signed: SignedThing, domain: Domain, owner: Hex | undefined): Thing | undefined {
  try {
    return thingSigner(domain, streamId, signed) === owner ? readThing(streamId, signed.document) : undefined;
  } catch {
    return undefined;
  }
}
