import { generateKeyPairSync } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { ConnectError, identityOf, StatementReader } from "@msec/broker";
import { type Hex } from "@msec/core";
import { es256, writeFileAtomic } from "@msec/secure-element";
import { chain, logLevel, Loops, onStop, readConfig, runMain } from "@msec/service";
import { pino } from "pino";
import { z } from "zod";
import { Authority, type Issued } from "./authority.ts";
import { Keeper } from "./keeper.ts";
import { KEEPER, profileFiles, reload, writeProfile } from "./mosquitto.ts";
import { Registry } from "./registry.ts";
import { enrolmentServer, type Identification } from "./server.ts";
import { Verifier } from "./verifier.ts";

// Enrolment for a Mosquitto: attests devices, issues short-lived client certificates, writes the broker's profile, and keeps its
// rights and its revocation list as the registry says.

const schema = z.strictObject({
  /** Folder of this service alone: `authority/` with the sealed key, `mosquitto/` with the broker's files. */
  dataDir: z.string().min(1),
  /** Names and addresses by which devices reach this machine; the first is in the URL of this service. */
  names: z.array(z.string().min(1)).min(1),
  /** Where both listen. */
  host: z.string().default("127.0.0.1"),
  port: z.int().min(1).max(65535),
  mqttPort: z.int().min(1).max(65535),
  chain,
  /** How long a client certificate is good for. */
  certificateSeconds: z.int().min(1).max(86_400).default(28_800),
  /** How long an attestation result is good for. */
  resultSeconds: z.int().min(1).max(3_600).default(300),
  logLevel: logLevel.default("info"),
});

const FOLLOW_MS = 200;
const HOUR_MS = 3_600_000;
/** Certificates of the servers, good for ninety days, are made anew at each start and at this age. */
const RENEW_MS = 30 * 24 * HOUR_MS;

async function main(file: string): Promise<void> {
  const config = readConfig(schema, file);
  const log = pino({ level: config.logLevel, base: { service: "enrolment" } });
  const folder = join(config.dataDir, "mosquitto");
  const at = profileFiles(folder);
  mkdirSync(config.dataDir, { recursive: true, mode: 0o700 });
  const [name] = config.names as [string];
  const url = `https://${name}:${config.port}`;
  const authority = await Authority.open(join(config.dataDir, "authority"), `M-Sec broker ${name}`);
  const registry = new Registry(config.chain);
  await writeProfile(folder, config.host, config.mqttPort);
  await writeFileAtomic(at.ca, authority.pem, 0o644);

  const names = [...new Set([...config.names, "localhost", "127.0.0.1"])];
  const identify = async (subject: string, alternatives: string[]): Promise<Identification> => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const spki = new Uint8Array(publicKey.export({ format: "der", type: "spki" }));
    const cert = await authority.internal(subject, spki, alternatives, Date.now());
    return { cert, key: privateKey.export({ format: "pem", type: "pkcs8" }) as string };
  };
  let keeperOwn: Identification;
  let serversSince = 0;
  /** New certificates for the servers and the keeper. */
  const identifyAll = async (): Promise<Identification> => {
    const broker = await identify(name, names);
    await writeFileAtomic(at.key, broker.key);
    await writeFileAtomic(at.certificate, broker.cert, 0o644);
    keeperOwn = await identify(KEEPER, []);
    serversSince = Date.now();
    return identify(name, names);
  };
  const writeRevoked = async (): Promise<void> => {
    await writeFileAtomic(at.revoked, await authority.revocationList(Date.now()), 0o644);
    reload(folder);
  };
  const own = await identifyAll();
  await writeRevoked();

  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const signer = {
    spki: new Uint8Array(publicKey.export({ format: "der", type: "spki" })),
    sign: (message: Uint8Array) => Promise.resolve(es256(privateKey, message)),
  };
  const keeper = new Keeper({
    url: `mqtts://localhost:${config.mqttPort}`,
    ca: authority.pem,
    client: () => keeperOwn,
    onError: (error) => log.debug({ error: error.message }, "Mosquitto cannot be reached: tried again every second"),
  });
  const wanted = () => new Set(authority.valid(Date.now()).map(({ subject }) => subject));

  const server = enrolmentServer(
    {
      authority,
      verifier: new Verifier(registry, url, signer, config.resultSeconds),
      registry,
      statements: new StatementReader(url),
      certificateSeconds: config.certificateSeconds,
      issued: async (subject) => {
        log.info({ name: subject }, "certificate issued");
        // Whoever can't be let in yet is, once Mosquitto is there.
        await keeper.keep(wanted()).catch((error: Error) => log.warn({ error: error.message }, "rights wait"));
      },
      onError: (path, error) =>
        log.warn({ path, code: (error as { code?: string }).code, error: error.message }, "refused"),
    },
    own,
  );

  /** Revokes what the registry does not bear out any more, and takes it off the broker. */
  const check = async (concerned: (issued: Issued) => boolean): Promise<void> => {
    const withdrawn = new Set<string>();
    for (const issued of authority.valid(Date.now()).filter(concerned)) {
      const identity = identityOf(issued.subject);
      if (!identity) continue;
      try {
        await registry.admit({ identity, keyHash: issued.keyHash as Hex });
      } catch (error) {
        if (!(error instanceof ConnectError)) throw error;
        log.warn({ name: issued.subject, code: error.code, error: error.message }, "revoked");
        await authority.revoke(({ serial }) => serial === issued.serial, Date.now());
        withdrawn.add(issued.subject);
      }
    }
    if (withdrawn.size > 0) await writeRevoked();
    for (const subject of withdrawn) pending.add(subject);
  };
  /** Names whose connections are still to be ended. */
  const pending = new Set<string>();
  let all = true;
  const follow = async (): Promise<void> => {
    const changes = await registry.changes();
    if (changes === "all") all = true;
    await check(
      ({ subject }) => all || (changes !== "all" && (changes.committee || changes.devices.has(subject as Hex))),
    );
    all = false;
  };

  let away = false;
  const loops = new Loops((loop, error) =>
    log.error({ loop, error: error.message }, "a step failed: it is tried again"),
  );
  loops.every(FOLLOW_MS, "registry", async () => {
    try {
      await follow();
      away = false;
    } catch (error) {
      all = true;
      if (!away) log.warn({ error: (error as Error).message }, "the chain does not answer: nobody new is let in");
      away = true;
    }
    if (!keeper.connected) return;
    const over = [...pending];
    await keeper.keep(wanted(), over);
    for (const subject of over) pending.delete(subject);
  });
  loops.every(HOUR_MS, "certificates", async () => {
    if (Date.now() - serversSince > RENEW_MS) server.setSecureContext(await identifyAll());
    await writeRevoked();
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(config.port, config.host, resolve);
  });
  log.info({ url, profile: at.config }, "enrolment runs");

  onStop(async () => {
    server.close();
    server.closeAllConnections();
    await loops.stop();
    await keeper.stop();
    registry.close();
  });
}

runMain("enrolment", main);
