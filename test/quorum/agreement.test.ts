import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import {
  artifact,
  type ChainProvider,
  connectChain,
  type ContractName,
  type Contracts,
  contractPrivacyOf,
  contractsAt,
  creationData,
  PRIVACY,
  PrivacyManager,
  type PrivateFor,
  PrivateSender,
  Sender,
} from "@msec/chain";
import { fromHex, type Hex, signDigest, toHex, utf8 } from "@msec/core";
import {
  downNetwork,
  initNetwork,
  type NetworkPlan,
  type NodePlan,
  privacyOf,
  profileOf,
  upNetwork,
} from "@msec/quorum";
import { Contract, ContractFactory, getCreateAddress, Interface } from "ethers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { managersElsewhere } from "../support/managers-elsewhere.ts";

// A private agreement of two parties with an auditor on a real network, each at a node of its own, an outsider at the fourth, and at the
// fifth a party that joins later: as the contract PrivateAgreement, and as `msec agreement`. Where MSEC_PRIVACY_MANAGER_URL names five
// managers ("Q2T-URL THIRDPARTY-URL", comma, and so on), such as Tesseras, with them in place of ours.

const SOURCE = "contracts/privacy/PrivateAgreement.sol";
const ACTIVE = 2n;
const TERMS = "Park readings at 5 cents each until further notice.";
const MEMBERS = 5;
const elsewhere = managersElsewhere().slice(0, MEMBERS);
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const GAS = 6_000_000;
const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));

const root = mkdtempSync(join(tmpdir(), "msec-private-agreement-"));
const random = (): Hex => toHex(new Uint8Array(randomBytes(32)));

interface Side {
  node: NodePlan;
  provider: ChainProvider;
  /** Of its manager. */
  party: string;
  account: Hex;
  send(call: { to?: Hex; data: string }, among: PrivateFor, account?: Hex): Promise<{ status: number; nonce: number }>;
}

let plan: NetworkPlan;
let sides: Side[];
let digests: Contracts["AgreementDigests"];
let digestsAddress: Hex;
let token: Hex;
let mint: (to: Hex, amount: bigint) => Promise<unknown>;
const { abi, bytecode } = artifact(SOURCE);
const functions = new Interface(abi);
const serversOf = (node: NodePlan) => privacyOf(node) as NonNullable<ReturnType<typeof privacyOf>>;
const side = (n: number) => sides[n] as Side;
const addressOf = (at: Side) => new Sender(at.account, at.provider, plan.chainId).address;

function sideOf(node: NodePlan, party: string, manager: PrivacyManager): Side {
  const provider = connectChain(profileOf(plan, node));
  const own = random();
  return {
    ...{ node, provider, party, account: own },
    async send(call, among, account = own) {
      const sender = new PrivateSender(account, provider, manager);
      const nonce = await provider.getTransactionCount(sender.address, "pending");
      const { hash, raw } = await sender.sign({ gasLimit: GAS, ...call }, nonce);
      await sender.broadcast(raw, among);
      return { status: (await provider.mined(hash)).status as number, nonce };
    },
  };
}

beforeAll(async () => {
  plan = await initNetwork(join(root, "network"), {
    ...{ chainId: 20_261, validators: 4, observers: 1, members: MEMBERS, blockSeconds: 1 },
    ...(elsewhere.length === MEMBERS ? { tesseras: elsewhere } : {}),
  });
  await upNetwork(join(root, "network"), () => undefined);
  sides = await Promise.all(
    plan.nodes.map(async (node) => {
      const { q2t, thirdParty } = serversOf(node);
      const manager = new PrivacyManager(q2t, thirdParty);
      return sideOf(node, (await manager.keys())[0] as string, manager);
    }),
  );
  const deployer = new Sender(random(), side(0).provider, plan.chainId);
  const deploy = async (name: ContractName, args: unknown[]) => {
    const { contractAddress } = await deployer.transact({ data: await creationData(name, args) });
    return (contractAddress as string).toLowerCase() as Hex;
  };
  digestsAddress = await deploy("AgreementDigests", []);
  token = await deploy("MSecToken", [await deploy("AccessManager", [deployer.address]), 1_000_000n]);
  const { MSecToken } = contractsAt({ MSecToken: token }, side(0).provider);
  mint = (to, amount) =>
    deployer.transact({ to: token, data: MSecToken.interface.encodeFunctionData("mint", [to, amount]) });
  ({ AgreementDigests: digests } = contractsAt({ AgreementDigests: digestsAddress }, side(0).provider));
});

afterAll(async () => {
  for (const { provider } of sides ?? []) provider.destroy();
  await downNetwork(join(root, "network"));
  rmSync(root, { recursive: true, force: true });
});

