import { expect, test } from "vitest";
import { parseCsv } from "./csv.ts";

const rows = async (text: string, step = text.length || 1) => {
  const chunks: string[] = [];
  for (let i = 0; i < text.length; i += step) chunks.push(text.slice(i, i + step));
  const out: string[][] = [];
  for await (const row of parseCsv(chunks)) out.push([String(row.line), ...row.fields]);
  return out;
};

test("quotes, CRLF, a byte order mark, line breaks in a field, blank lines and no last line break, in any chunks", async () => {
  const text = '\ufeffa,"b ""x""",c\r\n\r\n1,"two\nlines",\r\n"",2,3';
  const expected = [
    ["1", "a", 'b "x"', "c"],
    ["3", "1", "two\nlines", ""],
    ["5", "", "2", "3"],
  ];
  for (const step of [1, 2, 3, 7, 100]) expect(await rows(text, step)).toEqual(expected);
});

test("nonsense names its line", async () => {
  await expect(rows('a,b\n1,2\n3,"x"y\n')).rejects.toMatchObject({
    code: "csv",
    message: expect.stringMatching(/^line 3: text after/) as string,
  });
  await expect(rows('a\n1"2\n')).rejects.toThrow(/^line 2: a quote inside/);
  await expect(rows('a\n"open')).rejects.toThrow(/ends inside a quoted field/);
  await expect(rows("a\n\0")).rejects.toThrow(/^line 2: a zero byte/);
});
