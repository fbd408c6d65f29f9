export * from "./deals.ts";
export { holesOf } from "./prepare.ts";
export * from "./subscriptions.ts";
