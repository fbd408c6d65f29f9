import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { type Server } from "node:http";
import { type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type EmbeddedChain, startChain } from "@msec/chain";
import { type Hex } from "@msec/core";
import { freePort, serve, writeJson } from "@msec/service";
import { RESEARCH } from "../../apps/cli/src/city/consent.ts";
import { routesOf } from "../../apps/indexer/src/api.ts";
import { handlers, NotYet } from "../../apps/indexer/src/routes.ts";
import { Store } from "../../apps/indexer/src/store.ts";
import { account, ADDRESSES, TestDatabases, word } from "../../apps/indexer/src/testbed.ts";
import { until } from "./city.ts";

const MAIN = fileURLToPath(new URL("../../apps/marketplace/src/main.ts", import.meta.url));

/** The pages over an indexer that a test fills: no device, no operator, a chain without contracts. */
export class TestMarket {
  readonly site: string;
  readonly indexer: string;
  readonly store: Store;
  readonly #stop: () => Promise<void>;

  private constructor(site: string, indexer: string, store: Store, stop: () => Promise<void>) {
    this.site = site;
    this.indexer = indexer;
    this.store = store;
    this.#stop = stop;
  }

  static async up(fill: (store: Store) => Promise<void>): Promise<TestMarket> {
    const root = mkdtempSync(join(tmpdir(), "msec-market-"));
    const databases = await TestDatabases.start();
    let chain: EmbeddedChain | undefined;
    let server: Server | undefined;
    let pages: ChildProcess | undefined;
    const stop = async () => {
      const ended = pages && new Promise((resolve) => pages?.once("exit", resolve));
      pages?.kill("SIGTERM");
      await ended;
      server?.close();
      server?.closeAllConnections();
      await chain?.stop();
      await databases.stop();
      rmSync(root, { recursive: true, force: true });
    };
    try {
      const store = await Store.open(await databases.open("market"), { chainId: 1, addresses: ADDRESSES }, false);
      await fill(store);
      const status = { healthy: true, problems: [], chainId: 1, chainHead: 9, block: 9, caughtUpAtMs: 1, events: 9 };
      const noAudit = async () => {
        throw new NotYet("there is nothing to audit here");
      };
      const routes = handlers(routesOf(store, async () => status, noAudit));
      server = await serve(routes, "127.0.0.1", 0, (error) => console.log(error));
      const indexer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      chain = await startChain(join(root, "chain"), await freePort());
      const port = await freePort();
      const config = join(root, "pages.json");
      writeJson(config, {
        ...{ city: "Santander", port, dataDir: root, indexer, purposes: [RESEARCH], markets: [] },
        chain: { rpc: chain.rpc, chainId: chain.chainId, blockSeconds: 1, addresses: ADDRESSES },
        operators: [{ name: "operator-1", address: account(1), url: "http://127.0.0.1:1" }],
      });
      pages = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", MAIN, config], { stdio: "inherit" });
      const site = `http://localhost:${port}`;
      await until("the pages answer", async () => (await fetch(`${site}/api/city`)).ok, 90_000);
      return new TestMarket(site, indexer, store, stop);
    } catch (error) {
      await stop();
      throw error;
    }
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

export const streamId = (n: number): Hex => word(5_000 + n);
export const offerId = (n: number): Hex => word(100_000 + n);

/** A city of many streams, each with offers of its own, spread over its streets. */
export const crowd =
  (streams: number, offersEach: number) =>
  async (store: Store): Promise<void> => {
    const all = Array.from({ length: streams }, (_, n) => n);
    const enrolled = all.map((n) => ({
      ...{ block: 1, index: n, tx: word(1), contract: "DeviceRegistry", name: "Enrolled" },
      args: { deviceId: word(n + 1), owner: account(1), organisation: word(5), assurance: String(1 + (n % 2)) },
    }));
    const published = Array.from({ length: streams * offersEach }, (_, n) => ({
      ...{ block: 2, index: n, tx: word(2), contract: "Marketplace", name: "OfferPublished" },
      args: {
        ...{ offerId: offerId(n), streamId: streamId(n % streams), seller: account(10 + (n % 50)) },
        stream: { deviceId: word(1 + (n % streams)), ownerEpoch: 1, slotSeconds: 60, mode: n % streams === 7 ? 1 : 0 },
        terms: { unitPrice: String(1_000 + n), token: account(4), deliverer: account(5), fromSlot: 0, toSlot: 99 },
      },
    }));
    const blocks = [1, 2].map((number) => ({ number, hash: word(number), at: 1_800_000_000 + number }));
    await store.append([...enrolled, ...published] as never, blocks);
    for (const n of all) {
      await store.describe(streamId(n), {
        ...{ deviceId: word(n + 1), ownerEpoch: 1, name: `street-${n}/air`, slotSeconds: 60, mode: 0, salt: word(9) },
        schema: { quantities: [{ name: "NO2", unit: "ug/m3", text: "NO2" }], retainDays: 0, padCount: 0, padBytes: 0 },
      });
      // A spiral, dense in the middle.
      const [angle, reach] = [n * 2.399963, Math.sqrt((n + 1) / streams)];
      const place = {
        latitude: 43.462 + 0.02 * reach * reach * Math.sin(angle),
        longitude: -3.82 + 0.045 * reach * reach * Math.cos(angle),
        name: `Street ${n}`,
      };
      await store.putThing(streamId(n), 1, { title: `street-${n}`, place });
    }
    const now = Date.now();
    await store.reached(
      all.map((n) => ({
        streamId: streamId(n),
        thing: 1,
        firstSlot: 28_000_000,
        toMs: now,
        anchoredAt: now - n * 60_000,
      })),
    );
    await store.db.query("analyze");
  };
