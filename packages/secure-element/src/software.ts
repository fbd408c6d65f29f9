import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { readFile } from "node:fs/promises";
import { deviceIdOfSoftware, fromBase64, type Hex, toBase64, ZERO32 } from "@msec/core";
import { demandKeyEpoch, type DeviceKey, type NextKey, type SecureElement } from "./element.ts";
import { SecureElementError } from "./errors.ts";
import { es256 } from "./es256.ts";
import { writeFileAtomic } from "./file.ts";
import type { WrapKey } from "./wrap.ts";

/** The element's file: JSON, mode 0600. Private keys are PKCS#8, wrapped; one that was rotated out is not kept. */
interface State {
  format: "msec.element/1";
  bootEpoch: number;
  keys: { keyEpoch: number; spki: string; wrapped: string | null }[];
  /** A key made for rotation that does not sign headers yet. */
  next: { keyEpoch: number; spki: string; wrapped: string } | null;
}

const purposeOf = (keyEpoch: number) => `signing key ${keyEpoch}`;

/**
 * A P-256 key in a file, wrapped. It stands in for a TPM where there is none and is marked as such wherever the device
 * is shown: whoever copies the disk copies the device, and a restored disk counts its starts again.
 */
export class SoftwareElement implements SecureElement {
  readonly kind = "software";
  readonly deviceId: Hex;
  readonly #path: string;
  readonly #wrap: WrapKey;
  #state: State;
  #key: KeyObject;
  #boot: Promise<number> | undefined;

  private constructor(path: string, wrap: WrapKey, state: State) {
    this.#path = path;
    this.#wrap = wrap;
    this.#state = state;
    const first = state.keys[0];
    const last = state.keys.at(-1);
    if (!first || !last?.wrapped)
      throw new SecureElementError("key-damaged", `${path} holds no signing key: restore it`, path);
    this.deviceId = deviceIdOfSoftware(fromBase64(first.spki));
    this.#key = unwrapKey(wrap, last.wrapped, last.keyEpoch);
  }

  static async open(path: string, wrap: WrapKey): Promise<SoftwareElement> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      throw new SecureElementError("key-missing", `there is no device key at ${path}: run init, or restore it`, path);
    }
    let state: State;
    try {
      state = JSON.parse(text) as State;
    } catch (error) {
      throw new SecureElementError("key-damaged", `${path} is not JSON: restore it`, path, error);
    }
    if (state.format !== "msec.element/1" || !Array.isArray(state.keys) || !Number.isSafeInteger(state.bootEpoch))
      throw new SecureElementError("key-damaged", `${path} is not a key file of this version: restore it`, path);
    return new SoftwareElement(path, wrap, state);
  }

  /** Opens the element, making its first key where there is none. */
  static async openOrCreate(path: string, wrap: WrapKey): Promise<SoftwareElement> {
    try {
      return await SoftwareElement.open(path, wrap);
    } catch (error) {
      if (!(error instanceof SecureElementError) || error.code !== "key-missing") throw error;
      const key = makeKey(wrap, 1);
      await save(path, { format: "msec.element/1", bootEpoch: 0, keys: [key], next: null });
      return SoftwareElement.open(path, wrap);
    }
  }

  get keyEpoch(): number {
    return this.#state.keys.at(-1)?.keyEpoch ?? 0;
  }

  spki(): Promise<Uint8Array> {
    return Promise.resolve(fromBase64(this.#state.keys.at(-1)?.spki));
  }

  keys(): Promise<DeviceKey[]> {
    return Promise.resolve(this.#state.keys.map(({ keyEpoch, spki }) => ({ keyEpoch, spki: fromBase64(spki) })));
  }

  async sign(message: Uint8Array, keyEpoch?: number): Promise<Uint8Array> {
    demandKeyEpoch(this.keyEpoch, keyEpoch);
    return es256(this.#key, message);
  }

  attestation(): Promise<Hex> {
    return Promise.resolve(ZERO32);
  }

  bootEpoch(): Promise<number> {
    this.#boot ??= (async () => {
      const bootEpoch = this.#state.bootEpoch + 1;
      await this.#save({ ...this.#state, bootEpoch });
      return bootEpoch;
    })();
    return this.#boot;
  }

  async prepareRotation(): Promise<NextKey> {
    const next = this.#state.next ?? makeKey(this.#wrap, this.keyEpoch + 1);
    if (this.#state.next === null) await this.#save({ ...this.#state, next });
    const key = unwrapKey(this.#wrap, next.wrapped, next.keyEpoch);
    return {
      keyEpoch: next.keyEpoch,
      spki: fromBase64(next.spki),
      sign: (message) => Promise.resolve(es256(key, message)),
    };
  }

  async rotate(): Promise<void> {
    const { next } = this.#state;
    if (next === null)
      throw new SecureElementError("key-missing", "no key is prepared: call prepareRotation and enrol it first");
    const keys = [...this.#state.keys.map((key) => ({ ...key, wrapped: null })), next];
    const state = { ...this.#state, keys, next: null };
    const key = unwrapKey(this.#wrap, next.wrapped, next.keyEpoch);
    await save(this.#path, state);
    // Together, so that nothing is signed with one key under the name of the other.
    [this.#state, this.#key] = [state, key];
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #save(state: State): Promise<void> {
    await save(this.#path, state);
    this.#state = state;
  }
}

const save = (path: string, state: State) => writeFileAtomic(path, `${JSON.stringify(state, undefined, 2)}\n`);

function makeKey(wrap: WrapKey, keyEpoch: number) {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const secret = privateKey.export({ format: "der", type: "pkcs8" });
  const spki = createPublicKey(privateKey).export({ format: "der", type: "spki" });
  return { keyEpoch, spki: toBase64(spki), wrapped: toBase64(wrap.wrap(secret, purposeOf(keyEpoch))) };
}

function unwrapKey(wrap: WrapKey, wrapped: string, keyEpoch: number): KeyObject {
  const key = wrap.unwrap(fromBase64(wrapped), purposeOf(keyEpoch));
  return createPrivateKey({ key: Buffer.from(key), format: "der", type: "pkcs8" });
}
