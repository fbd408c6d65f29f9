import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import {
  connectChain,
  type Contracts,
  contractsAt,
  deployCity,
  type Deployment,
  type Founding,
  manifestOf,
  embedded,
  Sender,
  writeDeployment,
  writeManifest,
} from "@msec/chain";
import { type DatabaseServer, type EmbeddedPostgres, ownServer, startPostgres } from "@msec/companion-db";
import { type Hex } from "@msec/core";
import { missingSwtpm } from "@msec/secure-element/swtpm";
import { readJson, writeJson } from "@msec/service";
import { type JsonRpcProvider } from "ethers";
import { type CityChain, type Network, networkOf, openChain } from "./chain.ts";
import { type DevicePlan, enrolDevice, type EnrolledDevice, publishOffers } from "./devices.ts";
import {
  type Account,
  choosePorts,
  CITY,
  Layout,
  organisationId,
  people,
  type People,
  type Ports,
  type Size,
} from "./layout.ts";
import { isAlive, Processes } from "./processes.ts";
import { publishPolicies, sendInOrder } from "./attestation.ts";
import { CityTpms, emulatorProfile } from "./tpms.ts";

/** What runs, for every other command. */
export interface Run {
  /** The supervising process. */
  pid: number;
  /** Its process on the embedded chain; on Quorum one of each node. */
  chain: { network: Network; pids: Record<string, number>; rpc: string; chainId: number };
  /** Missing where DATABASE_URL names a server of one's own. */
  postgres?: { pid: number };
  broker: string;
  operators: { name: string; address: Hex; url: string }[];
  markets: { name: string; address: Hex; url: string }[];
  processes: Record<string, number>;
  /** The emulated TPMs, by device. */
  tpms: Record<string, number>;
  deployment: Deployment;
  devices: { name: string; deviceId: Hex; streams: { streamId: Hex; name: string; mode: number }[] }[];
}

export interface City {
  layout: Layout;
  run: Run;
  people: People;
  contracts: Contracts;
  provider: JsonRpcProvider;
  devices: EnrolledDevice[];
  processes: Processes;
  /** Missing where the devices have software elements. */
  tpms?: CityTpms;
  stop(): Promise<void>;
}

export interface UpOptions {
  /** Told what is being done, one line a step. */
  progress: (line: string) => void;
  /** Told when a process ended by itself. */
  onExit?: (name: string, code: number | null, signal: string | null) => void;
  /** Environment of single processes, for tests that inject faults. */
  env?: Record<string, Record<string, string>>;
  epochMs?: number;
  /** How many operators and deliverers; the same at every start of one folder. */
  size?: Size;
  silenceMs?: number;
  /** What a new city lives on; the embedded chain if left out. */
  network?: Network;
  /** Gives devices no TPM even where swtpm is installed. */
  software?: boolean;
}

const script = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const RESTART_MS = 1000;
const BUYER_FUNDS = 1_000_000_000n;
const DELIVERER_FUNDS = 200_000_000n;

/** The city that a folder's run.json describes, if it is up. */
export function runningCity(root: string): Run | undefined {
  const run = readJson<Run>(join(root, "run.json"));
  return run && isAlive(run.pid) ? run : undefined;
}

