import { Counter, Gauge, Histogram, Registry } from "prom-client";

const SECONDS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3.5];

export class Metrics {
  readonly registry = new Registry();
  readonly requests = new Counter({
    name: "msec_privacy_requests_total",
    help: "Requests, by server and status",
    labelNames: ["server", "status"],
    registers: [this.registry],
  });
  readonly seconds = new Histogram({
    name: "msec_privacy_request_seconds",
    help: "Time from a request to its answer, by server",
    labelNames: ["server"],
    buckets: SECONDS,
    registers: [this.registry],
  });
  readonly pushFailures = new Counter({
    name: "msec_privacy_push_failures_total",
    help: "Payloads that a party's manager did not take, by party",
    labelNames: ["party"],
    registers: [this.registry],
  });
  readonly waiting = new Gauge({
    name: "msec_privacy_outbox",
    help: "Payloads that wait for a party's manager, by party",
    labelNames: ["party"],
    registers: [this.registry],
  });
}
