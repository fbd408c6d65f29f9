import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Call, type ChainProvider, type Contracts, type Deployment, Sender } from "@msec/chain";
import {
  consentDomain,
  ENROL,
  fromHex,
  type Hex,
  type Holders,
  HOLDERS,
  keyAlgOf,
  MODE,
  signTyped,
  streamOf,
  type Thing,
  type StreamPreimage,
  toHex,
  typedDataDigest,
  ZERO32,
  DEPTH,
  LEAST_BATCH_DEPTH,
  type SubscriptionOffer,
  subscriptionOfferId,
} from "@msec/core";
import { type Config, type ConfigInput, init, openTpmElement, parseConfig, paths, signEnrolment } from "@msec/device";
import { serviceOf } from "@msec/secure-element";
import { type MakerProfile } from "@msec/secure-element/attestation";
import { readJson, writeJson } from "@msec/service";
import { Attestation, registryDomain, sendInOrder } from "./attestation.ts";
import { consentCalls } from "./consent.ts";
import { type Account, type Layout, type People, type Ports, organisationId } from "./layout.ts";
import { vouch } from "./registrar.ts";
import { type DeviceTpms, emulatorProfile } from "./tpms.ts";

/** A device of the city, as whoever puts it up describes it. */
export interface DevicePlan {
  name: string;
  owner: "city" | "citizen";
  streams: ConfigInput["streams"];
  /** Price of one reading (open) or pack (sealed), in the token's smallest unit. */
  unitPrice: bigint;
  /** Where it stands, and what it is. */
  thing?: Omit<Thing, "title">;
  /** Slots of its open streams, from the first, that anybody may open. */
  sampleSlots?: number;
}

export interface DeviceStream {
  streamId: Hex;
  preimage: StreamPreimage;
  /** Who holds the seed, as the owner signed it. */
  holders: SignedHolders;
}

export interface SignedHolders {
  holders: Holders;
  holdersSignature: Hex;
}

export interface EnrolledDevice {
  name: string;
  deviceId: Hex;
  owner: Account;
  configFile: string;
  streams: DeviceStream[];
  plan: DevicePlan;
}

/** Committee and addresses as a device needs them. */
export function deviceConfig(
  plan: DevicePlan,
  layout: Layout,
  all: People,
  ports: Ports,
  deployment: Deployment,
  element: ConfigInput["element"],
): ConfigInput {
  return {
    name: plan.name,
    dataDir: layout.device(plan.name),
    element,
    ownerEpoch: 1,
    chain: { chainId: deployment.chainId, anchor: deployment.addresses.DataAnchor },
    committee: {
      members: all.operators.map(({ address }, i) => ({
        address,
        organisation: organisationId(`operator-${i + 1}`),
        url: `http://127.0.0.1:${ports.operators[i]}`,
      })),
    },
    mqtt: { url: `mqtt://127.0.0.1:${ports.broker}` },
    streams: plan.streams.map((stream) =>
      stream.mode === "sealed" ? { ...stream, holders: all.operators.slice(0, 2).map((o) => o.address) } : stream,
    ),
  };
}

const HOUR_MS = 3_600_000;

/**
 * Makes a device's keys and has the owner sign for the holders of its seeds. A device that the registry does not know yet is
 * enrolled by its owner and the registrars: with a TPM by its evidence and a challenge of each, else as software. One with a
 * TPM is attested at each start. Everything that was done before is left as it is. Returns what is still to be sent to the
 * registry, in order.
 */
