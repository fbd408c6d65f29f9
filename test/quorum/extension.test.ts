import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type ChainProvider,
  connectChain,
  contractPrivacyOf,
  PRIVACY,
  PrivacyManager,
  type PrivateFor,
  PrivateSender,
} from "@msec/chain";
import { type Hex, toHex } from "@msec/core";
import {
  ask,
  askAsOperator,
  downNetwork,
  type ExtensionOutcome,
  Extensions,
  initNetwork,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  privacyOf,
  profileOf,
  upNetwork,
} from "@msec/quorum";
import { secretFile } from "@msec/service";
import { AbiCoder, getCreateAddress, id, keccak256 } from "ethers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// Private contracts that are given to one more party on four GoQuorum validators, each with a privacy manager of ours. The first two are
// the parties, the third is to become one, the fourth never is.

const root = mkdtempSync(join(tmpdir(), "msec-extension-"));
const folder = new NetworkFolder(root);
/** Keeps one word: a call with data writes it, one without reads it. */
const WORD = "0x6018600c60003960186000f33615600c57600035600055005b60005460005260206000f3";
const HOUR = 3600;
const random = (): Hex => toHex(new Uint8Array(randomBytes(32)));

interface Side {
  node: NodePlan;
  key: string;
  provider: ChainProvider;
  sender: PrivateSender;
  extensions: Extensions;
}
let plan: NetworkPlan;
let sides: Side[];
const side = (n: number) => sides[n] as Side;

beforeAll(async () => {
  plan = await initNetwork(root, { chainId: 20_261, validators: 4, observers: 0, members: 4, blockSeconds: 1 });
  await upNetwork(root, () => undefined);
  sides = await Promise.all(
    plan.nodes.map(async (node) => {
      const { q2t, thirdParty } = privacyOf(node) as { q2t: string; thirdParty: string };
      const manager = new PrivacyManager(q2t, thirdParty);
      const provider = connectChain(profileOf(plan, node));
      return {
        ...{ node, provider, key: (await manager.keys())[0] as string },
        sender: new PrivateSender(random(), provider, manager),
        extensions: new Extensions(root, node.name),
      };
    }),
  );
});

afterAll(async () => {
  for (const { provider } of sides ?? []) provider.destroy();
  await downNetwork(root);
  rmSync(root, { recursive: true, force: true });
});

async function send(from: Side, call: { to?: Hex; data: string }, privateFor: PrivateFor): Promise<number> {
  const nonce = await from.provider.getTransactionCount(from.sender.address, "pending");
  const { raw, hash } = await from.sender.sign({ gasLimit: 1_000_000, ...call }, nonce);
  await from.sender.broadcast(raw, privateFor);
  expect((await from.provider.mined(hash)).status).toBe(1);
  return nonce;
}

/** Until all nodes have the block that the first one has. */
async function level(): Promise<void> {
  const height = await side(0).provider.getBlockNumber();
  for (const { provider } of sides) while ((await provider.getBlockNumber()) < height) await sleep(100);
}

/** The word of a contract, as one side's node knows it; undefined where it has no such contract. */
async function wordAt(n: number, to: Hex): Promise<string | undefined> {
  const answer = await side(n).provider.call({ to, data: "0x" });
  return answer === "0x" ? undefined : answer;
}

const among = (flag: PrivateFor["flag"], ...others: number[]): PrivateFor => ({
  to: others.map((n) => side(n).key),
  ...(flag === undefined ? {} : { flag }),
  ...(flag === PRIVACY.mandatoryParties ? { mandatory: [side(1).key] } : {}),
});

/** A contract of the first two that holds a word. */
async function made(flag: PrivateFor["flag"], word: Hex): Promise<Hex> {
  const nonce = await send(side(0), { data: WORD }, among(flag, 1));
  const address = getCreateAddress({ from: side(0).sender.address, nonce }).toLowerCase() as Hex;
  await send(side(0), { to: address, data: word }, among(flag, 1));
  await level();
  return address;
}

