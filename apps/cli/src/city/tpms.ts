import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fromBase64, type Hex, keccak256, toBase64, toHex, utf8 } from "@msec/core";
import { measurement, paths, parseConfig } from "@msec/device";
import { AGENT_PCR, approvalMessage, BOOT_PCRS, bootPolicy, replay, writeFileAtomic } from "@msec/secure-element";
import { type MakerProfile } from "@msec/secure-element/attestation";
import { makerCertificates, manufacture } from "@msec/secure-element/swtpm";
import { ALG, emptyPolicy, pcrDigest } from "@msec/secure-element/tpm";
import { type Emulators } from "./emulators.ts";
import { type Layout } from "./layout.ts";

/** The boot policy that the devices of an embedded city have on the chain, and the maker of their TPMs. */
export const BOOT_POLICY: Hex = toHex(keccak256(utf8("msec.boot.embedded")));
export const EMULATOR_MAKER: Hex = toHex(keccak256(utf8("swtpm")));

/**
 * The TPMs of the devices, all by one maker, and the maker of the devices' firmware: whatever this checkout holds is what it
 * approves.
 */
export class DeviceTpms {
  readonly #emulators: Emulators;
  readonly #maker: KeyObject;
  readonly #booted = bootedValues();

  private constructor(emulators: Emulators, maker: KeyObject) {
    this.#emulators = emulators;
    this.#maker = maker;
  }

  /** Makes and starts the TPMs of these devices. */
  static async start(layout: Layout, names: string[], emulators: Emulators): Promise<DeviceTpms> {
    const tpms = new DeviceTpms(emulators, await firmwareMaker(layout));
    // Told where it is waited for.
    tpms.#booted.catch(() => undefined);
    for (const name of names) {
      // One after the other: the maker's authority counts serial numbers.
      await manufacture(layout.tpm(name), layout.tpmMaker);
      await emulators.start(name, layout.tpm(name));
    }
    await tpms.#booted;
    return tpms;
  }

  /** What a device's configuration says of its element; undefined for a device without a TPM. */
  elementOf(name: string): { kind: "tpm"; tpm: string; authority: string } | undefined {
    const tpm = this.#emulators.addressOf(name);
    return tpm ? { kind: "tpm", tpm, authority: toBase64(this.#authority) } : undefined;
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

  get #authority(): Uint8Array {
    return new Uint8Array(createPublicKey(this.#maker).export({ format: "der", type: "spki" }));
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
