import { randomBytes } from "node:crypto";
import {
  cborDecode,
  cborEncode,
  concat,
  fromHex,
  type Hex,
  keccak256,
  keyHash,
  recoverAddress,
  signDigest,
  toHex,
  utf8,
  verifySignature,
} from "@msec/core";
import { type Identity, identityOf } from "./rights.ts";

/**
 * How a device or an operator shows who it is where there is no client certificate: a statement in the place of a password,
 * signed for one audience and good once, within a minute. MQTT 3.1.1 has no challenge; the nonce, the time and the broker's
 * memory of both do its work.
 */

/** How far the clocks of both sides may be apart, and so how long a statement is good for. Milliseconds. */
export const STATEMENT_MS = 60_000;
const NONCE = 16;
const LARGEST = 2048;

export type StatementCode = "malformed" | "stale" | "replayed" | "signature" | "key" | "status";

/** Somebody is not let in. `message` says why and what to do. */
export class ConnectError extends Error {
  readonly code: StatementCode;
  constructor(code: StatementCode, message: string) {
    super(message);
    this.name = "ConnectError";
    this.code = code;
  }
}

/** What goes into the fields of the same name. */
export interface Credentials {
  username: string;
  password: string;
}

/** What the signature is over. No pack, enrolment or transaction begins like this. */
const statement = (audience: string, id: Hex, issuedAtMs: number, nonce: Uint8Array): Uint8Array =>
  concat(utf8("msec.connect"), cborEncode([audience, fromHex(id), issuedAtMs, nonce]));

/** The audience of whatever is reached at a URL: whoever answers there can use the statement nowhere else. */
export function audienceOf(url: string): string {
  const { protocol, host } = new URL(url);
  return `${protocol}//${host}`;
}

const pack = (issuedAtMs: number, nonce: Uint8Array, spki: Uint8Array | null, signature: Uint8Array): string =>
  Buffer.from(cborEncode([1, issuedAtMs, nonce, spki, signature])).toString("base64url");

/** Credentials of a device, signed by its present key. */
export async function deviceCredentials(
  device: { deviceId: Hex; spki(): Promise<Uint8Array>; sign(message: Uint8Array): Promise<Uint8Array> },
  url: string,
  nowMs: number = Date.now(),
): Promise<Credentials> {
  const nonce = new Uint8Array(randomBytes(NONCE));
  const signature = await device.sign(statement(audienceOf(url), device.deviceId, nowMs, nonce));
  return { username: device.deviceId, password: pack(nowMs, nonce, await device.spki(), signature) };
}

/** Credentials of an operator, signed by its account. */
export function operatorCredentials(
  key: Uint8Array,
  address: Hex,
  url: string,
  nowMs: number = Date.now(),
): Credentials {
  const nonce = new Uint8Array(randomBytes(NONCE));
  const digest = keccak256(statement(audienceOf(url), address, nowMs, nonce));
  return { username: address, password: pack(nowMs, nonce, null, fromHex(signDigest(key, digest))) };
}

/** Who has shown to be whom. Whether the registry has this key for the device is for the registry to say. */
export interface Shown {
  identity: Identity;
  /** The key that a device signed with. */
  keyHash?: Hex;
  statementId: string;
}

/** Reads statements for one audience. What was issued before it began is refused: it may have been used before. */
export class StatementReader {
  readonly #audience: string;
  readonly #fromMs: number;
  /** Statements that were used, and until when they could be again; in the order of that time. */
  readonly #used = new Map<string, number>();

  constructor(audience: string, nowMs: number = Date.now()) {
    this.#audience = audience;
    this.#fromMs = nowMs;
  }

  /** Throws {@link ConnectError}. */
  read(username: string | undefined, password: string | undefined, nowMs: number = Date.now()): Shown {
    const identity = identityOf(username ?? "");
    if (!identity)
      throw new ConnectError("malformed", "give a device id or an operator's address as the user name, in lower case");
    const { issuedAtMs, nonce, spki, signature } = unpack(password ?? "");
    if (Math.abs(nowMs - issuedAtMs) > STATEMENT_MS || issuedAtMs < this.#fromMs)
      throw new ConnectError(
        "stale",
        "this statement is not of now: set the clock, and sign a new one for each connection",
      );
    const signed = statement(this.#audience, identity.id, issuedAtMs, nonce);
    const statementId = `${identity.id}/${toHex(nonce)}`;
    return { identity, statementId, ...judge(identity, signed, spki, signature) };
  }

  /** Uses a statement up, once whoever made it may come in; of two with one statement only the first may. */
  use({ statementId }: Shown, nowMs: number = Date.now()): void {
    for (const [used, until] of this.#used) {
      if (until >= nowMs) break;
      this.#used.delete(used);
    }
    if (this.#used.has(statementId))
      throw new ConnectError("replayed", "this statement was used before: sign a new one for each connection");
    this.#used.set(statementId, nowMs + 2 * STATEMENT_MS);
  }
}

function judge(
  identity: Identity,
  signed: Uint8Array,
  spki: Uint8Array | null,
  signature: Uint8Array,
): { keyHash?: Hex } {
  try {
    if (identity.kind === "operator") {
      if (spki === null && recoverAddress(keccak256(signed), toHex(signature)) === identity.id) return {};
    } else if (spki !== null && verifySignature(spki, signed, signature)) return { keyHash: keyHash(spki) };
  } catch {
    // Not a key, or not a signature.
  }
  throw new ConnectError(
    "signature",
    "the statement is not signed by that key for this broker: is the URL the broker's own?",
  );
}

function unpack(password: string) {
  try {
    if (password.length > LARGEST) throw new Error("too long");
    const [version, issuedAtMs, nonce, spki, signature, ...more] = cborDecode(
      new Uint8Array(Buffer.from(password, "base64url")),
    ) as unknown[];
    if (
      version === 1 &&
      typeof issuedAtMs === "number" &&
      nonce instanceof Uint8Array &&
      nonce.length === NONCE &&
      (spki === null || spki instanceof Uint8Array) &&
      signature instanceof Uint8Array &&
      more.length === 0
    )
      return {
        issuedAtMs,
        nonce: Uint8Array.from(nonce),
        spki: spki && Uint8Array.from(spki),
        signature: Uint8Array.from(signature),
      };
  } catch {
    // Said below.
  }
  throw new ConnectError("malformed", "the password is not a signed statement: see packages/broker");
}
