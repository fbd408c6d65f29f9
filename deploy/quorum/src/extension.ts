import { setTimeout as sleep } from "node:timers/promises";
import {
  type ActiveExtension,
  type ChainProvider,
  connectChain,
  ContractExtension,
  type ExtensionSigner,
  PrivacyManager,
} from "@msec/chain";
import { addressOfKey, type Hex, keccak256, toHex } from "@msec/core";
import { secretFile } from "@msec/service";
import { Interface } from "ethers";
import { askAsOperator } from "./ipc.ts";
import { NetworkFolder, type NetworkPlan, type NodePlan, privacyOf, profileOf, readPlan } from "./network.ts";
import { NetworkProblem } from "./problem.ts";

// Giving a private contract to one more party. GoQuorum's nodes sign for it themselves, so each node that takes part holds an
// account for this alone, which owns nothing and is a party of nothing. Its key is sealed beside the node's, a copy of it is in
// the node's keystore under a random password, and it is unlocked by the operator's socket only, while one of these runs.

/** Whom a contract is offered to: the account of its node, and the key of its privacy manager. */
export interface ExtensionCard {
  account: Hex;
  key: string;
}

export type ExtensionOutcome = "extended" | "refused" | "taken back";

const MANAGEMENT = new Interface([
  "function isFinished() view returns (bool)",
  "function voteOutcome() view returns (bool)",
  "function sharedDataHash() view returns (string)",
]);
const POLL_MS = 250;
/** What a transaction or the state that follows a vote may take, in a chain that makes blocks. */
const WAIT_MS = 60_000;
const VOTE_SECONDS = 120;

/** Extensions of private contracts as one node with a privacy manager takes part in them. */
export class Extensions {
  readonly #folder: NetworkFolder;
  readonly #plan: NetworkPlan;
  readonly #node: NodePlan;
  readonly #manager: PrivacyManager;

  constructor(root: string, name: string) {
    this.#folder = new NetworkFolder(root);
    this.#plan = readPlan(this.#folder);
    const node = this.#plan.nodes.find((one) => one.name === name);
    const privacy = node && privacyOf(node);
    if (!node || !privacy)
      throw new NetworkProblem(
        `${name} has no privacy manager: those that have are ${
          this.#plan.nodes
            .filter(privacyOf)
            .map((one) => one.name)
            .join(", ") || "none"
        }`,
      );
    this.#node = node;
    this.#manager = new PrivacyManager(privacy.q2t, privacy.thirdParty);
  }

