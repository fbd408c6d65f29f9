import { parseArgs } from "node:util";
import { fromHex, toBase64 } from "@msec/core";
import { readConfig } from "./config.ts";
import { DeviceError, errorFields } from "./errors.ts";
import { init, releaseOf, signEnrolment } from "./identity.ts";
import { runAgent } from "./agent.ts";

const USAGE = `usage:
  main.ts init --config FILE                  make key and streams, print them as JSON
  main.ts sign --config FILE --digest 0x…     sign an Enrol digest, print {spki, signature}
  main.ts run  --config FILE [--until-done]   run the agent until SIGTERM or SIGINT`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      config: { type: "string" },
      digest: { type: "string" },
      "until-done": { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const command = positionals[0];
  if (values.help || !values.config || !["init", "sign", "run"].includes(command ?? "")) {
    console.error(USAGE);
    return values.help ? 0 : 2;
  }
  const config = await readConfig(values.config);
  if (command === "init") {
    const made = await init(config);
    console.log(JSON.stringify({ ...made, spki: toBase64(made.spki) }, undefined, 2));
    return 0;
  }
  if (command === "sign") {
    if (!values.digest) throw new DeviceError("config", "give the digest to sign: --digest 0x and 64 hex digits");
    console.log(JSON.stringify(await signEnrolment(config, fromHex(values.digest, 32))));
    return 0;
  }
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  process.on("SIGINT", () => stop.abort());
  process.on("disconnect", () => stop.abort());
  try {
    const healthy = (await releaseOf(config)) && process.connected ? { healthy: sayHealthy } : {};
    return (await runAgent(config, { signal: stop.signal, untilDone: values["until-done"], ...healthy })) ? 0 : 1;
  } finally {
    // A listener keeps the channel, and with it the process, open.
    if (process.connected) process.disconnect();
  }
}

/** Tells whatever started the release that it works, and waits until that is kept. */
function sayHealthy(): Promise<void> {
  return new Promise((resolve, reject) => {
    process.on("message", (message) => {
      if ((message as { kept?: unknown }).kept === true) resolve();
    });
    process.on("disconnect", () =>
      reject(new DeviceError("release", "what started the release ended before it kept that the release works")),
    );
    process.send?.({ healthy: true });
  });
}

try {
  process.exitCode = await main();
} catch (error) {
  const { code, error: message } = errorFields(error);
  console.error(
    JSON.stringify({
      level: "fatal",
      code,
      error: message,
      ...(code === "unexpected" ? { stack: toStack(error) } : {}),
    }),
  );
  process.exitCode = 1;
}

function toStack(error: unknown): string {
  return error instanceof Error ? (error.stack ?? "") : "";
}
