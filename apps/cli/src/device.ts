import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Sender } from "@msec/chain";
import { type Hex, MODE, type Place, type Thing } from "@msec/core";
import {
  type Config,
  initCleared,
  measureAgent,
  openStreams,
  openTpmElement,
  parseConfig,
  paths,
  readConfig,
  setAside,
} from "@msec/device";
import { connectService, type ElementService, SecureElementError, serviceOf } from "@msec/secure-element";
import { readJson } from "@msec/service";
import { describeStream, descriptionOf, published, type StreamInfo, thingOf } from "@msec/trade";
import { Attestation, policyOf, type Registry, sendInOrder } from "./city/attestation.ts";
import { registration, signHolders } from "./city/devices.ts";
import { type Account, people } from "./city/layout.ts";
import { BOOT_POLICY, emulatorProfile } from "./city/tpms.ts";
import { type Session } from "./context.ts";
import { signerOf } from "./market/buy.ts";
import { time } from "./output.ts";
import { Problem } from "./problem.ts";
import { slotsBetween } from "./slots.ts";

/** What is done to a device of a city, by its owner, its registrars and the officer. */

export const STATUS = ["unknown", "active", "suspended", "quarantined", "retired"];
const ACTIVE = 1;
const QUARANTINED = 3;
const TPM = 2;

type Device = Session["run"]["devices"][number];

function deviceOf(session: Session, name: string): Device {
  const known = session.run.devices.find((d) => d.name === name || d.deviceId === name);
  if (!known) throw new Problem(`no device ${name}: see msec devices`, 2);
  return known;
}

async function registryOf(session: Session): Promise<Registry> {
  const { deployment, contracts, layout } = session;
  return { people: people(layout), deployment, contracts, profile: await emulatorProfile(layout) };
}

const deployerOf = (session: Session): Sender =>
  new Sender(people(session.layout).deployer.key, session.provider, session.run.chain.chainId);

function tpmConfigOf({ layout }: Session, { name }: Device): Config {
  const config = parseConfig(readJson(layout.deviceConfig(name)), layout.device(name));
  if (config.element.kind !== "tpm")
    throw new Problem(`${name} has a software element: there is no TPM that could answer a challenge`);
  return config;
}

/** Asks the agent that owns the device's TPM. */
async function withAgent<T>(session: Session, device: Device, work: (agent: ElementService) => Promise<T>): Promise<T> {
  const config = tpmConfigOf(session, device);
  const agent = await connectService(paths(config).service);
  if (!agent)
    throw new Problem(`the agent of ${device.name} is not running: see ${session.layout.logs}/${device.name}.log`);
  try {
    return await work(agent);
  } finally {
    agent.close();
  }
}

async function ownerOf(session: Session, device: Device): Promise<Account> {
  const { owner } = await session.contracts.DeviceRegistry.device(device.deviceId);
  const { city, citizen } = people(session.layout);
  const account = [city, citizen].find((a) => a.address === owner.toLowerCase());
  if (!account) throw new Problem(`the key of ${owner}, the device's owner, is not in this city's folder`);
  return account;
}

/** Enrols the device of a configuration file, whose agent must not run; the city becomes its owner. */
export async function enrolDevice(session: Session, file: string): Promise<{ deviceId: Hex; transactions: number }> {
  if (!existsSync(file)) throw new Problem(`there is no configuration ${file}: name the device's own`, 2);
  const config = await readConfig(file);
  const registry = await registryOf(session);
  if (config.element.kind === "tpm") await measureAgent(config);
  const profile = config.element.kind === "tpm" ? registry.profile : undefined;
  const { people: all, deployment, contracts } = registry;
  const { made, calls } = await registration(config, all.city, all, deployment, contracts, profile);
  await sendInOrder(deployerOf(session), calls);
  return { deviceId: made.deviceId, transactions: calls.length };
}

