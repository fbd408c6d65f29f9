import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { ProtocolError } from "@msec/core";

/** What a handler gets: path parameters, query, parsed JSON body, headers. */
export interface Request {
  params: string[];
  query: URLSearchParams;
  body: unknown;
  headers: IncomingMessage["headers"];
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

const LARGEST_BODY = 64 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += (part as Buffer).length;
    if (length > LARGEST_BODY) throw new ProtocolError("oversize", "the request is larger than 64 MiB");
    parts.push(part as Buffer);
  }
  if (length === 0) return undefined;
  try {
    return JSON.parse(Buffer.concat(parts).toString("utf8"));
  } catch {
    throw new ProtocolError("malformed", "the request's body is not JSON");
  }
}

/** A server of JSON over HTTP. Broken rules of the protocol are 400 with code and sentence; nothing else tells more than 500. */
export function serve(routes: Routes, host: string, port: number, onError: (error: Error) => void): Promise<Server> {
  const table = Object.entries(routes).map(([route, handler]) => {
    const [method, path] = route.split(" ") as [string, string];
    return { method, pattern: new RegExp(`^${path.replaceAll(":", "([^/]+)")}$`), handler };
  });
  const handle = async (request: IncomingMessage): Promise<Reply> => {
    const url = new URL(request.url ?? "/", "http://localhost");
    for (const { method, pattern, handler } of table) {
      const match = pattern.exec(url.pathname);
      if (!match || request.method !== method) continue;
      const result = await handler({
        params: match.slice(1),
        query: url.searchParams,
        body: await readBody(request),
        headers: request.headers,
      });
      return result instanceof Reply ? result : new Reply(200, result);
    }
    return new Reply(404, { code: "not-found", message: `nothing is at ${request.method} ${url.pathname}` });
  };
  const server = createServer((request, response: ServerResponse) => {
    void handle(request)
      .catch((error: Error) => {
        if (error instanceof ProtocolError) return new Reply(400, { code: error.code, message: error.message });
        onError(error);
        return new Reply(500, { code: "internal", message: "the operator could not do this: see its log" });
      })
      .then(({ status, body, type }) =>
        response.writeHead(status, { "content-type": type, "cache-control": "no-store" }).end(body),
      );
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => resolve(server));
  });
}