/** An offer of the first to the third, as the third sees it, and how it ends. */
async function offered(contract: Hex, seconds = HOUR, signal?: AbortSignal) {
  const to = await side(2).extensions.card();
  let told: (management: Hex) => void = () => undefined;
  const management = new Promise<Hex>((resolve) => (told = resolve));
  const outcome = side(0).extensions.offer(contract, to, seconds, told, signal);
  // It fails at once where it fails.
  await Promise.race([management, outcome]);
  await level();
  return { management: await management, outcome } as { management: Hex; outcome: Promise<ExtensionOutcome> };
}

const account = async (n: number) => (await side(n).extensions.card()).account;
const spend = async (n: number) => {
  const from = await account(n);
  return ask(side(n).provider._getConnection().url, "eth_sendTransaction", [{ from, to: from, gasPrice: "0x0" }]);
};

describe.each([
  ["party protection", PRIVACY.partyProtection],
  ["mandatory parties", PRIVACY.mandatoryParties],
  ["state validation", PRIVACY.stateValidation],
] as const)("a contract of flag %s", (_, flag) => {
  test("is extended to a third party, which reads what was there before, and takes part from then on; a fourth has nothing", async () => {
    const word = random();
    const contract = await made(flag, word);
    expect(await wordAt(2, contract)).toBeUndefined();
    const { management, outcome } = await offered(contract);
    expect(await side(2).extensions.active()).toMatchObject([
      { managementContractAddress: management, contractExtended: contract, recipient: await account(2) },
    ]);
    await side(2).extensions.vote(management, true, [side(1).key]);
    expect(await outcome).toBe("extended");
    await level();
    expect(await wordAt(2, contract)).toBe(word);
    expect(await contractPrivacyOf(side(2).provider, contract)).toMatchObject({ flag });
    const [next, last] = [random(), random()];
    await send(side(0), { to: contract, data: next }, among(flag, 1, 2));
    await level();
    for (const n of [0, 1, 2]) expect(await wordAt(n, contract)).toBe(next);
    await send(side(2), { to: contract, data: last }, among(flag, 0, 1));
    await level();
    for (const n of [0, 1, 2]) expect(await wordAt(n, contract)).toBe(last);

    expect(await wordAt(3, contract)).toBeUndefined();
    expect(await side(3).provider.getCode(management)).toBe("0x");
    for (const n of [0, 1, 2, 3]) expect(await side(n).extensions.active()).toEqual([]);
    await expect(send(side(3), { to: contract, data: random() }, among(flag, 0, 1, 2))).rejects.toThrow(
      /node does not take/,
    );
  });
});

describe("a contract does not come to a third party", () => {
  test("that refuses it", async () => {
    const contract = await made(PRIVACY.partyProtection, random());
    const { management, outcome } = await offered(contract);
    await side(2).extensions.vote(management, false, [side(1).key]);
    expect(await outcome).toBe("refused");
    await level();
    expect(await wordAt(2, contract)).toBeUndefined();
    for (const n of [0, 1, 2]) expect(await side(n).extensions.active()).toEqual([]);
    await expect(side(2).extensions.vote(management, true)).rejects.toThrow(/no offer .* is open here/);
  });

  test("to which the offer is taken back, by whoever waits or later, or when its time is over", async () => {
    const contract = await made(PRIVACY.partyProtection, random());
    const stop = new AbortController();
    const first = await offered(contract, HOUR, stop.signal);
    stop.abort();
    expect(await first.outcome).toBe("taken back");
    const second = await offered(contract, 2);
    expect(await second.outcome).toBe("taken back");
    const third = await offered(contract);
    await expect(side(0).extensions.vote(third.management, true)).rejects.toThrow(/waits for an answer to its offer/);
    await expect(side(2).extensions.takeBack(third.management)).rejects.toThrow(/not the creator/);
    await side(0).extensions.takeBack(third.management);
    expect(await third.outcome).toBe("taken back");
    await level();
    expect(await wordAt(2, contract)).toBeUndefined();
    for (const n of [0, 1, 2]) expect(await side(n).extensions.active()).toEqual([]);
    for (const { management } of [first, second, third])
      await expect(side(2).extensions.vote(management, true)).rejects.toThrow(/no offer .* is open here/);
  });

  test("from a party that did not make it, or a node that does not have it", async () => {
    const contract = await made(PRIVACY.partyProtection, random());
    const to = await side(2).extensions.card();
    const offer = (n: number) => side(n).extensions.offer(contract, to, HOUR, () => undefined);
    await expect(offer(1)).rejects.toThrow(/operation not allowed/);
    await expect(offer(3)).rejects.toThrow(/non-existent private contract/);
  });
});

