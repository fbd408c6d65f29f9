import { chmodSync, existsSync, rmSync } from "node:fs";
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { connect } from "node:net";
import { PrivacyError } from "./errors.ts";

/** Largest body of a request: a payload of 4 MiB in base64, and what goes with it. */
const LARGEST_BODY = 8 * 1024 * 1024;
const LONGEST_SOCKET_PATH = 107;
/** A node keeps its connections for ten seconds: one that is closed before would break its next request. */
const KEEP_ALIVE_MS = 60_000;

export interface Incoming {
  /** Parts of the path that the route leaves open, decoded. */
  params: string[];
  query: URLSearchParams;
  headers: IncomingHttpHeaders;
  /** Media type of the body, without parameters. */
  type: string;
  /** First media type that the caller accepts; `application/json` where it takes anything. */
  accept: string;
  body: Buffer;
  source: IncomingMessage;
}

export interface Outgoing {
  status: number;
  type: string;
  body: string | Uint8Array;
}

export type Handler = (request: Incoming) => Promise<Outgoing> | Outgoing;

/** `POST /send` and the like: a colon stands for one part of the path. */
export type Routes = Record<string, Handler>;

export const text = (status: number, body: string): Outgoing => ({ status, type: "text/plain", body });
export const json = (status: number, type: string, body: object): Outgoing => ({
  status,
  type,
  body: JSON.stringify(body),
});

const mediaType = (header: string | undefined) => (header ?? "").split(/[;,]/)[0]?.trim().toLowerCase() ?? "";

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > LARGEST_BODY)
      throw new PrivacyError(413, `the request is larger than ${LARGEST_BODY / 1024 / 1024} MiB`);
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new PrivacyError(400, `${part} is not percent-encoded text`);
  }
}

/**
 * Answers requests by routes. A refusal is its status and sentence as plain text, which is what a node shows to its user;
 * nothing else tells more than 500. `admit` may refuse a request before its body is read.
 */
export function handlerOf(
  routes: Routes,
  onError: (error: Error) => void,
  admit: (request: IncomingMessage) => void = () => undefined,
): (request: IncomingMessage, response: ServerResponse) => void {
  const table = Object.entries(routes).map(([route, handler]) => {
    const [method, path] = route.split(" ") as [string, string];
    return { method, pattern: new RegExp(`^${path.replaceAll(":", "([^/]+)")}$`), handler };
  });
  const answer = async (request: IncomingMessage): Promise<Outgoing> => {
    admit(request);
    const [path, query] = (request.url ?? "/").split("?", 2) as [string, string | undefined];
    for (const { method, pattern, handler } of table) {
      const match = pattern.exec(path);
      if (!match || request.method !== method) continue;
      const { headers } = request;
      const accept = mediaType(headers.accept);
      return handler({
        params: match.slice(1).map(decode),
        query: new URLSearchParams(query),
        headers,
        type: mediaType(headers["content-type"]),
        accept: accept === "" || accept === "*/*" ? "application/json" : accept,
        body: await readBody(request),
        source: request,
      });
    }
    throw new PrivacyError(404, `nothing is at ${request.method} ${path}`);
  };
  return (request, response) => {
    void answer(request)
      .catch((error: Error) => {
        if (error instanceof PrivacyError) return text(error.status, error.message);
        onError(error);
        return text(500, "the privacy manager could not do this: see its log");
      })
      .then(({ status, type, body }) => {
        // What was not read of a body is thrown away, so that the sender gets to see the answer.
        request.resume();
        response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
      });
  };
}

/** Refuses a request that a web page made under a name of its own which leads here (DNS rebinding). */
export function admitLoopback({ headers: { host = "" } }: IncomingMessage): void {
  if (!/^(127\.0\.0\.1|localhost|\[::1\])(:\d+)?$/.test(host))
    throw new PrivacyError(403, `${host} is no name of this machine: call 127.0.0.1`);
}

/** Where a server listens: a socket of this machine, or a TCP address. */
export type Place = { socket: string } | { host: string; port: number };

function isAnswering(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(socket);
    probe.once("connect", () => resolve(true));
    probe.once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
}

/** Starts a server. A socket that a killed process left behind is replaced; one that is answered at is not. */
export async function listen(server: Server, place: Place): Promise<Server> {
  server.keepAliveTimeout = KEEP_ALIVE_MS;
  if ("socket" in place) {
    if (Buffer.byteLength(place.socket) > LONGEST_SOCKET_PATH)
      throw new Error(`the path of a socket has at most ${LONGEST_SOCKET_PATH} bytes: ${place.socket}`);
    if (existsSync(place.socket)) {
      if (await isAnswering(place.socket)) throw new Error(`another process already answers at ${place.socket}`);
      rmSync(place.socket);
    }
  }
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    if ("socket" in place) server.listen(place.socket, resolve);
    else server.listen(place.port, place.host, resolve);
  });
  if ("socket" in place) chmodSync(place.socket, 0o600);
  return server;
}

export const plainServer = (handler: (request: IncomingMessage, response: ServerResponse) => void) =>
  createServer({ headersTimeout: 10_000, requestTimeout: 30_000 }, handler);
