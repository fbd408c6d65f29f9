import { connect } from "node:net";
import { sign as nodeSign, generateKeyPairSync, randomBytes, createHash } from "node:crypto";
import { beforeAll, expect, test } from "vitest";
import {
  ALG,
  attestationKey,
  CC,
  decodeAttest,
  decodePublic,
  decodeSignature,
  EK_TEMPLATES,
  emptyPolicy,
  externalVerifier,
  GENERATED,
  HANDLES,
  keyObject,
  makeCredential,
  nameOf,
  NV,
  OBJECT,
  pcrDigest,
  plainSigningKey,
  policyAuthorize,
  policyCommandCode,
  policyNv,
  policyOr,
  policyPcr,
  policySigningKey,
  qualifiedNameOf,
  handleName,
  RH,
  SE,
  sealedBlob,
  SESSION,
  SRK,
  type Tpm,
  verifiesUnder,
} from "../src/tpm/index.ts";
import { startSwtpm } from "../src/swtpm.ts";
import { Tpm as Client } from "../src/tpm/index.ts";
import { connected, flipped, later, newTpm, withSwtpm } from "./testbed.ts";

const { SHA256 } = ALG;
const PCRS = [{ hash: SHA256, pcrs: [0, 16, 23] }];
const digest = createHash("sha256").update("a message").digest();
const NONE = new Uint8Array();

