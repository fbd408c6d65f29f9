import { type Identity, identityOf, rightsOf } from "@msec/broker";
import mqtt, { type MqttClient } from "mqtt";
import { KEEPER } from "./mosquitto.ts";

const TOPIC = "$CONTROL/dynamic-security/v1";
const ANSWER_MS = 5_000;

interface Command {
  command: string;
  [field: string]: unknown;
}

interface Response {
  command: string;
  correlationData?: string;
  error?: string;
  data?: { clients?: string[]; totalCount?: number };
}

export interface KeeperOptions {
  url: string;
  ca: string;
  client: () => { cert: string; key: string };
  onError: (error: Error) => void;
}

/**
 * Keeps Mosquitto's rights as they are wanted: a role and a client for each identity that has a certificate, and nothing of
 * any other, whose connection the broker ends at once. What Mosquitto has is asked of it at each connection.
 */
export class Keeper {
  readonly #client: MqttClient;
  readonly #waiting = new Map<string, (response: Response) => void>();
  /** Names that the broker has, once it was asked. */
  #granted: Set<string> | undefined;
  #n = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: KeeperOptions) {
    this.#client = mqtt.connect(options.url, {
      clientId: KEEPER,
      protocolVersion: 5,
      reconnectPeriod: 1000,
      connectTimeout: 5000,
      queueQoSZero: false,
      ca: options.ca,
      ...options.client(),
    });
    this.#client.on("error", (error) => options.onError(error));
    this.#client.on("reconnect", () => Object.assign(this.#client.options, options.client()));
    this.#client.on("close", () => (this.#granted = undefined));
    this.#client.on("message", (_, payload) => {
      const { responses } = JSON.parse(payload.toString()) as { responses: Response[] };
      for (const response of responses) {
        const answered = this.#waiting.get(response.correlationData ?? "");
        this.#waiting.delete(response.correlationData ?? "");
        answered?.(response);
      }
    });
  }

  /** Whether Mosquitto is there to be told. */
  get connected(): boolean {
    return this.#client.connected;
  }

  /** Takes rights away, and with them the connection, then gives those that are wanted. Throws where Mosquitto is away. */
  keep(wanted: ReadonlySet<string>, withdrawn: Iterable<string> = []): Promise<void> {
    const run = this.#last.then(() => this.#keep(wanted, withdrawn));
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #keep(wanted: ReadonlySet<string>, withdrawn: Iterable<string>): Promise<void> {
    const granted = (this.#granted ??= await this.#ask());
    const over = new Set([...withdrawn, ...[...granted].filter((name) => !wanted.has(name))]);
    for (const name of over) {
      if (!granted.has(name)) continue;
      await this.#tell({ command: "deleteClient", username: name });
      await this.#tell({ command: "deleteRole", rolename: name });
      granted.delete(name);
    }
    for (const name of wanted) {
      const identity = granted.has(name) ? undefined : identityOf(name);
      if (!identity) continue;
      await this.#tell({ command: "deleteRole", rolename: name }, true);
      await this.#tell({ command: "createRole", rolename: name, acls: rulesOf(identity) });
      await this.#tell({ command: "createClient", username: name, roles: [{ rolename: name }] });
      granted.add(name);
    }
  }

  async stop(): Promise<void> {
    await this.#client.endAsync(true);
  }

  async #ask(): Promise<Set<string>> {
    if (!this.#client.connected) throw new Error("Mosquitto does not answer: is it running?");
    await this.#client.subscribeAsync(`${TOPIC}/response`, { qos: 1 });
    const { data } = await this.#tell({ command: "listClients", count: -1 });
    return new Set((data?.clients ?? []).filter((name) => identityOf(name) !== undefined));
  }

  async #tell(command: Command, mayFail = false): Promise<Response> {
    const id = String(++this.#n);
    const answer = new Promise<Response>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`Mosquitto does not answer ${command.command} within ${ANSWER_MS / 1000} s`));
      }, ANSWER_MS);
      this.#waiting.set(id, (response) => {
        clearTimeout(timer);
        resolve(response);
      });
    });
    answer.catch(() => undefined);
    const body = JSON.stringify({ commands: [{ ...command, correlationData: id }] });
    await this.#client.publishAsync(TOPIC, body, { qos: 1 });
    const response = await answer;
    if (response.error !== undefined && !mayFail)
      throw new Error(`Mosquitto refuses ${command.command}: ${response.error}`);
    return response;
  }
}

function rulesOf(identity: Identity): { acltype: string; topic: string; priority: number; allow: boolean }[] {
  const { publish, subscribe } = rightsOf(identity);
  const rule = (acltype: string) => (topic: string) => ({ acltype, topic, priority: 0, allow: true });
  return [
    ...publish.map(rule("publishClientSend")),
    ...subscribe.map(rule("subscribePattern")),
    ...subscribe.map(rule("publishClientReceive")),
  ];
}
