import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { findBinary } from "./binary.ts";
import { EDGE, KEEPER } from "./companions.ts";
import { ipcPath } from "./ipc.ts";
import { MANAGER } from "./manager.ts";
import { type NetworkFolder, type NetworkPlan, type NodePlan, privacyOf } from "./network.ts";
import { NODE_FLAGS } from "./node.ts";
import { MEMORY, programOf } from "./program.ts";
import { partOf } from "./run.ts";
import { quoted } from "./shell.ts";
import { PLAIN, RUN_NODE, startScript } from "./start-script.ts";
import { type Yaml, yaml } from "./yaml.ts";

// A network for machines that start their processes themselves: systemd units, a script for each node, and a compose file for the
// official images. All run what `network up` runs, on the same ports, but for the managers' PostgreSQL, which is the operator's own.

const UNSEAL = fileURLToPath(new URL("./unseal.ts", import.meta.url));
const CHECKOUT = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");
const DEFAULT_BINARY = "/usr/local/bin/geth";
const IMAGE = { node: "quorumengineering/quorum:24.4.1", javascript: "node:24-bookworm-slim" };

type Unit = Record<string, Record<string, string | string[]>>;

/** Words of an ExecStart: quoted, with nothing that systemd would replace. */
const words = (all: string[]): string =>
  all.map((word) => `"${word.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%").replaceAll("$", "$$$$")}"`).join(" ");

const unitText = (unit: Unit): string =>
  Object.entries(unit)
    .map(([section, settings]) => {
      const lines = Object.entries(settings).flatMap(([name, value]) => [value].flat().map((one) => `${name}=${one}`));
      return `[${section}]\n${lines.join("\n")}\n`;
    })
    .join("\n");

const unitName = (process: string): string => `msec-${process.replace("/", "-")}.service`;

interface Program {
  description: string;
  /** MiB. */
  memory: number;
  exec: string[];
  /** Where it writes; everything else is read-only for it. */
  writes: string[];
}

function service({ description, memory, exec, writes }: Program): Unit {
  return {
    Unit: { Description: `M-Sec ${description}`, After: ["network.target"] },
    Service: {
      Type: "exec",
      User: userInfo().username,
      ExecStart: words([process.execPath, ...exec]),
      Restart: "always",
      RestartSec: "2",
      MemoryMax: `${memory}M`,
      TimeoutStopSec: "30",
      NoNewPrivileges: "yes",
      ProtectSystem: "strict",
      ...(writes.length > 0 ? { ReadWritePaths: words(writes) } : {}),
    },
    Install: { WantedBy: "multi-user.target" },
  };
}

/** The units of one node by file name: its manager before it, edge and keeper after it. */
export function unitsOf(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): Record<string, string> {
  const found = findBinary();
  const binary = "missing" in found ? DEFAULT_BINARY : found.path;
  const manager = unitName(partOf(one.name, "manager"));
  const node = service({
    description: `GoQuorum ${one.name}`,
    memory: MEMORY.node,
    exec: [PLAIN, RUN_NODE, folder.root, one.name],
    // The node's socket for its operator is in /tmp, its key for a moment in /dev/shm.
    writes: [folder.root, "/tmp", "/dev/shm"],
  });
  Object.assign(node.Service as object, {
    Environment: words([`GOQUORUM_BIN=${binary}`]),
    // Only the runner is told to stop; it stops the node in order.
    KillMode: "mixed",
  });
  if (one.manager) Object.assign(node.Unit as object, { Wants: manager, After: ["network.target", manager] });
  const all: [string, Unit][] = [[one.name, node]];
  if (one.manager) {
    const unit = service({
      description: `privacy manager of ${one.name}`,
      memory: MEMORY.manager,
      exec: programOf("manager", MANAGER, folder.managerConfig(one.name)),
      writes: [folder.manager(one.name)],
    });
    // A changed list of parties.
    Object.assign(unit.Service as object, { ExecReload: "/bin/kill -HUP $MAINPID" });
    all.push([partOf(one.name, "manager"), unit]);
  }
  if (one.edge) {
    const edge = service({
      description: `edge of ${one.name}`,
      memory: MEMORY.edge,
      exec: programOf("edge", EDGE, folder.edgeConfig(one.name)),
      writes: [],
    });
    // The one process that strangers reach sees no key, no state and no socket of the node's.
    Object.assign(edge.Service as object, {
      PrivateTmp: "yes",
      InaccessiblePaths: words(
        [...secretsOf(folder, one), folder.data(one.name), folder.postgres].map((path) => `-${path}`),
      ),
    });
    all.push([partOf(one.name, "edge"), edge]);
  }
  if (plan.directory)
    all.push([
      partOf(one.name, "keeper"),
      service({
        description: `keeper of ${one.name}`,
        memory: MEMORY.keeper,
        exec: programOf("keeper", KEEPER, folder.keeperConfig(one.name)),
        writes: [folder.data(one.name), "/tmp"],
      }),
    ]);
  return Object.fromEntries(all.map(([name, unit]) => [unitName(name), unitText(unit)]));
}

