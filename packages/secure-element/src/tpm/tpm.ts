import { randomBytes } from "node:crypto";
import { decode, encode, Reader } from "./codec.ts";
import { ALG, CAP, CC, HANDLES, PT, RH, SE, SESSION, ST, SU } from "./constants.ts";
import { Connection, type Entity } from "./connection.ts";
import { type Credential, sharedSeed } from "./credential.ts";
import { TpmError } from "./errors.ts";
import { kdfa } from "./kdf.ts";
import { handleName, nameOf, nvNameOf } from "./names.ts";
import { password, Session, type Authorization } from "./session.ts";
import {
  type ClockInfo,
  decodePublic,
  encodeNvPublic,
  encodePublic,
  encodeSignature,
  type NvPublic,
  type PcrSelection,
  type PublicArea,
  readClockInfo,
  readNvPublic,
  readSelection,
  readSignature,
  readTicket,
  type Signature,
  type Ticket,
  writeScheme,
  writeSelection,
  writeTicket,
} from "./structures.ts";
import { type EkTemplate, highRangeBranches } from "./templates.ts";

const EMPTY = new Uint8Array();
const NONCE = 16;
const NV_CHUNK = 512;

/** An object in the TPM: its name is recomputed from the public area that came with it. */
export interface Loaded extends Entity {
  area: PublicArea;
}

/** A key as it rests outside: public area, and private part that only its parent opens. */
export interface KeyBlob {
  publicArea: Uint8Array;
  private: Uint8Array;
}

export interface NvIndex extends Entity {
  area: NvPublic;
}

export const hierarchy = (handle: number, auth?: Uint8Array): Entity => ({
  handle,
  name: handleName(handle),
  ...(auth ? { auth } : {}),
});

/** Structures of an attestation as they left the TPM; what they say is for the verifier to find out. */
export interface SignedAttest {
  attest: Uint8Array;
  signature: Uint8Array;
}

/**
 * The commands of a TPM 2.0 (Library, Part 3) in their own words. Entities authorize themselves with an empty password
 * unless a session is given.
 */
export class Tpm {
  readonly #connection: Connection;
  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects to `device:PATH`, `swtpm:path=PATH` or `swtpm:host=HOST,port=PORT`. */
  static async open(address: string): Promise<Tpm> {
    return new Tpm(await Connection.open(address));
  }

  get address(): string {
    return this.#connection.address;
  }

  close(): Promise<void> {
    return this.#connection.close();
  }

  /* START */

  /** Idempotent: a TPM that has been started answers that it was. */
  async startup(type: number = SU.CLEAR): Promise<void> {
    try {
      await this.#connection.execute(CC.Startup, { params: encode((w) => w.u16(type)) });
    } catch (error) {
      if (!(error instanceof TpmError) || error.rc !== 0x100) throw error;
    }
  }

  /** Tells the TPM that the power goes; without it the next start counts as disorderly. */
  async shutdown(type: number = SU.CLEAR): Promise<void> {
    await this.#connection.execute(CC.Shutdown, { params: encode((w) => w.u16(type)) });
  }

  async selfTest(full = false): Promise<void> {
    await this.#connection.execute(CC.SelfTest, { params: Uint8Array.of(full ? 1 : 0) });
  }

  /* WHAT IT IS */

