import { type Hex, type SlotRange } from "@msec/core";
import { type Config } from "wagmi";
import { readContract } from "wagmi/actions";
import { type PublicCity } from "@/lib/city.ts";

/** A stream's erasures in the chain's order: the first `count`, or all. */
export async function erasuresOf(
  config: Config,
  city: PublicCity,
  streamId: Hex,
  count?: number,
): Promise<SlotRange[]> {
  const { abis } = await import("@/lib/contracts.ts");
  const consent = { address: city.addresses.ConsentRegistry, abi: abis.ConsentRegistry } as const;
  const most = count ?? Number(await readContract(config, { ...consent, functionName: "erasures", args: [streamId] }));
  return Promise.all(
    Array.from({ length: most }, async (_, i): Promise<SlotRange> => {
      const args = [streamId, BigInt(i + 1)] as const;
      const { fromSlot, toSlot } = await readContract(config, { ...consent, functionName: "erasureAt", args });
      return [Number(fromSlot), Number(toSlot)];
    }),
  );
}
