export * from "./deals.ts";
export { holesOf } from "./prepare.ts";
