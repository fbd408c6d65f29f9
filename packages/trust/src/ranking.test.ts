import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  artifact,
  type ChainProvider,
  connectChain,
  contractsAt,
  deployCity,
  embedded,
  type EmbeddedChain,
  Sender,
  SOURCES,
  startChain,
} from "@msec/chain";
import { DEAL, type Deal, hashStruct, type Hex } from "@msec/core";
import { AbiCoder, ContractFactory, keccak256 } from "ethers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { boundOf, decayDown, decayFactor, decayUp, lowerOf, meanOf, weightOf } from "./math.ts";
import {
  addScoreForTransaction,
  type FinishedStatus,
  getRankingAll,
  getRankingOfProvider,
  NO_OPINION,
  providerOf,
} from "./ranking.ts";
import { freePort } from "../../service/src/ports.ts";

const key = (n: number) => `0x${n.toString(16).padStart(64, "0")}` as Hex;
const address = (n: number) => `0x${n.toString(16).padStart(40, "0")}` as Hex;
const organisation = (n: number) => key(0x0c0000 + n);
const DEPLOYER = key(0xd0d0);
const BUYER = new Sender(key(0xb0b), undefined as never, 0).address;
const STATUS: FinishedStatus = { state: 3, at: 1_700_000_000_000, atBlock: 1, deliveryHash: key(7) };

let folder: string;
let chain: EmbeddedChain;
let provider: ChainProvider;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-trust-"));
  chain = await startChain(folder, await freePort());
  provider = connectChain(embedded(chain.rpc, chain.chainId));
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** A deal of the buyer's with this seller; the n-th of all by its id, as ratings must come. */
function deals(seller: Hex, count: number): Deal[] {
  const fields = DEAL.fields.map(([type, name]) => [
    name,
    type === "address" ? address(9) : type === "bytes32" ? key(0) : type === "uint128" ? 0n : 0,
  ]);
  const base = Object.fromEntries(fields) as Deal;
  const id = (deal: Deal) => hashStruct(DEAL, deal);
  return Array.from({ length: count }, (_, i) => ({ ...base, buyer: BUYER, seller, nonce: key(i + 1) })).sort((a, b) =>
    id(a) < id(b) ? -1 : 1,
  );
}

test("rates, reads and ranks as packages/trust computes it", async () => {
  const { addresses } = await deployCity(provider, chain.chainId, DEPLOYER, {
    committee: { q: 1, members: [address(11)], organisations: [organisation(1)], fromEpoch: 1 },
    organisations: [
      { account: address(21), organisation: organisation(21) },
      { account: BUYER, organisation: organisation(22) },
    ],
    registrars: [address(21)],
    threshold: 1,
    softwareCap: 1,
    balances: [{ account: BUYER, amount: 100_000_000n }],
  });
  // An escrow that says of every deal that it ended as STATUS says.
  const word = keccak256(
    AbiCoder.defaultAbiCoder().encode(
      ["uint8", "uint64", "uint64", "bytes32"],
      [STATUS.state, STATUS.at, STATUS.atBlock, STATUS.deliveryHash],
    ),
  );
  const deployer = new Sender(DEPLOYER, provider, chain.chainId);
  const runtime = `7f${word.slice(2)}60005260206000f3`;
  const escrow = (await deployer.transact({ data: `0x602980600b6000396000f3${runtime}` })).contractAddress as string;
  const { abi, bytecode } = artifact(SOURCES.Reputation);
  const { data } = await new ContractFactory(abi, bytecode).getDeployTransaction(
    addresses.Directory,
    escrow,
    addresses.OracleCommittee,
    addresses.MSecToken,
    [organisation(1)],
  );
  const at = (await deployer.transact({ data })).contractAddress as Hex;
  const { Reputation } = contractsAt({ Reputation: at }, provider);
  const { MSecToken } = contractsAt({ MSecToken: addresses.MSecToken }, provider);
  const buyer = new Sender(key(0xb0b), provider, chain.chainId);
  await buyer.transact({
    to: addresses.MSecToken,
    data: MSecToken.interface.encodeFunctionData("approve", [at, 50_000_000n]),
  });

  // Everything of the contract's mathematics that can be asked, against the same here.
  for (const k of [0n, 1n, 7n, 63n, 300n]) expect(await Reputation.boundOf(k)).toBe(boundOf(k));
  for (const fee of [0n, 61n, 62n, 999_999n, 10n ** 12n])
    expect(await Reputation.weightOf(BUYER, fee)).toBe(weightOf(fee, lowerOf(0n, 0n)));

  const seller = address(21);
  const rated = [
    [100, 123_457n],
    [37, 400_001n],
    [0, 62n],
    [90, 1_000_000n],
  ] as const;
  let [inFavour, against, last] = [0n, 0n, 0n];
  for (const [i, [value, fee]] of rated.entries()) {
    const values = { delivery: value, quality: NO_OPINION, conduct: 50 };
    const deal = deals(seller, rated.length)[i] as Deal;
    const receipt = await addScoreForTransaction(Reputation, buyer, deal, STATUS, values, fee);
    const block = await provider.getBlock(receipt.blockNumber);
    const nowMs = BigInt(block?.timestamp as number) * 1000n;
    const factor = decayFactor(last === 0n ? 0n : nowMs - last);
    const weight = weightOf(fee, 0n);
    const good = (weight * BigInt(value)) / 100n;
    inFavour = decayDown(inFavour, factor) + good;
    against = decayUp(against, factor) + weight - good;
    last = nowMs;
    const score = await Reputation.scoreOf(organisation(21), 0, { blockTag: receipt.blockNumber });
    expect([score.mean, score.lower, score.count]).toEqual([
      meanOf(inFavour, against),
      lowerOf(inFavour, against),
      BigInt(i + 1),
    ]);
  }
  expect(await MSecToken.balanceOf(BUYER)).toBe(100_000_000n - rated.reduce((sum, [, fee]) => sum + fee, 0n));

  const one = await getRankingOfProvider(Reputation, organisation(21));
  expect(one.ratings).toBe(4);
  expect(one.facets.delivery.mean).toBeGreaterThan(one.facets.quality.mean);
  expect(one.objective).toBeCloseTo(1, 6);
  const all = await getRankingAll(Reputation);
  expect(all.map((p) => p.providerId).sort()).toEqual([organisation(1), organisation(21)]);
  expect(await providerOf(Reputation, address(21))).toBe(organisation(21));
  const again = deals(seller, rated.length)[0] as Deal;
  const bad = { delivery: 101, quality: 0, conduct: 0 };
  await expect(addScoreForTransaction(Reputation, buyer, again, STATUS, bad, 1n)).rejects.toThrow(/give 0 to 100/);
  await expect(
    addScoreForTransaction(Reputation, buyer, again, STATUS, { ...bad, delivery: 1 }, 1000n),
  ).rejects.toThrow();
}, 240_000);