withSwtpm("the TPM client", () => {
  let tpm: Tpm;
  beforeAll(async () => {
    tpm = await connected((await newTpm()).swtpm);
    await tpm.startup();
  });
  const clean = () => tpm.flushAll();

  test("says what it is, counts, and gives random bytes", async () => {
    expect(await tpm.manufacturer()).toBe("IBM");
    await tpm.selfTest();
    expect((await tpm.getRandom(100)).length).toBe(100);
    expect(await tpm.getRandom(16)).not.toEqual(await tpm.getRandom(16));
    expect((await tpm.pcrBanks()).find((b) => b.hash === SHA256)?.pcrs).toHaveLength(24);
    expect((await tpm.readClock()).clock.resetCount).toBeGreaterThan(0);
    expect((await tpm.lockout()).failures).toBe(0);
  });

  test.each(EK_TEMPLATES.map((template) => [template.name, template] as const))(
    "activates a credential made without a TPM for an endorsement key by template %s, and no other",
    async (_, template) => {
      const ek = await tpm.createPrimary(RH.ENDORSEMENT, template.area);
      const ak = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
      const secret = new Uint8Array(randomBytes(32));
      const open = (credential: ReturnType<typeof makeCredential>) =>
        tpm.withEndorsementPolicy(template, (session) => tpm.activateCredential(ak, ek, credential, session));
      const good = makeCredential(ek.area, ak.name, secret);
      expect(await open(good)).toEqual(secret);
      // Made for another object, or changed on its way.
      await expect(open(makeCredential(ek.area, flipped(ak.name, -1), secret))).rejects.toMatchObject({ rc: 0x1df });
      await expect(open({ ...good, blob: flipped(good.blob, -1) })).rejects.toMatchObject({ rc: 0x1df });
      await clean();
    },
  );

  test("the high range's policy is the profile's, and the key is the one that carries the certificate", async () => {
    const [template] = EK_TEMPLATES;
    const made = await tpm.createPrimary(RH.ENDORSEMENT, template!.area);
    expect((await tpm.readPublic(0x81010016)).name).toEqual(made.name);
    // PolicyB of the EK Credential Profile 2.x, B.6.3, SHA-384.
    expect(Buffer.from(made.area.policy).toString("hex")).toBe(
      "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12",
    );
    await clean();
  });

  test("signs, and what it signs verifies in OpenSSL; a restricted key refuses a foreign digest", async () => {
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const key = await tpm.load(srk, await tpm.create(srk, plainSigningKey()));
    const signature = await tpm.sign(key, digest);
    expect(verifiesUnder(key.area, Buffer.from("a message"), signature)).toBe(true);
    expect(verifiesUnder(key.area, Buffer.from("another"), signature)).toBe(false);
    await tpm.verifySignature(key, digest, signature);
    await expect(tpm.verifySignature(key, flipped(digest, 0), signature)).rejects.toMatchObject({ rc: 0x2db });
    await tpm.flush(key);
    const ak = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
    await expect(tpm.sign(ak, digest)).rejects.toMatchObject({ code: "ticket" });
    await clean();
  });

  test("quotes and certifies: magic, nonce, PCRs, names and qualified signer are as recomputed", async () => {
    const ak = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
    const nonce = new Uint8Array(randomBytes(32));
    const quote = await tpm.quote(ak, nonce, PCRS);
    const said = decodeAttest(quote.attest);
    const values = await tpm.pcrRead(SHA256, PCRS[0]!.pcrs);
    expect(said).toMatchObject({ magic: GENERATED, extraData: nonce });
    expect(said.attested).toEqual({ kind: "quote", selection: PCRS, digest: pcrDigest(SHA256, values) });
    expect(said.qualifiedSigner).toEqual(qualifiedNameOf(handleName(RH.ENDORSEMENT), ak.area));
    expect(verifiesUnder(ak.area, quote.attest, decodeSignature(quote.signature))).toBe(true);
    expect(verifiesUnder(ak.area, flipped(quote.attest, 20), decodeSignature(quote.signature))).toBe(false);
    // In the endorsement hierarchy the counters are the TPM's own.
    expect(said.clock.resetCount).toBe((await tpm.readClock()).clock.resetCount);

    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const blob = await tpm.create(srk, plainSigningKey());
    const key = await tpm.load(srk, blob);
    const certified = decodeAttest((await tpm.certify(key, ak, nonce)).attest);
    expect(certified.attested).toMatchObject({ kind: "certify", name: nameOf(decodePublic(blob.publicArea)) });
    await tpm.flush(srk);
    const created = await tpm.certifyCreation(key, ak, nonce, blob.creationHash, blob.creationTicket);
    expect(decodeAttest(created.attest).attested).toMatchObject({ kind: "creation", name: key.name });
    await clean();
  });

  test("a key under PolicyOR of PolicyPCR and PolicyAuthorize signs with the PCRs it was made at, or with approved ones", async () => {
    await tpm.pcrReset(16);
    const selection = [{ hash: SHA256, pcrs: [16] }];
    const policyNow = async () =>
      policyPcr(SHA256, emptyPolicy(SHA256), selection, pcrDigest(SHA256, await tpm.pcrRead(SHA256, [16])));
    const maker = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const { x, y } = maker.publicKey.export({ format: "jwk" });
    const verifier = externalVerifier(Buffer.from(x!, "base64url"), Buffer.from(y!, "base64url"));
    const ref = Buffer.from("firmware");
    const branches = [await policyNow(), policyAuthorize(SHA256, nameOf(verifier), ref)];
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const key = await tpm.load(srk, await tpm.create(srk, policySigningKey(policyOr(SHA256, branches))));
    await tpm.flush(srk);

    await tpm.withSession(SE.POLICY, async (session) => {
      const sign = async () => {
        await tpm.policyPcr(session, selection);
        await tpm.policyOr(session, branches);
        return tpm.sign(key, digest, session);
      };
      // The same session serves again and again.
      for (let i = 0; i < 3; i++) expect(verifiesUnder(key.area, Buffer.from("a message"), await sign())).toBe(true);
      await expect(tpm.sign(key, digest)).rejects.toMatchObject({ code: "policy" });
      await expect(tpm.sign(key, digest, session)).rejects.toMatchObject({ rc: 0x99d });

      await tpm.pcrExtend(16, [{ hash: SHA256, digest }]);
      // The changed PCR is in none of the branches, and without a branch the TPM does not sign.
      await expect(sign()).rejects.toMatchObject({ rc: 0x1c4 });
      await expect(tpm.sign(key, digest, session)).rejects.toMatchObject({ rc: 0x99d });
    });

    // Until the maker approves what has booted.
    await tpm.withSession(SE.POLICY, async (session) => {
      const approved = await policyNow();
      const raw = nodeSign("sha256", Buffer.concat([approved, ref]), {
        key: maker.privateKey,
        dsaEncoding: "ieee-p1363",
      });
      const signature = { alg: ALG.ECDSA, hash: SHA256, r: raw.subarray(0, 32), s: raw.subarray(32) } as const;
      const outside = await tpm.loadExternal(verifier);
      const hash = createHash("sha256").update(approved).update(ref).digest();
      const ticket = await tpm.verifySignature(outside, hash, signature);
      await tpm.policyPcr(session, selection);
      await tpm.policyAuthorize(session, approved, ref, outside.name, ticket);
      await tpm.policyOr(session, branches);
      expect(await tpm.policyGetDigest(session)).toEqual(key.area.policy);
      expect(verifiesUnder(key.area, Buffer.from("a message"), await tpm.sign(key, digest, session))).toBe(true);
    });
    await tpm.pcrReset(16);
    await clean();
  });

  test("seals and unseals over a salted session, so that neither secret nor answer crosses the wire in clear", async () => {
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const data = Buffer.from("a root key of 32 bytes, say ......");
    const auth = new Uint8Array(randomBytes(16));
    const session = await tpm.startSession(SE.HMAC, { salt: srk, attributes: SESSION.decrypt | SESSION.encrypt });
    const blob = await tpm.load(srk, await tpm.create(srk, sealedBlob(NONE), { auth, data, by: session }), auth);
    session.attributes = SESSION.continueSession | SESSION.encrypt;
    expect(Buffer.from(await tpm.unseal(blob, session)).toString()).toBe(data.toString());
    await expect(tpm.unseal({ ...blob, auth: flipped(auth, 0) }, session)).rejects.toMatchObject({ code: "auth" });
    expect(Buffer.from(await tpm.unseal(blob)).toString()).toBe(data.toString());
    await clean();
  });

  test("too many wrong authorizations lock the TPM, which says so and how it ends", async () => {
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const guarded = { ...sealedBlob(NONE), attributes: sealedBlob(NONE).attributes & ~OBJECT.noDA };
    const auth = new Uint8Array(randomBytes(16));
    const blob = await tpm.load(srk, await tpm.create(srk, guarded, { auth, data: digest }), auth);
    const wrong = { ...blob, auth: flipped(auth, 0) };
    await expect(tpm.unseal(wrong)).rejects.toMatchObject({ code: "auth", message: /the TPM counted the attempt/ });
    expect((await tpm.lockout()).failures).toBe(1);
    const { allowed } = await tpm.lockout();
    for (let i = 1; i < allowed; i++) await expect(tpm.unseal(wrong)).rejects.toMatchObject({ code: "auth" });
    await expect(tpm.unseal(blob)).rejects.toMatchObject({ code: "lockout", message: /recovery time/ });
    // A key without password is not held up.
    await tpm.flush(blob);
    const key = await tpm.load(srk, await tpm.create(srk, plainSigningKey()));
    await tpm.sign(key, digest);
    await tpm.dictionaryAttackLockReset();
    expect((await tpm.lockout()).failures).toBe(0);
    await clean();
  });

  test("NV counters rise, indexes keep, both can be certified and asked for by a policy", async () => {
    const attributes = NV.OWNERWRITE | NV.AUTHWRITE | NV.AUTHREAD | NV.OWNERREAD | NV.NO_DA;
    const counter = await tpm.nvDefine({
      index: 0x01800001,
      nameAlg: SHA256,
      attributes: attributes | NV.COUNTER,
      policy: NONE,
      size: 8,
    });
    await expect(tpm.nvRead(counter)).rejects.toMatchObject({ rc: 0x14a });
    await tpm.nvIncrement(counter);
    const written = await tpm.nvReadPublic(counter.handle);
    const first = Buffer.from(await tpm.nvRead(written)).readBigUInt64BE();
    await tpm.nvIncrement(written);
    expect(Buffer.from(await tpm.nvRead(written)).readBigUInt64BE()).toBe(first + 1n);

    await tpm.withSession(SE.POLICY, async (session) => {
      const value = await tpm.nvRead(written);
      // TPM_EO_UNSIGNED_LE
      await tpm.policyNv(session, written, value, 8);
      await tpm.policyCommandCode(session, CC.Sign);
      const expected = policyNv(SHA256, emptyPolicy(SHA256), written.name, value, 0, 8);
      expect(await tpm.policyGetDigest(session)).toEqual(policyCommandCode(SHA256, expected, CC.Sign));
      await tpm.nvIncrement(written);
      await expect(tpm.policyNv(session, written, value, 8)).rejects.toMatchObject({ code: "policy" });
    });

    const ak = await tpm.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
    const said = decodeAttest((await tpm.nvCertify(ak, written, digest)).attest);
    expect(said.attested).toMatchObject({ kind: "nv", name: written.name, contents: await tpm.nvRead(written) });

    const plain = await tpm.nvDefine({ index: 0x01800002, nameAlg: SHA256, attributes, policy: NONE, size: 1500 });
    const data = new Uint8Array(randomBytes(1500));
    await tpm.nvWrite(plain, data);
    expect(await tpm.nvRead(await tpm.nvReadPublic(plain.handle))).toEqual(data);
    await expect(tpm.nvDefine(plain.area)).rejects.toMatchObject({ rc: 0x14c });
    for (const nv of [plain, counter]) await tpm.nvUndefine(nv);
    await expect(tpm.nvReadPublic(plain.handle)).rejects.toMatchObject({ code: "handle" });
    await clean();
  });

  test("keys stay at persistent handles and in saved contexts", async () => {
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    await tpm.evictControl(srk, 0x81000001);
    const context = await tpm.contextSave(srk);
    await tpm.flush(srk);
    expect((await tpm.readPublic(0x81000001)).name).toEqual(srk.name);
    const again = await tpm.contextLoad(context);
    expect((await tpm.readPublic(again)).name).toEqual(srk.name);
    const persistent = await tpm.readPublic(0x81000001);
    await tpm.evictControl(persistent, 0x81000001);
    expect(await tpm.handles(HANDLES.PERSISTENT)).not.toContain(0x81000001);
    await clean();
  });

  test("slots full of a dead process's keys and sessions are told, and flushed", async () => {
    for (let i = 0; i < 3; i++) await tpm.createPrimary(RH.OWNER, SRK);
    await expect(tpm.createPrimary(RH.OWNER, SRK)).rejects.toMatchObject({ code: "memory" });
    for (let i = 0; i < 2; i++) await tpm.startSession(SE.POLICY);
    await tpm.contextSave(await tpm.startSession(SE.HMAC));
    expect(await tpm.flushAll()).toBe(6);
    expect(await tpm.flushAll()).toBe(0);
    await tpm.createPrimary(RH.OWNER, SRK);
    await clean();
  });

  test("refuses what is no key: a point off the curve, a name that is not the area's", async () => {
    const off = { ...SRK, x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(1) };
    expect(() => keyObject(off)).toThrow(/not on P-256/);
    expect(() => makeCredential(off, nameOf(SRK), digest)).toThrow(/not on P-256/);
  });
});

withSwtpm("a TPM that is not there, busy, or goes away", () => {
  test("says so in time", async () => {
    await expect(Client.open("swtpm:path=/nowhere/tpm")).rejects.toMatchObject({ code: "unreachable" });
    await expect(Client.open("device:/dev/no-tpm")).rejects.toMatchObject({ code: "unreachable" });
    const { swtpm, folder } = await newTpm();
    const first = await connected(swtpm);
    await expect(Client.open(swtpm.address)).rejects.toMatchObject({ code: "busy" });
    await swtpm.cut();
    await expect(first.getRandom(1)).rejects.toMatchObject({ code: "closed" });
    const again = await startSwtpm(folder);
    later(() => again.cut());
    const second = await connected(again);
    expect((await second.getRandom(4)).length).toBe(4);
    await second.close();
    // Taken by a client that says nothing.
    const silent = connect({ path: again.address.slice("swtpm:path=".length) });
    await new Promise((resolve) => silent.once("connect", resolve));
    await expect(Client.open(again.address)).rejects.toMatchObject({ code: "busy" });
    silent.destroy();
  });
});
