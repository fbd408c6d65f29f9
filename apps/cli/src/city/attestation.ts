import { setTimeout as sleep } from "node:timers/promises";
import { type Call, type ChainProvider, type Contracts, type Deployment, Sender } from "@msec/chain";
import {
  type Domain,
  ENROL,
  fromHex,
  type Hex,
  KEY_ALG,
  registryDomain as domainOfRegistry,
  ROTATION,
  signTyped,
  toHex,
  typedDataDigest,
} from "@msec/core";
import { type ElementService, type WhichKey } from "@msec/secure-element";
import {
  type JudgedAnswer,
  type JudgedEvidence,
  type MakerProfile,
  rootsHash,
  templateHash,
} from "@msec/secure-element/attestation";
import { type Account, organisationId, type People } from "./layout.ts";
import { type AttestationPolicy, Examination } from "./registrar.ts";
import { BOOT_POLICY, type DeviceTpms, EMULATOR_MAKER } from "./tpms.ts";

/** How the registrars of an embedded city, each on its own, look at a device with a TPM. */
export interface Registry {
  people: People;
  deployment: Deployment;
  contracts: Contracts;
  profile: MakerProfile;
}

const HOUR_MS = 3_600_000;
const GRACE_MS = 24 * HOUR_MS;
/** How long the registry takes a quote for fresh. */
export const VALID_MS = 24 * HOUR_MS;
const PUBLISHED_MS = 60_000;
/** How far ahead a policy begins: it may not begin before the block that publishes it, which Quorum fills a second early. */
const AHEAD_MS = 3_000;
/** A busy machine's block comes late: then it is tried again, further ahead. */
const MOST_AHEAD_MS = 20_000;

export const registryDomain = ({ chainId, addresses }: Deployment): Domain =>
  domainOfRegistry(chainId, addresses.DeviceRegistry);

export function policyOf({ BootPolicy, DeviceRegistry }: Contracts): AttestationPolicy {
  return {
    acceptsProfile: (profile, atMs) =>
      BootPolicy.acceptsEkProfile(EMULATOR_MAKER, rootsHash(profile.roots), profile.templates.map(templateHash), atMs),
    acceptsBoot: (policyId, pcrDigest, atMs) => BootPolicy.accepts(policyId, pcrDigest, atMs),
    keyOf: async (deviceId, keyEpoch) => (await DeviceRegistry.keyHashOf(deviceId, keyEpoch)) as Hex,
    countersOf: async (deviceId, keyEpoch) => {
      const last = await DeviceRegistry.freshnessOf(deviceId);
      if (last.quotedAtMs === 0n || Number(last.keyEpoch) !== keyEpoch) return undefined;
      return { resetCount: Number(last.resetCount), restartCount: Number(last.restartCount) };
    },
  };
}

/** Publishes what this checkout's agent boots as, and the emulator's profile, where the chain does not have them. */
export async function publishPolicies(
  tpms: DeviceTpms,
  profile: MakerProfile,
  deployer: Account,
  deployment: Deployment,
  { BootPolicy }: Contracts,
  provider: ChainProvider,
): Promise<void> {
  const digest = await tpms.bootDigest();
  const [roots, templates] = [rootsHash(profile.roots), profile.templates.map(templateHash)];
  const accepted = async () => {
    const now = Date.now();
    return [
      await BootPolicy.accepts(BOOT_POLICY, digest, now),
      await BootPolicy.acceptsEkProfile(EMULATOR_MAKER, roots, templates, now),
    ] as const;
  };
  const [boots, knows] = await accepted();
  if (boots && knows) return;
  const encode = BootPolicy.interface.encodeFunctionData.bind(BootPolicy.interface);
  const publish = async (aheadMs: number): Promise<void> => {
    const block = await provider.getBlock("latest");
    const fromMs = Math.max(Date.now(), 1000 * (block?.timestamp ?? 0)) + aheadMs;
    const [bootsNow, knowsNow] = await accepted();
    const data = [
      ...(bootsNow ? [] : [encode("publish", [BOOT_POLICY, digest, fromMs, GRACE_MS])]),
      ...(knowsNow ? [] : [encode("publishEkProfile", [EMULATOR_MAKER, roots, templates, fromMs, 0])]),
    ];
    const calls = data.map((d) => ({ to: deployment.addresses.BootPolicy, data: d }));
    try {
      await sendInOrder(new Sender(deployer.key, provider, deployment.chainId), calls);
    } catch (error) {
      const reverted = BootPolicy.interface.parseError((error as { data?: string }).data ?? "0x")?.name;
      if (reverted !== "BootPolicy_InThePast" || aheadMs > MOST_AHEAD_MS) throw error;
      await publish(4 * aheadMs);
    }
  };
  await publish(AHEAD_MS);
  for (const end = Date.now() + PUBLISHED_MS; !(await accepted()).every(Boolean); await sleep(100))
    if (Date.now() > end)
      throw new Error("the boot policy that was just published is not accepted: is the clock right?");
}

