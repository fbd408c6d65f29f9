import { cover, derive, holesOf, MODE, readThing, type SampleKeys, toHex } from "@msec/core";
import { type Context } from "./context.ts";
import { type Line } from "./lines.ts";

/**
 * Keys of what the owner of an open stream lets anybody open: GET /streams/{id}/sample. Null where the newest description
 * names nothing, the stream is sealed, or the device has another owner since.
 */
export async function sampleKeys(ctx: Context, line: Line): Promise<SampleKeys | null> {
  const { store, devices, frontiers } = ctx;
  const signed = await store.thing(line.id);
  const sample = signed && readThing(line.id, signed.document).sample;
  if (!sample || line.stream.mode === MODE.sealed) return null;
  const { ownerEpoch } = await devices.device(line.stream.deviceId);
  const frontier = await frontiers.get(line.id);
  if (ownerEpoch !== line.stream.ownerEpoch || !frontier) return null;
  const { fromSlot, toSlot } = sample;
  const erasures = await store.erasures(line.id);
  const holes = holesOf(
    erasures.map((erasure) => [erasure.fromSlot, erasure.toSlot]),
    fromSlot,
    toSlot,
  );
  const nodes = derive(frontier, cover(fromSlot, toSlot, holes));
  return { fromSlot, toSlot, nodes: nodes.map((node) => ({ ...node, key: toHex(node.key) })) };
}
