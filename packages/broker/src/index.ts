export * from "./rights.ts";
export * from "./statement.ts";
export * from "./topics.ts";
