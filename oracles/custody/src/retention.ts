import { type Context } from "./context.ts";
import { type Ingest } from "./ingest.ts";

const DAY_MS = 86_400_000;

/**
 * Destroys keys and contents whose stream says how long they are kept: what closed more than retainDays ago goes, slot by
 * slot in the order of the line. Headers, signatures, leaves and epochs stay, since later windows need them.
 */
export async function expire(ctx: Context, ingest: Ingest, nowMs: number): Promise<void> {
  const { lines, store, frontiers, contents, log } = ctx;
  for (const line of lines.byId.values()) {
    const { retainDays } = line.stream.schema;
    if (retainDays === 0) continue;
    const expired = await store.expiredSlots(line.id, nowMs - retainDays * DAY_MS);
    if (!expired) continue;
    await ingest.exclusive(() => frontiers.puncture(line.id, expired.fromSlot, expired.toSlot));
    await contents.remove(await store.contentsIn(line.id, expired.fromSlot, expired.toSlot));
    const gone = await store.dropContents(line.id, expired.fromSlot, expired.toSlot);
    log.info({ stream: line.id, ...expired, contents: gone }, "retention is over: keys and contents are destroyed");
  }
}
