import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { checkCertificate, epochHash, type Hex } from "@msec/core";
import { addNode, downNetwork, initNetwork, removeValidator, upNetwork } from "@msec/quorum";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Certificates } from "../../oracles/custody/src/certificates.ts";
import { type Context } from "../../oracles/custody/src/context.ts";
import { Store } from "../../oracles/custody/src/store.ts";
import { anchorOn } from "../support/anchor.ts";
import { until } from "../support/city.ts";

// The oracle's part that takes the chain's certificates, on a real network and a real database.

const root = mkdtempSync(join(tmpdir(), "msec-certificate-"));
const CHAIN_ID = 20_261;
let postgres: EmbeddedPostgres;
let store: Store;
let city: Awaited<ReturnType<typeof anchorOn>>;
let certificates: Certificates;
let first: Hex[];

beforeAll(async () => {
  const options = { chainId: CHAIN_ID, validators: 4, observers: 0, members: 0, blockSeconds: 1 };
  first = (await initNetwork(join(root, "network"), options)).nodes.map(({ address }) => address);
  const { rpcs } = await upNetwork(join(root, "network"), () => undefined);
  postgres = await startPostgres(join(root, "postgres"));
  store = await Store.open(connect(await postgres.database("operator")), () => undefined);
  city = await anchorOn(rpcs[0] as string, CHAIN_ID);
  certificates = oracle();
});

afterAll(async () => {
  city?.provider.destroy();
  await store?.close();
  await postgres?.stop();
  await downNetwork(join(root, "network"));
  rmSync(root, { recursive: true, force: true });
});

const oracle = () =>
  new Certificates({
    config: { chain: { addresses: { DataAnchor: city.chain.anchor } } },
    log: pino({ level: "silent" }),
    lines: { byId: new Map() },
    provider: city.provider,
    store,
  } as unknown as Context);

/** Anchors an epoch, and confirms it as the watcher does: this stream's packs are of no concern here. */
async function anchor(): Promise<void> {
  const epoch = await city.next();
  await store.confirm({ epoch, hash: epochHash(epoch), signatures: [], proposer: "0x01", headerDigests: [], tx: "0x" });
}

/** What a reader who pins some validators gets. */
async function shown(epochs: number[], pinned: Hex[]) {
  const { sealed, certificate } = await certificates.of(epochs);
  expect(sealed).toBe(true);
  const claims = city.epochs.map(({ epoch }) => ({ number: epoch.number, hash: epochHash(epoch) }));
  return checkCertificate(certificate, { anchor: city.chain.anchor, epochs: claims }, pinned);
}

const taken = (epoch: number) =>
  until(`the certificate of epoch ${epoch}`, async () => {
    await certificates.tick();
    return (await store.uncertified(0, 1)).length === 0;
  });

it("takes the certificate of a confirmed epoch, which a quorum of the genesis block's validators sealed", async () => {
  await anchor();
  await taken(1);
  expect(certificates.problem).toBeUndefined();
  expect(await shown([1], first)).toMatchObject({ epochs: [1], seals: 3, changes: 0 });
});

it("follows the validators through one that joins and one that leaves, also while it was away", async () => {
  const added = await addNode(join(root, "network"), true);
  await anchor();
  await taken(2);
  expect(await shown([1, 2], first)).toMatchObject({ epochs: [1, 2], changes: 1 });
  expect((await shown([2], [...first, added.address])).changes).toBe(0);

  const left = (await removeValidator(join(root, "network"), "node-2")) as Hex[];
  await anchor();
  certificates = oracle();
  await taken(3);
  expect(await shown([1, 2, 3], first)).toMatchObject({ epochs: [1, 2, 3], changes: 2, validators: [...left].sort() });
  await expect(shown([1], left)).rejects.toThrow("other validators than those pinned");
});

it("serves what it keeps when the network is gone", async () => {
  await downNetwork(join(root, "network"));
  certificates = oracle();
  await certificates.tick();
  expect(await shown([1, 2, 3], first)).toMatchObject({ epochs: [1, 2, 3] });
});