/** Brings a city up in a folder, or brings the one that is there up again. */
export async function up(root: string, plans: DevicePlan[], options: UpOptions): Promise<City> {
  const running = runningCity(root);
  if (running)
    throw new Error(
      `a city is already up in ${root} (process ${running.pid}): stop it first, or use --dir for another`,
    );
  const layout = new Layout(root);
  endLeftovers(layout);
  const { progress, onExit = () => undefined, size = CITY } = options;
  const network = networkOf(layout, options.network);
  const all = people(layout, size);
  const ports = await choosePorts(layout, size);

  let postgres: EmbeddedPostgres | undefined;
  let chain: CityChain | undefined;
  let provider: JsonRpcProvider | undefined;
  let processes: Processes | undefined;
  let tpms: CityTpms | undefined;
  let noteTpms: () => void = () => undefined;
  let stopping = false;
  let restarting: Promise<void> = Promise.resolve();
  const why = options.software ? "software elements were asked for" : missingSwtpm();
  // A device that was enrolled as software stays so: its key would be another one in a TPM.
  const withTpm = plans.map(({ name }) => name).filter((name) => !why && !isSoftware(layout, name));
  progress(withTpm.length > 0 ? "devices: a TPM each (swtpm)" : `devices: software elements${why ? ` (${why})` : ""}`);
  const tpmsReady =
    withTpm.length === 0
      ? Promise.resolve()
      : CityTpms.start(layout, withTpm, () => noteTpms()).then((started) => {
          tpms = started;
        });
  // Told where it is waited for.
  tpmsReady.catch(() => undefined);
  const stop = async () => {
    stopping = true;
    await processes?.stop();
    await tpmsReady.catch(() => undefined);
    await tpms?.stop();
    await restarting;
    provider?.destroy();
    await chain?.stop();
    await postgres?.stop();
    rmSync(layout.run, { force: true });
  };
  try {
    const needed = plans.find(({ name }) => why && existsSync(layout.tpm(name)));
    if (needed) throw new Error(`${needed.name} has its keys in a TPM, and ${why}`);
    const ownUrl = process.env.DATABASE_URL;
    progress(ownUrl ? `database: PostgreSQL at ${new URL(ownUrl).host}` : "database: PostgreSQL");
    if (!ownUrl) postgres = await startPostgres(layout.postgres);
    const databases = postgres ?? ownServer(ownUrl as string, `msec_${all.deployer.address.slice(2, 10)}`);
    chain = await openChain(network, layout, ports.chain, progress);
    const { rpc, chainId, rpcOf } = chain;
    provider = connectChain(embedded(rpc, chainId));
    const connectedTo = provider;
    progress("contracts");
    const founding: Founding = {
      committee: all.committee,
      organisations: all.registrars
        .map(({ address }, i) => ({ account: address, organisation: organisationId(`registrar-${i + 1}`) }))
        .concat([{ account: all.city.address, organisation: organisationId("city") }])
        .concat(
          chain.nodeAccounts.map((account, i) => ({ account, organisation: organisationId(`operator-${i + 1}`) })),
        ),
      registrars: all.registrars.map((r) => r.address),
      threshold: 2,
      softwareCap: 1_000,
      balances: [
        { account: all.buyer.address, amount: BUYER_FUNDS },
        ...all.deliverers.map(({ address }) => ({ account: address, amount: DELIVERER_FUNDS })),
      ],
    };
    const deployment = await deployCity(provider, chainId, all.deployer.key, founding);
    writeDeployment(layout.deployment, deployment);
    await chain.follow(deployment.addresses.Directory);
    // Reading it back takes a second or two that nobody needs to wait for; a city of another version goes on without.
    if (!existsSync(layout.manifest))
      void manifestOf(provider, chainId, all.deployer.key, founding)
        .then((manifest) => writeManifest(layout.manifest, manifest))
        .catch((error: unknown) => !stopping && progress(`no manifest: ${(error as Error).message}`));
    const contracts = contractsAt(deployment.addresses, provider);

    const run: Run = {
      pid: process.pid,
      chain: { network, pids: chain.pids(), rpc, chainId },
      ...(postgres ? { postgres: { pid: postgres.pid } } : {}),
      broker: `mqtt://127.0.0.1:${ports.broker}`,
      operators: all.operators.map(({ address }, i) => ({
        name: `operator-${i + 1}`,
        address,
        url: `http://127.0.0.1:${ports.operators[i]}`,
      })),
      markets: all.deliverers.map(({ address }, i) => ({
        name: `market-${i + 1}`,
        address,
        url: `http://127.0.0.1:${ports.markets[i]}`,
      })),
      processes: {},
      tpms: {},
      deployment,
      devices: [],
    };
    processes = new Processes(
      layout.logs,
      () => {
        run.processes = processes?.pids ?? {};
        writeJson(layout.run, run);
      },
      onExit,
    );
    const supervised = processes;
    noteTpms = () => {
      run.tpms = tpms?.pids ?? {};
      writeJson(layout.run, run);
    };
    const started = chain;
    started.keep(
      (name) => !stopping && onExit(name, null, null),
      () => {
        run.chain.pids = started.pids();
        writeJson(layout.run, run);
      },
    );
    /** Starts the database server again whenever it ends by itself. */
    const keep = (running: EmbeddedPostgres): void => {
      void running.exited.then(() => {
        if (stopping) return;
        onExit("postgres", null, null);
        restarting = again();
      });
    };
    const again = async (): Promise<void> => {
      while (!stopping) {
        await sleep(RESTART_MS);
        try {
          postgres = await startPostgres(layout.postgres);
          run.postgres = { pid: postgres.pid };
          run.processes = supervised.pids;
          writeJson(layout.run, run);
          return keep(postgres);
        } catch (error) {
          progress(`postgres does not come up, tried again: ${(error as Error).message}`);
        }
      }
    };
    if (postgres) keep(postgres);
    const published = tpmsReady.then(async () => {
      if (!tpms) return;
      noteTpms();
      await publishPolicies(tpms, await emulatorProfile(layout), all.deployer, deployment, contracts, connectedTo);
    });
    published.catch(() => undefined);
    const env = (name: string) => (options.env?.[name] ? { env: options.env[name] } : {});

    progress(`broker and ${size.operators} operators`);
    processes.start({
      name: "broker",
      script: script("apps/broker/src/embedded.ts"),
      args: [writeBroker(layout, ports, deployment, rpc)],
      ...env("broker"),
    });
    for (let n = 1; n <= size.operators; n++) {
      const file = await writeOperator(n, layout, all, ports, deployment, rpcOf(n), databases, options);
      processes.start({
        name: `operator-${n}`,
        script: script("oracles/custody/src/main.ts"),
        args: [file],
        ...env(`operator-${n}`),
      });
    }
    progress("devices: keys, enrolment, seeds");
    await published;
    const enrolled = await Promise.all(
      plans.map((plan) => enrolDevice(plan, layout, all, ports, deployment, contracts, tpms)),
    );
    await sendInOrder(
      new Sender(all.deployer.key, provider, deployment.chainId),
      enrolled.flatMap(({ calls }) => calls),
    );
    const devices = enrolled.map(({ device }) => device);
    run.devices = devices.map((d) => ({
      name: d.name,
      deviceId: d.deviceId,
      streams: d.streams.map((s) => ({ streamId: s.streamId, name: s.preimage.name, mode: s.preimage.mode })),
    }));
    await Promise.all(run.operators.map((o) => answers(`${o.url}/info`, o.name, layout)));
    for (const device of devices)
      processes.start({
        name: device.name,
        script: script("device-firmware/src/start.ts"),
        args: ["run", "--config", device.configFile],
        ...env(device.name),
      });
    progress("market: bonds, deliverers, offers");
    await Promise.all(all.deliverers.map((d) => depositBond(d, deployment, contracts, provider as JsonRpcProvider)));
    for (let n = 1; n <= size.markets; n++) {
      const file = await writeMarket(n, layout, ports, deployment, rpcOf(n), databases);
      processes.start({
        name: `market-${n}`,
        script: script("oracles/market/src/main.ts"),
        args: [file],
        ...env(`market-${n}`),
      });
    }
    for (const device of devices) await publishOffers(device, all, deployment, contracts, provider);
    await Promise.all(run.markets.map((m) => answers(`${m.url}/status`, m.name, layout)));
    return { layout, run, people: all, contracts, provider, devices, processes, ...(tpms ? { tpms } : {}), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

const isSoftware = (layout: Layout, name: string): boolean =>
  existsSync(join(layout.device(name), "element.json")) && !existsSync(layout.tpm(name));

/** Ends what a supervisor that was killed left behind: processes of this folder only, by their ids. */
function endLeftovers(layout: Layout): void {
  const run = readJson<Run>(layout.run);
  if (!run) return;
  for (const pid of [
    ...Object.values(run.chain.pids),
    ...Object.values(run.processes),
    ...Object.values(run.tpms ?? {}),
  ]) {
    if (!isAlive(pid) || !commandOf(pid).includes(layout.root)) continue;
    process.kill(pid, "SIGKILL");
  }
  rmSync(layout.run, { force: true });
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}

async function answers(url: string, name: string, layout: Layout): Promise<void> {
  for (let i = 0; i < 300; i++) {
    try {
      if ((await fetch(url, { signal: AbortSignal.timeout(1000) })).ok) return;
    } catch {
      // Not there yet.
    }
    await sleep(100);
  }
  throw new Error(`${name} did not start within 30 s: see ${join(layout.logs, `${name}.log`)}`);
}

function writeBroker(layout: Layout, ports: Ports, deployment: Deployment, rpc: string): string {
  writeJson(layout.broker, {
    port: ports.broker,
    chain: { rpc, chainId: deployment.chainId, addresses: deployment.addresses },
  });
  return layout.broker;
}

async function writeOperator(
  n: number,
  layout: Layout,
  all: People,
  ports: Ports,
  deployment: Deployment,
  rpc: string,
  databases: DatabaseServer,
  options: UpOptions,
): Promise<string> {
  const file = join(layout.operator(n), "config.json");
  writeJson(file, {
    name: `operator-${n}`,
    dataDir: layout.operator(n),
    databaseUrl: await databases.database(`operator_${n}`),
    port: ports.operators[n - 1],
    mqttUrl: `mqtt://127.0.0.1:${ports.broker}`,
    chain: { rpc, chainId: deployment.chainId, addresses: deployment.addresses },
    committee: all.operators.map(({ address }, i) => ({
      address,
      organisation: organisationId(`operator-${i + 1}`),
      url: `http://127.0.0.1:${ports.operators[i]}`,
    })),
    ipfsPort: ports.ipfs[n - 1],
    ...(options.epochMs ? { epochMs: options.epochMs } : {}),
    ...(options.silenceMs ? { silenceMs: options.silenceMs } : {}),
  });
  return file;
}

async function writeMarket(
  n: number,
  layout: Layout,
  ports: Ports,
  deployment: Deployment,
  rpc: string,
  databases: DatabaseServer,
): Promise<string> {
  const file = join(layout.market(n), "config.json");
  writeJson(file, {
    name: `market-${n}`,
    dataDir: layout.market(n),
    databaseUrl: await databases.database(`market_${n}`),
    port: ports.markets[n - 1],
    chain: { rpc, chainId: deployment.chainId, addresses: deployment.addresses },
    custody: { url: `http://127.0.0.1:${ports.operators[n - 1]}`, dataDir: layout.operator(n) },
    bond: { token: deployment.addresses.MSecToken, amount: String(DELIVERER_FUNDS / 2n) },
  });
  return file;
}

/** Half of a deliverer's funds as bond for deals, half for batches of subscriptions. */
async function depositBond(
  deliverer: Account,
  deployment: Deployment,
  contracts: Contracts,
  provider: JsonRpcProvider,
): Promise<void> {
  const { MSecToken } = contracts;
  const { addresses, chainId } = deployment;
  const sender = new Sender(deliverer.key, provider, chainId);
  for (const name of ["Escrow", "Subscription"] as const) {
    if ((await contracts[name].bondOf(deliverer.address, addresses.MSecToken)) > 0n) continue;
    const amount = DELIVERER_FUNDS / 2n;
    await sender.transact({
      to: addresses.MSecToken,
      data: MSecToken.interface.encodeFunctionData("approve", [addresses[name], amount]),
    });
    await sender.transact({
      to: addresses[name],
      data: contracts[name].interface.encodeFunctionData(
        "depositBond" as never,
        [addresses.MSecToken, amount] as never,
      ),
    });
  }
}