/** Until all nodes have the block that the first one has. */
async function level(): Promise<void> {
  const height = await side(0).provider.getBlockNumber();
  for (const { provider } of sides) while ((await provider.getBlockNumber()) < height) await sleep(100);
}

/** The agreement of the first two, with the third as auditor, signed by both: with one flag. */
async function agreed(flag: PrivateFor["flag"]): Promise<{ address: Hex; among: PrivateFor }> {
  const [alpha, beta, audit] = [side(0), side(1), side(2)];
  const among: PrivateFor = {
    to: [beta.party, audit.party],
    ...(flag === undefined ? {} : { flag }),
    ...(flag === PRIVACY.mandatoryParties ? { mandatory: [audit.party] } : {}),
  };
  const founders = [alpha, beta].map(addressOf).sort();
  const creation = await new ContractFactory(abi, bytecode).getDeployTransaction(digestsAddress, founders);
  const { nonce } = await alpha.send({ data: creation.data }, among);
  const address = getCreateAddress({ from: addressOf(alpha), nonce }).toLowerCase() as Hex;
  const now = Date.now();
  const proposal = {
    ...{ terms: utf8(TERMS), parties: founders, auditors: [addressOf(audit)], salt: random() },
    ...{ deadline: now + HOUR_MS, endMs: now + 30 * DAY_MS, noticeMs: DAY_MS },
  };
  const propose = functions.encodeFunctionData("propose", [proposal]);
  expect((await alpha.send({ to: address, data: propose }, among)).status).toBe(1);
  const digest = (await new Contract(address, abi, alpha.provider).getFunction("digestOf")(1)) as Hex;
  for (const { account } of [alpha, beta]) {
    const signature = signDigest(fromHex(account), fromHex(digest));
    await alpha.send({ to: address, data: functions.encodeFunctionData("sign", [1, signature]) }, among);
  }
  await level();
  return { address, among };
}

const read = (at: Side, address: Hex, name: string, ...args: unknown[]): Promise<unknown> =>
  new Contract(address, abi, at.provider).getFunction(name)(...args);
const endOf = async (at: Side, address: Hex) => ((await read(at, address, "active")) as { endMs: bigint }).endMs;

describe("the contract PrivateAgreement", () => {
  let address: Hex;
  let among: PrivateFor;

  test("is in force for its parties and its mandatory auditor; its digest alone is public; an outsider has no contract", async () => {
    ({ address, among } = await agreed(PRIVACY.mandatoryParties));
    for (const n of [0, 1, 2]) expect(await read(side(n), address, "state")).toBe(ACTIVE);
    expect(await side(3).provider.getCode(address)).toBe("0x");
    expect(await contractPrivacyOf(side(1).provider, address)).toMatchObject({
      flag: PRIVACY.mandatoryParties,
      mandatory: [side(2).party],
    });
    const digest = (await read(side(1), address, "digestOf", 1)) as Hex;
    const sender = new Sender(random(), side(0).provider, plan.chainId);
    await sender.transact({ to: digestsAddress, data: digests.interface.encodeFunctionData("anchor", [digest]) });
    await level();
    const seen = contractsAt({ AgreementDigests: digestsAddress }, side(3).provider).AgreementDigests;
    expect((await seen.anchoredBy(digest)).atMs).toBeGreaterThan(0n);
  });

  test("nobody writes to it without the auditor", async () => {
    const notice = { to: address, data: functions.encodeFunctionData("giveNotice") };
    const without: PrivateFor = { to: [side(1).party], flag: PRIVACY.partyProtection };
    await expect(side(0).send(notice, without)).rejects.toThrow(/node does not take/);
  });

  test("whoever stole a party's account can't end it from another organisation's node; with flag 0 it could", async () => {
    const notice = (to: Hex) => ({ to, data: functions.encodeFunctionData("giveNotice") });
    const [outsider, stolen] = [side(3), side(1).account];
    const before = await endOf(side(0), address);
    await expect(
      outsider.send(notice(address), { ...among, to: [...among.to, side(0).party] }, stolen),
    ).rejects.toThrow(/node does not take/);
    const plain = { to: [side(0).party, side(1).party, side(2).party] };
    await outsider.send(notice(address), plain, stolen).catch(() => undefined);
    await level();
    for (const n of [0, 1, 2]) expect(await endOf(side(n), address)).toBe(before);

    const weak = await agreed(undefined);
    const end = await endOf(side(0), weak.address);
    await outsider.send(notice(weak.address), plain, stolen);
    await level();
    expect(await endOf(side(0), weak.address), "flag 0: the parties execute a stranger's write").toBeLessThan(end);
  });
});

