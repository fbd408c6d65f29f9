import { type Epoch, EPOCH, epochHash, type Hex, ZERO32 } from "@msec/core";
import { type Result } from "ethers";
import { count, type Finding, hash, type Invariant, type Moment, rowsOf } from "./invariant.ts";

/** Epochs that are fetched at once, and how long they are followed at a time. */
const AT_ONCE = 200;
const BUDGET_MS = 1_000;

interface Anchored {
  number: number;
  hash: Hex;
  tx: Hex;
}

/** How far the line of epochs was followed. */
interface Followed {
  number: number;
  hash: Hex;
  closedAt: number;
  count: number;
  /** The first that does not follow the one before. */
  wrong?: { number: number; why: "prev" | "hash" | "time" };
}

/** The whole epochs that a transaction anchored, from what was sent. */
function epochsIn(moment: Moment, data: string): Epoch[] {
  const parsed = moment.calls.contracts.DataAnchor.interface.parseTransaction({ data });
  const given = (
    parsed?.name === "anchor" ? [parsed.args[0]] : parsed?.name === "anchorMany" ? [...(parsed.args[0] as Result)] : []
  ) as Result[];
  return given.map(
    (fields) =>
      Object.fromEntries(
        EPOCH.fields.map(([type, name]) => [
          name,
          type === "bytes32" ? fields.getValue(name) : Number(fields.getValue(name)),
        ]),
      ) as unknown as Epoch,
  );
}

/**
 * The line of epochs, followed from the first on: each names the hash of the one before. What was followed is not followed
 * again.
 */
export class EpochLine implements Invariant {
  readonly ids = ["epochs-linked"];
  #followed: Followed | undefined;

  async evaluate(moment: Moment): Promise<Finding[]> {
    const { DataAnchor } = moment.calls.contracts;
    const [head, first, [known]] = await Promise.all([
      DataAnchor.latest(),
      DataAnchor.firstNumber(),
      rowsOf<{ count: string; newest: string | null }>(
        moment,
        "select count(*) as count, max((args->>'number')::bigint) as newest from events where contract = 'DataAnchor' and name = 'Anchored' and block <= $1",
        [moment.block],
      ),
    ]);
    const unread = await this.#follow(moment);
    const followed = this.#followed;
    const anchored = Number(known?.count ?? 0);
    const onChain = first === 0n ? 0 : Number(head.number - first) + 1;
    // Some of them are asked of the contract's own memory, too.
    const asked = [...new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Number(first) + Math.floor(part * (onChain - 1))))];
    const numbers = onChain > 0 ? asked : [];
    const [stored, told] = await Promise.all([
      Promise.all(numbers.map((number) => DataAnchor.epochHash(number))),
      rowsOf<{ number: string; hash: Hex }>(
        moment,
        "select args->>'number' as number, args->>'epochHash' as hash from events where contract = 'DataAnchor' and name = 'Anchored' and (args->>'number')::bigint = any($1)",
        [numbers],
      ),
    ]);
    const hashes = new Map(told.map((row) => [Number(row.number), row.hash]));
    const agree = stored.filter((word, i) => word === hashes.get(numbers[i] as number)).length;
    const behind = anchored - (followed?.count ?? 0);
    const reason = followed?.wrong
      ? followed.wrong.why
      : onChain !== anchored
        ? "hole"
        : agree !== numbers.length
          ? "stored"
          : unread !== undefined
            ? "unread"
            : behind > 0
              ? "behind"
              : null;
    const broken = reason !== null && reason !== "unread" && reason !== "behind";
    return [
      {
        id: "epochs-linked",
        subject: null,
        verdict: broken ? "broken" : reason ? "unknown" : "holds",
        reason,
        figures: [
          count("epochs", anchored),
          count("followed", followed?.count ?? 0),
          count("newest", head.number),
          hash("newestHash", head.hash),
          count("asked", numbers.length),
          count("askedAgree", agree),
          ...(followed?.wrong ? [count("wrong", followed.wrong.number)] : unread ? [count("wrong", unread)] : []),
        ],
        events: ["DataAnchor.Anchored"],
      },
    ];
  }

  /** Goes on where it was. @returns The number of an epoch whose transaction does not show it, if there is one. */
  async #follow(moment: Moment): Promise<number | undefined> {
    if (this.#followed && !(await this.#isStill(moment, this.#followed))) this.#followed = undefined;
    for (const until = Date.now() + BUDGET_MS; Date.now() < until && !this.#followed?.wrong; ) {
      const rows = await rowsOf<Anchored & { number: string }>(
        moment,
        `select args->>'number' as number, args->>'epochHash' as hash, tx from events where contract = 'DataAnchor' and name = 'Anchored'
           and block <= $1 and (args->>'number')::bigint > $2 order by (args->>'number')::bigint limit ${AT_ONCE}`,
        [moment.block, this.#followed?.number ?? 0],
      );
      if (rows.length === 0) return undefined;
      const sent = await Promise.all(rows.map(({ tx }) => moment.provider.getTransaction(tx)));
      for (const [i, row] of rows.entries()) {
        const number = Number(row.number);
        const epoch = epochsIn(moment, sent[i]?.data ?? "0x").find((one) => one.number === number);
        if (!epoch) return number;
        this.#followed = next(this.#followed, epoch, row.hash);
        if (this.#followed.wrong) break;
      }
    }
    return undefined;
  }

  async #isStill(moment: Moment, { number, hash: followed }: Followed): Promise<boolean> {
    const [row] = await rowsOf<{ hash: Hex }>(
      moment,
      "select args->>'epochHash' as hash from events where contract = 'DataAnchor' and name = 'Anchored' and args->>'number' = $1",
      [String(number)],
    );
    return row?.hash === followed;
  }
}

function next(before: Followed | undefined, epoch: Epoch, told: Hex): Followed {
  const { number, closedAt } = epoch;
  const followed = { number, hash: told, closedAt, count: (before?.count ?? 0) + 1 };
  const why = wrongIn(before, epoch, told);
  return why ? { ...followed, wrong: { number, why } } : followed;
}

function wrongIn(before: Followed | undefined, epoch: Epoch, told: Hex): "hash" | "prev" | "time" | undefined {
  if (epochHash(epoch) !== told) return "hash";
  if (!before) return epoch.number === 1 && epoch.prev !== ZERO32 ? "prev" : undefined;
  if (epoch.prev !== before.hash || epoch.number !== before.number + 1) return "prev";
  return epoch.closedAt <= before.closedAt ? "time" : undefined;
}
