import { readFileSync } from "node:fs";
import { contractsAt, connectChain, endpoint } from "@msec/chain";
import {
  type Certified,
  decodeBundle,
  type Hex,
  ProtocolError,
  type ReadingReport,
  verify,
  type WindowReport,
  ZERO_ADDRESS,
} from "@msec/core";
import { STATUS } from "./device.ts";
import { Problem } from "./problem.ts";

const ACTIVE = 1n;

export interface VerifyFlags {
  rpc: string[];
  offline: boolean;
  committee?: string;
  /** Addresses with commas between them, or a file that holds a JSON list of them. */
  validators?: string;
}

export interface Verdict {
  proved: true;
  report: WindowReport | ReadingReport;
  /** What the answer rests on, for a person. */
  basis: string[];
}

/**
 * Verifies a file: all by itself, then against each chain endpoint given. Throws a ProtocolError where something does not
 * hold, a {@link Problem} where it could not be tried.
 */
export async function verifyFile(file: string, flags: VerifyFlags): Promise<Verdict> {
  if (flags.offline === flags.rpc.length > 0)
    throw new Problem(
      "say what to verify against: --rpc URL (once or more), or --offline for the committee in the bundle",
      2,
    );
  if (flags.committee !== undefined && !/^0x[0-9a-fA-F]{64}$/.test(flags.committee))
    throw new Problem("--committee takes the digest of a committee: 0x and 64 hex digits", 2);
  const validators = flags.validators === undefined ? undefined : pinnedValidators(flags.validators);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new Problem(`cannot read ${file}: ${(error as Error).message}`, 2);
  }
  const report = verify(decodeBundle(text), {
    ...(flags.committee ? { committee: flags.committee.toLowerCase() as Hex } : {}),
    ...(validators ? { validators } : {}),
  });
  const basis: string[] = [];
  for (const url of flags.rpc) basis.push(await againstChain(report, url));
  if (flags.rpc.length === 1)
    basis.push("one endpoint was asked: ask one of another organisation too (a second --rpc)");
  if (flags.rpc.length > 0 && !report.committeePinned)
    basis.push(
      `the contract asked is the one that the bundle names: see that ${report.claims.anchor} is the city's anchor, or pin its committee with --committee`,
    );
  if (report.certified) basis.push(...sealedBy(report, report.certified));
  if (flags.offline)
    basis.push(
      report.committeePinned
        ? `offline, against the committee that you pinned: ${report.committee}`
        : `offline, against the committee in the bundle (${report.committee}), which nobody here vouches for: pin it with --committee`,
      ...(report.certified?.device
        ? []
        : ["the device's key rests on the signers' word: with --rpc the registry is asked"]),
    );
  return { proved: true, report, basis };
}

function pinnedValidators(given: string): Hex[] {
  let list: unknown = given.split(",");
  if (!given.startsWith("0x"))
    try {
      list = JSON.parse(readFileSync(given, "utf8"));
    } catch (error) {
      throw new Problem(`cannot read validators from ${given}: ${(error as Error).message}`, 2);
    }
  if (!Array.isArray(list) || list.length === 0 || !list.every((one) => /^0x[0-9a-fA-F]{40}$/.test(String(one))))
    throw new Problem("--validators takes addresses with commas between them, or a file with a JSON list of them", 2);
  return list.map((one) => String(one).toLowerCase() as Hex);
}

/** What the chain's own certificate shows, and what it does not. */
function sealedBy(report: WindowReport | ReadingReport, certified: Certified): string[] {
  const { epochs, device, seals, validators, pinned, changes } = certified;
  const others = report.claims.epochs.length - epochs.length;
  const key = device ? `, and the device's key as registered (${device === "TPM" ? "TPM" : "software element"})` : "";
  const all = `${seals} of ${validators.length} validators have sealed the state that holds epoch ${epochs.join(", ")}${key}`;
  return [
    pinned
      ? `the chain: ${all}; they are those that you pinned${changes > 0 ? `, after ${changes} change${changes > 1 ? "s" : ""} that they sealed` : ""}`
      : `the chain: ${all}, but the validators are not pinned, so nobody here vouches for them: pin them with --validators ${validators.join(",")}`,
    ...(others > 0
      ? [
          `${others} more epoch${others > 1 ? "s" : ""}, which show that packs were not late, rest on the committee's signatures`,
        ]
      : []),
    ...(pinned && !report.committeePinned
      ? [
          `anyone may put a contract on this chain: see that ${report.claims.anchor} is the city's anchor, or pin its committee with --committee`,
        ]
      : []),
    ...(pinned && device ? [`see that ${report.claims.registry} is the city's device registry`] : []),
  ];
}

async function againstChain(report: WindowReport | ReadingReport, url: string): Promise<string> {
  const { claims } = report;
  const provider = connectChain(endpoint(url, claims.chainId));
  const addresses = { DataAnchor: claims.anchor, DeviceRegistry: claims.registry ?? ZERO_ADDRESS };
  const { DataAnchor, DeviceRegistry } = contractsAt(addresses, provider);
  try {
    let chainId: number;
    try {
      chainId = Number((await provider.send("eth_chainId", [])) as string);
    } catch (error) {
      throw new Problem(`${url} does not answer: ${(error as Error).message}`, 2);
    }
    if (chainId !== claims.chainId)
      throw new Problem(`${url} is chain ${chainId}, the bundle is about chain ${claims.chainId}`, 2);
    for (const { number, hash } of claims.epochs) {
      const anchored = await DataAnchor.epochHash(number).catch(() => undefined);
      if (anchored !== hash)
        throw new ProtocolError("epoch", `epoch ${number} is not what ${url} has anchored`, anchored);
    }
    if (!claims.registry)
      return `${url}: ${claims.epochs.length} epochs as anchored; the device's key rests on the signers' word`;
    const { deviceId, keyEpoch, keyHash } = claims.deviceKey;
    const registered = await DeviceRegistry.keyHashOf(deviceId, keyEpoch).catch(() => undefined);
    if (registered !== keyHash)
      throw new ProtocolError(
        "unknown-key",
        `the registry at ${url} names another signing key of the device`,
        registered,
      );
    const [view, revokedAt] = await Promise.all([
      DeviceRegistry.device(deviceId),
      DeviceRegistry.keyRevokedAt(deviceId, keyEpoch),
    ]);
    const marks = [
      ...(view.status === ACTIVE
        ? []
        : [`the device is ${STATUS[Number(view.status)]} now: this was anchored before, nothing is taken of it since`]),
      ...(revokedAt === 0n
        ? []
        : [`this key was revoked in block ${revokedAt}: nothing that it signed is taken since`]),
    ];
    return [
      `${url}: ${claims.epochs.length} epoch${claims.epochs.length === 1 ? "" : "s"} as anchored, the device's key as registered (${Number(view.assurance) === 2 ? "TPM" : "software element"})`,
      ...marks,
    ].join("; ");
  } finally {
    provider.destroy();
  }
}
