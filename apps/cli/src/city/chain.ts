import { existsSync } from "node:fs";
import { embedded, EMBEDDED_CHAIN_ID, type EmbeddedChain, type Profile, startChain } from "@msec/chain";
import { type Hex } from "@msec/core";
import {
  initNetwork,
  NetworkFolder,
  type NodePlan,
  profileOf,
  requireBinary,
  type RunningNetwork,
  upNetwork,
} from "@msec/quorum";
import { type Layout, type Ports } from "./layout.ts";
import { Problem } from "../problem.ts";

/** What a city's contracts live on. */
export const NETWORKS = ["embedded", "quorum"] as const;
export type Network = (typeof NETWORKS)[number];

export const QUORUM_CHAIN_ID = 20_261;
const VALIDATORS = 4;
/** Of which so many have a privacy manager. The edge of the last one shows state, since it has none. */
const MEMBERS = 3;
const RESTART_MS = 1000;

/** The chain of a city, started by it. */
export interface CityChain {
  network: Network;
  /** How the n-th operator or deliverer speaks to it, from 1: on Quorum to a node of its own while there are enough. */
  profileOf(n: number): Profile;
  /** Accounts of its nodes, which must be in an organisation before {@link follow}; none on the embedded chain. */
  nodeAccounts: Hex[];
  /** Has the nodes let in only those whose account is in this Directory. */
  follow(directory: Hex): Promise<void>;
  /** Processes by name, as they are now. */
  pids(): Record<string, number>;
  /** Starts what ends by itself again, until {@link stop}. */
  keep(onExit: (name: string) => void, onChange: () => void): void;
  stop(): Promise<void>;
}

/** The network that the city of this folder lives on, or is to. Refuses to move one. */
export function networkOf(layout: Layout, wanted: Network | undefined): Network {
  const here = existsSync(new NetworkFolder(layout.network).plan)
    ? "quorum"
    : existsSync(layout.deployment)
      ? "embedded"
      : undefined;
  if (here !== undefined && wanted !== undefined && here !== wanted)
    throw new Problem(
      `the city in ${layout.root} lives on the ${here} chain: leave --network out, or use --dir for another city`,
      2,
    );
  return here ?? wanted ?? "embedded";
}

export async function openChain(
  network: Network,
  layout: Layout,
  ports: Ports,
  progress: (line: string) => void,
): Promise<CityChain> {
  if (network === "embedded") {
    progress("chain: anvil at Istanbul rules, a block a second");
    return embeddedChain(layout, ports.chain, await startChain(layout.chain, ports.chain));
  }
  requireBinary();
  // The city's own processes start later.
  const taken = new Set(Object.values(ports).flat());
  if (!existsSync(new NetworkFolder(layout.network).plan))
    await initNetwork(layout.network, {
      chainId: QUORUM_CHAIN_ID,
      validators: VALIDATORS,
      observers: 0,
      members: MEMBERS,
      blockSeconds: 1,
      taken,
    });
  return quorumChain(await upNetwork(layout.network, (line) => progress(`chain: ${line}`)), taken);
}

function embeddedChain(layout: Layout, port: number, first: EmbeddedChain): CityChain {
  let running = first;
  let stopping = false;
  let again: Promise<void> = Promise.resolve();
  const keep = (onExit: (name: string) => void, onChange: () => void): void => {
    void running.exited.then(() => {
      if (stopping) return;
      onExit("chain");
      again = (async () => {
        while (!stopping) {
          await new Promise((resolve) => setTimeout(resolve, RESTART_MS));
          if (stopping) return;
          try {
            running = await startChain(layout.chain, port);
            onChange();
            return keep(onExit, onChange);
          } catch {
            // Tried again.
          }
        }
      })();
    });
  };
  return {
    network: "embedded",
    profileOf: () => embedded(first.rpc, EMBEDDED_CHAIN_ID),
    nodeAccounts: [],
    follow: () => Promise.resolve(),
    pids: () => ({ chain: running.pid }),
    keep,
    async stop() {
      stopping = true;
      await again;
      await running.stop();
    },
  };
}

const quorumChain = (network: RunningNetwork, taken: ReadonlySet<number>): CityChain => ({
  network: "quorum",
  profileOf: (n) => profileOf(network.plan, network.plan.nodes[(n - 1) % network.plan.nodes.length] as NodePlan),
  nodeAccounts: network.plan.nodes.map(({ address }) => address),
  follow: (directory) => network.follow(directory, taken),
  pids: () => network.pids(),
  keep: (onExit, onChange) => network.keep(onExit, onChange),
  stop: () => network.stop(),
});
