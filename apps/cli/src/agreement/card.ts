import { Problem } from "../problem.ts";
import { card, type Card } from "./message.ts";

/** A card as people hand it to one another: 0xACCOUNT:KEY. */
export const showCard = ({ account, key }: Card): string => `${account}:${key}`;

/** Reads what {@link showCard} gave; `printedBy` is the command that prints one. */
export function parseCard(text: string, printedBy: string): Card {
  const at = text.indexOf(":");
  const result = card.safeParse({ account: text.slice(0, at), key: text.slice(at + 1) });
  if (!result.success) throw new Problem(`${text} is no card: expected 0xACCOUNT:KEY, as ${printedBy} prints it`, 2);
  return result.data;
}
