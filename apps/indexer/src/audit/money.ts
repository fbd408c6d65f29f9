import { type Hex, ZERO32 } from "@msec/core";
import { AbiCoder, keccak256 } from "ethers";
import {
  amount,
  count,
  type Figure,
  type Finding,
  few,
  type Invariant,
  type Moment,
  rowsOf,
  sum,
} from "./invariant.ts";

const coder = AbiCoder.defaultAbiCoder();
const STATUS = "tuple(uint8 state, uint64 at, uint64 atBlock, bytes32 deliveryHash)";
const BATCH =
  "tuple(uint32 number, address by, uint64 at, uint64 atBlock, uint64 asOfEpoch, uint256 slots, uint256 Ex, uint8 vE, bytes32 masked)";
const wordOf = (type: string, value: object): string => keccak256(coder.encode([type], [value]));

type Holder = "Escrow" | "Subscription";

/** Tokens that the escrow was ever told to take. */
const tokensOf = (moment: Moment) =>
  rowsOf<{ token: Hex }>(
    moment,
    "select distinct args->>'token' as token from events where contract = 'Escrow' and name = 'TokenSet' and block <= $1",
    [moment.block],
  );

/** Free bonds and credits of some accounts, by the contract's own books. */
async function owed(moment: Moment, holder: Holder, token: Hex, accounts: { account: Hex }[]) {
  const { bondOf, creditOf } = moment.calls.contracts[holder];
  const [bonds, credits] = await Promise.all([
    Promise.all(few(accounts, "accounts").map(({ account }) => bondOf(account, token))),
    Promise.all(accounts.map(({ account }) => creditOf(account, token))),
  ]);
  return { bonds: sum(bonds), credits: sum(credits) };
}

/** Holds what it owes: a surplus is somebody's gift and nobody's loss. */
async function judged(
  moment: Moment,
  holder: Holder,
  token: Hex,
  parts: Figure[],
  words: { agree: number; of: number },
  flow: { in: bigint; out: bigint },
  events: { held: string[]; flow: string[] },
): Promise<Finding[]> {
  const { contracts } = moment.calls;
  const balance = await contracts.MSecToken.attach(token).getFunction("balanceOf")(
    await contracts[holder].getAddress(),
  );
  const held = sum(parts.map(({ value }) => BigInt(value)));
  const surplus = (balance as bigint) - held;
  const id = holder.toLowerCase();
  const broken = surplus < 0n || words.agree !== words.of;
  const kept = flow.in - flow.out;
  return [
    {
      id: `${id}-covered`,
      subject: token,
      verdict: broken ? "broken" : "holds",
      reason: surplus < 0n ? "short" : words.agree !== words.of ? "words" : surplus > 0n ? "surplus" : null,
      figures: [
        amount("balance", balance as bigint),
        amount("held", held),
        amount("surplus", surplus),
        ...parts,
        count("words", words.of),
        count("wordsAgree", words.agree),
      ],
      events: events.held,
    },
    {
      id: `${id}-books`,
      subject: token,
      verdict: kept === held ? "holds" : "broken",
      reason: kept === held ? null : "books",
      figures: [amount("in", flow.in), amount("out", flow.out), amount("kept", kept), amount("held", held)],
      events: events.flow,
    },
  ];
}

interface OpenDeal {
  id: Hex;
  price: string;
  bond: string;
  state: "DealOpened" | "Delivered" | "Disputed";
  stake: string | null;
  status: { state: number; at: string; atBlock: string; deliveryHash: Hex } | null;
  block: string;
  at: string;
}

