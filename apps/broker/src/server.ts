import type { IncomingMessage } from "node:http";
import { createServer, type Server } from "node:https";
import type { TLSSocket } from "node:tls";
import { ConnectError, type StatementReader } from "@msec/broker";
import { cborDecode, cborEncode, equal, type Hex } from "@msec/core";
import {
  AttestationError,
  type AttestationResult,
  decodeAnswer,
  decodeEvidence,
  encodeChallenge,
} from "@msec/secure-element/attestation";
import { type Authority, readRequest } from "./authority.ts";
import type { Registry } from "./registry.ts";
import type { Verifier } from "./verifier.ts";

/** Attestation, and enrolment over HTTPS (RFC 7030, sections 4.1 and 4.2). Everything that is refused is told why. */

const LARGEST_BODY = 64 * 1024;
const BASE64 = { "content-transfer-encoding": "base64" };

export interface Parts {
  authority: Authority;
  verifier: Verifier;
  registry: Registry;
  /** Statements of operators for this service. */
  statements: StatementReader;
  /** How long client certificates are good for. */
  certificateSeconds: number;
  /** Called with every name that has a new certificate, before it is given away. */
  issued: (name: string) => Promise<void>;
  /** Told what was refused or failed. */
  onError: (path: string, error: Error) => void;
}

export interface Identification {
  cert: string;
  key: string;
}

interface Reply {
  status: number;
  type: string;
  body: Uint8Array | string;
  headers?: Record<string, string>;
}

class Refusal extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

type Handler = (request: IncomingMessage, body: Uint8Array) => Promise<Reply> | Reply;

/** The server, not listening yet. Clients may show a certificate of the authority; only a renewal needs one. */
export function enrolmentServer(parts: Parts, own: Identification): Server {
  const { authority, verifier, onError } = parts;
  const routes: Record<string, Handler> = {
    "GET /.well-known/est/cacerts": () => certsOnly(authority.certificates),
    "POST /.well-known/est/simpleenroll": (request, body) => enrol(parts, request, body, undefined),
    "POST /.well-known/est/simplereenroll": (request, body) => enrol(parts, request, body, presented(parts, request)),
    "POST /attestation/challenge": async (_, body) => {
      const { id, challenge } = await verifier.begin(decodeEvidence(body));
      return cbor(cborEncode([1, id, encodeChallenge(challenge)]));
    },
    "POST /attestation/result": async (_, body) => {
      const [version, id, answer, confirmation, signature] = list(body);
      if (version !== 1) throw new Refusal(400, "this is no answer of this version");
      const [a, b, c, d] = [id, answer, confirmation, signature].map(bytes) as [
        Uint8Array,
        Uint8Array,
        Uint8Array,
        Uint8Array,
      ];
      return { status: 200, type: "application/eat+cwt", body: await verifier.finish(a, decodeAnswer(b), c, d) };
    },
  };
  const options = {
    ...own,
    ca: authority.pem,
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: "TLSv1.3",
  } as const;
  return createServer(options, (request, response) => {
    const path = new URL(request.url ?? "/", "https://localhost").pathname;
    const handler = routes[`${request.method} ${path}`];
    const answer = async (): Promise<Reply> => {
      if (!handler) throw new Refusal(404, `nothing is at ${request.method} ${path}`);
      return handler(request, await readBody(request));
    };
    void answer()
      .catch((error: Error): Reply => {
        onError(path, error);
        return refusalOf(error);
      })
      .then(({ status, type, body, headers }) => {
        request.resume();
        response.writeHead(status, { "content-type": type, "cache-control": "no-store", ...headers }).end(body);
      });
  });
}

