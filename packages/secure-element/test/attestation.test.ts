import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { deviceIdOfEk, sha256, toHex } from "@msec/core";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  type Answer,
  AttestationError,
  certifyNonce,
  decodeAnswer,
  decodeChallenge,
  decodeEvidence,
  describeEvent,
  encodeAnswer,
  encodeChallenge,
  encodeEvidence,
  type Evidence,
  judgeEkCertificate,
  judgeEvidence,
  type MakerProfile,
  OpenChallenge,
  quoteNonce,
} from "../src/attestation/index.ts";
import { AGENT_PCR, BOOT_PCRS, BOOT_SELECTION, keyPolicy } from "../src/boot.ts";
import { makerCertificates } from "../src/swtpm.ts";
import { TpmElement } from "../src/tpm-element.ts";
import {
  ALG,
  attestationKey,
  decodeAttest,
  decodePublic,
  type EccPublic,
  EK_TEMPLATES,
  encodeAttest,
  encodePublic,
  encodeSignature,
  GENERATED,
  type Loaded,
  OBJECT,
  plainSigningKey,
  policySigningKey,
  RH,
  type SignedAttest,
  SRK,
  Tpm,
} from "../src/tpm/index.ts";
import { Authority, type EkOptions, firmwareMaker } from "./authority.ts";
import { eventLog } from "./event-log.ts";
import { flipped, newTpm, temporary, withSwtpm } from "./testbed.ts";

/** After the certificates that the test makes. */
const now = Date.now() + 60_000;
const YEAR = 365 * 86_400_000;
const LOG = [{ pcr: AGENT_PCR, digest: new Uint8Array(sha256(Buffer.from("agent"))), what: "agent" }];

async function measured(address: string): Promise<Tpm> {
  const tpm = await Tpm.open(address);
  await tpm.startup();
  for (const { pcr, digest } of LOG) await tpm.pcrExtend(pcr, [{ hash: ALG.SHA256, digest }]);
  return tpm;
}

const code = (work: () => unknown): string => {
  try {
    work();
  } catch (error) {
    if (error instanceof AttestationError) return error.code;
    throw error;
  }
  return "believed";
};

