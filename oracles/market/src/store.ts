import { type Hex, type Deal, type Delivery, type KeyNode, type SubscriptionTerms } from "@msec/core";
import type pg from "pg";
import { type BatchDelivery } from "./prepare.ts";

const TABLES = `
create table if not exists deals (
  deal_id text primary key,
  deal jsonb not null,
  nodes jsonb not null,
  delivery jsonb,
  outcome text,
  raw text,
  nonce bigint
);
create table if not exists subscriptions (
  subscription_id text primary key,
  terms jsonb not null,
  outcome text
);
create table if not exists batches (
  subscription_id text not null references subscriptions,
  number bigint not null,
  delivery jsonb not null,
  settled boolean not null default false,
  primary key (subscription_id, number)
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

/** A subscription whose batches this deliverer has to do with. */
export interface SubscriptionRow {
  subscriptionId: Hex;
  terms: SubscriptionTerms;
}

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

  async putSubscription(subscriptionId: Hex, terms: SubscriptionTerms): Promise<void> {
    const text = "insert into subscriptions (subscription_id, terms) values ($1, $2) on conflict do nothing";
    await this.#db.query(text, [subscriptionId, pack(terms)]);
  }

  async openSubscriptions(): Promise<SubscriptionRow[]> {
    const { rows } = await this.#db.query("select * from subscriptions where outcome is null order by subscription_id");
    return rows.map((row) => ({
      subscriptionId: row.subscription_id as Hex,
      terms: unpack<SubscriptionTerms>(row.terms),
    }));
  }

  async finishSubscription(subscriptionId: Hex, outcome: string): Promise<void> {
    const text = "update subscriptions set outcome = $2 where subscription_id = $1";
    await this.#db.query(text, [subscriptionId, outcome]);
  }

  /** Keeps the delivery of a batch, or returns the one that was made before: a batch is never masked twice. */
  async putBatch(subscriptionId: Hex, delivery: BatchDelivery): Promise<BatchDelivery> {
    const { rows } = await this.#db.query(
      `insert into batches (subscription_id, number, delivery) values ($1, $2, $3)
       on conflict (subscription_id, number) do update set settled = false returning delivery`,
      [subscriptionId, delivery.number, pack(delivery)],
    );
    return unpack<BatchDelivery>(rows[0].delivery);
  }

  async batch(subscriptionId: Hex, number: number): Promise<BatchDelivery | undefined> {
    const text = "select delivery from batches where subscription_id = $1 and number = $2";
    const { rows } = await this.#db.query(text, [subscriptionId, number]);
    return rows[0] && unpack<BatchDelivery>(rows[0].delivery);
  }

  /** Numbers of batches that may have to be settled, ascending. */
  async unsettled(subscriptionId: Hex): Promise<number[]> {
    const text = "select number from batches where subscription_id = $1 and not settled order by number";
    return (await this.#db.query(text, [subscriptionId])).rows.map((row) => Number(row.number));
  }

  async putSettled(subscriptionId: Hex, number: number): Promise<void> {
    const text = "update batches set settled = true where subscription_id = $1 and number = $2";
    await this.#db.query(text, [subscriptionId, number]);
  }

  async counts(): Promise<Record<string, number>> {
    const { rows } = await this.#db.query(
      "select coalesce(outcome, 'open') as state, count(*) as n from deals group by 1",
    );
    return Object.fromEntries(rows.map((row) => [row.state as string, Number(row.n)]));
  }
}
