import { keccak256 } from "#native";
import { checkUint, concat, type Hex, toHex, uint, utf8 } from "./bytes.ts";
import { type Domain } from "./struct.ts";

/** Backups of erasure keys are kept no longer than this. */
export const BACKUP_MS = 7 * 86_400_000;

/** Domain of consent, holders and erasures: the consent registry on its chain. */
export const consentDomain = (chainId: number, consentRegistry: Hex): Domain => ({
  name: "ConsentRegistry",
  chainId,
  verifyingContract: consentRegistry,
});

/** What data may be used for, in the words that the person consents to. */
export interface Purpose {
  text: string;
  /** BCP 47, such as "en". */
  language: string;
  version: number;
}

const PURPOSE_TYPE = "Purpose(string text,string language,uint32 version)";

/** EIP-712 hashStruct of a purpose: another word, language or version is another purpose. */
export function purposeHash({ text, language, version }: Purpose): Hex {
  checkUint(version, 32);
  const words = [utf8(PURPOSE_TYPE), utf8(text), utf8(language)].map(keccak256);
  return toHex(keccak256(concat(...words, uint(version, 32))));
}
