import { type Hex } from "@msec/core";
import {
  type BookOrder,
  type ListedOrder,
  listedFrom,
  makerOf,
  orderHash,
  orderToJson,
  termsOfOrder,
} from "@msec/trade";
import type pg from "pg";

const TABLES = `
create table if not exists orders (
  hash text primary key,
  kind text not null,
  maker text not null,
  stream_id text not null,
  counter bigint not null,
  -- Offers under one salt share an amount; of requests under one nonce at most one is filled.
  salt text not null,
  deadline_ms bigint not null,
  body jsonb not null,
  state text not null default 'open',
  filled bigint not null default 0,
  deal_id text,
  received_at_ms bigint not null
);
create index if not exists orders_open on orders (stream_id, kind) where state = 'open'`;

export interface OrderFilter {
  kind?: "offer" | "request";
  stream?: Hex;
  maker?: Hex;
  /** Those that can still be settled alone. */
  open: boolean;
}

interface Row {
  hash: Hex;
  body: object;
  state: string;
  filled: string;
  deal_id: Hex | null;
  received_at_ms: string;
}

/** The signed orders that this market was given. */
export class Book {
  readonly #db: pg.Pool;

  private constructor(db: pg.Pool) {
    this.#db = db;
  }

  static async open(db: pg.Pool): Promise<Book> {
    await db.query(TABLES);
    return new Book(db);
  }

  /** Keeps an order, or the newer permit of one that is here; false if it was here before. */
  async put(order: BookOrder, nowMs: number): Promise<boolean> {
    const terms = termsOfOrder(order);
    const salt = "salt" in terms ? terms.salt : terms.nonce;
    const { rows } = await this.#db.query<{ added: boolean }>(
      `insert into orders (hash, kind, maker, stream_id, counter, salt, deadline_ms, body, received_at_ms)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
       on conflict (hash) do update set body = excluded.body returning xmax = 0 as added`,
      [
        orderHash(order),
        order.kind,
        makerOf(order),
        terms.streamId,
        terms.counter,
        salt,
        terms.deadline,
        JSON.stringify(orderToJson(order)),
        nowMs,
      ],
    );
    return rows[0]?.added === true;
  }

  /** Newest first. */
  async list(filter: OrderFilter, nowMs: number, limit = 500): Promise<ListedOrder[]> {
    const { rows } = await this.#db.query<Row>(
      `select * from orders
       where ($1::text is null or kind = $1) and ($2::text is null or stream_id = $2) and ($3::text is null or maker = $3)
         and (not $4 or (state = 'open' and deadline_ms >= $5))
       order by received_at_ms desc, hash limit $6`,
      [filter.kind ?? null, filter.stream ?? null, filter.maker ?? null, filter.open, nowMs, limit],
    );
    return rows.map((row) => listed(row, nowMs));
  }

  async get(hash: Hex, nowMs: number): Promise<ListedOrder | undefined> {
    const { rows } = await this.#db.query<Row>("select * from orders where hash = $1", [hash]);
    return rows[0] && listed(rows[0], nowMs);
  }

  /** Open orders, all and of one account. */
  async counts(maker: Hex, nowMs: number): Promise<{ all: number; own: number }> {
    const { rows } = await this.#db.query<{ all: string; own: string }>(
      `select count(*) as all, count(*) filter (where maker = $1) as own from orders
       where state = 'open' and deadline_ms >= $2`,
      [maker, nowMs],
    );
    return { all: Number(rows[0]?.all), own: Number(rows[0]?.own) };
  }

  /** A request was settled, and with it every other one under its nonce. */
  async fill(requestHash: Hex, dealId: Hex): Promise<void> {
    await this.#db.query("update orders set state = 'filled', deal_id = $2 where hash = $1", [requestHash, dealId]);
    await this.#db.query(
      `update orders set state = 'cancelled' where kind = 'request' and state = 'open'
         and (maker, salt) in (select maker, salt from orders where hash = $1)`,
      [requestHash],
    );
  }

  /** What the chain says of how much of an offer, and of those under the same salt, is sold. */
  async sold(offerHash: Hex, filled: number): Promise<void> {
    await this.#db.query(
      `update orders set filled = $2::bigint,
         state = case when state = 'open' and $2::bigint >= (body->'order'->>'amount')::numeric then 'filled' else state end
       where kind = 'offer' and (maker, salt) in (select maker, salt from orders where hash = $1)`,
      [offerHash, filled],
    );
  }

  async cancel(kind: "offer" | "request", maker: Hex, salt: Hex): Promise<void> {
    await this.#db.query(
      "update orders set state = 'cancelled' where kind = $1 and maker = $2 and salt = $3 and state = 'open'",
      [kind, maker, salt],
    );
  }

  async cancelBefore(maker: Hex, counter: number): Promise<void> {
    await this.#db.query("update orders set state = 'cancelled' where maker = $1 and counter < $2 and state = 'open'", [
      maker,
      counter,
    ]);
  }
}

function listed({ hash, body, state, filled, deal_id, received_at_ms }: Row, nowMs: number): ListedOrder {
  const order = listedFrom({ ...body, hash, state, filled, dealId: deal_id, receivedAtMs: received_at_ms });
  const over = order.state === "open" && termsOfOrder(order.order).deadline < nowMs;
  return over ? { ...order, state: "expired" } : order;
}
