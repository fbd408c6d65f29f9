import type { Hex } from "@msec/core";

/** Topics of M-Sec at a broker. A device's identity stands in each of its own, so that its rights follow from its name alone. */

/** Where a device publishes the packs of a stream. */
export const packsTopic = (deviceId: Hex, streamId: Hex): string => `msec/v1/${deviceId}/${streamId}/packs`;

/** Where an operator says up to where it holds a stream; retained. */
export const receiptsTopic = (deviceId: Hex, streamId: Hex, operator: Hex): string =>
  `msec/v1/${deviceId}/${streamId}/receipts/${operator}`;

/** Where an operator says which header it refuses. */
export const refusedTopic = (deviceId: Hex, streamId: Hex, operator: Hex): string =>
  `msec/v1/${deviceId}/${streamId}/refused/${operator}`;

/** Where an operator names the newest epoch that it knows, for everybody; retained. */
export const beaconTopic = (operator: Hex): string => `msec/v1/beacon/${operator}`;

export type Topic =
  | { kind: "packs"; deviceId: string; streamId: string }
  | { kind: "receipts" | "refused"; deviceId: string; streamId: string; operator: string }
  | { kind: "beacon"; operator: string };

/** What a topic names; undefined for one that is not of M-Sec. The names in it are as they were written. */
export function readTopic(topic: string): Topic | undefined {
  const [root, version, first, second, kind, operator, ...more] = topic.split("/");
  if (root !== "msec" || version !== "v1" || more.length > 0 || first === undefined || second === undefined)
    return undefined;
  if (first === "beacon") return kind === undefined ? { kind: "beacon", operator: second } : undefined;
  const of = { deviceId: first, streamId: second };
  if (kind === "packs") return operator === undefined ? { kind, ...of } : undefined;
  if ((kind === "receipts" || kind === "refused") && operator !== undefined) return { kind, ...of, operator };
  return undefined;
}
