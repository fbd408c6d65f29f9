import {
  anchorDomain,
  type EndEvidence,
  FLAG,
  HEAD,
  headerSlot,
  type Hex,
  MODE,
  recoverTyped,
  type SlotRange,
  streamId,
  type WindowBundle,
} from "@msec/core";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { headerOf, type Operators, type StreamInfo, type WindowPage } from "./operators.ts";
import { type Progress } from "./pace.ts";

/**
 * A window with everything that can be had before paying: ciphertexts, headers, proofs; no keys. Packs are counted. As of
 * the newest epoch, or of an earlier one such as a deal's.
 */
export async function downloadWindow(
  operators: Operators,
  deployed: Deployed,
  info: StreamInfo,
  { asOfEpoch: asked, ...window }: { fromSlot: number; toSlot: number; holes: SlotRange[]; asOfEpoch?: number },
  progress?: Progress,
): Promise<WindowBundle> {
  const { preimage: stream } = info;
  const id = streamId(stream);
  const newest = await operators.window(id, window.fromSlot, window.toSlot);
  const asOfEpoch = asked ?? newest.newestEpoch;
  const page = {
    ...newest,
    packs: newest.packs.filter(({ epoch }) => epoch <= asOfEpoch),
    after: newest.after && newest.after.epoch <= asOfEpoch ? newest.after : null,
  };
  if (page.truncated)
    throw new TradeError("too-large", "the window holds more packs than an operator serves at once: buy it in parts");
  if (page.packs.length === 0 && !page.after) throw new TradeError("not-yet", "nothing is anchored in this window yet");
  const inHole = (slot: number) => window.holes.some(([from, to]) => slot >= from && slot <= to);
  const last = page.packs[page.packs.length - 1];
  const end = await endOf(operators, deployed, page, window.toSlot, asOfEpoch, id, stream.mode);
  const anchored = end.kind === "successor" ? page.after : last;
  if (!anchored) throw new TradeError("not-yet", "nothing of the stream is anchored");
  const full = await operators.packs(
    page.packs.map((p) => p.headerDigest),
    progress,
  );
  const [proof] = await operators.packs([anchored.headerDigest]);
  if (!proof?.anchoring)
    throw new TradeError("not-yet", "the last header of the window is not anchored yet: try again in some seconds");
  return {
    format: "msec.window/1",
    chain: {
      chainId: deployed.chainId,
      anchor: deployed.addresses.DataAnchor,
      registry: deployed.addresses.DeviceRegistry,
    },
    stream,
    keys: info.keys,
    window: { ...window, asOfEpoch },
    nodes: [],
    start: page.before?.cose ?? null,
    packs: full.map((pack) => {
      const erased = inHole(headerSlot(stream, headerOf(pack)));
      return {
        cose: pack.cose,
        content: erased ? null : pack.content,
        // Its own epoch proves that a pack was not late, and lets the buyer disclose one of its readings alone.
        ...(pack.anchoring && !erased ? { anchoring: pack.anchoring } : {}),
      };
    }),
    end,
    anchoring: proof.anchoring,
  };
}

async function endOf(
  operators: Operators,
  deployed: Deployed,
  page: WindowPage,
  toSlot: number,
  asOfEpoch: number,
  id: Hex,
  mode: number,
): Promise<EndEvidence> {
  if (page.after && mode !== MODE.dataset) return { kind: "successor", cose: page.after.cose };
  const last = page.packs[page.packs.length - 1];
  if (last && (headerOf(last).flags & FLAG.end) !== 0) return { kind: "ended" };
  if (mode === MODE.dataset)
    throw new TradeError("not-yet", "the data set is not complete yet: it is sold once its device has ended it");
  if (!last || last.slot < toSlot)
    throw new TradeError(
      "not-yet",
      `the stream has not reached the end of this window: its newest slot is ${last?.slot ?? "none"}`,
    );
  const domain = anchorDomain(deployed.chainId, deployed.addresses.DataAnchor);
  const answers = (await operators.heads(id, asOfEpoch)).filter((a) => a.head?.headerDigest === last.headerDigest);
  const asOf = answers.find((a) => a.asOf)?.asOf;
  const head = answers[0]?.head;
  if (!asOf || !head) throw new TradeError("not-yet", "no operator signs for the stream's head");
  const signed = new Map<Hex, Hex>();
  for (const { signature } of answers)
    if (signature) signed.set(recoverTyped(domain, HEAD, head, signature), signature);
  const signatures = [...signed]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([, signature]) => signature)
    .slice(0, asOf.config.q);
  if (signatures.length < asOf.config.q)
    throw new TradeError(
      "not-yet",
      `only ${signatures.length} operators sign for the stream's head, ${asOf.config.q} are needed: buy up to an earlier slot`,
    );
  return { kind: "head", head, epoch: asOf.epoch, epochSignatures: asOf.signatures, signatures, config: asOf.config };
}
