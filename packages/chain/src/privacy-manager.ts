import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { fromHex, type Hex, toHex } from "@msec/core";
import { z } from "zod";

/** Who may see a private contract and write to it; the numbers are GoQuorum's. */
export const PRIVACY = {
  /** Parties may come to different states, and a non-party's write is executed: not for agreements. */
  standard: 0,
  /** Only parties write. */
  partyProtection: 1,
  /** As 1, and the mandatory parties are in every transaction. */
  mandatoryParties: 2,
  /** Every transaction goes to all parties, and all must come to the same state. */
  stateValidation: 3,
} as const;
export type PrivacyFlag = (typeof PRIVACY)[keyof typeof PRIVACY];

/** For whom a payload is. Keys of parties are base64 (X25519), keys of payloads 64 bytes in hex, as on the chain. */
export interface PrivateFor {
  to: string[];
  flag?: PrivacyFlag;
  /** Base64 of the state root; with flag 3. */
  execHash?: string;
  /** Keys of the payloads that created the contracts which it touches. */
  affected?: Hex[];
  mandatory?: string[];
}

export interface PrivatePayload {
  payload: Uint8Array;
  sender: string;
  flag: PrivacyFlag;
  execHash: string;
  affected: Hex[];
  /** Keys of the asked manager among the parties. */
  managedParties: string[];
}

export interface SentPayload {
  key: Hex;
  sender: string;
  managedParties: string[];
}

export interface ResidentGroup {
  name: string;
  description: string;
  members: string[];
}

/** What a privacy manager refused or could not do. `status` is its HTTP status, 0 where it does not answer. */
export class PrivacyManagerError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "PrivacyManagerError";
    this.status = status;
  }
}

const KEY_BYTES = 64;
/** A manager waits up to 3.5 seconds for another one; a Tessera up to five. */
const TIMEOUT_MS = 6_000;
const LARGEST_ANSWER = 16 * 1024 * 1024;

const hexOfKey = (base64: string): Hex => toHex(new Uint8Array(Buffer.from(base64, "base64")));
const base64OfKey = (key: Hex) => Buffer.from(fromHex(key, KEY_BYTES)).toString("base64");
const nullable = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);
const payloadKey = z.base64().transform((text, context) => {
  if (Buffer.from(text, "base64").length === KEY_BYTES) return hexOfKey(text);
  context.addIssue("expected 64 bytes in base64");
  return z.NEVER;
});

const sent = z
  .object({ key: payloadKey, senderKey: z.string(), managedParties: nullable(z.string()) })
  .transform(({ senderKey, ...rest }): SentPayload => ({ ...rest, sender: senderKey }));
const received = z
  .object({
    payload: z.base64(),
    senderKey: z.string(),
    managedParties: nullable(z.string()),
    affectedContractTransactions: nullable(payloadKey),
    execHash: z.string().nullish(),
    privacyFlag: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]).default(0),
  })
  .transform(
    (r): PrivatePayload => ({
      payload: new Uint8Array(Buffer.from(r.payload, "base64")),
      sender: r.senderKey,
      flag: r.privacyFlag,
      execHash: r.execHash ?? "",
      affected: r.affectedContractTransactions,
      managedParties: r.managedParties,
    }),
  );
const stored = z.object({ key: payloadKey }).transform(({ key }) => key);
const keyList = z
  .object({ keys: z.array(z.object({ key: z.string() })) })
  .transform((k) => k.keys.map(({ key }) => key));
const groups = z.array(
  z.object({ name: z.string(), description: z.string().default(""), members: z.array(z.string()) }),
);

/**
 * A privacy manager: the project's own or a Tessera, by the API that both have. `at` is a URL, or the path of a Unix
 * socket; `thirdParty` the URL of its server for applications, which alone tells keys where the manager is a Tessera.
 */
export class PrivacyManager {
  readonly at: string;
  readonly #thirdParty: string;
  #jsonType: Promise<string> | undefined;

  constructor(at: string, thirdParty: string = at) {
    this.at = at;
    this.#thirdParty = thirdParty;
  }

  /** Throws unless the manager is up. */
  async upcheck(): Promise<void> {
    await this.#call("GET", "/upcheck");
  }

  async version(): Promise<string> {
    return this.#call("GET", "/version");
  }

  async apiVersions(): Promise<string[]> {
    return this.#read(z.array(z.string()), await this.#call("GET", "/version/api"));
  }

  /** Seals a payload and brings it to its parties; when this resolves, all of them hold it. */
  async send(payload: Uint8Array, privateFor: PrivateFor, from?: string): Promise<SentPayload> {
    const body = { payload: Buffer.from(payload).toString("base64"), from, ...fields(privateFor) };
    return this.#read(sent, await this.#json("POST", "/send", body));
  }

  /** Seals a payload for a transaction that is signed elsewhere, and returns its key: the transaction's data. */
  async storeRaw(payload: Uint8Array, from?: string): Promise<Hex> {
    const body = { payload: Buffer.from(payload).toString("base64"), from };
    return this.#read(stored, await this.#json("POST", "/storeraw", body));
  }

