import {
  type AccessState,
  type Addresses,
  checkAccess,
  checkCode,
  type ChainProvider,
  type ContractName,
  contractsAt,
  type Difference,
  type Manifest,
  readAccess,
  readManifest,
  SOURCES,
} from "@msec/chain";
import { type Hex } from "@msec/core";
import { type Interface } from "ethers";
import { NotYet } from "../routes.ts";
import { type Block, type Store } from "../store.ts";
import { type Call, Calls } from "./calls.ts";
import { EpochLine } from "./epochs.ts";
import { type Finding, type Invariant } from "./invariant.ts";
import { MONEY } from "./money.ts";
import { RULES } from "./rules.ts";

/** As long as this an answer is given again. */
const KEPT_MS = 3_000;
const CODE_KEPT_MS = 60_000;

export interface AuditedContract {
  name: ContractName;
  source: string;
  address: Hex;
  verdict: Finding["verdict"];
  reason: string | null;
  compiler: string | null;
  deployedIn: { block: number; tx: Hex } | null;
  differences: Difference[];
}

export interface Audit {
  block: number;
  blockHash: Hex;
  at: number;
  evaluatedAtMs: number;
  milliseconds: number;
  /** Of which block the contracts' code is. */
  codeBlock: number;
  contracts: AuditedContract[];
  access:
    | (Omit<AccessState, "functions"> & {
        functions: (AccessState["functions"][number] & { signature: string | null })[];
      })
    | null;
  accessDifferences: Difference[] | null;
  invariants: (Finding & { calls: Call[]; callsTotal: number })[];
}

type Code = Pick<Audit, "codeBlock" | "contracts">;

/** Holds the city to its rules, by the chain's state and all events up to one block that was read. */
export class Auditor {
  readonly #provider: ChainProvider;
  readonly #addresses: Addresses;
  readonly #store: Store;
  readonly #manifestFile: string | undefined;
  readonly #invariants: readonly Invariant[] = [...MONEY, new EpochLine(), ...RULES];
  #lastCode: { at: number; code: Code } | undefined;
  #last: { at: number; audit: Promise<Audit> } | undefined;

  /** `manifest` is the file that says what was deployed; without it code is not compared. */
  constructor(provider: ChainProvider, addresses: Addresses, store: Store, manifest: string | undefined) {
    this.#provider = provider;
    this.#addresses = addresses;
    this.#store = store;
    this.#manifestFile = manifest;
  }

  /** However many ask, it is evaluated once in a few seconds. */
  now(): Promise<Audit> {
    if (this.#last && Date.now() - this.#last.at < KEPT_MS) return this.#last.audit;
    const audit = this.#evaluate();
    const last = { at: Date.now(), audit };
    this.#last = last;
    audit.then(
      () => (last.at = Date.now()),
      () => this.#last === last && (this.#last = undefined),
    );
    // Nobody starts another one meanwhile.
    last.at = Number.MAX_SAFE_INTEGER;
    return audit;
  }

  async #evaluate(): Promise<Audit> {
    const started = performance.now();
    const head = await this.#store.head();
    if (!head) throw new NotYet("the chain was not read yet: ask again");
    await this.#checkStill(head);
    const [code, access, invariants] = await Promise.all([
      this.#code(head.number),
      this.#access(head.number),
      Promise.all(this.#invariants.map((invariant) => this.#finding(invariant, head.number))),
    ]);
    await this.#checkStill(head);
    return {
      block: head.number,
      blockHash: head.hash,
      at: head.at,
      evaluatedAtMs: Date.now(),
      milliseconds: Math.round(performance.now() - started),
      ...code,
      ...access,
      invariants: invariants.flat(),
    };
  }

  /** A block that the chain has lost says nothing. */
  async #checkStill({ number, hash }: Block): Promise<void> {
    if ((await this.#provider.getBlock(number))?.hash !== hash)
      throw new NotYet("the chain lost the block that was looked at: ask again");
  }

  async #finding(invariant: Invariant, block: number): Promise<Audit["invariants"]> {
    const calls = new Calls(this.#provider, this.#addresses, block);
    const moment = { block, calls, provider: this.#provider, db: this.#store.db };
    const found = await invariant.evaluate(moment).catch(({ message }: Error) =>
      invariant.ids.map(
        (id): Finding => ({
          ...{ id, subject: null, verdict: "unknown", reason: message, figures: [], events: [] },
        }),
      ),
    );
    return found.map((finding) => ({ ...finding, calls: calls.listed, callsTotal: calls.total }));
  }

  /** Code does not change: it is compared once in a while, and its answer says of which block. */
  async #code(block: number): Promise<Code> {
    const age = Date.now() - (this.#lastCode?.at ?? 0);
    if (this.#lastCode && age < CODE_KEPT_MS && this.#lastCode.code.codeBlock <= block) return this.#lastCode.code;
    const code = { codeBlock: block, contracts: await this.#compared(block) };
    // What could not be told is asked again at once.
    this.#lastCode = code.contracts.some(({ verdict }) => verdict === "unknown") ? undefined : { at: Date.now(), code };
    return code;
  }

  async #compared(block: number): Promise<AuditedContract[]> {
    const names = Object.keys(SOURCES) as ContractName[];
    const plain = (name: ContractName) => ({ name, source: SOURCES[name], address: this.#addresses[name] });
    const untold = (reason: string) =>
      names.map(
        (name): AuditedContract => ({
          ...plain(name),
          ...{ verdict: "unknown", reason, compiler: null, deployedIn: null, differences: [] },
        }),
      );
    try {
      const manifest = this.#manifest();
      if (!manifest) return untold("no-manifest");
      const listed = manifest.contracts;
      if (names.some((name) => listed[name]?.address !== this.#addresses[name])) return untold("other-manifest");
      const differences = await checkCode(this.#provider, manifest, block);
      const general = differences.find(({ where }) => where === "chainId" || where === "contracts");
      if (general) return untold(general.what);
      return names.map((name) => {
        const found = differences.filter(({ where }) => where.startsWith(`${name}.`));
        const { compiler, block: deployed, transaction } = listed[name];
        return {
          ...plain(name),
          verdict: found.length > 0 ? "broken" : "holds",
          reason: found[0]?.what ?? null,
          compiler: `${compiler.version}, ${compiler.evmVersion}, ${compiler.optimizer.runs} runs`,
          deployedIn: { block: deployed, tx: transaction },
          differences: found,
        };
      });
    } catch (error) {
      return untold((error as Error).message);
    }
  }

  /** null where one of the two could not be read. */
  async #access(block: number): Promise<Pick<Audit, "access" | "accessDifferences">> {
    const read = await readAccess(this.#provider, this.#addresses, block).catch(() => null);
    if (!read) return { access: null, accessDifferences: null };
    const named = contractsAt(this.#addresses, this.#provider);
    const functions = read.functions.map((row) => {
      const known = named[row.contract as ContractName] as { interface: Interface } | undefined;
      return { ...row, signature: known?.interface.getFunction(row.selector)?.format("sighash") ?? null };
    });
    const access = { ...read, functions };
    try {
      const manifest = this.#manifest();
      return { access, accessDifferences: manifest ? await checkAccess(this.#provider, manifest, read, block) : null };
    } catch {
      return { access, accessDifferences: null };
    }
  }

  #manifest(): Manifest | undefined {
    return this.#manifestFile === undefined ? undefined : readManifest(this.#manifestFile);
  }
}