export async function enrolDevice(
  plan: DevicePlan,
  layout: Layout,
  all: People,
  ports: Ports,
  deployment: Deployment,
  contracts: Contracts,
  tpms: DeviceTpms | undefined,
): Promise<{ device: EnrolledDevice; calls: Call[] }> {
  const folder = layout.device(plan.name);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const configFile = layout.deviceConfig(plan.name);
  const element = tpms?.elementOf(plan.name) ?? { kind: "software" as const };
  writeJson(configFile, deviceConfig(plan, layout, all, ports, deployment, element));
  const config = parseConfig(readJson(configFile), folder);
  if (element.kind === "tpm") await tpms?.approve(config);
  const owner = all[plan.owner];
  const profile = element.kind === "tpm" ? await emulatorProfile(layout) : undefined;
  const { made, calls } = await registration(config, owner, all, deployment, contracts, profile);
  const streams = signHolders(made.streams, config, owner, all, deployment);
  const device = { name: plan.name, deviceId: made.deviceId, owner, configFile, streams, plan };
  return { device, calls };
}

/** Has the owner say who holds the seeds of its streams, where it has not. */
export function signHolders(
  streams: { streamId: Hex; preimage: StreamPreimage }[],
  config: Config,
  owner: Account,
  all: People,
  deployment: Deployment,
): DeviceStream[] {
  const domain = consentDomain(deployment.chainId, deployment.addresses.ConsentRegistry);
  return streams.map(({ streamId, preimage }) => {
    const file = join(paths(config).streams, `${streamId}.holders.json`);
    const known = readJson<SignedHolders>(file);
    if (known) return { streamId, preimage, holders: known };
    const chosen = preimage.mode === MODE.sealed ? all.operators.slice(0, 2) : all.operators;
    const holders = { streamId, version: 1, holders: chosen.map((o) => o.address) };
    const signed = { holders, holdersSignature: signTyped(fromHex(owner.key), domain, HOLDERS, holders) };
    writeJson(file, signed);
    return { streamId, preimage, holders: signed };
  });
}

/**
 * Makes a device's keys where they are missing, and what its registration takes: enrolment if the registry does not know it,
 * and for a TPM of the maker that `profile` describes a quote of what has booted. Nobody else may own the TPM meanwhile.
 */
export async function registration(
  config: Config,
  owner: Account,
  all: People,
  deployment: Deployment,
  contracts: Contracts,
  profile: MakerProfile | undefined,
): Promise<{ made: Awaited<ReturnType<typeof init>>; calls: Call[] }> {
  const made = await init(config);
  const known = (await contracts.DeviceRegistry.device(made.deviceId)).status !== 0n;
  if (!profile)
    return { made, calls: known ? [] : [await enrolSoftware(config, made, owner, all, deployment, contracts)] };
  const opened = await openTpmElement(config);
  try {
    const device = serviceOf(opened);
    const attestation = await Attestation.of(device, "current", { people: all, deployment, contracts, profile });
    const enrolment = known ? [] : await attestation.enrolCalls(device, owner);
    return { made, calls: [...enrolment, attestation.quoteCall()] };
  } finally {
    await opened.close();
  }
}

async function enrolSoftware(
  config: Config,
  made: Awaited<ReturnType<typeof init>>,
  owner: Account,
  all: People,
  deployment: Deployment,
  contracts: Contracts,
): Promise<Call> {
  const { DeviceRegistry } = contracts;
  const enrol = {
    deviceId: made.deviceId,
    ekHash: ZERO32,
    akName: ZERO32,
    keyAlg: keyAlgOf(made.spki),
    keyHash: made.keyHash,
    owner: owner.address,
    organisation: organisationId("city"),
    policyId: ZERO32,
    evidenceDigest: ZERO32,
    nonce: await DeviceRegistry.nonceOf(made.deviceId),
    deadline: Date.now() + HOUR_MS,
  };
  const domain = registryDomain(deployment);
  const shown = await signEnrolment(config, typedDataDigest(domain, ENROL, enrol));
  const registrars = [...all.registrars].sort((a, b) => (a.address < b.address ? -1 : 1));
  const data = DeviceRegistry.interface.encodeFunctionData("enrol", [
    enrol,
    toHex(made.spki),
    signTyped(fromHex(owner.key), domain, ENROL, enrol),
    registrars.map((r) => vouch(r, domain, enrol, made.spki, fromHex(shown.signature))),
  ]);
  return { to: deployment.addresses.DeviceRegistry, data };
}

