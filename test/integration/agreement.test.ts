import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  type ChainProvider,
  connectChain,
  type ContractName,
  contractsAt,
  creationData,
  embedded,
  type EmbeddedChain,
  PrivacyManager,
  Sender,
  startChain,
} from "@msec/chain";
import { connect } from "@msec/companion-db";
import { type Hex, toHex, utf8 } from "@msec/core";
import { writeJson } from "@msec/service";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts, type ManagerProcess, PrivacyNetwork } from "../support/privacy.ts";

// An agreement between alpha and beta, audited by audit; gamma joins later; outsider is nobody. A manager each, the
// command line as each of them uses it, an embedded chain.

const main = fileURLToPath(new URL("../../apps/cli/src/main.ts", import.meta.url));
const TERMS = "Park readings at 5 cents each until further notice.";
const AMENDED = "Park readings at 4 cents each for three.";
const folder = mkdtempSync(join(tmpdir(), "msec-agreement-"));
const names = ["alpha", "beta", "gamma", "audit", "outsider"] as const;
type Name = (typeof names)[number];

let network: PrivacyNetwork;
let chain: EmbeddedChain;
let provider: ChainProvider;
let digests: Hex;
let token: Hex;
const cards = {} as Record<Name, string>;
const manager = (name: Name) => network.managers.find((m) => m.name === name) as ManagerProcess;

interface Ran {
  code: number | null;
  err: string;
  out: string;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what the command prints, looked into by tests
  json: any;
}

function msec(name: Name, ...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    const where = ["--rpc", chain.rpc, "--digests", digests, "--token", token, "--json"];
    const child = spawn(
      process.execPath,
      ["--disable-warning=ExperimentalWarning", main, "agreement", ...args, ...where],
      {
        cwd: folder,
        env: {
          NODE_COMPILE_CACHE: fileURLToPath(new URL("../../node_modules/.cache/msec", import.meta.url)),
          ...process.env,
          MSEC_PRIVACY_MANAGER: manager(name).socket,
          MSEC_ACCOUNT: join(folder, "accounts", name),
        },
      },
    );
    let [out, err] = ["", ""];
    child.stdout.on("data", (part) => (out += String(part)));
    child.stderr.on("data", (part) => (err += String(part)));
    child.on("close", (code) => resolve({ code, out, err, json: out === "" ? undefined : JSON.parse(out) }));
  });
}