  /** Brings a stored payload to its parties. After a failure it may be called again and has its effect once. */
  async sendStored(key: Hex, privateFor: PrivateFor): Promise<SentPayload> {
    return this.#read(
      sent,
      await this.#json("POST", "/sendsignedtx", { hash: base64OfKey(key), ...fields(privateFor) }),
    );
  }

  /** A payload that this manager is a party to; undefined for every other. */
  async receive(key: Hex, options: { to?: string; raw?: boolean } = {}): Promise<PrivatePayload | undefined> {
    const query = new URLSearchParams({
      isRaw: String(options.raw ?? false),
      ...(options.to ? { to: options.to } : {}),
    });
    try {
      return this.#read(received, await this.#json("GET", `${this.#path(key)}?${query}`));
    } catch (error) {
      if (error instanceof PrivacyManagerError && error.status === 404) return undefined;
      throw error;
    }
  }

  async isSender(key: Hex): Promise<boolean> {
    return (await this.#call("GET", `${this.#path(key)}/isSender`)) === "true";
  }

  /** The parties, as far as this manager is told: a recipient knows them all with flag 3 only. */
  async participants(key: Hex): Promise<string[]> {
    return split(await this.#call("GET", `${this.#path(key)}/participants`));
  }

  async mandatory(key: Hex): Promise<string[]> {
    return split(await this.#call("GET", `${this.#path(key)}/mandatory`));
  }

  /** The manager's own keys. */
  async keys(): Promise<string[]> {
    return this.#read(keyList, await this.#call("GET", "/keys", { at: this.#thirdParty }));
  }

  /** The keys of all parties that the manager knows. */
  async partyKeys(): Promise<string[]> {
    return this.#read(keyList, await this.#call("GET", "/partyinfo/keys", { at: this.#thirdParty }));
  }

  async residentGroups(): Promise<ResidentGroup[]> {
    return this.#read(groups, await this.#call("GET", "/groups/resident"));
  }

  #path(key: Hex): string {
    return `/transaction/${encodeURIComponent(base64OfKey(key))}`;
  }

  /** The newest form that the manager knows; the plain one would leave out sender and managed parties. */
  async #type(): Promise<string> {
    this.#jsonType ??= this.apiVersions().then((versions) => {
      const newest = ["4.0", "2.1"].find((version) => versions.includes(version));
      if (newest) return `application/vnd.tessera-${newest}+json`;
      throw new PrivacyManagerError(0, `the privacy manager at ${this.at} is too old: it needs API 2.1 or newer`);
    });
    this.#jsonType.catch(() => (this.#jsonType = undefined));
    return this.#jsonType;
  }

  async #json(method: string, path: string, body?: object): Promise<string> {
    const newest = await this.#type();
    // Version 4.0 changed these two alone, and a Tessera knows it nowhere else.
    const type = path === "/send" || path === "/sendsignedtx" ? newest : "application/vnd.tessera-2.1+json";
    return this.#call(method, path, { type, ...(body ? { body: JSON.stringify(body) } : {}) });
  }

  #read<T extends z.ZodType>(schema: T, text: string): z.infer<T> {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new PrivacyManagerError(0, `the privacy manager at ${this.at} answers no JSON: is something else there?`);
    }
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const issue = result.error.issues[0] as z.core.$ZodIssue;
    const where = issue.path.join(".") || "the answer";
    throw new PrivacyManagerError(
      0,
      `the privacy manager at ${this.at} answers in another form: ${where}: ${issue.message}`,
    );
  }

  #call(method: string, path: string, options: { at?: string; type?: string; body?: string } = {}): Promise<string> {
    const { at = this.at, type, body } = options;
    const failed = (why: string) =>
      new PrivacyManagerError(0, `the privacy manager at ${at} does not answer (${why}): start it, then try again`);
    const isUrl = /^https?:\/\//.test(at);
    const target = new URL(path, isUrl ? at : "http://localhost");
    const socket = isUrl ? {} : { socketPath: at.replace(/^unix:/, "") };
    const headers = {
      // A Tessera tells text as text alone.
      accept: type ?? "*/*",
      ...(type && body !== undefined ? { "content-type": type, "content-length": Buffer.byteLength(body) } : {}),
    };
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const fail = (error: Error) =>
        reject(
          failed(
            signal.aborted ? `within ${TIMEOUT_MS / 1000} s` : ((error as NodeJS.ErrnoException).code ?? error.message),
          ),
        );
      const send = target.protocol === "https:" ? httpsRequest : httpRequest;
      const call = send(target, { method, headers, signal, ...socket }, (answer) => {
        const parts: Buffer[] = [];
        let length = 0;
        answer.on("error", fail);
        answer.on("data", (part: Buffer) => {
          length += part.length;
          if (length > LARGEST_ANSWER) return answer.destroy(new Error("its answer is too large"));
          parts.push(part);
        });
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString("utf8");
          const status = answer.statusCode ?? 0;
          if (status === 200 || status === 201) return resolve(text);
          reject(
            new PrivacyManagerError(status, `the privacy manager refuses (${status}): ${text || "without a reason"}`),
          );
        });
      });
      call.on("error", fail);
      call.end(body);
    });
  }
}

const split = (text: string) => text.split(",").filter((part) => part !== "");

const fields = ({ to, flag = PRIVACY.standard, execHash, affected = [], mandatory = [] }: PrivateFor) => ({
  to,
  privacyFlag: flag,
  execHash,
  affectedContractTransactions: affected.map(base64OfKey),
  // A manager that does not know them refuses the field.
  ...(mandatory.length > 0 ? { mandatoryRecipients: mandatory } : {}),
});