/** Terms that an embedded city sells under. Times in seconds. */
export const TERMS = { feePerMille: 50, bond: 10_000_000n, deliverSeconds: 120, complainSeconds: 40 };

const HOUR_SECONDS = 3600;
const DAY_SECONDS = 86_400;

/** Terms of subscriptions in an embedded city: batches of about an hour, or as near to it as a batch may be long. */
function subscriptionOffer(
  given: Pick<
    SubscriptionOffer,
    "streamId" | "seller" | "deliverer" | "fallbackDeliverer" | "token" | "slotPrice" | "slotSeconds" | "licence"
  >,
): SubscriptionOffer {
  const slots = Math.max(1, HOUR_SECONDS / given.slotSeconds);
  const depth = Math.max(LEAST_BATCH_DEPTH, DEPTH - Math.ceil(Math.log2(slots)));
  return {
    ...given,
    ...{ depth, feePerMille: TERMS.feePerMille, bond: 1_000_000n, deliverSeconds: TERMS.deliverSeconds },
    ...{ complainSeconds: HOUR_SECONDS, silenceSeconds: 3 * DAY_SECONDS },
  };
}

/** Publishes the offers of devices that are not published yet: those of one owner after one another, the owners' at once. */
export async function sendOffers(
  devices: EnrolledDevice[],
  all: People,
  deployment: Deployment,
  contracts: Contracts,
  provider: ChainProvider,
): Promise<void> {
  const byOwner = new Map<Account, Call[]>();
  const calls = await Promise.all(devices.map((device) => offerCalls(device, all, deployment, contracts)));
  for (const [i, { owner }] of devices.entries())
    byOwner.set(owner, [...(byOwner.get(owner) ?? []), ...(calls[i] as Call[])]);
  await Promise.all(
    [...byOwner].map(([owner, theirs]) => sendInOrder(new Sender(owner.key, provider, deployment.chainId), theirs)),
  );
}

/** Consents to sales and publishes an offer, and one for subscriptions to a stream that has time slots, for every stream of a device that has none yet. */
async function offerCalls(
  device: EnrolledDevice,
  all: People,
  deployment: Deployment,
  contracts: Contracts,
): Promise<Call[]> {
  const { Marketplace, Subscription } = contracts;
  const calls: Call[] = [];
  for (const stream of device.streams) {
    const { preimage, streamId, holders } = stream;
    calls.push(...(await consentCalls(stream, holders, device.owner, all, deployment, contracts)));
    const terms = {
      deliverer: (all.deliverers[0] as Account).address,
      fallbackDeliverer: (all.deliverers[1] as Account).address,
      token: deployment.addresses.MSecToken,
      unitPrice: device.plan.unitPrice,
      ...TERMS,
      fromSlot: 0,
      toSlot: preimage.mode === MODE.dataset ? 0 : 0xffffffff,
      terms: toHex(new Uint8Array(32)),
    };
    const id = await Marketplace.offerIdOf(streamId, terms);
    if ((await Marketplace.offer(id)).state === 0n) {
      const data = Marketplace.interface.encodeFunctionData("publish", [streamOf(preimage), terms]);
      calls.push({ to: deployment.addresses.Marketplace, data });
    }
    if (preimage.mode === MODE.dataset) continue;
    const { deliverer, fallbackDeliverer, token, unitPrice: slotPrice } = terms;
    const offer = subscriptionOffer({
      ...{ streamId, seller: device.owner.address, deliverer, fallbackDeliverer, token, slotPrice },
      ...{ slotSeconds: preimage.slotSeconds, licence: terms.terms },
    });
    if (await Subscription.isOpen(subscriptionOfferId(offer))) continue;
    const data = Subscription.interface.encodeFunctionData("publish", [streamOf(preimage), offer]);
    calls.push({ to: deployment.addresses.Subscription, data });
  }
  return calls;
}
