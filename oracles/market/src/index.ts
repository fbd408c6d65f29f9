export * from "./deals.ts";
export * from "./subscriptions.ts";