export interface Attested {
  device: string;
  deviceId: Hex;
  pcrDigest: Hex;
  resetCount: number;
  restartCount: number;
  clockSafe: boolean;
  tpm: { manufacturer: string; model: string; version: string };
}

/** Has each registrar challenge the device now, and the registry learn what they found. */
export async function attestDevice(session: Session, name: string): Promise<Attested> {
  const device = deviceOf(session, name);
  const registry = await registryOf(session);
  return withAgent(session, device, async (agent) => {
    const attestation = await Attestation.of(agent, "current", registry);
    await sendInOrder(deployerOf(session), [attestation.quoteCall()]);
    return shown(device, attestation);
  });
}

const shown = (device: Device, { evidence, judged }: Attestation): Attested => ({
  device: device.name,
  deviceId: evidence.deviceId,
  pcrDigest: judged.pcrDigest,
  resetCount: judged.resetCount,
  restartCount: judged.restartCount,
  clockSafe: judged.safe,
  tpm: evidence.tpm,
});

/** Gives the device a new signing key; with `revoke` nothing that the old one signed enters from this block on. */
export async function rotateDevice(
  session: Session,
  name: string,
  revoke: boolean,
): Promise<{ device: string; keyEpoch: number; keyHash: Hex }> {
  const device = deviceOf(session, name);
  const registry = await registryOf(session);
  const owner = await ownerOf(session, device);
  return withAgent(session, device, async (agent) => {
    await agent.prepareRotation();
    const attestation = await Attestation.of(agent, "next", registry);
    const { keyEpoch, keyHash } = attestation.evidence;
    const { DeviceRegistry } = session.contracts;
    // An earlier call may have been cut off between the registry and the device.
    if (Number(await DeviceRegistry.currentKeyEpoch(device.deviceId)) < keyEpoch)
      await sendInOrder(deployerOf(session), [
        await attestation.rotateCall(agent, owner, revoke, "next"),
        attestation.quoteCall(),
      ]);
    await agent.rotate();
    return { device: device.name, keyEpoch, keyHash };
  });
}

const FREE_MS = 10_000;

/** Tries again while an agent that starts, or can't, has the TPM for a moment. */
async function whenFree<T>(work: () => Promise<T>): Promise<T> {
  for (const end = Date.now() + FREE_MS; ; await sleep(100)) {
    try {
      return await work();
    } catch (error) {
      if (!isElementError(error, "tpm-in-use") || Date.now() > end) throw error;
    }
  }
}

const isElementError = (error: unknown, code: SecureElementError["code"]) =>
  error instanceof SecureElementError && error.code === code;

/**
 * Gives a device whose TPM was cleared a new key, attested and enrolled under the device's name; the old one is revoked. Its
 * files are set aside, and its streams begin anew: what they were sealed with is gone. Cut off in the middle, it goes on when
 * it is called again.
 */
export async function renewDevice(
  session: Session,
  name: string,
): Promise<{ device: string; keyEpoch: number; keyHash: Hex; setAside?: string }> {
  const device = deviceOf(session, name);
  const config = tpmConfigOf(session, device);
  const registry = await registryOf(session);
  const owner = await ownerOf(session, device);
  const wanted = Number(await session.contracts.DeviceRegistry.currentKeyEpoch(device.deviceId)) + 1;
  const folder = (await keyEpochOf(config)) === undefined ? await setAside(config) : undefined;
  if (folder) await whenFree(() => initCleared(config, wanted));
  if ((await keyEpochOf(config)) !== wanted)
    throw new Problem(`the TPM of ${name} opens its key, so it was not cleared: use msec device rotate for a new key`);
  signHolders(await openStreams(config), config, owner, registry.people, session.deployment);
  return withElement(config, async (agent) => {
    const attestation = await Attestation.of(agent, "current", registry);
    await sendInOrder(deployerOf(session), [
      await attestation.rotateCall(agent, owner, true, "current"),
      attestation.quoteCall(),
    ]);
    const { keyEpoch, keyHash } = attestation.evidence;
    return { device: name, keyEpoch, keyHash, ...(folder ? { setAside: folder } : {}) };
  });
}

