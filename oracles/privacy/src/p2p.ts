import { type KeyObject } from "node:crypto";
import { type IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import { type TLSSocket } from "node:tls";
import { z } from "zod";
import { certificateOf, toPem } from "./certificate.ts";
import { fromBase64 } from "./encoding.ts";
import { PrivacyError } from "./errors.ts";
import { handlerOf, json, type Routes } from "./http.ts";
import { type Manager } from "./manager.ts";
import { type Party, type Parties } from "./parties.ts";
import { decodeEnvelope, encodeEnvelope } from "./peers.ts";

/** Requests of one party a second, in the long run and at once. */
const RATE = 500;
const BURST = 1000;

/** A token bucket a party. */
class Rates {
  readonly #left = new Map<Party, { tokens: number; at: number }>();

  take(party: Party, now = performance.now()): boolean {
    const before = this.#left.get(party) ?? { tokens: BURST, at: now };
    const tokens = Math.min(BURST, before.tokens + ((now - before.at) / 1000) * RATE) - 1;
    this.#left.set(party, { tokens: Math.max(tokens, 0), at: now });
    return tokens >= 0;
  }
}

const parse = (body: Buffer): unknown => {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw new PrivacyError(400, "the request's body is not JSON");
  }
};
const resendRequest = z.strictObject({ after: z.string().regex(/^\d{1,18}$/) });

/** For the other parties' managers: TLS 1.3, both sides show the certificate that the party list has. */
export function peerServer(
  manager: Manager,
  parties: Parties,
  identity: KeyObject,
  onError: (error: Error) => void,
): Server {
  const callers = new WeakMap<object, Party>();
  const rates = new Rates();
  const partyOf = (request: IncomingMessage): Party => {
    const socket = request.socket as TLSSocket;
    const known = callers.get(socket) ?? parties.ofCertificate(socket.getPeerX509Certificate()?.fingerprint256 ?? "");
    if (!known) throw new PrivacyError(403, "the party list has another certificate for this party");
    callers.set(socket, known);
    return known;
  };
  const routes: Routes = {
    "GET /upcheck": () => json(200, "application/json", { up: true }),
    "POST /push": async ({ body, source }) => {
      await manager.accept(partyOf(source), decodeEnvelope(parse(body)));
      return json(200, "application/json", {});
    },
    "POST /resend": async ({ body, source }) => {
      const wanted = resendRequest.safeParse(parse(body));
      if (!wanted.success) throw new PrivacyError(400, "expected {after}: the number of the last page, or 0");
      const { envelopes, next } = await manager.resend(partyOf(source), wanted.data.after);
      return json(200, "application/json", { envelopes: envelopes.map(encodeEnvelope), next });
    },
  };
  const admit = (request: IncomingMessage) => {
    if (!rates.take(partyOf(request))) throw new PrivacyError(429, `more than ${RATE} requests a second`);
  };
  return createServer(
    {
      key: identity.export({ format: "pem", type: "pkcs8" }),
      cert: toPem("CERTIFICATE", certificateOf(identity)),
      ca: parties.others.map((party) => toPem("CERTIFICATE", fromBase64(party.certificate))),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
      headersTimeout: 10_000,
      requestTimeout: 30_000,
    },
    handlerOf(routes, onError, admit),
  );
}
