import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type AddressInfo } from "node:net";
import { type Hex, slotOf, toBase64 } from "@msec/core";
import { type anchorAll, type Built, type TestStream } from "../../core/test/city.ts";
import { type Deployed, type PackFull, type PackOutline, type StreamInfo, type WindowPage } from "../src/index.ts";

const account = (byte: string): Hex => `0x${byte.repeat(20)}`;

export const DEPLOYED: Deployed = {
  chainId: 31337,
  addresses: {
    DataAnchor: account("a1"),
    DeviceRegistry: account("d0"),
    Escrow: account("e5"),
    Marketplace: account("3a"),
    MSecToken: account("70"),
    Subscription: account("5b"),
  },
};

/** What an operator answers about one stream, all of which is anchored in one epoch. */
export function answerOf(
  stream: TestStream,
  anchored: ReturnType<typeof anchorAll>,
): (path: string, body: string) => unknown {
  const slot = ({ signed }: Built) => slotOf(signed.header.fromMs, stream.preimage.slotSeconds);
  const outline = (built: Built): PackOutline => ({
    headerDigest: built.signed.headerDigest,
    contentDigest: built.signed.header.contentDigest,
    cose: toBase64(built.cose),
    seq: built.signed.header.seq,
    slot: slot(built),
    readings: built.signed.header.count,
    epoch: anchored.epoch.number,
    erased: false,
  });
  const full = (digest: Hex): PackFull[] =>
    stream.packs
      .filter(({ signed }) => signed.headerDigest === digest)
      .map((built) => ({
        headerDigest: digest,
        cose: toBase64(built.cose),
        content: toBase64(built.content),
        anchoring: anchored.anchoring(built),
      }));
  const info = {
    preimage: stream.preimage,
    keys: [{ keyEpoch: 1, spki: toBase64(stream.key.spki) }],
    firstSlot: slot(stream.packs[0] as Built),
    lastSlot: slot(stream.packs[stream.packs.length - 1] as Built),
  } as StreamInfo;
  return (path, body) => {
    const url = new URL(path, "http://operator");
    if (url.pathname === `/streams/${stream.id}`) return info;
    if (url.pathname === "/packs") return (JSON.parse(body) as { headerDigests: Hex[] }).headerDigests.flatMap(full);
    if (url.pathname === "/certificates") return { sealed: false, certificate: null };
    if (url.pathname !== `/streams/${stream.id}/window`) return undefined;
    const [from, to] = [Number(url.searchParams.get("from")), Number(url.searchParams.get("to"))];
    const before = stream.packs.filter((p) => slot(p) < from).pop();
    const after = stream.packs.find((p) => slot(p) > to);
    return {
      packs: stream.packs.filter((p) => slot(p) >= from && slot(p) <= to).map(outline),
      truncated: false,
      before: before ? outline(before) : null,
      after: after ? outline(after) : null,
      newestEpoch: anchored.epoch.number,
    } satisfies WindowPage;
  };
}

export async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const part of request) text += String(part);
  return text;
}

/** Serves what `handle` does on a free port of this machine. */
export async function listen(
  handle: (request: IncomingMessage, response: ServerResponse, body: string) => void,
): Promise<{ url: string; server: Server }> {
  const server = createServer((request, response) => {
    void textOf(request).then((body) => handle(request, response, body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}

/** Serves an operator's API. */
export const serveOperator = (answer: ReturnType<typeof answerOf>) =>
  listen((request, response, body) => {
    const found = answer(request.url ?? "", body);
    response.writeHead(found === undefined ? 404 : 200, { "content-type": "application/json" });
    response.end(JSON.stringify(found ?? { code: "not-found", message: "no such thing" }));
  });
