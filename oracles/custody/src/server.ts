import { type Server } from "node:http";
import { timingSafeEqual } from "node:crypto";
import { cover, demand, derive, encodeMessage, HEAD, type Hex, ProtocolError, signTyped, toHex } from "@msec/core";
import { healthPage, Reply, type Request, serve } from "@msec/service";
import * as bodies from "./bodies.ts";
import { parse } from "./bodies.ts";
import { type Certificates } from "./certificates.ts";
import { type Committee } from "./committee.ts";
import { type Context, domainOf } from "./context.ts";
import { takeDescription } from "./descriptions.ts";
import { type Epochs } from "./epochs.ts";
import { sections, status } from "./health.ts";
import { type Ingest } from "./ingest.ts";
import { type Line } from "./lines.ts";
import { sampleKeys } from "./sample.ts";
import { type PackRow } from "./store.ts";
import { type Registration, registerStream, takeSeed } from "./streams.ts";
import { type Validators } from "./validators.ts";
import { type Watcher } from "./watcher.ts";

const PAGE = 500;
const WINDOW = 20_000;
const MOST_DAYS = 400;

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");

function bytes32(value: unknown): Hex {
  demand(
    typeof value === "string" && /^0x[0-9a-f]{64}$/.test(value),
    "malformed",
    "expected 0x and 64 lower-case hex digits",
    value,
  );
  return value as Hex;
}

function whole(value: unknown, name: string): number {
  const n = typeof value === "string" ? Number(value) : value;
  demand(typeof n === "number" && Number.isSafeInteger(n) && n >= 0, "malformed", `${name} is a whole number`, value);
  return n;
}

