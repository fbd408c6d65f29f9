import { demand, type Hex, readThing, registryDomain, type SignedThing, thingSigner } from "@msec/core";
import { type Context } from "./context.ts";
import { type Line } from "./lines.ts";

/**
 * Takes an owner's description of a stream: PUT /streams/{id}/thing. Whoever signs it must own the device now, under the
 * owner epoch that the stream is of. The same may come again; another under the same version, or a lower one, is refused.
 */
export async function takeDescription(ctx: Context, line: Line, given: SignedThing): Promise<void> {
  const { store, config, devices } = ctx;
  readThing(line.id, given.document);
  const domain = registryDomain(config.chain.chainId, config.chain.addresses.DeviceRegistry as Hex);
  const signer = thingSigner(domain, line.id, given);
  const device = await devices.device(line.stream.deviceId);
  demand(
    device.ownerEpoch === line.stream.ownerEpoch,
    "wrong-stream",
    "the device has another owner since: the stream is not described any more",
    device.ownerEpoch,
  );
  demand(signer === device.owner, "bad-signature", "the description is not signed by the device's owner", signer);
  if (await store.putThing(line.id, given)) return;
  const kept = await store.thing(line.id);
  demand(
    kept?.version === given.version && kept.document === given.document,
    "order",
    `a newer description is known: sign one with a version above ${kept?.version}`,
    given.version,
  );
}
