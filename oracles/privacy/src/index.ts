export { type Config } from "./config.ts";
export { dumpPayloads, loadPayloads } from "./dump.ts";
export { identityKey, importTesseraKey, KeyRing, makeKeys } from "./keys.ts";
export { Parties, partyEntry, partySchema, type Party } from "./parties.ts";
