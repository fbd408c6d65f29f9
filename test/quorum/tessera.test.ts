import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { connectChain, PRIVACY, PrivacyManager, type PrivateFor, PrivateSender, type SignedPrivate } from "@msec/chain";
import { type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { type Hex, toHex } from "@msec/core";
import {
  databaseName,
  downNetwork,
  initNetwork,
  isManager,
  NetworkFolder,
  type NetworkPlan,
  type NodePlan,
  privacyOf,
  profileOf,
  type Running,
  runningProcesses,
  startManager,
  upNetwork,
} from "@msec/quorum";
import { getCreateAddress } from "ethers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { managersElsewhere, type ManagerElsewhere } from "../support/managers-elsewhere.ts";

// Nodes whose privacy managers run elsewhere, by URL. No registry carries a Tessera: managers of ours, which have its API, stand
// in for two. With MSEC_PRIVACY_MANAGER_URL ("Q2T-URL THIRDPARTY-URL", comma, and so on) it is those that are asked.

const home = mkdtempSync(join(tmpdir(), "msec-tessera-"));
const root = join(home, "network");
const options = { chainId: 20_261, validators: 4, observers: 0, members: 2, blockSeconds: 1 };
/** Keeps the word that it was made with. */
const kept = (word: Hex): Hex => `0x7f${word.slice(2)}6000556001603060003960016000f300`;
const given = managersElsewhere();
let begin: () => Promise<void> = () => Promise.resolve();
let end: () => Promise<void> = () => Promise.resolve();
let tesseras: ManagerElsewhere[];
let plan: NetworkPlan;

beforeAll(async () => {
  tesseras = given.slice(0, 2);
  if (tesseras.length < 2) await standIn();
});
afterAll(async () => {
  await downNetwork(root);
  await end();
  rmSync(home, { recursive: true, force: true });
});

async function standIn(): Promise<void> {
  const elsewhere = join(home, "elsewhere");
  const { nodes } = await initNetwork(elsewhere, options);
  const members = nodes.filter(({ manager }) => manager);
  tesseras = members.map((one) => privacyOf(one) as ManagerElsewhere);
  let server: EmbeddedPostgres | undefined;
  let running: Running[] = [];
  begin = async () => {
    const started = (server = await startPostgres(join(home, "postgres")));
    running = await Promise.all(
      members.map(async (one) =>
        startManager(new NetworkFolder(elsewhere), one, await started.database(databaseName(one.name))),
      ),
    );
  };
  end = async () => {
    await Promise.all(running.map((one) => one.stop()));
    await server?.stop();
  };
}

it.skipIf(given.length >= 2)("names the one that is away, and starts no node before it", async () => {
  plan = await initNetwork(root, { ...options, tesseras });
  await expect(upNetwork(root, () => undefined)).rejects.toThrow(
    `the Tessera of node-1 does not answer at ${tesseras[0]?.q2t}: start it first`,
  );
  expect(runningProcesses(new NetworkFolder(root))).toEqual({});
});

describe("a private transaction by them", () => {
  let providers: ReturnType<typeof connectChain>[] = [];
  let sender: PrivacyManager;
  let account: PrivateSender;
  let privateFor: PrivateFor;
  let nonce = 0;

  beforeAll(async () => {
    await begin();
    plan ??= await initNetwork(root, { ...options, tesseras });
    await upNetwork(root, () => undefined);
    providers = plan.nodes.slice(0, 3).map((one: NodePlan) => connectChain(profileOf(plan, one)));
    const [mine, other] = tesseras.map(({ q2t, thirdParty }) => new PrivacyManager(q2t, thirdParty));
    sender = mine as PrivacyManager;
    privateFor = { to: await (other as PrivacyManager).keys(), flag: PRIVACY.partyProtection };
    account = new PrivateSender(toHex(new Uint8Array(randomBytes(32))), first(), sender);
  });
  afterAll(() => providers.forEach((provider) => provider.destroy()));

  const first = () => providers[0] as (typeof providers)[0];

  /** Makes a contract that keeps a word; `broadcast` brings it on its way. Then the parties' nodes have it, and no other. */
  async function makes(broadcast: (signed: SignedPrivate) => Promise<void>): Promise<void> {
    const word = toHex(new Uint8Array(randomBytes(32)));
    const address = getCreateAddress({ from: account.address, nonce });
    const signed = await account.sign({ data: kept(word), gasLimit: 1_000_000 }, nonce++);
    await broadcast(signed);
    const { blockNumber } = await first().mined(signed.hash);
    for (const provider of providers) while ((await provider.getBlockNumber()) < blockNumber) await sleep(100);
    const words = await Promise.all(providers.map((provider) => provider.getStorage(address, 0)));
    expect(words).toEqual([word, word, `0x${"00".repeat(32)}`]);
  }

  it("comes to the parties' nodes, and to nobody else's", async () => {
    expect(Object.keys(runningProcesses(new NetworkFolder(root))).filter(isManager)).toEqual([]);
    await makes(({ raw }) => account.broadcast(raw, privateFor));
  });

  it("has one effect where it is sent again, before and after its block", async () => {
    await makes(async ({ raw, hash }) => {
      await account.broadcast(raw, privateFor);
      await account.broadcast(raw, privateFor);
      await first().mined(hash);
      await account.broadcast(raw, privateFor);
    });
    expect(await first().getTransactionCount(account.address)).toBe(nonce);
  });

  it("goes on where its sender died after its content had come to the parties", async () => {
    await makes(async ({ raw, key }) => {
      await sender.sendStored(key, privateFor);
      await account.broadcast(raw, privateFor);
    });
  });

  it("is refused, and uses no nonce, where nobody has the key that it names", async () => {
    const { raw } = await account.sign({ data: kept(`0x${"11".repeat(32)}`), gasLimit: 1_000_000 }, nonce);
    const stranger = { ...privateFor, to: [randomBytes(32).toString("base64")] };
    await expect(account.broadcast(raw, stranger)).rejects.toThrow(/does not take the private transaction/);
    expect(await first().getTransactionCount(account.address, "pending")).toBe(nonce);
    await account.broadcast(raw, privateFor);
    nonce++;
  });
});
