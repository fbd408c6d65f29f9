export * from "./certificate.ts";
export * from "./errors.ts";
export * from "./event-log.ts";
export * from "./evidence.ts";
export * from "./verify.ts";
export * from "./result.ts";
