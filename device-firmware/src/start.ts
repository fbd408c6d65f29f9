// The measured start: everything that Node may load of the agent is hashed and extended into the TPM, then it is loaded.
// What starts this file (the boot chain) must have measured it, and Node itself.
import { readConfig } from "./config.ts";
import { measureAgent } from "./measure.ts";

const at = process.argv.indexOf("--config");
const file = process.argv[at + 1];
try {
  if (at > 0 && file) await measureAgent(await readConfig(file));
  await import("./main.ts");
} catch (error) {
  const { code, message } = error as { code?: unknown; message?: unknown };
  console.error(JSON.stringify({ level: "fatal", code: code ?? "unexpected", error: String(message ?? error) }));
  process.exitCode = 1;
}
