import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { createInterface } from "node:readline";
import { connect, transaction } from "@msec/companion-db";
import { z } from "zod";
import { base64, fromBase64, toBase64 } from "./encoding.ts";
import { keyOf, senderOf } from "./payload.ts";
import { type Kept, Store } from "./store.ts";

// A manager's database as a file: a line of JSON a payload, sealed as it was. Nothing in it opens without the manager's keys.

const bytes = base64().transform(fromBase64);
const flag = z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3)]);
const payload = z.strictObject({
  flag,
  execHash: z.string(),
  affected: z.array(z.strictObject({ key: z.string(), proof: z.string() })),
  mandatory: z.array(z.string()),
  participants: z.array(z.string()),
  body: bytes,
  boxes: z.array(z.strictObject({ recipient: z.string(), box: bytes })),
  /** Parties whose managers have not taken it yet. */
  waiting: z.array(z.string()),
});
/** Stored, and not sent to anybody yet. */
const raw = z.strictObject({ body: bytes, ownBox: bytes });
const line = z.union([payload, raw]);

const PAGE = 200;

function payloadLine({ envelope, waiting }: Kept): string {
  const { body, boxes, ...metadata } = envelope;
  return JSON.stringify({
    ...metadata,
    body: toBase64(body),
    boxes: boxes.map(({ recipient, box }) => ({ recipient, box: toBase64(box) })),
    waiting,
  });
}

/**
 * Writes the database of a manager into a new file, as it was at one moment, while the manager goes on.
 * @returns How many payloads, sent or not.
 */
export async function dumpPayloads(databaseUrl: string, file: string): Promise<number> {
  const out = await open(file, "wx", 0o600);
  const db = connect(databaseUrl, 1);
  let count = 0;
  const write = async (lines: string[]) => {
    count += lines.length;
    await out.writeFile(lines.map((text) => `${text}\n`).join(""));
  };
  try {
    await transaction(db, async (client) => {
      await client.query("set transaction isolation level repeatable read");
      const store = await Store.open(client);
      for (let after = "0", page: Kept[] = []; ; after = page.at(-1)?.number as string) {
        page = await store.page(after, PAGE);
        await write(page.map(payloadLine));
        if (page.length < PAGE) break;
      }
      for (let after = "", page: Awaited<ReturnType<Store["rawPage"]>> = []; ; after = page.at(-1)?.key as string) {
        page = await store.rawPage(after, PAGE);
        await write(page.map(({ body, box }) => JSON.stringify({ body: toBase64(body), ownBox: toBase64(box) })));
        if (page.length < PAGE) break;
      }
    });
    await out.sync();
  } finally {
    await db.end();
    await out.close();
  }
  return count;
}

/**
 * Adds what a dump holds to a manager's database: all of it or, where a line is damaged or says something else than the
 * database does, nothing. What is there already stays as it is.
 * @returns How many payloads the dump holds.
 */
export async function loadPayloads(databaseUrl: string, file: string): Promise<number> {
  const db = connect(databaseUrl, 1);
  let count = 0;
  try {
    await transaction(db, async (client) => {
      const store = await Store.open(client);
      for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Infinity })) {
        count++;
        const one = parse(text, `${file}, line ${count}`);
        if ("ownBox" in one) await store.putRaw(keyOf(one.body), one.body, one.ownBox);
        else await store.put(keyOf(one.body), senderOf(one.body), one, one.waiting);
      }
    });
  } finally {
    await db.end();
  }
  return count;
}

function parse(text: string, where: string): z.infer<typeof line> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${where} is cut off or damaged: take another backup`);
  }
  const result = line.safeParse(json);
  if (!result.success) throw new Error(`${where} is no payload: take another backup`);
  return result.data;
}
