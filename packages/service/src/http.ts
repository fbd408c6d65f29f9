import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { ProtocolError } from "@msec/core";

/** What a handler gets: path parameters, query, parsed JSON body, headers. */
export interface Request {
  params: string[];
  query: URLSearchParams;
  body: unknown;
  headers: IncomingMessage["headers"];
  /** Address of whoever sent it. */
  from: string;
}

/** What a handler returns: JSON by default. */
export class Reply {
  readonly status: number;
  readonly body: string | Uint8Array;
  readonly type: string;
  constructor(status: number, body: string | Uint8Array | object, type?: string) {
    this.status = status;
    this.type =
      type ??
      (typeof body === "object" && !(body instanceof Uint8Array) ? "application/json" : "text/plain; charset=utf-8");
    this.body = typeof body === "string" || body instanceof Uint8Array ? body : JSON.stringify(body);
  }
}

export type Handler = (request: Request) => Promise<Reply | object> | Reply | object;
/** `GET /streams/:/head` and the like: a colon stands for one part of the path. */
export type Routes = Record<string, Handler>;

const MIB = 1024 * 1024;

/** Where a server differs from the operators'. */
export interface ServeOptions {
  /** Bytes; 64 MiB if left out. */
  largestBody?: number;
  /** What whoever broke a rule of the protocol is told. */
  refused?: (error: ProtocolError) => Reply;
}

function readBytes(request: IncomingMessage, largest: number): Promise<Buffer> {
  const tooLarge = () =>
    new ProtocolError(
      "oversize",
      `the request is larger than ${largest >= MIB ? `${largest / MIB} MiB` : `${largest / 1024} KiB`}`,
    );
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let length = 0;
    if (Number(request.headers["content-length"] ?? 0) > largest) return reject(tooLarge());
    request.on("data", (part: Buffer) => {
      length += part.length;
      if (length <= largest) return parts.push(part);
      parts.length = 0;
      reject(tooLarge());
    });
    request.on("end", () => resolve(Buffer.concat(parts)));
    request.on("error", reject);
  });
}

async function readBody(request: IncomingMessage, largest: number): Promise<unknown> {
  const bytes = await readBytes(request, largest);
  if (bytes.length === 0) return undefined;
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new ProtocolError("malformed", "the request's body is not JSON");
  }
}

const refusal = ({ code, message }: ProtocolError) => new Reply(code === "oversize" ? 413 : 400, { code, message });

/**
 * A server of JSON over HTTP. Broken rules of the protocol are 400 (413 where something is too large) with code and
 * sentence; nothing else tells more than 500.
 */
export function serve(
  routes: Routes,
  host: string,
  port: number,
  onError: (error: Error) => void,
  { largestBody = 64 * MIB, refused = refusal }: ServeOptions = {},
): Promise<Server> {
  const table = Object.entries(routes).map(([route, handler]) => {
    const [method, path] = route.split(" ") as [string, string];
    return { method, pattern: new RegExp(`^${path.replaceAll(":", "([^/]+)")}$`), handler };
  });
  const handle = async (request: IncomingMessage): Promise<Reply> => {
    const url = URL.parse(request.url ?? "/", "http://localhost");
    if (!url) return new Reply(404, { code: "not-found", message: "the request names no path" });
    for (const { method, pattern, handler } of table) {
      const match = pattern.exec(url.pathname);
      if (!match || request.method !== method) continue;
      const result = await handler({
        params: match.slice(1),
        query: url.searchParams,
        body: await readBody(request, largestBody),
        headers: request.headers,
        from: request.socket.remoteAddress ?? "",
      });
      return result instanceof Reply ? result : new Reply(200, result);
    }
    return new Reply(404, { code: "not-found", message: `nothing is at ${request.method} ${url.pathname}` });
  };
  const server = createServer((request, response: ServerResponse) => {
    void handle(request)
      .catch((error: Error) => {
        if (error instanceof ProtocolError) return refused(error);
        onError(error);
        return new Reply(500, { code: "internal", message: "the operator could not do this: see its log" });
      })
      .then(({ status, body, type }) => {
        // What was not read of a body is thrown away, so that the sender gets to see the answer.
        request.resume();
        response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body);
      });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}
