import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { anchorAll, committee, TestStream } from "../../core/test/city.ts";
import { answerOf, DEPLOYED, listen, serveOperator } from "../test/operator.ts";
import { TradeError } from "./errors.ts";
import { Operators } from "./operators.ts";
import { verifyWindow } from "./verify.ts";
import { downloadWindow } from "./window.ts";

const SLOT = 29_000_000;
const stream = new TestStream().fill(SLOT, 260);
const open: Awaited<ReturnType<typeof listen>>[] = [];
let good: string;
let asked: string[] = [];

beforeAll(async () => {
  const answer = answerOf(stream, anchorAll(stream, committee()));
  open.push(await serveOperator((path, body) => (asked.push(path), answer(path, body))));
  good = (open[0] as (typeof open)[0]).url;
});
afterAll(() => open.forEach(({ server }) => server.close()));

async function failure(work: Promise<unknown>): Promise<TradeError> {
  const error: unknown = await work.then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(TradeError);
  return error as TradeError;
}

describe("operators", () => {
  test("are asked one after the other: away, or a proxy that answers with a page, the next one is", async () => {
    const proxy = await listen((_, response) => response.writeHead(502, { "content-type": "text/html" }).end("<p>"));
    const liar = await listen((_, response) => response.end("<!doctype html>"));
    open.push(proxy, liar);
    const operators = new Operators(["http://127.0.0.1:1", proxy.url, liar.url, `${good}/`]);
    expect((await operators.stream(stream.id)).preimage).toEqual(stream.preimage);
    const error = await failure(new Operators([proxy.url]).stream(stream.id));
    expect([error.code, error.message]).toEqual([
      "unanswered",
      `the operators do not answer /streams/${stream.id}: 502`,
    ]);
  });

  test("that know nothing of it say so in their own words", async () => {
    const unknown = `0x${"12".repeat(32)}` as const;
    expect((await failure(new Operators([good]).stream(unknown))).message).toMatch(/no such thing$/);
    expect((await failure(new Operators([good]).packs([unknown]))).message).toBe(`no operator has the pack ${unknown}`);
  });

  test("that answer with another stream are not believed", async () => {
    const other = `0x${"12".repeat(32)}` as const;
    const swapped = await listen((_, response) => response.end(JSON.stringify({ preimage: stream.preimage })));
    open.push(swapped);
    expect((await failure(new Operators([swapped.url]).stream(other))).code).toBe("wrong-answer");
  });

  test("are reached under the page's own origin too", () => {
    const scope = globalThis as { origin?: string };
    expect(new Operators(["/api/operators/0"]).urls).toEqual(["/api/operators/0"]);
    scope.origin = "https://city.example";
    try {
      expect(new Operators(["/api/operators/0/", good]).urls).toEqual(["https://city.example/api/operators/0", good]);
    } finally {
      delete scope.origin;
    }
  });
});

describe("a window", () => {
  test("comes in parts that are counted, and proves itself without keys", async () => {
    const operators = new Operators([good]);
    const told: [number, number][] = [];
    asked = [];
    const window = { fromSlot: SLOT + 1, toSlot: SLOT + 250, holes: [] };
    const info = await operators.stream(stream.id);
    const bundle = await downloadWindow(operators, DEPLOYED, info, window, (done, of) => told.push([done, of]));
    expect(told).toEqual([[100, 250], [200, 250], [250, 250]]); // prettier-ignore
    expect(asked.filter((path) => path === "/packs")).toHaveLength(4);
    const report = await verifyWindow(bundle, { withoutKeys: true });
    expect(report).toMatchObject({ packs: 250, records: 250, readings: 0, gaps: 0, emptySlots: 0 });
  });

  test("that is not anchored to its end is not yet to be had", async () => {
    const operators = new Operators([good]);
    const info = await operators.stream(stream.id);
    const beyond = { fromSlot: SLOT + 250, toSlot: SLOT + 300, holes: [] };
    const error = await failure(downloadWindow(operators, DEPLOYED, info, beyond));
    expect([error.code, error.message]).toEqual([
      "not-yet",
      `the stream has not reached the end of this window: its newest slot is ${SLOT + 259}`,
    ]);
  });
});
