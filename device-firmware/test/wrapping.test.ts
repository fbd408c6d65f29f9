import { generateKeyPairSync, sign } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { toBase64, verifySignature } from "@msec/core";
import { AGENT_PCR, approvalMessage, BOOT_PCRS, bootPolicy, WrapKey } from "@msec/secure-element";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { ALG, Tpm } from "@msec/secure-element/tpm";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { cutLine } from "../../test/support/tpm-cut.ts";
import { KeyFile } from "../src/identity.ts";
import { type Config, init, openIdentity, openStreams, parseConfig, paths } from "../src/index.ts";
import { measureAgent } from "../src/measure.ts";

// The wrapping key, and with it key frontier, pending rows and the accepted configuration, sealed to what has booted.

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

const maker = generateKeyPairSync("ec", { namedCurve: "P-256" });
const authority = toBase64(new Uint8Array(maker.publicKey.export({ format: "der", type: "spki" })));

describe.skipIf(missing !== undefined)("the sealed wrapping key", () => {
  let folder: string;
  let swtpm: Swtpm;
  let data: string;
  let runs = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "msec-wrap-"));
    await manufacture(join(folder, "tpm"), join(folder, "maker"));
    swtpm = await startSwtpm(join(folder, "tpm"));
  });
  afterAll(async () => {
    await swtpm.cut();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    data = join(folder, `run-${runs++}`);
    await mkdir(data);
  });

  const sensor = (driver: object) => ({
    name: "air",
    mode: "open",
    slotSeconds: 60,
    quantities: [{ name: "CO", unit: "mg/m3", text: "CO" }],
    driver: { kind: "hwmon", ...driver },
  });
  const input = (change: object = {}) => ({
    name: "lamp",
    dataDir: data,
    element: { kind: "tpm", tpm: swtpm.address, authority },
    ownerEpoch: 1,
    chain: { chainId: 1, anchor: `0x${"11".repeat(20)}` },
    committee: { members: [{ address: `0x${"22".repeat(20)}`, organisation: "one", url: "http://127.0.0.1:1" }] },
    mqtt: { url: "mqtt://127.0.0.1:1" },
    streams: [sensor({})],
    ...change,
  });
  const config = (change?: object): Config => parseConfig(input(change), folder);
  const reboot = async () => {
    await swtpm.stop();
    swtpm = await startSwtpm(join(folder, "tpm"));
  };
  const tpmWork = async <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const tpm = await Tpm.open(swtpm.address);
    try {
      await tpm.startup();
      return await work(tpm);
    } finally {
      await tpm.close();
    }
  };
  const extend = (what: number) =>
    tpmWork((tpm) => tpm.pcrExtend(AGENT_PCR, [{ hash: ALG.SHA256, digest: new Uint8Array(32).fill(what) }]));
  /** The first node of the stream's frontier, as a start of the agent reads it; and it signs. */
  const frontier = async (c: Config): Promise<string> => {
    const { element, wrap } = await openIdentity(c);
    try {
      expect(verifySignature(await element.spki(), Buffer.from("x"), await element.sign(Buffer.from("x")))).toBe(true);
      const [stream] = await openStreams(c);
      const file = new KeyFile(join(paths(c).streams, `${stream!.streamId}.keys`), stream!.streamId, wrap);
      const [node] = (await file.read()).frontier;
      return toBase64(node!.key);
    } finally {
      await element.close();
    }
  };
  const there = (path: string) =>
    stat(path).then(
      () => true,
      () => false,
    );

  test("init seals it: there is no key in a file, and the frontier is read again after restart and reboot", async () => {
    const c = config();
    await init(c);
    expect(await there(paths(c).wrapKey)).toBe(false);
    expect((await stat(paths(c).sealedWrapKey)).mode & 0o777).toBe(0o600);
    const before = await frontier(c);
    await init(c);
    await reboot();
    await measureAgent(c);
    expect(await frontier(c)).toBe(before);
  });

  test("changed firmware reads neither frontier nor configuration until what is approved has booted again", async () => {
    const c = config();
    await init(c);
    const before = await frontier(c);
    await extend(1);
    await expect(openIdentity(c)).rejects.toMatchObject({ code: "firmware" });
    // Nor does a policy session of anybody's, nor the empty password.
    const file = JSON.parse(await readFile(paths(c).sealedWrapKey, "utf8")) as { publicArea: string; private: string };
    await tpmWork(async (tpm) => {
      await tpm.flushAll();
      const { SRK, RH, SE } = await import("@msec/secure-element/tpm");
      const srk = await tpm.createPrimary(RH.OWNER, SRK);
      const blob = await tpm.load(srk, {
        publicArea: Buffer.from(file.publicArea, "base64"),
        private: Buffer.from(file.private, "base64"),
      });
      await expect(tpm.unseal(blob)).rejects.toMatchObject({ code: "policy" });
      await tpm.withSession(SE.POLICY, (session) =>
        expect(tpm.unseal(blob, session)).rejects.toMatchObject({ code: "policy" }),
      );
      await tpm.flushAll();
    });
    await reboot();
    await measureAgent(c);
    expect(await frontier(c)).toBe(before);
  });

  test("an update that its maker approved reads it; one that somebody else approved does not", async () => {
    const c = config();
    await init(c);
    const before = await frontier(c);
    await reboot();
    await extend(2);
    const policy = bootPolicy(await tpmWork((tpm) => tpm.pcrRead(ALG.SHA256, BOOT_PCRS)));
    const approve = async (key: typeof maker.privateKey) => {
      const signature = sign("sha256", approvalMessage(policy), { key, dsaEncoding: "ieee-p1363" });
      await writeFile(
        paths(c).approvals,
        JSON.stringify([{ policy: toBase64(policy), signature: toBase64(new Uint8Array(signature)) }]),
      );
    };
    await approve(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    await expect(openIdentity(c)).rejects.toMatchObject({ code: "firmware" });
    await approve(maker.privateKey);
    expect(await frontier(c)).toBe(before);
    await reboot();
    await measureAgent(c);
  });

  test.each([
    [
      "another operator",
      { committee: { members: [{ address: `0x${"33".repeat(20)}`, organisation: "x", url: "http://127.0.0.1:1" }] } },
    ],
    ["another broker", { mqtt: { url: "mqtt://127.0.0.1:2" } }],
    ["another sensor", { streams: [sensor({ root: "/tmp" })] }],
  ])("a configuration with %s is refused until init takes it", async (_, change) => {
    await init(config());
    const before = await frontier(config());
    await expect(openIdentity(config(change))).rejects.toMatchObject({
      code: "config",
      message: expect.stringMatching(/undo the change, or run init/),
    });
    expect(await frontier(config()), "and the element was let go of").toBe(before);
    await init(config(change));
    expect(await frontier(config(change))).toBe(before);
    await expect(openIdentity(config())).rejects.toMatchObject({ code: "config" });
  });

  test("whoever has the disk can't write that a configuration was taken", async () => {
    const c = config();
    await init(c);
    const file = JSON.parse(await readFile(paths(c).sealedWrapKey, "utf8")) as { configuration: string };
    const other = config({ mqtt: { url: "mqtt://127.0.0.1:2" } });
    const forged = WrapKey.of(new Uint8Array(32)).wrap(Buffer.from(other.digest.slice(2), "hex"), "configuration");
    await writeFile(paths(c).sealedWrapKey, JSON.stringify({ ...file, configuration: toBase64(forged) }));
    await expect(openIdentity(other)).rejects.toMatchObject({ code: "key-damaged" });
    await writeFile(paths(c).sealedWrapKey, "{}");
    await expect(openIdentity(c)).rejects.toMatchObject({
      code: "key-damaged",
      message: expect.stringMatching(/restore/),
    });
    await rm(paths(c).sealedWrapKey);
    await expect(openIdentity(c)).rejects.toMatchObject({ code: "key-missing" });
    // Nor does init make a new key where streams are wrapped under the one that is gone.
    await expect(init(c)).rejects.toMatchObject({ code: "key-missing" });
    await writeFile(paths(c).sealedWrapKey, JSON.stringify(file));
    await frontier(c);
  });

  test("a device founded with its key in a file is sealed without loss, cut off at every command to the TPM", async () => {
    const c = config();
    await init(c);
    const before = await frontier(c);
    const { wrap, element } = await openIdentity(c);
    await element.close();
    // As such a device is: the key in the clear, nothing sealed.
    const key = new Uint8Array(32).fill(9);
    const [stream] = await openStreams(c);
    const at = join(paths(c).streams, `${stream!.streamId}.keys`);
    const keys = await new KeyFile(at, stream!.streamId, wrap).read();
    await new KeyFile(at, stream!.streamId, WrapKey.of(key)).write(keys);
    await rm(paths(c).sealedWrapKey);
    await writeFile(paths(c).wrapKey, key, { mode: 0o600 });
    const founded = join(folder, "founded");
    await cp(data, founded, { recursive: true });
    const again = async () => {
      await rm(data, { recursive: true });
      await cp(founded, data, { recursive: true });
    };

    const line = await cutLine(swtpm.address, join(folder, "line"));
    try {
      const through = config({ element: { kind: "tpm", tpm: line.address, authority } });
      line.cutAt(undefined);
      await (await openIdentity(through)).element.close();
      const commands = line.commands();
      for (let n = 1; n <= commands; n++) {
        await again();
        line.cutAt({ at: n, when: n % 2 ? "before" : "after" });
        await openIdentity(through).then(
          ({ element: opened }) => opened.close().catch(() => undefined),
          () => undefined,
        );
        line.cutAt(undefined);
        expect(await frontier(through)).toBe(before);
        expect(await there(paths(c).wrapKey)).toBe(false);
      }
      console.log(`sealing a founded device: cut at each of ${commands} commands`);
    } finally {
      await line.close();
    }

    // Between the sealed file and the end of the other one; and another key's file is left alone.
    await again();
    await init(c);
    await writeFile(paths(c).wrapKey, key, { mode: 0o600 });
    expect(await frontier(c)).toBe(before);
    expect(await there(paths(c).wrapKey)).toBe(false);
    await writeFile(paths(c).wrapKey, new Uint8Array(32), { mode: 0o600 });
    expect(await frontier(c)).toBe(before);
    expect(await there(paths(c).wrapKey)).toBe(true);
  }, 120_000);
});
