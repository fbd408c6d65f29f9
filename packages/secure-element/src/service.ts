import { chmod, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { cborDecode, cborEncode, type Hex } from "@msec/core";
import {
  type Answer,
  type Challenge,
  decodeAnswer,
  decodeChallenge,
  decodeEvidence,
  encodeAnswer,
  encodeChallenge,
  encodeEvidence,
  type Evidence,
} from "./attestation/evidence.ts";
import { SecureElementError } from "./errors.ts";
import type { TpmElement } from "./tpm-element.ts";

/**
 * The process that owns a TPM serves the device's other programs at a UNIX socket that only its user may open. A frame is
 * uint32 length ‖ CBOR: the request [method, argument…], the answer [0, value] or [1, code, sentence]. What signs packs is
 * not served: only digests of 32 bytes are signed, which no pack's signature is over.
 */

const MAX_FRAME = 1 << 20;
const CALL_MS = 120_000;

export type WhichKey = "current" | "next";

/** What a program of the device may ask. */
export interface ElementService {
  status(): Promise<{ deviceId: Hex; keyEpoch: number; bootEpoch: number }>;
  evidence(which: WhichKey): Promise<Evidence>;
  answer(challenge: Challenge, which: WhichKey): Promise<Answer>;
  /** Makes the next key where there is none yet. */
  prepareRotation(): Promise<void>;
  /** ES256 over a digest of 32 bytes as the message: how a key shows an enrolment that it is held. */
  signDigest(digest: Uint8Array, which: WhichKey): Promise<Uint8Array>;
  /** Signs with the next key from now on. The agent must start anew. */
  rotate(): Promise<void>;
}

/** The service of an element in this process. */
export function serviceOf(element: TpmElement): ElementService {
  return {
    status: async () => ({
      deviceId: element.deviceId,
      keyEpoch: element.keyEpoch,
      bootEpoch: await element.bootEpoch(),
    }),
    evidence: (which) => element.evidence(which),
    answer: (challenge, which) => element.answer(challenge, which),
    prepareRotation: async () => void (await element.prepareRotation()),
    signDigest: async (digest, which) => {
      if (digest.length !== 32)
        throw new SecureElementError("service", "only digests of 32 bytes are signed here", digest.length);
      return which === "current" ? element.sign(digest) : (await element.prepareRotation()).sign(digest);
    },
    rotate: () => element.rotate(),
  };
}

/** Serves at `path`, where nobody else can be: the caller owns the TPM. `rotated` is told after a rotation. */
export async function serve(
  service: ElementService,
  path: string,
  rotated: () => void,
): Promise<{ close(): Promise<void> }> {
  await rm(path, { force: true });
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    // A caller that went away is no concern of the agent.
    socket.on("error", () => socket.destroy());
    readFrames(socket, async (frame) => {
      writeFrame(socket, await answerTo(service, frame, rotated));
    });
  });
  // Nobody may connect between the socket's birth and its mode.
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen({ path }, resolve);
    });
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o600);
  return {
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function answerTo(service: ElementService, frame: Uint8Array, rotated: () => void): Promise<Uint8Array> {
  try {
    const [method, ...args] = cborDecode(frame) as unknown[];
    const value = await call(service, method, args);
    if (method === "rotate") setImmediate(rotated);
    return cborEncode([0, value]);
  } catch (error) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    return cborEncode([1, typeof code === "string" ? code : "unexpected", String(message ?? error)]);
  }
}

async function call(service: ElementService, method: unknown, args: unknown[]): Promise<unknown> {
  const bytes = (value: unknown) => {
    if (value instanceof Uint8Array) return value;
    throw new SecureElementError("service", "expected bytes", value);
  };
  const which = (value: unknown): WhichKey => {
    if (value === "current" || value === "next") return value;
    throw new SecureElementError("service", "a key is current or next", value);
  };
  switch (method) {
    case "status": {
      const { deviceId, keyEpoch, bootEpoch } = await service.status();
      return [deviceId, keyEpoch, bootEpoch];
    }
    case "evidence":
      return encodeEvidence(await service.evidence(which(args[0])));
    case "answer":
      return encodeAnswer(await service.answer(decodeChallenge(bytes(args[0])), which(args[1])));
    case "prepareRotation":
      await service.prepareRotation();
      return null;
    case "signDigest":
      return service.signDigest(bytes(args[0]), which(args[1]));
    case "rotate":
      await service.rotate();
      return null;
    default:
      throw new SecureElementError("service", "the element's service does not know this request", method);
  }
}

function writeFrame(socket: Socket, body: Uint8Array): void {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  socket.write(Buffer.concat([head, body]));
}

/** Calls `take` with each whole frame, one after the other; a longer one than is allowed ends the connection. */
function readFrames(socket: Socket, take: (frame: Uint8Array) => Promise<void>): void {
  let pending = Buffer.alloc(0);
  let last: Promise<unknown> = Promise.resolve();
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4) {
      const length = pending.readUInt32BE(0);
      if (length > MAX_FRAME) return void socket.destroy();
      if (pending.length < 4 + length) return;
      const frame = new Uint8Array(pending.subarray(4, 4 + length));
      pending = pending.subarray(4 + length);
      last = last.then(() => take(frame)).catch(() => socket.destroy());
    }
  });
}

/** The service of the agent that owns the TPM, or undefined where none runs. */
export async function connectService(path: string): Promise<(ElementService & { close(): void }) | undefined> {
  const socket = await new Promise<Socket | undefined>((resolve, reject) => {
    const attempt = connect({ path });
    attempt.once("connect", () => resolve(attempt));
    attempt.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ECONNREFUSED") return resolve(undefined);
      reject(
        new SecureElementError("service", `can't reach the device's agent at ${path}: ${error.message}`, path, error),
      );
    });
  });
  if (!socket) return undefined;
  const waiting: { resolve: (frame: Uint8Array) => void; reject: (error: Error) => void }[] = [];
  const end = () => {
    const gone = new SecureElementError("service", "the device's agent closed the connection: is it running?", path);
    for (const { reject } of waiting.splice(0)) reject(gone);
  };
  socket.on("error", end);
  socket.on("close", end);
  readFrames(socket, async (frame) => waiting.shift()?.resolve(frame));
  socket.setTimeout(CALL_MS, () => socket.destroy());
  const ask = async (...request: unknown[]): Promise<unknown> => {
    const frame = await new Promise<Uint8Array>((resolve, reject) => {
      waiting.push({ resolve, reject });
      writeFrame(socket, cborEncode(request));
      if (socket.destroyed) end();
    });
    const [failed, value, message] = cborDecode(frame) as [number, unknown, string?];
    if (failed !== 0) throw new SecureElementError("service", `the device's agent refuses: ${message}`, value);
    return value;
  };
  return {
    status: async () => {
      const [deviceId, keyEpoch, bootEpoch] = (await ask("status")) as [Hex, number, number];
      return { deviceId, keyEpoch, bootEpoch };
    },
    evidence: async (which) => decodeEvidence((await ask("evidence", which)) as Uint8Array),
    answer: async (challenge, which) =>
      decodeAnswer((await ask("answer", encodeChallenge(challenge), which)) as Uint8Array),
    prepareRotation: async () => void (await ask("prepareRotation")),
    signDigest: async (digest, which) => Uint8Array.from((await ask("signDigest", digest, which)) as Uint8Array),
    rotate: async () => void (await ask("rotate")),
    close: () => socket.destroy(),
  };
}
