export { type Config } from "./config.ts";
export { identityKey, importTesseraKey, KeyRing, makeKeys } from "./keys.ts";
export { partyEntry, type Party } from "./parties.ts";
