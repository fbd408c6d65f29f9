import { mkdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { beaconTopic, readTopic, rightsOf } from "@msec/broker";
import { type Addresses, connectChain, contractsAt, Sender } from "@msec/chain";
import { connect, ErasureKeys, FileRoot, Frontiers, TpmRoot } from "@msec/companion-db";
import { openContents } from "@msec/content-store";
import { addressOfKey, type Hex, toHex } from "@msec/core";
import { Loops, onStop, runMain, secretFile } from "@msec/service";
import sodium from "libsodium-wrappers";
import { pino } from "pino";
import { connectBroker } from "./broker.ts";
import { Certificates } from "./certificates.ts";
import { Committee } from "./committee.ts";
import { type Config, readConfig } from "./config.ts";
import { type Context } from "./context.ts";
import { Epochs } from "./epochs.ts";
import { Ingest, type MessagePage } from "./ingest.ts";
import { Lines } from "./lines.ts";
import { Metrics } from "./metrics.ts";
import { type Peer, Peers } from "./peers.ts";
import { DeviceCache } from "./registry.ts";
import { Receipts } from "./receipts.ts";
import { expire } from "./retention.ts";
import { startServer } from "./server.ts";
import { Store } from "./store.ts";
import { learnStream } from "./streams.ts";
import { Validators } from "./validators.ts";
import { Verifier } from "./verifier.ts";
import { Watcher } from "./watcher.ts";

const TICK_MS = 100;
const ROOT_ROTATION_MS = 60 * 60 * 1000;
const RETENTION_MS = 10 * 60 * 1000;
const IPFS_DIAL_MS = 10_000;
const LEARN_MS = 1000;

async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { operator: config.name } });
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  await sodium.ready;
  const key = secretFile(config.dataDir, "operator");
  const address = addressOfKey(key);
  if (!config.committee.some((member) => member.address === address))
    throw new Error(`${address}, the key in ${config.dataDir}, is not in the committee of ${file}`);

  const db = connect(config.databaseUrl);
  const store = await Store.open(db, (error) => {
    log.fatal({ error: error.message }, "the database is gone: this process ends, so that no two work on one database");
    process.exit(1);
  });
  const erasureKeys = await openErasureKeys(config);
  const frontiers = await Frontiers.open(db, erasureKeys);
  const provider = connectChain(config.chain);
  const contracts = contractsAt(config.chain.addresses as Addresses, provider);
  const contents = openContents(
    {
      kuboUrl: config.ipfsApiUrl,
      host: config.host,
      port: config.ipfsPort,
      read: async (digest) => (await store.packByContent(digest))?.content ?? undefined,
    },
    (error) =>
      log.error({ error: error.message }, "the content node did not start: contents are served over HTTP only"),
  );

  const ctx: Context = {
    config,
    log,
    metrics: new Metrics(),
    store,
    lines: new Lines(store),
    verifier: new Verifier(config.verifiers ?? Math.min(4, Math.max(1, availableParallelism() - 1)), (error) =>
      log.error({ error: error.message }, "a thread that checks packs died: its packs are checked without it"),
    ),
    frontiers,
    erasureKeys,
    devices: new DeviceCache(contracts),
    peers: new Peers(config.committee, address, log),
    contents,
    contracts,
    provider,
    sender: new Sender(toHex(key), provider, config.chain.chainId),
    reporter: new Sender(toHex(secretFile(config.dataDir, "reporter")), provider, config.chain.chainId),
    key,
    address,
    sealing: sodium.crypto_box_seed_keypair(secretFile(config.dataDir, "sealing")),
  };
  await ctx.lines.load();
  await store.forgetReceipted();

  const loops = new Loops((loop, error) =>
    log.error({ loop, error: error.message, stack: error.stack }, "a step failed: it is tried again"),
  );
  const client = connectBroker(config, key, address, loops, log);
  // One after the other: aedes drops a retained message that a plain one overtakes.
  let said: Promise<unknown> = Promise.resolve();
  const ingest = new Ingest(ctx, {
    publish: (topic, payload, retain) => {
      if (!client.connected) return;
      said = said.then(() => client.publishAsync(topic, payload, { qos: 1, retain })).catch(() => undefined);
    },
  });
  client.handleMessage = (packet, callback) => {
    if (packet.cmd !== "publish") return callback();
    const topic = readTopic(packet.topic);
    if (topic?.kind !== "packs") return callback();
    const streamId = topic.streamId as Hex;
    const payload = packet.payload as Buffer;
    const known = ctx.lines.byId.has(streamId) ? Promise.resolve() : learn(streamId);
    known
      .then(() => ingest.push(new Uint8Array(payload)))
      .then(
        () => callback(),
        () => callback(),
      );
  };
  // Ids that nobody knows cost the other operators a question a second and those who send real packs nothing.
  let askedAt = 0;
  const learn = async (streamId: Hex) => {
    if (!/^0x[0-9a-f]{64}$/.test(streamId) || Date.now() - askedAt < LEARN_MS) return;
    askedAt = Date.now();
    await learnStream(ctx, streamId);
  };
  client.on("connect", () => {
    client.subscribe(rightsOf({ kind: "operator", id: address }).subscribe, { qos: 1 }, (error) => {
      if (!error) return;
      log.error({ error: error.message }, "the broker refuses the subscription to packs: tried again");
      setTimeout(() => client.connected && client.reconnect(), 1000);
    });
    void ingest.receipts();
    log.info({ broker: config.mqttUrl }, "connected to the broker");
  });

  const epochs = new Epochs(ctx);
  const committee = new Committee(ctx, ingest, epochs);
  await committee.load();
  const watcher = new Watcher(ctx, committee, ingest, async (row) => {
    const beacon = JSON.stringify({ number: row.epoch.number, hash: row.hash });
    client.publish(beaconTopic(address), beacon, { qos: 0, retain: true });
    if (!config.ipfsApiUrl) return;
    const packs = await store.packs(row.headerDigests);
    const held = packs.flatMap((p) => (p.content ? [{ digest: p.contentDigest, bytes: p.content }] : []));
    void contents
      .provide(held)
      .catch((error: Error) => log.warn({ error: error.message }, "IPFS does not take the epoch's contents"));
  });
  committee.refresh = () => watcher.tick();
  const token = Buffer.from(secretFile(config.dataDir, "token")).toString("hex");
  const certificates = new Certificates(ctx);
  const validators = new Validators(provider);
  const parts = { committee, ingest, epochs, watcher, certificates, validators, broker: client, token };
  const server = await startServer(ctx, parts);
  log.info(
    { address, port: config.port, streams: ctx.lines.byId.size, epoch: committee.next - 1 },
    "custody oracle runs",
  );

  const receipts = new Receipts(ctx);
  loops.every(2 * TICK_MS, "chain", () => watcher.tick());
  loops.every(TICK_MS, "committee", () => committee.tick());
  loops.every(1000, "receipts", () => receipts.tick());
  loops.every(1000, "certificates", () => certificates.tick());
  loops.every(1000, "validators", () => validators.tick());
  loops.every(2000, "peers", () => askPeers(ctx, ingest));
  // Also at the start, else an operator that starts again every so often would never rotate.
  loops.every(ROOT_ROTATION_MS, "root rotation", async () => void (await erasureKeys.rotateRoot()));
  loops.every(RETENTION_MS, "retention", () => expire(ctx, ingest, Date.now()));
  const dialling = setInterval(() => void dialPeers(ctx), IPFS_DIAL_MS);
  void dialPeers(ctx);

  onStop(async () => {
    clearInterval(dialling);
    server.close();
    server.closeAllConnections();
    await loops.stop();
    await client.endAsync(true);
    await contents.stop();
    await ctx.verifier.stop();
    provider.destroy();
    await store.close();
    log.info("custody oracle stopped");
  });
}

