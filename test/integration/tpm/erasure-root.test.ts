import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, ErasureKeys, FileRoot, Frontiers, startPostgres, TpmRoot } from "@msec/companion-db";
import { derive, type Hex, rootNode } from "@msec/core";
import { manufacture, missingSwtpm, startSwtpm, type Swtpm } from "@msec/secure-element/swtpm";
import { ALG, NV, RH, SE, SRK, Tpm } from "@msec/secure-element/tpm";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type CutLine, cutLine } from "../../support/tpm-cut.ts";

// The root of an operator's erasure keys in the NV memory of a TPM: replaced, never readable again, never set back.

const missing = missingSwtpm();
if (missing) console.log(`skipped: ${missing}`);

const A: Hex = `0x${"aa".repeat(32)}`;
const B: Hex = `0x${"bb".repeat(32)}`;

describe.skipIf(missing !== undefined)("the root of the erasure keys in a TPM", () => {
  let folder: string;
  let swtpm: Swtpm;
  let files: string;
  let runs = 0;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "msec-root-"));
    await manufacture(join(folder, "tpm"), join(folder, "maker"));
    swtpm = await startSwtpm(join(folder, "tpm"));
  });
  afterAll(async () => {
    await swtpm.cut();
    rmSync(folder, { recursive: true, force: true });
  });
  beforeEach(() => {
    files = join(folder, `run-${runs++}`);
    mkdirSync(files);
  });

  const at = (name: string) => join(files, name);
  const rootAt = (address = swtpm.address) => new TpmRoot(address, at("erasure.tpm"));
  const open = (address?: string) => ErasureKeys.open(at("erasure.keys"), rootAt(address));
  const replace = (keys: ErasureKeys, id: Hex) => {
    keys.stage(id);
    keys.promote(id);
  };
  const place = () =>
    JSON.parse(readFileSync(at("erasure.tpm"), "utf8")) as { root: number; counter: number; auth: string };
  /** What the index holds: generation ‖ root ‖ next root. */
  const held = async () => {
    const { root, counter, auth } = place();
    const tpm = await Tpm.open(swtpm.address);
    try {
      const read = async (index: number) =>
        Buffer.from(await tpm.nvRead(await tpm.nvReadPublic(index, Buffer.from(auth, "base64"))));
      const bytes = await read(root);
      return { bytes, generation: bytes.readBigUInt64BE(), count: (await read(counter)).readBigUInt64BE() };
    } finally {
      await tpm.close();
    }
  };

  test("keys are kept over restarts of process and TPM; the root is not on the disk", async () => {
    const { key } = (await open()).stage(A);
    expect((await open()).get(A)).toEqual({ key, generation: 1 });
    await swtpm.stop();
    swtpm = await startSwtpm(join(folder, "tpm"));
    expect((await open()).get(A)).toEqual({ key, generation: 1 });
    const root = (await held()).bytes.subarray(8, 40);
    for (const name of ["erasure.keys", "erasure.tpm"]) expect(readFileSync(at(name)).includes(root)).toBe(false);
    expect(existsSync(at("erasure.root"))).toBe(false);
  });

  test("a replaced root is counted, and gone from the TPM's own memory", async () => {
    const keys = await open();
    keys.stage(A);
    const before = await held();
    const root = before.bytes.subarray(8, 40);
    const memory = () => readFileSync(join(folder, "tpm", "tpm2-00.permall"));
    expect(memory().includes(root), "the control: it is there while it is in force").toBe(true);
    expect(await keys.rotateRoot(), "nothing was replaced, so there is nothing to destroy").toBe(true);
    expect((await held()).bytes).toEqual(before.bytes);
    replace(keys, A);
    expect(await keys.rotateRoot()).toBe(true);
    const after = await held();
    expect([after.generation, after.count]).toEqual([before.generation + 1n, before.count + 1n]);
    expect(after.bytes.includes(root)).toBe(false);
    expect(after.bytes.subarray(40)).toEqual(Buffer.alloc(32));
    expect(memory().includes(root)).toBe(false);
    const { generation } = (await open()).get(A)!;
    expect(generation).toBe(2);
  });

  test("a chip's memory is spared: a second root within ten minutes waits, and says so", async () => {
    const { restMs } = new TpmRoot("device:/dev/tpmrm0", at("erasure.tpm"));
    expect([restMs, rootAt().restMs]).toEqual([600_000, 0]);
    const root = rootAt();
    Object.defineProperty(root, "restMs", { value: restMs });
    const keys = await ErasureKeys.open(at("erasure.keys"), root);
    keys.stage(A);
    replace(keys, A);
    expect(await keys.rotateRoot()).toBe(true);
    replace(keys, A);
    const before = await held();
    expect(await keys.rotateRoot()).toBe(false);
    expect(await held()).toEqual(before);
    expect((await open()).get(A)?.generation).toBe(3);
  });

  test("nobody reads it without the value in erasure.tpm, not even the owner of the TPM", async () => {
    (await open()).stage(A);
    const tpm = await Tpm.open(swtpm.address);
    const index = await tpm.nvReadPublic(place().root);
    await expect(tpm.nvRead(index)).rejects.toMatchObject({ code: "auth" });
    await tpm.close();
  });

  test("a TPM whose slots are full of a dead process's keys and sessions is freed", async () => {
    const { key } = (await open()).stage(A);
    for (const fill of [(tpm: Tpm) => tpm.createPrimary(RH.OWNER, SRK), (tpm: Tpm) => tpm.startSession(SE.HMAC)]) {
      const tpm = await Tpm.open(swtpm.address);
      for (let i = 0; i < 3; i++) await fill(tpm);
      await expect(fill(tpm)).rejects.toMatchObject({ code: "memory" });
      await tpm.close();
      expect((await open()).get(A)?.key).toEqual(key);
    }
  });

  test("an old copy of the file is refused by its number, with what to do; the newest one opens", async () => {
    const keys = await open();
    keys.stage(A);
    copyFileSync(at("erasure.keys"), at("old"));
    replace(keys, A);
    const now = keys.get(A);
    await keys.rotateRoot();
    copyFileSync(at("erasure.keys"), at("new"));
    copyFileSync(at("old"), at("erasure.keys"));
    const { count } = await held();
    await expect(open()).rejects.toThrow(
      new RegExp(
        `is an old copy: it is sealed under root key ${count - 1n}, which .* replaced by number ${count}; put the`,
      ),
    );
    copyFileSync(at("new"), at("erasure.keys"));
    expect((await open()).get(A)).toEqual(now);
  });

  test("an old root written back into the TPM with the old file is refused by the counter", async () => {
    const keys = await open();
    keys.stage(A);
    copyFileSync(at("erasure.keys"), at("old"));
    const { bytes } = await held();
    replace(keys, A);
    await keys.rotateRoot();
    copyFileSync(at("old"), at("erasure.keys"));
    const tpm = await Tpm.open(swtpm.address);
    const { root, counter, auth } = place();
    const value = Buffer.from(auth, "base64");
    await tpm.nvWrite(await tpm.nvReadPublic(root, value), bytes);
    await tpm.close();
    await expect(open()).rejects.toThrow(/written by another program or set back/);

    // Nor by making the counter anew: a TPM goes on where the highest one was.
    const again = await Tpm.open(swtpm.address);
    await again.nvUndefine(await again.nvReadPublic(counter, value));
    const attributes = NV.AUTHREAD | NV.AUTHWRITE | NV.NO_DA | NV.COUNTER;
    const area = { index: counter, nameAlg: ALG.SHA256, attributes, policy: new Uint8Array(), size: 8 };
    const fresh = await again.nvDefine(area, value);
    await again.nvIncrement(fresh);
    await again.close();
    await expect(open()).rejects.toThrow(/written by another program or set back/);
  });

  test("another TPM, a lost or damaged erasure.tpm: each says what to do and makes nothing new", async () => {
    (await open()).stage(A);
    const other = join(folder, "other");
    await manufacture(other, join(folder, "maker"));
    const second = await startSwtpm(other);
    try {
      await expect(open(second.address)).rejects.toThrow(/another TPM or was cleared/);
    } finally {
      await second.cut();
    }
    const text = readFileSync(at("erasure.tpm"));
    writeFileSync(at("erasure.tpm"), text.subarray(0, 40));
    await expect(open()).rejects.toThrow(/erasure\.tpm is damaged: restore it/);
    rmSync(at("erasure.tpm"));
    await expect(open()).rejects.toThrow(/erasure\.tpm is missing/);
    expect(existsSync(at("erasure.tpm"))).toBe(false);
    writeFileSync(at("erasure.tpm"), text);
    expect((await open()).get(A)?.generation).toBe(1);
  });

  test("a file that was sealed under a root in a file moves into the TPM, and the file of the root goes", async () => {
    const file = new FileRoot(at("erasure.root"));
    const keys = await ErasureKeys.open(at("erasure.keys"), file);
    const a = keys.stage(A);
    keys.stage(B);
    const b = keys.stage(B);
    const old = readFileSync(at("erasure.root")).subarray(0, 32);
    const moved = await ErasureKeys.open(at("erasure.keys"), rootAt(), file);
    expect(moved.get(A)).toEqual(a);
    moved.promote(B);
    expect((await open()).get(B)).toEqual(b);
    expect(existsSync(at("erasure.root"))).toBe(false);
    expect((await held()).bytes.includes(old)).toBe(false);
    await expect(ErasureKeys.open(at("erasure.keys"), file)).rejects.toThrow(/erasure\.root is missing/);
  });

  describe("cut off at every command to the TPM, before it or before its answer", () => {
    let line: CutLine;
    beforeAll(async () => {
      line = await cutLine(swtpm.address, join(folder, "line"));
    });
    afterAll(() => line.close());

    /** Makes room for the next run's indexes. */
    const undefine = async () => {
      const tpm = await Tpm.open(swtpm.address);
      for (const index of [place().root, place().counter])
        await tpm.nvUndefine(await tpm.nvReadPublic(index, Buffer.from(place().auth, "base64")));
      await tpm.close();
    };

    /** Runs `work` once whole, to count its commands, then once for each cut, each on files of its own. */
    const everywhere = async (
      prepare: () => Promise<void>,
      work: () => Promise<unknown>,
      check: () => Promise<void>,
    ) => {
      const start = async () => {
        files = join(folder, `run-${runs++}`);
        mkdirSync(files);
        await prepare();
      };
      await start();
      line.cutAt(undefined);
      await work();
      const commands = line.commands();
      expect(commands).toBeGreaterThan(10);
      await check();
      for (let n = 1; n <= commands; n++)
        for (const when of ["before", "after"] as const) {
          await start();
          line.cutAt({ at: n, when });
          // The last commands only tidy up: what was wanted is done.
          await work().catch(() => undefined);
          await check();
        }
      return commands;
    };

    test("the first start ends in one root that works", async () => {
      const commands = await everywhere(
        async () => undefined,
        () => open(line.address),
        async () => {
          const { key } = (await open()).stage(A);
          expect((await open()).get(A)?.key).toEqual(key);
          await undefine();
        },
      );
      console.log(`first start: cut at each of ${commands} commands`);
    });

    test("the move of a root from a file loses no key, and the file goes", async () => {
      const file = () => new FileRoot(at("erasure.root"));
      let kept: ReturnType<ErasureKeys["get"]>;
      const commands = await everywhere(
        async () => {
          line.cutAt(undefined);
          kept = (await ErasureKeys.open(at("erasure.keys"), file())).stage(A);
        },
        () => ErasureKeys.open(at("erasure.keys"), rootAt(line.address), file()),
        async () => {
          expect((await ErasureKeys.open(at("erasure.keys"), rootAt(), file())).get(A)).toEqual(kept);
          expect(existsSync(at("erasure.root"))).toBe(false);
          expect((await open()).get(A)).toEqual(kept);
          await undefine();
        },
      );
      console.log(`moving the root: cut at each of ${commands} commands`);
    });

    test("replacing the root loses no key, and old copies stay refused", async () => {
      let current: ReturnType<ErasureKeys["get"]>;
      let staged: ReturnType<ErasureKeys["stage"]>;
      let keys: ErasureKeys;
      const commands = await everywhere(
        async () => {
          line.cutAt(undefined);
          keys = await open(line.address);
          keys.stage(A);
          replace(keys, A);
          current = keys.get(A);
          keys.stage(B);
          staged = keys.stage(B);
          copyFileSync(at("erasure.keys"), at("old"));
        },
        () => keys.rotateRoot(),
        async () => {
          const first = await open();
          expect(first.get(A)).toEqual(current);
          await first.rotateRoot();
          const again = await open();
          expect(again.get(A)).toEqual(current);
          again.promote(B);
          expect(again.get(B)).toEqual(staged);
          const { bytes, generation, count } = await held();
          expect([generation, bytes.subarray(40)]).toEqual([count, Buffer.alloc(32)]);
          copyFileSync(at("old"), at("erasure.keys"));
          await expect(open()).rejects.toThrow(/is an old copy/);
          await undefine();
        },
      );
      console.log(`replacing the root: cut at each of ${commands} commands`);
    });

    test("the same process goes on after a cut: the next attempt ends what was begun", async () => {
      line.cutAt(undefined);
      const keys = await open(line.address);
      keys.stage(A);
      replace(keys, A);
      line.cutAt(undefined);
      await keys.rotateRoot();
      const commands = line.commands();
      const busy = await open(line.address);
      for (let n = 1; n <= commands; n++) {
        replace(busy, A);
        line.cutAt({ at: n, when: "after" });
        await busy.rotateRoot().catch(() => undefined);
        busy.stage(A);
        line.cutAt(undefined);
        expect(await busy.rotateRoot()).toBe(true);
        const { generation, count } = await held();
        expect(generation).toBe(count);
        busy.promote(A);
        expect((await open()).get(A)).toEqual(busy.get(A));
      }
    });
  });

  test("an erased slot does not open from any old copy: database, files and TPM as they were before", async () => {
    const server = await startPostgres(join(files, "postgres"));
    try {
      const db = connect(await server.database("operator"));
      const keys = await open();
      const frontiers = await Frontiers.open(db, keys);
      await frontiers.keep(A, [rootNode(new Uint8Array(32).fill(7))]);
      const { rows: before } = await db.query("select * from frontiers");
      mkdirSync(at("copy"));
      for (const name of ["erasure.keys", "erasure.tpm"]) cpSync(at(name), at(`copy/${name}`));
      await frontiers.puncture(A, 5, 5);
      expect(await keys.rotateRoot()).toBe(true);

      const row = before[0] as { generation: string; wrapped: Buffer };
      await db.query("update frontiers set generation = $1, wrapped = $2", [row.generation, row.wrapped]);
      for (const name of ["erasure.keys", "erasure.tpm"]) cpSync(at(name), at(`new.${name}`));
      for (const name of ["erasure.keys", "erasure.tpm"]) cpSync(at(`copy/${name}`), at(name));
      await expect(open()).rejects.toThrow(/is an old copy/);
      for (const name of ["erasure.keys", "erasure.tpm"]) cpSync(at(`new.${name}`), at(name));
      const today = await Frontiers.open(db, await open());
      await expect(today.get(A)).rejects.toThrow(/erasure key that is gone/);
      const left = (await frontiers.get(A))!;
      expect(() => derive(left, [{ depth: 32, firstSlot: 5 }])).toThrow(/not held/);
      await db.end();
    } finally {
      await server.stop();
    }
  });
});
