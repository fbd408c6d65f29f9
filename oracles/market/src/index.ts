export * from "./deals.ts";
export * from "./erasures.ts";
export * from "./subscriptions.ts";
