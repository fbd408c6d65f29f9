import { createHash } from "node:crypto";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NetworkFolder } from "./network.ts";

/** Where a node's operator alone may ask it anything. Short, since a socket's path may have 108 bytes at most. */
export function ipcPath(folder: NetworkFolder, name: string): string {
  const id = createHash("sha256").update(folder.node(name)).digest("hex").slice(0, 16);
  return join(tmpdir(), `msec-${id}.ipc`);
}

/** Asks a node as its operator. Throws what it answers as an error, and when it does not answer within `timeoutMs`. */
export function askAsOperator<T>(
  folder: NetworkFolder,
  name: string,
  method: string,
  params: unknown[] = [],
  timeoutMs = 5000,
): Promise<T> {
  return new Promise((resolve, reject) => {
    const socket = connect(ipcPath(folder, name));
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`${name} does not answer ${method}`)));
    let text = "";
    socket.on("connect", () => socket.write(`${JSON.stringify({ jsonrpc: "2.0", id: 1, method, params })}\n`));
    socket.on("data", (part) => {
      text += part.toString();
      if (!text.endsWith("\n")) return;
      socket.end();
      const answer = JSON.parse(text) as { result?: T; error?: { message: string } };
      if (answer.error) reject(new Error(`${name}: ${answer.error.message}`));
      else resolve(answer.result as T);
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error(`${name} closed the connection`)));
  });
}

/** The validators of the newest block, as this node knows them. */
export const validatorsOf = async (folder: NetworkFolder, name: string): Promise<string[]> =>
  (await askAsOperator<string[]>(folder, name, "istanbul_getValidators", ["latest"])).map((a) => a.toLowerCase());