/** Epoch of the device's key; undefined where its TPM does not open it any more. */
async function keyEpochOf(config: Config): Promise<number | undefined> {
  try {
    return await withElement(config, async (agent) => (await agent.status()).keyEpoch);
  } catch (error) {
    // Without a key: an earlier call was cut off after it had set the files aside.
    if (isElementError(error, "cleared") || isElementError(error, "key-missing")) return undefined;
    throw error;
  }
}

/** Asks the agent that owns the TPM, or the TPM itself while none does. */
async function withElement<T>(config: Config, work: (agent: ElementService) => Promise<T>): Promise<T> {
  return whenFree(async () => {
    const agent = await connectService(paths(config).service);
    if (agent) return work(agent).finally(() => agent.close());
    const element = await openTpmElement(config);
    return work(serviceOf(element)).finally(() => element.close());
  });
}

/** Takes nothing of the device any more, or takes it in again. */
export async function quarantineDevice(
  session: Session,
  name: string,
  release: boolean,
): Promise<{ device: string; status: string; block: number }> {
  const device = deviceOf(session, name);
  const status = release ? ACTIVE : QUARANTINED;
  const { DeviceRegistry } = session.contracts;
  const now = Number((await DeviceRegistry.device(device.deviceId)).status);
  if (now === status) throw new Problem(`${name} is ${STATUS[status]} already`);
  const receipt = await deployerOf(session).transact({
    to: session.deployment.addresses.DeviceRegistry,
    data: DeviceRegistry.interface.encodeFunctionData("setStatus", [device.deviceId, status]),
  });
  return { device: device.name, status: STATUS[status] as string, block: receipt.blockNumber };
}

/** What is said of a device's place; `place: null` takes it back. */
export interface Description {
  place?: Place | null;
  model?: string;
  calibration?: NonNullable<Thing["calibration"]>;
  /** A period of its open streams that anybody may open, by its times; null takes it back. */
  sample?: [from: string, to: string] | null;
  /** Gives the place of a sealed stream as it is, not to about a kilometre. */
  precise: boolean;
}

/** Says where a device stands and what it is, as its owner; what is left out stays as it was said before. */
export async function describeDevice(
  session: Session,
  name: string,
  { place, model, calibration, sample, precise }: Description,
): Promise<{ stream: string; version: number; took: number; of: number; thing: Thing }[]> {
  const device = deviceOf(session, name);
  const owner = await ownerOf(session, device);
  const signer = { address: owner.address, sign: signerOf(owner) };
  const { operators, deployment } = session;
  const said = [];
  for (const { streamId, name: stream } of device.streams) {
    const info = await operators.stream(streamId);
    const { preimage } = info;
    const known = await descriptionOf(operators, deployment, streamId, owner.address);
    const { place: was, sample: shown, ...before } = thingOf(streamId, known) ?? {};
    const next = sample === undefined ? shown : sampleOf(info, sample);
    const given = {
      ...before,
      ...(model ? { model } : {}),
      ...(calibration ? { calibration } : {}),
      ...(next ? { sample: next } : {}),
    };
    // A place that stands was rounded, or not, when it was said.
    const thing =
      place === undefined
        ? published(preimage, { ...given, ...(was ? { place: was } : {}) }, true)
        : published(preimage, { ...given, ...(place ? { place } : {}) }, precise);
    const result = await describeStream(operators, deployment, streamId, thing, signer);
    said.push({ stream, ...result, thing });
  }
  return said;
}

function sampleOf(info: StreamInfo, period: [from: string, to: string] | null): Thing["sample"] {
  if (period === null) return undefined;
  if (info.preimage.mode === MODE.sealed)
    throw new Problem(`${info.preimage.name} is sealed: what is personal is not shown to everybody`);
  const [fromSlot, toSlot] = slotsBetween(info, ...period);
  return { fromSlot, toSlot };
}

