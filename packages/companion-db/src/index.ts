export * from "./embedded.ts";
export * from "./erasure-keys.ts";
export * from "./frontiers.ts";
export * from "./pool.ts";
export * from "./server.ts";
