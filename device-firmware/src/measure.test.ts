import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { manifest, measurement } from "./measure.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "msec-measure-"));
  await mkdir(join(root, "agent/src"), { recursive: true });
  await mkdir(join(root, "node_modules/@a/lib/dist"), { recursive: true });
  await mkdir(join(root, "node_modules/deep/node_modules/inner"), { recursive: true });
  const write = (file: string, text: string) => writeFile(join(root, file), text);
  await write("agent/package.json", JSON.stringify({ name: "agent", dependencies: { "@a/lib": "1", deep: "1" } }));
  await write("agent/src/main.ts", "main");
  await write("agent/src/main.test.ts", "a test");
  await write("node_modules/@a/lib/package.json", JSON.stringify({ name: "@a/lib", dependencies: { deep: "1" } }));
  await write("node_modules/@a/lib/dist/lib.js", "lib");
  await write("node_modules/deep/package.json", JSON.stringify({ name: "deep", dependencies: { inner: "1" } }));
  await write("node_modules/deep/node_modules/inner/package.json", JSON.stringify({ name: "inner" }));
  await write("node_modules/deep/node_modules/inner/code.wasm", "code");
  await write("node_modules/unused.js", "unused");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const agent = () => join(root, "agent");

test("names every file that Node may load of the agent and what it depends on, once", async () => {
  const names = (await manifest(agent()))
    .trimEnd()
    .split("\n")
    .map((line) => line.slice(65));
  expect(names.sort()).toEqual([
    "@a/lib/dist/lib.js",
    "@a/lib/package.json",
    "agent/package.json",
    "agent/src/main.ts",
    "deep/package.json",
    "inner/code.wasm",
    "inner/package.json",
  ]);
});

test("one byte anywhere, a file more or a file less is another measurement; a copy elsewhere is not", async () => {
  const { digest } = await measurement(agent());
  expect(digest.length).toBe(32);
  await cp(root, `${root}-copy`, { recursive: true });
  expect((await measurement(join(`${root}-copy`, "agent"))).digest).toEqual(digest);
  await rm(`${root}-copy`, { recursive: true });

  const changed = async (file: string, text: string) => {
    await writeFile(join(root, file), text);
    const now = (await measurement(agent())).digest;
    expect(now).not.toEqual(digest);
  };
  await changed("node_modules/deep/node_modules/inner/code.wasm", "codf");
  await writeFile(join(root, "node_modules/deep/node_modules/inner/code.wasm"), "code");
  expect((await measurement(agent())).digest).toEqual(digest);
  await changed("agent/src/more.ts", "");
  await rm(join(root, "agent/src/more.ts"));
  await rm(join(root, "agent/src/main.ts"));
  expect((await measurement(agent())).digest).not.toEqual(digest);
});

test("a package that is missing stops the start", async () => {
  await rm(join(root, "node_modules/deep"), { recursive: true });
  await expect(manifest(agent())).rejects.toMatchObject({ code: "not-initialised", message: /deep is missing/ });
});

test("the agent's own manifest holds its sources, the protocol and the TPM client", async () => {
  const text = await manifest();
  for (const file of ["@msec/device/src/start.ts", "@msec/core/src/pack.ts", "@msec/secure-element/src/tpm/tpm.ts"])
    expect(text).toContain(` ${file}\n`);
  expect(text).not.toContain(".test.ts");
});