  /** What another party's operator needs to offer this node a contract. */
  async card(): Promise<ExtensionCard> {
    const [key] = await this.#manager.keys();
    return { account: addressOfKey(this.#key), key: key as string };
  }

  /** Extensions that are not over, and that this node is told of. */
  active(): Promise<ActiveExtension[]> {
    return this.#with((_, extension) => extension.active());
  }

  /**
   * Offers a contract that was made at this node, and waits up to `seconds` for the other's vote, after which the node sends the
   * contract's state by itself. Takes the offer back at the end of that time, or when `signal` says so.
   */
  async offer(
    contract: Hex,
    to: ExtensionCard,
    seconds: number,
    offered: (management: Hex) => void,
    signal?: AbortSignal,
  ): Promise<ExtensionOutcome> {
    await this.#refuseSecond();
    return this.#unlocked(seconds + VOTE_SECONDS, async (provider, extension, account) => {
      const signer = { account, privateFor: [to.key] };
      const hash = await extension.extend(contract, to.key, to.account, signer);
      const { contractAddress } = await mined(provider, hash);
      const management = contractAddress?.toLowerCase() as Hex;
      offered(management);
      // The node's own answer (getExtensionStatus) is of the block that it is making.
      const isOver = () => read(provider, management, "isFinished");
      for (const end = Date.now() + seconds * 1000; !(await isOver()); await sleep(POLL_MS))
        if (signal?.aborted || Date.now() > end)
          await this.#cancel(provider, extension, account, management).catch(async (error) => {
            if (!(await isOver())) throw error;
          });
      return outcomeOf(provider, management);
    });
  }

  /** Votes on an offer. Of one that it accepts it waits for the contract. `others` are keys of parties beside the one who offers. */
  async vote(management: Hex, accept: boolean, others: readonly string[] = []): Promise<ActiveExtension> {
    await this.#refuseSecond();
    return this.#unlocked(VOTE_SECONDS, async (provider, extension, account) => {
      const offer = await found(extension, management);
      const creation = await this.#manager.receive(offer.creationKey);
      if (!creation) throw new NetworkProblem(`the privacy manager of ${this.#node.name} lost the offer ${management}`);
      const signer: ExtensionSigner = { account, privateFor: [...new Set([creation.sender, ...others])] };
      await mined(provider, await extension.approve(management, accept, signer));
      if (!accept) return offer;
      for (const end = Date.now() + WAIT_MS; (await provider.getCode(offer.contractExtended)) === "0x"; )
        if (Date.now() < end) await sleep(POLL_MS);
        else
          throw new NetworkProblem(
            `the vote counts, and the contract did not come within ${WAIT_MS / 1000} s: whoever offered it must have it run until then, and offer it again`,
          );
      return offer;
    });
  }

  /** Takes back an offer of this node's, such as one whose command was killed. */
  async takeBack(management: Hex): Promise<void> {
    await this.#unlocked(VOTE_SECONDS, (...parts) => this.#cancel(...parts, management));
  }

  async #cancel(provider: ChainProvider, extension: ContractExtension, account: Hex, management: Hex): Promise<void> {
    const { creationKey } = await found(extension, management);
    const privateFor = await this.#manager.participants(creationKey);
    await mined(provider, await extension.cancel(management, { account, privateFor }));
  }

  /** The command that waits for an answer needs the account unlocked until then, and another one would lock it before. */
  async #refuseSecond(): Promise<void> {
    const account = addressOfKey(this.#key);
    const own = (await this.active()).find(({ initiator }) => initiator === account);
    if (own)
      throw new NetworkProblem(
        `${this.#node.name} waits for an answer to its offer ${own.managementContractAddress}: wait, or msec network take-back it first`,
      );
  }

  get #key(): Uint8Array {
    return secretFile(this.#folder.node(this.#node.name), "extension-key");
  }

  async #with<T>(work: (provider: ChainProvider, extension: ContractExtension) => Promise<T>): Promise<T> {
    const provider = connectChain(profileOf(this.#plan, this.#node));
    try {
      return await work(provider, new ContractExtension(provider));
    } finally {
      provider.destroy();
    }
  }

  #ask<T>(method: string, ...params: unknown[]): Promise<T> {
    return askAsOperator<T>(this.#folder, this.#node.name, method, params, WAIT_MS);
  }

  async #unlocked<T>(
    seconds: number,
    work: (provider: ChainProvider, extension: ContractExtension, account: Hex) => Promise<T>,
  ): Promise<T> {
    const account = addressOfKey(this.#key);
    const password = toHex(keccak256(new Uint8Array([...this.#key, 1])));
    if (!(await this.#ask<string[]>("personal_listAccounts")).includes(account))
      await this.#ask("personal_importRawKey", toHex(this.#key).slice(2), password);
    await this.#ask("personal_unlockAccount", account, password, seconds).catch((error: Error) => {
      throw /forbidden/.test(error.message)
        ? new NetworkProblem(
            `${this.#node.name} is of a network made before this: add the lines InsecureUnlockAllowed = true and UseLightweightKDF = true below [Node] in ${this.#folder.config(this.#node.name)}, and start it again`,
          )
        : error;
    });
    try {
      return await this.#with((provider, extension) => work(provider, extension, account));
    } finally {
      await this.#ask("personal_lockAccount", account);
    }
  }
}

async function found(extension: ContractExtension, management: Hex): Promise<ActiveExtension> {
  const one = (await extension.active()).find((active) => active.managementContractAddress === management);
  if (one) return one;
  throw new NetworkProblem(`no offer ${management} is open here: it is over, or was not made to this node`);
}

async function mined(provider: ChainProvider, hash: Hex): Promise<{ contractAddress: string | null }> {
  const receipt = await provider.mined(hash);
  if (receipt.status !== 1) throw new NetworkProblem("the other side was faster: see msec network extensions");
  return receipt;
}

async function read(
  provider: ChainProvider,
  management: Hex,
  name: "isFinished" | "voteOutcome" | "sharedDataHash",
): Promise<unknown> {
  const answer = await provider.call({ to: management, data: MANAGEMENT.encodeFunctionData(name) });
  return MANAGEMENT.decodeFunctionResult(name, answer)[0];
}

async function outcomeOf(provider: ChainProvider, management: Hex): Promise<ExtensionOutcome> {
  if (!(await read(provider, management, "voteOutcome"))) return "refused";
  return (await read(provider, management, "sharedDataHash")) === "" ? "taken back" : "extended";
}
