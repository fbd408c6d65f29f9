export * from "./digest.ts";
export * from "./helia.ts";
export * from "./kubo.ts";
export * from "./store.ts";
