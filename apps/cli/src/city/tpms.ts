import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fromBase64, type Hex, keccak256, toBase64, toHex, utf8 } from "@msec/core";
import { measurement, paths, parseConfig } from "@msec/device";
import { AGENT_PCR, approvalMessage, BOOT_PCRS, bootPolicy, replay, writeFileAtomic } from "@msec/secure-element";
import { type MakerProfile } from "@msec/secure-element/attestation";
import { makerCertificates, manufacture, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { ALG, emptyPolicy, pcrDigest } from "@msec/secure-element/tpm";
import { type Layout } from "./layout.ts";

/** The boot policy that the devices of an embedded city have on the chain, and the maker of their TPMs. */
export const BOOT_POLICY: Hex = toHex(keccak256(utf8("msec.boot.embedded")));
export const EMULATOR_MAKER: Hex = toHex(keccak256(utf8("swtpm")));

const RESTART_MS = 500;

/**
 * One emulated TPM a device, all by one maker, and the maker of the devices' firmware: whatever this checkout holds is what
 * it approves. One start of the city is one power-on of its devices; a TPM that ends is powered on again.
 */
export class CityTpms {
  readonly #layout: Layout;
  readonly #onChange: (name: string) => void;
  readonly #running = new Map<string, Swtpm>();
  readonly #restarts = new Set<Promise<void>>();
  readonly #maker: KeyObject;
  readonly #booted = bootedValues();
  #stopping = false;

  private constructor(layout: Layout, maker: KeyObject, onChange: (name: string) => void) {
    this.#layout = layout;
    this.#maker = maker;
    this.#onChange = onChange;
  }

  /** Makes and starts the TPMs of these devices. `onChange` is told the name of one that ended and runs again. */
  static async start(layout: Layout, names: string[], onChange: (name: string) => void): Promise<CityTpms> {
    const tpms = new CityTpms(layout, await firmwareMaker(layout), onChange);
    // Told where it is waited for.
    tpms.#booted.catch(() => undefined);
    try {
      for (const name of names) {
        mkdirSync(layout.device(name), { recursive: true, mode: 0o700 });
        // One after the other: the maker's authority counts serial numbers.
        await manufacture(layout.tpm(name), layout.tpmMaker);
        tpms.#keep(name, await startSwtpm(layout.tpm(name)));
      }
      await tpms.#booted;
      return tpms;
    } catch (error) {
      await tpms.stop();
      throw error;
    }
  }

  get pids(): Record<string, number> {
    return Object.fromEntries([...this.#running].map(([name, { pid }]) => [name, pid]));
  }

  /** What a device's configuration says of its element; undefined for a device without a TPM. */
  elementOf(name: string): { kind: "tpm"; tpm: string; authority: string } | undefined {
    const swtpm = this.#running.get(name);
    return swtpm && { kind: "tpm", tpm: swtpm.address, authority: toBase64(this.#authority) };
  }

  /** Digest over the PCRs of a device that runs the agent of this checkout. */
  async bootDigest(): Promise<Hex> {
    return toHex(pcrDigest(ALG.SHA256, await this.#booted));
  }

  /** Puts the maker's approval of this checkout's agent beside the device's key, so that an update goes on with it. */
  async approve(config: ReturnType<typeof parseConfig>): Promise<void> {
    const policy = bootPolicy(await this.#booted);
    const signature = sign("sha256", approvalMessage(policy), { key: this.#maker, dsaEncoding: "ieee-p1363" });
    const approvals = [{ policy: toBase64(policy), signature: toBase64(new Uint8Array(signature)) }];
    await writeFileAtomic(paths(config).approvals, `${JSON.stringify(approvals, undefined, 2)}\n`, 0o644);
  }

  /** Powers one off as a power cut does; it comes on again by itself. */
  async cut(name: string): Promise<void> {
    await this.#running.get(name)?.cut();
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#restarts);
    await Promise.all([...this.#running.values()].map((swtpm) => swtpm.stop()));
  }

  get #authority(): Uint8Array {
    return new Uint8Array(createPublicKey(this.#maker).export({ format: "der", type: "spki" }));
  }

  #keep(name: string, swtpm: Swtpm): void {
    this.#running.set(name, swtpm);
    void swtpm.exited.then(() => {
      if (this.#stopping) return;
      const again = this.#again(name).finally(() => this.#restarts.delete(again));
      this.#restarts.add(again);
    });
  }

  async #again(name: string): Promise<void> {
    while (!this.#stopping) {
      await sleep(RESTART_MS);
      try {
        this.#keep(name, await startSwtpm(this.#layout.tpm(name)));
        return this.#onChange(name);
      } catch {
        // Tried again: whoever needs it says so.
      }
    }
  }
}

/**
 * What the registrars of an embedded city hold TPMs to: the emulator's certificates and its two endorsement keys. A city
 * without emulated TPMs knows no maker.
 */
export async function emulatorProfile(layout: Layout): Promise<MakerProfile> {
  if (!existsSync(layout.tpmMaker)) return { roots: [], intermediates: [], crls: [], templates: [] };
  const der = (pem: string) => fromBase64(pem.replace(/-----[^-]+-----|\s/g, ""));
  const [root, ...intermediates] = (await makerCertificates(layout.tpmMaker)).map(der);
  return { roots: [root as Uint8Array], intermediates, crls: [], templates: ["H-3", "L-1"] };
}

/** Values of BOOT_PCRS where nothing but the agent is measured: an emulator has no firmware. */
async function bootedValues(): Promise<Uint8Array[]> {
  const agent = replay([await measurement()]).get(AGENT_PCR) as Uint8Array;
  return BOOT_PCRS.map((pcr) => (pcr === AGENT_PCR ? agent : emptyPolicy(ALG.SHA256)));
}

async function firmwareMaker(layout: Layout): Promise<KeyObject> {
  const file = join(layout.person("firmware-maker"), "key.pem");
  if (!existsSync(file)) {
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    await writeFileAtomic(file, privateKey.export({ format: "pem", type: "pkcs8" }));
  }
  return createPrivateKey(readFileSync(file));
}
