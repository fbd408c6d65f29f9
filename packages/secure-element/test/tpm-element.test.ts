import { copyFile, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { deviceIdOfEk, verifySignature } from "@msec/core";
import { beforeAll, expect, test } from "vitest";
import { decodeEvidence, evidenceDigest } from "../src/attestation/index.ts";
import { AGENT_PCR, approvalMessage, BOOT_PCRS, bootPolicy } from "../src/boot.ts";
import { startSwtpm, type Swtpm } from "../src/swtpm.ts";
import { TpmElement } from "../src/tpm-element.ts";
import { lockTpm } from "../src/tpm-lock.ts";
import { ALG, EK_TEMPLATES, encodePublic, RH, SE, SRK, Tpm } from "../src/tpm/index.ts";
import { firmwareMaker } from "./authority.ts";
import { flipped, later, newTpm, temporary, withSwtpm } from "./testbed.ts";

const message = Buffer.from("a header");
const measure = async (address: string, what: string) => {
  const tpm = await Tpm.open(address);
  await tpm.startup();
  await tpm.pcrExtend(AGENT_PCR, [{ hash: ALG.SHA256, digest: Buffer.alloc(32, what) }]);
  await tpm.close();
};

withSwtpm("the TPM element", () => {
  const maker = firmwareMaker();
  let folder: string;
  let tpmFolder: string;
  let swtpm: Swtpm;
  let path: string;
  const options = () => ({ path, address: swtpm.address, authority: maker.spki });

  beforeAll(async () => {
    folder = await temporary();
    path = join(folder, "element.json");
    ({ swtpm, folder: tpmFolder } = await newTpm());
    await measure(swtpm.address, "agent 1");
  });
  /** A power-on, and the agent measured as what it is. */
  const boot = async (what: string, how: "stop" | "cut" = "stop") => {
    await swtpm[how]();
    swtpm = await startSwtpm(tpmFolder);
    const started = swtpm;
    later(() => started.cut());
    await measure(swtpm.address, what);
  };

  test("is named by its endorsement key and signs ES256 with the same key after a restart", async () => {
    const element = await TpmElement.openOrCreate(options());
    const spki = await element.spki();
    const signatures = [];
    for (let i = 0; i < 20; i++) signatures.push(await element.sign(message));
    // verifySignature takes s in the lower half only.
    for (const signature of signatures) expect(verifySignature(spki, message, signature)).toBe(true);
    const first = await element.bootEpoch();
    await element.close();

    const tpm = await Tpm.open(swtpm.address);
    const ek = await tpm.createPrimary(RH.ENDORSEMENT, EK_TEMPLATES[0]!.area);
    expect(element.deviceId).toBe(deviceIdOfEk(encodePublic(ek.area)));
    await tpm.flush(ek);
    await tpm.close();

    await boot("agent 1");
    const again = await TpmElement.open(options());
    expect(again.deviceId).toBe(element.deviceId);
    // What packs refer to stays, as long as the key does.
    expect(await again.attestation()).toBe(await element.attestation());
    expect(await again.attestation()).toBe(evidenceDigest(await again.evidence()));
    expect(await again.spki()).toEqual(spki);
    expect(verifySignature(spki, message, await again.sign(message))).toBe(true);
    expect(await again.bootEpoch()).toBe(first + 1);
    await again.close();
  });

  test("an agent changed by one byte can't sign, neither through us nor by anybody's policy session", async () => {
    await boot("agent 2");
    const element = await TpmElement.open(options());
    await expect(element.sign(message)).rejects.toMatchObject({ code: "firmware", value: 0x1c4 });
    await expect(element.sign(message)).rejects.toMatchObject({ code: "firmware" });
    await element.close();

    // The TPM itself, asked without our code in between.
    const tpm = await Tpm.open(swtpm.address);
    const { keys } = JSON.parse(await readFile(path, "utf8")) as { keys: { evidence: string; private: string }[] };
    const blob = {
      publicArea: decodeEvidence(new Uint8Array(Buffer.from(keys[0]!.evidence, "base64"))).signingKey,
      private: new Uint8Array(Buffer.from(keys[0]!.private, "base64")),
    };
    const key = await tpm.load(await tpm.createPrimary(RH.OWNER, SRK), blob);
    const session = await tpm.startSession(SE.POLICY);
    await tpm.policyPcr(session, [{ hash: ALG.SHA256, pcrs: [...BOOT_PCRS] }]);
    await expect(tpm.sign(key, Buffer.alloc(32), session)).rejects.toMatchObject({ code: "policy", rc: 0x99d });
    await expect(tpm.sign(key, Buffer.alloc(32))).rejects.toMatchObject({ code: "policy", rc: 0x12f });
    await tpm.flushAll();
    await tpm.close();
  });

  test("an update that its maker approved signs with the same key; another's approval does not", async () => {
    await boot("agent 3");
    const tpm = await Tpm.open(swtpm.address);
    const policy = bootPolicy(await tpm.pcrRead(ALG.SHA256, BOOT_PCRS));
    await tpm.close();
    const by = (who: typeof maker) => [{ policy, signature: who.approve(approvalMessage(policy)) }];
    await expect(TpmElement.open({ ...options(), approvals: by(firmwareMaker()) })).rejects.toMatchObject({
      code: "firmware",
    });
    const element = await TpmElement.open({ ...options(), approvals: by(maker) });
    const signature = await element.sign(message);
    expect(verifySignature(await element.spki(), message, signature)).toBe(true);
    await element.close();
    await boot("agent 1");
  });

  test("a copied disk on another TPM, and a damaged file, are refused with what to do", async () => {
    const other = await newTpm();
    await measure(other.swtpm.address, "agent 1");
    const copy = join(folder, "copy.json");
    await copyFile(path, copy);
    const open = () => TpmElement.open({ path: copy, address: other.swtpm.address });
    await expect(open()).rejects.toMatchObject({ code: "foreign-tpm", message: /copied disk.*enrol this one/ });
    // Even with the name of the other TPM written in, the key does not load there.
    const mine = await TpmElement.openOrCreate({
      path: join(folder, "other.json"),
      address: other.swtpm.address,
      authority: maker.spki,
    });
    await mine.close();
    const state = JSON.parse(await readFile(copy, "utf8")) as Record<string, unknown>;
    await writeFile(copy, JSON.stringify({ ...state, deviceId: mine.deviceId }));
    await expect(open()).rejects.toMatchObject({ code: "cleared", message: /does not open the device's key/ });
    for (const damaged of ["{", "{}", JSON.stringify({ ...state, keys: [{ evidence: "AAAA", private: "" }] })]) {
      await writeFile(copy, damaged);
      await expect(open()).rejects.toMatchObject({ code: "key-damaged" });
    }
    await expect(TpmElement.open({ path: join(folder, "none"), address: swtpm.address })).rejects.toMatchObject({
      code: "key-missing",
    });
  });

  test("owns its TPM alone, and lets go of it", async () => {
    const element = await TpmElement.open(options());
    await expect(TpmElement.open(options())).rejects.toMatchObject({ code: "tpm-in-use" });
    await expect(lockTpm(swtpm.address)).rejects.toMatchObject({ code: "tpm-in-use" });
    await element.close();
    const lock = await lockTpm(swtpm.address);
    await lock.release();
  });

  test("finds the slots full of a dead process's keys and goes on; a TPM that restarted wants a new measurement", async () => {
    const tpm = await Tpm.open(swtpm.address);
    for (let i = 0; i < 3; i++) await tpm.createPrimary(RH.OWNER, SRK);
    for (let i = 0; i < 3; i++) await tpm.startSession(SE.POLICY);
    await tpm.close();
    const element = await TpmElement.open(options());
    expect(verifySignature(await element.spki(), message, await element.sign(message))).toBe(true);
    // Pulled: nothing answers.
    await swtpm.cut();
    await expect(element.sign(message)).rejects.toMatchObject({ code: "unreachable", message: /start swtpm/ });
    // Back, at the same address, but nobody measured into its PCRs.
    await boot("agent 1");
    await expect(element.sign(message)).rejects.toMatchObject({
      code: "tpm-restarted",
      message: /start the agent anew/,
    });
    await element.close();
  });

  test("callers at the same time get a signature each", async () => {
    const element = await TpmElement.open(options());
    const spki = await element.spki();
    const many = Array.from({ length: 30 }, (_, i) => Uint8Array.of(i));
    const signatures = await Promise.all(many.map((m) => element.sign(m)));
    for (const [i, m] of many.entries()) expect(verifySignature(spki, m, signatures[i]!)).toBe(true);
    await element.close();
  });

  test("a prepared key signs its enrolment, then takes over; the device stays the same", async () => {
    const element = await TpmElement.open(options());
    await expect(element.rotate()).rejects.toMatchObject({ code: "key-missing" });
    const next = await element.prepareRotation();
    expect((await element.prepareRotation()).spki).toEqual(next.spki);
    expect(verifySignature(next.spki, message, await next.sign(message))).toBe(true);
    expect(verifySignature(await element.spki(), message, await element.sign(message))).toBe(true);
    await element.sign(message, 1);
    const rotated = element.rotate();
    // Asked while it is being rotated.
    await expect(element.sign(message, 1)).rejects.toMatchObject({ code: "key-rotated" });
    await rotated;
    expect(element.keyEpoch).toBe(2);
    expect(verifySignature(next.spki, message, await element.sign(message))).toBe(true);
    expect((await element.keys()).map((k) => k.keyEpoch)).toEqual([1, 2]);
    await element.close();
    const state = JSON.parse(await readFile(path, "utf8")) as { keys: { private: string | null }[] };
    expect(state.keys.map((k) => k.private === null)).toEqual([true, false]);
    const again = await TpmElement.open(options());
    expect(await again.spki()).toEqual(next.spki);
    expect(verifySignature(next.spki, message, await again.sign(message))).toBe(true);
    expect(verifySignature(next.spki, flipped(message, 0), await again.sign(message))).toBe(false);
    await again.close();
  });
});
