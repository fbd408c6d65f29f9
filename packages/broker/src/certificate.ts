import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { type ClientCertificate, enrol, type EnrolmentServer } from "./enrolment.ts";

/** Share of a certificate's time after which a new one is asked for. */
const RENEW = 2 / 3;
const LEAST_WAIT_MS = 1_000;

export interface Access extends ClientCertificate {
  /** When to ask again: the certificate is about to end, or could not be renewed yet. Unix milliseconds. */
  againAtMs: number;
}

export interface HolderOptions {
  server: EnrolmentServer;
  /** Device id, or address of an operator. */
  name: string;
  /** What the service believes (the header `Authorization`) for the key whose DER SPKI is given. */
  authorization: (spki: Uint8Array) => Promise<string>;
  /** Told when a renewal failed while the certificate is still good. */
  onError: (error: Error) => void;
}

/**
 * The client certificate of one program: asked for at the first use, renewed in time, in memory only. Each start of the program
 * has to show anew that it may have one, and no key of it lies on a disk.
 */
export class CertificateHolder {
  readonly #options: HolderOptions;
  #held: (ClientCertificate & { fromMs: number; untilMs: number }) | undefined;
  #asking: Promise<Access> | undefined;

  constructor(options: HolderOptions) {
    this.#options = options;
  }

  /** A certificate that is good now. Fails where there is none and the service gives none. */
  access(): Promise<Access> {
    this.#asking ??= this.#access().finally(() => (this.#asking = undefined));
    return this.#asking;
  }

  /** Forgets a certificate that the broker refused. */
  discard(): void {
    this.#held = undefined;
  }

  async #access(): Promise<Access> {
    const before = this.#held;
    const now = Date.now();
    if (before && now < renewAt(before)) return accessOf(before, renewAt(before));
    try {
      const { server, name, authorization } = this.#options;
      const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
      const key = privateKey.export({ format: "pem", type: "pkcs8" }) as string;
      const present = before && now < before.untilMs ? { cert: before.cert, key: before.key } : undefined;
      const { cert } = await enrol(server, name, key, await authorization(spki), present);
      const { validFrom, validTo } = new X509Certificate(cert);
      const held = { cert, key, fromMs: Date.parse(validFrom), untilMs: Date.parse(validTo) };
      this.#held = held;
      return accessOf(held, renewAt(held));
    } catch (error) {
      if (!before || Date.now() >= before.untilMs) {
        this.#held = undefined;
        throw error;
      }
      this.#options.onError(error as Error);
      return accessOf(before, Date.now() + Math.max(LEAST_WAIT_MS, (before.untilMs - Date.now()) / 4));
    }
  }
}

const renewAt = ({ fromMs, untilMs }: { fromMs: number; untilMs: number }) => fromMs + (untilMs - fromMs) * RENEW;

const accessOf = ({ cert, key }: ClientCertificate, againAtMs: number): Access => ({ cert, key, againAtMs });

/** Whether a connection failed because its certificate, or the server's, was refused. */
export function refusedCertificate(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown };
  return typeof code === "string" && code.startsWith("ERR_SSL");
}
