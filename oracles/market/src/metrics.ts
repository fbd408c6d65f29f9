import { Counter, Gauge, Registry } from "prom-client";

export class Metrics {
  readonly registry = new Registry();
  readonly delivered = new Counter({
    name: "msec_deals_delivered_total",
    help: "Deals whose keys were delivered",
    registers: [this.registry],
  });
  readonly declined = new Counter({
    name: "msec_deals_declined_total",
    help: "Deals declined, by reason",
    labelNames: ["reason"],
    registers: [this.registry],
  });
  readonly finished = new Counter({
    name: "msec_deals_finished_total",
    help: "Deals that ended, by outcome",
    labelNames: ["outcome"],
    registers: [this.registry],
  });
  readonly batches = new Counter({
    name: "msec_batches_total",
    help: "Batches of subscriptions, by what became of them: delivered, settled, or undeliverable",
    labelNames: ["outcome"],
    registers: [this.registry],
  });
  readonly bond = new Gauge({
    name: "msec_bond_free",
    help: "Free bond, in the token's smallest unit, by the contract that holds it",
    labelNames: ["contract"],
    registers: [this.registry],
  });
}
