import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import {
  decodeNodes,
  encodeNodes,
  encodeSchema,
  fromBase64,
  type Hex,
  keyHash,
  MODE,
  puncture,
  type Quantity,
  rootNode,
  streamId,
  type StreamPreimage,
  toBase64,
  toHex,
  type TreeNode,
} from "@msec/core";
import {
  type Approval,
  type SecureElement,
  SoftwareElement,
  TpmElement,
  type TpmElementOptions,
  WrapKey,
  writeFileAtomic,
} from "@msec/secure-element";
import type { Config, StreamConfig, TpmConfig } from "./config.ts";
import { makeDriver } from "./drivers/index.ts";
import { DeviceError } from "./errors.ts";
import { eventsOf, measureAgent, readBootLog } from "./measure.ts";
import { readRelease, type Release } from "./release.ts";
import { openSealedWrap, takeSealedWrap } from "./wrapping.ts";

/** Files of a device, all under its dataDir but for the wrapping key where it is configured elsewhere. */
export const paths = (config: Config) => ({
  wrapKey: config.wrapKeyFile ?? join(config.dataDir, "wrap.key"),
  /** Where it lies instead with a TPM, sealed. */
  sealedWrapKey: join(config.dataDir, "wrap.tpm"),
  element: join(config.dataDir, "element.json"),
  /** What was measured since the TPM started. */
  bootLog: join(config.dataDir, "boot.json"),
  /** What the maker approved since the key was made: [{policy, signature}], base64. */
  approvals: join(config.dataDir, "approvals.json"),
  /** The installed release that the agent runs as; written by what starts it. */
  release: join(config.dataDir, "release.json"),
  /** Where the agent serves its TPM to the device's other programs. */
  service: join(config.dataDir, "element.sock"),
  outbox: join(config.dataDir, "outbox.db"),
  generation: join(config.dataDir, "generation"),
  status: join(config.dataDir, "status.json"),
  streams: join(config.dataDir, "streams"),
});

export interface Identity {
  element: SecureElement;
  wrap: WrapKey;
}

export interface StreamIdentity {
  streamId: Hex;
  preimage: StreamPreimage;
}

export async function openIdentity(config: Config): Promise<Identity> {
  const at = paths(config);
  if (config.element.kind === "software") {
    const wrap = await WrapKey.open(at.wrapKey);
    return { wrap, element: await SoftwareElement.open(at.element, wrap) };
  }
  const element = await TpmElement.open(await tpmOptions(config, config.element));
  return orClose(element, async () => ({ wrap: await openSealedWrap(element, config, at), element }));
}

/** Leaves the element open only where `work` succeeds. */
async function orClose<T>(element: SecureElement, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await element.close();
    throw error;
  }
}

async function tpmOptions(config: Config, { tpm, authority }: TpmConfig): Promise<TpmElementOptions> {
  const release = await releaseOf(config);
  return {
    path: paths(config).element,
    address: tpm,
    authority: fromBase64(authority),
    approvals: [...(release?.approvals ?? []), ...(await readApprovals(paths(config).approvals))],
    ...(release ? { version: release.version } : {}),
    log: eventsOf(await readBootLog(config)),
    ...(await firmwareLogOf(tpm)),
  };
}

const FIRMWARE_LOG = "/sys/kernel/security/tpm0/binary_bios_measurements";

/** The log of this machine's firmware, for a TPM of its own, where Linux has one and lets this user read it. */
async function firmwareLogOf(tpm: string): Promise<{ firmwareLog?: Uint8Array }> {
  if (!tpm.startsWith("device:")) return {};
  const log = await readFile(FIRMWARE_LOG).catch(() => undefined);
  return log && log.length > 0 ? { firmwareLog: new Uint8Array(log) } : {};
}

/** The release that the agent was started as; undefined where it is not installed as one. */
export async function releaseOf(config: Config): Promise<Release | undefined> {
  return (await exists(paths(config).release)) ? readRelease(config.dataDir) : undefined;
}

async function readApprovals(file: string): Promise<Approval[]> {
  if (!(await exists(file))) return [];
  try {
    const list = JSON.parse(await readFile(file, "utf8")) as { policy: string; signature: string }[];
    return list.map(({ policy, signature }) => ({ policy: fromBase64(policy), signature: fromBase64(signature) }));
  } catch (error) {
    throw new DeviceError("config", `${file} is not a list of approvals: fetch it from the maker again`, file, error);
  }
}