describe("certificates of endorsement keys", () => {
  const root = new Authority("root");
  const issuer = new Authority("issuer", root);
  const point = firmwareMaker().spki.subarray(27);
  const area = { ...(EK_TEMPLATES[1]!.area as EccPublic), x: point.slice(0, 32), y: point.slice(32) };
  const store = { roots: [root.certificate], intermediates: [issuer.certificate], crls: [] as Uint8Array[] };
  const judge = (options: EkOptions = {}, change: Partial<typeof store> = {}, at = now) =>
    code(() => judgeEkCertificate(issuer.ek(area, options), { ...store, ...change }, at));

  test("one of the profile that leads to a root is believed, and names its TPM", () => {
    expect(judge()).toBe("believed");
    const leaf = judgeEkCertificate(issuer.ek(area), store, now);
    expect(leaf.tpm).toEqual({ manufacturer: "id:00001014", model: "test", version: "id:0001" });
  });

  test("refused: an unknown maker, a forged issuer, an issuer that is none", () => {
    expect(judge({}, { roots: [] })).toBe("unknown-maker");
    expect(judge({}, { intermediates: [] })).toBe("unknown-maker");
    expect(judge({}, { roots: [new Authority("root").certificate] })).toBe("unknown-maker");
    const noAuthority = new Authority("issuer", root, { authority: false });
    const certificate = noAuthority.ek(area);
    const list = { ...store, intermediates: [noAuthority.certificate] };
    expect(code(() => judgeEkCertificate(certificate, list, now))).toBe("unknown-maker");
    // One by one what an issuer must be: of this name, allowed to sign certificates, with as many authorities as may follow.
    const under = (given: Authority, roots = [root]) =>
      code(() =>
        judgeEkCertificate(
          given.ek(area),
          { roots: roots.map((one) => one.certificate), intermediates: [given.certificate], crls: [] },
          now,
        ),
      );
    expect(under(new Authority("issuer", root))).toBe("believed");
    expect(under(new Authority("issuer", root).rename("another"))).toBe("unknown-maker");
    expect(under(new Authority("issuer", root, { usage: 0x02 }))).toBe("unknown-maker");
    const last = new Authority("last", undefined, { pathLength: 0 });
    expect(under(new Authority("issuer", last), [last])).toBe("unknown-maker");
    expect(judge({ authority: true }), "an authority's own").toBe("certificate");
    const forged = flipped(issuer.ek(area), -1);
    expect(code(() => judgeEkCertificate(forged, store, now))).not.toBe("believed");
  });

  test("refused: expired, not yet begun, an expired issuer, an expired root", () => {
    expect(judge({ toMs: now - 1000 })).toBe("expired");
    expect(judge({ fromMs: now + 60_000 })).toBe("expired");
    expect(judge({ toMs: now + 9 * YEAR }, {}, now + 2 * YEAR)).toBe("expired");
    const old = new Authority("old", undefined, { toMs: now - 1000 });
    const list = { roots: [old.certificate], intermediates: [], crls: [] };
    expect(code(() => judgeEkCertificate(old.ek(area), list, now))).toBe("expired");
  });

  test("refused: revoked, or a maker's list that is missing, old or forged where it is due", () => {
    expect(judge({}, { crls: [issuer.crl([2, 3])] })).toBe("believed");
    expect(judge({}, { crls: [issuer.crl([3, 1])] })).toBe("revoked");
    expect(judge({}, { crls: [root.crl([7])] })).toBe("revoked");
    expect(judge({ namesCrl: true })).toBe("revocation-unknown");
    expect(judge({ namesCrl: true }, { crls: [issuer.crl([])] })).toBe("believed");
    expect(judge({}, { crls: [issuer.crl([], now - 1000)] })).toBe("revocation-unknown");
    // Somebody else's list under the issuer's name counts for nothing.
    expect(judge({ namesCrl: true }, { crls: [new Authority("issuer").crl([])] })).toBe("revocation-unknown");
    expect(judge({}, { crls: [new Authority("issuer").crl([1])] })).toBe("believed");
    // Nor does one by an issuer that may sign certificates alone.
    const signer = new Authority("signer", root, { usage: 0x04 });
    const list = { ...store, intermediates: [signer.certificate], crls: [signer.crl([])] };
    expect(code(() => judgeEkCertificate(signer.ek(area, { namesCrl: true }), list, now))).toBe("revocation-unknown");
  });

  test("refused: another purpose or usage, no TPM named, a critical extension that nobody knows", () => {
    expect(judge({ purposes: ["2.23.133.8.3"] })).toBe("certificate");
    expect(judge({ purposes: ["2.23.133.8.3", "2.23.133.8.1"] }), "an extension twice").toBe("certificate");
    expect(judge({ usage: 0x80 })).toBe("certificate");
    expect(judge({ tpm: false })).toBe("certificate");
    expect(judge({ critical: "1.2.3.4" })).toBe("certificate");
  });

  test("bytes that are no certificate are refused as such", () => {
    const good = issuer.ek(area);
    for (const junk of [new Uint8Array(), Uint8Array.of(0x30, 0x80), good.subarray(0, 100), Buffer.alloc(50)])
      expect(code(() => judgeEkCertificate(junk, store, now))).toBe("malformed");
    for (let i = 0; i < good.length; i++) code(() => judgeEkCertificate(flipped(good, i), store, now));
  });
});

