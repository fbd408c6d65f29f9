import { cpSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Sender } from "@msec/chain";
import { decodeCose, fromBase64, type Hex } from "@msec/core";
import { init, openStreams, parseConfig } from "@msec/device";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { readJson, writeJson } from "@msec/service";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BOOT_POLICY } from "../../apps/cli/src/city/tpms.ts";
import { sendInOrder } from "../../apps/cli/src/city/attestation.ts";
import { people } from "../../apps/cli/src/city/layout.ts";
import { openSession, type Session } from "../../apps/cli/src/context.ts";
import {
  attestDevice,
  enrolDevice,
  explainDevice,
  quarantineDevice,
  renewDevice,
  rotateDevice,
} from "../../apps/cli/src/device.ts";
import { clearTpm } from "../support/clear-tpm.ts";
import { anchoredPacks } from "../support/anchored.ts";
import { csvFile, msec, openPlan, settled, TestCity, until } from "../support/city.ts";

// A device whose keys are in a TPM, in a city of real processes: enrolled by evidence, measured, attested, attacked.

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

describe.skipIf(missing !== undefined)("a city whose devices have TPMs", () => {
  let t: TestCity;
  let session: Session;
  let deviceId: Hex;
  const others: Swtpm[] = [];

  beforeAll(async () => {
    t = await TestCity.up((root) => [openPlan("lamp", csvFile(root, "lamp.csv", 60_000, 1000).file, 10, 40)]);
    session = openSession(t.root);
    deviceId = t.city.run.devices[0]!.deviceId;
  });
  afterAll(async () => {
    session?.close();
    await Promise.all(others.map((swtpm) => swtpm.cut()));
    await t?.stop();
  });

  const registry = () => session.contracts.DeviceRegistry;
  const seq = async () =>
    (await t.get<{ head: { seq: number } | null }>(1, `/streams/${t.streamOf("lamp")}`)).head?.seq ?? 0;
  /** Packs signed from now on are anchored. */
  const goesOn = async () => {
    // A device registers its streams a moment after the city is up.
    const before = await until("the device's stream is registered", seq);
    await until("the device's line goes on", async () => (await seq()) > before + 3);
  };
  /** A configuration beside the device's own, with another folder and, at will, another TPM. */
  const sibling = (name: string, change: Record<string, unknown> = {}): string => {
    const own = readJson<Record<string, unknown>>(session.layout.deviceConfig("lamp"))!;
    const folder = join(t.root, "siblings", name);
    mkdirSync(folder, { recursive: true });
    const file = join(folder, "config.json");
    writeJson(file, { ...own, dataDir: folder, ...change });
    return file;
  };
  const otherTpm = async (name: string, maker: string): Promise<Record<string, unknown>> => {
    const folder = join(t.root, "siblings", `${name}-tpm`);
    await manufacture(folder, maker);
    const swtpm = await startSwtpm(folder);
    others.push(swtpm);
    const { element } = readJson<{ element: object }>(session.layout.deviceConfig("lamp"))!;
    return { element: { ...element, tpm: swtpm.address } };
  };

  test("it is enrolled with its TPM, both endorsement keys are taken, and its packs are anchored", async () => {
    const { status, assurance, keyEpoch, policyId } = await registry().device(deviceId);
    expect([status, assurance, keyEpoch, policyId]).toEqual([1n, 2n, 1n, BOOT_POLICY]);
    expect(Object.keys(t.city.run.tpms)).toContain("lamp");
    const bound = await registry().queryFilter(registry().filters.EndorsementBound(undefined, deviceId));
    expect(new Set(bound.map((e) => e.args.ekHash)).size).toBe(2);
    expect(await registry().isFresh(deviceId, (await registry().freshnessOf(deviceId)).quotedAtMs)).toBe(true);
    await goesOn();
    // Its packs name the evidence that the registrars judged.
    const [enrolled] = await registry().queryFilter(registry().filters.Enrolled(deviceId));
    const own = (await anchoredPacks(t)).packs
      .map(({ cose }) => decodeCose(fromBase64(cose)).header)
      .filter(({ streamId }) => streamId === t.streamOf("lamp"));
    expect(own.length).toBeGreaterThan(0);
    for (const { attestation } of own) expect(attestation).toBe(enrolled?.args.enrolment.evidenceDigest);
  });

  test("msec device attest and explain say so, with the evidence", async () => {
    const before = (await registry().freshnessOf(deviceId)).quotedAtMs;
    const attested = await attestDevice(session, "lamp");
    expect(attested.deviceId).toBe(deviceId);
    expect((await registry().freshnessOf(deviceId)).quotedAtMs).toBeGreaterThan(before);
    const { code, out } = await msec(["device", "explain", "lamp", "--json", "--dir", t.root]);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ believed: true, evidence: { secureElement: "TPM" } });
    await expect(attestDevice(session, "nobody")).rejects.toThrow(/no device nobody/);
  });

  test("refused, with nothing stored: the same TPM once more, another maker's TPM, a copied disk", async () => {
    const nonce = await registry().nonceOf(deviceId);
    const { keyHash } = await registry().device(deviceId);
    // While the agent runs, nobody else gets at its TPM.
    await expect(enrolDevice(session, sibling("second"))).rejects.toMatchObject({ code: "tpm-in-use" });
    await t.city.processes.halt("lamp");
    await expect(enrolDevice(session, sibling("second"))).rejects.toMatchObject({ code: "signing-key" });
    t.city.processes.resume("lamp");

    const stranger = sibling("stranger", await otherTpm("stranger", join(t.root, "siblings", "maker")));
    await expect(enrolDevice(session, stranger)).rejects.toMatchObject({ code: "unknown-maker" });
    const { deviceId: strange } = await init(parseConfig(readJson(stranger), t.root));
    expect((await registry().device(strange)).status).toBe(0n);

    // The whole folder of the device, on a board with another TPM of the same maker.
    const copy = sibling("copy", await otherTpm("copy", session.layout.tpmMaker));
    for (const file of ["element.json", "wrap.tpm", "streams", "approvals.json"])
      cpSync(join(session.layout.device("lamp"), file), join(copy, "..", file), { recursive: true });
    await expect(enrolDevice(session, copy)).rejects.toMatchObject({ code: "foreign-tpm" });

    expect(await registry().nonceOf(deviceId)).toBe(nonce);
    expect((await registry().device(deviceId)).keyHash).toBe(keyHash);
    await goesOn();
  });

  test("its TPM loses power: the agent starts anew, is measured again, and the line goes on", async () => {
    const before = (await attestDevice(session, "lamp")).resetCount;
    const pid = t.pid("lamp");
    await t.city.tpms.cut("lamp");
    await t.restarted("lamp", pid, "the agent ends and is started again");
    await goesOn();
    const after = await attestDevice(session, "lamp");
    expect(after.resetCount).toBeGreaterThan(before);
  });

  test("a new key, attested and enrolled, signs on in the same line", async () => {
    const rotated = await rotateDevice(session, "lamp", false);
    expect(rotated.keyEpoch).toBe(2);
    expect((await registry().device(deviceId)).keyHash).toBe(rotated.keyHash);
    await until("the agent runs with the new key", async () => (await explainDevice(session, "lamp")).believed);
    await goesOn();
  });

  test("in quarantine nothing of it is taken, and it says why; released, its line goes on", async () => {
    const { block } = await quarantineDevice(session, "lamp", false);
    await until("six blocks have passed", async () => (await session.provider.getBlockNumber()) >= block + 6);
    const stopped = await seq();
    const { packs } = await anchoredPacks(t);
    const epochs = packs
      .filter(({ cose }) => decodeCose(fromBase64(cose)).header.streamId === t.streamOf("lamp"))
      .map(({ epoch }) => epoch);
    const { DataAnchor } = session.contracts;
    const [last] = await DataAnchor.queryFilter(DataAnchor.filters.Anchored(Math.max(...epochs)));
    console.log(`its last pack was anchored ${last!.blockNumber - block} blocks after the quarantine`);
    expect(last!.blockNumber - block).toBeLessThanOrEqual(2);
    const explained = await explainDevice(session, "lamp");
    expect(explained.believed).toBe(false);
    expect(explained.findings.filter((f) => !f.good).map((f) => f.text)).toEqual([
      expect.stringMatching(/quarantined: no pack of it is taken/),
    ]);
    await sleep(4_000);
    expect(await seq()).toBe(stopped);
    await expect(quarantineDevice(session, "lamp", false)).rejects.toThrow(/quarantined already/);
    await quarantineDevice(session, "lamp", true);
    expect((await explainDevice(session, "lamp")).believed).toBe(true);
    await goesOn();
  });

  test("once what it booted is not accepted any more its packs wait, and none is lost when it is again", async () => {
    const { BootPolicy } = session.contracts;
    const deployer = new Sender(people(session.layout).deployer.key, session.provider, session.run.chain.chainId);
    const policy = async (method: "publish" | "revoke", values: unknown[]) => {
      const data = BootPolicy.interface.encodeFunctionData(method as never, values as never);
      await sendInOrder(deployer, [{ to: session.deployment.addresses.BootPolicy, data }]);
    };
    const { pcrDigest } = await registry().freshnessOf(deviceId);
    await policy("revoke", [BOOT_POLICY, await BootPolicy.versions(BOOT_POLICY)]);
    await settled("no pack of it is anchored", seq, 5_000);
    const { believed, findings } = await explainDevice(session, "lamp");
    expect(believed).toBe(false);
    expect(findings.map((f) => f.text).join("\n")).toMatch(/no longer accepted by the boot policy/);
    await policy("publish", [BOOT_POLICY, pcrDigest, Date.now() + 5_000, 0]);
    await goesOn();
    const seqs = (await anchoredPacks(t)).packs
      .map(({ cose }) => decodeCose(fromBase64(cose)).header)
      .filter(({ streamId }) => streamId === t.streamOf("lamp"))
      .map((header) => header.seq);
    const [first = 0, last = 0] = [Math.min(...seqs), Math.max(...seqs)];
    expect(new Set(seqs).size).toBe(last - first + 1);
  });

  test("a TPM that was cleared signs nothing; renewed by its owner, the device begins new streams under its name", async () => {
    const config = parseConfig(readJson(session.layout.deviceConfig("lamp")), session.layout.device("lamp"));
    const before = await registry().device(deviceId);
    await expect(renewDevice(session, "lamp")).rejects.toThrow(/was not cleared: use msec device rotate/);
    await t.city.processes.halt("lamp");
    await expect(renewDevice(session, "lamp")).rejects.toThrow(/use msec device rotate/);
    await clearTpm((config.element as { tpm: string }).tpm);
    await t.city.tpms.cut("lamp");
    t.city.processes.resume("lamp");
    const log = () => readFileSync(join(session.layout.logs, "lamp.log"), "utf8");
    await until("the agent says what happened", async () => /it was cleared, or the file was damaged/.test(log()));

    const { code, out } = await msec(["device", "renew", "lamp", "--dir", t.root]);
    expect([code, out]).toEqual([0, expect.stringMatching(/signs with key 3 .*\n.*cleared-\d+/)]);
    const { keyHash, keyEpoch } = await registry().device(deviceId);
    expect(keyEpoch).toBe(before.keyEpoch + 1n);
    expect(keyHash).not.toBe(before.keyHash);
    expect(await registry().keyRevokedAt(deviceId, before.keyEpoch)).not.toBe(0n);
    const [stream] = await openStreams(config);
    expect(stream?.streamId).not.toBe(t.streamOf("lamp"));
    await until(
      "the new stream's packs are anchored",
      async () =>
        ((await t.get<{ head: { seq: number } | null }>(1, `/streams/${stream?.streamId}`)).head?.seq ?? 0) > 3,
    );
    expect((await explainDevice(session, "lamp")).believed).toBe(true);
  });
});
