import { randomBytes } from "node:crypto";
import { type Hex } from "@msec/core";
import { recoverMessageAddress } from "viem";
import { parseSiweMessage, validateSiweMessage } from "viem/siwe";

/** A nonce is good for one sign-in within this time. */
const NONCE_MS = 5 * 60_000;
const SESSION_MS = 8 * 3_600_000;
/** Most of each that are kept; the oldest are forgotten. */
const MOST = 10_000;
const SKEW_MS = 60_000;

export type SignInCode = "malformed" | "domain" | "chain" | "nonce" | "time" | "signature";

export class SignInError extends Error {
  readonly code: SignInCode;
  constructor(code: SignInCode, message: string) {
    super(message);
    this.name = "SignInError";
    this.code = code;
  }
}

/** The process and each of its bundled routes have a class of their own of this name. */
export const isSignInError = (error: unknown): error is SignInError =>
  error instanceof Error && error.name === "SignInError";

export interface Session {
  address: Hex;
  expiresAtMs: number;
}

/** Where people reach this site, and on which chain it is. */
export interface Site {
  /** Such as `https://data.example.org`. */
  origins: readonly string[];
  chainId: number;
}

/**
 * Sign-in with Ethereum (EIP-4361). Nonces and sessions are in this process alone: who was signed in signs in again after a
 * restart, and nothing that was signed before is taken then.
 */
export class SignIn {
  readonly #nonces = new Map<string, number>();
  readonly #sessions = new Map<string, Session>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  /** Something to sign, once, soon. */
  nonce(): string {
    const nonce = randomBytes(16).toString("hex");
    keep(this.#nonces, nonce, this.#now() + NONCE_MS);
    return nonce;
  }

  /**
   * @returns The secret of a new session.
   * @throws SignInError
   */
  async start(message: string, signature: Hex, site: Site): Promise<{ secret: string; session: Session }> {
    const given = parseSiweMessage(message);
    const { address, domain, nonce, uri, version, chainId, issuedAt, expirationTime } = given;
    if (!address || !domain || !nonce || !uri || version !== "1" || !issuedAt || !expirationTime)
      throw new SignInError("malformed", "this is no whole sign-in message (EIP-4361)");
    const at = this.#now();
    // Used up by the first try, whatever becomes of it.
    const until = this.#nonces.get(nonce);
    this.#nonces.delete(nonce);
    if (until === undefined || until < at)
      throw new SignInError("nonce", "this sign-in was used already or is too old: start again");
    const origin = site.origins.find((known) => new URL(known).host === domain);
    if (!origin || new URL(uri).origin !== origin)
      throw new SignInError("domain", `this was signed for ${domain}, not for this site`);
    if (chainId !== site.chainId)
      throw new SignInError("chain", `this was signed for chain ${chainId}, not for this city's ${site.chainId}`);
    const fits = validateSiweMessage({ message: given, address, domain, nonce, time: new Date(at) });
    const tooEarly = issuedAt.getTime() > at + SKEW_MS || issuedAt.getTime() < at - NONCE_MS - SKEW_MS;
    if (!fits || tooEarly || expirationTime.getTime() > at + NONCE_MS + SKEW_MS)
      throw new SignInError("time", "the times of this sign-in do not fit: is the clock of this device right?");
    const signer = await recoverMessageAddress({ message, signature }).catch(() => undefined);
    if (signer?.toLowerCase() !== address.toLowerCase())
      throw new SignInError("signature", "the signature is not that of the account that it names");
    const secret = randomBytes(32).toString("base64url");
    const session = { address: address.toLowerCase() as Hex, expiresAtMs: at + SESSION_MS };
    keep(this.#sessions, secret, session);
    return { secret, session };
  }

  find(secret: string | undefined): Session | undefined {
    const session = secret === undefined ? undefined : this.#sessions.get(secret);
    return session && session.expiresAtMs > this.#now() ? session : undefined;
  }

  end(secret: string | undefined): void {
    if (secret !== undefined) this.#sessions.delete(secret);
  }
}

function keep<V>(map: Map<string, V>, key: string, value: V): void {
  map.set(key, value);
  if (map.size > MOST) map.delete(map.keys().next().value as string);
}
