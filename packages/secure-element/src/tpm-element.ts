import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { deviceIdOfEk, fromBase64, type Hex, toBase64 } from "@msec/core";
import {
  type Answer,
  type Challenge,
  certifyNonce,
  decodeEvidence,
  encodeEvidence,
  type Evidence,
  evidenceDigest,
  quoteNonce,
} from "./attestation/evidence.ts";
import {
  type Approval,
  APPROVAL_REF,
  approvalMessage,
  authorityArea,
  BOOT_PCRS,
  BOOT_SELECTION,
  type BootEvent,
  bootPolicy,
  FIRMWARE_COUNTER,
  keyBranches,
  keyPolicy,
  VERSION_OPERATION,
  versionOperand,
  versionPolicy,
} from "./boot.ts";
import { demandKeyEpoch, type DeviceKey, type NextKey, type SecureElement } from "./element.ts";
import { SecureElementError } from "./errors.ts";
import { lowS } from "./es256.ts";
import { writeFileAtomic } from "./file.ts";
import { firmwareCounter, raiseFirmwareCounter } from "./firmware-counter.ts";
import { lockTpm, type TpmLock } from "./tpm-lock.ts";
import {
  ALG,
  attestationKey,
  decodePublic,
  EK_TEMPLATES,
  type EkTemplate,
  encodePublic,
  HANDLES,
  type KeyBlob,
  type Loaded,
  policySigningKey,
  type NvIndex,
  nvNameOf,
  rawEcdsa,
  RH,
  sameTemplate,
  SE,
  sealedBlob,
  SESSION,
  spkiOf,
  SRK,
  type Ticket,
  Tpm,
  TpmError,
} from "./tpm/index.ts";
import type { Session } from "./tpm/session.ts";

interface StoredKey {
  /** What a registrar judges, made with the key: its public area and what its policy was made of are in there. */
  evidence: string;
  /** Opens in its own TPM only; null once it was rotated out. */
  private: string | null;
}

const decoded = new WeakMap<StoredKey, Evidence>();

/** Decoded once a key, since every signature asks. */
function evidenceOf(key: StoredKey): Evidence {
  const evidence = decoded.get(key) ?? decodeEvidence(fromBase64(key.evidence));
  decoded.set(key, evidence);
  return evidence;
}

/** The element's file: JSON, mode 0600. Nothing in it is worth anything without the TPM. */
interface State {
  format: "msec.element.tpm/1";
  deviceId: Hex;
  /** Template of the endorsement key that names the device. */
  endorsement: EkTemplate["name"];
  /** What makes the attestation key one of its own. */
  akUnique: string;
  /** DER SPKI of the approved-firmware key. */
  authority: string;
  keys: StoredKey[];
  next: StoredKey | null;
}

export interface TpmElementOptions {
  /** The element's file. */
  path: string;
  /** As Tpm.open takes it. */
  address: string;
  /** DER SPKI (P-256) of whoever approves firmware; needed to make the first key. */
  authority?: Uint8Array;
  /** Epoch of the first key, 1 if left out; more for a TPM that was cleared, whose keys before the registry knows. */
  firstKeyEpoch?: number;
  /** What the maker approved since the key was made. */
  approvals?: Approval[];
  /** Version of the release that runs; left out where the agent is not installed as one. */
  version?: number;
  /** What was measured at this start. */
  log?: BootEvent[];
  /** The firmware's event log, where there is one to show. */
  firmwareLog?: Uint8Array;
}

/** How the policy of an object in the TPM is met by what has booted. */
interface Way {
  branches: Uint8Array[];
  version: number | undefined;
  /** Set where what has booted needs an approval: the approved policy and the TPM's ticket for it. */
  approved: { policy: Uint8Array; ticket: Ticket; authorityName: Uint8Array } | undefined;
}

/** The element's keys as they are loaded, and what signing takes. */
interface Ready {
  tpm: Tpm;
  key: Loaded;
  way: Way;
  session: Session;
}

/** A secret as it rests outside: only its own TPM opens it, and only for what may sign. */
export interface SealedSecret extends KeyBlob {
  /** First branch of its policy: what had booted when it was sealed. */
  booted: Uint8Array;
}

const { SHA256 } = ALG;

/**
 * A device's keys in a TPM 2.0. The signing key is made in the TPM under the storage root key and signs only while the PCRs
 * are those that it was made at, or others that the maker approved; the attestation key is in the endorsement hierarchy.
 * The element owns its TPM alone: other programs of the device ask its service.
 */
