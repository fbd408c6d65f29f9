import { parseNumber } from "@msec/core";

export type TimeFormat = "iso" | "dd/mm/yyyy" | "yyyy-mm-dd" | "unix-s" | "unix-ms";

const DAY_FIRST = /^(\d{1,2})\/(\d{1,2})\/(\d{4})[ T](\d{1,2})[:.](\d{2})(?:[:.](\d{2}))?$/;
const YEAR_FIRST = /^(\d{4})-(\d{1,2})-(\d{1,2})[ T](\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,3}))?)?$/;
const ISO = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:?\d{2})?)?$/;

/** Unix milliseconds of the text, UTC where it names no offset; undefined where it is no time in this format. */
export function parseTime(text: string, format: TimeFormat): number | undefined {
  const s = text.trim();
  switch (format) {
    case "dd/mm/yyyy": {
      const m = DAY_FIRST.exec(s);
      return m ? utc(m[3], m[2], m[1], m[4], m[5], m[6]) : undefined;
    }
    case "yyyy-mm-dd": {
      const m = YEAR_FIRST.exec(s);
      return m ? utc(m[1], m[2], m[3], m[4], m[5], m[6], m[7]) : undefined;
    }
    case "iso": {
      if (!ISO.test(s)) return undefined;
      const [date = ""] = s.split("T");
      const [y, m, d] = date.split("-");
      if (utc(y, m, d, "0", "0") === undefined) return undefined;
      const ms = Date.parse(s.includes("T") && !/(Z|[+-]\d{2}:?\d{2})$/.test(s) ? `${s}Z` : s);
      return Number.isNaN(ms) ? undefined : ms;
    }
    case "unix-s":
    case "unix-ms": {
      const n = parseNumber(s);
      if (typeof n !== "number") return undefined;
      const ms = Math.round(format === "unix-s" ? n * 1000 : n);
      return Number.isSafeInteger(ms) && ms >= 0 ? ms : undefined;
    }
  }
}

/** Date.UTC that refuses the 31st of February instead of carrying it over. */
function utc(
  year?: string,
  month?: string,
  day?: string,
  hour?: string,
  minute?: string,
  second = "0",
  fraction = "0",
) {
  const [y, mo, d, h, mi, s] = [year, month, day, hour, minute, second].map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  const ms = Date.UTC(y, mo - 1, d, h, mi, s, Number(fraction.padEnd(3, "0")));
  const date = new Date(ms);
  const same =
    date.getUTCMonth() === mo - 1 && date.getUTCDate() === d && date.getUTCHours() === h && mi < 60 && s < 60;
  return same ? ms : undefined;
}
