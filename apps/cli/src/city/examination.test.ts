import { join } from "node:path";
import {
  addressOfKey,
  type Domain,
  ENDORSEMENT,
  ENROL,
  type Enrol,
  type Hex,
  KEY_ALG,
  QUOTE,
  type Quote,
  recoverTyped,
  ROTATION,
  type Rotation,
  toHex,
  typedDataDigest,
  ZERO32,
} from "@msec/core";
import { TpmElement } from "@msec/secure-element";
import { type MakerProfile } from "@msec/secure-element/attestation";
import { makerCertificates } from "@msec/secure-element/swtpm";
import { beforeAll, expect, test } from "vitest";
import { firmwareMaker } from "../../../../packages/secure-element/test/authority.ts";
import { newTpm, temporary, withSwtpm } from "../../../../packages/secure-element/test/testbed.ts";
import { type Account } from "./layout.ts";
import { type AttestationPolicy, Examination } from "./registrar.ts";

const secret = new Uint8Array(32).fill(7);
const registrar: Account = { address: addressOfKey(secret), key: toHex(secret) };
const domain: Domain = { name: "DeviceRegistry", chainId: 31337, verifyingContract: `0x${"a1".repeat(20)}` };
const word = (byte: string): Hex => `0x${byte.repeat(32)}`;
const POLICY = word("b0");

/** A chain that knows nobody yet and lets everything boot. */
const open: AttestationPolicy = {
  acceptsProfile: async () => true,
  acceptsBoot: async (policyId) => policyId === POLICY,
  keyOf: async () => ZERO32,
  countersOf: async () => undefined,
};

