import { addressOfKey, fromHex, type Hex, toHex } from "@msec/core";
import { decodeRlp, encodeRlp, type JsonRpcProvider, keccak256, SigningKey, toBeArray } from "ethers";
import { z } from "zod";
import { type PrivacyManager, type PrivateFor, PRIVACY } from "./privacy-manager.ts";
import { type Call, type SignedTransaction } from "./sender.ts";

// Private transactions as GoQuorum 24.4.1 has them. What is on the chain of one is its sender and the 64-byte key under
// which the parties' privacy managers hold its content.

const KEY_BYTES = 64;
const GAS_LIMIT = 8_000_000n;
/** Of a legacy transaction. */
const DATA_FIELD = 5;

const word = (value: number | bigint): Uint8Array => toBeArray(value);
const hexBytes = z.string().regex(/^0x([0-9a-f]{2})*$/i) as unknown as z.ZodType<Hex>;

/**
 * Signs a private transaction that carries a payload's key: a legacy transaction at gas price 0, signed without a chain id
 * (Homestead) and with v 37 or 38 in place of 27 or 28, by which a node knows it as private.
 */
export function signPrivate(
  privateKey: Hex,
  { to, key, nonce, gasLimit = GAS_LIMIT }: { to?: Hex; key: Hex; nonce: number; gasLimit?: bigint },
): SignedTransaction {
  const data = fromHex(key, KEY_BYTES);
  const fields = [word(nonce), word(0), word(gasLimit), to ? fromHex(to, 20) : new Uint8Array(), word(0), data];
  const { r, s, yParity } = new SigningKey(privateKey).sign(keccak256(encodeRlp(fields)));
  const raw = encodeRlp([...fields, word(37 + yParity), word(BigInt(r)), word(BigInt(s))]) as Hex;
  return { hash: keccak256(raw) as Hex, nonce, raw };
}

/** A private transaction that was signed but perhaps not sent: the caller keeps it, so that a crash sends it once. */
export interface SignedPrivate extends SignedTransaction {
  /** Under which the managers hold its content. */
  key: Hex;
}

/** Sends private transactions of one account through its organisation's node and privacy manager. */
export class PrivateSender {
  readonly #privateKey: Hex;
  readonly #provider: JsonRpcProvider;
  readonly #manager: PrivacyManager;

  constructor(privateKey: Hex, provider: JsonRpcProvider, manager: PrivacyManager) {
    this.#privateKey = privateKey;
    this.#provider = provider;
    this.#manager = manager;
  }

