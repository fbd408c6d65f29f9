import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Connection } from "./connection.ts";
import { CC } from "./constants.ts";

// What answers here is no TPM: it says what a test wants it to say, byte by byte.

let folder: string;
let server: Server;
let address: string;
let commands: Buffer[];
let answer: (socket: Socket, nth: number) => void;

const response = (rc: number, params: Uint8Array = new Uint8Array()) => {
  const head = Buffer.alloc(10);
  head.writeUInt16BE(0x8001, 0);
  head.writeUInt32BE(10 + params.length, 2);
  head.writeUInt32BE(rc, 6);
  return Buffer.concat([head, params]);
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "msec-connection-"));
  commands = [];
  server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (command) => {
      commands.push(command as Buffer);
      // The first one only asks whether somebody is there.
      if (commands.length === 1) socket.write(response(0));
      else answer(socket, commands.length - 1);
    });
  });
  const path = join(folder, "tpm");
  await new Promise<void>((resolve) => server.listen(path, resolve));
  address = `swtpm:path=${path}`;
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(folder, { recursive: true, force: true });
});

async function asked(): Promise<Uint8Array> {
  const connection = await Connection.open(address);
  try {
    return (await connection.execute(CC.ReadClock, {}, 1_000)).params;
  } finally {
    await connection.close();
  }
}

test.each([
  [0x922, "RETRY"],
  [0x908, "YIELDED"],
  [0x90a, "TESTING"],
  [0x920, "NV_RATE"],
])("a TPM that answers %i (%s) is asked again with the same command, until it does it", async (rc) => {
  answer = (socket, nth) => socket.write(nth < 4 ? response(rc) : response(0, Uint8Array.of(7)));
  expect(await asked()).toEqual(Uint8Array.of(7));
  expect(commands).toHaveLength(5);
  for (const command of commands.slice(2)) expect(command).toEqual(commands[1]);
});

test("any other refusal is told at once", async () => {
  answer = (socket) => socket.write(response(0x101));
  await expect(asked()).rejects.toMatchObject({ code: "failure", rc: 0x101 });
  expect(commands).toHaveLength(2);
});

test("an answer in pieces is one answer", async () => {
  answer = (socket) => {
    const whole = response(0, Uint8Array.of(1, 2, 3));
    socket.write(whole.subarray(0, 4));
    setTimeout(() => socket.write(whole.subarray(4, 11)), 10);
    setTimeout(() => socket.write(whole.subarray(11)), 20);
  };
  expect(await asked()).toEqual(Uint8Array.of(1, 2, 3));
});

test("what is no TPM, says too much, nothing, or hangs up is told apart", async () => {
  answer = (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n");
  await expect(asked()).rejects.toMatchObject({ code: "malformed" });
  commands = [];
  answer = (socket) => socket.write(Buffer.concat([response(0), Uint8Array.of(1)]));
  await expect(asked()).rejects.toMatchObject({ code: "malformed" });
  commands = [];
  answer = () => undefined;
  await expect(asked()).rejects.toMatchObject({ code: "timeout", message: /does another program hold it/ });
  commands = [];
  answer = (socket) => socket.destroy();
  await expect(asked()).rejects.toMatchObject({ code: "closed", message: /is it running/ });
});
