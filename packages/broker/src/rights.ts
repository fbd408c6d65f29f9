import type { Hex } from "@msec/core";

/** Whom a broker knows: a device by its registered id, an operator by its account. */
export type Identity = { kind: "device"; id: Hex } | { kind: "operator"; id: Hex };

/** The identity that a user name is, lower case: 32 bytes of hex a device, 20 an operator. Undefined for anything else. */
export function identityOf(name: string): Identity | undefined {
  if (/^0x[0-9a-f]{64}$/.test(name)) return { kind: "device", id: name as Hex };
  if (/^0x[0-9a-f]{40}$/.test(name)) return { kind: "operator", id: name as Hex };
  return undefined;
}

export interface Rights {
  /** Filters of the topics that may be published. */
  publish: string[];
  /** Filters that may be subscribed, and any that matches no more than one of them. */
  subscribe: string[];
}

/**
 * What an identity may do at a broker; all else is refused. A device publishes packs of its own and reads what operators
 * answer to it and what is for all; an operator reads packs and speaks under its own name only.
 */
export function rightsOf({ kind, id }: Identity): Rights {
  if (kind === "device")
    return {
      publish: [`msec/v1/${id}/+/packs`],
      subscribe: [`msec/v1/${id}/+/receipts/+`, `msec/v1/${id}/+/refused/+`, "msec/v1/beacon/+"],
    };
  return {
    publish: [`msec/v1/+/+/receipts/${id}`, `msec/v1/+/+/refused/${id}`, `msec/v1/beacon/${id}`],
    subscribe: ["msec/v1/+/+/packs"],
  };
}

/** Whether every topic that `filter` matches is matched by `allowed`; neither may hold `#`. A topic is a filter, too. */
function within(filter: string, allowed: string): boolean {
  const [asked, given] = [filter.split("/"), allowed.split("/")];
  return (
    asked.length === given.length &&
    given.every((level, i) => level === asked[i] || (level === "+" && asked[i] !== "#"))
  );
}

export const mayPublish = (rights: Rights, topic: string): boolean => rights.publish.some((f) => within(topic, f));
export const maySubscribe = (rights: Rights, filter: string): boolean =>
  rights.subscribe.some((f) => within(filter, f));
