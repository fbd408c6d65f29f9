import {
  artifact,
  type ChainProvider,
  contractPrivacyOf,
  maskImmutables,
  PRIVACY,
  type PrivacyManager,
  type PrivateFor,
  PrivateSender,
} from "@msec/chain";
import { type Hex, utf8 } from "@msec/core";
import { Contract, ContractFactory, getCreateAddress } from "ethers";
import { Problem } from "../problem.ts";
import { type Card } from "./message.ts";
import { type AgreementState, isActive, isOpen, type Version } from "./replay.ts";

const SOURCE = "contracts/privacy/PrivateAgreement.sol";
const GAS_LIMIT = 6_000_000;
const STATES = ["none", "proposed", "active", "amending", "ended"] as const;

/** What the contract of an agreement says, in the private state of this account's node. */
export interface ContractView {
  state: (typeof STATES)[number];
  /** Whether it has the versions and signatures of the messages. */
  level: boolean;
}

/**
 * The contract PrivateAgreement behind an agreement, in the private state of its founders' nodes on GoQuorum. Messages say what
 * it is to hold; any party may bring what it lacks, since signatures are of versions and not of senders.
 */
export class AgreementContract {
  readonly #provider: ChainProvider;
  readonly #sender: PrivateSender;
  readonly #digests: Hex;
  readonly #build = artifact(SOURCE);

  constructor(privateKey: Hex, provider: ChainProvider, manager: PrivacyManager, digests: Hex) {
    this.#provider = provider;
    this.#sender = new PrivateSender(privateKey, provider, manager);
    this.#digests = digests;
  }

