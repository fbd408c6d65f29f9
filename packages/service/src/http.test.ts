import { type Server } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ProtocolError } from "@msec/core";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { Reply, type Request, serve } from "./http.ts";

let server: Server;
let url: string;
const errors: Error[] = [];

beforeAll(async () => {
  server = await serve(
    {
      "GET /plain": () => ({ ok: true }),
      "GET /streams/:/head/:": ({ params, query }) => ({ params, n: query.get("n") }),
      "POST /echo": ({ body }: Request) => ({ body: body ?? "nothing" }),
      "GET /page": () => new Reply(200, "<p>", "text/html; charset=utf-8"),
      "GET /bytes": () => new Reply(200, Uint8Array.of(1, 2, 255), "application/octet-stream"),
      "GET /empty": () => new Reply(204, ""),
      "GET /refused": () => {
        throw new ProtocolError("order", "seq rises by one", 7);
      },
      "GET /broken": () => Promise.reject(new Error("password of the database is hunter2")),
    },
    "127.0.0.1",
    0,
    (error) => errors.push(error),
  );
  url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => (errors.length = 0));

const json = async (path: string, init?: RequestInit) => {
  const response = await fetch(url + path, init);
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    body: (await response.json()) as unknown,
  };
};

test("an object is answered as JSON that nobody keeps", async () => {
  const response = await fetch(`${url}/plain`);
  expect(response.status).toBe(200);
  expect(response.headers.get("content-type")).toBe("application/json");
  expect(response.headers.get("cache-control")).toBe("no-store");
  expect(await response.json()).toEqual({ ok: true });
});

test("a colon stands for one part of the path", async () => {
  expect((await json("/streams/0xab/head/3?n=5")).body).toEqual({ params: ["0xab", "3"], n: "5" });
  expect((await json("/streams/a/b/head/3")).status).toBe(404);
});

test("pages, bytes and empty answers keep their type", async () => {
  expect((await fetch(`${url}/page`)).headers.get("content-type")).toBe("text/html; charset=utf-8");
  expect(new Uint8Array(await (await fetch(`${url}/bytes`)).arrayBuffer())).toEqual(Uint8Array.of(1, 2, 255));
  expect((await fetch(`${url}/empty`)).status).toBe(204);
});

test("what is nowhere is 404, and so is another method", async () => {
  for (const [path, method] of [
    ["/nowhere", "GET"],
    ["/plain/", "GET"],
    ["/plain", "POST"],
    ["/plainer", "GET"],
  ] as const) {
    const answer = await json(path, { method });
    expect(answer).toMatchObject({ status: 404, type: "application/json", body: { code: "not-found" } });
    expect(errors).toEqual([]);
  }
});

test("a broken rule is 400 with its code and sentence", async () => {
  expect(await json("/refused")).toMatchObject({ status: 400, body: { code: "order", message: "seq rises by one" } });
  expect(errors).toEqual([]);
});

test("a body is JSON, or nothing, or 400", async () => {
  const post = (body?: string) => json("/echo", { method: "POST", ...(body === undefined ? {} : { body }) });
  expect((await post('{"a":[1]}')).body).toEqual({ body: { a: [1] } });
  expect((await post()).body).toEqual({ body: "nothing" });
  for (const body of ["{", "<xml/>", "undefined"])
    expect(await post(body)).toMatchObject({ status: 400, body: { code: "malformed" } });
  expect((await json("/plain")).status).toBe(200);
});

test("a failure is 500 without its details, which go to the log", async () => {
  const answer = await json("/broken");
  expect(answer.status).toBe(500);
  expect(JSON.stringify(answer.body)).not.toMatch(/hunter2|password|Error/);
  expect(errors.map((e) => e.message)).toEqual(["password of the database is hunter2"]);
});

/** Sends raw bytes and gives what comes back until the server closes or answers. */
function raw(head: string, write?: (send: (part: Buffer) => boolean, drained: () => Promise<void>) => Promise<void>) {
  return new Promise<string>((resolve, reject) => {
    const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
    let text = "";
    socket.on("data", (part) => {
      text += String(part);
      if (text.includes("\r\n\r\n")) socket.end();
    });
    socket.on("close", () => resolve(text));
    socket.on("error", (error) => (text === "" ? reject(error) : resolve(text)));
    socket.write(head);
    void write?.(
      (part) => !socket.destroyed && socket.write(part),
      async () => {
        while (socket.writableNeedDrain && !socket.destroyed) await sleep(2);
      },
    );
  });
}

test("a body beyond 64 MiB is refused with its reason, whether its length is given or not", async () => {
  const announced = await raw(
    `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: ${64 * 1024 * 1024 + 1}\r\n\r\n`,
    async (send) => void send(Buffer.alloc(1000, 32)),
  );
  expect(announced).toMatch(/^HTTP\/1\.1 413 [\s\S]*"code":"oversize"/);
  const part = Buffer.concat([Buffer.from("100000\r\n"), Buffer.alloc(0x100000, 32), Buffer.from("\r\n")]);
  const chunked = await raw(
    "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    async (send, drained) => {
      for (let i = 0; i < 70; i++) if (!send(part)) await drained();
    },
  );
  expect(chunked).toMatch(/^HTTP\/1\.1 413 [\s\S]*"code":"oversize"/);
  expect((await json("/plain")).status).toBe(200);
});

test("a target that is no path is 404, not a failure", async () => {
  for (const target of ["//", "//[", "/%"])
    expect(await raw(`GET ${target} HTTP/1.1\r\nHost: x\r\n\r\n`)).toMatch(/ 404 /);
  expect(errors).toEqual([]);
});

test("a port that is taken is an error at the start", async () => {
  const { port } = server.address() as { port: number };
  await expect(serve({}, "127.0.0.1", port, () => undefined)).rejects.toThrow(/EADDRINUSE/);
});
