import { execFileSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  ask,
  type ClientCertificate,
  type Credentials,
  deviceCredentials,
  enrol,
  operatorCredentials,
  packsTopic,
  receiptsTopic,
  rightsOf,
  STATEMENT_MS,
} from "@msec/broker";
import { missingMosquitto } from "@msec/broker-service";
import { Sender } from "@msec/chain";
import { cborDecode, cborEncode, fromBase64, fromHex, type Hex, sha256 } from "@msec/core";
import { attest, init, measureAgent, openTpmElement, parseConfig } from "@msec/device";
import { AGENT_PCR, BOOT_PCRS, BOOT_SELECTION, type TpmElement } from "@msec/secure-element";
import {
  type Answer,
  confirmationMessage,
  decodeChallenge,
  encodeAnswer,
  encodeEvidence,
  quoteNonce,
} from "@msec/secure-element/attestation";
import { ALG, attestationKey, EK_TEMPLATES, RH, Tpm } from "@msec/secure-element/tpm";
import { missingSwtpm } from "@msec/secure-element/swtpm";
import { readJson, writeJson } from "@msec/service";
import mqtt, { type MqttClient } from "mqtt";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { csvFile, openPlan, TestCity, until } from "../support/city.ts";
import { HandDevice } from "../support/device.ts";
import { ProductionBroker } from "../support/mosquitto.ts";

// Who may say what at the two brokers, against real processes.

const other: Hex = `0x${"ab".repeat(32)}`;
let t: TestCity;
beforeAll(async () => {
  t = await TestCity.up((root) => [
    openPlan("lamp", csvFile(root, "lamp.csv", 60_000, 1000).file, 10, 40),
    openPlan("post", csvFile(root, "post.csv", 60_000, 1000).file, 10, 40),
  ]);
});
afterAll(async () => {
  await t?.stop();
});

const setStatus = async (deviceId: Hex, status: number) => {
  const { people, run, contracts, provider } = t.city;
  return new Sender(people.deployer.key, provider, run.deployment.chainId).transact({
    to: run.deployment.addresses.DeviceRegistry,
    data: contracts.DeviceRegistry.interface.encodeFunctionData("setStatus", [deviceId, status]),
  });
};
const QUARANTINED = 3;
const ACTIVE = 1;

/** Quarantines a device; how many blocks and seconds later its connection has ended. */
async function cutOff(deviceId: Hex, connected: () => boolean): Promise<{ blocks: number; seconds: number }> {
  const { blockNumber } = await setStatus(deviceId, QUARANTINED);
  const from = performance.now();
  while (connected()) {
    if (performance.now() - from > 10_000) throw new Error("its connection did not end within 10 s");
    await sleep(10);
  }
  const seconds = (performance.now() - from) / 1000;
  return { blocks: (await t.city.provider.getBlockNumber()) - blockNumber, seconds };
}