withSwtpm("a registrar before a device with a TPM", () => {
  let element: TpmElement;
  let profile: MakerProfile;

  beforeAll(async () => {
    const { swtpm, maker } = await newTpm();
    const path = join(await temporary(), "element.json");
    element = await TpmElement.openOrCreate({ path, address: swtpm.address, authority: firmwareMaker().spki });
    const der = (pem: string) => new Uint8Array(Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ""), "base64"));
    const [root, issuer] = (await makerCertificates(maker)).map(der) as [Uint8Array, Uint8Array];
    profile = { roots: [root], intermediates: [issuer], crls: [], templates: ["H-3", "L-1"] };
    return () => element.close();
  });

  const begin = async (policy: Partial<AttestationPolicy> = {}) =>
    Examination.begin(registrar, domain, profile, { ...open, ...policy }, POLICY, await element.evidence());
  const judged = async (policy: Partial<AttestationPolicy> = {}) => {
    const examination = await begin(policy);
    const result = await examination.judge(await element.answer(examination.challenge));
    return { examination, result };
  };
  const enrolOf = ({ evidence }: Examination): Enrol => ({
    deviceId: evidence.deviceId,
    ekHash: evidence.ekHashes[0] as Hex,
    akName: evidence.akName,
    keyAlg: KEY_ALG.ES256,
    keyHash: evidence.keyHash,
    owner: registrar.address,
    organisation: word("0f"),
    policyId: POLICY,
    evidenceDigest: evidence.digest,
    nonce: 0n,
    deadline: 1_800_000_000_000,
  });
  const possession = (enrol: Enrol) => element.sign(typedDataDigest(domain, ENROL, enrol));

  test("signs what it found: enrolment, the second endorsement key, the quote", async () => {
    const { examination, result } = await judged();
    const enrol = enrolOf(examination);
    const signature = examination.enrol(enrol, await possession(enrol));
    expect(recoverTyped(domain, ENROL, enrol, signature)).toBe(registrar.address);
    const { deviceId, ekHashes, digest } = examination.evidence;
    const endorsement = { deviceId, ekHash: ekHashes[1] as Hex, deadline: 1 };
    expect(recoverTyped(domain, ENDORSEMENT, endorsement, examination.endorsement(endorsement))).toBe(
      registrar.address,
    );
    const { pcrDigest, resetCount, restartCount, safe } = result;
    const now = Date.now();
    const quote: Quote = {
      ...{ deviceId, keyEpoch: 1, policyId: POLICY, pcrDigest, resetCount, restartCount, safe },
      ...{ quotedAtMs: now, validUntilMs: now + 1000, evidenceDigest: digest, deadline: now },
    };
    expect(recoverTyped(domain, QUOTE, quote, examination.quote(quote))).toBe(registrar.address);
    for (const change of [
      { deviceId: word("01") },
      { keyEpoch: 2 },
      { policyId: word("01") },
      { pcrDigest: word("01") },
      { resetCount: resetCount + 1 },
      { restartCount: restartCount + 1 },
      { safe: !safe },
      { quotedAtMs: now - 400_000 },
      { evidenceDigest: word("01") },
    ])
      expect(() => examination.quote({ ...quote, ...change })).toThrow(/does not vouch/);
    expect(() => examination.endorsement({ ...endorsement, ekHash: word("01") })).toThrow(/another ekHash/);
  });

  test("signs nothing before its own challenge is answered", async () => {
    const examination = await begin();
    const enrol = enrolOf(examination);
    const shown = await possession(enrol);
    expect(() => examination.enrol(enrol, shown)).toThrow(/not answered this registrar's challenge/);
    const { deviceId, ekHashes } = examination.evidence;
    expect(() => examination.endorsement({ deviceId, ekHash: ekHashes[1] as Hex, deadline: 1 })).toThrow(
      /not answered/,
    );
    // Another registrar's answer does not count.
    const other = await begin();
    await expect(examination.judge(await element.answer(other.challenge))).rejects.toMatchObject({
      code: "credential",
    });
    expect(() => examination.enrol(enrol, shown)).toThrow(/not answered/);
  });

  test("does not sign an enrolment that says something else than it found, nor without the key's own signature", async () => {
    const { examination } = await judged();
    const enrol = enrolOf(examination);
    const refuse = (change: Partial<Enrol>) => {
      const said = { ...enrol, ...change };
      return possession(said).then((shown) => expect(() => examination.enrol(said, shown)));
    };
    for (const change of [
      { deviceId: word("01") },
      { ekHash: examination.evidence.ekHashes[1] as Hex },
      { akName: word("01") },
      { keyHash: word("01") },
      { keyAlg: KEY_ALG.RS256 },
      { policyId: ZERO32 },
      { evidenceDigest: ZERO32 },
    ])
      (await refuse(change)).toThrow(/does not vouch/);
    expect(() => examination.enrol(enrol, new Uint8Array(64))).toThrow(/has not signed/);
    const otherOwner = { ...enrol, owner: `0x${"22".repeat(20)}` as Hex };
    const shown = await possession(enrol);
    expect(() => examination.enrol(otherOwner, shown)).toThrow(/has not signed/);
  });

  test("refuses what the chain does not accept: profile, boot, counters, a TPM that has another key", async () => {
    await expect(begin({ acceptsProfile: async () => false })).rejects.toMatchObject({ code: "unknown-maker" });
    await expect(judged({ acceptsBoot: async () => false })).rejects.toMatchObject({ code: "boot" });
    const higher = { resetCount: (await element.bootEpoch()) + 1, restartCount: 0 };
    await expect(judged({ countersOf: async () => higher })).rejects.toMatchObject({ code: "counters" });
    await expect(judged({ keyOf: async () => word("01") })).rejects.toMatchObject({ code: "signing-key" });
    const { keyHash } = (await begin()).evidence;
    await judged({ keyOf: async () => keyHash });
  });

  test("signs a rotation to the key that was attested, and no other", async () => {
    const next = await element.prepareRotation();
    const examination = await Examination.begin(
      registrar,
      domain,
      profile,
      open,
      POLICY,
      await element.evidence("next"),
    );
    await examination.judge(await element.answer(examination.challenge, "next"));
    const { deviceId, akName, keyHash, digest } = examination.evidence;
    const rotation: Rotation = {
      ...{ deviceId, keyEpoch: 2, akName, keyAlg: KEY_ALG.ES256, keyHash, revokeOld: false, policyId: POLICY },
      ...{ evidenceDigest: digest, nonce: 1n, deadline: 1_800_000_000_000 },
    };
    const shown = await next.sign(typedDataDigest(domain, ROTATION, rotation));
    expect(recoverTyped(domain, ROTATION, rotation, examination.rotation(rotation, shown))).toBe(registrar.address);
    expect(() => examination.rotation({ ...rotation, keyEpoch: 3 }, shown)).toThrow(/another key epoch/);
    const old = await element.sign(typedDataDigest(domain, ROTATION, rotation));
    expect(() => examination.rotation(rotation, old)).toThrow(/has not signed/);
    // A second key is no first enrolment.
    const enrol = enrolOf(examination);
    expect(() => examination.enrol(enrol, shown)).toThrow(/key epoch/);
  });
});