describe("msec agreement", () => {
  /** Commands that take no manager. */
  const OF_ALL = ["verify", "payments"];

  interface Ran {
    code: number;
    // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what the command prints, looked into by tests
    json: any;
  }

  const msec = (n: number, ...args: string[]): Promise<Ran> => msecAt(n, n, ...args);

  /** By one side's manager and account, and another's node. */
  function msecAt(n: number, nodeOf: number, ...args: string[]): Promise<Ran> {
    const { node } = side(n);
    const { q2t, thirdParty } = serversOf(node);
    const { rpc } = profileOf(plan, side(nodeOf).node);
    const flags = ["--rpc", rpc, "--digests", digestsAddress, "--token", token, "--json"];
    const env = {
      ...process.env,
      MSEC_PRIVACY_MANAGER: q2t,
      MSEC_ACCOUNT: join(root, "accounts", node.name),
    };
    const own = OF_ALL.includes(args[0] as string) ? [] : ["--third-party", thirdParty];
    return run(["agreement", ...args, ...flags, ...own], env);
  }

  /** As the operator of one side's node. */
  const network = (n: number, ...args: string[]): Promise<Ran> =>
    run(["network", ...args, "--node", side(n).node.name, "--dir", join(root, "network"), "--json"], process.env);

  const run = (args: string[], env: NodeJS.ProcessEnv): Promise<Ran> =>
    new Promise((resolve) => {
      const command = ["--disable-warning=ExperimentalWarning", main, ...args];
      execFile(process.execPath, command, { cwd: root, env }, (error, out) =>
        resolve({ code: error ? Number(error.code) : 0, json: out === "" ? undefined : JSON.parse(out) }),
      );
    });

  const accountOf = async (n: number) => (await msec(n, "card")).json.account as Hex;

  test("terms are proposed, signed and anchored through the managers of the nodes; the fourth knows of nothing", async () => {
    writeFileSync(join(root, "terms.txt"), TERMS);
    const [beta, audit] = [(await msec(1, "card")).json.card, (await msec(2, "card")).json.card];
    const proposed = await msec(0, "propose", "--terms", "terms.txt", "--with", beta, "--auditor", audit);
    const { id, open } = proposed.json;
    await level();
    const signed = await msec(1, "sign", id, "--digest", open.digest);
    expect(signed.json).toMatchObject({ state: "active", active: { digest: open.digest, terms: TERMS, missing: [] } });
    expect(signed.json.anchoredMs).toBeGreaterThan(0);
    await level();
    for (const n of [0, 2])
      expect((await msec(n, "show", id)).json).toMatchObject({ state: "active", active: { terms: TERMS } });
    expect((await msec(3, "list")).json).toEqual([]);
    await msec(0, "show", id, "--out", "agreement.json");
    expect(JSON.parse(readFileSync(join(root, "agreement.json"), "utf8"))).toMatchObject({ terms: TERMS });
    expect((await msec(0, "show", id)).json.contract).toBeNull();
  });

  test("what is paid under it is public, with its digest and nothing else", async () => {
    const { digest } = (await msec(0, "verify", "agreement.json")).json as { digest: Hex };
    const [alpha, beta] = [await accountOf(0), await accountOf(1)];
    await mint(beta, 1000n);
    const id = (await msec(0, "list")).json[0].id as Hex;
    const paid = (await msec(1, "pay", id, "--amount", "250")).json;
    expect(paid).toMatchObject({ digest, to: alpha, amount: "250" });
    await level();
    const payment = { from: beta, to: alpha, amount: "250", hash: paid.hash };
    expect((await msec(3, "payments", digest)).json).toMatchObject([payment]);
    expect((await msec(3, "verify", "agreement.json")).json.payments).toMatchObject([payment]);
  });

  describe("with a contract behind it", () => {
    let id: Hex;
    let cards: string[];
    const isLevel = (now: string) => ({ contract: { state: now, level: true } });

    test("has it in the private state of its parties and auditor, level with what was signed; the fourth has none", async () => {
      cards = await Promise.all([0, 1, 2].map(async (n) => (await msec(n, "card")).json.card as string));
      const [, beta, audit] = cards as [string, string, string];
      const proposed = await msec(
        0,
        "propose",
        "--contract",
        "--terms",
        "terms.txt",
        "--with",
        beta,
        "--auditor",
        audit,
      );
      expect(proposed.json).toMatchObject(isLevel("proposed"));
      const { open } = proposed.json;
      id = proposed.json.id as Hex;
      await level();
      const signed = await msec(1, "sign", id, "--digest", open.digest);
      expect(signed.json).toMatchObject({ state: "active", ...isLevel("active") });
      await level();
      for (const n of [0, 1, 2]) {
        expect(await read(side(n), id, "state")).toBe(ACTIVE);
        expect(await read(side(n), id, "digestOf", 1)).toBe(open.digest);
        expect((await msec(n, "show", id)).json).toMatchObject({ state: "active", ...isLevel("active") });
      }
      expect(await side(3).provider.getCode(id)).toBe("0x");
      expect(await contractPrivacyOf(side(1).provider, id)).toMatchObject({
        flag: PRIVACY.mandatoryParties,
        mandatory: [side(2).party],
      });
    });

    test("takes an amendment, what was signed through another's node once a party resumes, and a notice", async () => {
      const [alpha, , audit] = cards as [string, string, string];
      writeFileSync(join(root, "amended.txt"), `${TERMS} Six from May on.`);
      const with_ = ["--with", alpha, "--auditor", audit];
      const amended = await msec(1, "propose", "--amend", id, "--terms", "amended.txt", "--notice", "10", ...with_);
      expect(amended.json).toMatchObject({ state: "amending", ...isLevel("amending") });
      await level();
      // The fourth node has no such contract: the message counts, and the contract does not know of it.
      const signed = await msecAt(0, 3, "sign", id, "--digest", amended.json.open.digest);
      expect(signed.json).toMatchObject({ state: "active", contract: null });
      await level();
      expect((await msec(1, "show", id)).json).toMatchObject({ contract: { state: "amending", level: false } });
      expect((await msec(1, "resume")).code).toBe(0);
      await level();
      expect((await msec(2, "show", id)).json).toMatchObject({ active: { version: 2 }, ...isLevel("active") });
      const before = await endOf(side(0), id);
      expect((await msec(0, "notice", id)).code).toBe(0);
      await level();
      const ends = await Promise.all([0, 1, 2].map((n) => endOf(side(n), id)));
      expect(new Set(ends).size).toBe(1);
      expect(ends[0]).toBeLessThan(before);
    });

    let joined: Hex;

    test("a party joins later: it signs an amendment, and a party brings its signature to the contract, which it has not yet", async () => {
      const [alpha, , audit] = cards as [string, string, string];
      const gamma = (await msec(4, "card")).json.card as string;
      writeFileSync(join(root, "joined.txt"), `${TERMS} Gamma takes half.`);
      const with_ = ["--with", alpha, "--with", gamma, "--auditor", audit];
      const amended = await msec(1, "propose", "--amend", id, "--terms", "joined.txt", ...with_);
      joined = amended.json.open.digest as Hex;
      for (const n of [0, 4]) {
        await level();
        expect((await msec(n, "sign", id, "--digest", joined)).code).toBe(0);
      }
      await level();
      expect((await msec(4, "show", id)).json).toMatchObject({
        active: { digest: joined, missing: [] },
        contract: null,
      });
      expect(await side(4).provider.getCode(id)).toBe("0x");
      // Gamma signed last, and had no contract to bring its signature to.
      expect((await msec(0, "resume")).code).toBe(0);
      await level();
      expect((await msec(1, "show", id)).json).toMatchObject({ active: { digest: joined }, ...isLevel("active") });
      expect(await side(4).provider.getCode(id)).toBe("0x");
    });

    test("and then takes the contract from the founder's node", async () => {
      const { card } = (await network(4, "party")).json as { card: string };
      const offering = network(0, "offer", id, "--to", card);
      let offers: { managementContractAddress: Hex; contractExtended: Hex }[] = [];
      for (; offers.length === 0; await sleep(250)) offers = (await network(4, "offers")).json as typeof offers;
      expect(offers[0]?.contractExtended).toBe(id);
      const others = [1, 2].flatMap((n) => ["--with", cards[n] as string]);
      const accepted = await network(4, "accept", offers[0]?.managementContractAddress as Hex, ...others);
      expect(accepted.json).toEqual({ contract: id, accepted: true });
      expect((await offering).json).toMatchObject({ outcome: "extended" });
      await level();
      const account = await accountOf(4);
      for (const n of [0, 1, 2, 4]) expect(await read(side(n), id, "isParty", account)).toBe(true);
      expect((await msec(4, "show", id)).json).toMatchObject({ active: { digest: joined }, ...isLevel("active") });
      expect(await side(3).provider.getCode(id)).toBe("0x");
    });

    test("and writes to it like the others", async () => {
      const before = await endOf(side(0), id);
      expect((await msec(4, "notice", id)).code).toBe(0);
      await level();
      const ends = await Promise.all([0, 1, 2, 4].map((n) => endOf(side(n), id)));
      expect(new Set(ends).size).toBe(1);
      expect(ends[0]).toBeLessThan(before);
    });
  });
});
