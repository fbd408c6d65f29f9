import { readFileSync } from "node:fs";
import { audienceOf, CertificateHolder, operatorCredentials, refusedCertificate } from "@msec/broker";
import { type Hex } from "@msec/core";
import { type Loops } from "@msec/service";
import mqtt, { type MqttClient } from "mqtt";
import { type Logger } from "pino";
import { type Config } from "./config.ts";

const CERTIFICATE_MS = 1000;
/** How long Mosquitto keeps packs for an operator that is away. Seconds. */
const SESSION_SECONDS = 3600;

/**
 * The operator's connection to the broker, which comes back by itself: by a statement under its key for each connection, or by a
 * client certificate that the same key gets it.
 */
export function connectBroker(config: Config, key: Uint8Array, address: Hex, loops: Loops, log: Logger): MqttClient {
  const common = { clientId: address, reconnectPeriod: 1000, reconnectOnConnackError: true, connectTimeout: 5000 };
  const { mqttUrl, mqttTls: tls } = config;
  const away = (error: Error) =>
    log.warn({ error: error.message }, "the broker cannot be reached: tried again every second");
  if (!tls) {
    const credentials = () => operatorCredentials(key, address, mqttUrl);
    const client = mqtt.connect(mqttUrl, { ...common, ...credentials(), clean: true, protocolVersion: 4 });
    // A statement is good once.
    client.on("reconnect", () => Object.assign(client.options, credentials()));
    client.on("error", away);
    return client;
  }
  const server = { url: tls.enrolment, ca: readFileSync(tls.ca, "utf8") };
  const holder = new CertificateHolder({
    server,
    name: address,
    authorization: () => {
      const { username, password } = operatorCredentials(key, address, audienceOf(server.url));
      return Promise.resolve(`Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`);
    },
    onError: (error) => log.warn({ error: error.message }, "the client certificate could not be renewed yet"),
  });
  const client = mqtt.connect(mqttUrl, {
    ...common,
    manualConnect: true,
    clean: false,
    protocolVersion: 5,
    properties: { sessionExpiryInterval: SESSION_SECONDS },
    ca: server.ca,
  });
  client.on("error", (error) => {
    if (refusedCertificate(error)) holder.discard();
    away(error);
  });
  loops.every(CERTIFICATE_MS, "certificate", async () => {
    const { cert, key: clientKey } = await holder.access();
    const before = client.options.cert;
    if (cert === before) return;
    Object.assign(client.options, { cert, key: clientKey });
    if (before === undefined) client.connect();
    else if (client.connected) client.reconnect();
  });
  return client;
}
