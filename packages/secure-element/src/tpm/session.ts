import { randomBytes, timingSafeEqual } from "node:crypto";
import { encode, type Reader } from "./codec.ts";
import { RH, SESSION } from "./constants.ts";
import { TpmError } from "./errors.ts";
import { aesCfb, hmac, kdfa } from "./kdf.ts";
import { handleName } from "./names.ts";

/** What a command authorizes itself with: a password, an HMAC session or a policy session. */
export interface Authorization {
  readonly handle: number;
  /** Called once a command, before {@link command}: renews the caller's nonce. */
  begin(): void;
  /** TPMS_AUTH_COMMAND. `auth` is the authorization value of the entity, undefined where it authorizes none. */
  command(cpHash: () => Uint8Array, auth: Uint8Array | undefined): Uint8Array;
  /** Takes TPMS_AUTH_RESPONSE and checks it. */
  response(reader: Reader, rpHash: () => Uint8Array, auth: Uint8Array | undefined): void;
}

const EMPTY = new Uint8Array();

/** An authorization value sent in clear, for hierarchies and keys whose value is empty. */
export const password = (auth: Uint8Array = EMPTY): Authorization => ({
  handle: RH.PASSWORD,
  begin: () => undefined,
  command: () => encode((w) => w.u32(RH.PASSWORD).sized(EMPTY).u8(SESSION.continueSession).sized(auth)),
  response: (r) => {
    r.sized();
    r.u8();
    r.sized();
  },
});

/**
 * An HMAC or policy session (Part 1, 19.6). With a session key (salted or bound) each command and response carries an
 * HMAC, and the first parameter can cross the wire encrypted; without one it is a place to gather a policy in.
 */
export class Session implements Authorization {
  readonly handle: number;
  /** TPMA_SESSION; set `decrypt` or `encrypt` for the commands that carry a secret. */
  attributes: number = SESSION.continueSession;
  readonly hash: number;
  readonly #key: Uint8Array;
  #nonceTpm: Uint8Array;
  #nonceCaller: Uint8Array;

  constructor(handle: number, hash: number, key: Uint8Array, nonceTpm: Uint8Array, nonceCaller: Uint8Array) {
    this.handle = handle;
    this.hash = hash;
    this.#key = key;
    this.#nonceTpm = nonceTpm;
    this.#nonceCaller = nonceCaller;
  }

  get name(): Uint8Array {
    return handleName(this.handle);
  }

  begin(): void {
    this.#nonceCaller = this.#key.length > 0 ? new Uint8Array(randomBytes(16)) : EMPTY;
  }

  command(cpHash: () => Uint8Array, auth?: Uint8Array): Uint8Array {
    const mac = this.#mac(cpHash, this.#nonceCaller, this.#nonceTpm, this.attributes, auth);
    return encode((w) => w.u32(this.handle).sized(this.#nonceCaller).u8(this.attributes).sized(mac));
  }

  response(r: Reader, rpHash: () => Uint8Array, auth?: Uint8Array): void {
    const nonceTpm = r.sized(64);
    const attributes = r.u8();
    const mac = r.sized(64);
    if (this.#key.length + (auth?.length ?? 0) > 0) {
      const expected = this.#mac(rpHash, nonceTpm, this.#nonceCaller, attributes, auth);
      if (mac.length !== expected.length || !timingSafeEqual(mac, expected))
        throw new TpmError("auth", "the TPM's answer was changed on its way: its HMAC is wrong; don't trust this bus");
    }
    this.#nonceTpm = nonceTpm;
  }

  /** Encrypts the first command parameter; `auth` is of the entity that this session authorizes. */
  encrypt(parameter: Uint8Array, auth: Uint8Array = EMPTY): Uint8Array {
    return this.#cipher(parameter, this.#nonceCaller, this.#nonceTpm, auth, "encrypt");
  }

  /** Decrypts the first response parameter, after {@link response}. */
  decrypt(parameter: Uint8Array, auth: Uint8Array = EMPTY): Uint8Array {
    return this.#cipher(parameter, this.#nonceTpm, this.#nonceCaller, auth, "decrypt");
  }

  #cipher(data: Uint8Array, newer: Uint8Array, older: Uint8Array, auth: Uint8Array, way: "encrypt" | "decrypt") {
    if (this.#key.length === 0)
      throw new TpmError("auth", "a session without salt encrypts nothing: start it with a salt key");
    const key = new Uint8Array(Buffer.concat([this.#key, auth]));
    const stream = kdfa(this.hash, key, "CFB", newer, older, 256);
    return aesCfb(stream.subarray(0, 16), stream.subarray(16), data, way);
  }

  #mac(pHash: () => Uint8Array, newer: Uint8Array, older: Uint8Array, attributes: number, auth: Uint8Array = EMPTY) {
    if (this.#key.length + auth.length === 0) return EMPTY;
    const key = new Uint8Array(Buffer.concat([this.#key, auth]));
    return hmac(this.hash, key, pHash(), newer, older, Uint8Array.of(attributes));
  }
}