describe("whoever is no party of a contract", () => {
  /** Runs once and logs that a contract's state was shared, as the contract does that GoQuorum makes for an extension. */
  function claim(contract: Hex, payload: Hex): Hex {
    const topic = id("StateShared(address,string,string)").slice(2);
    const key = Buffer.from(payload.slice(2), "hex").toString("base64");
    const data = AbiCoder.defaultAbiCoder().encode(["address", "string", "string"], [contract, key, ""]).slice(2);
    const size = (data.length / 2).toString(16).padStart(4, "0");
    // CODECOPY of what follows these 49 bytes, LOG1, STOP.
    return `0x61${size}6100316000397f${topic}61${size}6000a100${data}`;
  }

  test("can't have it by claiming that it was shared, but can keep its parties from writing to it, until one of them puts it right", async () => {
    const contract = await made(PRIVACY.partyProtection, random());
    const [own, next] = [random(), random()];
    const parties = among(PRIVACY.partyProtection, 1);
    const creation = (await contractPrivacyOf(side(1).provider, contract))?.creationKey as Hex;
    await send(side(3), { data: claim(contract, toHex(new Uint8Array(randomBytes(64)))) }, among(undefined, 0, 1));
    await level();
    expect(await wordAt(3, contract)).toBeUndefined();
    // GoQuorum takes anybody's word for the payload that the contract came with, and then nobody's writes fit it.
    await expect(send(side(0), { to: contract, data: own }, parties)).rejects.toThrow(
      /node does not take .*Unable to find affectedContractTransaction/,
    );
    await send(side(1), { data: claim(contract, creation) }, among(undefined, 0));
    await level();
    await send(side(0), { to: contract, data: next }, parties);
    await level();
    for (const n of [0, 1]) expect(await wordAt(n, contract)).toBe(next);
  });
});

describe("the account that a node signs an extension with", () => {
  test("is unlocked by nobody but the operator, and only while a command needs it", async () => {
    const contract = await made(PRIVACY.partyProtection, random());
    const stop = new AbortController();
    const { outcome } = await offered(contract, HOUR, stop.signal);
    await expect(spend(2)).rejects.toThrow(/authentication needed/);
    for (const url of [side(0).provider._getConnection().url, `http://127.0.0.1:${side(0).node.edge?.port}`])
      await expect(ask(url, "personal_unlockAccount", [await account(0), "", 10])).rejects.toThrow(
        /not available|not offered/,
      );
    stop.abort();
    await outcome;
    await expect(spend(0)).rejects.toThrow(/authentication needed/);
  });

  test("is sealed at rest: its key and its password stand in no file of the node", async () => {
    await expect(side(0).extensions.takeBack(await account(0))).rejects.toThrow(/no offer .* is open here/);
    expect(await askAsOperator<string[]>(folder, "node-1", "personal_listAccounts")).toEqual([await account(0)]);
    const keystore = join(folder.data("node-1"), "keystore");
    expect(readdirSync(keystore)).toHaveLength(1);
    const key = Buffer.from(secretFile(folder.node("node-1"), "extension-key"));
    const password = keccak256(Buffer.concat([key, Buffer.from([1])])).slice(2);
    const files = readdirSync(folder.node("node-1"), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
    for (const secret of [key, key.toString("hex"), key.toString("base64"), password])
      expect(files.filter((bytes) => bytes.includes(secret))).toEqual([]);
  });

  test("is nobody's where a node has no privacy manager", () => {
    expect(() => new Extensions(root, "node-9")).toThrow(/node-9 has no privacy manager: those that have are node-1/);
  });
});
