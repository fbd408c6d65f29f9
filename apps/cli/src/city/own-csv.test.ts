import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { Problem } from "../problem.ts";
import { ownCsvPlan } from "./own-csv.ts";

const folder = mkdtempSync(join(tmpdir(), "msec-own-csv-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(content: string | Uint8Array): string {
  const path = join(folder, "my data.csv");
  writeFileSync(path, content);
  return path;
}

async function study(content: string) {
  const { plan, rows, ignored } = await ownCsvPlan(file(content));
  const driver = plan.streams[0]?.driver as { time: { columns: string[]; format: string }; ignore: string[] };
  return { ...driver.time, rows, ignored, driver, plan };
}

async function problem(content: string | Uint8Array): Promise<string> {
  const error = await ownCsvPlan(file(content)).then(
    () => undefined,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(Problem);
  expect((error as Problem).exitCode).toBe(2);
  return (error as Problem).message;
}

describe("the time column", () => {
  test.each([
    ["time,v\n2024-05-01T12:00:00Z,1", ["time"], "iso"],
    ["v,when\n1,2024-05-01 12:00:00", ["when"], "yyyy-mm-dd"],
    ["when,v\n31/05/2024 12:00,1", ["when"], "dd/mm/yyyy"],
    ["day,v\n2024-05-01,1", ["day"], "iso"],
    ["anything,v\n2024-05-01T12:00:00Z,1", ["anything"], "iso"],
    ["Date,Time,v\n10/03/2004,18.00.00,2.6", ["Date", "Time"], "dd/mm/yyyy"],
    ["v,Date,Time\n2.6,10/03/2004,18:00:00", ["Date", "Time"], "dd/mm/yyyy"],
    ["Date,Time,v\n2004-03-10,18:00:00,2.6", ["Date", "Time"], "yyyy-mm-dd"],
    ["time,v\n1714564800,1", ["time"], "unix-s"],
    ["v,ts\n1,1714564800000", ["ts"], "unix-ms"],
    ["時刻,v\n2024-05-01T12:00:00Z,1", ["時刻"], "iso"],
  ])("of %j is found with its format", async (content, columns, format) => {
    expect(await study(content)).toMatchObject({ columns, format, ignored: [] });
  });

  test("of a date beside a time keeps the hour: the date alone would fit too", async () => {
    expect(await study("date,time,v\n2024-05-01,01:00,1\n2024-05-01,02:00,2\n")).toMatchObject({
      columns: ["date", "time"],
      format: "yyyy-mm-dd",
      rows: 2,
    });
  });

  test("is the one that is called so, where several would fit", async () => {
    expect(await study("built,time,v\n1999-01-01,2024-05-01T12:00:00Z,1")).toMatchObject({ columns: ["time"] });
  });

  test("holds a time in every row: one that fits only at first does not count", async () => {
    expect(await problem("time,v\n2024-05-01T12:00:00Z,1\nnoon,2")).toMatch(/has no time column/);
    expect(await study("day,time,v\nx,2024-05-01 12:00,1\n2024-05-02,2024-05-02 12:00,1")).toMatchObject({
      columns: ["time"],
    });
  });

  test("with an empty column after it is not taken for a pair", async () => {
    expect(await study("time,note,v\n2024-05-01T12:00:00Z,,1")).toMatchObject({ columns: ["time"], format: "iso" });
  });
});

test("a byte order mark, CRLF, quotes, blank lines and empty cells are no trouble", async () => {
  const content = '\ufefftime,"a, b",note\r\n\r\n2024-05-01T12:00:00Z,1.5,"x ""y"""\r\n2024-05-01T12:01:00Z,,\r\n';
  const plan = await study(content);
  expect(plan).toMatchObject({ columns: ["time"], rows: 2, ignored: ["note"] });
});

test("columns that are not numbers are not sold, and are named", async () => {
  const { ignored, plan } = await study("time,a,name,b\n2024-05-01T12:00:00Z,1,x,1e-3\n2024-05-01T13:00:00Z,0x1,y,2");
  expect(ignored).toEqual(["a", "name"]);
  expect(plan.streams[0]).toMatchObject({ name: "my data.csv", mode: "dataset", driver: { speed: "max", end: true } });
});

describe("nonsense is wrong use, with a sentence and the line", () => {
  test.each([
    ["", /holds no rows below its header/],
    ["time,v\n", /holds no rows below its header/],
    ["a,b\n1,2", /has no time column/],
    ["time,v\n2024-05-01T12:00:00Z,1\n2024-05-01T12:01:00Z,1,2", /line 3: 3 fields, the header has 2/],
    ["time,name\n2024-05-01T12:00:00Z,x", /no numeric column beside its time/],
    ['time,v\n2024-05-01T12:00:00Z,"1', /the file ends inside a quoted field/],
    ["time,v\n2024-05-01T12:00:00Z,1\0", /zero byte/],
  ])("%j", async (content, message) => {
    expect(await problem(content)).toMatch(message);
  });

  test("bytes that are no UTF-8", async () => {
    expect(await problem(Uint8Array.of(0x74, 0x2c, 0x76, 0x0a, 0xff, 0xfe))).toMatch(/not UTF-8/);
  });

  test("a file that is not there, and a folder", async () => {
    for (const path of [join(folder, "none.csv"), folder]) {
      const error = await ownCsvPlan(path).catch((e: unknown) => e);
      expect(error).toBeInstanceOf(Problem);
      expect(error).toMatchObject({ exitCode: 2, message: expect.stringContaining(path) as string });
    }
  });
});
