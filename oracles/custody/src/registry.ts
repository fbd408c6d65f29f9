import { type Contracts } from "@msec/chain";
import { type Hex, ZERO32 } from "@msec/core";

/** What the chain says of a device now. */
export interface Device {
  status: number;
  assurance: number;
  owner: Hex;
  ownerEpoch: number;
  organisation: Hex;
  keyEpoch: number;
  keyHash: Hex;
  /** What its boot is judged by; zeros where it is not measured. */
  policyId: Hex;
}

export const ACTIVE = 1;

/** Between two looks at a device's attestation while the chain shows no change of it: its time may be over. */
const HOLDS_MS = 30_000;
const LACKS_MS = 1_000;

interface Attestation {
  fresh: boolean;
  keyEpoch: number;
  resetCount: number;
  validUntilMs: number;
  lookAgainAt: number;
}

/** The DeviceRegistry as an operator needs it on its hot path: read once, read again when the chain shows a change. */
export class DeviceCache {
  readonly #contracts: Contracts;
  readonly #devices = new Map<Hex, Device>();
  readonly #revoked = new Map<string, boolean>();
  readonly #attestations = new Map<Hex, Attestation>();
  /** How often anything was forgotten: an answer to a question from before may be old, and is not kept. */
  #forgotten = 0;

  constructor(contracts: Contracts) {
    this.#contracts = contracts;
  }

  async device(deviceId: Hex): Promise<Device> {
    const known = this.#devices.get(deviceId);
    if (known) return known;
    const asked = this.#forgotten;
    const view = await this.#contracts.DeviceRegistry.device(deviceId);
    const device: Device = {
      status: Number(view.status),
      assurance: Number(view.assurance),
      owner: view.owner.toLowerCase() as Hex,
      ownerEpoch: Number(view.ownerEpoch),
      organisation: view.organisation as Hex,
      keyEpoch: Number(view.keyEpoch),
      keyHash: view.keyHash as Hex,
      policyId: view.policyId as Hex,
    };
    if (device.status !== 0 && asked === this.#forgotten) this.#devices.set(deviceId, device);
    return device;
  }

  async isRevoked(deviceId: Hex, keyEpoch: number): Promise<boolean> {
    const id = `${deviceId}/${keyEpoch}`;
    const known = this.#revoked.get(id);
    if (known !== undefined) return known;
    const asked = this.#forgotten;
    const revoked = (await this.#contracts.DeviceRegistry.keyRevokedAt(deviceId, keyEpoch)) !== 0n;
    if (asked === this.#forgotten) this.#revoked.set(id, revoked);
    return revoked;
  }

  /**
   * Whether registrars have attested the start of the TPM in which a pack was signed, and what they found holds now. Packs of
   * a device whose boot is not measured, and of a key before the attested one, are not asked for it.
   */
  async isAttested(deviceId: Hex, { keyEpoch, bootEpoch }: { keyEpoch: number; bootEpoch: number }): Promise<boolean> {
    const { policyId } = await this.device(deviceId);
    if (policyId === ZERO32) return true;
    const known = this.#attestations.get(deviceId);
    const last = known && Date.now() < known.lookAgainAt ? known : await this.#attestation(deviceId, known);
    return last.fresh && (keyEpoch < last.keyEpoch || bootEpoch <= last.resetCount);
  }

  /** Looks at the chain; while that is away what was seen before stands for its time, and is looked at again afterwards. */
  async #attestation(deviceId: Hex, known: Attestation | undefined): Promise<Attestation> {
    const { DeviceRegistry } = this.#contracts;
    const now = Date.now();
    const asked = this.#forgotten;
    let fresh: boolean;
    let last: Awaited<ReturnType<typeof DeviceRegistry.freshnessOf>>;
    try {
      [fresh, last] = await Promise.all([DeviceRegistry.isFresh(deviceId, now), DeviceRegistry.freshnessOf(deviceId)]);
    } catch (error) {
      if (!known?.fresh || now > known.validUntilMs) throw error;
      known.lookAgainAt = now + LACKS_MS;
      return known;
    }
    const validUntilMs = Number(last.validUntilMs);
    const attestation = {
      fresh,
      keyEpoch: Number(last.keyEpoch),
      resetCount: Number(last.resetCount),
      validUntilMs,
      lookAgainAt: fresh ? Math.min(now + HOLDS_MS, validUntilMs + 1) : now + LACKS_MS,
    };
    if (asked === this.#forgotten) this.#attestations.set(deviceId, attestation);
    return attestation;
  }

  async keyHash(deviceId: Hex, keyEpoch: number): Promise<Hex> {
    return (await this.#contracts.DeviceRegistry.keyHashOf(deviceId, keyEpoch)) as Hex;
  }

  async owner(deviceId: Hex, ownerEpoch: number): Promise<Hex> {
    return (await this.#contracts.DeviceRegistry.ownerOf(deviceId, ownerEpoch)).toLowerCase() as Hex;
  }

  /** Forgets what is cached of a device, after the chain showed an event about it. */
  forget(deviceId: Hex): void {
    this.#forgotten++;
    this.#devices.delete(deviceId);
    this.#attestations.delete(deviceId);
    for (const id of this.#revoked.keys()) if (id.startsWith(deviceId)) this.#revoked.delete(id);
  }

  /** After a change of what boots are judged by, or where the chain may have lost blocks. */
  forgetAll(): void {
    this.#forgotten++;
    this.#devices.clear();
    this.#revoked.clear();
    this.#attestations.clear();
  }
}
