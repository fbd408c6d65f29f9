export * from "./anvil.ts";
export * from "./artifacts.ts";
export * from "./contracts.ts";
export * from "./deploy.ts";
export * from "./errors.ts";
export * from "./manifest.ts";
export * from "./provider.ts";
export * from "./sender.ts";
