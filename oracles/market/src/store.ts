import { type Hex, type Deal, type Delivery, type KeyNode } from "@msec/core";
import type pg from "pg";

const TABLES = `
create table if not exists deals (
  deal_id text primary key,
  deal jsonb not null,
  nodes jsonb not null,
  delivery jsonb,
  outcome text,
  raw text,
  nonce bigint
)`;

/** A deal that this deliverer has to do with. */
export interface DealRow {
  dealId: Hex;
  deal: Deal;
  nodes: KeyNode[];
  /** What is delivered, once made: the same is sent again however often it must be. */
  delivery: Delivery | null;
  /** Set when nothing is left to do. */
  outcome: string | null;
  raw: Hex | null;
  nonce: number | null;
}

const pack = (value: unknown) =>
  JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? { uint: v.toString() } : v));
const unpack = <T>(value: unknown): T =>
  JSON.parse(JSON.stringify(value), (_, v: unknown) =>
    v !== null && typeof v === "object" && "uint" in v ? BigInt((v as { uint: string }).uint) : v,
  ) as T;

/** What the deliverer must remember over a restart. */
export class Store {
  readonly #db: pg.Pool;

  private constructor(db: pg.Pool) {
    this.#db = db;
  }

  static async open(db: pg.Pool): Promise<Store> {
    await db.query(TABLES);
    return new Store(db);
  }

  async put(dealId: Hex, deal: Deal, nodes: KeyNode[]): Promise<void> {
    await this.#db.query("insert into deals (deal_id, deal, nodes) values ($1, $2, $3) on conflict do nothing", [
      dealId,
      pack(deal),
      pack(nodes),
    ]);
  }

  async unfinished(): Promise<DealRow[]> {
    const { rows } = await this.#db.query("select * from deals where outcome is null order by deal_id");
    return rows.map((row) => ({
      dealId: row.deal_id as Hex,
      deal: unpack<Deal>(row.deal),
      nodes: unpack<KeyNode[]>(row.nodes),
      delivery: row.delivery === null ? null : unpack<Delivery>(row.delivery),
      outcome: row.outcome as string | null,
      raw: row.raw as Hex | null,
      nonce: row.nonce === null ? null : Number(row.nonce),
    }));
  }

  async putDelivery(dealId: Hex, delivery: Delivery): Promise<void> {
    await this.#db.query("update deals set delivery = $2 where deal_id = $1 and delivery is null", [
      dealId,
      pack(delivery),
    ]);
  }

  async putRaw(dealId: Hex, raw: Hex, nonce: number): Promise<void> {
    await this.#db.query("update deals set raw = $2, nonce = $3 where deal_id = $1", [dealId, raw, nonce]);
  }

  async finish(dealId: Hex, outcome: string): Promise<void> {
    await this.#db.query("update deals set outcome = $2 where deal_id = $1", [dealId, outcome]);
  }

  async counts(): Promise<Record<string, number>> {
    const { rows } = await this.#db.query(
      "select coalesce(outcome, 'open') as state, count(*) as n from deals group by 1",
    );
    return Object.fromEntries(rows.map((row) => [row.state as string, Number(row.n)]));
  }
}
