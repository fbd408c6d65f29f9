export * from "./boot.ts";
export * from "./element.ts";
export * from "./errors.ts";
export * from "./es256.ts";
export * from "./file.ts";
export * from "./software.ts";
export * from "./tpm-element.ts";
export * from "./wrap.ts";