export interface Finding {
  /** Whether this speaks for the device. */
  good: boolean;
  text: string;
}

export interface Explanation {
  device: string;
  deviceId: Hex;
  believed: boolean;
  findings: Finding[];
  evidence: Record<string, unknown>;
}

/** Why a device is or is not believed, from the chain and from what its TPM answers now. */
export async function explainDevice(session: Session, name: string): Promise<Explanation> {
  const device = deviceOf(session, name);
  const { DeviceRegistry } = session.contracts;
  const { deviceId } = device;
  const view = await DeviceRegistry.device(deviceId);
  const status = Number(view.status);
  const withTpm = Number(view.assurance) === TPM;
  const findings: Finding[] = [];
  const find = (good: boolean, text: string) => findings.push({ good, text });
  find(
    status === ACTIVE,
    status === ACTIVE
      ? `the registry has it as active, under key ${view.keyEpoch}`
      : `the registry has it as ${STATUS[status]}: no pack of it is taken; what was anchored before stays provable`,
  );
  find(
    withTpm,
    withTpm
      ? "its keys are in a TPM: registrars of different organisations checked the maker's certificate and challenged it"
      : "its keys are software: whoever copies its disk is the device; an organisation vouches for it, nothing proves it",
  );
  const revoked = (await DeviceRegistry.keyRevokedAt(deviceId, view.keyEpoch)) !== 0n;
  if (revoked) find(false, `its key ${view.keyEpoch} is revoked: it needs a new one (msec device rotate)`);
  const evidence: Record<string, unknown> = {
    status: STATUS[status],
    secureElement: withTpm ? "TPM" : "software",
    owner: view.owner,
    keyEpoch: Number(view.keyEpoch),
    keyHash: view.keyHash,
    policyId: view.policyId,
  };
  if (withTpm) Object.assign(evidence, await explainTpm(session, device, find));
  return { device: device.name, deviceId, believed: findings.every((f) => f.good), findings, evidence };
}

async function explainTpm(session: Session, device: Device, find: (good: boolean, text: string) => void) {
  const { DeviceRegistry } = session.contracts;
  const last = await DeviceRegistry.freshnessOf(device.deviceId);
  const [quotedAt, until] = [Number(last.quotedAtMs), Number(last.validUntilMs)];
  if (quotedAt === 0) find(false, "no registrar has reported what it booted (msec device attest)");
  else {
    const accepted = await policyOf(session.contracts).acceptsBoot(BOOT_POLICY, last.pcrDigest as Hex, Date.now());
    find(
      accepted && Date.now() <= until,
      accepted
        ? `its last attestation is of ${time(quotedAt)}, ${Date.now() <= until ? "good until" : "over since"} ${time(until)}`
        : "what it booted when it was last attested is no longer accepted by the boot policy: install the new firmware",
    );
  }
  const chain = { quotedAt, validUntil: until, resetCount: Number(last.resetCount), pcrDigest: last.pcrDigest };
  try {
    const registry = await registryOf(session);
    const now = await withAgent(session, device, (agent) => Attestation.of(agent, "current", registry));
    const { tpm } = now.evidence;
    find(true, `its TPM (${tpm.manufacturer} ${tpm.model} ${tpm.version}) answered a fresh challenge just now`);
    find(true, `what has booted is what the boot policy accepts: ${now.judged.log.map((e) => e.what).join(", ")}`);
    return {
      attested: chain,
      now: {
        ...shown(device, now),
        endorsementKeys: now.evidence.ekHashes,
        attestationKey: now.evidence.akName,
        evidenceDigest: now.evidence.digest,
      },
    };
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    find(false, `it does not pass a challenge now: ${message}`);
    return { attested: chain, refused: { code: code ?? "unexpected", message } };
  }
}
