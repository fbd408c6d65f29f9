import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  connectChain,
  embedded,
  type EmbeddedChain,
  endpoint,
  Receipts,
  Sender,
  signPrivate,
  startChain,
} from "@msec/chain";
import { addressOfKey, fromHex, type Hex, toHex } from "@msec/core";
import { decodeRlp, encodeRlp, getBytes, keccak256, Transaction } from "ethers";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { freePorts } from "../../../test/support/privacy.ts";

const random = (bytes: number): Hex => toHex(new Uint8Array(randomBytes(bytes)));

/** The same bytes with the v of a public transaction: 27 or 28 for 37 or 38. */
function asPublic(raw: Hex): Hex {
  const fields = decodeRlp(raw) as Hex[];
  fields[6] = toHex(getBytes(fields[6] as Hex).map((v) => v - 10));
  return encodeRlp(fields) as Hex;
}

test("a private transaction is a legacy one without chain id, by its account, with the key as data and v 37 or 38", () => {
  const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length }).map(toHex);
  fc.assert(
    fc.property(
      bytes(32).filter((k) => BigInt(k) > 0n && BigInt(k) < 2n ** 255n),
      bytes(64),
      fc.option(bytes(20), { nil: undefined }),
      fc.nat(),
      (privateKey, key, to, nonce) => {
        const { raw, hash } = signPrivate(privateKey, { key, nonce, ...(to && { to }) });
        expect(["0x25", "0x26"]).toContain((decodeRlp(raw) as Hex[])[6]);
        expect(hash).toBe(keccak256(raw));
        const seen = Transaction.from(asPublic(raw));
        expect(seen.from?.toLowerCase()).toBe(addressOfKey(fromHex(privateKey)));
        expect([seen.type, seen.data, seen.nonce, seen.chainId, seen.value, seen.gasPrice]).toEqual([
          0,
          key,
          nonce,
          0n,
          0n,
          0n,
        ]);
        expect(seen.to?.toLowerCase() ?? undefined).toBe(to);
      },
    ),
    { numRuns: 50 },
  );
});

test("anything but a key of 64 bytes is refused: it would be public", () => {
  for (const key of [random(32), random(65), "0x" as Hex])
    expect(() => signPrivate(random(32), { key, nonce: 0 })).toThrow(/64 bytes/);
});

describe("receipts by one subscription", () => {
  const folder = mkdtempSync(join(tmpdir(), "msec-heads-"));
  let chain: EmbeddedChain;
  beforeAll(async () => {
    chain = await startChain(folder, (await freePorts(1))[0] as number);
  });
  afterAll(async () => {
    await chain?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("each transaction's comes with its block, and costs a request a block, not one each 100 ms", async () => {
    const provider = connectChain(embedded(chain.rpc, chain.chainId));
    const sender = new Sender(random(32), provider, chain.chainId);
    const receipts = new Receipts(provider, chain.rpc.replace("http", "ws"), 100);
    try {
      let asked = 0;
      const send = provider.send.bind(provider);
      provider.send = (method, params) => {
        if (method === "eth_getTransactionReceipt") asked++;
        return send(method, params);
      };
      const signed = await Promise.all(
        Array.from({ length: 20 }, (_, nonce) => sender.sign({ to: sender.address, data: "0x" }, nonce)),
      );
      const waiting = signed.map(({ hash }) => receipts.wait(hash));
      for (const { raw } of signed) await sender.broadcast(raw);
      for (const { status } of await Promise.all(waiting)) expect(status).toBe(1);
      const blocks = (await provider.getBlockNumber()) + 1;
      expect(asked).toBeLessThanOrEqual(20 * (blocks + 2));
      // One that is mined already needs no block more.
      expect((await receipts.wait(signed[0]?.hash as Hex)).status).toBe(1);
      await expect(receipts.wait(random(32), 50)).rejects.toThrow(/not in a block after 0.05 s/);
    } finally {
      receipts.close();
      provider.destroy();
    }
  });

  test("whoever waits over a restart of the node gets it, as does who has no socket", async () => {
    const [provider, polling] = [
      connectChain(embedded(chain.rpc, chain.chainId)),
      connectChain(endpoint(chain.rpc, chain.chainId)),
    ];
    const sender = new Sender(random(32), provider, chain.chainId);
    try {
      // The socket is open when the node goes.
      await sender.transact({ to: sender.address, data: "0x" });
      const { hash, raw } = await sender.sign({ to: sender.address, data: "0x01" }, 1);
      const waiting = [sender.wait(hash, raw), polling.mined(hash)];
      await chain.stop();
      chain = await startChain(folder, Number(new URL(chain.rpc).port));
      for (const receipt of await Promise.all(waiting)) expect(receipt.status).toBe(1);
    } finally {
      provider.destroy();
      polling.destroy();
    }
  }, 240_000);

  test("a chain takes the bytes once their v is that of a public transaction", async () => {
    const provider = connectChain(embedded(chain.rpc, chain.chainId));
    try {
      const key = random(64);
      const { raw } = signPrivate(random(32), { to: random(20), key, nonce: 0 });
      const receipt = await provider.waitForTransaction(await provider.send("eth_sendRawTransaction", [asPublic(raw)]));
      expect((await provider.getTransaction(receipt?.hash as string))?.data).toBe(key);
    } finally {
      provider.destroy();
    }
  });
});
