import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test, vi } from "vitest";
import { Loops } from "./loop.ts";

test("work is repeated until the loops are stopped, and not after", async () => {
  const loops = new Loops(() => undefined);
  let times = 0;
  loops.every(5, "count", async () => void times++);
  await vi.waitFor(() => expect(times).toBeGreaterThan(2), { timeout: 30_000 });
  await loops.stop();
  const then = times;
  await sleep(50);
  expect(times).toBe(then);
});

test("a step never overlaps itself", async () => {
  const loops = new Loops(() => undefined);
  let inside = 0;
  let most = 0;
  loops.every(1, "slow", async () => {
    most = Math.max(most, ++inside);
    await sleep(20);
    inside--;
  });
  await sleep(100);
  await loops.stop();
  expect(most).toBe(1);
});

test("a step that fails is reported with its name and tried again a second later; others go on", async () => {
  const failures: [string, string][] = [];
  const loops = new Loops((loop, error) => failures.push([loop, error.message]));
  const tries: number[] = [];
  let others = 0;
  loops.every(1, "bad", async () => {
    if (tries.push(performance.now()) === 1) throw new Error("no chain");
  });
  loops.every(5, "good", async () => void others++);
  await vi.waitFor(() => expect(tries.length).toBeGreaterThan(1), { timeout: 30_000 });
  await loops.stop();
  expect(failures).toEqual([["bad", "no chain"]]);
  expect((tries[1] as number) - (tries[0] as number)).toBeGreaterThan(990);
  expect(others).toBeGreaterThan(2);
});

test("stop waits for the step that is under way", async () => {
  const loops = new Loops(() => undefined);
  let done = false;
  loops.every(1, "slow", async () => {
    await sleep(100);
    done = true;
  });
  await sleep(10);
  await loops.stop();
  expect(done).toBe(true);
});

test("a program without its configuration ends with 2, one that fails with 1 and its sentence", () => {
  const module = fileURLToPath(new URL("./loop.ts", import.meta.url));
  const run = (...args: string[]) =>
    spawnSync(
      process.execPath,
      [
        "--input-type=module",
        "--eval",
        `import { runMain } from ${JSON.stringify(module)};
         process.argv.splice(1, 0, "program");
         runMain("custody", async (file) => { throw new Error("cannot read " + file); });`,
        "--",
        ...args,
      ],
      { encoding: "utf8" },
    );
  expect(run()).toMatchObject({ status: 2, stderr: "usage: custody CONFIG.json\n" });
  expect(run("c.json")).toMatchObject({ status: 1, stderr: "custody: cannot read c.json\n" });
});
