import { execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ContentStore, openContents } from "@msec/content-store";
import { type Hex, sha256, toHex } from "@msec/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

// A Kubo node of one's own, as IPFS_API_URL names it. No registry carries its binary: KUBO_BIN or the PATH has it.

const bin = process.env.KUBO_BIN ?? "ipfs";
let version: string | undefined;
try {
  version = execFileSync(bin, ["version", "--number"], { encoding: "utf8" }).trim();
} catch {
  console.log("skipped: no Kubo is installed (set KUBO_BIN to its binary `ipfs`)");
}

describe.skipIf(!version)(`Kubo ${version ?? ""}`, () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-kubo-"));
  const env = { ...process.env, IPFS_PATH: folder };
  let kubo: ContentStore;
  let helia: ContentStore;
  let url = "";
  let stop: () => Promise<void> = async () => undefined;
  const failed = (error: Error) => {
    throw error;
  };
  const none = async () => undefined;

  beforeAll(async () => {
    execFileSync(bin, ["init", "--profile=test"], { env, stdio: "ignore" });
    const child = spawn(bin, ["daemon"], { env, stdio: ["ignore", "pipe", "inherit"] });
    const ended = new Promise<void>((resolve) => child.on("exit", () => resolve()));
    stop = async () => {
      child.kill("SIGINT");
      await ended;
    };
    url = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout.on("data", (part) => {
        text += String(part);
        const api = /RPC API server listening on \/ip4\/127\.0\.0\.1\/tcp\/(\d+)/.exec(text);
        if (api && text.includes("Daemon is ready")) resolve(`http://127.0.0.1:${api[1]}`);
      });
      child.on("exit", () => reject(new Error(`Kubo ended: ${text}`)));
    });
    kubo = openContents({ kuboUrl: url, host: "127.0.0.1", port: 0, read: none }, failed);
  });

  afterAll(async () => {
    await kubo?.stop();
    await helia?.stop();
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const made = () => {
    const bytes = new Uint8Array(randomBytes(48 * 1024));
    return { bytes, digest: toHex(sha256(bytes)) };
  };

  test("a content provided twice is held under the CID of its digest, until it is removed", async () => {
    const content = made();
    await kubo.provide([content]);
    await kubo.provide([content]);
    expect(await kubo.fetch(content.digest, 2000)).toEqual(content.bytes);
    await kubo.remove([content.digest]);
    expect(await kubo.fetch(content.digest, 500)).toBeUndefined();
    await kubo.remove([content.digest]);
  });

  test("it exchanges contents with an operator that runs Helia, both ways", async () => {
    const held = new Map<Hex, Uint8Array>();
    helia = openContents({ host: "127.0.0.1", port: 0, read: async (digest) => held.get(digest) }, failed);
    const theirs = made();
    const ours = made();
    held.set(ours.digest, ours.bytes);
    await kubo.provide([theirs]);
    await helia.dial(kubo.addresses()[0] as string);
    expect(await helia.fetch(theirs.digest, 10_000)).toEqual(theirs.bytes);
    expect(await kubo.fetch(ours.digest, 10_000)).toEqual(ours.bytes);
    await kubo.dial(helia.addresses()[0] as string);
  });

  test("an API that nobody answers at is said with what to do", async () => {
    const away = openContents(
      { kuboUrl: "http://127.0.0.1:9", host: "127.0.0.1", port: 0, read: none },
      () => undefined,
    );
    await expect(away.provide([])).rejects.toThrow(/start Kubo or unset IPFS_API_URL/);
  });
});
