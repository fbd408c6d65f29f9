import { type Call, type Contracts, type Deployment } from "@msec/chain";
import {
  BINDING,
  consentDomain,
  fromHex,
  GRANT,
  type Hex,
  type Holders,
  MODE,
  type Purpose,
  purposeHash,
  signTyped,
  streamOf,
  type StreamPreimage,
  ZERO_ADDRESS,
} from "@msec/core";
import { type Account, type People } from "./layout.ts";

/** What an embedded city sells its data for. */
export const RESEARCH: Purpose = {
  text: "Research on the environment and the use of buildings. No attempt to identify people.",
  language: "en",
  version: 1,
};

const YEAR_MS = 365 * 86_400_000;
const HOUR_MS = 3_600_000;

/**
 * What is left to do on chain so that a stream's data may be sold and erased: who holds its seed, the subject of a sealed
 * stream, and consent: to anyone for a year where the stream is open, to the city's buyer alone where it is sealed. What
 * was granted or withdrawn before stays as it is.
 */
export async function consentCalls(
  stream: { streamId: Hex; preimage: StreamPreimage },
  signed: { holders: Holders; holdersSignature: Hex },
  owner: Account,
  all: People,
  deployment: Deployment,
  { ConsentRegistry }: Contracts,
): Promise<Call[]> {
  const { streamId, preimage } = stream;
  const sealed = preimage.mode === MODE.sealed;
  const to = deployment.addresses.ConsentRegistry;
  const domain = consentDomain(deployment.chainId, to);
  const { interface: abi } = ConsentRegistry;
  const calls: Call[] = [];
  const struct = streamOf(preimage);
  if (BigInt(await ConsentRegistry.holdersHash(streamId)) === 0n)
    calls.push({
      to,
      data: abi.encodeFunctionData("setHolders", [struct, signed.holders, signed.holders, signed.holdersSignature]),
    });
  const subject = all.resident;
  const deadline = Date.now() + HOUR_MS;
  if (sealed && (await ConsentRegistry.subjectOf(streamId)) === ZERO_ADDRESS) {
    const binding = { streamId, subject: subject.address, deadline };
    const [byOwner, bySubject] = [owner, subject].map((who) => signTyped(fromHex(who.key), domain, BINDING, binding));
    calls.push({
      to,
      data: abi.encodeFunctionData("bindSubject", [struct, binding, byOwner as Hex, bySubject as Hex]),
    });
  }
  const purpose = purposeHash(RESEARCH);
  const grantee = sealed ? all.buyer.address : ZERO_ADDRESS;
  if ((await ConsentRegistry.grantOf(streamId, purpose, grantee)).changes !== 0n) return calls;
  const period = { fromMs: 0, untilMs: Date.now() + YEAR_MS };
  if (!sealed) {
    const data = abi.encodeFunctionData("grant", [struct, purpose, grantee, period.fromMs, period.untilMs]);
    return [...calls, { to, data }];
  }
  const epoch = Number(await ConsentRegistry.epochOf(streamId));
  const grant = { streamId, purpose, grantee, ...period, epoch, nonce: 0, deadline };
  const [byOwner, bySubject] = [owner, subject].map((who) => signTyped(fromHex(who.key), domain, GRANT, grant));
  const data = abi.encodeFunctionData("grantBySignature", [struct, grant, byOwner as Hex, bySubject as Hex]);
  return [...calls, { to, data }];
}
