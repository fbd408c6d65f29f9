import { styleText } from "node:util";

const coloured = Boolean(process.stdout.isTTY) && !process.env.NO_COLOR;
const style = (format: Parameters<typeof styleText>[0], text: string) =>
  coloured ? styleText(format, text, { validateStream: false }) : text;

export const bold = (text: string) => style("bold", text);
export const dim = (text: string) => style("dim", text);
export const good = (text: string) => style("green", text);
export const bad = (text: string) => style("red", text);
export const warn = (text: string) => style("yellow", text);

// Whoever reads only the first lines, such as `head`, closes the pipe: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

export function print(line = ""): void {
  process.stdout.write(`${line}\n`);
}

/** JSON for scripts; whole numbers beyond 2^53 as text. */
export function printJson(value: unknown): void {
  print(JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? v.toString() : v), 2));
}

/** A table with aligned columns; the first row is its header. */
export function table(header: string[], rows: unknown[][]): void {
  const cells = rows.map((row) => row.map(String));
  const widths = header.map((name, i) => Math.max(name.length, ...cells.map((row) => (row[i] ?? "").length)));
  const line = (row: string[]) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join("  ")
      .trimEnd();
  print(bold(line(header)));
  for (const row of cells) print(line(row));
}

/** The city's token in whole units, from its smallest unit (6 decimals). */
export function tokens(amount: bigint): string {
  const whole = amount / 1_000_000n;
  const rest = (amount % 1_000_000n).toString().padStart(6, "0").replace(/0+$/, "");
  return `${whole}${rest ? `.${rest}` : ""} MSEC`;
}

export const short = (hex: string) => `${hex.slice(0, 10)}…`;
export const time = (ms: number) => new Date(ms).toISOString().replace(".000Z", "Z");
