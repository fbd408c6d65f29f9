export * from "./config.ts";
export * from "./http.ts";
export * from "./json.ts";
export * from "./loop.ts";
export * from "./page.ts";
export * from "./ports.ts";
export * from "./secrets.ts";
export * from "./step.ts";
