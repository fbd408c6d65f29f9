import { type Contracts } from "@msec/chain";
import { type Hex, type SlotRange } from "@msec/core";

/** A stream's erasures in the chain's order: the first `count`, or all. */
export async function erasuresOf(
  { ConsentRegistry }: Pick<Contracts, "ConsentRegistry">,
  streamId: Hex,
  count?: number,
): Promise<SlotRange[]> {
  const most = count ?? Number(await ConsentRegistry.erasures(streamId));
  const out: SlotRange[] = [];
  for (let number = 1; number <= most; number++) {
    const { fromSlot, toSlot } = await ConsentRegistry.erasureAt(streamId, number);
    out.push([Number(fromSlot), Number(toSlot)]);
  }
  return out;
}
