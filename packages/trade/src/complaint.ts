import {
  decodeCose,
  type Delivery,
  EPOCH,
  type Epoch,
  fromBase64,
  type Hex,
  type KeyNode,
  keysTree,
  PACK,
  type Pack,
  packOf,
  type StreamPreimage,
  toHex,
  wrongKeyWitness,
} from "@msec/core";
import { abiStruct, type AbiStruct, type Call } from "./abi.ts";
import { type Status } from "./deal-status.ts";
import { type Fault } from "./delivery.ts";
import { TradeError } from "./errors.ts";
import { type Operators, type PackFull } from "./operators.ts";
import { abiDeal, abiStatus, type AbiStatus, type KeptDeal } from "./purchase.ts";

/** A pack and its path to an epoch. */
export interface AnchoredPack {
  pack: Pack;
  proof: Hex[];
  epoch: Epoch;
}

/** A pack as an operator shows it to be anchored. */
export function anchoredPack(stream: StreamPreimage, { cose, headerDigest, anchoring }: PackFull): AnchoredPack {
  if (!anchoring) throw new TradeError("unanswered", `no operator shows where ${headerDigest} is anchored: try again`);
  const { path: proof, epoch } = anchoring;
  return { pack: packOf(stream, decodeCose(fromBase64(cose))), proof, epoch };
}

/** Where the pack that shows a fault is anchored: what the escrow judges it by. */
export async function packOfFault(operators: Operators, stream: StreamPreimage, fault: Fault): Promise<AnchoredPack> {
  const { headerDigest } = decodeCose(fromBase64(fault.cose));
  const [full] = await operators.packs([headerDigest]);
  if (!full?.anchoring)
    throw new TradeError(
      "unanswered",
      "a key is wrong or a pack does not open, and no operator shows where the pack is anchored: try again before the complaint window closes",
    );
  return anchoredPack(stream, full);
}

export type AbiPack = AbiStruct<typeof PACK.fields>;
export type AbiEpoch = AbiStruct<typeof EPOCH.fields>;
export const abiPack = (pack: Pack): AbiPack => abiStruct(PACK, pack);
export const abiEpoch = (epoch: Epoch): AbiEpoch => abiStruct(EPOCH, epoch);

interface Claim {
  index: number;
  node: KeyNode;
  nodeProof: Hex[];
  pack: AbiPack;
  packProof: Hex[];
  epoch: AbiEpoch;
}

type AbiDelivery = { Ex: bigint; vE: number; masked: Hex[] };
type AbiDealOf = ReturnType<typeof abiDeal>;

export type Complaint =
  | Call<"proveWrongKey", [AbiDealOf, AbiStatus, AbiDelivery, Claim & { b: bigint; Sx: bigint; Sy: bigint }]>
  | Call<"proveUnopenable", [AbiDealOf, AbiStatus, Claim & { packKey: Hex; content: Hex }]>;

/** What shows the escrow the fault of a delivery: it pays price and bond to the buyer. By anyone. */
export function complaintCall(
  { deal, nodes, secret }: Omit<KeptDeal, "dealId">,
  status: Status,
  delivery: Delivery,
  { index, key, content }: Fault,
  { pack, proof, epoch }: AnchoredPack,
): Complaint {
  const claim: Claim = {
    index,
    node: nodes[index] as KeyNode,
    nodeProof: keysTree(nodes).proof(index).map(toHex),
    pack: abiPack(pack),
    packProof: proof,
    epoch: abiEpoch(epoch),
  };
  if (key && content)
    return {
      functionName: "proveUnopenable",
      args: [abiDeal(deal), abiStatus(status), { ...claim, packKey: toHex(key), content: toHex(content) }],
    };
  const { b, S } = wrongKeyWitness(secret, index, delivery);
  return {
    functionName: "proveWrongKey",
    args: [
      abiDeal(deal),
      abiStatus(status),
      { Ex: delivery.E.x, vE: delivery.E.v, masked: delivery.masked },
      { ...claim, b, Sx: S.x, Sy: S.y },
    ],
  };
}