const secretsOf = (folder: NetworkFolder, one: NodePlan): string[] => [
  join(folder.node(one.name), "wrapping.key"),
  ...(one.manager ? [folder.manager(one.name)] : []),
];

/** Compose's own variables begin with a dollar sign. */
const plain = (text: string): string => text.replaceAll("$", "$$$$");

/** The services of one node. Containers share the machine's network, so that ports are the plan's, on loopback. */
function servicesOf(folder: NetworkFolder, plan: NetworkPlan, one: NodePlan): Record<string, Yaml> {
  const { uid, gid } = userInfo();
  const common = (memory: number) => ({
    network_mode: "host",
    user: `${uid}:${gid}`,
    restart: "unless-stopped",
    mem_limit: `${memory}m`,
    security_opt: ["no-new-privileges:true"],
  });
  const bind = (path: string, readOnly = false): Yaml => ({
    type: "bind",
    source: plain(path),
    target: plain(path),
    ...(readOnly ? { read_only: true } : {}),
  });
  const script = (memory: number, args: string[], volumes: Yaml[]) => ({
    image: IMAGE.javascript,
    ...common(memory),
    command: ["node", ...args].map(plain),
    volumes: [bind(CHECKOUT, true), ...volumes],
  });
  const key = join("/dev/shm", `${ipcPath(folder, one.name).split("/").at(-1)}.key`);
  const manager = partOf(one.name, "manager").replace("/", "-");
  const data = folder.data(one.name);
  const privacy = privacyOf(one);
  const run = `test -d data/geth/chaindata || geth --datadir data init ${quoted(folder.genesis)} && exec geth "$@"`;
  const services: Record<string, Yaml> = {
    [`${one.name}-key`]: {
      ...script(
        MEMORY.keeper,
        [PLAIN, UNSEAL, folder.root, one.name, key],
        [bind(folder.node(one.name), true), bind("/dev/shm")],
      ),
      restart: "no",
    },
    [one.name]: {
      image: IMAGE.node,
      ...common(MEMORY.node),
      working_dir: plain(folder.node(one.name)),
      entrypoint: ["/bin/sh", "-c", plain(run), "geth"],
      command: [
        ...["--config", folder.config(one.name), "--nodekey", key, "--ipcpath", ipcPath(folder, one.name)],
        ...NODE_FLAGS,
        ...(privacy ? ["--ptm.url", privacy.q2t] : []),
      ].map(plain),
      environment: { GOMEMLIMIT: "900MiB", ...(privacy ? {} : { PRIVATE_CONFIG: "ignore" }) },
      volumes: [
        bind(data),
        bind(folder.config(one.name), true),
        bind(folder.genesis, true),
        bind("/tmp"),
        bind("/dev/shm"),
      ],
      stop_signal: "SIGINT",
      stop_grace_period: "30s",
      depends_on: {
        [`${one.name}-key`]: { condition: "service_completed_successfully" },
        ...(one.manager ? { [manager]: { condition: "service_healthy" } } : {}),
      },
    },
  };
  if (one.manager) {
    // Without a space: Podman takes a word apart at them.
    const answers = `fetch("${privacy?.q2t}/upcheck").then((r)=>process.exit(r.ok?0:1),()=>process.exit(1))`;
    services[manager] = {
      ...script(MEMORY.manager, programOf("manager", MANAGER, folder.managerConfig(one.name)), [
        bind(folder.manager(one.name)),
        bind(folder.parties, true),
      ]),
      healthcheck: { test: ["CMD", "node", "-e", answers], interval: "2s", timeout: "5s", retries: 30 },
    };
  }
  if (one.edge)
    services[`${one.name}-edge`] = script(MEMORY.edge, programOf("edge", EDGE, folder.edgeConfig(one.name)), [
      bind(folder.edgeConfig(one.name), true),
    ]);
  if (plan.directory)
    services[`${one.name}-keeper`] = script(MEMORY.keeper, programOf("keeper", KEEPER, folder.keeperConfig(one.name)), [
      bind(folder.keeperConfig(one.name), true),
      bind(folder.plan, true),
      bind(folder.data(one.name)),
      bind("/tmp"),
    ]);
  return services;
}

export const composeOf = (folder: NetworkFolder, plan: NetworkPlan): string =>
  yaml({ services: Object.assign({}, ...plan.nodes.map((one) => servicesOf(folder, plan, one))) as Yaml });

/** Writes units, compose file and the start scripts of the nodes that are here, for the plan as it is now. */
export function writeUnits(folder: NetworkFolder, plan: NetworkPlan): void {
  mkdirSync(folder.units, { recursive: true });
  for (const one of plan.nodes)
    for (const [name, text] of Object.entries(unitsOf(folder, plan, one)))
      writeFileSync(join(folder.units, name), text);
  for (const one of plan.nodes.filter(({ name }) => existsSync(folder.node(name))))
    writeFileSync(folder.startScript(one.name), startScript(folder, plan, one), { mode: 0o755 });
  writeFileSync(folder.compose, composeOf(folder, plan));
}
