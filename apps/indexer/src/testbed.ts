import { type Addresses, artifact, type ContractName, SOURCES } from "@msec/chain";
import { connect, type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { type Hex } from "@msec/core";
import { Interface, type JsonRpcProvider, type ParamType } from "ethers";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type pg from "pg";
import { type Log } from "./decode.ts";

export const word = (n: number): Hex => `0x${n.toString(16).padStart(64, "0")}`;
export const account = (n: number): Hex => `0x${n.toString(16).padStart(40, "0")}`;

export const ADDRESSES = Object.fromEntries(
  (Object.keys(SOURCES) as ContractName[]).map((name, i) => [name, account(0x1000 + i)]),
) as Addresses;

/** An event with zeros for whatever is not given. */
export function emitted(contract: ContractName, name: string, given: Record<string, unknown> = {}): Emitted {
  const event = new Interface(artifact(SOURCES[contract]).abi).getEvent(name);
  if (!event) throw new Error(`${contract} has no event ${name}`);
  return [contract, name, event.inputs.map((param) => filled(param, given[param.name]))];
}

function filled(param: ParamType, given: unknown): unknown {
  if (param.baseType === "tuple") {
    const fields = (given ?? {}) as Record<string, unknown>;
    return param.components?.map((part) => filled(part, fields[part.name]));
  }
  if (given !== undefined) return given;
  if (param.baseType === "array") return [];
  if (param.baseType === "bool") return false;
  if (param.baseType === "string") return "";
  if (param.baseType === "bytes") return "0x";
  const size = /^bytes(\d+)$/.exec(param.baseType)?.[1];
  if (size) return `0x${"00".repeat(Number(size))}`;
  return param.baseType === "address" ? account(0) : 0;
}

interface FakeBlock {
  hash: Hex;
  timestamp: number;
  logs: Log[];
}

export type Emitted = readonly [contract: ContractName, name: string, values: readonly unknown[]];

/** A chain that a test writes: blocks of events, which it can lose again. */
export class FakeChain {
  readonly blocks: FakeBlock[] = [];
  /** Errors thrown by the next calls. */
  failures = 0;
  #salt = 0;

  mine(...events: Emitted[]): void {
    const blockNumber = this.blocks.length;
    const hash = word(++this.#salt);
    const logs = events.map(([contract, name, values], index) => {
      const { data, topics } = new Interface(artifact(SOURCES[contract]).abi).encodeEventLog(name, [...values]);
      const transactionHash = word(1_000_000 * this.#salt + index);
      return { address: ADDRESSES[contract], data, topics, blockNumber, index, transactionHash, blockHash: hash };
    });
    this.blocks.push({ hash, timestamp: 1_800_000_000 + blockNumber, logs });
  }

  lose(blocks: number): void {
    this.blocks.splice(this.blocks.length - blocks, blocks);
  }

  /** The part of a provider that the reader uses. */
  get provider(): JsonRpcProvider {
    const answer = async <T>(value: () => T): Promise<T> => {
      if (this.failures > 0 && this.failures-- > 0) throw new Error("the node is away");
      return value();
    };
    return {
      getBlockNumber: () => answer(() => this.blocks.length - 1),
      getBlock: (n: number) => answer(() => this.blocks[n] ?? null),
      getLogs: ({ fromBlock, toBlock }: { fromBlock: number; toBlock: number }) =>
        answer(() => this.blocks.slice(fromBlock, toBlock + 1).flatMap(({ logs }) => logs)),
    } as unknown as JsonRpcProvider;
  }
}

/** A database server for the tests of one file. */
export class TestDatabases {
  readonly #folder: string;
  readonly #server: EmbeddedPostgres;
  readonly #pools: pg.Pool[] = [];

  private constructor(folder: string, server: EmbeddedPostgres) {
    this.#folder = folder;
    this.#server = server;
  }

  static async start(): Promise<TestDatabases> {
    const folder = mkdtempSync(join(tmpdir(), "msec-indexer-"));
    return new TestDatabases(folder, await startPostgres(join(folder, "postgres")));
  }

  async open(name: string): Promise<pg.Pool> {
    const pool = connect(await this.#server.database(name));
    this.#pools.push(pool);
    return pool;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#pools.map((pool) => pool.end()));
    await this.#server.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