  get address(): Hex {
    return addressOfKey(fromHex(this.#privateKey, 32));
  }

  /** Gives the content to the manager and signs its key. `from` is the party's key, left out: the manager's first. */
  async sign(call: Call, nonce: number, from?: string): Promise<SignedPrivate> {
    const key = await this.#manager.storeRaw(fromHex(call.data), from);
    const gasLimit = call.gasLimit === undefined ? undefined : BigInt(call.gasLimit);
    const { to } = call;
    return { key, ...signPrivate(this.#privateKey, { key, nonce, ...(to && { to }), ...(gasLimit && { gasLimit }) }) };
  }

  /**
   * Hands a signed transaction to the node, which brings the content to the parties first. Where one is away it fails, no
   * nonce is used, and the same bytes may be sent again. `from` is the party's key that it was signed with, if one was
   * named: a node with several private states takes it in that party's.
   */
  async broadcast(raw: Hex, { to, flag = PRIVACY.standard, mandatory = [] }: PrivateFor, from?: string): Promise<void> {
    const args = {
      ...(from ? { privateFrom: from } : {}),
      privateFor: to,
      privacyFlag: flag,
      ...(mandatory.length > 0 ? { mandatoryFor: mandatory } : {}),
    };
    try {
      await this.#hand("eth_sendRawPrivateTransaction", raw, args);
    } catch (error) {
      // A Tessera refuses to bring the same content twice; its parties hold it, and what is left is the transaction.
      if (!(await this.#isWithParties(raw, flag))) throw error;
      await this.#hand("eth_sendRawTransaction", raw);
    }
  }

  async #hand(method: string, raw: Hex, ...args: object[]): Promise<void> {
    try {
      await this.#provider.send(method, [raw, ...args]);
    } catch (error) {
      const text = String((error as { error?: { message?: string } }).error?.message ?? (error as Error).message);
      if (/already known|known transaction|nonce too low/i.test(text)) return;
      throw new Error(`the node does not take the private transaction: ${text}`, { cause: error });
    }
  }

  /** A manager has what it sent only once all parties have it; a Tessera too, seen with one of two parties away. */
  async #isWithParties(raw: Hex, flag: PrivateFor["flag"]): Promise<boolean> {
    const key = (decodeRlp(raw) as string[])[DATA_FIELD] as Hex;
    const held = await this.#manager.receive(key).catch(() => undefined);
    return held?.flag === flag;
  }
}

/** The content of a private transaction as its node has it; undefined where the node's organisation is no party. */
export async function quorumPayload(provider: JsonRpcProvider, key: Hex): Promise<Uint8Array | undefined> {
  const payload = fromHex(hexBytes.parse(await provider.send("eth_getQuorumPayload", [key])));
  return payload.length === 0 ? undefined : payload;
}

const contractPrivacy = z
  .object({
    creationTxHash: z.base64(),
    privacyFlag: z.union([z.literal(1), z.literal(2), z.literal(3)]),
    mandatoryFor: z.array(z.string()).nullish(),
  })
  .transform((m) => ({
    creationKey: toHex(new Uint8Array(Buffer.from(m.creationTxHash, "base64"))),
    flag: m.privacyFlag,
    mandatory: m.mandatoryFor ?? [],
  }));
export type ContractPrivacy = z.infer<typeof contractPrivacy>;

/** How a private contract is protected; undefined for a public one, one of flag 0, and one that is not known here. */
export async function contractPrivacyOf(provider: JsonRpcProvider, address: Hex): Promise<ContractPrivacy | undefined> {
  try {
    const answer: unknown = await provider.send("eth_getContractPrivacyMetadata", [address]);
    return answer === null ? undefined : contractPrivacy.parse(answer);
  } catch (error) {
    if (/no account extra data|no privacy metadata/i.test(String((error as Error).message))) return undefined;
    throw error;
  }
}

/** Receipt of the private transaction inside a privacy marker transaction. Throws where this node is no party. */
export async function markedReceipt(
  provider: JsonRpcProvider,
  hash: Hex,
): Promise<{ status: number; logs: unknown[] }> {
  const receipt = z.object({ status: hexBytes.or(z.string()), logs: z.array(z.unknown()) });
  const { status, logs } = receipt.parse(await provider.send("eth_getPrivateTransactionReceipt", [hash]));
  return { status: Number(status), logs };
}

/** A party of an extension, as its own node signs for it. */
export interface ExtensionSigner {
  /** Account whose key the node holds. */
  account: Hex;
  /** The party's key; left out: the manager's first. */
  privateFrom?: string;
  privateFor: string[];
}

const lower = z.string().transform((text) => text.toLowerCase() as Hex);
const activeExtension = z
  .object({
    contractExtended: lower,
    initiator: lower,
    recipient: lower,
    managementContractAddress: lower,
    recipientPtmKey: z.string(),
    creationData: z.base64(),
  })
  .transform(({ creationData, ...rest }) => ({
    ...rest,
    /** Under which the managers hold the offer; its sender is the party that offers. */
    creationKey: toHex(new Uint8Array(Buffer.from(creationData, "base64"))),
  }));
export type ActiveExtension = z.infer<typeof activeExtension>;

/** Extension of private contracts to a new party (`quorumExtension_*`); the node signs with an account that it holds. */
export class ContractExtension {
  readonly #provider: JsonRpcProvider;

  constructor(provider: JsonRpcProvider) {
    this.#provider = provider;
  }

  /** Offers a contract's state to a new party; the transaction's hash. */
  async extend(contract: Hex, newPartyKey: string, newAccount: Hex, signer: ExtensionSigner): Promise<Hex> {
    return this.#send("extendContract", contract, newPartyKey, newAccount, argsOf(signer));
  }

  /** Votes on an extension, as the new party or as one that is in. */
  async approve(management: Hex, vote: boolean, signer: ExtensionSigner): Promise<Hex> {
    return this.#send("approveExtension", management, vote, argsOf(signer));
  }

  async cancel(management: Hex, signer: ExtensionSigner): Promise<Hex> {
    return this.#send("cancelExtension", management, argsOf(signer));
  }

  /** Extensions that this node knows and that are not over. */
  async active(): Promise<ActiveExtension[]> {
    return z
      .array(activeExtension)
      .parse((await this.#provider.send("quorumExtension_activeExtensionContracts", [])) ?? []);
  }

  async status(management: Hex): Promise<"ACTIVE" | "DONE"> {
    return z
      .enum(["ACTIVE", "DONE"])
      .parse(await this.#provider.send("quorumExtension_getExtensionStatus", [management]));
  }

  async #send(method: string, ...params: unknown[]): Promise<Hex> {
    return hexBytes.parse(await this.#provider.send(`quorumExtension_${method}`, params));
  }
}

const argsOf = ({ account, privateFrom, privateFor }: ExtensionSigner) => ({
  from: account,
  ...(privateFrom ? { privateFrom } : {}),
  privateFor,
  value: "0x0",
});