  /** Deploys it among parties and auditors: only they write (flag 1), nobody without the auditors (2). @returns Its address. */
  async found(parties: readonly Card[], auditors: readonly Card[]): Promise<Hex> {
    const version = String(await this.#provider.send("web3_clientVersion", []));
    if (!/quorum/i.test(version))
      throw new Problem(`a private contract takes a node of GoQuorum, and this one is ${version}: leave it out`);
    const { abi, bytecode } = this.#build;
    const founders = parties.map(({ account }) => account);
    const { data } = await new ContractFactory(abi, bytecode).getDeployTransaction(this.#digests, founders);
    const mandatory = auditors.map(({ key }) => key);
    const flag = mandatory.length > 0 ? PRIVACY.mandatoryParties : PRIVACY.partyProtection;
    const nonce = await this.#send({ data }, this.#among([...parties, ...auditors], flag, mandatory));
    return getCreateAddress({ from: this.#sender.address, nonce }).toLowerCase() as Hex;
  }

  /** What it says; undefined where this account's node holds no such contract. */
  async view(state: AgreementState): Promise<ContractView | undefined> {
    if (!(await this.#isHere(state.id))) return undefined;
    const now = STATES[Number(await this.#read(state.id, "state"))] as ContractView["state"];
    const lacks = await Promise.all(versions(state).map((version) => this.#lacks(state.id, version)));
    return { state: now, level: lacks.every(({ itself, signatures }) => !itself && signatures.length === 0) };
  }

  /** Brings it what the messages have and it lacks, as one of its parties; nothing where the node holds no such contract. */
  async follow(state: AgreementState): Promise<void> {
    if (!(await this.#mayWrite(state.id))) return;
    for (const version of versions(state)) {
      const number = version.agreement.version;
      if ((await this.#lacks(state.id, version)).itself) await this.#propose(state, version);
      for (const signature of (await this.#lacks(state.id, version)).signatures)
        await this.#write(state, "sign", number, signature);
    }
  }

  /** Gives notice to it as well. */
  async giveNotice(state: AgreementState): Promise<void> {
    if (await this.#mayWrite(state.id)) await this.#write(state, "giveNotice");
  }

  async #propose(state: AgreementState, { agreement, terms, digest }: Version): Promise<void> {
    const { version, ...rest } = agreement;
    const proposal = { ...rest, terms: utf8(terms) };
    const { version: open } = (await this.#read(state.id, "open")) as { version: bigint };
    const call = open === 0n ? ["propose", proposal] : ["counter", open, proposal];
    const [name, ...args] = call as [string, ...unknown[]];
    const next = await this.#contract(state.id)
      .getFunction(name)
      .staticCall(...args, { from: this.#sender.address });
    if (Number(next) !== version)
      throw new Error(`the private contract is at version ${Number(next) - 1} and can't take version ${version}`);
    await this.#write(state, name, ...args);
    if ((await this.#read(state.id, "digestOf", version)) !== digest)
      throw new Error(
        "the private contract computes another digest: it is another's, or names another AgreementDigests",
      );
  }

  /** Whether it lacks a version, and which of its signatures. */
  async #lacks(id: Hex, { agreement: { version }, digest, signatures }: Version) {
    const itself = (await this.#read(id, "digestOf", version)) !== digest;
    const missing: Hex[] = [];
    for (const [account, signature] of signatures)
      if (!(await this.#read(id, "hasSigned", version, account))) missing.push(signature);
    return { itself, signatures: missing };
  }

  async #mayWrite(id: Hex): Promise<boolean> {
    return (await this.#isHere(id)) && ((await this.#read(id, "isParty", this.#sender.address)) as boolean);
  }

  /** Whoever proposes names the address, so it is looked at. */
  async #isHere(id: Hex): Promise<boolean> {
    const code = await this.#provider.getCode(id);
    return code.length === this.#build.deployedBytecode.length && maskImmutables(code, this.#build) === this.#masked;
  }

  get #masked(): string {
    return maskImmutables(this.#build.deployedBytecode, this.#build);
  }

  #contract(id: Hex): Contract {
    return new Contract(id, this.#build.abi, this.#provider);
  }

  #read(id: Hex, name: string, ...args: unknown[]): Promise<unknown> {
    return this.#contract(id)
      .getFunction(name)
      .staticCall(...args);
  }

  /** Tried first, so that what the contract refuses is said in its words. */
  async #write(state: AgreementState, name: string, ...args: unknown[]): Promise<void> {
    const write = this.#contract(state.id).getFunction(name);
    await write.staticCall(...args, { from: this.#sender.address });
    const { data } = await write.populateTransaction(...args);
    const privacy = await contractPrivacyOf(this.#provider, state.id);
    if (!privacy) throw new Error("it is not protected from others' writes (flag 0)");
    // Whoever joined since has it by an extension of the contract.
    const cards = [...state.first, ...(state.active?.cards ?? [])];
    await this.#send({ to: state.id, data }, this.#among(cards, privacy.flag, privacy.mandatory));
  }

  #among(cards: readonly Card[], flag: NonNullable<PrivateFor["flag"]>, mandatory: string[]): PrivateFor {
    const others = cards.filter(({ account }) => account !== this.#sender.address).map(({ key }) => key);
    return { to: [...new Set(others)], flag, ...(mandatory.length > 0 ? { mandatory } : {}) };
  }

  /** @returns The transaction's nonce. */
  async #send(call: { to?: Hex; data: string }, among: PrivateFor): Promise<number> {
    const nonce = await this.#provider.getTransactionCount(this.#sender.address, "pending");
    const { hash, raw } = await this.#sender.sign({ ...call, gasLimit: GAS_LIMIT }, nonce);
    await this.#sender.broadcast(raw, among);
    if ((await this.#provider.mined(hash)).status !== 1) throw new Error("another party was faster");
    return nonce;
  }
}

/** What the contract should know of: what is in force, and what is open on top of it. */
function versions(state: AgreementState): Version[] {
  const now = Date.now();
  const named = [isActive(state, now) ? state.active : undefined, isOpen(state, now) ? state.open : undefined];
  return named.filter((version) => version !== undefined);
}
