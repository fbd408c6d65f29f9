import { ProtocolError } from "@msec/core";
import { onStop, Reply, runMain, serve } from "@msec/service";
import { pino } from "pino";
import { Counter, Histogram, Registry } from "prom-client";
import { readConfig } from "./config.ts";
import { CODES, Edge } from "./edge.ts";
import { askNode } from "./upstream.ts";

async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const log = pino({ level: config.logLevel, base: { edge: config.name } });
  const registry = new Registry();
  const requests = new Counter({
    name: "msec_edge_requests_total",
    help: "Requests, by method and what became of them",
    labelNames: ["method", "outcome"],
    registers: [registry],
  });
  const seconds = new Histogram({
    name: "msec_edge_seconds",
    help: "Time from a request or batch to its answer",
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10],
    registers: [registry],
  });
  const edge = new Edge(config, (method, outcome) => requests.inc({ method, outcome }));
  const onError = (error: Error) => log.error({ error: error.message }, "a request failed");
  const refused = ({ code, message }: ProtocolError) =>
    new Reply(code === "oversize" ? 413 : 400, {
      ...{ jsonrpc: "2.0", id: null },
      error: { code: code === "oversize" ? CODES.invalid : CODES.malformed, message },
    });
  const users = await serve(
    {
      "POST /": async ({ body, from }) => {
        const end = seconds.startTimer();
        const answer = await edge.answer(body, from);
        end();
        return new Reply(200, answer);
      },
    },
    config.host,
    config.port,
    onError,
    { largestBody: config.largestBody, refused },
  );
  const status = async () => {
    const [problem] = await askNode(config.node, [{ method: "eth_chainId", params: [] }]).then(
      ([answer]) =>
        answer && "result" in answer && Number(answer.result) === config.chainId
          ? []
          : [`the node is not on chain ${config.chainId}`],
      () => ["the node does not answer"],
    );
    return { name: config.name, healthy: problem === undefined, problems: problem === undefined ? [] : [problem] };
  };
  const health = await serve(
    {
      "GET /status": status,
      "GET /metrics": async () => new Reply(200, await registry.metrics(), registry.contentType),
    },
    config.health.host,
    config.health.port,
    onError,
  );
  log.info({ port: (users.address() as { port: number }).port }, "the edge answers users");
  onStop(async () => {
    await Promise.all(
      [users, health].map((server) => {
        const closed = new Promise((resolve) => server.close(resolve));
        server.closeIdleConnections();
        return closed;
      }),
    );
  });
}

runMain("edge", main);
