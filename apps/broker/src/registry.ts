import { ConnectError, type Shown } from "@msec/broker";
import { type Addresses, connectChain, type Contracts, contractsAt, type Profile } from "@msec/chain";
import { type Hex } from "@msec/core";
import type { BootCounters } from "@msec/secure-element/attestation";
import { type JsonRpcProvider, type Log, type Result } from "ethers";

const STATUS = ["unknown", "active", "suspended", "quarantined", "retired"];
const ACTIVE = 1;
/** Blocks that are read again after a restart of the chain. */
const OVERLAP = 50;

/** What a device is by the registry now. */
export interface RegisteredDevice {
  status: number;
  keyEpoch: number;
  keyHash: Hex;
  policyId: Hex;
}

/** Whom the chain lets in: devices that are active, by their present key, and operators of the committee. */
export class Registry {
  readonly contracts: Contracts;
  readonly #provider: JsonRpcProvider;
  #readTo: number | undefined;
  #up = true;

  constructor(chain: Profile & { addresses: Record<string, Hex> }) {
    this.#provider = connectChain(chain);
    this.contracts = contractsAt(chain.addresses as Addresses, this.#provider);
  }

  close(): void {
    this.#provider.destroy();
  }

  /** Refuses a device that is not active, or whose present key is revoked. Throws {@link ConnectError} `status` or `key`. */
  async active(deviceId: Hex): Promise<RegisteredDevice> {
    const { DeviceRegistry } = this.contracts;
    const view = await DeviceRegistry.device(deviceId);
    const [status, keyEpoch] = [Number(view.status), Number(view.keyEpoch)];
    if (status !== ACTIVE)
      throw new ConnectError(
        "status",
        `the registry has this device as ${STATUS[status]}: only an active one is let in (msec device explain)`,
      );
    if ((await DeviceRegistry.keyRevokedAt(deviceId, keyEpoch)) !== 0n)
      throw new ConnectError("key", `key ${keyEpoch} of this device is revoked: rotate it`);
    return { status, keyEpoch, keyHash: view.keyHash as Hex, policyId: view.policyId as Hex };
  }

  /** Refuses whoever has shown a key that is not the registry's, or may not come in. Throws {@link ConnectError}. */
  async admit({ identity, keyHash }: Pick<Shown, "identity" | "keyHash">): Promise<void> {
    if (identity.kind === "operator") {
      if (!(await this.isOperator(identity.id)))
        throw new ConnectError("status", "this account is not in the committee of operators");
      return;
    }
    const device = await this.active(identity.id);
    if (device.keyHash !== keyHash)
      throw new ConnectError("key", `the registry has another key for this device: sign with key ${device.keyEpoch}`);
  }

  /** Digest of the evidence that a device's key was enrolled or rotated in with. */
  async evidenceOf(deviceId: Hex, keyEpoch: number): Promise<Hex | undefined> {
    const { DeviceRegistry } = this.contracts;
    if (keyEpoch === 1) {
      const [enrolled] = await DeviceRegistry.queryFilter(DeviceRegistry.filters.Enrolled(deviceId), 0);
      return enrolled?.args.enrolment.evidenceDigest as Hex | undefined;
    }
    const [rotated] = await DeviceRegistry.queryFilter(DeviceRegistry.filters.KeyRotated(deviceId, keyEpoch), 0);
    return rotated?.args.rotation.evidenceDigest as Hex | undefined;
  }

  /** Counters of the newest quote that the registry has of this key, undefined for none. */
  async countersOf(deviceId: Hex, keyEpoch: number): Promise<BootCounters | undefined> {
    const last = await this.contracts.DeviceRegistry.freshnessOf(deviceId);
    if (last.quotedAtMs === 0n || Number(last.keyEpoch) !== keyEpoch) return undefined;
    return { resetCount: Number(last.resetCount), restartCount: Number(last.restartCount) };
  }

  /** The newest version of a boot policy that accepts this digest at that time, undefined for none. */
  async policyVersion(policyId: Hex, pcrDigest: Hex, atMs: number): Promise<number | undefined> {
    const { BootPolicy } = this.contracts;
    if (!(await BootPolicy.accepts(policyId, pcrDigest, atMs))) return undefined;
    for (let version = Number(await BootPolicy.versions(policyId)); version > 0; version--) {
      const { digest, fromMs, untilMs } = await BootPolicy.versionAt(policyId, version);
      if (digest === pcrDigest && BigInt(atMs) >= fromMs && BigInt(atMs) < untilMs) return version;
    }
    return undefined;
  }

  /** Whether an account is in the committee now, or in the newest one that was set. */
  async isOperator(account: Hex): Promise<boolean> {
    const { DataAnchor, OracleCommittee } = this.contracts;
    const { number } = await DataAnchor.latest();
    if (await OracleCommittee.isMember(number + 1n, account)) return true;
    const newest = await OracleCommittee.config((await OracleCommittee.configCount()) - 1n);
    return newest.members.some((member) => member.toLowerCase() === account);
  }

  /**
   * What changed since the last call, to be called again and again: the devices that the registry wrote of, and the
   * committee. "all" where that can't be told, because the chain was away or lost blocks. Throws while it is away.
   */
  async changes(): Promise<{ devices: ReadonlySet<Hex>; committee: boolean } | "all"> {
    try {
      const block = await this.#provider.getBlockNumber();
      const before = this.#readTo;
      const lost = !this.#up || (before !== undefined && block < before);
      if (before === undefined || lost) {
        this.#readTo = Math.max(0, Math.min(before ?? block, block) - OVERLAP);
        this.#up = true;
        return "all";
      }
      const devices = new Set<Hex>();
      let committee = false;
      if (block > before) {
        const { DeviceRegistry, OracleCommittee } = this.contracts;
        const address = [await DeviceRegistry.getAddress(), await OracleCommittee.getAddress()];
        for (const log of await this.#provider.getLogs({ address, fromBlock: before + 1, toBlock: block })) {
          const deviceId = this.#deviceOf(log);
          if (deviceId) devices.add(deviceId);
          else committee ||= log.address.toLowerCase() === address[1]?.toLowerCase();
        }
      }
      this.#readTo = block;
      return { devices, committee };
    } catch (error) {
      this.#up = false;
      throw error;
    }
  }

  #deviceOf(log: Log): Hex | undefined {
    const event = this.contracts.DeviceRegistry.interface.parseLog(log);
    return (event?.args as Result | undefined)?.deviceId as Hex | undefined;
  }
}
