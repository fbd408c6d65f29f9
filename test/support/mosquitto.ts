import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { ask, type EnrolmentServer } from "@msec/broker";
import { mosquittoProgram, profileFiles } from "@msec/broker-service";
import { freePort, writeJson } from "@msec/service";
import { type TestCity, until } from "./city.ts";

const script = fileURLToPath(new URL("../../apps/broker/src/main.ts", import.meta.url));

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** A Mosquitto process on a profile's files. */
export class MosquittoProcess {
  readonly folder: string;
  readonly port: number;
  #child: ChildProcess | undefined;

  constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
  }

  /** Starts it, and waits until it listens. */
  async up(): Promise<void> {
    const { config } = profileFiles(this.folder);
    const child = spawn(mosquittoProgram() as string, ["-c", config], { stdio: ["ignore", "ignore", "pipe"] });
    child.stderr?.pipe(createWriteStream(join(this.folder, "mosquitto.log"), { flags: "a" }));
    this.#child = child;
    const ended = once(child, "exit").then(([code]) => {
      throw new Error(`Mosquitto ended with ${code}: ${readFileSync(join(this.folder, "mosquitto.log"), "utf8")}`);
    });
    ended.catch(() => undefined);
    await Promise.race([ended, until("Mosquitto listens", () => listens(this.port))]);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }
}

/** A Mosquitto with the production profile, and the enrolment service that keeps it in step with a city's registry. */
export class ProductionBroker {
  readonly t: TestCity;
  readonly dataDir: string;
  readonly url: string;
  readonly server: EnrolmentServer;
  readonly #mosquitto: MosquittoProcess;

  private constructor(t: TestCity, dataDir: string, url: string, server: EnrolmentServer) {
    this.t = t;
    this.#mosquitto = new MosquittoProcess(join(dataDir, "mosquitto"), Number(new URL(url).port));
    this.dataDir = dataDir;
    this.url = url;
    this.server = server;
  }

  static async start(
    t: TestCity,
    times: { certificateSeconds: number; resultSeconds: number },
  ): Promise<ProductionBroker> {
    const dataDir = join(t.root, "production");
    const file = join(t.root, "enrolment.json");
    const [port, mqttPort] = [await freePort(), await freePort()];
    const { deployment, chain } = t.city.run;
    writeJson(file, {
      dataDir,
      names: ["localhost"],
      port,
      mqttPort,
      chain: { rpc: chain.rpc, chainId: chain.chainId, addresses: deployment.addresses },
      ...times,
    });
    t.city.processes.start({ name: "enrolment", script, args: [file] });
    const at = profileFiles(join(dataDir, "mosquitto"));
    const ca = await until("the enrolment service has made its authority", () => readFileSync(at.ca, "utf8"));
    await until("the profile is written", () => readFileSync(at.revoked, "utf8"));
    const url = `mqtts://localhost:${mqttPort}`;
    const broker = new ProductionBroker(t, dataDir, url, { url: `https://localhost:${port}`, ca });
    try {
      await broker.up();
      const answers = () => ask(broker.server, { path: "/.well-known/est/cacerts" });
      await until("the enrolment service answers", answers);
      return broker;
    } catch (error) {
      await broker.kill();
      throw error;
    }
  }

  get files() {
    return profileFiles(join(this.dataDir, "mosquitto"));
  }

  up(): Promise<void> {
    return this.#mosquitto.up();
  }

  kill(signal?: NodeJS.Signals): Promise<void> {
    return this.#mosquitto.kill(signal);
  }
}
