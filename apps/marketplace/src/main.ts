import { createServer } from "node:http";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onStop, runMain } from "@msec/service";
import next from "next";
import { pino } from "pino";
import sirv from "sirv";
import { readConfig } from "./config.ts";
import { Incidents } from "./server/incidents/incidents.ts";
import { watch } from "./server/incidents/watch.ts";
import { shared } from "./server/shared.ts";

const BUILT = "/_next/static/";
const YEAR_SECONDS = 31_536_000;

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
  // What the build made and compressed: its names change with its contents.
  const built = sirv(join(dir, ".next/static"), { brotli: true, immutable: true, maxAge: YEAR_SECONDS });
  const server = createServer((request, response) => {
    // What a client claims to be is not what it is limited by.
    request.headers["x-msec-from"] = request.socket.remoteAddress;
    const answer = () =>
      handle(request, response).catch((error: Error) => {
        log.error({ error: error.message }, "a request failed");
        response.destroy();
      });
    if (!request.url?.startsWith(BUILT)) return void answer();
    const whole = request.url;
    request.url = whole.slice(BUILT.length - 1);
    built(request, response, () => {
      request.url = whole;
      void answer();
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
