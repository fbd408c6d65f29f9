export * from "./certificate.ts";
export * from "./csr.ts";
export * from "./enrolment.ts";
export * from "./rights.ts";
export * from "./statement.ts";
export * from "./topics.ts";
