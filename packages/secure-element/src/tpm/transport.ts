import { type FileHandle, open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { TpmError } from "./errors.ts";

/** A raw stream to a TPM: one command out, one response back. Never more than one on its way. */
export interface Transport {
  /** Sends a whole command and resolves to the whole response. `timeoutMs` ends the connection. */
  transmit(command: Uint8Array, timeoutMs: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

export type TpmAddress =
  | { kind: "device"; path: string }
  | { kind: "tcp"; host: string; port: number }
  | { kind: "unix"; path: string };

const FORMS = "device:/dev/tpmrm0, swtpm:path=/run/swtpm/socket or swtpm:host=127.0.0.1,port=2321";
const HEADER = 10;
const MAX_RESPONSE = 65_536;
const CONNECT_MS = 5_000;

/** Reads a connection string: `device:PATH`, `swtpm:path=PATH`, `swtpm:host=HOST,port=PORT`. */
export function parseTpmAddress(text: string): TpmAddress {
  const refuse = () => new TpmError("malformed", `a TPM is named as ${FORMS}`, text);
  const [kind, rest] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
  if (kind === "device" && rest.startsWith("/")) return { kind: "device", path: rest };
  if (kind !== "swtpm") throw refuse();
  const fields = new Map(rest.split(",").map((part) => [part.split("=", 1)[0], part.slice(part.indexOf("=") + 1)]));
  const [path, host, port] = [fields.get("path"), fields.get("host"), Number(fields.get("port"))];
  if (fields.size === 1 && path?.startsWith("/")) return { kind: "unix", path };
  if (fields.size === 2 && host && Number.isInteger(port) && port > 0 && port < 65_536)
    return { kind: "tcp", host, port };
  throw refuse();
}

export async function connectTpm(address: string): Promise<Transport> {
  const parsed = parseTpmAddress(address);
  return parsed.kind === "device" ? openDevice(parsed.path) : openSocket(parsed, address);
}

async function openDevice(path: string): Promise<Transport> {
  let file: FileHandle;
  try {
    file = await open(path, "r+");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EBUSY")
      throw new TpmError("busy", `another program has ${path} open: end it`, path, { cause: error });
    const hint =
      code === "EACCES"
        ? "add this user to the group tss"
        : "is there a TPM, and is it enabled in the firmware's settings?";
    throw new TpmError("unreachable", `can't open ${path} (${code}): ${hint}`, path, { cause: error });
  }
  const response = new Uint8Array(MAX_RESPONSE);
  return {
    async transmit(command, timeoutMs) {
      try {
        await file.write(command, 0, command.length, null);
        const read = file.read(response, 0, response.length, null);
        const { bytesRead } = await within(read, timeoutMs, path);
        return response.slice(0, bytesRead);
      } catch (error) {
        if (error instanceof TpmError) throw error;
        throw new TpmError("closed", `${path} failed: ${(error as Error).message}`, path, { cause: error });
      }
    },
    close: () => file.close(),
  };
}

async function within<T>(work: Promise<T>, timeoutMs: number, where: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timeout(where, timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const timeout = (where: string, ms: number) =>
  new TpmError(
    "timeout",
    `the TPM at ${where} did not answer within ${ms / 1000} s: does another program hold it?`,
    ms,
  );

async function openSocket(address: Exclude<TpmAddress, { kind: "device" }>, where: string): Promise<Transport> {
  const socket = await connected(address, where);
  let waiting: { resolve: (response: Uint8Array) => void; reject: (error: TpmError) => void } | undefined;
  let chunks: Uint8Array[] = [];
  let have = 0;
  let ended: TpmError | undefined;
  const end = (error: TpmError) => {
    ended ??= error;
    socket.destroy();
    waiting?.reject(ended);
    waiting = undefined;
  };
  socket.on("data", (chunk: Buffer) => {
    if (!waiting) return end(new TpmError("malformed", `the TPM at ${where} spoke without being asked`, where));
    chunks.push(chunk);
    have += chunk.length;
    if (have < HEADER) return;
    const all = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    const size = all.readUInt32BE(2);
    if (size < HEADER || size > MAX_RESPONSE || have > size)
      return end(new TpmError("malformed", `what answers at ${where} is not a TPM`, size));
    if (have < size) {
      chunks = [all];
      return;
    }
    const { resolve } = waiting;
    [waiting, chunks, have] = [undefined, [], 0];
    resolve(new Uint8Array(all));
  });
  socket.on("error", (error) => end(new TpmError("closed", `${where}: ${error.message}`, where, { cause: error })));
  socket.on("close", () => end(new TpmError("closed", `the TPM at ${where} closed the connection: is it running?`)));
  return {
    transmit(command, timeoutMs) {
      return new Promise((resolve, reject) => {
        if (ended) return reject(ended);
        const timer = setTimeout(() => end(timeout(where, timeoutMs)), timeoutMs);
        waiting = {
          resolve: (response) => {
            clearTimeout(timer);
            resolve(response);
          },
          reject: (error) => {
            clearTimeout(timer);
            reject(error);
          },
        };
        socket.write(command);
      });
    },
    close: async () => {
      ended ??= new TpmError("closed", `the connection to the TPM at ${where} was closed`, where);
      if (socket.destroyed) return;
      await new Promise((resolve) => {
        socket.once("close", resolve);
        socket.destroy();
      });
    },
  };
}

function connected(address: Exclude<TpmAddress, { kind: "device" }>, where: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port, noDelay: true },
    );
    const refuse = (cause?: Error) => {
      socket.destroy();
      reject(
        new TpmError("unreachable", `no TPM answers at ${where}: start swtpm, or correct the address`, where, {
          cause,
        }),
      );
    };
    const timer = setTimeout(refuse, CONNECT_MS);
    socket.once("error", (error) => {
      clearTimeout(timer);
      refuse(error);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}
