export * from "./constants.ts";
export * from "./credential.ts";
export * from "./errors.ts";
export * from "./names.ts";
export * from "./policy.ts";
export * from "./structures.ts";
export * from "./templates.ts";
export * from "./tpm.ts";