export class TpmElement implements SecureElement {
  readonly kind = "tpm";
  readonly deviceId: Hex;
  readonly #options: TpmElementOptions;
  readonly #lock: TpmLock;
  readonly #resetCount: number;
  #state: State;
  #ready: Ready;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(options: TpmElementOptions, lock: TpmLock, state: State, ready: Ready, resetCount: number) {
    this.#options = options;
    this.#lock = lock;
    this.#state = state;
    this.#ready = ready;
    this.#resetCount = resetCount;
    this.deviceId = state.deviceId;
  }

  /** Opens the element of a device that has one; a file of another TPM's is refused. */
  static async open(options: TpmElementOptions): Promise<TpmElement> {
    const state = await readState(options.path);
    if (!state)
      throw new SecureElementError(
        "key-missing",
        `there is no device key at ${options.path}: run init, or restore it`,
        options.path,
      );
    return TpmElement.#start(options, async () => state);
  }

  /** Opens the element, making its first key where there is none. */
  static async openOrCreate(options: TpmElementOptions): Promise<TpmElement> {
    return TpmElement.#start(options, async (tpm) => (await readState(options.path)) ?? create(tpm, options));
  }

  static async #start(options: TpmElementOptions, state: (tpm: Tpm) => Promise<State>): Promise<TpmElement> {
    const lock = await lockTpm(options.address);
    let tpm: Tpm | undefined;
    try {
      tpm = await connect(options.address);
      if (options.version !== undefined) await demandVersion(tpm, options.version);
      const known = await state(tpm);
      await demandSameTpm(tpm, known, options.path);
      const ready = await prepare(tpm, known, options);
      const { resetCount } = (await tpm.readClock()).clock;
      return new TpmElement(options, lock, known, ready, resetCount);
    } catch (error) {
      await tpm?.close();
      await lock.release();
      throw error;
    }
  }

  get keyEpoch(): number {
    return evidenceOf(current(this.#state)).keyEpoch;
  }

  async spki(): Promise<Uint8Array> {
    return deviceKey(evidenceOf(current(this.#state))).spki;
  }

  async keys(): Promise<DeviceKey[]> {
    return this.#state.keys.map(evidenceOf).map(deviceKey);
  }

  attestation(): Promise<Hex> {
    return Promise.resolve(evidenceDigest(evidenceOf(current(this.#state))));
  }

  sign(message: Uint8Array, keyEpoch?: number): Promise<Uint8Array> {
    const digest = createHash("sha256").update(message).digest();
    return this.#alone(() => {
      demandKeyEpoch(this.keyEpoch, keyEpoch);
      return this.#recovering(() => signWith(this.#ready, digest));
    });
  }

  bootEpoch(): Promise<number> {
    return Promise.resolve(this.#resetCount);
  }

  prepareRotation(): Promise<NextKey> {
    return this.#alone(async () => {
      const { tpm } = this.#ready;
      const next = this.#state.next ?? (await makeKey(tpm, this.keyEpoch + 1, this.#state, this.#options.version));
      if (this.#state.next === null) await this.#save({ ...this.#state, next });
      return {
        ...deviceKey(evidenceOf(next)),
        sign: (message) => {
          const digest = createHash("sha256").update(message).digest();
          return this.#alone(() => this.#withKey(next, (ready) => signWith(ready, digest)));
        },
      };
    });
  }

  rotate(): Promise<void> {
    return this.#alone(async () => {
      const { next } = this.#state;
      if (next === null)
        throw new SecureElementError("key-missing", "no key is prepared: call prepareRotation and enrol it first");
      const keys = [...this.#state.keys.map((key) => ({ ...key, private: null })), next];
      await this.#save({ ...this.#state, keys, next: null });
      await this.#reload();
    });
  }

  /** Seals a secret of at most 128 bytes to what has booted, and to what its maker approves from now on. */
  seal(secret: Uint8Array): Promise<SealedSecret> {
    return this.#alone(() => this.#recovering(() => seal(this.#ready.tpm, secret, this.#state, this.#options)));
  }

  /** Opens a sealed secret; refused as a signature is where something else has booted. */
  unseal(sealed: SealedSecret): Promise<Uint8Array> {
    return this.#alone(() => this.#recovering(() => unseal(this.#ready.tpm, sealed, this.#state, this.#options)));
  }

  /** The release that runs has proved itself: from now on the TPM works for no earlier version. */
  confirmVersion(): Promise<void> {
    return this.#alone(() =>
      this.#recovering(async () => {
        if (this.#options.version !== undefined) await raiseFirmwareCounter(this.#ready.tpm, this.#options.version);
      }),
    );
  }

  /** What a registrar judges, of the key in use, or of the one that was prepared. */
  async evidence(which: "current" | "next" = "current"): Promise<Evidence> {
    return evidenceOf(this.#keyOf(which));
  }

  /** Answers a registrar's challenge to {@link evidence} of the same key. */
  answer(challenge: Challenge, which: "current" | "next" = "current"): Promise<Answer> {
    return this.#alone(() =>
      this.#recovering(async () => {
        const evidence = evidenceOf(this.#keyOf(which));
        const { tpm } = this.#ready;
        const ak = await loadAttestationKey(tpm, this.#state);
        try {
          const secrets: Uint8Array[] = [];
          for (const [i, { template: name }] of evidence.endorsements.entries()) {
            const credential = challenge.credentials[i];
            if (!credential)
              throw new SecureElementError("service", "the challenge has no credential for each endorsement key", i);
            const template = EK_TEMPLATES.find((t) => t.name === name) as EkTemplate;
            const ek = await endorsementKey(tpm, template);
            try {
              secrets.push(
                await tpm.withEndorsementPolicy(template, (session) =>
                  tpm.activateCredential(ak, ek, credential, session),
                ),
              );
            } finally {
              await flushTransient(tpm, ek);
            }
          }
          // A PCR that is extended in between makes the digest disagree, which the registrar refuses.
          const quote = await tpm.quote(ak, quoteNonce(challenge.nonce, evidence), BOOT_SELECTION);
          const pcrs = await tpm.pcrRead(SHA256, BOOT_PCRS);
          const { log = [], firmwareLog } = this.#options;
          return { secrets, quote, pcrs, log, ...(firmwareLog ? { firmwareLog } : {}) };
        } finally {
          await tpm.flush(ak);
        }
      }),
    );
  }

  /** Ends the connection; nothing of the element stays in the TPM's slots. */
  close(): Promise<void> {
    return this.#alone(async () => {
      await this.#ready.tpm.flushAll().catch(() => undefined);
      await this.#ready.tpm.close();
      await this.#lock.release();
    });
  }

  #keyOf(which: "current" | "next"): StoredKey {
    const key = which === "current" ? current(this.#state) : this.#state.next;
    if (!key) throw new SecureElementError("key-missing", "no key is prepared: call prepareRotation first");
    return key;
  }

  /** Runs `work` with another key loaded where the one in use is not it. */
  async #withKey<T>(stored: StoredKey, work: (ready: Ready) => Promise<T>): Promise<T> {
    if (stored === current(this.#state)) return work(this.#ready);
    const { tpm } = this.#ready;
    await tpm.flushAll();
    try {
      return await work(await load(tpm, stored, this.#state, this.#options));
    } finally {
      await this.#reload();
    }
  }

  async #reload(): Promise<void> {
    const { tpm } = this.#ready;
    await tpm.flushAll();
    this.#ready = await prepare(tpm, this.#state, this.#options);
  }

  /** One caller after the other: a policy session is gathered over several commands. */
  #alone<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#last.then(work);
    this.#last = run.catch(() => undefined);
    return run;
  }

  /**
   * Once more with a fresh connection and freshly loaded keys where the TPM lost them. A TPM that was restarted has PCRs
   * that nobody measured into, so then the agent must start anew.
   */
  async #recovering<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof TpmError) || !["closed", "handle", "memory", "not-started"].includes(error.code))
        throw error;
      await this.#ready.tpm.close();
      const tpm = await connect(this.#options.address);
      try {
        if ((await tpm.readClock()).clock.resetCount !== this.#resetCount)
          throw new SecureElementError(
            "tpm-restarted",
            "the TPM was restarted while the agent ran: start the agent anew, so that it is measured again",
            this.#options.address,
          );
        this.#ready = await prepare(tpm, this.#state, this.#options);
      } catch (failed) {
        await tpm.close();
        throw failed;
      }
      return work();
    }
  }

  async #save(state: State): Promise<void> {
    await save(this.#options.path, state);
    this.#state = state;
  }
}

/** Connects as the TPM's only user: what a dead process left in the slots goes. */
async function connect(address: string): Promise<Tpm> {
  const tpm = await Tpm.open(address);
  try {
    await tpm.startup();
    await tpm.flushAll();
    return tpm;
  } catch (error) {
    await tpm.close();
    throw error;
  }
}

function current(state: State): StoredKey {
  const key = state.keys.at(-1);
  if (!key?.private) throw new SecureElementError("key-damaged", "the element's file holds no signing key: restore it");
  return key;
}

async function readState(path: string): Promise<State | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  const damaged = (cause?: unknown) =>
    new SecureElementError(
      "key-damaged",
      `${path} is not a TPM element's file of this version: restore it`,
      path,
      cause,
    );
  let state: State;
  try {
    state = JSON.parse(text) as State;
  } catch (error) {
    throw damaged(error);
  }
  if (state.format !== "msec.element.tpm/1" || !Array.isArray(state.keys) || state.keys.length === 0) throw damaged();
  try {
    for (const key of [...state.keys, ...(state.next ? [state.next] : [])]) evidenceOf(key);
  } catch (error) {
    throw damaged(error);
  }
  return state;
}

const save = (path: string, state: State) => writeFileAtomic(path, `${JSON.stringify(state, undefined, 2)}\n`);

async function create(tpm: Tpm, options: TpmElementOptions): Promise<State> {
  if (!options.authority)
    throw new SecureElementError(
      "key-missing",
      "name the approved-firmware key (element.authority): without it the first update would end the device's key",
    );
  const [template] = await certifiedTemplates(tpm);
  if (!template)
    throw new SecureElementError(
      "no-certificate",
      "this TPM carries no endorsement certificate, so nobody can tell whose it is: ask its maker, or use another",
      options.address,
    );
  const ek = await endorsementKey(tpm, template);
  const deviceId = deviceIdOfEk(encodePublic(ek.area));
  await flushTransient(tpm, ek);
  const made = { akUnique: toBase64(new Uint8Array(randomBytes(32))), authority: toBase64(options.authority) };
  const state: State = {
    format: "msec.element.tpm/1",
    deviceId,
    endorsement: template.name,
    ...made,
    keys: [await makeKey(tpm, options.firstKeyEpoch ?? 1, made, options.version)],
    next: null,
  };
  await save(options.path, state);
  return state;
}

/** Templates that the TPM has an endorsement certificate for. */
async function certifiedTemplates(tpm: Tpm): Promise<EkTemplate[]> {
  const indexes = await tpm.handles(HANDLES.NV);
  return EK_TEMPLATES.filter((template) => indexes.includes(template.certificateIndex));
}

/** The endorsement key: the maker's persistent one where there is one, since making an RSA key takes a chip seconds. */
async function endorsementKey(tpm: Tpm, template: EkTemplate): Promise<Loaded> {
  for (const handle of await tpm.handles(HANDLES.PERSISTENT + 0x10000)) {
    const key = handle >>> 16 === 0x8101 ? await tpm.readPublic(handle) : undefined;
    if (key && sameTemplate(key.area, template.area)) return key;
  }
  return tpm.createPrimary(RH.ENDORSEMENT, template.area);
}

async function flushTransient(tpm: Tpm, key: Loaded): Promise<void> {
  if (key.handle >>> 24 === HANDLES.TRANSIENT >>> 24) await tpm.flush(key);
}

/** The certificate, without what fills its index up. */
async function certificateOf(tpm: Tpm, template: EkTemplate): Promise<Uint8Array> {
  const bytes = await tpm.nvRead(await tpm.nvReadPublic(template.certificateIndex));
  const length = bytes[0] === 0x30 && bytes[1] === 0x82 ? 4 + ((bytes[2] as number) << 8) + (bytes[3] as number) : 0;
  return length > 0 && length <= bytes.length ? bytes.slice(0, length) : bytes;
}

async function demandSameTpm(tpm: Tpm, state: State, path: string): Promise<void> {
  const template = EK_TEMPLATES.find((t) => t.name === state.endorsement);
  if (!template) throw new SecureElementError("key-damaged", `${path} names no endorsement key: restore it`, path);
  const ek = await endorsementKey(tpm, template);
  await flushTransient(tpm, ek);
  if (deviceIdOfEk(encodePublic(ek.area)) === state.deviceId) return;
  throw new SecureElementError(
    "foreign-tpm",
    `${path} belongs to another TPM: a copied disk or another board can't sign as the device; enrol this one as a device of its own`,
    state.deviceId,
  );
}

/** The policy that what has booted meets; with its version where it was installed as a release. */
async function bootedNow(tpm: Tpm, version: number | undefined): Promise<Uint8Array> {
  const booted = bootPolicy(await tpm.pcrRead(SHA256, BOOT_PCRS));
  return version === undefined ? booted : versionPolicy(booted, version);
}

async function demandVersion(tpm: Tpm, version: number): Promise<void> {
  const lowest = await firmwareCounter(tpm);
  if (version >= lowest) return;
  throw new SecureElementError(
    "firmware",
    `version ${version} of the firmware is over: the TPM allows ${lowest} and later; install the newest release`,
    version,
  );
}

const deviceKey = ({ keyEpoch, signingKey }: Evidence): DeviceKey => ({
  keyEpoch,
  spki: spkiOf(decodePublic(signingKey)),
});

const loadAttestationKey = (tpm: Tpm, { akUnique }: Pick<State, "akUnique">): Promise<Loaded> =>
  tpm.createPrimary(RH.ENDORSEMENT, attestationKey(fromBase64(akUnique)));

/** Makes a signing key for what has booted, and the evidence of it. Takes two of the TPM's slots at a time. */
async function makeKey(
  tpm: Tpm,
  keyEpoch: number,
  state: Pick<State, "akUnique" | "authority">,
  version: number | undefined,
): Promise<StoredKey> {
  const endorsements: Evidence["endorsements"] = [];
  for (const template of await certifiedTemplates(tpm)) {
    const ek = await endorsementKey(tpm, template);
    const certificate = await certificateOf(tpm, template);
    endorsements.push({ template: template.name, certificate, publicArea: encodePublic(ek.area) });
    await flushTransient(tpm, ek);
  }
  const authority = fromBase64(state.authority);
  const booted = await bootedNow(tpm, version);
  const srk = await tpm.createPrimary(RH.OWNER, SRK);
  const blob = await tpm.create(srk, policySigningKey(keyPolicy(booted, authority)));
  const key = await tpm.load(srk, blob);
  await tpm.flush(srk);
  const ak = await loadAttestationKey(tpm, state);
  const certified = await tpm.certify(key, ak, certifyNonce(keyEpoch));
  await tpm.flush(ak);
  await tpm.flush(key);
  const evidence = encodeEvidence({
    endorsements,
    attestationKey: encodePublic(ak.area),
    keyEpoch,
    signingKey: blob.publicArea,
    certified,
    booted,
    authority,
  });
  return { evidence: toBase64(evidence), private: toBase64(blob.private) };
}

type Now = Pick<TpmElementOptions, "approvals" | "version">;

const prepare = (tpm: Tpm, state: State, now: Now) => load(tpm, current(state), state, now);

async function load(tpm: Tpm, stored: StoredKey, state: State, now: Now): Promise<Ready> {
  const { keyEpoch, booted, signingKey } = evidenceOf(stored);
  const blob: KeyBlob = { publicArea: signingKey, private: fromBase64(stored.private) };
  const key = await underStorage(tpm, (srk) => loadOwn(tpm, srk, blob, keyEpoch));
  const way = await wayOf(tpm, booted, state, now);
  return { tpm, key, way, session: await tpm.startSession(SE.POLICY) };
}

async function underStorage<T>(tpm: Tpm, work: (srk: Loaded) => Promise<T>): Promise<T> {
  const srk = await tpm.createPrimary(RH.OWNER, SRK);
  try {
    return await work(srk);
  } finally {
    await tpm.flush(srk).catch(() => undefined);
  }
}

async function loadOwn(tpm: Tpm, srk: Loaded, blob: KeyBlob, what: unknown): Promise<Loaded> {
  try {
    return await tpm.load(srk, blob);
  } catch (error) {
    if (!(error instanceof TpmError) || error.code !== "foreign-key") throw error;
    throw new SecureElementError(
      "cleared",
      "the TPM does not open the device's key: it was cleared, or the file was damaged; restore the file, or have the device renewed by its owner",
      what,
      error,
    );
  }
}

/** How an object whose policy begins with `booted` can be used now. */
async function wayOf(tpm: Tpm, booted: Uint8Array, state: Pick<State, "authority">, now: Now): Promise<Way> {
  const authority = fromBase64(state.authority);
  const policy = await bootedNow(tpm, now.version);
  const plain = now.version === undefined ? policy : await bootedNow(tpm, undefined);
  const branches = keyBranches(booted, authority);
  // A key of before there were releases, or an approval without a version, asks nothing of the counter.
  const of = (version: number | undefined, wanted: Uint8Array) => {
    if (equal(wanted, booted)) return { version, approval: undefined };
    const approval = now.approvals?.find((a) => equal(a.policy, wanted));
    return approval && { version, approval };
  };
  const found = of(now.version, policy) ?? of(undefined, plain);
  const approved = found?.approval && (await approvedBy(tpm, authority, found.approval));
  return { branches, version: found?.version, approved };
}

const equal = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

/** Has the TPM check the maker's signature, so that it takes the approval in a policy. */
async function approvedBy(tpm: Tpm, authority: Uint8Array, { policy, signature }: Approval) {
  const outside = await tpm.loadExternal(authorityArea(authority));
  try {
    const digest = createHash("sha256").update(approvalMessage(policy)).digest();
    const parts = { r: signature.slice(0, 32), s: signature.slice(32) };
    const ticket = await tpm.verifySignature(outside, digest, { alg: ALG.ECDSA, hash: SHA256, ...parts });
    return { policy, ticket, authorityName: outside.name };
  } catch (error) {
    if (!(error instanceof TpmError) || error.code !== "refused") throw error;
    throw new SecureElementError("firmware", "the approval of the firmware is not signed by its maker: fetch it again");
  } finally {
    await tpm.flush(outside);
  }
}

async function signWith(ready: Ready, digest: Uint8Array): Promise<Uint8Array> {
  const { tpm, key, way } = ready;
  try {
    await meet(tpm, ready.session, way);
    return lowS(rawEcdsa(await tpm.sign(key, digest, ready.session)));
  } catch (error) {
    if (!isRefusedBoot(error)) throw error;
    await tpm.flush(ready.session);
    ready.session = await tpm.startSession(SE.POLICY);
    throw refusedBoot("does not sign", error);
  }
}

/** Gathers in `session` what the policy asks for. */
async function meet(tpm: Tpm, session: Session, { branches, version, approved }: Way): Promise<void> {
  await tpm.policyPcr(session, BOOT_SELECTION);
  if (version !== undefined) await tpm.policyNv(session, COUNTER, versionOperand(version), VERSION_OPERATION);
  if (approved)
    await tpm.policyAuthorize(session, approved.policy, APPROVAL_REF, approved.authorityName, approved.ticket);
  await tpm.policyOr(session, branches);
}

const COUNTER: NvIndex = {
  handle: FIRMWARE_COUNTER.index,
  name: nvNameOf(FIRMWARE_COUNTER),
  area: FIRMWARE_COUNTER,
};

async function seal(tpm: Tpm, secret: Uint8Array, state: State, now: Now): Promise<SealedSecret> {
  const booted = await bootedNow(tpm, now.version);
  const policy = keyPolicy(booted, fromBase64(state.authority));
  return underStorage(tpm, (srk) =>
    tpm.withSession(
      SE.HMAC,
      async (encryption) => {
        const blob = await tpm.create(srk, sealedBlob(policy), { data: secret, encryption });
        return { booted, publicArea: blob.publicArea, private: blob.private };
      },
      { salt: srk, attributes: SESSION.decrypt },
    ),
  );
}

async function unseal(tpm: Tpm, sealed: SealedSecret, state: State, now: Now): Promise<Uint8Array> {
  const way = await wayOf(tpm, sealed.booted, state, now);
  return underStorage(tpm, async (srk) => {
    const blob = await loadOwn(tpm, srk, sealed, "sealed secret");
    try {
      const open = (encryption: Session) =>
        tpm.withSession(SE.POLICY, async (session) => {
          await meet(tpm, session, way);
          return tpm.unseal(blob, session, encryption);
        });
      return await tpm.withSession(SE.HMAC, open, { salt: srk, attributes: SESSION.encrypt });
    } catch (error) {
      throw isRefusedBoot(error) ? refusedBoot("does not give the device's secrets back", error) : error;
    } finally {
      await tpm.flush(blob).catch(() => undefined);
    }
  });
}

const isRefusedBoot = (error: unknown): error is TpmError =>
  error instanceof TpmError && error.rc !== undefined && REFUSED_BOOT.has(error.rc);

const refusedBoot = (what: string, error: TpmError) =>
  new SecureElementError(
    "firmware",
    `the TPM ${what} for what has booted: the agent or the firmware was changed and its maker has not approved it, or a later version was confirmed; put the approved version back and reboot, or install the maker's approval`,
    error.rc,
    error,
  );

/**
 * PolicyOR without a branch that fits, PolicyAuthorize of something else, an object used without its policy, PCRs that just
 * changed, a counter beyond the version.
 */
const REFUSED_BOOT: ReadonlySet<number> = new Set([0x1c4, 0x99d, 0x128, 0x126]);