/** Issues a certificate to whoever shows an attestation result for this key, or as an operator a statement. */
async function enrol(
  { authority, verifier, registry, statements, certificateSeconds, issued }: Parts,
  request: IncomingMessage,
  body: Uint8Array,
  present: string | undefined,
): Promise<Reply> {
  const { name, spki } = await readRequest(
    new Uint8Array(Buffer.from(Buffer.from(body).toString("latin1"), "base64")),
  ).catch((error: Error) => {
    throw new Refusal(400, `this is no certification request: ${error.message}`);
  });
  const [scheme, credentials = ""] = (request.headers.authorization ?? "").split(" ");
  let keyHash: Hex | undefined;
  if (scheme === "Bearer") {
    const result = verifier.read(new Uint8Array(Buffer.from(credentials, "base64url")));
    keyHash = await holderOf(result, name, spki, registry);
  } else if (scheme === "Basic") {
    const [username, password] = Buffer.from(credentials, "base64").toString("latin1").split(":");
    const shown = statements.read(username, password);
    if (shown.identity.kind !== "operator") throw new Refusal(403, "a device is attested, not taken at its word");
    if (shown.identity.id !== name) throw new Refusal(403, "the request is in another name than the statement");
    await registry.admit(shown);
    statements.use(shown);
  } else throw new Refusal(401, "show an attestation result (Bearer) or, as an operator, a signed statement (Basic)");
  if (present !== undefined && present !== name)
    throw new Refusal(403, "a certificate is renewed in its own name only: enrol anew for another");
  const { message } = await authority.issue(name, spki, certificateSeconds, Date.now(), keyHash);
  await issued(name);
  return certsOnly(message);
}

/** Refuses a result of another device, key or key epoch; returns the registry's key of the device. */
async function holderOf(result: AttestationResult, name: string, spki: Uint8Array, registry: Registry): Promise<Hex> {
  if (result.deviceId !== name) throw new Refusal(403, "this attestation result is another device's");
  if (!equal(result.confirmation, spki)) throw new Refusal(403, "this attestation result is for another key");
  const device = await registry.active(result.deviceId);
  if (device.keyEpoch !== result.keyEpoch)
    throw new Refusal(403, "the device has another key since it was attested: have it attested again");
  return device.keyHash;
}

/** The name in the certificate that the client came with, which must be good and not revoked. */
function presented({ authority }: Parts, request: IncomingMessage): string {
  const socket = request.socket as TLSSocket;
  const certificate = socket.getPeerCertificate();
  const serial = (certificate as { serialNumber?: string }).serialNumber?.toLowerCase();
  const known = authority.valid(Date.now()).find((one) => one.serial.toLowerCase() === serial);
  if (!socket.authorized || !known)
    throw new Refusal(401, "a renewal takes a certificate that is still good: enrol anew");
  return known.subject;
}

const certsOnly = (message: Uint8Array): Reply => ({
  status: 200,
  type: "application/pkcs7-mime; smime-type=certs-only",
  body: Buffer.from(message).toString("base64"),
  headers: BASE64,
});

const cbor = (body: Uint8Array): Reply => ({ status: 200, type: "application/cbor", body });

function list(body: Uint8Array): unknown[] {
  try {
    const value = cborDecode(body);
    if (Array.isArray(value)) return value;
  } catch {
    // Said below.
  }
  throw new Refusal(400, "the request is not a list in CBOR");
}

function bytes(value: unknown): Uint8Array {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  throw new Refusal(400, "expected bytes");
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > LARGEST_BODY) throw new Refusal(413, "the request is larger than 64 KiB");
    parts.push(part);
  }
  return new Uint8Array(Buffer.concat(parts));
}

function refusalOf(error: Error): Reply {
  const say = (status: number, message: string): Reply => ({
    status,
    type: "text/plain; charset=utf-8",
    body: message,
  });
  if (error instanceof Refusal) return say(error.status, error.message);
  if (error instanceof AttestationError) return say(error.code === "malformed" ? 400 : 403, error.message);
  if (error instanceof ConnectError) return say(403, error.message);
  return say(503, "the service could not do this now: see its log");
}
