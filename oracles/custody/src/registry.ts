import { type Contracts } from "@msec/chain";
import { type Hex } from "@msec/core";

/** What the chain says of a device now. */
export interface Device {
  status: number;
  assurance: number;
  owner: Hex;
  ownerEpoch: number;
  organisation: Hex;
  keyEpoch: number;
  keyHash: Hex;
}

export const ACTIVE = 1;

/** The DeviceRegistry as an operator needs it on its hot path: read once, read again when the chain shows a change. */
export class DeviceCache {
  readonly #contracts: Contracts;
  readonly #devices = new Map<Hex, Device>();
  readonly #revoked = new Map<string, boolean>();

  constructor(contracts: Contracts) {
    this.#contracts = contracts;
  }

  async device(deviceId: Hex): Promise<Device> {
    const known = this.#devices.get(deviceId);
    if (known) return known;
    const view = await this.#contracts.DeviceRegistry.device(deviceId);
    const device: Device = {
      status: Number(view.status),
      assurance: Number(view.assurance),
      owner: view.owner.toLowerCase() as Hex,
      ownerEpoch: Number(view.ownerEpoch),
      organisation: view.organisation as Hex,
      keyEpoch: Number(view.keyEpoch),
      keyHash: view.keyHash as Hex,
    };
    if (device.status !== 0) this.#devices.set(deviceId, device);
    return device;
  }

  async isRevoked(deviceId: Hex, keyEpoch: number): Promise<boolean> {
    const id = `${deviceId}/${keyEpoch}`;
    const known = this.#revoked.get(id);
    if (known !== undefined) return known;
    const revoked = (await this.#contracts.DeviceRegistry.keyRevokedAt(deviceId, keyEpoch)) !== 0n;
    this.#revoked.set(id, revoked);
    return revoked;
  }

  async keyHash(deviceId: Hex, keyEpoch: number): Promise<Hex> {
    return (await this.#contracts.DeviceRegistry.keyHashOf(deviceId, keyEpoch)) as Hex;
  }

  async owner(deviceId: Hex, ownerEpoch: number): Promise<Hex> {
    return (await this.#contracts.DeviceRegistry.ownerOf(deviceId, ownerEpoch)).toLowerCase() as Hex;
  }

  /** Forgets what is cached of a device, after the chain showed an event about it. */
  forget(deviceId: Hex): void {
    this.#devices.delete(deviceId);
    for (const id of this.#revoked.keys()) if (id.startsWith(deviceId)) this.#revoked.delete(id);
  }

  forgetAll(): void {
    this.#devices.clear();
    this.#revoked.clear();
  }
}