beforeAll(async () => {
  const [port] = (await freePorts(1)) as [number];
  chain = await startChain(join(folder, "chain"), port);
  provider = connectChain(embedded(chain.rpc, chain.chainId));
  const deployer = new Sender(toHex(new Uint8Array(randomBytes(32))), provider, chain.chainId);
  const deploy = async (name: ContractName, args: unknown[]) => {
    const { contractAddress } = await deployer.transact({ data: await creationData(name, args) });
    return (contractAddress as string).toLowerCase() as Hex;
  };
  digests = await deploy("AgreementDigests", []);
  token = await deploy("MSecToken", [await deploy("AccessManager", [deployer.address]), 1_000_000n]);
  network = await PrivacyNetwork.create(join(folder, "managers"), [...names]);
  await network.start();
  for (const name of names) cards[name] = (await msec(name, "card")).json.card as string;
  const coins = contractsAt({ MSecToken: token }, provider).MSecToken;
  await deployer.transact({ to: token, data: coins.interface.encodeFunctionData("mint", [account("beta"), 1000n]) });
  writeFileSync(join(folder, "terms.txt"), TERMS);
  writeFileSync(join(folder, "amended.txt"), AMENDED);
});
afterAll(async () => {
  provider?.destroy();
  await chain?.stop();
  await network?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const account = (name: Name) => cards[name].slice(0, 42) as Hex;
let id: string;
let digest: string;

describe("two parties agree", () => {
  test("without a private contract behind it, since this chain has no private state", async () => {
    const refused = await msec("alpha", "propose", "--contract", "--terms", "terms.txt", "--with", cards.beta);
    expect([refused.code, refused.json.error]).toEqual([1, expect.stringMatching(/takes a node of GoQuorum/)]);
    expect((await msec("alpha", "list")).json).toEqual([]);
  });

  test("a manager that dies in the middle is named, nothing is announced, and the retry has one effect", async () => {
    await manager("beta").stop("SIGKILL");
    const propose = ["propose", "--terms", "terms.txt", "--with", cards.beta, "--auditor", cards.audit];
    const failed = await msec("alpha", ...propose);
    expect(failed.code).toBe(1);
    expect(failed.json.error).toMatch(/privacy manager of beta at .* does not answer .* msec agreement resume/);
    expect((await msec("alpha", "list")).json).toEqual([]);
    await manager("beta").start();
    expect((await msec("alpha", "resume")).json).toEqual({ sent: 1 });
    expect((await msec("alpha", "resume")).json).toEqual({ sent: 0 });
    const list = (await msec("beta", "list")).json;
    expect(list).toHaveLength(1);
    expect(list[0]).toMatchObject({
      state: "proposed",
      open: { terms: TERMS, version: 1, missing: [account("beta")] },
    });
    id = list[0].id;
    digest = list[0].open.digest;
  });

  test("only who is asked signs, and only what it has read", async () => {
    const wrong = await msec("beta", "sign", id, "--digest", `0x${"00".repeat(32)}`);
    expect([wrong.code, wrong.json.error]).toEqual([1, expect.stringMatching(/read it again/)]);
    const audit = await msec("audit", "sign", id, "--digest", digest);
    expect([audit.code, audit.json.error]).toEqual([1, expect.stringMatching(/is not asked to sign/)]);
  });

  test("the last signature puts it in force and anchors its digest; signing again changes nothing", async () => {
    const signed = await msec("beta", "sign", id.slice(0, 12), "--digest", digest.slice(0, 10));
    expect(signed.json).toMatchObject({ state: "active", active: { digest, terms: TERMS, missing: [] } });
    expect(signed.json.anchoredMs).toBeGreaterThan(0);
    const again = await msec("beta", "sign", id, "--digest", digest);
    expect(again.json).toEqual(signed.json);
    expect((await msec("alpha", "show", id)).json).toEqual(signed.json);
  });

  test("whoever is shown the file can check it at the public contract, and no word of it can be changed", async () => {
    await msec("alpha", "show", id, "--out", "agreement.json");
    expect((await msec("outsider", "verify", "agreement.json")).json).toMatchObject({ digest });
    const file = readFileSync(join(folder, "agreement.json"), "utf8");
    for (const [from, to] of [
      ["5 cents", "6 cents"],
      ['"version": 1', '"version": 2'],
    ] as const) {
      writeFileSync(join(folder, "changed.json"), file.replace(from, to));
      expect((await msec("outsider", "verify", "changed.json")).code).toBe(1);
    }
  });
});

describe("what is paid under it", () => {
  const balance = async (name: Name) =>
    Number(await contractsAt({ MSecToken: token }, provider).MSecToken.balanceOf(account(name)));

  test("is public, with the digest and without a term; whoever is shown the file sees that it was paid", async () => {
    const { json } = await msec("beta", "pay", id, "--amount", "250");
    expect(json).toMatchObject({ digest, to: account("alpha"), amount: "250", resumed: false });
    expect([await balance("alpha"), await balance("beta")]).toEqual([250, 750]);
    const payment = { from: account("beta"), to: account("alpha"), amount: "250", hash: json.hash };
    expect((await msec("outsider", "payments", digest)).json).toMatchObject([payment]);
    const transaction = await provider.getTransaction(json.hash as string);
    // Function, payee and amount of a transfer, and the digest.
    expect(transaction?.data.length).toBe(2 + 2 * (4 + 3 * 32));
    expect(transaction?.data.endsWith(digest.slice(2))).toBe(true);
    expect((await msec("outsider", "verify", "agreement.json")).json.payments).toMatchObject([payment]);
  });

  test("is by parties among themselves: a stranger's transfer that names the digest proves nothing", async () => {
    const stranger = new Sender(toHex(new Uint8Array(randomBytes(32))), provider, chain.chainId);
    const { interface: functions } = contractsAt({ MSecToken: token }, provider).MSecToken;
    const data = `${functions.encodeFunctionData("transfer", [account("alpha"), 0n])}${digest.slice(2)}`;
    await stranger.transact({ to: token, data });
    expect((await msec("outsider", "payments", digest)).json).toHaveLength(2);
    expect((await msec("outsider", "verify", "agreement.json")).json.payments).toHaveLength(1);
    const audit = await msec("audit", "pay", id, "--amount", "1");
    expect([audit.code, audit.json.error]).toEqual([1, expect.stringMatching(/is no party: parties alone pay/)]);
    const elsewhere = await msec("beta", "pay", id, "--amount", "1", "--to", account("outsider"));
    expect([elsewhere.code, elsewhere.json.error]).toEqual([2, expect.stringMatching(/name another party with --to/)]);
  });

  test("is not more than the payer has, and not under a digest that nobody anchored", async () => {
    const poor = await msec("beta", "pay", id, "--amount", "751");
    expect([poor.code, poor.json.error]).toEqual([
      1,
      expect.stringMatching(/the token refuses the payment: .*Balance/),
    ]);
    const none = await msec("outsider", "payments", `0x${"11".repeat(32)}`);
    expect([none.code, none.json.error]).toEqual([1, expect.stringMatching(/is not anchored on this chain/)]);
    expect(await balance("beta")).toBe(750);
  });

  test("is paid once where the command was killed: paying again brings that payment to its end", async () => {
    // As the command leaves it when it dies between keeping and sending.
    const draft = { payment: { token, to: account("alpha"), amount: "100", digest } };
    writeJson(join(folder, "accounts", "beta", "agreements", "drafts", "1-killed.json"), draft);
    expect((await msec("beta", "pay", id, "--amount", "100")).json).toMatchObject({ amount: "100", resumed: true });
    expect([await balance("alpha"), await balance("beta")]).toEqual([350, 650]);
    expect((await msec("beta", "pay", id, "--amount", "100")).json).toMatchObject({ resumed: false });
    expect(await balance("beta")).toBe(550);
  });
});

describe("who reads it", () => {
  test("the auditor reads everything", async () => {
    expect((await msec("audit", "show", id)).json).toMatchObject({ state: "active", active: { terms: TERMS } });
  });

  test("nobody else: not by their manager, its database or its log, nor in the chain's blocks", async () => {
    expect((await msec("outsider", "list")).json).toEqual([]);
    const latest = await provider.getBlockNumber();
    const blocks = await Promise.all(
      Array.from({ length: latest + 1 }, (_, n) =>
        provider.send("eth_getBlockByNumber", [`0x${n.toString(16)}`, true]),
      ),
    );
    const keys = blocks.flatMap((b: { transactions: { input: Hex }[] }) =>
      b.transactions.map(({ input }) => input).filter((input) => input.length === 130),
    );
    // The proposal and the signature.
    expect(keys.length).toBe(2);
    const stranger = new PrivacyManager(manager("outsider").url);
    for (const key of keys) {
      expect(await stranger.receive(key)).toBeUndefined();
      await expect(stranger.participants(key)).rejects.toMatchObject({ status: 404 });
    }
    const db = connect(manager("outsider").config.databaseUrl);
    const { rows } = await db.query("select (select count(*) from payloads) + (select count(*) from raw) as n");
    await db.end();
    expect(Number(rows[0].n)).toBe(0);
    for (const text of [...network.managers.map((m) => m.log), JSON.stringify(blocks)])
      for (const secret of [TERMS, Buffer.from(TERMS).toString("hex"), Buffer.from(TERMS).toString("base64")])
        expect(text.includes(secret)).toBe(false);
  });

  test("a stranger's proposal of a next version has no effect", async () => {
    const outsider = manager("outsider");
    const to = [cards.alpha, cards.beta].map((card) => card.slice(43));
    const shown = JSON.parse(readFileSync(join(folder, "agreement.json"), "utf8"));
    const forged = { ...shown, agreement: { ...shown.agreement, version: 2 }, signature: shown.signatures[0] };
    delete forged.signatures;
    const payload = utf8(JSON.stringify({ format: "msec.agreement/1", kind: "proposal", ...forged }));
    const { key } = await new PrivacyManager(outsider.url).send(payload, { to });
    const sender = new Sender(toHex(new Uint8Array(randomBytes(32))), provider, chain.chainId);
    await sender.transact({ to: sender.address, data: key });
    expect((await msec("alpha", "show", id)).json).toMatchObject({ state: "active", active: { digest } });
  });
});

test("a later party joins by an amendment: it gets what is in force, all sign, and the digest is anchored", async () => {
  expect((await msec("gamma", "list")).json).toEqual([]);
  const more = ["--with", cards.gamma, "--auditor", cards.audit];
  const proposed = await msec(
    "alpha",
    "propose",
    "--amend",
    id,
    "--terms",
    "amended.txt",
    "--with",
    cards.beta,
    ...more,
  );
  expect(proposed.json).toMatchObject({ state: "amending", active: { terms: TERMS }, open: { terms: AMENDED } });
  const next = proposed.json.open.digest as string;
  const seen = (await msec("gamma", "show", id)).json;
  expect(seen).toMatchObject({ state: "amending", active: { terms: TERMS, digest }, open: { terms: AMENDED } });
  expect((await msec("gamma", "sign", id, "--digest", next)).json.state).toBe("amending");
  expect((await msec("beta", "sign", id, "--digest", next)).json).toMatchObject({ active: { digest: next } });
  for (const name of ["alpha", "beta", "gamma", "audit"] as const)
    expect((await msec(name, "show", id)).json).toMatchObject({
      state: "active",
      active: { version: 2, terms: AMENDED, missing: [] },
    });
  expect((await msec("outsider", "list")).json).toEqual([]);
});

test("a party's notice ends it for all of them at the same time", async () => {
  const given = (await msec("gamma", "notice", id)).json;
  expect(Date.parse(given.ends)).toBeLessThan(Date.parse(given.active.ends));
  expect((await msec("audit", "show", id)).json.ends).toBe(given.ends);
  const audit = await msec("audit", "notice", id);
  expect([audit.code, audit.json.error]).toEqual([1, expect.stringMatching(/auditors read and never write/)]);
});
