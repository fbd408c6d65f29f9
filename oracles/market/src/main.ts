import { mkdirSync } from "node:fs";
import { type Addresses, connectChain, contractsAt, Sender } from "@msec/chain";
import { connect } from "@msec/companion-db";
import { type Hex, toHex } from "@msec/core";
import { healthPage, Loops, onStop, Reply, runMain, secretFile, serve } from "@msec/service";
import { pino } from "pino";
import { Book } from "./book.ts";
import { readConfig } from "./config.ts";
import { Custody } from "./custody.ts";
import { Deals } from "./deals.ts";
import { Metrics } from "./metrics.ts";
import { Orders } from "./orders.ts";
import { Store } from "./store.ts";
import { Subscriptions } from "./subscriptions.ts";

const TICK_MS = 250;
const BOND_MS = 5000;
const LARGEST_ORDER = 64 * 1024;

async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { deliverer: config.name } });
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const provider = connectChain(config.chain);
  const contracts = contractsAt(config.chain.addresses as Addresses, provider);
  const sender = new Sender(toHex(secretFile(config.dataDir, "deliverer")), provider, config.chain.chainId);
  const db = connect(config.databaseUrl);
  const store = await Store.open(db);
  const metrics = new Metrics();
  const token = Buffer.from(secretFile(config.custody.dataDir, "token")).toString("hex");
  const custody = new Custody(config.custody.url, token);
  const parts = { contracts, provider, sender, store, custody, metrics, log, chainId: config.chain.chainId };
  const deals = new Deals(parts);
  const subscriptions = new Subscriptions(parts);
  const deployed = { chainId: config.chain.chainId, addresses: config.chain.addresses as Addresses };
  const orders = new Orders({ contracts, provider, sender, deployed, book: await Book.open(db), log });

  let failure = "";
  const loops = new Loops((loop, error) => {
    failure = error.message;
    log.error({ loop, error: error.message }, "a step failed: it is tried again");
  });
  // One after the other: all sign with the account's next nonce.
  loops.every(TICK_MS, "deals, subscriptions and orders", async () => {
    try {
      await deals.tick();
    } finally {
      try {
        await subscriptions.tick();
      } finally {
        await orders.tick();
      }
    }
    failure = "";
  });
  loops.every(BOND_MS, "bond", async () => {
    const { token: bondToken, amount } = config.bond;
    const balance = await contracts.MSecToken.balanceOf(sender.address);
    for (const contract of ["Escrow", "Subscription"] as const) {
      const free = await contracts[contract].bondOf(sender.address, bondToken);
      metrics.bond.set({ contract }, Number(free));
      if (free < BigInt(amount) / 2n && balance < BigInt(amount))
        log.warn({ contract, free: free.toString() }, "the free bond runs low: deposit more");
    }
  });

  const status = async () => ({
    name: config.name,
    address: sender.address,
    healthy: failure === "",
    problems: failure === "" ? [] : [failure],
    deals: await store.counts(),
    subscriptions: (await store.openSubscriptions()).length,
    bond: (await contracts.Escrow.bondOf(sender.address, config.bond.token as Hex)).toString(),
  });
  const server = await serve(
    {
      "GET /status": status,
      "GET /orders": (request) => orders.list(request),
      "GET /orders/:": ({ params: [hash] }) => orders.get(hash as string),
      "POST /orders": ({ body }) => orders.submit(body),
      "GET /health": async () => {
        const now = await status();
        const rows = Object.entries(now.deals) as [string, unknown][];
        const page = healthPage(`Deliverer ${now.name}`, now.problems, [
          {
            rows: [
              ["Account", now.address],
              ["Free bond", now.bond],
              ["Subscriptions served", String(now.subscriptions)],
            ],
          },
          { title: "Deals", rows },
        ]);
        return new Reply(200, page, "text/html; charset=utf-8");
      },
      "GET /metrics": async () => new Reply(200, await metrics.registry.metrics(), metrics.registry.contentType),
    },
    config.host,
    config.port,
    (error) => log.error({ error: error.message }, "a request failed"),
    { largestBody: LARGEST_ORDER },
  );
  log.info({ address: sender.address, port: config.port }, "market oracle runs");
  onStop(async () => {
    server.close();
    server.closeAllConnections();
    await loops.stop();
    await db.end();
    provider.destroy();
    log.info("market oracle stopped");
  });
}

runMain("market", main);
