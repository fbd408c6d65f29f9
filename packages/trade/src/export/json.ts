import { Decimal } from "@msec/core";

/** JSON whose numbers may have more digits than a double holds. */
export type Exact = string | number | boolean | Decimal | readonly Exact[] | { readonly [name: string]: Exact };

/** JSON text (RFC 8259), numbers with all their digits. */
export function jsonText(value: Exact): string {
  if (value instanceof Decimal) return value.toString();
  if (typeof value !== "object") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${(value as readonly Exact[]).map(jsonText).join(",")}]`;
  const members = Object.entries(value).map(([name, member]) => `${JSON.stringify(name)}:${jsonText(member)}`);
  return `{${members.join(",")}}`;
}

/** The members of a list, one a line. */
export function* listLines<T>(items: Iterable<T>, of: (item: T) => Exact): Generator<string> {
  let before = "";
  for (const item of items) {
    yield `${before}\n${jsonText(of(item))}`;
    before = ",";
  }
}
