import { parentPort } from "node:worker_threads";
import { checkSignature, decodeCose, decodeMessage, openPack, ProtocolError, type StreamPreimage } from "@msec/core";
import type { Claim, Failure, Verdict } from "./verifier.ts";

// A thread of the verifier: signatures and contents of packs, nothing that depends on their order.

const streams = new Map<string, StreamPreimage>();

function failure(check: () => void): Failure | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { code: error.code, message: error.message };
  }
}

/** No verdict where something else than the pack is wrong: whoever asked finds out and says so. */
function attempt(claim: Claim): Verdict | undefined {
  try {
    return judge(claim);
  } catch {
    return undefined;
  }
}

function judge({ message, spki, leaf }: Claim): Verdict {
  const { cose, content } = decodeMessage(message);
  const signed = decodeCose(cose);
  const signature = failure(() => checkSignature(signed, spki));
  if (signature || leaf === undefined) return { signature, opening: undefined };
  const stream = streams.get(signed.header.streamId) as StreamPreimage;
  return { signature, opening: failure(() => openPack(stream, signed.header, leaf, content)) };
}

parentPort?.on(
  "message",
  ({ id, fresh, claims }: { id: number; fresh: [string, StreamPreimage][]; claims: Claim[] }) => {
    for (const [streamId, preimage] of fresh) streams.set(streamId, preimage);
    parentPort?.postMessage({ id, verdicts: claims.map(attempt) });
  },
);
