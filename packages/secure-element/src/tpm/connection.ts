import { setTimeout as sleep } from "node:timers/promises";
import { encode, Reader } from "./codec.ts";
import { CAP, CC, type CommandCode, PT, SESSION, ST } from "./constants.ts";
import { responseError, TpmError, TRY_AGAIN } from "./errors.ts";
import { digest } from "./names.ts";
import { type Authorization, Session } from "./session.ts";
import { connectTpm, type Transport } from "./transport.ts";

/** Something that a command names by its handle: object, NV index, hierarchy, PCR or session. */
export interface Entity {
  handle: number;
  name: Uint8Array;
  /** Authorization value, empty if left out. */
  auth?: Uint8Array;
}

export interface Call {
  handles?: readonly Entity[];
  /** One for each of the first handles that need authorization, in order. */
  auths?: readonly Authorization[];
  /** A further session that encrypts a parameter. */
  encryption?: Session | undefined;
  params?: Uint8Array;
  returnsHandle?: boolean;
}

/** Making an RSA key takes tens of seconds on some chips. */
const TIMEOUT_MS = 120_000;
const PROBE_MS = 3_000;
const ATTEMPTS = 40;
const FIRST_WAIT_MS = 5;
const LAST_WAIT_MS = 500;

/** One open connection to a TPM: commands go one after the other, and again when the TPM says "not now". */
export class Connection {
  readonly address: string;
  readonly #transport: Transport;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(address: string, transport: Transport) {
    this.address = address;
    this.#transport = transport;
  }

  /** Connects and makes sure that a TPM answers. swtpm serves one client at a time and lets another one wait. */
  static async open(address: string): Promise<Connection> {
    const connection = new Connection(address, await connectTpm(address));
    try {
      const anyProperty = encode((w) => w.u32(CAP.TPM_PROPERTIES).u32(PT.MANUFACTURER).u32(1));
      await connection.execute(CC.GetCapability, { params: anyProperty }, PROBE_MS);
      return connection;
    } catch (error) {
      // One that waits for Startup answers, too.
      if (error instanceof TpmError && error.code === "not-started") return connection;
      await connection.close();
      if (!(error instanceof TpmError) || error.code !== "timeout") throw error;
      throw new TpmError("busy", `another program holds the TPM at ${address}: end it, or ask it`, address);
    }
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  /** Runs one command. Resolves to the response's handle and parameters. */
  execute(code: CommandCode, call: Call = {}, timeoutMs = TIMEOUT_MS): Promise<{ handle: number; params: Uint8Array }> {
    const run = this.#last.then(() => this.#run(code, call, timeoutMs));
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #run(code: CommandCode, call: Call, timeoutMs: number) {
    let wait = FIRST_WAIT_MS;
    for (let attempt = 1; ; attempt++) {
      const sent = assemble(code, call);
      const response = new Reader(await this.#transport.transmit(sent.command, timeoutMs));
      const tag = response.u16();
      const size = response.u32();
      const rc = response.u32();
      if (size !== response.left + 10)
        throw new TpmError("malformed", "the TPM's answer has another length than it says");
      if (rc === 0) return open(code, call, tag, response, sent.auths);
      if (!TRY_AGAIN.has(rc) || attempt === ATTEMPTS) throw responseError(rc, code);
      await sleep(wait);
      wait = Math.min(wait * 2, LAST_WAIT_MS);
    }
  }
}

const uint32 = (value: number) => encode((w) => w.u32(value));

/** An authorization with the value of the entity that it authorizes; undefined for one that only encrypts. */
type Used = { authorization: Authorization; auth: Uint8Array | undefined };

function assemble(code: CommandCode, call: Call): { command: Uint8Array; auths: Used[] } {
  const { handles = [], params = new Uint8Array() } = call;
  const auths: Used[] = (call.auths ?? []).map((authorization, i) => ({ authorization, auth: handles[i]?.auth }));
  if (call.encryption) auths.push({ authorization: call.encryption, auth: undefined });
  for (const { authorization } of auths) authorization.begin();
  const sealer = auths.find((a) => isSession(a.authorization, SESSION.decrypt));
  const body = sealer ? withFirst(params, (p) => (sealer.authorization as Session).encrypt(p, sealer.auth)) : params;
  const names = handles.map((h) => h.name);
  const area = auths.map(({ authorization, auth }) => {
    const cpHash = () => digest((authorization as Session).hash, uint32(code), ...names, body);
    return authorization.command(cpHash, auth);
  });
  const areaLength = area.reduce((sum, part) => sum + part.length, 0);
  const length = 10 + 4 * handles.length + (area.length > 0 ? 4 + areaLength : 0) + body.length;
  const command = encode((w) => {
    w.u16(area.length > 0 ? ST.SESSIONS : ST.NO_SESSIONS)
      .u32(length)
      .u32(code);
    for (const { handle } of handles) w.u32(handle);
    if (area.length > 0) w.u32(areaLength);
    for (const part of area) w.bytes(part);
    w.bytes(body);
  });
  return { command, auths };
}

function open(code: CommandCode, call: Call, tag: number, response: Reader, auths: Used[]) {
  const handle = call.returnsHandle ? response.u32() : 0;
  if (tag !== ST.SESSIONS) return { handle, params: response.rest() };
  const body = response.bytes(response.u32());
  for (const { authorization, auth } of auths) {
    const rpHash = () => digest((authorization as Session).hash, uint32(0), uint32(code), body);
    authorization.response(response, rpHash, auth);
  }
  response.end();
  const opener = auths.find((a) => isSession(a.authorization, SESSION.encrypt));
  const params = opener ? withFirst(body, (p) => (opener.authorization as Session).decrypt(p, opener.auth)) : body;
  return { handle, params };
}

const isSession = (authorization: Authorization, attribute: number) =>
  authorization instanceof Session && (authorization.attributes & attribute) !== 0;

/** Replaces the content of the TPM2B that parameters begin with. */
function withFirst(params: Uint8Array, change: (content: Uint8Array) => Uint8Array): Uint8Array {
  const reader = new Reader(params);
  const first = reader.sized();
  return encode((w) => w.sized(change(first)).bytes(reader.rest()));
}
