import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Call,
  type CaseSeconds,
  type ChainProvider,
  connectChain,
  type Contracts,
  contractsAt,
  deployCity,
  type Deployment,
  type Founding,
  manifestOf,
  type Profile,
  Sender,
  writeDeployment,
  writeManifest,
} from "@msec/chain";
import { type DatabaseServer, type EmbeddedPostgres, ownServer, startPostgres } from "@msec/companion-db";
import { type Hex } from "@msec/core";
import { missingSwtpm } from "@msec/secure-element/swtpm";
import { type Loops, readJson, writeJson } from "@msec/service";
import { RESEARCH } from "./consent.ts";
import { describeDevice } from "./descriptions.ts";
import { type CityChain, type Network, networkOf, openChain } from "./chain.ts";
import { type DevicePlan, enrolDevice, type EnrolledDevice, sendOffers } from "./devices.ts";
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
import { DeviceTpms, emulatorProfile } from "./tpms.ts";
import { Emulators } from "./emulators.ts";
import { watchAttestations } from "./watch.ts";

/** What runs, for every other command. */
export interface Run {
  /** The supervising process. */
  pid: number;
  /** Its process on the embedded chain; on Quorum one of each node. */
  chain: { network: Network; pids: Record<string, number> } & Profile;
  /** Missing where DATABASE_URL names a server of one's own. */
  postgres?: { pid: number };
  broker: string;
  operators: { name: string; address: Hex; url: string }[];
  markets: { name: string; address: Hex; url: string }[];
  indexer: string;
  /** The web application, where it was asked for. */
  marketplace?: string;
  processes: Record<string, number>;
  /** The emulated TPMs, by device or operator. */
  tpms: Record<string, number>;
  deployment: Deployment;
  devices: { name: string; deviceId: Hex; streams: { streamId: Hex; name: string; mode: number }[] }[];
}

export interface City {
  layout: Layout;
  run: Run;
  people: People;
  contracts: Contracts;
  provider: ChainProvider;
  devices: EnrolledDevice[];
  processes: Processes;
  /** None where everything is software. */
  tpms: Emulators;
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
  /** How long the panel of a new city has for a complaint; {@link CASE_SECONDS} if left out. */
  caseSeconds?: CaseSeconds;
  /** What a new city lives on; the embedded chain if left out. */
  network?: Network;
  /** Gives devices and operators no TPM even where swtpm is installed. */
  software?: boolean;
  /** Serves the pages, which must be built. */
  pages?: boolean;
}

