import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** Everything that an operator watches, under the names that Prometheus scrapes at /metrics. */
export class Metrics {
  readonly registry = new Registry();
  readonly packsReceived = this.#counter("msec_packs_received_total", "Packs that arrived over MQTT or from peers");
  readonly packsHeld = this.#counter("msec_packs_held_total", "Packs checked and committed");
  readonly readingsHeld = this.#counter("msec_readings_held_total", "Readings in packs checked and committed");
  readonly packsRefused = this.#counter("msec_packs_refused_total", "Packs refused, by reason", ["reason"]);
  readonly packsAnchored = this.#counter("msec_packs_anchored_total", "Packs seen anchored");
  readonly readingsAnchored = this.#counter("msec_readings_anchored_total", "Readings seen anchored");
  readonly epochsProposed = this.#counter("msec_epochs_proposed_total", "Epochs this operator proposed");
  readonly epochsSigned = this.#counter("msec_epochs_signed_total", "Epochs of others that this operator signed");
  readonly proposalsRefused = this.#counter("msec_proposals_refused_total", "Proposals of others refused", [
    "operator",
    "reason",
  ]);
  readonly viewChanges = this.#counter("msec_view_changes_total", "Times a silent leader was passed over", [
    "operator",
  ]);
  readonly equivocations = this.#counter("msec_equivocations_total", "Pairs of headers signed under one seq");
  readonly resent = this.#counter("msec_anchors_resent_total", "Anchorings sent again after the chain lost them");
  readonly erasures = this.#counter("msec_erasures_total", "Erasures carried out");
  readonly epoch = this.#gauge("msec_epoch", "Newest confirmed epoch");
  readonly pending = this.#gauge("msec_packs_pending", "Packs held and not anchored");
  readonly oldestPending = this.#gauge("msec_oldest_pending_seconds", "Age of the oldest pack that is not anchored");
  readonly anchorLag = this.#gauge(
    "msec_newest_anchor_seconds",
    "Seconds from held to seen anchored of the newest epoch's slowest pack",
  );
  readonly signedEpoch = this.#gauge("msec_signed_epoch", "Newest epoch that this operator signed or proposed");
  readonly unconfirmed = this.#gauge(
    "msec_unconfirmed_seconds",
    "How long the anchoring that this operator sent has not been seen on the chain",
  );
  readonly brokerUp = this.#gauge("msec_broker_up", "1 while this operator is connected to the broker");
  readonly databaseSeconds = this.#gauge("msec_database_seconds", "What the database took to answer the last status");
  readonly peersUp = this.#gauge("msec_peers_up", "Other operators that answered last");
  readonly anchorSeconds = new Histogram({
    name: "msec_anchor_seconds",
    help: "Seconds from held to seen anchored",
    buckets: [0.25, 0.5, 1, 1.5, 2, 3, 5, 10, 30, 120],
    registers: [this.registry],
  });

  #counter<T extends string>(name: string, help: string, labelNames: T[] = []): Counter<T> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  #gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers: [this.registry] });
  }
}
