import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onStop, runMain } from "@msec/service";
import next from "next";
import { pino } from "pino";
import { readConfig } from "./config.ts";
import { Incidents } from "./server/incidents/incidents.ts";
import { watch } from "./server/incidents/watch.ts";
import { shared } from "./server/shared.ts";

/** Serves the built pages for one city. */
async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { process: "marketplace" } });
  process.env.MSEC_MARKETPLACE_CONFIG = file;
  const incidents = new Incidents(join(config.dataDir, "incidents.jsonl"));
  shared.incidents = incidents;
  const dir = fileURLToPath(new URL("..", import.meta.url));
  const app = next({ dev: false, dir, hostname: config.host, port: config.port });
  await app.prepare();
  const handle = app.getRequestHandler();
  const server = createServer((request, response) => {
    // What a client claims to be is not what it is limited by.
    request.headers["x-msec-from"] = request.socket.remoteAddress;
    handle(request, response).catch((error: Error) => {
      log.error({ error: error.message }, "a request failed");
      response.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(config.port, config.host, resolve);
  });
  log.info({ port: config.port }, "marketplace runs");
  const loops = watch(config, incidents, (error) =>
    log.error({ error: error.message }, "the city could not be looked at"),
  );
  onStop(async () => {
    // What it keeps is written at once: a look under way is not waited for.
    void loops.stop();
    server.close();
    server.closeAllConnections();
    log.info("marketplace stopped");
  });
}

runMain("marketplace", main);