  async #capability(capability: number, property: number, count: number): Promise<Reader> {
    const params = encode((w) => w.u32(capability).u32(property).u32(count));
    const reader = new Reader((await this.#connection.execute(CC.GetCapability, { params })).params);
    reader.u8();
    reader.u32();
    return reader;
  }

  /** Handles of one range, such as HANDLES.TRANSIENT. */
  async handles(range: number): Promise<number[]> {
    const reader = await this.#capability(CAP.HANDLES, range, 254);
    return Array.from({ length: reader.u32() }, () => reader.u32());
  }

  /** A TPM_PT property, or undefined where this TPM has none. */
  async property(property: number): Promise<number | undefined> {
    const reader = await this.#capability(CAP.TPM_PROPERTIES, property, 1);
    if (reader.u32() === 0 || reader.u32() !== property) return undefined;
    return reader.u32();
  }

  /** Four letters of the TCG's vendor registry, such as "IBM" or "IFX". */
  async manufacturer(): Promise<string> {
    const value = (await this.property(PT.MANUFACTURER)) ?? 0;
    const letters = encode((w) => w.u32(value));
    return Buffer.from(letters).toString("latin1").replace(/\0+$/, "").trim();
  }

  /** The PCRs of each bank that is in use. */
  async pcrBanks(): Promise<PcrSelection[]> {
    return readSelection(await this.#capability(CAP.PCRS, 0, 16));
  }

  /** How near the TPM is to refusing authorizations. Times in seconds. */
  async lockout(): Promise<{ failures: number; allowed: number; recoverySeconds: number }> {
    const [failures = 0, allowed = 0, recoverySeconds = 0] = [
      await this.property(PT.LOCKOUT_COUNTER),
      await this.property(PT.MAX_AUTH_FAIL),
      await this.property(PT.LOCKOUT_INTERVAL),
    ];
    return { failures, allowed, recoverySeconds };
  }

  async dictionaryAttackLockReset(auth: Uint8Array = EMPTY): Promise<void> {
    const handles = [hierarchy(RH.LOCKOUT, auth)];
    await this.#connection.execute(CC.DictionaryAttackLockReset, { handles, auths: [password(auth)] });
  }

  /** Time since the start, in milliseconds, and the TPM's clock and counters. */
  async readClock(): Promise<{ time: bigint; clock: ClockInfo }> {
    const { params } = await this.#connection.execute(CC.ReadClock);
    return decode(params, (r) => ({ time: r.u64(), clock: readClockInfo(r) }));
  }

  /** Random bytes of the TPM, however many answers that takes. */
  async getRandom(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const { params } = await this.#connection.execute(CC.GetRandom, {
        params: encode((w) => w.u16(Math.min(left, 32))),
      });
      const part = decode(params, (r) => r.sized());
      if (part.length === 0) throw new TpmError("failure", "the TPM gave no random bytes: restart it");
      parts.push(part);
      left -= part.length;
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  /* KEYS */

  async createPrimary(parent: number, template: PublicArea, auth: Uint8Array = EMPTY): Promise<Loaded> {
    const { handle, params } = await this.#connection.execute(CC.CreatePrimary, {
      handles: [hierarchy(parent)],
      auths: [password()],
      params: creation(template, auth, EMPTY),
      returnsHandle: true,
    });
    return loaded(handle, new Reader(params).sized(), auth);
  }

  /** Makes an object under `parent`. `data` is what to seal, empty for keys. */
  async create(
    parent: Entity,
    template: PublicArea,
    options: { auth?: Uint8Array; data?: Uint8Array; by?: Authorization; encryption?: Session } = {},
  ): Promise<KeyBlob & { creationHash: Uint8Array; creationTicket: Ticket }> {
    const { params } = await this.#connection.execute(CC.Create, {
      handles: [parent],
      auths: [options.by ?? password(parent.auth)],
      encryption: options.encryption,
      params: creation(template, options.auth ?? EMPTY, options.data ?? EMPTY),
    });
    return decode(params, (r) => {
      const [privatePart, publicArea] = [r.sized(), r.sized()];
      r.sized();
      return { private: privatePart, publicArea, creationHash: r.sized(), creationTicket: readTicket(r) };
    });
  }

  async load(
    parent: Entity,
    key: KeyBlob,
    auth?: Uint8Array,
    by: Authorization = password(parent.auth),
  ): Promise<Loaded> {
    const { handle, params } = await this.#connection.execute(CC.Load, {
      handles: [parent],
      auths: [by],
      params: encode((w) => w.sized(key.private).sized(key.publicArea)),
      returnsHandle: true,
    });
    return this.#sameName(
      loaded(handle, key.publicArea, auth),
      decode(params, (r) => r.sized()),
    );
  }

  /** Loads a public key from outside, to verify with. Tickets come only from a hierarchy other than NULL. */
  async loadExternal(area: PublicArea, under: number = RH.OWNER): Promise<Loaded> {
    const { handle, params } = await this.#connection.execute(CC.LoadExternal, {
      params: encode((w) => w.sized(EMPTY).sized(encodePublic(area)).u32(under)),
      returnsHandle: true,
    });
    return this.#sameName(
      loaded(handle, encodePublic(area)),
      decode(params, (r) => r.sized()),
    );
  }

  async readPublic(handle: number, auth?: Uint8Array): Promise<Loaded> {
    const { params } = await this.#connection.execute(CC.ReadPublic, { handles: [hierarchy(handle)] });
    const reader = new Reader(params);
    return this.#sameName(loaded(handle, reader.sized(), auth), reader.sized());
  }

  async #sameName(key: Loaded, told: Uint8Array): Promise<Loaded> {
    if (Buffer.compare(key.name, told) === 0) return key;
    throw new TpmError("failure", "the TPM gives the key another name than its public area has: don't trust this TPM");
  }

  async flush(entity: { handle: number }): Promise<void> {
    await this.#connection.execute(CC.FlushContext, { params: encode((w) => w.u32(entity.handle)) });
  }

  /**
   * Flushes every transient object and session: what a process that died left in the few slots. Only for whoever owns
   * the TPM alone. Returns how many there were.
   */
  async flushAll(): Promise<number> {
    let count = 0;
    for (const range of [HANDLES.TRANSIENT, HANDLES.LOADED_SESSION, HANDLES.SAVED_SESSION])
      for (const handle of await this.handles(range)) {
        await this.flush({ handle });
        count++;
      }
    return count;
  }

  /** Makes an object persistent, or removes a persistent one (`object` itself persistent). */
  async evictControl(object: Entity, persistent: number): Promise<void> {
    await this.#connection.execute(CC.EvictControl, {
      handles: [hierarchy(RH.OWNER), object],
      auths: [password()],
      params: encode((w) => w.u32(persistent)),
    });
  }

  /** TPMS_CONTEXT; it can be loaded again until the TPM restarts. */
  async contextSave(object: { handle: number }): Promise<Uint8Array> {
    return (await this.#connection.execute(CC.ContextSave, { handles: [hierarchy(object.handle)] })).params;
  }

  async contextLoad(context: Uint8Array): Promise<number> {
    return (await this.#connection.execute(CC.ContextLoad, { params: context, returnsHandle: true })).handle;
  }

  /* SESSIONS AND POLICIES */

  /** Starts a session; with `salt`, a loaded storage key, it can authenticate and encrypt. */
  async startSession(
    type: number,
    options: { hash?: number; salt?: Loaded; attributes?: number } = {},
  ): Promise<Session> {
    const { hash = ALG.SHA256, salt, attributes = 0 } = options;
    const nonce = new Uint8Array(randomBytes(NONCE));
    const shared = salt ? sharedSeed(salt.area, "SECRET") : { seed: EMPTY, encrypted: EMPTY };
    const { handle, params } = await this.#connection.execute(CC.StartAuthSession, {
      handles: [salt ?? hierarchy(RH.NULL), hierarchy(RH.NULL)],
      params: encode((w) => {
        w.sized(nonce).sized(shared.encrypted).u8(type);
        if (salt) w.u16(ALG.AES).u16(128).u16(ALG.CFB);
        else w.u16(ALG.NULL);
        w.u16(hash);
      }),
      returnsHandle: true,
    });
    const nonceTpm = decode(params, (r) => r.sized());
    const bits = nonceSize(hash) * 8;
    const key = salt ? kdfa(hash, shared.seed, "ATH", nonceTpm, nonce, bits) : EMPTY;
    const session = new Session(handle, hash, key, nonceTpm, nonce);
    session.attributes = SESSION.continueSession | attributes;
    return session;
  }

  /** Runs `work` with a session that is flushed afterwards. */
  async withSession<T>(
    type: number,
    work: (session: Session) => Promise<T>,
    options: { hash?: number; salt?: Loaded; attributes?: number } = {},
  ): Promise<T> {
    const session = await this.startSession(type, options);
    try {
      return await work(session);
    } finally {
      // A TPM that was restarted has no session left to flush.
      await this.flush(session).catch(() => undefined);
    }
  }

  async policyPcr(session: Session, selection: PcrSelection[], digest: Uint8Array = EMPTY): Promise<void> {
    await this.#policy(
      CC.PolicyPCR,
      session,
      encode((w) => writeSelection(w.sized(digest), selection)),
    );
  }

  async policyOr(session: Session, branches: Uint8Array[]): Promise<void> {
    await this.#policy(
      CC.PolicyOR,
      session,
      encode((w) => {
        w.u32(branches.length);
        for (const branch of branches) w.sized(branch);
      }),
    );
  }

  async policyCommandCode(session: Session, code: number): Promise<void> {
    await this.#policy(
      CC.PolicyCommandCode,
      session,
      encode((w) => w.u32(code)),
    );
  }

  /** Replaces the session's policy, which must be `approved`, by the approval of the key named `keyName`. */
  async policyAuthorize(
    session: Session,
    approved: Uint8Array,
    ref: Uint8Array,
    keyName: Uint8Array,
    ticket: Ticket,
  ): Promise<void> {
    await this.#policy(
      CC.PolicyAuthorize,
      session,
      encode((w) => writeTicket(w.sized(approved).sized(ref).sized(keyName), ticket)),
    );
  }

  async policyGetDigest(session: Session): Promise<Uint8Array> {
    const { params } = await this.#connection.execute(CC.PolicyGetDigest, { handles: [hierarchy(session.handle)] });
    return decode(params, (r) => r.sized());
  }

  async policySecret(session: Session, entity: Entity): Promise<void> {
    await this.#connection.execute(CC.PolicySecret, {
      handles: [entity, hierarchy(session.handle)],
      auths: [password(entity.auth)],
      params: encode((w) => w.sized(EMPTY).sized(EMPTY).sized(EMPTY).u32(0)),
    });
  }

  /** Demands of an NV index that its content compares with `operand`; `operation` is a TPM_EO (Part 2, 6.8). */
  async policyNv(session: Session, nv: NvIndex, operand: Uint8Array, operation: number, offset = 0): Promise<void> {
    await this.#connection.execute(CC.PolicyNV, {
      handles: [nv, nv, hierarchy(session.handle)],
      auths: [password(nv.auth)],
      params: encode((w) => w.sized(operand).u16(offset).u16(operation)),
    });
  }

  async #policy(
    code: typeof CC.PolicyPCR | typeof CC.PolicyOR | typeof CC.PolicyAuthorize | typeof CC.PolicyCommandCode,
    session: Session,
    params: Uint8Array,
  ) {
    await this.#connection.execute(code, { handles: [hierarchy(session.handle)], params });
  }

  /* SIGNING AND ATTESTING */

  /** Signs a digest that was made outside; the key must not be restricted. */
  async sign(key: Loaded, digest: Uint8Array, by: Authorization = password(key.auth)): Promise<Signature> {
    const { params } = await this.#connection.execute(CC.Sign, {
      handles: [key],
      auths: [by],
      params: encode((w) => {
        writeScheme(w.sized(digest), null);
        writeTicket(w, { tag: ST.HASHCHECK, hierarchy: RH.NULL, digest: EMPTY });
      }),
    });
    return decode(params, readSignature);
  }

  /** Refuses a signature that is not the key's; the ticket says that it was. */
  async verifySignature(key: Loaded, digest: Uint8Array, signature: Signature): Promise<Ticket> {
    const { params } = await this.#connection.execute(CC.VerifySignature, {
      handles: [key],
      params: encode((w) => w.sized(digest).bytes(encodeSignature(signature))),
    });
    return decode(params, readTicket);
  }

  async quote(key: Loaded, nonce: Uint8Array, selection: PcrSelection[]): Promise<SignedAttest> {
    const { params } = await this.#connection.execute(CC.Quote, {
      handles: [key],
      auths: [password(key.auth)],
      params: encode((w) => {
        writeScheme(w.sized(nonce), null);
        writeSelection(w, selection);
      }),
    });
    return signedAttest(params);
  }

  /** Says under `key` that `object` is in this TPM. `by` authorizes the object, which needs the admin role. */
  async certify(
    object: Loaded,
    key: Loaded,
    nonce: Uint8Array,
    by: Authorization = password(object.auth),
  ): Promise<SignedAttest> {
    const { params } = await this.#connection.execute(CC.Certify, {
      handles: [object, key],
      auths: [by, password(key.auth)],
      params: encode((w) => writeScheme(w.sized(nonce), null)),
    });
    return signedAttest(params);
  }

  /** Says under `key` that this TPM made `object` itself: no authorization of the object is asked for. */
  async certifyCreation(
    object: Loaded,
    key: Loaded,
    nonce: Uint8Array,
    creationHash: Uint8Array,
    ticket: Ticket,
  ): Promise<SignedAttest> {
    const { params } = await this.#connection.execute(CC.CertifyCreation, {
      handles: [key, object],
      auths: [password(key.auth)],
      params: encode((w) => {
        writeScheme(w.sized(nonce).sized(creationHash), null);
        writeTicket(w, ticket);
      }),
    });
    return signedAttest(params);
  }

  /** Opens a credential that was made for `endorsement` and the name of `object`. */
  async activateCredential(
    object: Loaded,
    endorsement: Loaded,
    credential: Credential,
    by: Authorization,
    encryption?: Session,
  ): Promise<Uint8Array> {
    const { params } = await this.#connection.execute(CC.ActivateCredential, {
      handles: [object, endorsement],
      auths: [password(object.auth), by],
      encryption,
      params: encode((w) => w.sized(credential.blob).sized(credential.secret)),
    });
    return decode(params, (r) => r.sized());
  }

  /** Runs `work` with a session that satisfies the policy of endorsement keys made by the template. */
  withEndorsementPolicy<T>(template: EkTemplate, work: (session: Session) => Promise<T>): Promise<T> {
    const hash = template.area.nameAlg;
    return this.withSession(
      SE.POLICY,
      async (session) => {
        await this.policySecret(session, hierarchy(RH.ENDORSEMENT));
        if (template.high) await this.policyOr(session, highRangeBranches(hash));
        return work(session);
      },
      { hash },
    );
  }

  /** What a blob was sealed with. `by` is a policy session, or a salted HMAC session with `encrypt` set. */
  async unseal(blob: Loaded, by: Authorization = password(blob.auth), encryption?: Session): Promise<Uint8Array> {
    const { params } = await this.#connection.execute(CC.Unseal, { handles: [blob], auths: [by], encryption });
    return decode(params, (r) => r.sized());
  }

  /* PCRS */

  /** Values of PCRs of one bank, in ascending order, with as many reads as that takes. */
  async pcrRead(hash: number, pcrs: readonly number[]): Promise<Uint8Array[]> {
    const values = new Map<number, Uint8Array>();
    for (let left = [...pcrs]; left.length > 0; ) {
      const params = encode((w) => writeSelection(w, [{ hash, pcrs: left }]));
      const answer = await this.#connection.execute(CC.PCR_Read, { params });
      const { read, digests } = decode(answer.params, (r) => {
        r.u32();
        const selected = readSelection(r).find((s) => s.hash === hash)?.pcrs ?? [];
        return { read: selected, digests: Array.from({ length: r.u32() }, () => r.sized(64)) };
      });
      if (read.length === 0 || read.length !== digests.length)
        throw new TpmError("refused", "the TPM keeps no such PCRs: switch its SHA-256 bank on in the firmware", left);
      read.forEach((pcr, i) => values.set(pcr, digests[i] as Uint8Array));
      left = left.filter((pcr) => !values.has(pcr));
    }
    return [...pcrs].sort((a, b) => a - b).map((pcr) => values.get(pcr) as Uint8Array);
  }

  async pcrExtend(pcr: number, digests: { hash: number; digest: Uint8Array }[]): Promise<void> {
    await this.#connection.execute(CC.PCR_Extend, {
      handles: [hierarchy(pcr)],
      auths: [password()],
      params: encode((w) => {
        w.u32(digests.length);
        for (const { hash, digest } of digests) w.u16(hash).bytes(digest);
      }),
    });
  }

  /** Only PCR 16 and 23 can be reset from an operating system. */
  async pcrReset(pcr: number): Promise<void> {
    await this.#connection.execute(CC.PCR_Reset, { handles: [hierarchy(pcr)], auths: [password()] });
  }

  /* NV */

  async nvDefine(area: NvPublic, auth: Uint8Array = EMPTY, encryption?: Session): Promise<NvIndex> {
    await this.#connection.execute(CC.NV_DefineSpace, {
      handles: [hierarchy(RH.OWNER)],
      auths: [password()],
      encryption,
      params: encode((w) => w.sized(auth).sized(encodeNvPublic(area))),
    });
    return this.nvReadPublic(area.index, auth);
  }

  async nvUndefine(nv: NvIndex): Promise<void> {
    await this.#connection.execute(CC.NV_UndefineSpace, {
      handles: [hierarchy(RH.OWNER), nv],
      auths: [password()],
    });
  }

  async nvReadPublic(index: number, auth?: Uint8Array): Promise<NvIndex> {
    const { params } = await this.#connection.execute(CC.NV_ReadPublic, { handles: [hierarchy(index)] });
    const reader = new Reader(params);
    const area = decode(reader.sized(), readNvPublic);
    const nv = { handle: index, name: nvNameOf(area), area, ...(auth ? { auth } : {}) };
    if (area.index !== index || Buffer.compare(nv.name, reader.sized()) !== 0)
      throw new TpmError("failure", "the TPM gives the NV index another name than it has: don't trust this TPM", index);
    return nv;
  }

  /** The whole content of an index. `as` authorizes, the index itself if left out. */
  async nvRead(nv: NvIndex, as: Entity = nv, by: () => Authorization = () => password(as.auth)): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    for (let at = 0; at < nv.area.size; at += NV_CHUNK) {
      const { params } = await this.#connection.execute(CC.NV_Read, {
        handles: [as, nv],
        auths: [by()],
        params: encode((w) => w.u16(Math.min(NV_CHUNK, nv.area.size - at)).u16(at)),
      });
      parts.push(decode(params, (r) => r.sized()));
    }
    return new Uint8Array(Buffer.concat(parts));
  }

  async nvWrite(
    nv: NvIndex,
    data: Uint8Array,
    as: Entity = nv,
    by: () => Authorization = () => password(as.auth),
  ): Promise<void> {
    for (let at = 0; at < data.length; at += NV_CHUNK)
      await this.#connection.execute(CC.NV_Write, {
        handles: [as, nv],
        auths: [by()],
        params: encode((w) => w.sized(data.subarray(at, at + NV_CHUNK)).u16(at)),
      });
  }

  async nvIncrement(nv: NvIndex, as: Entity = nv, by: Authorization = password(as.auth)): Promise<void> {
    await this.#connection.execute(CC.NV_Increment, { handles: [as, nv], auths: [by] });
  }

  /** Says under `key` what an index holds. */
  async nvCertify(key: Loaded, nv: NvIndex, nonce: Uint8Array): Promise<SignedAttest> {
    const { params } = await this.#connection.execute(CC.NV_Certify, {
      handles: [key, nv, nv],
      auths: [password(key.auth), password(nv.auth)],
      params: encode((w) => {
        writeScheme(w.sized(nonce), null);
        w.u16(nv.area.size).u16(0);
      }),
    });
    return signedAttest(params);
  }
}

const nonceSize = (hash: number) =>
  ({ [ALG.SHA1]: 20, [ALG.SHA256]: 32, [ALG.SHA384]: 48, [ALG.SHA512]: 64 })[hash] ?? 32;

/** Parameters of Create and CreatePrimary: no outside info, no creation PCRs. */
const creation = (template: PublicArea, auth: Uint8Array, data: Uint8Array) =>
  encode((w) =>
    w
      .sized(encode((v) => v.sized(auth).sized(data)))
      .sized(encodePublic(template))
      .sized(EMPTY)
      .u32(0),
  );

function loaded(handle: number, publicArea: Uint8Array, auth?: Uint8Array): Loaded {
  const area = decodePublic(publicArea);
  return { handle, name: nameOf(area), area, ...(auth && auth.length > 0 ? { auth } : {}) };
}

const signedAttest = (params: Uint8Array): SignedAttest => {
  const reader = new Reader(params);
  return { attest: reader.sized(), signature: reader.rest() };
};
