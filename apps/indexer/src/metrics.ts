import { collectDefaultMetrics, Gauge, Registry } from "prom-client";

export class Metrics {
  readonly registry = new Registry();
  readonly block = new Gauge({ name: "msec_indexer_block", help: "Newest block read", registers: [this.registry] });
  readonly chainHead = new Gauge({
    name: "msec_indexer_chain_head",
    help: "Newest block of the chain when it was last asked",
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }
}
