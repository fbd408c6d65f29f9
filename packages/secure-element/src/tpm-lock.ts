import { createHash } from "node:crypto";
import { realpath } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { SecureElementError } from "./errors.ts";
import { parseTpmAddress } from "./tpm/transport.ts";

export interface TpmLock {
  release(): Promise<void>;
}

/**
 * Takes a TPM for this process alone: two that interleave would flush each other's keys and sessions. The lock is a socket
 * in Linux's abstract name space, so it goes with the process, however that ends.
 */
export async function lockTpm(address: string): Promise<TpmLock> {
  const parsed = parseTpmAddress(address);
  const where =
    parsed.kind === "tcp" ? `${parsed.host}:${parsed.port}` : await realpath(parsed.path).catch(() => parsed.path);
  const name = `\0msec-tpm-${createHash("sha256").update(where).digest("hex").slice(0, 32)}`;
  const server = createServer((socket) => socket.destroy());
  await listen(server, name).catch((cause: unknown) => {
    throw new SecureElementError(
      "tpm-in-use",
      `another process owns the TPM at ${address}: end it, or ask it through its service`,
      address,
      cause,
    );
  });
  server.unref();
  return { release: () => new Promise((resolve) => void server.close(() => resolve())) };
}

const listen = (server: Server, path: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ path }, () => resolve());
  });
