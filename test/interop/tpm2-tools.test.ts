import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { manufacture, missingSwtpm } from "@msec/secure-element/swtpm";
import {
  ALG,
  attestationKey,
  decodeAttest,
  decodePublic,
  decodeSignature,
  EK_TEMPLATES,
  type EkTemplate,
  encodePublic,
  keyObject,
  type Loaded,
  makeCredential,
  nameOf,
  NV,
  pcrDigest,
  plainSigningKey,
  RH,
  sealedBlob,
  SRK,
  Tpm,
  verifiesUnder,
} from "@msec/secure-element/tpm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { missingTools, type SharedTpm, startShared } from "../support/tpm2-tools.ts";

// Our TPM client and Debian's tpm2-tools on one TPM, each checking what the other made.

const missing = missingSwtpm() ?? missingTools;
if (missing) console.log(`skipped: ${missing}`);

const PCRS = [0, 2, 4, 7, 11, 13];
const LIST = `sha256:${PCRS.join()}`;

describe.skipIf(missing !== undefined)("tpm2-tools", () => {
  const root = mkdtempSync(join(tmpdir(), "msec-tools-"));
  let shared: SharedTpm;
  const file = (name: string) => join(root, name);
  const read = (name: string) => new Uint8Array(readFileSync(file(name)));
  const write = (name: string, bytes: Uint8Array | string) => writeFileSync(file(name), bytes);
  const run = (tool: string, ...args: string[]) => shared.run(tool, ...args);
  /** The TPM serves one client at a time. */
  const ours = async <T>(work: (tpm: Tpm) => Promise<T>): Promise<T> => {
    const tpm = await Tpm.open(shared.address);
    try {
      return await work(tpm);
    } finally {
      await tpm.close();
    }
  };
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  const sized = (bytes: Uint8Array) => Buffer.concat([Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes]);
  const flush = () => ours((tpm) => tpm.flushAll());

  beforeAll(async () => {
    await manufacture(file("tpm"), file("maker"));
    shared = await startShared(file("tpm"), root);
    await ours((tpm) => tpm.startup());
  });
  afterAll(async () => {
    await shared?.stop();
    rmSync(root, { recursive: true, force: true });
  });

  test("a quote of ours is accepted by tpm2_checkquote, a changed one is not", async () => {
    const nonce = new Uint8Array(randomBytes(20));
    const quote = await ours(async (tpm) => {
      await tpm.pcrExtend(13, [{ hash: ALG.SHA256, digest: createHash("sha256").update("agent").digest() }]);
      const ak = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
      write("ours.pem", keyObject(ak.area).export({ format: "pem", type: "spki" }));
      const made = await tpm.quote(ak, nonce, [{ hash: ALG.SHA256, pcrs: PCRS }]);
      await tpm.flushAll();
      return made;
    });
    write("ours.msg", quote.attest);
    write("ours.sig", quote.signature);
    const check = (q: string) =>
      run("tpm2_checkquote", "-u", "ours.pem", "-m", "ours.msg", "-s", "ours.sig", "-g", "sha256", "-q", q);
    await check(hex(nonce));
    await expect(check("00")).rejects.toThrow();
    const changed = Uint8Array.from(quote.attest);
    changed[changed.length - 1]! ^= 1;
    write("ours.msg", changed);
    await expect(check(hex(nonce))).rejects.toThrow();
  });

  test("a quote by tpm2_quote verifies here, and says what we read", async () => {
    await run("tpm2_createek", "-c", "ek.ctx", "-G", "ecc", "-u", "ek.pub");
    await flush();
    const algorithms = ["-G", "ecc", "-g", "sha256", "-s", "ecdsa"];
    await run("tpm2_createak", "-C", "ek.ctx", "-c", "ak.ctx", ...algorithms, "-u", "ak.pub", "-n", "ak.name");
    await flush();
    await run("tpm2_quote", "-c", "ak.ctx", "-l", LIST, "-q", "c0ffee", "-m", "t.msg", "-s", "t.sig", "-g", "sha256");
    const area = decodePublic(read("ak.pub").subarray(2));
    expect(nameOf(area)).toEqual(read("ak.name"));
    expect(verifiesUnder(area, read("t.msg"), decodeSignature(read("t.sig")))).toBe(true);
    const said = decodeAttest(read("t.msg"));
    expect(hex(said.extraData)).toBe("c0ffee");
    const values = await ours((tpm) => tpm.pcrRead(ALG.SHA256, PCRS));
    expect(said.attested).toMatchObject({ kind: "quote", digest: pcrDigest(ALG.SHA256, values) });
    await flush();
  });

  test.each(["L-1", "H-3"] as const)("credentials for the %s key made by one are opened by the other", async (name) => {
    const template = EK_TEMPLATES.find((t) => t.name === name) as EkTemplate;
    const handle = name === "L-1" ? 0x81010001 : 0x81010016;
    const secret = new Uint8Array(randomBytes(24));
    write("secret", secret);
    const unique = randomBytes(32);
    const ak = await ours(async (tpm) => {
      const key = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(unique));
      await tpm.evictControl(key, 0x81018000);
      await tpm.flushAll();
      const ek = await tpm.readPublic(handle);
      write("ek.pub", sized(encodePublic(ek.area)));
      const ours = makeCredential(ek.area, key.name, secret);
      // The tools' file: magic, version, then the two structures.
      write("ours.cred", Buffer.concat([Buffer.from("badcc0de00000001", "hex"), sized(ours.blob), sized(ours.secret)]));
      return key;
    });
    // Theirs to ours. Without a TPM it knows RSA only; with one, every key.
    const none = name === "L-1" ? ["-T", "none"] : [];
    await run("tpm2_makecredential", ...none, "-u", "ek.pub", "-s", "secret", "-n", hex(ak.name), "-o", "theirs.cred");
    const theirs = Buffer.from(read("theirs.cred")).subarray(8);
    const length = theirs.readUInt16BE(0);
    const blob = new Uint8Array(theirs.subarray(2, 2 + length));
    const encrypted = new Uint8Array(theirs.subarray(4 + length));
    const opened = await ours(async (tpm) => {
      await tpm.flushAll();
      const [object, ek] = [await tpm.readPublic(0x81018000), await tpm.readPublic(handle)];
      return tpm.withEndorsementPolicy(template, (session) =>
        tpm.activateCredential(object, ek, { blob, secret: encrypted }, session),
      );
    });
    expect(opened).toEqual(secret);
    // Ours to theirs.
    if (name === "L-1") {
      await run("tpm2_startauthsession", "--policy-session", "-S", "s.ctx");
      await run("tpm2_policysecret", "-S", "s.ctx", "-c", "e");
      const keys = ["-c", "0x81018000", "-C", "0x81010001", "-i", "ours.cred", "-o", "opened"];
      await run("tpm2_activatecredential", ...keys, "-P", "session:s.ctx");
    } else {
      // Keys of the high range take their empty password, too.
      const keys = ["-c", "0x81018000", "-C", "0x81010016", "-i", "ours.cred", "-o", "opened"];
      await run("tpm2_activatecredential", ...keys);
    }
    expect(read("opened")).toEqual(secret);
    await ours(async (tpm) => {
      await tpm.flushAll();
      await tpm.evictControl(await tpm.readPublic(0x81018000), 0x81018000);
    });
  });

  test("names are those of tpm2_readpublic, and a signature of either verifies with the other", async () => {
    const digest = createHash("sha256").update("a message").digest();
    write("digest", digest);
    write("message", "a message");
    const made = await ours(async (tpm): Promise<{ key: Loaded; signature: Uint8Array }> => {
      const srk = await tpm.createPrimary(RH.OWNER, SRK);
      const key = await tpm.load(srk, await tpm.create(srk, plainSigningKey()));
      await tpm.evictControl(key, 0x81000010);
      await tpm.flushAll();
      const persistent = await tpm.readPublic(0x81000010);
      const signature = await tpm.sign(persistent, digest);
      if (signature.alg !== ALG.ECDSA) throw new Error("expected ECDSA");
      const whole = Buffer.concat([Uint8Array.of(0, 0x18, 0, 0x0b), sized(signature.r), sized(signature.s)]);
      return { key: persistent, signature: new Uint8Array(whole) };
    });
    await run("tpm2_readpublic", "-c", "0x81000010", "-n", "theirs.name");
    expect(read("theirs.name")).toEqual(made.key.name);
    write("ours.sig", made.signature);
    await run("tpm2_verifysignature", "-c", "0x81000010", "-g", "sha256", "-m", "message", "-s", "ours.sig");
    await run("tpm2_sign", "-c", "0x81000010", "-g", "sha256", "-d", "digest", "-o", "theirs.sig");
    expect(verifiesUnder(made.key.area, Buffer.from("a message"), decodeSignature(read("theirs.sig")))).toBe(true);
    await flush();
  });

  test("what one seals the other unseals, under the same storage root key", async () => {
    const data = randomBytes(32);
    write("data", data);
    await ours(async (tpm) => {
      await tpm.evictControl(await tpm.createPrimary(RH.OWNER, SRK), 0x81000001);
      await tpm.flushAll();
    });
    await run("tpm2_create", "-C", "0x81000001", "-i", "data", "-u", "theirs.pub", "-r", "theirs.priv");
    await flush();
    const blob = await ours(async (tpm) => {
      const srk = await tpm.createPrimary(RH.OWNER, SRK);
      const theirs = { publicArea: read("theirs.pub").subarray(2), private: read("theirs.priv").subarray(2) };
      const opened = await tpm.load(srk, theirs);
      expect(Buffer.from(await tpm.unseal(opened))).toEqual(data);
      const own = await tpm.create(srk, sealedBlob(new Uint8Array()), { data });
      await tpm.flushAll();
      return own;
    });
    write("ours.pub", sized(blob.publicArea));
    write("ours.priv", sized(blob.private));
    await run("tpm2_load", "-C", "0x81000001", "-u", "ours.pub", "-r", "ours.priv", "-c", "ours.ctx");
    await flush();
    await run("tpm2_unseal", "-c", "ours.ctx", "-o", "unsealed");
    expect(Buffer.from(read("unsealed"))).toEqual(data);
    await flush();
  });

  test("both count on the same NV counters", async () => {
    const attributes = NV.OWNERWRITE | NV.AUTHWRITE | NV.AUTHREAD | NV.OWNERREAD | NV.NO_DA | NV.COUNTER;
    await ours(async (tpm) => {
      const area = { index: 0x01800010, nameAlg: ALG.SHA256, attributes, policy: new Uint8Array(), size: 8 };
      await tpm.nvIncrement(await tpm.nvDefine(area));
    });
    await run("tpm2_nvincrement", "0x01800010");
    await run("tpm2_nvread", "0x01800010", "-o", "count");
    const count = await ours(async (tpm) => tpm.nvRead(await tpm.nvReadPublic(0x01800010)));
    expect(count).toEqual(read("count"));
    await run(
      "tpm2_nvdefine",
      "0x01800011",
      "-C",
      "o",
      "-s",
      "8",
      "-a",
      "ownerread|ownerwrite|authread|authwrite|nt=counter",
    );
    await run("tpm2_nvincrement", "0x01800011");
    await ours(async (tpm) => {
      const theirs = await tpm.nvReadPublic(0x01800011);
      const before = Buffer.from(await tpm.nvRead(theirs)).readBigUInt64BE();
      await tpm.nvIncrement(theirs);
      expect(Buffer.from(await tpm.nvRead(theirs)).readBigUInt64BE()).toBe(before + 1n);
    });
  });
});
