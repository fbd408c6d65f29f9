import { expect, test, vi } from "vitest";
import { printJson, short, table, time, tokens } from "./output.ts";

function printed(work: () => void): string {
  let text = "";
  const spy = vi.spyOn(process.stdout, "write").mockImplementation((part) => ((text += String(part)), true));
  try {
    work();
  } finally {
    spy.mockRestore();
  }
  return text;
}

test("amounts are exact, in whole tokens of a million units", () => {
  expect(tokens(0n)).toBe("0 MSEC");
  expect(tokens(1n)).toBe("0.000001 MSEC");
  expect(tokens(1_500_000n)).toBe("1.5 MSEC");
  expect(tokens(1_000_000n)).toBe("1 MSEC");
  expect(tokens(10_000_010n)).toBe("10.00001 MSEC");
  expect(tokens(2n ** 128n - 1n)).toBe("340282366920938463463374607431768.211455 MSEC");
});

test("JSON keeps whole numbers that a double can't", () => {
  const text = printed(() => printJson({ price: 2n ** 64n, list: [1n] }));
  expect(JSON.parse(text)).toEqual({ price: "18446744073709551616", list: ["1"] });
});

test("columns are as wide as their widest cell, without blanks at the end", () => {
  const text = printed(() => table(["a", "long"], [["wide cell", 1], [2n, ""]])); // prettier-ignore
  expect(text).toBe("a          long\nwide cell  1\n2\n");
});

test("times and ids in short", () => {
  expect(time(Date.UTC(2024, 0, 2, 3, 4, 5))).toBe("2024-01-02T03:04:05Z");
  expect(time(Date.UTC(2024, 0, 2, 3, 4, 5, 6))).toBe("2024-01-02T03:04:05.006Z");
  expect(short(`0x${"ab".repeat(32)}`)).toBe("0xabababab…");
});
