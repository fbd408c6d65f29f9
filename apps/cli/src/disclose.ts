import {
  type Certificate,
  checkSignature,
  decodeCose,
  encodeBundle,
  fromBase64,
  fromHex,
  headerSlot,
  leafNode,
  openPack,
  ProtocolError,
  readingSalt,
  readingTree,
  toBase64,
  toHex,
  type WindowBundle,
} from "@msec/core";
import { Problem } from "./problem.ts";

/** A bundle that proves one reading of a bought window and opens nothing else of it. */
export function discloseReading(bundle: WindowBundle, index: number): string {
  const nodes = bundle.nodes.map((node) => ({ ...node, key: fromHex(node.key, 32) }));
  let left = index;
  for (const pack of bundle.packs) {
    if (pack.content === null) continue;
    const signed = decodeCose(fromBase64(pack.cose));
    const opened = openPack(
      bundle.stream,
      signed.header,
      leafNode(nodes, headerSlot(bundle.stream, signed.header)),
      fromBase64(pack.content),
    );
    if (left >= opened.readings.length) {
      left -= opened.readings.length;
      continue;
    }
    const anchoring = pack.anchoring;
    if (!anchoring) throw new Problem("the bundle does not show the epoch of this reading's own pack");
    const key = bundle.keys.find((k) => k.keyEpoch === signed.header.keyEpoch);
    if (!key) throw new ProtocolError("unknown-key", "the bundle lacks the signing key of this pack");
    checkSignature(signed, fromBase64(key.spki));
    return encodeBundle({
      format: "msec.reading/1",
      chain: bundle.chain,
      stream: bundle.stream,
      keys: [key],
      cose: pack.cose,
      record: toBase64(opened.records[left] as Uint8Array),
      salt: toHex(readingSalt(opened.packSalt, left)),
      index: left,
      path: readingTree(opened.packSalt, opened.records).proof(left).map(toHex),
      anchoring,
      ...certificateOf(bundle, anchoring.epoch.number),
    });
  }
  throw new Problem("there is no such reading in the bundle");
}

/** The part of a window's certificate that is about one epoch. */
function certificateOf({ certificate }: WindowBundle, number: number): { certificate?: Certificate } {
  const epochs = (certificate?.epochs ?? []).filter((epoch) => epoch.number === number);
  return certificate && epochs.length > 0 ? { certificate: { ...certificate, epochs } } : {};
}
