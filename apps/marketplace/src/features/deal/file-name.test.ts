import { expect, test } from "vitest";
import { fileName } from "./file-name.ts";

test.each([
  ["park-north/air", "park-north-air"],
  ["../../etc/passwd", "etc-passwd"],
  ["..\\..\\C:\\autoexec.bat", "C-autoexec-bat"],
  ["/", "data"],
  ["....", "data"],
  ["\u202Egpj.exe\0", "gpj-exe"],
  ["<img src=x onerror=alert(1)>", "img-src-x-onerror-alert-1"],
  ["公園/空気", "公園-空気"],
  ["a".repeat(300), "a".repeat(60)],
])("a stream called %j is saved as %s", (name, file) => {
  expect(fileName(name)).toBe(file);
});