describe("the embedded broker", () => {
  let device: HandDevice;
  beforeAll(async () => {
    device = await HandDevice.make(t.city);
  });
  afterAll(() => device?.close());

  const self = (of: HandDevice, deviceId = of.preimage.deviceId) => ({
    deviceId,
    spki: () => Promise.resolve(of.key.spki),
    sign: (message: Uint8Array) => Promise.resolve(of.key.sign(message)),
  });
  const connect = (credentials: Partial<Credentials>, clientId = `${credentials.username}/test`): Promise<MqttClient> =>
    mqtt.connectAsync(t.city.run.broker, { clientId, ...credentials, protocolVersion: 4, reconnectPeriod: 0 });
  const refused = (credentials: Partial<Credentials>, clientId?: string) =>
    expect(connect(credentials, clientId)).rejects.toThrow(/Connection refused/);

  test("lets in who signs for it now, once", async () => {
    const credentials = await deviceCredentials(self(device), t.city.run.broker);
    const client = await connect(credentials);
    await refused(credentials, `${credentials.username}/again`);
    await client.endAsync(true);
    await refused(credentials);
  });

  test("refuses no statement, another device's, another key's, a stale one, one for another broker, another's name", async () => {
    const { broker } = t.city.run;
    const { deviceId } = device.preimage;
    await refused({}, "somebody");
    await refused({ username: deviceId });
    await refused({ username: deviceId, password: "secret" });
    await refused({ username: "admin", password: "admin" });
    const stranger = new HandDevice(t.city);
    await refused(await deviceCredentials(self(stranger), broker));
    await refused(await deviceCredentials(self(stranger, deviceId), broker));
    const { username } = await deviceCredentials(self(device), broker);
    const { password } = await deviceCredentials(self(stranger), broker);
    await refused({ username, password });
    await refused(await deviceCredentials(self(device), broker, Date.now() - STATEMENT_MS - 1000));
    await refused(await deviceCredentials(self(device), "mqtt://127.0.0.1:1"));
    await refused(await deviceCredentials(self(device), broker), other);
    const { address, key } = t.city.people.deployer;
    await refused(operatorCredentials(fromHex(key), address, broker));
    expect(device.connected, "nobody ends the connection of the device itself").toBe(true);
  });

  test("a foreign topic, a retained pack, a foreign filter: refused, and nobody hears of it", async () => {
    const { address, key } = t.city.people.operators[0]!;
    const { deviceId } = device.preimage;
    const heard: string[] = [];
    const listener = await connect(operatorCredentials(fromHex(key), address, t.city.run.broker));
    listener.on("message", (topic) => void heard.push(topic));
    await listener.subscribeAsync(rightsOf({ kind: "operator", id: address }).subscribe, { qos: 1 });
    const fresh = async () => connect(await deviceCredentials(self(device), t.city.run.broker));
    const closes = async (topic: string, retain = false) => {
      const client = await fresh();
      const closed = new Promise<void>((resolve) => client.once("close", () => resolve()));
      client.publish(topic, "x", { qos: 1, retain });
      await closed;
      await client.endAsync(true);
    };
    await closes(packsTopic(other, device.id));
    await closes(receiptsTopic(deviceId, device.id, address));
    await closes(packsTopic(deviceId, device.id), true);
    const client = await fresh();
    for (const filter of ["#", "msec/v1/+/+/packs", receiptsTopic(other, device.id, address)])
      await expect(client.subscribeAsync(filter, { qos: 1 }), filter).rejects.toThrow();
    await client.publishAsync(packsTopic(deviceId, device.id), "own", { qos: 1 });
    await until("its own topic is heard", () => heard.includes(packsTopic(deviceId, device.id)));
    expect(heard).not.toContain(packsTopic(other, device.id));
    await expect(listener.subscribeAsync("msec/v1/#", { qos: 1 })).rejects.toThrow();
    await client.endAsync(true);
    await listener.endAsync(true);
  });

  test("a quarantined device is off within two blocks and not let in again; released, it is", async () => {
    const { deviceId } = device.preimage;
    const { blocks, seconds } = await cutOff(deviceId, () => device.connected);
    console.log(`embedded: off ${seconds.toFixed(2)} s and ${blocks} blocks after the quarantine`);
    expect(blocks).toBeLessThanOrEqual(2);
    await refused(await deviceCredentials(self(device), t.city.run.broker));
    await setStatus(deviceId, ACTIVE);
    await device.connect();
    expect(device.connected).toBe(true);
  });
});

const missing = missingMosquitto() ?? missingSwtpm();
if (missing) console.log(`skipped: Mosquitto with attested devices: ${missing}`);

