export * from "./embedded.ts";
export * from "./erasure-keys.ts";
export * from "./frontiers.ts";
export * from "./pool.ts";
export { FileRoot, type RootKey, type RootStore } from "./root.ts";
export * from "./server.ts";
export * from "./tpm-root.ts";