withSwtpm("enrolment and attestation", () => {
  const maker = firmwareMaker();
  let element: TpmElement;
  let evidence: Evidence;
  let profile: MakerProfile;
  let folder: string;
  /** A second TPM of the same maker, in somebody else's hands. */
  let foreign: Tpm;

  beforeAll(async () => {
    folder = await temporary();
    const device = await newTpm();
    await (await measured(device.swtpm.address)).close();
    element = await TpmElement.openOrCreate({
      path: join(folder, "element.json"),
      address: device.swtpm.address,
      authority: maker.spki,
      log: LOG,
    });
    evidence = await element.evidence();
    const der = (pem: string) => new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64"));
    const [root, issuer] = (await makerCertificates(device.maker)).map(der) as [Uint8Array, Uint8Array];
    profile = { roots: [root], intermediates: [issuer], crls: [], templates: ["H-3", "L-1"] };
    foreign = await measured((await newTpm(device.maker)).swtpm.address);
    return async () => {
      await element.close();
      await foreign.close();
    };
  });

  afterEach(() => foreign.flushAll());

  const judge = (change: Partial<Evidence> = {}, by: Partial<MakerProfile> = {}) =>
    code(() => judgeEvidence({ ...evidence, ...change }, { ...profile, ...by }, now));
  const ask = () => new OpenChallenge(evidence, now);
  const answered = async (change: (answer: Answer) => Answer = (a) => a) => {
    const open = ask();
    const answer = change(await element.answer(open.challenge));
    return code(() => open.judge(answer, now));
  };

  test("a device with its TPM is believed by each registrar on its own challenge", async () => {
    const judged = judgeEvidence(evidence, profile, now);
    expect(judged).toMatchObject({
      deviceId: element.deviceId,
      keyEpoch: 1,
      spki: await element.spki(),
      tpm: { manufacturer: "id:00001014" },
    });
    expect(judged.ekHashes).toEqual(evidence.endorsements.map((e) => toHex(sha256(e.publicArea))));
    expect(judged.deviceId).toBe(deviceIdOfEk(evidence.endorsements[0]!.publicArea));
    const [one, two] = [ask(), ask()];
    const [first, second] = [await element.answer(one.challenge), await element.answer(two.challenge)];
    const result = one.judge(first, now);
    expect(result).toMatchObject({ resetCount: await element.bootEpoch(), log: LOG });
    expect(two.judge(second, now).pcrDigest).toBe(result.pcrDigest);
    // Each answer is good for its own challenge, once.
    expect(code(() => ask().judge(first, now))).toBe("credential");
    expect(code(() => one.judge(first, now))).toBe("nonce");
    expect(code(() => ask().judge(second, now + 400_000))).toBe("nonce");
  });

  test("evidence, challenge and answer cross the wire in one form, and nothing else is taken", async () => {
    expect(decodeEvidence(encodeEvidence(evidence))).toEqual(evidence);
    const { challenge } = ask();
    expect(decodeChallenge(encodeChallenge(challenge))).toEqual(challenge);
    const answer = await element.answer(challenge);
    expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer);
    for (const read of [decodeEvidence, decodeChallenge, decodeAnswer])
      for (const junk of [new Uint8Array(), Uint8Array.of(0x81, 2), encodeEvidence(evidence).subarray(1)])
        expect(code(() => read(junk))).toBe("malformed");
  });

  test("refused: a maker that the registrar does not know, and an endorsement key left out or shown twice", () => {
    expect(judge({}, { roots: [new Authority("other").certificate] })).toBe("unknown-maker");
    expect(judge({ endorsements: evidence.endorsements.slice(1) })).toBe("missing-endorsement");
    expect(judge({ endorsements: [] })).toBe("missing-endorsement");
    expect(judge({ endorsements: [...evidence.endorsements, evidence.endorsements[0]!] })).toBe("missing-endorsement");
    expect(judge({ endorsements: [...evidence.endorsements].reverse() })).toBe("missing-endorsement");
  });

  test("refused: certificates of real keys by a test maker, expired and revoked", () => {
    const authority = new Authority("maker");
    const endorsed = (options: EkOptions) => ({
      endorsements: evidence.endorsements.map((e) => ({
        ...e,
        certificate: authority.ek(decodePublic(e.publicArea), options),
      })),
    });
    const trust = { roots: [authority.certificate], intermediates: [] };
    expect(judge(endorsed({}), trust)).toBe("believed");
    expect(judge(endorsed({}))).toBe("unknown-maker");
    expect(judge(endorsed({ toMs: now - 1 }), trust)).toBe("expired");
    expect(judge(endorsed({ serial: 5 }), { ...trust, crls: [authority.crl([5])] })).toBe("revoked");
  });

  test("refused: another endorsement key than the certificate's, or one of another template", async () => {
    const [first, second] = evidence.endorsements as [Evidence["endorsements"][0], Evidence["endorsements"][0]];
    const theirs = await foreign.createPrimary(RH.ENDORSEMENT, EK_TEMPLATES[0]!.area);
    const swapped = { ...first, publicArea: encodePublic(theirs.area) };
    expect(judge({ endorsements: [swapped, second] })).toBe("endorsement-key");
    await foreign.flushAll();
    const loose = { ...decodePublic(first.publicArea), policy: new Uint8Array(48) };
    expect(judge({ endorsements: [{ ...first, publicArea: encodePublic(loose) }, second] })).toBe("wrong-template");
  });

  test("refused: an attestation key that may sign anything, and one that is not in this TPM", async () => {
    const ak = decodePublic(evidence.attestationKey);
    const loose = encodePublic({ ...ak, attributes: ak.attributes & ~OBJECT.restricted });
    expect(judge({ attestationKey: loose })).toBe("attestation-key");
    const movable = encodePublic({ ...ak, attributes: ak.attributes & ~OBJECT.fixedTPM });
    expect(judge({ attestationKey: movable })).toBe("attestation-key");

    // The endorsement keys of the device, with the attestation key and the signing key of another TPM.
    const other = await foreign.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
    const made = await signingKeyIn(foreign);
    const mixed: Evidence = {
      ...evidence,
      attestationKey: encodePublic(other.area),
      signingKey: encodePublic(made.area),
      certified: await foreign.certify(made, other, certifyNonce(1)),
    };
    expect(code(() => judgeEvidence(mixed, profile, now))).toBe("believed");
    const open = new OpenChallenge(mixed, now);
    // The device's TPM opens no credential for a key that it does not hold; a guess is refused.
    await expect(element.answer(open.challenge)).rejects.toMatchObject({ code: "foreign-key" });
    const quote = await foreign.quote(other, quoteNonce(open.challenge.nonce, mixed), BOOT_SELECTION);
    const pcrs = await foreign.pcrRead(ALG.SHA256, BOOT_PCRS);
    const guess = { secrets: mixed.endorsements.map(() => new Uint8Array(32)), quote, pcrs, log: LOG };
    expect(code(() => open.judge(guess, now))).toBe("credential");
    await foreign.flushAll();
  });

  async function signingKeyIn(tpm: Tpm, template = policySigningKey(keyPolicy(evidence.booted, maker.spki))) {
    const srk = await tpm.createPrimary(RH.OWNER, SRK);
    const key = await tpm.load(srk, await tpm.create(srk, template));
    await tpm.flush(srk);
    return key;
  }

  test("refused: a signing key certified by another attestation key, another key, a loose or software key", async () => {
    const other = await foreign.createPrimary(RH.ENDORSEMENT, attestationKey(randomBytes(32)));
    const key = await signingKeyIn(foreign);
    const certified = await foreign.certify(key, other, certifyNonce(1));
    expect(judge({ signingKey: encodePublic(key.area), certified })).toBe("signature");
    expect(judge({ signingKey: encodePublic(key.area) })).toBe("signing-key");
    expect(judge({ keyEpoch: 2 })).toBe("nonce");

    // Keys that their own attestation key certifies, but that anybody may use.
    const shown = async (made: Loaded): Promise<Partial<Evidence>> => ({
      attestationKey: encodePublic(other.area),
      signingKey: encodePublic(made.area),
      certified: await foreign.certify(made, other, certifyNonce(1)),
    });
    expect(judge(await shown(key))).toBe("believed");
    await foreign.flush(key);
    const plain = await signingKeyIn(foreign, plainSigningKey());
    expect(judge(await shown(plain))).toBe("key-policy");
    await foreign.flush(plain);
    const template = policySigningKey(keyPolicy(evidence.booted, maker.spki));
    const open = await signingKeyIn(foreign, { ...template, attributes: template.attributes | OBJECT.userWithAuth });
    expect(judge(await shown(open))).toBe("signing-key");
    await foreign.flushAll();

    // A software key that claims a TPM: its own public area, with the device's certification.
    const [x, y] = [firmwareMaker().spki.slice(27, 59), firmwareMaker().spki.slice(59)];
    const software = encodePublic({ ...template, x, y });
    expect(judge({ signingKey: software })).toBe("signing-key");
    expect(judge({ authority: firmwareMaker().spki })).toBe("key-policy");
    expect(judge({ booted: new Uint8Array(32) })).toBe("key-policy");
  });

  test("refused: an attestation key outside the endorsement hierarchy, where counters are shifted", async () => {
    const ak = await foreign.createPrimary(RH.OWNER, attestationKey(randomBytes(32)));
    const key = await signingKeyIn(foreign);
    const certified = await foreign.certify(key, ak, certifyNonce(1));
    expect(judge({ attestationKey: encodePublic(ak.area), signingKey: encodePublic(key.area), certified })).toBe(
      "certifier",
    );
    await foreign.flushAll();
  });

  test("refused: a quote with an old, foreign or missing nonce", async () => {
    const old = await element.answer(ask().challenge);
    expect(await answered((a) => ({ ...a, quote: old.quote }))).toBe("nonce");
    // Another registrar's nonce.
    const theirs = ask();
    const relayed = await element.answer(theirs.challenge);
    expect(await answered((a) => ({ ...a, quote: relayed.quote }))).toBe("nonce");
    // Evidence of another enrolment under the same nonce.
    const other = new OpenChallenge({ ...evidence, keyEpoch: 2 }, now);
    const credentials = other.challenge.credentials;
    const answer = await element.answer({ nonce: other.challenge.nonce, credentials });
    expect(code(() => other.judge(answer, now))).toBe("nonce");
    expect(await answeredByHand((tpm, ak, nonce) => tpm.quote(ak, nonce, BOOT_SELECTION))).toBe("believed");
    expect(await answeredByHand((tpm, ak) => tpm.quote(ak, new Uint8Array(), BOOT_SELECTION))).toBe("nonce");
    expect(await answeredByHand((tpm, ak) => tpm.quote(ak, randomBytes(32), BOOT_SELECTION))).toBe("nonce");
  });

  test("refused: wrong magic, wrong type, another key's signature, other PCRs", async () => {
    const forged = async (tpm: Tpm, ak: Loaded, nonce: Uint8Array, magic: number): Promise<SignedAttest> => {
      const genuine = await tpm.quote(ak, nonce, BOOT_SELECTION);
      const attest = encodeAttest({ ...decodeAttest(genuine.attest), magic });
      return { attest, signature: encodeSignature(await tpm.sign(ak, sha256(attest))) };
    };
    expect(await answeredByHand((tpm, ak, nonce) => forged(tpm, ak, nonce, 0xff544348), true)).toBe("magic");
    expect(await answeredByHand((tpm, ak, nonce) => forged(tpm, ak, nonce, GENERATED), true)).toBe("believed");
    expect(await answered((a) => ({ ...a, quote: evidence.certified }))).toBe("type");
    expect(await answered((a) => ({ ...a, quote: { ...a.quote, attest: flipped(a.quote.attest, 0) } }))).toBe(
      "signature",
    );
    expect(await answered((a) => ({ ...a, quote: { ...a.quote, signature: new Uint8Array(3) } }))).toBe("signature");
    const fewer = [{ hash: ALG.SHA256, pcrs: [0, 7] }];
    expect(await answeredByHand((tpm, ak, nonce) => tpm.quote(ak, nonce, fewer))).toBe("selection");
    expect(await answered((a) => ({ ...a, pcrs: a.pcrs.map((p) => flipped(p, 0)) }))).toBe("event-log");
    // One that the agent is not measured into.
    expect(await answered((a) => ({ ...a, pcrs: a.pcrs.map((p, i) => (i === 0 ? flipped(p, 0) : p)) }))).toBe(
      "event-log",
    );
    expect(await answered((a) => ({ ...a, log: [] }))).toBe("event-log");
    expect(await answered((a) => ({ ...a, log: [...a.log, ...a.log] }))).toBe("event-log");
    expect(await answered((a) => ({ ...a, secrets: [] }))).toBe("credential");
    expect(await answered((a) => ({ ...a, secrets: a.secrets.map((s) => flipped(s, 0)) }))).toBe("credential");
  });

  test("the firmware's own log accounts for the quoted PCRs, or is refused with the PCR that differs", async () => {
    const events = [
      { pcr: 0, type: 8, data: Buffer.from("version 1") },
      { pcr: 4, type: 0x80000007, data: Buffer.from("Calling EFI Application from Boot Option") },
      { pcr: 7, type: 4, data: Buffer.alloc(4) },
    ];
    const { swtpm } = await newTpm();
    const tpm = await measured(swtpm.address);
    for (const { pcr, data } of events) await tpm.pcrExtend(pcr, [{ hash: ALG.SHA256, digest: sha256(data) }]);
    await tpm.close();
    const booted = await TpmElement.openOrCreate({
      path: join(await temporary(), "element.json"),
      address: swtpm.address,
      authority: firmwareMaker().spki,
      log: LOG,
      firmwareLog: eventLog(events),
    });
    const own = await booted.evidence();
    const judged = async (change: (answer: Answer) => Answer) => {
      const open = new OpenChallenge(own, now);
      const answer = change(await booted.answer(open.challenge));
      return open.judge(decodeAnswer(encodeAnswer(answer)), now);
    };
    const { firmware } = await judged((a) => a);
    expect(firmware?.map(describeEvent)).toEqual([
      expect.stringContaining('EV_S_CRTM_VERSION "version 1"'),
      expect.stringContaining('EV_EFI_ACTION "Calling EFI Application'),
      expect.stringContaining("EV_SEPARATOR"),
    ]);
    for (const [pcr, log] of [
      [0, eventLog(events.slice(1))],
      [2, eventLog([...events, { pcr: 2, type: 4, data: Buffer.alloc(4) }])],
      [7, eventLog(events.map((e) => (e.pcr === 7 ? { ...e, data: Buffer.from("other") } : e)))],
    ] as const)
      await expect(judged((a) => ({ ...a, firmwareLog: log }))).rejects.toMatchObject({
        code: "event-log",
        message: expect.stringContaining(`quoted PCR ${pcr}:`),
      });
    await expect(judged((a) => ({ ...a, firmwareLog: new Uint8Array(10) }))).rejects.toMatchObject({
      code: "event-log",
    });
    await booted.close();
  });

  test("refused: a counter that fell", async () => {
    const open = ask();
    const answer = await element.answer(open.challenge);
    const { resetCount, restartCount } = decodeAttest(answer.quote.attest).clock;
    const fell = { before: { resetCount: resetCount + 1, restartCount: 0 } };
    expect(code(() => open.judge(answer, now, fell.before))).toBe("counters");
    const next = ask();
    const again = await element.answer(next.challenge);
    expect(code(() => next.judge(again, now, { resetCount, restartCount: restartCount + 1 }))).toBe("counters");
    const last = ask();
    expect(last.judge(await element.answer(last.challenge), now, { resetCount, restartCount }).resetCount).toBe(
      resetCount,
    );
  });

  /**
   * A device that is driven by hand: the other TPM with its own endorsement keys, answering honestly but for the quote.
   * `liar` has an attestation key that signs anything; judging its evidence would have refused that.
   */
  async function answeredByHand(
    quote: (tpm: Tpm, ak: Loaded, nonce: Uint8Array) => Promise<SignedAttest>,
    liar = false,
  ): Promise<string> {
    const template = liar ? plainSigningKey() : attestationKey(randomBytes(32));
    const ak = await foreign.createPrimary(RH.ENDORSEMENT, template);
    const endorsements: Evidence["endorsements"] = [];
    for (const name of profile.templates) {
      const t = EK_TEMPLATES.find((e) => e.name === name)!;
      const ek = await foreign.createPrimary(RH.ENDORSEMENT, t.area);
      endorsements.push({ template: name, certificate: new Uint8Array(), publicArea: encodePublic(ek.area) });
      await foreign.flush(ek);
    }
    const own: Evidence = { ...evidence, endorsements, attestationKey: encodePublic(ak.area) };
    const open = new OpenChallenge(own, now);
    const secrets: Uint8Array[] = [];
    for (const [i, name] of profile.templates.entries()) {
      const t = EK_TEMPLATES.find((e) => e.name === name)!;
      const ek = await foreign.createPrimary(RH.ENDORSEMENT, t.area);
      const activate = (session: Parameters<Parameters<Tpm["withEndorsementPolicy"]>[1]>[0]) =>
        foreign.activateCredential(ak, ek, open.challenge.credentials[i]!, session);
      secrets.push(await foreign.withEndorsementPolicy(t, activate));
      await foreign.flush(ek);
    }
    const made = await quote(foreign, ak, quoteNonce(open.challenge.nonce, own));
    const pcrs = await foreign.pcrRead(ALG.SHA256, BOOT_PCRS);
    await foreign.flushAll();
    return code(() => open.judge({ secrets, quote: made, pcrs, log: LOG }, now));
  }
});
