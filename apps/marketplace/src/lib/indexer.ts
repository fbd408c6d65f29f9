import type * as shape from "@msec/indexer/shapes";
import type { z } from "zod";

// What the indexer answers; its own shapes are the types here.

export type IndexedOffer = z.output<typeof shape.offer>;
export type IndexedDeal = z.output<typeof shape.deal>;
export type IndexedCase = z.output<typeof shape.complaint>;
export type IndexedEvent = z.output<typeof shape.event>;
export type IndexedDevice = z.output<typeof shape.device>;
export type IndexedGrant = z.output<typeof shape.grant>;
export type IndexedErasure = z.output<typeof shape.erasure>;
export type IndexedSubscription = z.output<typeof shape.subscription>;
export type IndexedEpoch = z.output<typeof shape.epoch>;
export type IndexedAudit = z.output<typeof shape.audit>;
export type IndexerStatus = z.output<typeof shape.status>;
export interface Page<T> {
  items: T[];
  next: number | null;
}

/** A service of the city that did not answer as it should, with its own sentence. */
export class ServiceError extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.name = "ServiceError";
    this.status = status;
    this.code = code;
  }
}

/** Reads JSON from a service; {@link ServiceError} where it refuses or is away. */
export async function readJson<T>(url: string, init?: RequestInit): Promise<T> {
  let response: Response;
  try {
    response = await fetch(url, { ...init, signal: AbortSignal.timeout(30_000) });
  } catch {
    throw new ServiceError(0, "away", "The city does not answer");
  }
  if (response.ok) return (await response.json()) as T;
  const told = (await response.json().catch(() => ({}))) as { code?: string; message?: string };
  throw new ServiceError(response.status, told.code ?? "refused", told.message ?? response.statusText);
}

/** Asks the indexer from a page. */
export const askIndexer = <T>(path: string): Promise<T> => readJson<T>(`/api/index${path}`);
