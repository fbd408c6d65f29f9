import { connect, createServer, type Socket } from "node:net";
import { rm } from "node:fs/promises";

/** When the connection is cut: before the TPM gets a command, or after it has run it and before its answer arrives. */
export type Cut = { at: number; when: "before" | "after" };

/** Stands between a program and a TPM, counts commands, and cuts the line for good at one of them. */
export interface CutLine {
  address: string;
  commands(): number;
  /** Counts anew from here. */
  cutAt(cut: Cut | undefined): void;
  close(): Promise<void>;
}

/** `tpm` as `swtpm:path=SOCKET`; the line listens at `path`. */
export async function cutLine(tpm: string, path: string): Promise<CutLine> {
  let count = 0;
  let cut: Cut | undefined;
  let dead = false;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    if (dead) return void client.destroy();
    const upstream = connect({ path: tpm.slice("swtpm:path=".length) });
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    const end = () => {
      dead = true;
      for (const socket of sockets) socket.destroy();
    };
    let afterThis = false;
    // A client has one command on its way, which comes in one piece.
    client.on("data", (command: Buffer) => {
      count++;
      if (cut?.at === count && cut.when === "before") return end();
      afterThis = cut?.at === count;
      upstream.write(command);
    });
    upstream.on("data", (answer: Buffer) => (afterThis ? end() : client.write(answer)));
  });
  await rm(path, { force: true });
  await new Promise<void>((resolve) => server.listen({ path }, resolve));
  return {
    address: `swtpm:path=${path}`,
    commands: () => count,
    cutAt: (wanted) => {
      [count, cut, dead] = [0, wanted, false];
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