function openErasureKeys({ dataDir, erasureRoot }: Config): Promise<ErasureKeys> {
  const [keys, file] = [join(dataDir, "erasure.keys"), new FileRoot(join(dataDir, "erasure.root"))];
  if (erasureRoot.kind === "file") return ErasureKeys.open(keys, file);
  return ErasureKeys.open(keys, new TpmRoot(erasureRoot.tpm, join(dataDir, "erasure.tpm")), file);
}

/** Learns of streams and of sealed packs' openings that this operator missed while it was away. */
async function askPeers(ctx: Context, ingest: Ingest): Promise<void> {
  const warn = (peer: Peer) => (error: Error) =>
    ctx.log.warn({ peer: peer.address, error: error.message }, "an operator's answer cannot be read");
  const learnFrom = async (peer: Peer) => {
    const streams = await ctx.peers.get<{ streamId: Hex }[]>(peer, "/streams");
    for (const { streamId } of streams ?? []) if (!ctx.lines.byId.has(streamId)) await learnStream(ctx, streamId);
  };
  for (const peer of ctx.peers.all) await learnFrom(peer).catch(warn(peer));
  const now = Date.now();
  for (const line of ctx.lines.byId.values()) {
    if (line.stream.mode !== 1) continue;
    const waiting = line.pending.filter((p) => p.opened.size === 0 && now - p.receivedAt > 1000).slice(0, 500);
    if (waiting.length === 0) continue;
    const digests = waiting.map((p) => p.signed.headerDigest);
    const askFor = async (peer: Peer) => {
      const page = await ctx.peers.post<MessagePage>(peer, "/peer/packs", { digests });
      if (page) await ingest.opened(page.opened.map(([headerDigest, , signature]) => ({ headerDigest, signature })));
    };
    for (const peer of ctx.peers.all.filter((p) => line.holders.holders.includes(p.address)))
      await askFor(peer).catch(warn(peer));
  }
}

async function dialPeers(ctx: Context): Promise<void> {
  for (const peer of ctx.peers.all) {
    const info = await ctx.peers.get<{ ipfs: string[] }>(peer, "/info");
    const [first] = info?.ipfs ?? [];
    if (first) await ctx.contents.dial(first).catch(() => undefined);
  }
}

runMain("custody", main);
