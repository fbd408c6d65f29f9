import { type KeyObject } from "node:crypto";
import { Agent, request } from "node:https";
import { z } from "zod";
import { certificateOf, toPem } from "./certificate.ts";
import { base64, fromBase64, payloadKey, publicKey, toBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";
import { type Envelope, type PrivacyFlag } from "./payload.ts";
import { type Parties, type Party } from "./parties.ts";

/** A node waits five seconds for its manager; the manager waits less for another. */
const TIMEOUT_MS = 3500;
/** Requests to one manager at a time; more wait. */
const SOCKETS = 16;
const LARGEST_ANSWER = 64 * 1024 * 1024;

const wireEnvelope = z.strictObject({
  body: base64(),
  boxes: z.array(z.strictObject({ recipient: publicKey, box: base64() })).min(1),
  flag: z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]),
  execHash: base64(),
  affected: z.array(z.strictObject({ key: payloadKey, proof: base64(32) })),
  mandatory: z.array(publicKey),
  participants: z.array(publicKey),
});

/** An envelope as managers exchange it: JSON, bytes in base64. */
export function encodeEnvelope(envelope: Envelope): z.infer<typeof wireEnvelope> {
  const { flag, execHash, affected, mandatory, participants } = envelope;
  const boxes = envelope.boxes.map(({ recipient, box }) => ({ recipient, box: toBase64(box) }));
  return { body: toBase64(envelope.body), boxes, flag, execHash, affected, mandatory, participants };
}

export function decodeEnvelope(value: unknown): Envelope {
  const result = wireEnvelope.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0] as z.core.$ZodIssue;
    throw new PrivacyError(400, `this is no payload of a privacy manager: ${issue.path.join(".")}: ${issue.message}`);
  }
  const { body, boxes, ...metadata } = result.data;
  return {
    ...metadata,
    flag: metadata.flag as PrivacyFlag,
    body: fromBase64(body),
    boxes: boxes.map(({ recipient, box }) => ({ recipient, box: fromBase64(box) })),
  };
}

const page = z.strictObject({
  envelopes: z.array(z.unknown()),
  /** Where the next page begins; null at the end. */
  next: z.string().nullable(),
});

/** The managers of the other parties, over TLS with both certificates pinned. */
export class Peers {
  readonly #agents: ReadonlyMap<string, Agent>;

  constructor(parties: Parties, identity: KeyObject) {
    const key = identity.export({ format: "pem", type: "pkcs8" });
    const cert = toPem("CERTIFICATE", certificateOf(identity));
    this.#agents = new Map(
      parties.others.map((party) => {
        const ca = toPem("CERTIFICATE", fromBase64(party.certificate));
        const agent = new Agent({
          ...{ keepAlive: true, maxSockets: SOCKETS, maxCachedSessions: 0, key, cert, ca },
          minVersion: "TLSv1.3",
          // The certificate itself is pinned: the name that it is reached by says nothing.
          checkServerIdentity: (_, shown) =>
            parties.ofCertificate(shown.fingerprint256) === party
              ? undefined
              : new Error(`it shows another certificate than the party list has for ${party.name}`),
        });
        return [party.name, agent];
      }),
    );
  }

  /** Hands a payload over; resolves when the other manager has it on disk. */
  async push(party: Party, envelope: Envelope): Promise<void> {
    await this.#post(party, "/push", encodeEnvelope(envelope));
  }

  /** One page of what the other manager holds of this one's payloads. */
  async resend(party: Party, after: string): Promise<{ envelopes: Envelope[]; next: string | null }> {
    const { envelopes, next } = page.parse(await this.#post(party, "/resend", { after }));
    return { envelopes: envelopes.map(decodeEnvelope), next };
  }

  close(): void {
    for (const agent of this.#agents.values()) agent.destroy();
  }

  #post(party: Party, path: string, body: object): Promise<unknown> {
    const away = (why: string) =>
      new PrivacyError(503, `the privacy manager of ${party.name} at ${party.url} does not answer (${why}): try again`);
    return new Promise((resolve, reject) => {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const failed = (error: Error) => reject(away(signal.aborted ? `within ${TIMEOUT_MS} ms` : error.message));
      const bytes = Buffer.from(JSON.stringify(body));
      const headers = { "content-type": "application/json", "content-length": bytes.length };
      const agent = this.#agents.get(party.name);
      const call = request(new URL(path, party.url), { method: "POST", agent, headers, signal }, (answer) => {
        const parts: Buffer[] = [];
        let length = 0;
        answer.on("error", failed);
        answer.on("data", (part: Buffer) => {
          length += part.length;
          if (length > LARGEST_ANSWER) return answer.destroy(new Error("its answer is too large"));
          parts.push(part);
        });
        answer.on("end", () => {
          const text = Buffer.concat(parts).toString("utf8");
          const status = answer.statusCode ?? 0;
          if (status >= 500 || status === 429) return reject(away(`${status} ${text}`));
          if (status !== 200) return reject(new PrivacyError(status, `${party.name} refuses the payload: ${text}`));
          try {
            resolve(JSON.parse(text));
          } catch {
            reject(away("its answer is not JSON"));
          }
        });
      });
      call.on("error", failed);
      call.end(bytes);
    });
  }
}
