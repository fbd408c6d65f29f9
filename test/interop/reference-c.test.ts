import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkHeader,
  checkSignature,
  decodeCose,
  decodeMessage,
  derive,
  fromHex,
  type Hex,
  keyHash,
  leafNode,
  openPack,
  preparePack,
  rootNode,
  type StreamPreimage,
  streamId,
  type TreeNode,
  ZERO32,
} from "@msec/core";
import { afterAll, describe, expect, test } from "vitest";
import { manufacture, missingSwtpm } from "../../packages/secure-element/src/swtpm.ts";
import { missingTools, startShared } from "../support/tpm2-tools.ts";

const sources = new URL("../../device-firmware/reference-c/", import.meta.url).pathname;
const compiles =
  spawnSync("sh", ["-c", "cc --version && make --version && pkg-config --exists libsodium tss2-esys tss2-tctildr"])
    .status === 0;
const missing =
  missingSwtpm() ??
  missingTools ??
  (compiles ? undefined : "build-essential, pkg-config, libsodium-dev or libtss2-dev is not installed");
if (missing) console.log(`skipped: the C reference against a TPM: ${missing}`);

const TIME_MS = 1_740_000_000_000;
const HANDLE = "81000042";

describe.skipIf(missing !== undefined)("a device without Node, with a TPM", () => {
  const root = mkdtempSync(join(tmpdir(), "msec-reference-"));
  afterAll(() => rmSync(root, { recursive: true, force: true }));

  test("the verifier judges its packs as the agent's: signature, key, contents; and the TPM's s is made low", async () => {
    execFileSync("make", ["-C", sources, `BUILD=${join(root, "build")}`], { stdio: "ignore" });
    await manufacture(join(root, "tpm"), join(root, "maker"));
    const tpm = await startShared(join(root, "tpm"), root);
    try {
      await tpm.run("tpm2_createprimary", "-C", "o", "-c", "srk.ctx");
      await tpm.run(
        ...(["tpm2_create", "-C", "srk.ctx", "-G", "ecc256", "-u", "key.pub", "-r", "key.priv"] as const),
        ...["-a", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"],
      );
      await tpm.run("tpm2_flushcontext", "-t");
      await tpm.run("tpm2_load", "-C", "srk.ctx", "-u", "key.pub", "-r", "key.priv", "-c", "key.ctx");
      await tpm.run("tpm2_evictcontrol", "-C", "o", "-c", "key.ctx", `0x${HANDLE}`);
      await tpm.run("tpm2_flushcontext", "-t");
      await tpm.run("tpm2_readpublic", "-c", `0x${HANDLE}`, "-f", "der", "-o", "key.der");
      const spki = new Uint8Array(readFileSync(join(root, "key.der")));
      const stream: StreamPreimage = {
        deviceId: `0x${"11".repeat(32)}`,
        ownerEpoch: 1,
        name: "lamp post 7",
        schema: {
          quantities: [{ name: "T", unit: "Cel", text: "air" }],
          retainDays: 30,
          padCount: 0,
          padBytes: 0,
        },
        slotSeconds: 60,
        mode: 0,
        salt: `0x${"22".repeat(32)}`,
      };
      const seed = fromHex(`0x${"33".repeat(32)}`);
      const slot = TIME_MS / 60_000;
      // A device keeps nodes that cover what is ahead, not the seed.
      const kept = derive([rootNode(seed)], [{ depth: 20, firstSlot: slot - (slot % 2 ** 12) }])[0] as TreeNode;
      const leaf = leafNode([rootNode(seed)], slot);
      const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
      const pack = (seq: number, previous: Hex, value: string) =>
        spawnSync(join(root, "build/msec-pack"), ["--tpm", tpm.address, HANDLE], {
          encoding: "utf8",
          input: [
            `stream ${streamId(stream)}`,
            "mode 0",
            "slot-seconds 60",
            "quantity T Cel",
            "key-epoch 1",
            "boot-epoch 4",
            `seq ${seq}`,
            `previous ${previous}`,
            `node ${kept.depth} ${kept.firstSlot} ${hex(kept.key)}`,
            `reading ${TIME_MS + seq} T Cel number ${value}`,
            "",
          ].join("\n"),
        });
      let previous: Hex = ZERO32;
      // An even and an odd s come about equally often: among twelve signatures both do.
      for (let seq = 1; seq <= 12; seq++) {
        const { status, stdout, stderr } = pack(seq, previous, `${seq}.25`);
        expect(stderr).toBe("");
        expect(status).toBe(0);
        const { cose, content } = decodeMessage(new Uint8Array(Buffer.from(stdout.split(" ")[1] as string, "hex")));
        const signed = decodeCose(cose);
        expect(signed.keyHash).toBe(keyHash(spki));
        checkSignature(signed, spki);
        checkHeader(stream, signed.header, content.length);
        expect(signed.header.previous).toBe(previous);
        const { packSalt, readings } = openPack(stream, signed.header, leaf, content);
        expect(readings).toEqual([{ n: "T", u: "Cel", v: seq + 0.25, tMs: TIME_MS + seq }]);
        // the agent's own code makes the very same bytes of these inputs
        const same = preparePack({
          ...{ stream, leaf, keyEpoch: 1, bootEpoch: 4, seq, flags: 0, previous, readings, packSalt },
          ...{ nonce: content.slice(0, 12), keyHash: keyHash(spki) },
        });
        expect(hex(same.toBeSigned)).toBe(hex(signed.toBeSigned));
        expect(hex(same.content)).toBe(hex(content));
        previous = signed.headerDigest;
      }
      const none = spawnSync(join(root, "build/msec-pack"), ["--tpm", tpm.address, "81000099"], {
        encoding: "utf8",
        input: `stream ${ZERO32}\nnode 0 0 ${ZERO32}\n`,
      });
      expect(none.status).toBe(1);
      expect(none.stderr).toMatch(/^msec-pack: .*handle/);
      expect(none.stdout).toBe("");
    } finally {
      await tpm.stop();
    }
  });
});