async function escrow(moment: Moment, token: Hex): Promise<Finding[]> {
  const { block, calls } = moment;
  const open = few(
    await rowsOf<OpenDeal>(
      moment,
      `select o.args->>'dealId' as id, o.args->'deal'->>'price' as price, o.args->'deal'->>'bond' as bond, o.block, b.at,
         coalesce(l.name, 'DealOpened') as state, l.args->>'complaintBond' as stake, s.args->'status' as status
       from events o join blocks b on b.number = o.block
       left join lateral (select e.name, e.args from events e where e.args->>'dealId' = o.args->>'dealId' and e.contract = 'Escrow'
         and e.name in ('Delivered', 'Released', 'Refunded', 'Disputed', 'Resolved') and e.block <= $1
         order by e.block desc, e.index desc limit 1) l on true
       left join lateral (select e.args from events e where e.args->>'dealId' = o.args->>'dealId' and e.contract = 'Escrow'
         and e.name = 'StatusChanged' and e.block <= $1 order by e.block desc, e.index desc limit 1) s on true
       where o.contract = 'Escrow' and o.name = 'DealOpened' and o.block <= $1 and o.args->'deal'->>'token' = $2
         and coalesce(l.name, 'DealOpened') in ('DealOpened', 'Delivered', 'Disputed')`,
      [block, token],
    ),
    "open deals",
  );
  const words = await Promise.all(open.map(({ id }) => calls.contracts.Escrow.statusWord(id)));
  const expected = open.map(({ status, at, block: opened }) =>
    wordOf(STATUS, status ?? { state: 1, at: BigInt(at) * 1000n, atBlock: opened, deliveryHash: ZERO32 }),
  );
  const accounts = await rowsOf<{ account: Hex }>(
    moment,
    `select distinct account from (
       select e.args->>'account' as account from events e where e.contract = 'Escrow' and e.name = 'BondDeposited' and e.block <= $1
       union all select unnest(array[o.args->'deal'->>'deliverer', o.args->'deal'->>'fallbackDeliverer', o.args->'deal'->>'seller', o.args->'deal'->>'buyer'])
         from events o join events f on f.args->>'dealId' = o.args->>'dealId' and f.contract = 'Escrow' and f.name in ('Released', 'Refunded', 'Resolved') and f.block <= $1
         where o.contract = 'Escrow' and o.name = 'DealOpened' and o.block <= $1
       union all select jsonb_array_elements_text(p.args->'members') from events p where p.contract = 'Arbitration' and p.name = 'PanelSet' and p.block <= $1
     ) a`,
    [block],
  );
  const { bonds, credits } = await owed(moment, "Escrow", token, accounts);
  const delivered = open.filter(({ state }) => state !== "DealOpened");
  const [flow] = (await rowsOf<{ paid: string; out: string }>(
    moment,
    `select coalesce(sum(case e.name when 'DealOpened' then (e.args->'deal'->>'price')::numeric
         when 'BondDeposited' then (e.args->>'amount')::numeric
         when 'Disputed' then (e.args->>'complaintBond')::numeric end), 0)::text as paid,
       coalesce(sum(case when e.name in ('Withdrawn', 'BondWithdrawn') then (e.args->>'amount')::numeric end), 0)::text as out
     from events e left join events o on e.name = 'Disputed' and o.contract = 'Escrow' and o.name = 'DealOpened' and o.args->>'dealId' = e.args->>'dealId'
     where e.contract = 'Escrow' and e.block <= $1
       and coalesce(e.args->>'token', e.args->'deal'->>'token', o.args->'deal'->>'token') = $2`,
    [block, token],
  )) as [{ paid: string; out: string }];
  return judged(
    moment,
    "Escrow",
    token,
    [
      amount("price", sum(open.map(({ price }) => BigInt(price)))),
      amount("lockedBonds", sum(delivered.map(({ bond }) => BigInt(bond)))),
      amount("stakes", sum(open.map(({ state, stake }) => (state === "Disputed" ? BigInt(stake ?? 0) : 0n)))),
      amount("freeBonds", bonds),
      amount("credits", credits),
    ],
    { agree: words.filter((word, i) => word === expected[i]).length, of: words.length },
    { in: BigInt(flow.paid), out: BigInt(flow.out) },
    {
      held: ["DealOpened", "StatusChanged", "Delivered", "Released", "Refunded", "Disputed", "Resolved"].map(
        (name) => `Escrow.${name}`,
      ),
      flow: ["DealOpened", "BondDeposited", "Disputed", "Withdrawn", "BondWithdrawn"].map((name) => `Escrow.${name}`),
    },
  );
}

interface OpenBatch {
  id: Hex;
  slotPrice: string;
  bond: string;
  batch: Record<string, string | number> & { number: number; slots: string };
}

const ones = (slots: bigint): bigint => BigInt([...slots.toString(2)].filter((bit) => bit === "1").length);

