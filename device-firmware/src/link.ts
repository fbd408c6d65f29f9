import mqtt, { type MqttClient } from "mqtt";
import type { Logger } from "pino";
import type { BrokerAccess } from "./access.ts";
import type { Config } from "./config.ts";
import { errorFields } from "./errors.ts";

const FIRST_BACKOFF_MS = 250;

export interface LinkEvents {
  connected(): void;
  message(topic: string, payload: Uint8Array): void;
}

/**
 * The device's connection to a broker. Nothing is kept in it: each connection is a new client with a clean session, the
 * outbox says what to send again. It comes back by itself, waiting longer each time up to mqtt.maxBackoffSeconds.
 */
export class Link {
  readonly #config: Config["mqtt"];
  readonly #access: BrokerAccess;
  readonly #topics: string[];
  readonly #events: LinkEvents;
  readonly #log: Logger;
  #client: MqttClient | undefined;
  #ready = false;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** `access` is asked at each connection. */
  constructor(config: Config["mqtt"], access: BrokerAccess, topics: string[], events: LinkEvents, log: Logger) {
    this.#config = config;
    this.#access = access;
    this.#topics = topics;
    this.#events = events;
    this.#log = log;
  }

  get connected(): boolean {
    return this.#ready;
  }

  start(): void {
    if (this.#stopped) return;
    this.#access.next().then(
      (access) => this.#connect(access),
      (error: unknown) => this.#again(error),
    );
  }

  #connect({ options, againAtMs }: Awaited<ReturnType<BrokerAccess["next"]>>): void {
    if (this.#stopped) return;
    const { url } = this.#config;
    const client = mqtt.connect(url, {
      ...options,
      clean: true,
      reconnectPeriod: 0,
      connectTimeout: 10_000,
      keepalive: 20,
      queueQoSZero: false,
    });
    this.#client = client;
    let why: unknown;
    client.on("error", (error) => (why = error));
    client.on("message", (topic, payload) => this.#events.message(topic, payload));
    client.on("connect", () => {
      client.subscribe(this.#topics, { qos: 1 }, (error) => {
        if (error) {
          why = error;
          client.end(true);
          return;
        }
        this.#ready = true;
        this.#failures = 0;
        this.#log.info({ broker: url }, "connected");
        this.#events.connected();
        if (againAtMs !== undefined) this.#renewAt(againAtMs, client, options.cert);
      });
    });
    client.once("close", () => {
      if (this.#client !== client) return;
      this.#client = undefined;
      this.#ready = false;
      client.end(true);
      clearTimeout(this.#timer);
      this.#access.failed(why);
      this.#again(why);
    });
  }

  /** Connects anew once there is another certificate, which the connection that stands does not carry. */
  #renewAt(atMs: number, client: MqttClient, cert: unknown): void {
    this.#timer = setTimeout(
      () => {
        this.#access.next().then(
          ({ options, againAtMs }) => {
            if (this.#client !== client) return;
            if (options.cert !== cert) client.end(true);
            else if (againAtMs !== undefined) this.#renewAt(againAtMs, client, cert);
          },
          () => client.end(true),
        );
      },
      Math.max(0, atMs - Date.now()),
    );
  }

  #again(why: unknown): void {
    if (this.#stopped) return;
    const wait = Math.min(FIRST_BACKOFF_MS * 2 ** this.#failures++, this.#config.maxBackoffSeconds * 1000);
    const waitMs = Math.round(wait * (0.75 + Math.random() / 2));
    this.#log.warn({ ...(why === undefined ? {} : errorFields(why)), waitMs }, "broker away");
    this.#timer = setTimeout(() => this.start(), waitMs);
  }

  /** QoS 1. A failure closes the connection, so that the outbox is sent again from where receipts stand. */
  publish(topic: string, message: Uint8Array): void {
    const client = this.#client;
    if (!client || !this.#ready) return;
    client.publish(topic, Buffer.from(message), { qos: 1 }, (error) => {
      if (error && this.#client === client) client.end(true);
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    this.#ready = false;
    if (client) await client.endAsync(true).catch(() => undefined);
  }
}