/**
 * Moves what a cleared TPM has made worthless into a folder of its own, so that `init` begins anew. The order is such that a
 * device cut off in the middle is still one whose key does not open.
 * @returns The folder.
 */
export async function setAside(config: Config): Promise<string> {
  const at = paths(config);
  const folder = join(config.dataDir, `cleared-${Date.now()}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const outbox = [at.outbox, `${at.outbox}-wal`, `${at.outbox}-shm`];
  for (const path of [at.streams, ...outbox, at.generation, at.status, at.sealedWrapKey, at.element])
    if (await exists(path)) await rename(path, join(folder, basename(path)));
  return folder;
}

/** The device's TPM, opened for as long as the caller needs it, while no agent runs that owns it and after it was measured. */
export async function openTpmElement(config: Config): Promise<TpmElement> {
  if (config.element.kind !== "tpm")
    throw new DeviceError("config", "this device has a software element: there is nothing to attest", config.name);
  return TpmElement.open(await tpmOptions(config, config.element));
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/**
 * Makes the key, the streams' salts and seeds where they are missing; what is there stays. With a TPM the agent is measured
 * first, since the key is bound to what has booted. Prints nothing.
 */
export async function init(config: Config): Promise<Initialised> {
  return initOf(config, 1);
}

export interface Initialised {
  deviceId: Hex;
  spki: Uint8Array;
  keyHash: Hex;
  streams: StreamIdentity[];
}

/** The same for a device whose TPM was cleared: it gets a key of the epoch after those that the registry knows. */
export async function initCleared(config: Config, keyEpoch: number): Promise<void> {
  await initOf(config, keyEpoch);
}

async function initOf(config: Config, firstKeyEpoch: number): Promise<Initialised> {
  const at = paths(config);
  await mkdir(at.streams, { recursive: true, mode: 0o700 });
  const { element, wrap } = await makeIdentity(config, firstKeyEpoch);
  try {
    return await initWith(config, element, wrap);
  } finally {
    await element.close();
  }
}

async function makeIdentity(config: Config, firstKeyEpoch: number): Promise<Identity> {
  const at = paths(config);
  if (config.element.kind === "software") {
    const wrap = await ((await exists(at.element)) ? WrapKey.open(at.wrapKey) : WrapKey.openOrCreate(at.wrapKey));
    return { wrap, element: await SoftwareElement.openOrCreate(at.element, wrap) };
  }
  await measureAgent(config);
  const options = await tpmOptions(config, config.element);
  const element = await TpmElement.openOrCreate({ ...options, firstKeyEpoch });
  return orClose(element, async () => ({ wrap: await takeSealedWrap(element, config, at), element }));
}

async function initWith(config: Config, element: SecureElement, wrap: WrapKey): Promise<Initialised> {
  const known = await readStreams(config);
  const streams: StreamIdentity[] = [];
  for (const stream of config.streams) {
    const found = known.find(({ preimage }) => isFor(preimage, config, stream));
    if (found) checkUnchanged(found, stream);
    streams.push(found ?? (await makeStream(config, stream, element.deviceId, wrap)));
  }
  const spki = await element.spki();
  return { deviceId: element.deviceId, spki, keyHash: keyHash(spki), streams };
}

/** The configured streams as `init` made them, in the configuration's order. */
export async function openStreams(config: Config): Promise<(StreamIdentity & { config: StreamConfig })[]> {
  const known = await readStreams(config);
  return config.streams.map((stream) => {
    const found = known.find(({ preimage }) => isFor(preimage, config, stream));
    if (!found)
      throw new DeviceError("not-initialised", `stream "${stream.name}" does not exist yet: run init`, stream.name);
    checkUnchanged(found, stream);
    return { ...found, config: stream };
  });
}

const isFor = (preimage: StreamPreimage, config: Config, stream: StreamConfig) =>
  preimage.name === stream.name && preimage.ownerEpoch === config.ownerEpoch;

async function readStreams(config: Config): Promise<StreamIdentity[]> {
  const directory = paths(config).streams;
  const files = await readdir(directory).catch(() => [] as string[]);
  const streams: StreamIdentity[] = [];
  for (const file of files.filter((name) => /^0x[0-9a-f]{64}\.json$/.test(name))) {
    const preimage = JSON.parse(await readFile(join(directory, file), "utf8")) as StreamPreimage;
    const id = streamId(preimage);
    if (`${id}.json` !== file)
      throw new DeviceError(
        "stream-changed",
        `${file} was edited: its content no longer hashes to its name; restore it`,
        file,
      );
    streams.push({ streamId: id, preimage });
  }
  return streams;
}

function schemaOf(stream: StreamConfig, quantities: Quantity[]) {
  const { padCount = 0, padBytes = 0, retainDays } = stream;
  return { quantities, retainDays, padCount, padBytes };
}

/** A stream's id commits to its definition, so a changed one would be another stream. */
function checkUnchanged({ preimage }: StreamIdentity, stream: StreamConfig): void {
  const wanted = schemaOf(stream, stream.quantities ?? preimage.schema.quantities);
  if (
    preimage.mode !== MODE[stream.mode] ||
    preimage.slotSeconds !== (stream.slotSeconds ?? 0) ||
    toHex(encodeSchema(preimage.schema)) !== toHex(encodeSchema(wanted))
  )
    throw new DeviceError(
      "stream-changed",
      `stream "${stream.name}" exists with other quantities, slots, mode, padding or retention: undo the change, or give the stream a new name`,
      stream.name,
    );
}

async function makeStream(config: Config, stream: StreamConfig, deviceId: Hex, wrap: WrapKey): Promise<StreamIdentity> {
  const preimage: StreamPreimage = {
    deviceId,
    ownerEpoch: config.ownerEpoch,
    name: stream.name,
    schema: schemaOf(stream, stream.quantities ?? (await makeDriver(stream.driver).discover())),
    slotSeconds: stream.slotSeconds ?? 0,
    mode: MODE[stream.mode],
    salt: toHex(randomBytes(32)),
  };
  const id = streamId(preimage);
  const keys = new KeyFile(join(paths(config).streams, `${id}.keys`), id, wrap);
  await keys.write({ seeded: [], frontier: [rootNode(new Uint8Array(randomBytes(32)))] });
  await writeFileAtomic(join(paths(config).streams, `${id}.json`), `${JSON.stringify(preimage, undefined, 2)}\n`);
  return { streamId: id, preimage };
}

/** What the device still holds of a stream's key tree, and who was given it. */
export interface StreamKeys {
  /** Addresses of the holders that have the seed. */
  seeded: Hex[];
  frontier: TreeNode[];
}

/** A stream's key frontier in its own wrapped file, so that a lost outbox does not lose the stream. */
export class KeyFile {
  readonly #path: string;
  readonly #purpose: string;
  readonly #wrap: WrapKey;
  constructor(path: string, id: Hex, wrap: WrapKey) {
    this.#path = path;
    this.#purpose = `keys of stream ${id}`;
    this.#wrap = wrap;
  }

  async read(): Promise<StreamKeys> {
    let wrapped: Uint8Array;
    try {
      wrapped = new Uint8Array(await readFile(this.#path));
    } catch (error) {
      throw new DeviceError(
        "not-initialised",
        `can't read the stream's keys at ${this.#path}: restore the file`,
        this.#path,
        error,
      );
    }
    const bytes = this.#wrap.unwrap(wrapped, this.#purpose);
    const count = bytes[0] as number;
    const seeded = Array.from({ length: count }, (_, i) => toHex(bytes.subarray(1 + 20 * i, 21 + 20 * i)));
    return { seeded, frontier: decodeNodes(bytes.slice(1 + 20 * count)) };
  }

  async write(keys: StreamKeys): Promise<void> {
    const head = Buffer.concat([
      Uint8Array.of(keys.seeded.length),
      ...keys.seeded.map((a) => Buffer.from(a.slice(2), "hex")),
    ]);
    const bytes = new Uint8Array(Buffer.concat([head, encodeNodes(keys.frontier)]));
    await writeFileAtomic(this.#path, this.#wrap.wrap(bytes, this.#purpose));
  }

  /** Forgets the keys of every slot before `slot`. */
  static ahead(frontier: readonly TreeNode[], slot: number): TreeNode[] {
    return slot > 0 ? puncture(frontier, 0, slot - 1) : [...frontier];
  }
}

/**
 * Signs the 32-byte digest of an Enrol with the device's key, over the digest as a message: what shows the registrars that
 * the device holds the key.
 */
export async function signEnrolment(config: Config, digest: Uint8Array): Promise<{ spki: string; signature: Hex }> {
  if (digest.length !== 32)
    throw new DeviceError("config", "an Enrol digest has 32 bytes: give 0x and 64 hex digits", digest.length);
  const { element } = await openIdentity(config);
  try {
    return { spki: toBase64(await element.spki()), signature: toHex(await element.sign(digest)) };
  } finally {
    await element.close();
  }
}
