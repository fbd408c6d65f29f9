import {
  type BundlePack,
  type Certificate,
  type Certified,
  type ChainClaims,
  checkCertificate,
  contentOpens,
  type Deal,
  type DealContext,
  decodeCose,
  type Delivery,
  fromBase64,
  headerSlot,
  type Hex,
  keyCommitment,
  leafNode,
  nodeCovering,
  packAad,
  packKey,
  toHex,
  type TreeNode,
  unmask,
  type WindowBundle,
} from "@msec/core";
import { type Decoded, fieldsOf } from "./abi.ts";
import { type Deployed } from "./deployed.ts";
import { TradeError } from "./errors.ts";
import { type Operators } from "./operators.ts";
import { atOnce, paced, type Progress } from "./pace.ts";
import { type KeptDeal } from "./purchase.ts";

/** A pack that shows a delivery to be bad: by a key that does not fit it, or by a content that its own key does not open. */
export interface Fault {
  /** Of the cover node above it. */
  index: number;
  cose: string;
  /** The pack's own key, where that is right and the content is not. */
  key?: Uint8Array;
  content?: Uint8Array;
}

export interface Packs {
  stream: WindowBundle["stream"];
  packs: Pick<BundlePack, "cose" | "content">[];
}

function* faultSteps({ stream, packs }: Packs, keys: readonly TreeNode[]): Generator<number, Fault | undefined> {
  for (const [i, pack] of packs.entries()) {
    yield i;
    if (pack.content === null) continue;
    const { header } = decodeCose(fromBase64(pack.cose));
    const slot = headerSlot(stream, header);
    const node = nodeCovering(keys, slot) as TreeNode;
    const aad = packAad(header.streamId, header.keyEpoch, header.seq);
    const key = packKey(leafNode([node], slot), aad);
    const fault = { index: keys.indexOf(node), cose: pack.cose };
    if (toHex(keyCommitment(key)) !== header.keyCommitment) return fault;
    const content = fromBase64(pack.content);
    if (!contentOpens(key, aad, content)) return { ...fault, key, content };
  }
  return undefined;
}

/** The first pack that the delivered keys do not fit, or do not open. */
export const faultOf = (packs: Packs, keys: readonly TreeNode[]): Fault | undefined => atOnce(faultSteps(packs, keys));

/** A delivery of its event. */
export function deliveryFrom(event: Decoded): Delivery {
  const { Ex, vE, masked } = fieldsOf(event);
  return { E: { x: BigInt(Ex as bigint), v: Number(vE) }, masked: [...(masked as Hex[])] };
}

/** A window with the keys that open it: the file that proves it, and opens it to whoever has it. */
export function withKeys(draft: WindowBundle, keys: readonly TreeNode[], deal?: Deal & { escrow: Hex }): WindowBundle {
  const nodes = keys.map(({ depth, firstSlot, key }) => ({ depth, firstSlot, key: toHex(key) }));
  return { ...draft, nodes, ...(deal ? { deal } : {}) };
}

/** Takes the keys out of a delivery and tries every pack: the completed bundle, still to be verified, or what is wrong. */
export async function openDelivery(
  { chainId, addresses: { Escrow: escrow } }: Deployed,
  { dealId, deal, nodes, secret }: KeptDeal,
  draft: WindowBundle,
  delivery: Delivery,
  progress?: Progress,
): Promise<{ fault: Fault } | { fault?: undefined; bundle: WindowBundle }> {
  const context: DealContext = { chainId, escrow, dealId };
  const keys = unmask(context, secret, nodes, delivery);
  const fault = await paced(faultSteps(draft, keys), draft.packs.length, progress);
  return fault ? { fault } : { bundle: withKeys(draft, keys, { ...deal, escrow }) };
}

const CERTIFICATE_MS = 15_000;

/**
 * The chain's own certificate of the epoch that proves a window, and of the one that its end is judged by. Operators take it
 * within seconds of the epoch; null on a chain without seals. Without it the data is no less proved, and the chain must be
 * asked.
 */
export async function certify(
  operators: Operators,
  { end, anchoring }: Pick<WindowBundle, "end" | "anchoring">,
  claims: ChainClaims,
  pinned?: readonly Hex[],
): Promise<{ certificate: Certificate; certified: Certified } | null> {
  const { deviceId, keyEpoch } = claims.deviceKey;
  const epochs = [...new Set([anchoring.epoch.number, ...(end.kind === "head" ? [end.epoch.number] : [])])];
  for (const until = Date.now() + CERTIFICATE_MS; ; await new Promise((done) => setTimeout(done, 500))) {
    const certificate = await operators.certificate(epochs, { deviceId, keyEpoch });
    if (certificate === null) return null;
    const complete = certificate.epochs.length === epochs.length;
    if (!(complete && certificate.device) && Date.now() < until) continue;
    if (!complete) throw new TradeError("not-yet", `no operator has it within ${CERTIFICATE_MS / 1000} s`);
    return { certificate, certified: checkCertificate(certificate, claims, pinned) };
  }
}
