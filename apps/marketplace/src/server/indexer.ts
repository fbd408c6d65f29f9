import "server-only";
import { readJson, ServiceError } from "../lib/indexer.ts";
import { config } from "./city.ts";

/** Asks the indexer while a page is made. */
export const fromIndexer = <T>(path: string): Promise<T> =>
  readJson<T>(`${config().indexer}${path}`, { cache: "no-store" });

/** The same; undefined where the indexer knows of nothing there. */
export const findInIndexer = <T>(path: string): Promise<T | undefined> =>
  fromIndexer<T>(path).catch((error: unknown) => {
    if (error instanceof ServiceError && (error.status === 404 || error.status === 400)) return undefined;
    throw error;
  });
