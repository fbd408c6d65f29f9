export * from "./graph.ts";
export * from "./math.ts";
export * from "./ranking.ts";
