import { createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import { cp, mkdir, readFile, rm, symlink } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { equal, fromBase64, fromHex, toBase64, toHex } from "@msec/core";
import {
  AGENT_PCR,
  type Approval,
  approvalMessage,
  BOOT_PCRS,
  bootPolicy,
  lowS,
  replay,
  versionPolicy,
  writeFileAtomic,
} from "@msec/secure-element";
import { DeviceError } from "./errors.ts";
import { measurement } from "./measure.ts";
import { filesOf, packagesOf } from "./packages.ts";

/**
 * A release: a folder with everything that Node may load of an agent, and `release.json`. Its signature is the maker's
 * approval of what the agent boots as, under which the TPM works; it covers every file by the measurement, the version by the
 * policy, and the boards that it is for by the values of their other PCRs.
 */
export interface Release {
  /** Counts up from 1; the TPM's counter goes with it. */
  version: number;
  /** The agent's package, from the release's folder. */
  root: string;
  /** SHA-256 of the agent's manifest, hex: what it is measured as. */
  measurement: string;
  approvals: BoardApproval[];
}

/** The maker's approval of a release on one kind of board. */
export interface BoardApproval extends Approval {
  board: BoardPcrs;
}

/** Values of BOOT_PCRS but AGENT_PCR, in order, on one kind of board. */
export type BoardPcrs = Uint8Array[];

export const BELOW_AGENT: readonly number[] = BOOT_PCRS.filter((pcr) => pcr !== AGENT_PCR);
const FILE = "release.json";
const MAX_VERSION = 65_535;

/** The policy that the TPM demands of a release of this version and measurement on such a board. */
function policyOf(version: number, digest: Uint8Array, board: BoardPcrs): Uint8Array {
  const agent = replay([{ pcr: AGENT_PCR, digest, what: "agent" }]).get(AGENT_PCR) as Uint8Array;
  const values = BOOT_PCRS.map((pcr) => (pcr === AGENT_PCR ? agent : (board[BELOW_AGENT.indexOf(pcr)] as Uint8Array)));
  return versionPolicy(bootPolicy(values), version);
}

/** Packs the agent at `root` into a new folder `out` and signs it with the approved-firmware key, for each kind of board. */
export async function packRelease(
  root: string,
  out: string,
  version: number,
  key: KeyObject,
  boards: BoardPcrs[],
): Promise<Release> {
  checkVersion(version);
  await mkdir(out);
  const packages = await packagesOf(root);
  // Above the agent itself, so that release.json is no part of it.
  const base = commonFolder(packages.flatMap(({ at, links }) => [dirname(at), ...links.map(dirname)]));
  for (const { at, links } of packages) {
    const copy = (file: string) => cp(file, join(out, relative(base, file)));
    await Promise.all((await filesOf(at)).map(copy));
    for (const link of links) {
      const to = join(out, relative(base, link));
      await mkdir(dirname(to), { recursive: true });
      await symlink(relative(dirname(link), at), to);
    }
  }
  const agent = relative(base, (packages[0] as { at: string }).at);
  const { digest } = await measurement(join(out, agent));
  const approvals = boards.map((board) => {
    const policy = policyOf(version, digest, board);
    const signature = lowS(sign("sha256", approvalMessage(policy), { key, dsaEncoding: "ieee-p1363" }));
    return { board, policy, signature };
  });
  const release = { version, root: agent, measurement: Buffer.from(digest).toString("hex"), approvals };
  await writeFileAtomic(join(out, FILE), encode(release), 0o644);
  return release;
}

const encode = ({ version, root, measurement: digest, approvals }: Release): string => {
  const list = approvals.map(({ board, signature }) => ({ board: board.map(toHex), signature: toBase64(signature) }));
  return `${JSON.stringify({ format: "msec.release/1", version, root, measurement: digest, approvals: list }, undefined, 2)}\n`;
};

function commonFolder(folders: string[]): string {
  const parts = folders.map((folder) => folder.split(sep));
  const first = parts[0] as string[];
  const end = first.findIndex((part, i) => parts.some((other) => other[i] !== part));
  return first.slice(0, end < 0 ? first.length : end).join(sep) || sep;
}

function checkVersion(version: unknown): asserts version is number {
  if (!Number.isInteger(version) || (version as number) < 1 || (version as number) > MAX_VERSION)
    throw new DeviceError("release", `a release has a version from 1 to ${MAX_VERSION}`, version);
}

/** Reads `release.json` without believing it. */
export async function readRelease(folder: string): Promise<Release> {
  const path = join(folder, FILE);
  try {
    const read = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
    if (read.format !== "msec.release/1") throw new Error("it is of another format");
    const { version, root, measurement: digest, approvals } = read;
    checkVersion(version);
    if (typeof root !== "string" || !root || root.split("/").includes("..") || root.startsWith("/"))
      throw new Error("its agent lies outside of it");
    if (typeof digest !== "string" || !/^[0-9a-f]{64}$/.test(digest)) throw new Error("it has no measurement");
    const list = (approvals as { board: string[]; signature: string }[]).map(({ board: values, signature }) => {
      const board = values.map((value) => fromHex(value, 32));
      if (board.length !== BELOW_AGENT.length) throw new Error("a board of it lacks PCRs");
      const policy = policyOf(version, fromHex(`0x${digest}`, 32), board);
      return { board, policy, signature: fromBase64(signature) };
    });
    return { version, root, measurement: digest, approvals: list };
  } catch (error) {
    if (error instanceof DeviceError) throw error;
    throw new DeviceError(
      "release",
      `${path} can't be read: ${(error as Error).message}; fetch the release again`,
      path,
      error,
    );
  }
}

/**
 * Refuses a release whose files are not the ones that were signed, that its maker (`authority`, DER SPKI) did not sign, or
 * that is not for a board with these PCRs where they are given. Returns it with the approvals that count.
 */
export async function verifyRelease(folder: string, authority: Uint8Array, board?: BoardPcrs): Promise<Release> {
  const release = await readRelease(folder);
  let digest: Uint8Array;
  try {
    ({ digest } = await measurement(join(folder, release.root)));
  } catch (error) {
    throw new DeviceError("release", `${folder} is not whole: fetch the release again`, folder, error);
  }
  if (Buffer.from(digest).toString("hex") !== release.measurement)
    throw new DeviceError("release", `files of ${folder} are missing or changed: fetch the release again`, folder);
  const key = createPublicKey({ key: Buffer.from(authority), format: "der", type: "spki" });
  const signed = release.approvals.filter(({ policy, signature }) =>
    verify("sha256", approvalMessage(policy), { key, dsaEncoding: "ieee-p1363" }, signature),
  );
  if (signed.length === 0)
    throw new DeviceError(
      "release",
      `release ${release.version} is not signed by the approved-firmware key of this device, or was changed: don't install it`,
      release.version,
    );
  const approvals = signed.filter((a) => !board || equal(Buffer.concat(a.board), Buffer.concat(board)));
  if (approvals.length === 0)
    throw new DeviceError(
      "release",
      `release ${release.version} is not approved for this board, whose PCRs ${BELOW_AGENT.join(", ")} are others: have the maker approve it for them (firmware.ts board)`,
      release.version,
    );
  return { ...release, approvals };
}

/** Copies a release's own files and nothing else; what is at `to` goes. The copy is not believed before it is verified. */
export async function copyRelease(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true, verbatimSymlinks: true });
}

/** What the agent is told of the release that it runs as: a file beside the element's. */
export async function tellRelease(path: string, release: Release): Promise<void> {
  await writeFileAtomic(path, encode(release), 0o644);
}
