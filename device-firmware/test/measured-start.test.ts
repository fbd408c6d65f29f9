import { appendFile, cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { generateKeyPairSync, sign } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromHex, toBase64, verifySignature } from "@msec/core";
import {
  approvalMessage,
  BOOT_PCRS,
  bootPolicy,
  connectService,
  serve,
  serviceOf,
  TpmElement,
} from "@msec/secure-element";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { ALG, Tpm } from "@msec/secure-element/tpm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Config, init, openIdentity, parseConfig, paths } from "../src/index.ts";
import { measureAgent } from "../src/measure.ts";

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

const maker = generateKeyPairSync("ec", { namedCurve: "P-256" });
const authority = new Uint8Array(maker.publicKey.export({ format: "der", type: "spki" }));
const message = Buffer.from("a header");

describe.skipIf(missing !== undefined)("the measured start", () => {
  let folder: string;
  let swtpm: Swtpm;
  let config: Config;
  /** The agent's package, as it is installed on the device. */
  const agent = () => join(folder, "agent");

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "msec-start-"));
    await manufacture(join(folder, "tpm"), join(folder, "maker"));
    swtpm = await startSwtpm(join(folder, "tpm"));
    await mkdir(agent());
    await writeFile(join(agent(), "package.json"), JSON.stringify({ name: "agent" }));
    await writeFile(join(agent(), "main.js"), "the agent");
    config = parseConfig(
      {
        name: "lamp",
        dataDir: join(folder, "data"),
        element: { kind: "tpm", tpm: swtpm.address, authority: toBase64(authority) },
        ownerEpoch: 1,
        chain: { chainId: 1, anchor: `0x${"11".repeat(20)}` },
        committee: { members: [{ address: `0x${"22".repeat(20)}`, organisation: "one", url: "http://127.0.0.1:1" }] },
        mqtt: { url: "mqtt://127.0.0.1:1" },
        streams: [
          {
            name: "air",
            mode: "open",
            slotSeconds: 60,
            quantities: [{ name: "CO", unit: "mg/m3", text: "CO" }],
            driver: { kind: "hwmon" },
          },
        ],
      },
      folder,
    );
  });
  afterAll(async () => {
    await swtpm.cut();
    await rm(folder, { recursive: true, force: true });
  });
  const reboot = async () => {
    await swtpm.stop();
    swtpm = await startSwtpm(join(folder, "tpm"));
  };
  const signature = async () => {
    await measureAgent(config, agent());
    const { element } = await openIdentity(config);
    try {
      return verifySignature(await element.spki(), message, await element.sign(message));
    } finally {
      await element.close();
    }
  };

  test("the key is made for the agent that was measured, and signs over restarts and reboots", async () => {
    await measureAgent(config, agent());
    // What init measures by itself is the agent that runs this test: here the installed one is already measured.
    await TpmElement.openOrCreate({
      path: paths(config).element,
      address: swtpm.address,
      authority,
    }).then((element) => element.close());
    await writeFile(paths(config).wrapKey, Buffer.alloc(32, 7), { mode: 0o600 });
    expect(await signature()).toBe(true);
    expect(await signature()).toBe(true);
    await reboot();
    expect(await signature()).toBe(true);
    const log = JSON.parse(await readFile(paths(config).bootLog, "utf8")) as { events: unknown[] };
    expect(log.events).toHaveLength(1);
  });

  test("a start that was cut off between the extension and its log goes on", async () => {
    await rm(paths(config).bootLog);
    expect(await signature()).toBe(true);
  });

  test("an agent changed by one byte does not sign, not even after the change is undone, until the TPM restarts", async () => {
    await cp(agent(), join(folder, "good"), { recursive: true });
    await appendFile(join(agent(), "main.js"), "!");
    await expect(signature()).rejects.toMatchObject({ code: "firmware", value: 0x1c4 });
    await rm(agent(), { recursive: true });
    await cp(join(folder, "good"), agent(), { recursive: true });
    await expect(signature()).rejects.toMatchObject({ code: "firmware" });
    await reboot();
    expect(await signature()).toBe(true);
  });

  test("an update with its maker's approval signs with the same key", async () => {
    await reboot();
    await appendFile(join(agent(), "main.js"), " version 2");
    await measureAgent(config, agent());
    const tpm = await Tpm.open(swtpm.address);
    const policy = bootPolicy(await tpm.pcrRead(ALG.SHA256, BOOT_PCRS));
    await tpm.close();
    const approval = sign("sha256", approvalMessage(policy), { key: maker.privateKey, dsaEncoding: "ieee-p1363" });
    await writeFile(
      paths(config).approvals,
      JSON.stringify([{ policy: toBase64(policy), signature: toBase64(approval) }]),
    );
    expect(await signature()).toBe(true);
  });

  test("the owner of the TPM serves the device's other programs, and only digests are signed for them", async () => {
    const { element } = await openIdentity(config);
    const service = await serve(serviceOf(element as TpmElement), paths(config).service, () => undefined);
    expect((await stat(paths(config).service)).mode & 0o777).toBe(0o600);
    const client = (await connectService(paths(config).service))!;
    expect(await client.status()).toEqual({
      deviceId: element.deviceId,
      keyEpoch: 1,
      bootEpoch: await element.bootEpoch(),
    });
    const digest = new Uint8Array(32).fill(5);
    expect(verifySignature(await element.spki(), digest, await client.signDigest(digest, "current"))).toBe(true);
    await expect(client.signDigest(message, "current")).rejects.toMatchObject({ code: "service" });
    await expect(client.evidence("next")).rejects.toThrow(/no key is prepared/);
    expect((await client.evidence("current")).keyEpoch).toBe(1);
    await service.close();
    await expect(client.status()).rejects.toMatchObject({ code: "service" });
    await element.close();
    expect(await connectService(paths(config).service)).toBeUndefined();
  });

  test("init makes key and streams with the TPM, and leaves both on a second call", async () => {
    // What it measures by itself is the agent that runs this test.
    await reboot();
    const other = { ...config, dataDir: join(folder, "second") };
    const made = await init(other);
    expect(fromHex(made.deviceId)).toHaveLength(32);
    expect(await init(other)).toEqual(made);
  });
});