async function subscription(moment: Moment, token: Hex): Promise<Finding[]> {
  const { block, calls } = moment;
  const { Subscription } = calls.contracts;
  const running = few(
    await rowsOf<{ id: Hex }>(
      moment,
      `select s.args->>'subscriptionId' as id from events s where s.contract = 'Subscription' and s.name = 'Subscribed' and s.block <= $1
         and s.args->'terms'->>'token' = $2 and not exists (select 1 from events e where e.contract = 'Subscription' and e.name = 'Ended'
           and e.args->>'subscriptionId' = s.args->>'subscriptionId' and e.block <= $1)`,
      [block, token],
    ),
    "subscriptions",
  );
  const batches = few(
    await rowsOf<OpenBatch>(
      moment,
      `select d.args->>'subscriptionId' as id, s.args->'terms'->>'slotPrice' as "slotPrice", s.args->'terms'->>'bond' as bond, d.args->'batch' as batch
       from events d join events s on s.contract = 'Subscription' and s.name = 'Subscribed' and s.args->>'subscriptionId' = d.args->>'subscriptionId'
       where d.contract = 'Subscription' and d.name = 'BatchDelivered' and d.block <= $1 and s.args->'terms'->>'token' = $2
         and not exists (select 1 from events f where f.contract = 'Subscription' and f.name in ('BatchSettled', 'BatchRefunded')
           and f.args->>'subscriptionId' = d.args->>'subscriptionId' and f.args->'number' = d.args->'number' and f.block <= $1)`,
      [block, token],
    ),
    "batches",
  );
  const accounts = await rowsOf<{ account: Hex }>(
    moment,
    `select distinct account from (
       select e.args->>'account' as account from events e where e.contract = 'Subscription' and e.name = 'BondDeposited' and e.block <= $1
       union all select unnest(array[s.args->'terms'->>'deliverer', s.args->'terms'->>'fallbackDeliverer', s.args->'terms'->>'seller', s.args->'terms'->>'buyer'])
         from events s where s.contract = 'Subscription' and s.name = 'Subscribed' and s.block <= $1
     ) a`,
    [block],
  );
  const [states, words, { bonds, credits }, [flow]] = await Promise.all([
    Promise.all(running.map(({ id }) => Subscription.stateOf(id))),
    Promise.all(batches.map(({ id, batch }) => Subscription.batchWord(id, batch.number))),
    owed(moment, "Subscription", token, accounts),
    rowsOf<{ paid: string; out: string }>(
      moment,
      `select coalesce(sum(case e.name when 'Subscribed' then (e.args->>'deposit')::numeric
           when 'ToppedUp' then (e.args->>'amount')::numeric when 'BondDeposited' then (e.args->>'amount')::numeric end), 0)::text as paid,
         coalesce(sum(case when e.name in ('Withdrawn', 'BondWithdrawn') then (e.args->>'amount')::numeric end), 0)::text as out
       from events e left join events s on e.name = 'ToppedUp' and s.contract = 'Subscription' and s.name = 'Subscribed'
         and s.args->>'subscriptionId' = e.args->>'subscriptionId'
       where e.contract = 'Subscription' and e.block <= $1
         and coalesce(e.args->>'token', e.args->'terms'->>'token', s.args->'terms'->>'token') = $2`,
      [block, token],
    ),
  ]);
  const paid = flow as { paid: string; out: string };
  return judged(
    moment,
    "Subscription",
    token,
    [
      amount("deposits", sum(states.map(({ balance }) => balance))),
      amount("batches", sum(batches.map(({ slotPrice, batch }) => BigInt(slotPrice) * ones(BigInt(batch.slots))))),
      amount("lockedBonds", sum(batches.map(({ bond }) => BigInt(bond)))),
      amount("freeBonds", bonds),
      amount("credits", credits),
    ],
    {
      agree: words.filter((word, i) => word === wordOf(BATCH, (batches[i] as OpenBatch).batch)).length,
      of: words.length,
    },
    { in: BigInt(paid.paid), out: BigInt(paid.out) },
    {
      held: ["Subscribed", "Ended", "BatchDelivered", "BatchSettled", "BatchRefunded"].map(
        (name) => `Subscription.${name}`,
      ),
      flow: ["Subscribed", "ToppedUp", "BondDeposited", "Withdrawn", "BondWithdrawn"].map(
        (name) => `Subscription.${name}`,
      ),
    },
  );
}

const ofEachToken =
  (evaluate: (moment: Moment, token: Hex) => Promise<Finding[]>): Invariant["evaluate"] =>
  async (moment) =>
    (await Promise.all((await tokensOf(moment)).map(({ token }) => evaluate(moment, token)))).flat();

async function supply(moment: Moment): Promise<Finding[]> {
  const { MSecToken } = moment.calls.contracts;
  const ZERO = `0x${"00".repeat(20)}`;
  const [total, cap, [moved]] = await Promise.all([
    MSecToken.totalSupply(),
    MSecToken.cap(),
    rowsOf<{ minted: string; burnt: string }>(
      moment,
      `select coalesce(sum(case when args->>'from' = $2 then (args->>'value')::numeric end), 0)::text as minted,
         coalesce(sum(case when args->>'to' = $2 then (args->>'value')::numeric end), 0)::text as burnt
       from events where contract = 'MSecToken' and name = 'Transfer' and block <= $1`,
      [moment.block, ZERO],
    ),
  ]);
  const [minted, burnt] = [BigInt(moved?.minted ?? 0), BigInt(moved?.burnt ?? 0)];
  const reason = total > cap ? "cap" : total !== minted - burnt ? "minted" : null;
  return [
    {
      id: "supply",
      subject: (await MSecToken.getAddress()).toLowerCase(),
      verdict: reason ? "broken" : "holds",
      reason,
      figures: [amount("supply", total), amount("cap", cap), amount("minted", minted), amount("burnt", burnt)],
      events: ["MSecToken.Transfer"],
    },
  ];
}

export const MONEY: readonly Invariant[] = [
  { ids: ["escrow-covered", "escrow-books"], evaluate: ofEachToken(escrow) },
  { ids: ["subscription-covered", "subscription-books"], evaluate: ofEachToken(subscription) },
  { ids: ["supply"], evaluate: supply },
];