const script = (path: string) => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const RESTART_MS = 1000;
/** How long a process may take until it answers; seconds where the machine has other work, too. */
const START_MS = 90_000;
/** A minute for each day that a panel has elsewhere. */
const CASE_SECONDS: CaseSeconds = { commit: 180, reveal: 120 };
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
  let provider: ChainProvider | undefined;
  let processes: Processes | undefined;
  let deviceTpms: DeviceTpms | undefined;
  let attestations: Loops | undefined;
  let noteTpms: () => void = () => undefined;
  let stopping = false;
  let restarting: Promise<void> = Promise.resolve();
  const why = options.software ? "software elements were asked for" : missingSwtpm();
  // A device that was enrolled as software stays so: its key would be another one in a TPM.
  const withTpm = plans.map(({ name }) => name).filter((name) => !why && !isSoftware(layout, name));
  progress(withTpm.length > 0 ? "devices: a TPM each (swtpm)" : `devices: software elements${why ? ` (${why})` : ""}`);
  progress(`root of the erasure keys: ${why ? `a file, weaker than a TPM (${why})` : "a TPM an operator (swtpm)"}`);
  const tpms = new Emulators(() => noteTpms());
  const operators = Array.from({ length: size.operators }, (_, i) => i + 1);
  const rootsReady = why
    ? Promise.resolve()
    : Promise.all(operators.map((n) => tpms.start(`operator-${n}`, layout.operatorTpm(n))));
  const tpmsReady = rootsReady.then(async () => {
    if (withTpm.length > 0) deviceTpms = await DeviceTpms.start(layout, withTpm, tpms);
  });
  // Told where it is waited for.
  tpmsReady.catch(() => undefined);
  const stop = async () => {
    stopping = true;
    const unwatched = attestations?.stop();
    await processes?.stop();
    await unwatched;
    await tpmsReady.catch(() => undefined);
    await tpms.stop();
    await restarting;
    provider?.destroy();
    await chain?.stop();
    await postgres?.stop();
    rmSync(layout.run, { force: true });
  };
  try {
    const needed = plans.find(({ name }) => why && existsSync(layout.tpm(name)));
    if (needed) throw new Error(`${needed.name} has its keys in a TPM, and ${why}`);
    const rooted = operators.find((n) => why && existsSync(join(layout.operator(n), "erasure.tpm")));
    if (rooted) throw new Error(`operator-${rooted} has the root of its erasure keys in a TPM, and ${why}`);
    const ownUrl = process.env.DATABASE_URL;
    progress(ownUrl ? `database: PostgreSQL at ${new URL(ownUrl).host}` : "database: PostgreSQL");
    if (!ownUrl) postgres = await startPostgres(layout.postgres);
    const databases = postgres ?? ownServer(ownUrl as string, `msec_${all.deployer.address.slice(2, 10)}`);
    chain = await openChain(network, layout, ports, progress);
    const { profileOf } = chain;
    const profile = profileOf(1);
    const { chainId } = profile;
    provider = connectChain(profile);
    const connectedTo = provider;
    progress("contracts");
    const founding: Founding = {
      committee: all.committee,
      organisations: all.registrars
        .map(({ address }, i) => ({ account: address, organisation: organisationId(`registrar-${i + 1}`) }))
        .concat([{ account: all.city.address, organisation: organisationId("city") }])
        .concat(
          // An operator runs the deliverer of its number, so it is a party of what that delivers.
          all.deliverers.map(({ address }, i) => ({
            account: address,
            organisation: organisationId(`operator-${i + 1}`),
          })),
        )
        .concat(
          all.judges.map(({ address, organisation }) => ({
            account: address,
            organisation: organisationId(organisation),
          })),
        )
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
      panel: all.judges.map(({ address }) => address),
      caseSeconds: options.caseSeconds ?? CASE_SECONDS,
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
      chain: { network, pids: chain.pids(), ...profile },
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
      indexer: `http://127.0.0.1:${ports.indexer}`,
      ...(options.pages ? { marketplace: `http://localhost:${ports.marketplace}` } : {}),
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
      run.tpms = tpms.pids;
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
    const bonded = Promise.all(all.deliverers.map((d) => depositBond(d, deployment, contracts, connectedTo)));
    bonded.catch(() => undefined);
    const published = tpmsReady.then(async () => {
      if (!deviceTpms) return;
      await publishPolicies(
        deviceTpms,
        await emulatorProfile(layout),
        all.deployer,
        deployment,
        contracts,
        connectedTo,
      );
    });
    published.catch(() => undefined);
    const env = (name: string) => (options.env?.[name] ? { env: options.env[name] } : {});

    progress(`broker and ${size.operators} operators`);
    processes.start({
      name: "broker",
      script: script("apps/broker/src/embedded.ts"),
      args: [writeBroker(layout, ports, deployment, profile)],
      ...env("broker"),
    });
    await rootsReady;
    noteTpms();
    for (const n of operators) {
      const root = tpms.addressOf(`operator-${n}`);
      const file = await writeOperator(n, layout, all, ports, deployment, profileOf(n), databases, root, options);
      processes.start({
        name: `operator-${n}`,
        script: script("oracles/custody/src/main.ts"),
        args: [file],
        ...env(`operator-${n}`),
      });
    }
    processes.start({
      name: "indexer",
      script: script("apps/indexer/src/main.ts"),
      args: [await writeIndexer(layout, ports, deployment, profile, databases)],
      ...env("indexer"),
    });
    if (options.pages)
      processes.start({
        name: "marketplace",
        script: script("apps/marketplace/src/main.ts"),
        args: [writeMarketplace(layout, all, ports, run, profile, chain.nodeAccounts)],
        ...env("marketplace"),
      });
    progress("devices: keys, enrolment, seeds");
    await published;
    const enrolled = await Promise.all(
      plans.map((plan) => enrolDevice(plan, layout, all, ports, deployment, contracts, deviceTpms)),
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
    for (const device of devices)
      void describeDevice(device, run, () => stopping).catch(
        (error: unknown) => !stopping && progress(`${device.name} is not described: ${(error as Error).message}`),
      );
    if (deviceTpms) {
      const registry = { people: all, deployment, contracts, profile: await emulatorProfile(layout) };
      const watched = devices.filter(({ name }) => withTpm.includes(name));
      attestations = watchAttestations(watched, layout, registry, provider, progress);
    }
    progress("market: bonds, deliverers, offers");
    const offered = sendOffers(devices, all, deployment, contracts, connectedTo);
    offered.catch(() => undefined);
    await bonded;
    for (let n = 1; n <= size.markets; n++) {
      const file = await writeMarket(n, layout, ports, deployment, profileOf(n), databases);
      processes.start({
        name: `market-${n}`,
        script: script("oracles/market/src/main.ts"),
        args: [file],
        ...env(`market-${n}`),
      });
    }
    await offered;
    await Promise.all(run.markets.map((m) => answers(`${m.url}/status`, m.name, layout)));
    await answers(`${run.indexer}/status`, "indexer", layout);
    if (options.pages) await answers(`http://127.0.0.1:${ports.marketplace}/api/city`, "marketplace", layout);
    return { layout, run, people: all, contracts, provider, devices, processes, tpms, stop };
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
  for (const until = Date.now() + START_MS; Date.now() < until; ) {
    try {
      if ((await fetch(url, { signal: AbortSignal.timeout(5000) })).ok) return;
    } catch {
      // Not there yet.
    }
    await sleep(100);
  }
  throw new Error(`${name} did not start within ${START_MS / 1000} s: see ${join(layout.logs, `${name}.log`)}`);
}

function writeBroker(layout: Layout, ports: Ports, deployment: Deployment, profile: Profile): string {
  writeJson(layout.broker, {
    port: ports.broker,
    chain: { ...profile, addresses: deployment.addresses },
  });
  return layout.broker;
}

async function writeIndexer(
  layout: Layout,
  ports: Ports,
  deployment: Deployment,
  profile: Profile,
  databases: DatabaseServer,
): Promise<string> {
  writeJson(layout.indexer, {
    databaseUrl: await databases.database("indexer"),
    port: ports.indexer,
    chain: { ...profile, addresses: deployment.addresses },
    operators: ports.operators.map((port) => `http://127.0.0.1:${port}`),
    manifest: layout.manifest,
  });
  return layout.indexer;
}

function writeMarketplace(
  layout: Layout,
  all: People,
  ports: Ports,
  run: Run,
  profile: Profile,
  validators: Hex[],
): string {
  mkdirSync(layout.marketplace, { recursive: true, mode: 0o700 });
  const file = join(layout.marketplace, "config.json");
  writeJson(file, {
    city: "Santander",
    port: ports.marketplace,
    dataDir: layout.marketplace,
    chain: { ...profile, addresses: run.deployment.addresses },
    indexer: run.indexer,
    operators: run.operators,
    markets: run.markets,
    purposes: [RESEARCH],
    ...(validators.length > 0 ? { validators } : {}),
    organisations: Object.fromEntries(
      ["city", ...all.judges.map(({ organisation }) => organisation)].map((name) => [organisationId(name), name]),
    ),
  });
  return file;
}

async function writeOperator(
  n: number,
  layout: Layout,
  all: People,
  ports: Ports,
  deployment: Deployment,
  profile: Profile,
  databases: DatabaseServer,
  root: string | undefined,
  options: UpOptions,
): Promise<string> {
  const file = join(layout.operator(n), "config.json");
  writeJson(file, {
    name: `operator-${n}`,
    dataDir: layout.operator(n),
    // A root that an earlier start had in a file moves into the TPM.
    ...(root ? { erasureRoot: { kind: "tpm", tpm: root } } : {}),
    databaseUrl: await databases.database(`operator_${n}`),
    port: ports.operators[n - 1],
    mqttUrl: `mqtt://127.0.0.1:${ports.broker}`,
    chain: { ...profile, addresses: deployment.addresses },
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
  profile: Profile,
  databases: DatabaseServer,
): Promise<string> {
  const file = join(layout.market(n), "config.json");
  writeJson(file, {
    name: `market-${n}`,
    dataDir: layout.market(n),
    databaseUrl: await databases.database(`market_${n}`),
    port: ports.markets[n - 1],
    chain: { ...profile, addresses: deployment.addresses },
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
  provider: ChainProvider,
): Promise<void> {
  const { MSecToken, Escrow } = contracts;
  const { addresses, chainId } = deployment;
  const amount = DELIVERER_FUNDS / 2n;
  const calls: Call[] = [];
  for (const name of ["Escrow", "Subscription"] as const) {
    if ((await contracts[name].bondOf(deliverer.address, addresses.MSecToken)) > 0n) continue;
    const approve = MSecToken.interface.encodeFunctionData("approve", [addresses[name], amount]);
    // Both take it by the same function.
    const deposit = Escrow.interface.encodeFunctionData("depositBond", [addresses.MSecToken, amount]);
    calls.push({ to: addresses.MSecToken, data: approve }, { to: addresses[name], data: deposit });
  }
  await sendInOrder(new Sender(deliverer.key, provider, chainId), calls);
}
