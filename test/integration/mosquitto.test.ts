import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ClientCertificate, packsTopic, receiptsTopic, rightsOf } from "@msec/broker";
import { Authority, Keeper, KEEPER, missingMosquitto, profileFiles, reload, writeProfile } from "@msec/broker-service";
import { type Hex } from "@msec/core";
import { writeFileAtomic } from "@msec/secure-element";
import { freePort } from "@msec/service";
import mqtt, { type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../support/city.ts";
import { MosquittoProcess } from "../support/mosquitto.ts";

// The production profile by itself: a real Mosquitto, an authority and a keeper, no chain.

const missing = missingMosquitto();
if (missing) console.log(`skipped: Mosquitto: ${missing}`);

const device: Hex = `0x${"11".repeat(32)}`;
const other: Hex = `0x${"22".repeat(32)}`;
const operator: Hex = `0x${"33".repeat(20)}`;
const stream: Hex = `0x${"44".repeat(32)}`;
const HOUR = 3600;

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    key: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
  };
}

async function issued(authority: Authority, name: string, seconds = HOUR): Promise<ClientCertificate> {
  const { key, spki } = newKey();
  const { certificate } = await authority.issue(name, spki, seconds, Date.now());
  return { key, cert: certificate.toString("pem") };
}

describe.skipIf(missing !== undefined)("Mosquitto with the production profile", () => {
  let root: string;
  let folder: string;
  let authority: Authority;
  let keeper: Keeper;
  let broker: MosquittoProcess;
  let url: string;
  const clients: MqttClient[] = [];
  const wanted = () => new Set(authority.valid(Date.now()).map(({ subject }) => subject));
  const writeRevoked = async () =>
    writeFileAtomic(profileFiles(folder).revoked, await authority.revocationList(Date.now()));

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "msec-mosquitto-"));
    folder = join(root, "mosquitto");
    authority = await Authority.open(join(root, "authority"), "test");
    const port = await freePort();
    url = `mqtts://localhost:${port}`;
    await writeProfile(folder, "127.0.0.1", port);
    const at = profileFiles(folder);
    const server = newKey();
    await writeFileAtomic(at.ca, authority.pem);
    await writeFileAtomic(at.key, server.key);
    const names = ["localhost", "127.0.0.1"];
    await writeFileAtomic(at.certificate, await authority.internal("localhost", server.spki, names, Date.now()));
    await writeRevoked();
    broker = new MosquittoProcess(folder, port);
    await broker.up();
    const own = newKey();
    const cert = await authority.internal(KEEPER, own.spki, [], Date.now());
    keeper = new Keeper({ url, ca: authority.pem, client: () => ({ key: own.key, cert }), onError: () => undefined });
    await until("the keeper is connected", () => keeper.connected);
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.endAsync(true)));
    await keeper?.stop();
    await broker?.kill("SIGTERM");
    rmSync(root, { recursive: true, force: true });
  });

  const connect = async (certificate: Partial<ClientCertificate>, options: mqtt.IClientOptions = {}) => {
    const client = await mqtt.connectAsync(url, {
      clientId: "whatever",
      protocolVersion: 5,
      reconnectPeriod: 0,
      connectTimeout: 4000,
      ca: authority.pem,
      ...certificate,
      ...options,
    });
    clients.push(client);
    return client;
  };
  /** TLS 1.3 refuses a client after its own handshake is done: the connection ends, without a CONNACK. */
  const refused = (certificate: Partial<ClientCertificate>) => expect(connect(certificate)).rejects.toThrow();

  test("a device has its own topics only, in both directions, and no control", async () => {
    const own = await issued(authority, device);
    await keeper.keep(wanted());
    await (await connect(own)).publishAsync(packsTopic(device, stream), "x", { qos: 1 });
    // mqtt.js gives a connection up once a publication was refused.
    for (const topic of [
      packsTopic(other, stream),
      receiptsTopic(device, stream, operator),
      "$CONTROL/dynamic-security/v1",
    ])
      await expect((await connect(own)).publishAsync(topic, "x", { qos: 1 }), topic).rejects.toThrow(/Not authorized/i);
    const client = await connect(own);
    for (const filter of ["#", "msec/v1/+/+/packs", receiptsTopic(other, stream, operator), "$CONTROL/#", "$SYS/#"])
      await expect(client.subscribeAsync(filter, { qos: 1 }), filter).rejects.toThrow();
    await client.subscribeAsync(rightsOf({ kind: "device", id: device }).subscribe, { qos: 1 });
    // Its name is the certificate's, whatever it calls itself: a second connection takes the place of the first.
    await connect(own, { clientId: "something else" });
    await until("the first connection ended", () => !client.connected);
  });

  test("what an operator says reaches the device, and nobody else's device", async () => {
    const [a, b, o] = [
      await issued(authority, device),
      await issued(authority, other),
      await issued(authority, operator),
    ];
    await keeper.keep(wanted());
    const heard: string[] = [];
    const [mine, theirs, said] = [await connect(a), await connect(b), await connect(o)];
    for (const [client, id] of [
      [mine, device],
      [theirs, other],
    ] as const) {
      client.on("message", (topic) => void heard.push(`${id} ${topic}`));
      await client.subscribeAsync(rightsOf({ kind: "device", id }).subscribe, { qos: 1 });
    }
    const topic = receiptsTopic(device, stream, operator);
    await said.publishAsync(topic, "receipt", { qos: 1, retain: true });
    await until("the device hears it", () => heard.length > 0);
    await sleep(200);
    expect(heard).toEqual([`${device} ${topic}`]);
    await expect(said.publishAsync(packsTopic(device, stream), "x", { qos: 1 })).rejects.toThrow(/Not authorized/i);
  });

  test("no certificate, an expired one, another authority's in the same name: refused", async () => {
    await refused({});
    await refused(await issued(authority, device, -10));
    const stranger = await Authority.open(join(root, "stranger"), "test");
    await refused(await issued(stranger, device));
    await connect(await issued(authority, device));
  });

  test("a name that nobody gave rights to can do nothing", async () => {
    const nobody: Hex = `0x${"99".repeat(32)}`;
    const client = await connect(await issued(authority, nobody));
    await expect(client.publishAsync(packsTopic(nobody, stream), "x", { qos: 1 })).rejects.toThrow(/Not authorized/i);
  });

  test("revoked: a list alone ends no connection, the keeper does, and neither lets it in again", async () => {
    const own = await issued(authority, other);
    await keeper.keep(wanted());
    const client = await connect(own);
    expect(await authority.revoke(({ subject }) => subject === other, Date.now())).toEqual([other]);
    await writeRevoked();
    expect(reload(folder)).toBe(true);
    await sleep(1000);
    expect(client.connected, "this is why there is a keeper").toBe(true);
    await keeper.keep(wanted(), [other]);
    await until("its connection ended", () => !client.connected);
    await refused(own);
    // Let in again, it has its rights again.
    const again = await issued(authority, other);
    await keeper.keep(wanted());
    await (await connect(again)).publishAsync(packsTopic(other, stream), "x", { qos: 1 });
  });

  // Mosquitto acknowledges before it writes: what came in the moment before a kill is lost, and sent again by its device.
  test("killed two seconds after, it has lost nothing that it acknowledged, and still knows the rights", async () => {
    const session = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const [a, o] = [await issued(authority, device), await issued(authority, operator)];
    await keeper.keep(wanted());
    const away = await connect(o, session);
    await away.subscribeAsync(rightsOf({ kind: "operator", id: operator }).subscribe, { qos: 1 });
    await away.endAsync();
    const sender = await connect(a);
    const count = 2000;
    const body = "x".repeat(500);
    await Promise.all(
      Array.from({ length: count }, (_, i) =>
        sender.publishAsync(packsTopic(device, stream), `${i} ${body}`, { qos: 1 }),
      ),
    );
    await sleep(2000);
    await broker.kill("SIGKILL");
    await broker.up();
    const got = new Set<number>();
    const back = mqtt.connect(url, {
      ...session,
      clientId: operator,
      protocolVersion: 5,
      reconnectPeriod: 0,
      ca: authority.pem,
      ...o,
    });
    clients.push(back);
    back.on("message", (_, payload) => void got.add(Number(payload.toString().split(" ")[0])));
    await until("everything comes", () => got.size === count).catch(() => undefined);
    console.log(`Mosquitto: ${count} acknowledged, ${count - got.size} lost by SIGKILL two seconds later`);
    expect(got.size).toBe(count);
    await (await connect(a)).publishAsync(packsTopic(device, stream), "x", { qos: 1 });
  });
});
