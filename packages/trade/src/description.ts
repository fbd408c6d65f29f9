import {
  type Hex,
  readThing,
  registryDomain,
  type SignedThing,
  type Thing,
  THING_DESCRIPTION,
  thingDescription,
  thingText,
} from "@msec/core";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { type Operators } from "./operators.ts";
import { typedData, type SignTypedData } from "./typed-data.ts";

// What the owner of a device says of a stream's place and device, given to every operator.

/** The newest description that an operator has; undefined while there is none. */
export async function descriptionOf(operators: Operators, streamId: Hex): Promise<SignedThing | undefined> {
  const known = await operators.descriptions(streamId);
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

/**
 * Signs a description under the next version and gives it to every operator.
 * @returns how many of them took it; a {@link TradeError} with the last refusal where none did.
 */
export async function describeStream(
  operators: Operators,
  { chainId, addresses }: Deployed,
  streamId: Hex,
  thing: Thing,
  sign: SignTypedData,
): Promise<{ version: number; took: number; of: number }> {
  const version = ((await descriptionOf(operators, streamId))?.version ?? 0) + 1;
  const document = thingText(streamId, thing);
  const said = thingDescription(streamId, { version, document });
  const signature = await sign(typedData(registryDomain(chainId, addresses.DeviceRegistry), THING_DESCRIPTION, said));
  const refusals = await operators.describe(streamId, { version, document, signature });
  const took = refusals.filter((refusal) => refusal === undefined).length;
  if (took === 0) throw new TradeError("unanswered", `no operator takes the description: ${refusals.at(-1)}`);
  return { version, took, of: refusals.length };
}