/** Sends calls one nonce after the other, all at once; a reverted one is told with the contract's own error. */
export async function sendInOrder(sender: Sender, calls: Call[]): Promise<void> {
  const first = await sender.nonce();
  const signed = await Promise.all(calls.map((call, i) => sender.sign(call, first + i)));
  for (const { raw } of signed) await sender.broadcast(raw);
  for (const [i, { hash, raw }] of signed.entries()) {
    if ((await sender.wait(hash, raw)).status === 1) continue;
    const call = calls[i] as Call;
    await sender.wallet.provider?.call({ from: sender.address, to: call.to ?? null, data: call.data });
    throw new Error(`transaction ${hash} was reverted`);
  }
}

/** What k registrars found, each on its own challenge. They agree, or none has vouched. */
export class Attestation {
  readonly evidence: JudgedEvidence;
  readonly judged: JudgedAnswer;
  readonly atMs: number;
  readonly #registry: Registry;
  readonly #examinations: Examination[];

  private constructor(registry: Registry, examinations: Examination[], judged: JudgedAnswer) {
    this.#registry = registry;
    this.#examinations = examinations;
    this.evidence = (examinations[0] as Examination).evidence;
    this.judged = judged;
    this.atMs = Date.now();
  }

  static async of(device: ElementService, which: WhichKey, registry: Registry): Promise<Attestation> {
    const { people, deployment, contracts, profile } = registry;
    const evidence = await device.evidence(which);
    const examinations: Examination[] = [];
    let judged: JudgedAnswer | undefined;
    const registrars = [...people.registrars].sort((a, b) => (a.address < b.address ? -1 : 1));
    for (const registrar of registrars) {
      const domain = registryDomain(deployment);
      const policy = policyOf(contracts);
      const own = await Examination.begin(registrar, domain, profile, policy, BOOT_POLICY, evidence);
      judged = await own.judge(await device.answer(own.challenge, which));
      examinations.push(own);
    }
    if (!judged) throw new Error("this city has no registrar");
    return new Attestation(registry, examinations, judged);
  }

  /** Binds the TPM's further endorsement keys, then enrols the device for its owner. */
  async enrolCalls(device: ElementService, owner: Account): Promise<Call[]> {
    const { evidence } = this;
    const { DeviceRegistry } = this.#registry.contracts;
    const deadline = Date.now() + HOUR_MS;
    const enrol = {
      deviceId: evidence.deviceId,
      ekHash: evidence.ekHashes[0] as Hex,
      ...this.#key(),
      owner: owner.address,
      organisation: organisationId("city"),
      nonce: await DeviceRegistry.nonceOf(evidence.deviceId),
      deadline,
    };
    const possession = await device.signDigest(typedDataDigest(this.#domain, ENROL, enrol), "current");
    const bindings = evidence.ekHashes.slice(1).map((ekHash) => {
      const endorsement = { deviceId: evidence.deviceId, ekHash, deadline };
      return this.#call("bindEndorsement", [endorsement, this.#signed((e) => e.endorsement(endorsement))]);
    });
    const signatures = this.#signed((e) => e.enrol(enrol, possession));
    const own = signTyped(fromHex(owner.key), this.#domain, ENROL, enrol);
    return [...bindings, this.#call("enrol", [enrol, toHex(evidence.spki), own, signatures])];
  }

  /** Reports what has booted, as of now. */
  quoteCall(): Call {
    const { evidence, judged } = this;
    const { pcrDigest, resetCount, restartCount, safe } = judged;
    const quote = {
      deviceId: evidence.deviceId,
      keyEpoch: evidence.keyEpoch,
      policyId: BOOT_POLICY,
      pcrDigest,
      resetCount,
      restartCount,
      safe,
      quotedAtMs: this.atMs,
      validUntilMs: this.atMs + VALID_MS,
      evidenceDigest: evidence.digest,
      deadline: Date.now() + HOUR_MS,
    };
    return this.#call("reportQuote", [quote, this.#signed((e) => e.quote(quote))]);
  }

  /** Replaces the device's key by the one that was attested; the device has it as `which`. */
  async rotateCall(device: ElementService, owner: Account, revokeOld: boolean, which: WhichKey): Promise<Call> {
    const { evidence } = this;
    const rotation = {
      deviceId: evidence.deviceId,
      keyEpoch: evidence.keyEpoch,
      ...this.#key(),
      revokeOld,
      nonce: await this.#registry.contracts.DeviceRegistry.nonceOf(evidence.deviceId),
      deadline: Date.now() + HOUR_MS,
    };
    const possession = await device.signDigest(typedDataDigest(this.#domain, ROTATION, rotation), which);
    const signatures = this.#signed((e) => e.rotation(rotation, possession));
    const own = signTyped(fromHex(owner.key), this.#domain, ROTATION, rotation);
    return this.#call("rotateKey", [rotation, toHex(evidence.spki), own, signatures]);
  }

  get #domain(): Domain {
    return registryDomain(this.#registry.deployment);
  }

  #key() {
    const { akName, keyHash, digest } = this.evidence;
    return { akName, keyAlg: KEY_ALG.ES256, keyHash, policyId: BOOT_POLICY, evidenceDigest: digest };
  }

  #signed(sign: (examination: Examination) => Hex): Hex[] {
    return this.#examinations.map(sign);
  }

  #call(method: "bindEndorsement" | "enrol" | "reportQuote" | "rotateKey", values: unknown[]): Call {
    const { contracts, deployment } = this.#registry;
    const data = contracts.DeviceRegistry.interface.encodeFunctionData(method as never, values as never);
    return { to: deployment.addresses.DeviceRegistry, data };
  }
}