/** Everything an operator answers over HTTP: to people, buyers, devices and the other operators. */
export async function startServer(
  ctx: Context,
  parts: {
    committee: Committee;
    ingest: Ingest;
    epochs: Epochs;
    watcher: Watcher;
    certificates: Certificates;
    validators: Validators;
    broker: { connected: boolean };
    token: string;
  },
): Promise<Server> {
  const { store, lines, config } = ctx;
  const { committee, ingest, epochs, watcher, certificates, validators, broker, token } = parts;
  const now = () => status(ctx, committee, watcher, certificates, validators, broker);

  // Answered from what is known here: asking on would go round among the operators for ever.
  const lineOf = (id: unknown): Line => {
    const line = lines.byId.get(bytes32(id));
    if (!line) throw new ProtocolError("wrong-stream", "no such stream is registered here", id);
    return line;
  };

  const registration = (line: Line): Registration => ({
    preimage: line.stream,
    keys: [...line.keys].map(([keyEpoch, spki]) => ({ keyEpoch, spki: base64(spki) })),
    holders: { streamId: line.id, version: line.holders.version, holders: line.holders.holders },
    holdersSignature: line.holders.signature,
  });

  const packOut = async (row: PackRow) => ({
    headerDigest: row.headerDigest,
    contentDigest: row.contentDigest,
    cose: base64(row.cose),
    content: row.content && base64(row.content),
    epoch: row.epoch,
    anchoring: row.epoch === null ? null : ((await epochs.anchoring(row.headerDigest, row.epoch)) ?? null),
  });

  const messages = async (rows: readonly Pick<PackRow, "headerDigest" | "cose" | "content">[]) => ({
    messages: rows.map((row) => base64(encodeMessage(row.cose, row.content ?? new Uint8Array()))),
    opened: (await store.opened(rows.map((row) => row.headerDigest))).map((o) => [
      o.headerDigest,
      o.signer,
      o.signature,
    ]),
  });

  /** For this operator's own processes only: they read the token from its folder. */
  const authorised = (request: Request): void => {
    const given = Buffer.from(String(request.headers.authorization ?? ""));
    const wanted = Buffer.from(`Bearer ${token}`);
    demand(
      given.length === wanted.length && timingSafeEqual(given, wanted),
      "bad-signature",
      "the operator's token is needed",
    );
  };

  return serve(
    {
      "GET /health": async () => {
        const said = await now();
        return new Reply(
          200,
          healthPage(`Operator ${said.name}`, said.problems, sections(said)),
          "text/html; charset=utf-8",
        );
      },
      "GET /status": now,
      "GET /metrics": async () =>
        new Reply(200, await ctx.metrics.registry.metrics(), ctx.metrics.registry.contentType),
      "GET /info": () => ({
        name: config.name,
        address: ctx.address,
        organisation: config.committee.find((m) => m.address === ctx.address)?.organisation,
        sealKey: base64(ctx.sealing.publicKey),
        chainId: config.chain.chainId,
        anchor: config.chain.addresses.DataAnchor,
        ipfs: ctx.contents.addresses(),
      }),

      "POST /streams": async ({ body }) => ({
        streamId: (await ingest.exclusive(() => registerStream(ctx, parse(bodies.registration, body)))).id,
      }),
      "GET /streams": async () => {
        const reached = new Map((await store.reach()).map(({ streamId, ...reach }) => [streamId, reach]));
        return [...lines.byId.values()].map((line) => ({
          streamId: line.id,
          name: line.stream.name,
          mode: line.stream.mode,
          deviceId: line.stream.deviceId,
          toMs: line.head?.header.toMs ?? null,
          ...(reached.get(line.id) ?? { thing: null, firstSlot: null, anchoredAt: null }),
        }));
      },
      "GET /streams/:": async ({ params }) => {
        const line = lineOf(params[0]);
        const head = line.head && {
          seq: line.head.header.seq,
          headerDigest: line.head.headerDigest,
          toMs: line.head.header.toMs,
        };
        const first = (await store.packsAfter(line.id, 0, 1))[0];
        return {
          ...registration(line),
          head: head ?? null,
          firstSlot: first?.slot ?? null,
          lastSlot: line.head ? (await store.head(line.id))?.slot : null,
          pending: line.pending.length,
          waitingForHolders: line.pending.filter((p) => line.stream.mode === 1 && p.opened.size === 0).length,
          equivocations: line.equivocal.size,
          erasures: await store.erasures(line.id),
          thing: (await store.thing(line.id)) ?? null,
        };
      },
      "PUT /streams/:/thing": async ({ params, body }) => {
        await takeDescription(ctx, lineOf(params[0]), parse(bodies.thing, body));
        return new Reply(204, "");
      },
      "GET /streams/:/sample": async ({ params }) => ({ sample: await sampleKeys(ctx, lineOf(params[0])) }),
      "POST /streams/:/seed": async ({ params, body }) => {
        const kept = await ingest.exclusive(() => takeSeed(ctx, bytes32(params[0]), parse(bodies.seed, body)));
        return kept
          ? new Reply(204, "")
          : new Reply(409, { code: "held", message: "a seed of this stream is held already" });
      },
      "GET /streams/:/highest": async ({ params }) => {
        const tip = lines.tip(lineOf(params[0]));
        return { cose: tip ? base64(tip.cose) : null };
      },
      "GET /streams/:/head": async ({ params, query }) => {
        const line = lineOf(params[0]);
        const newest = committee.next - 1;
        const epoch = query.has("epoch") ? whole(query.get("epoch"), "epoch") : newest;
        demand(epoch <= newest, "epoch", `the newest confirmed epoch is ${newest}`, epoch);
        const row = await store.head(line.id, epoch);
        if (!row) return { head: null, signature: null, asOf: null };
        const head = { streamId: line.id, epoch, keyEpoch: row.keyEpoch, seq: row.seq, headerDigest: row.headerDigest };
        const asOf = await store.epoch(epoch);
        return {
          head,
          signature: signTyped(ctx.key, domainOf(ctx), HEAD, head),
          asOf: asOf && { epoch: asOf.epoch, signatures: asOf.signatures, config: (await epochs.config(epoch)).config },
        };
      },
      "GET /streams/:/window": async ({ params, query }) => {
        const line = lineOf(params[0]);
        const from = whole(query.get("from"), "from");
        const to = whole(query.get("to"), "to");
        const rows = await store.window(line.id, from, to, WINDOW);
        const outline = (row: PackRow | undefined) =>
          row && {
            headerDigest: row.headerDigest,
            contentDigest: row.contentDigest,
            cose: base64(row.cose),
            seq: row.seq,
            slot: row.slot,
            readings: row.readings,
            epoch: row.epoch,
            erased: row.content === null,
          };
        return {
          packs: rows.map(outline),
          truncated: rows.length === WINDOW,
          before: outline(await store.neighbour(line.id, "before", from)) ?? null,
          after: outline(await store.neighbour(line.id, "after", to)) ?? null,
          erasures: await store.erasures(line.id),
          newestEpoch: committee.next - 1,
        };
      },
      "GET /streams/:/days": async ({ params, query }) => {
        const line = lineOf(params[0]);
        const [from, to] = [whole(query.get("from"), "from"), whole(query.get("to"), "to")];
        demand(to - from < MOST_DAYS, "oversize", `at most ${MOST_DAYS} days are answered at once`);
        const { slotSeconds } = line.stream;
        return { days: slotSeconds === 0 ? [] : await store.days(line.id, slotSeconds, from, to) };
      },
      "GET /packs/:": async ({ params }) => {
        const row = await store.packByContent(bytes32(params[0]));
        return row ? packOut(row) : new Reply(404, { code: "not-found", message: "no such content is known here" });
      },
      "POST /packs": async ({ body }) =>
        Promise.all((await store.packs(parse(bodies.headerDigests, body).headerDigests.slice(0, PAGE))).map(packOut)),
      "GET /epochs/:": async ({ params }) => {
        const row = await store.epoch(whole(params[0], "number"));
        if (!row) return new Reply(404, { code: "not-found", message: "this epoch is not confirmed here" });
        return { ...row, config: (await epochs.config(row.epoch.number)).config };
      },
      "POST /certificates": ({ body }) => {
        const { epochs: numbers, device } = parse(bodies.certificates, body);
        return certificates.of(numbers, device);
      },

      "POST /peer/propose": ({ body }) => committee.sign(parse(bodies.proposal, body)),
      "POST /peer/packs": async ({ body }) => {
        const { digests } = parse(bodies.digests, body);
        return messages([...(await store.packs(digests)), ...(await store.dropped(digests))]);
      },
      "POST /peer/line": async ({ body }) => {
        const { streamId, afterSeq } = parse(bodies.lineAfter, body);
        return messages(await store.packsAfter(streamId, afterSeq, PAGE));
      },
      "POST /peer/push": async ({ body }) => {
        const { digests, from } = parse(bodies.pushed, body);
        const peer = ctx.peers.all.find((p) => p.url === from);
        if (peer) void committee.pull(peer, digests);
        return { ok: true };
      },
      "POST /peer/opened": async ({ body }) => {
        await ingest.opened(parse(bodies.opened, body).opened);
        return { ok: true };
      },
      "POST /peer/equivocation": async ({ body }) => {
        const { a, b } = parse(bodies.equivocation, body);
        const known = await ingest.exclusive(() =>
          ingest.equivocation(Buffer.from(a, "base64"), Buffer.from(b, "base64")),
        );
        return { known };
      },

      "POST /keys": async (request) => {
        authorised(request);
        const { streamId, fromSlot, toSlot, holes } = parse(bodies.window, request.body);
        const frontier = await ctx.frontiers.get(streamId);
        demand(frontier !== undefined, "key-tree", "this operator does not hold the stream's keys", streamId);
        return derive(frontier, cover(fromSlot, toSlot, holes)).map((node) => ({ ...node, key: toHex(node.key) }));
      },
    },
    config.host,
    config.port,
    (error) => ctx.log.error({ error: error.message, stack: error.stack }, "a request failed"),
  );
}