describe.skipIf(missing !== undefined)("Mosquitto with the production profile", () => {
  let broker: ProductionBroker;
  let element: TpmElement;
  let deviceId: Hex;
  let own: ClientCertificate;
  const clients: MqttClient[] = [];
  const RESULT_SECONDS = 15;

  const configOf = (name: string) =>
    parseConfig(readJson(t.city.layout.deviceConfig(name)), t.city.layout.device(name));

  beforeAll(async () => {
    broker = await ProductionBroker.start(t, { certificateSeconds: 45, resultSeconds: RESULT_SECONDS });
    // Its agent's place is taken by the test.
    await t.city.processes.halt("post");
    element = await openTpmElement(configOf("post"));
    ({ deviceId } = element);
  });
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.endAsync(true)));
    await element?.close();
    await broker?.kill("SIGTERM");
  });

  const newKey = () => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    return {
      spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
      key: privateKey.export({ format: "pem", type: "pkcs8" }) as string,
    };
  };
  const bearer = (token: Uint8Array) => `Bearer ${Buffer.from(token).toString("base64url")}`;
  const connect = async (certificate: Partial<ClientCertificate>, options: mqtt.IClientOptions = {}) => {
    const client = await mqtt.connectAsync(broker.url, {
      clientId: deviceId,
      protocolVersion: 5,
      reconnectPeriod: 0,
      connectTimeout: 4000,
      ca: broker.server.ca,
      ...certificate,
      ...options,
    });
    clients.push(client);
    return client;
  };
  /** TLS 1.3 refuses a client after its own handshake is done: the connection ends, without a CONNACK. */
  const refused = (certificate: Partial<ClientCertificate>) => expect(connect(certificate)).rejects.toThrow();

  test("gives its authority to everybody, and a certificate for an attestation result of its own making", async () => {
    const answer = await ask(broker.server, { path: "/.well-known/est/cacerts" });
    expect(Buffer.from(Buffer.from(answer).toString("latin1"), "base64").includes(derOf(broker.server.ca))).toBe(true);
    const { key, spki } = newKey();
    own = await enrol(broker.server, deviceId, key, bearer(await attest(element, broker.server, spki)));
    const client = await connect(own);
    expect(client.connected).toBe(true);
    await client.endAsync(true);
  });

  test("no certificate without a result, with a stale one, another device's, for another key, or a changed one", async () => {
    const { key, spki } = newKey();
    const asks = (authorization: string, name: string = deviceId, by = key, present?: ClientCertificate) =>
      expect(enrol(broker.server, name, by, authorization, present)).rejects;
    await asks("").toMatchObject({ status: 401 });
    const token = await attest(element, broker.server, spki);
    await asks(bearer(token), other).toThrow(/another device's/);
    await asks(bearer(token), deviceId, newKey().key).toThrow(/for another key/);
    const changed = token.slice();
    changed[changed.length - 1] = (changed.at(-1) as number) ^ 1;
    await asks(bearer(changed)).toThrow(/not signed by the verifier/);
    await sleep(RESULT_SECONDS * 1000 + 100);
    await asks(bearer(token)).toThrow(/over/);
    // A device can't sign itself in as an operator does.
    const { username, password } = await deviceCredentials(element, broker.server.url);
    await asks(`Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`).toThrow(/attested/);
  });

  test("a renewal takes a certificate that is still good, in the same name", async () => {
    const { key, spki } = newKey();
    const fresh = async () => bearer(await attest(element, broker.server, spki));
    const renewed = await enrol(broker.server, deviceId, key, await fresh(), own);
    expect(renewed.cert).not.toBe(own.cert);
    await expect(enrol(broker.server, deviceId, key, await fresh(), foreign())).rejects.toMatchObject({ status: 401 });
  });

  test("a quote of changed PCRs, an answer to another challenge, an answer twice: no result", async () => {
    const type = "application/cbor";
    const evidence = await element.evidence();
    const begin = async () => {
      const [, id, bytes] = cborDecode(
        await ask(broker.server, { path: "/attestation/challenge", type, body: encodeEvidence(evidence) }),
      ) as [number, Uint8Array, Uint8Array];
      return { id: Uint8Array.from(id), challenge: decodeChallenge(Uint8Array.from(bytes)) };
    };
    const { spki } = newKey();
    const finish = async (id: Uint8Array, nonce: Uint8Array, answer: Answer) => {
      const signature = await element.sign(confirmationMessage(nonce, sha256(spki)));
      const body = cborEncode([1, id, encodeAnswer(answer), spki, signature]);
      return ask(broker.server, { path: "/attestation/result", type, body });
    };
    const first = await begin();
    const answer = await element.answer(first.challenge);
    const second = await begin();
    await expect(finish(second.id, second.challenge.nonce, answer)).rejects.toMatchObject({ status: 403 });
    expect((await finish(first.id, first.challenge.nonce, answer)).length).toBeGreaterThan(100);
    await expect(finish(first.id, first.challenge.nonce, answer)).rejects.toThrow(/challenge is over/);

    // Something else is measured on top, and whoever holds the device answers past its agent: the chip tells.
    await element.close();
    const config = configOf("post").element as { tpm: string };
    const digest = sha256(Buffer.from("something else"));
    const chip = await Tpm.open(config.tpm);
    await chip.pcrExtend(AGENT_PCR, [{ hash: ALG.SHA256, digest }]);
    const { id, challenge } = await begin();
    const { akUnique } = readJson<{ akUnique: string }>(join(t.city.layout.device("post"), "element.json"))!;
    const ak = await chip.createPrimary(RH.ENDORSEMENT, attestationKey(fromBase64(akUnique)));
    const secrets: Uint8Array[] = [];
    for (const [i, { template: name }] of evidence.endorsements.entries()) {
      const template = EK_TEMPLATES.find((known) => known.name === name)!;
      const ek = await chip.createPrimary(RH.ENDORSEMENT, template.area);
      const credential = challenge.credentials[i]!;
      secrets.push(
        await chip.withEndorsementPolicy(template, (session) => chip.activateCredential(ak, ek, credential, session)),
      );
      await chip.flush(ek);
    }
    const changed: Answer = {
      secrets,
      quote: await chip.quote(ak, quoteNonce(challenge.nonce, evidence), BOOT_SELECTION),
      pcrs: await chip.pcrRead(ALG.SHA256, BOOT_PCRS),
      log: [...answer.log, { pcr: AGENT_PCR, digest, what: "something else" }],
    };
    await chip.flush(ak);
    await chip.close();
    const body = cborEncode([1, id, encodeAnswer(changed), spki, new Uint8Array(64)]);
    await expect(ask(broker.server, { path: "/attestation/result", type, body })).rejects.toThrow(/boot policy/);
    // Its own agent can't even sign.
    const agent = await openTpmElement(configOf("post"));
    await expect(agent.sign(new Uint8Array(1))).rejects.toThrow();
    await agent.close();
    await t.city.tpms.cut("post");
    await until("the TPM is back", async () => {
      await measureAgent(configOf("post"));
      element = await openTpmElement(configOf("post"));
      return true;
    });
  });

  test("a quarantined device is off within two blocks, and gets neither connection nor certificate; released, both", async () => {
    const { key, spki } = newKey();
    own = await enrol(broker.server, deviceId, key, bearer(await attest(element, broker.server, spki)));
    const client = await connect(own);
    const token = await attest(element, broker.server, spki);
    const { blocks, seconds } = await cutOff(deviceId, () => client.connected);
    console.log(`Mosquitto: off ${seconds.toFixed(2)} s and ${blocks} blocks after the quarantine`);
    expect(blocks).toBeLessThanOrEqual(2);
    await refused(own);
    await expect(attest(element, broker.server, spki)).rejects.toThrow(/quarantined/);
    await expect(enrol(broker.server, deviceId, key, bearer(token))).rejects.toThrow(/quarantined/);
    await setStatus(deviceId, ACTIVE);
    await refused(own);
    own = await enrol(broker.server, deviceId, key, bearer(await attest(element, broker.server, spki)));
    const again = await connect(own);
    await again.endAsync(true);
  });

  test("agent and operators over it: the line goes on, over renewals and a killed broker", async () => {
    await element.close();
    const mqttTls = { ca: broker.files.ca, enrolment: broker.server.url };
    for (const n of [1, 2, 3, 4]) {
      const file = join(t.city.layout.operator(n), "config.json");
      await t.city.processes.halt(`operator-${n}`);
      writeJson(file, { ...readJson<object>(file), mqttUrl: broker.url, mqttTls });
      t.city.processes.resume(`operator-${n}`);
    }
    const file = t.city.layout.deviceConfig("lamp");
    await t.city.processes.halt("lamp");
    writeJson(file, { ...readJson<object>(file), mqtt: { url: broker.url, tls: mqttTls, maxBackoffSeconds: 1 } });
    // Its owner takes the new configuration: otherwise the agent refuses it.
    await init(configOf("lamp"));
    t.city.processes.resume("lamp");
    const head = async () =>
      (await t.get<{ head: { seq: number } | null }>(1, `/streams/${t.streamOf("lamp")}`)).head?.seq ?? 0;
    const goesOn = async (what: string) => {
      const before = await until("an operator answers", head);
      await until(what, async () => (await head()) > before + 3, 90_000);
    };
    await goesOn("the line goes on over Mosquitto");
    const lamp = t.city.run.devices.find(({ name }) => name === "lamp")!.deviceId;
    const certificates = () =>
      readJson<{ issued: { subject: string }[] }>(join(broker.dataDir, "authority", "issued.json"))!.issued.filter(
        ({ subject }) => subject === lamp,
      ).length;
    const first = certificates();
    await until("the agent renewed its certificate", () => certificates() > first);
    await goesOn("the line goes on with the new certificate");
    await broker.kill("SIGKILL");
    await broker.up();
    await goesOn("the line goes on after the broker was killed");
  }, 480_000);
});

/** A certificate for nobody in particular, by an authority of its own. */
function foreign(): ClientCertificate {
  const folder = mkdtempSync(join(tmpdir(), "msec-foreign-"));
  try {
    const made = ["-keyout", join(folder, "key"), "-out", join(folder, "cert"), "-subj", "/CN=somebody", "-days", "1"];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", ["req", "-x509", ...curve, ...made], { stdio: "pipe" });
    return { key: readFileSync(join(folder, "key"), "utf8"), cert: readFileSync(join(folder, "cert"), "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** DER in a PEM. */
const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64");
