import {
  type Hex,
  MODE,
  readThing,
  registryDomain,
  roundedPlace,
  type SignedThing,
  type StreamPreimage,
  type Thing,
  THING_DESCRIPTION,
  thingDescription,
  thingSigner,
  thingText,
} from "@msec/core";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { type Operators } from "./operators.ts";
import { typedData, type SignTypedData } from "./typed-data.ts";

// What the owner of a device says of a stream's place and device, given to every operator.

/** The newest description of an owner's that an operator has; undefined while there is none. Others' are not looked at. */
export async function descriptionOf(
  operators: Operators,
  { chainId, addresses }: Deployed,
  streamId: Hex,
  owner: Hex,
): Promise<SignedThing | undefined> {
  const domain = registryDomain(chainId, addresses.DeviceRegistry);
  const isOwners = (signed: SignedThing) => {
    try {
      return thingSigner(domain, streamId, signed) === owner;
    } catch {
      return false;
    }
  };
  const known = (await operators.descriptions(streamId)).filter(isOwners);
  return known.sort((a, b) => b.version - a.version)[0];
}

/** What a description says; undefined where it is none of this stream. */
export function thingOf(streamId: Hex, signed: SignedThing | undefined): Thing | undefined {
  try {
    return signed && readThing(streamId, signed.document);
  } catch {
    return undefined;
  }
}

/** A description as it is published: the place of a sealed stream is personal, and rounded unless it is told otherwise. */
export function published(preimage: StreamPreimage, thing: Omit<Thing, "title">, precise = false): Thing {
  const { place, ...rest } = thing;
  const round = preimage.mode === MODE.sealed && !precise;
  return { title: preimage.name, ...(place ? { place: round ? roundedPlace(place) : place } : {}), ...rest };
}

/**
 * Signs a description under the next version and gives it to every operator.
 * @returns how many of them took it; a {@link TradeError} with the last refusal where none did.
 */
export async function describeStream(
  operators: Operators,
  deployed: Deployed,
  streamId: Hex,
  thing: Thing,
  { address: owner, sign }: { address: Hex; sign: SignTypedData },
): Promise<{ version: number; took: number; of: number }> {
  const { chainId, addresses } = deployed;
  const version = ((await descriptionOf(operators, deployed, streamId, owner))?.version ?? 0) + 1;
  const document = thingText(streamId, thing);
  const said = thingDescription(streamId, { version, document });
  const signature = await sign(typedData(registryDomain(chainId, addresses.DeviceRegistry), THING_DESCRIPTION, said));
  const refusals = await operators.describe(streamId, { version, document, signature });
  const took = refusals.filter((refusal) => refusal === undefined).length;
  if (took === 0) throw new TradeError("unanswered", `no operator takes the description: ${refusals.at(-1)}`);
  return { version, took, of: refusals.length };
}
