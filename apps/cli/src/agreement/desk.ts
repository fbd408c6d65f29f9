import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  type ChainProvider,
  type Contracts,
  contractsAt,
  describeError,
  PRIVACY,
  PrivacyManagerError,
  type PrivacyManager,
  Sender,
} from "@msec/chain";
import { AGREEMENT, type Agreement, type Domain, fromHex, type Hex, signTyped, toHex, ZERO_ADDRESS } from "@msec/core";
import { randomBytes } from "node:crypto";
import { readJson, writeJson } from "@msec/service";
import { Problem } from "../problem.ts";
import { readAnnouncements } from "./announcements.ts";
import { AgreementContract, type ContractView } from "./contract.ts";
import {
  type Card,
  decodeMessage,
  digestOf,
  digestsDomain,
  encodeMessage,
  type Message,
  type SignedVersion,
  termsHashOf,
} from "./message.ts";
import { paymentData } from "./payment.ts";
import { type AgreementState, type Entry, faultOf, isActive, isOpen, replay, type Version } from "./replay.ts";

/** A message on its way: kept from before it leaves until it stands on the chain, so that it goes out once. */
interface MessageDraft {
  key: Hex;
  to: string[];
  mandatory: string[];
  affected: Hex[];
  nonce?: number;
}

/** A payment on its way, kept likewise. */
interface PaymentDraft {
  payment: { token: Hex; to: Hex; amount: string; digest: Hex };
  nonce?: number;
}

type Draft = MessageDraft | PaymentDraft;

export interface Offer {
  terms: string;
  /** The others; whoever proposes is a party by itself. */
  parties: Card[];
  auditors: Card[];
  endMs: number;
  noticeMs: number;
  /** Unix milliseconds until which it may be signed. */
  deadline: number;
  /** Whether a first version has the contract PrivateAgreement behind it, which takes GoQuorum and a node of one's own. */
  contract: boolean;
}

type Digests = Contracts["AgreementDigests"];

const GAS_LIMIT = 100_000;

const byAccount = (a: Card, b: Card) => (a.account < b.account ? -1 : 1);
const keysOf = (cards: readonly Card[]) => [...new Set(cards.map(({ key }) => key))];

/**
 * The agreements of one account. Terms and signatures go from privacy manager to privacy manager and never to the chain;
 * on it stand the keys of the payloads and, once all have signed, the digest. On GoQuorum the contract PrivateAgreement, whose
 * rules these are, can stand behind it in the private state of the parties' nodes, and is kept level with the messages.
 */
export class Desk {
  readonly #manager: PrivacyManager;
  readonly #provider: ChainProvider;
  readonly #sender: Sender;
  readonly #privateKey: Hex;
  readonly #digests: Digests;
  readonly #contract: AgreementContract;
  readonly #folder: string;
  readonly #chainId: number;
  readonly domain: Domain;

  constructor(parts: {
    manager: PrivacyManager;
    provider: ChainProvider;
    chainId: number;
    privateKey: Hex;
    digests: Digests;
    digestsAddress: Hex;
    /** Where it remembers what it sends and how far it has read the chain; nothing secret. */
    folder: string;
  }) {
    this.#manager = parts.manager;
    this.#provider = parts.provider;
    this.#privateKey = parts.privateKey;
    this.#sender = new Sender(parts.privateKey, parts.provider, parts.chainId);
    this.#digests = parts.digests;
    this.#contract = new AgreementContract(parts.privateKey, parts.provider, parts.manager, parts.digestsAddress);
    this.#chainId = parts.chainId;
    this.#folder = parts.folder;
    this.domain = digestsDomain(parts.chainId, parts.digestsAddress);
    mkdirSync(this.#drafts, { recursive: true, mode: 0o700 });
  }

  /** What the others need to name this account as a party. */
  async card(): Promise<Card> {
    const [key] = await this.#manager.keys();
    return { account: this.#sender.address, key: key as string };
  }

  /** All agreements that this account's manager is a party to, by id. */
  async agreements(): Promise<Map<Hex, AgreementState>> {
    const file = join(this.#folder, "announcements.json");
    const announcements = await readAnnouncements(this.#provider, this.#chainId, file);
    const entries: Entry[] = [];
    for (const announcement of announcements) {
      const received = await this.#manager.receive(announcement.key);
      const message = received && decodeMessage(received.payload);
      if (message) entries.push({ ...announcement, message });
    }
    return replay(this.domain, entries);
  }

  async agreement(id: string): Promise<AgreementState> {
    const all = await this.agreements();
    const found = [...all.values()].filter((state) => state.id.startsWith(id.toLowerCase()));
    if (found.length === 1) return found[0] as AgreementState;
    throw new Problem(
      found.length === 0
        ? `no agreement ${id} is known to this manager: it is not a party's or an auditor's, or nothing was sent yet`
        : `${id} begins the ids of ${found.length} agreements: give more of it`,
    );
  }

  /** Proposes a first version, or with `id` an amendment or a counter-proposal. Returns the agreement's id. */
  async propose(offer: Offer, id?: string): Promise<Hex> {
    await this.resume();
    const before = id === undefined ? undefined : await this.agreement(id);
    const own = await this.card();
    const parties = [own, ...offer.parties].sort(byAccount);
    const auditors = [...offer.auditors].sort(byAccount);
    const salt = toHex(new Uint8Array(randomBytes(32)));
    const agreement: Agreement = {
      // Without a contract behind it a random name in place of its address.
      agreement: before?.id ?? toHex(new Uint8Array(randomBytes(20))),
      version: (before?.newest ?? 0) + 1,
      termsHash: termsHashOf(offer.terms),
      parties: parties.map(({ account }) => account),
      auditors: auditors.map(({ account }) => account),
      ...{ endMs: offer.endMs, noticeMs: offer.noticeMs, deadline: offer.deadline, salt },
    };
    const version = { agreement, terms: offer.terms, cards: [...parties, ...auditors] };
    const now = Date.now();
    const fault = faultOf(version, now) ?? this.#mayNotPropose(before);
    if (fault) throw new Problem(`this can't be proposed: ${fault}`, 2);
    if (offer.contract && before)
      throw new Problem("a contract stands behind an agreement from its first version on", 2);
    if (offer.contract) agreement.agreement = await this.#contract.found(parties, auditors);
    const active = before && isActive(before, now) ? before.active : undefined;
    const newcomers = version.cards.filter(({ account }) => active && !active.cards.some((c) => c.account === account));
    if (before && newcomers.length > 0) await this.share(before.id, newcomers);
    const signature = signTyped(fromHex(this.#privateKey), this.domain, AGREEMENT, agreement);
    const readers = [...version.cards, ...(active?.cards ?? [])];
    await this.#send({ kind: "proposal", ...version, signature }, readers, auditors, []);
    await this.#follow(agreement.agreement);
    return agreement.agreement;
  }

  /** Signs the open proposal that has this digest, and anchors the digest if that makes it active. */
  async sign(id: string, digest: string): Promise<AgreementState> {
    await this.resume();
    const state = await this.agreement(id);
    const { open } = state;
    const done = (version: Version | undefined) =>
      version?.digest.startsWith(digest) && version.signatures.has(this.#sender.address);
    if (done(open) || done(state.active)) {
      await this.#follow(state.id);
      return this.#anchored(state.id);
    }
    if (!open || !isOpen(state, Date.now())) throw new Problem("no proposal is open: see msec agreement show");
    if (!open.digest.startsWith(digest))
      throw new Problem(`the open proposal has the digest ${open.digest}, not ${digest}: read it again`);
    if (!open.asked.includes(this.#sender.address))
      throw new Problem(`${this.#sender.address} is not asked to sign: only its parties are`);
    const signature = signTyped(fromHex(this.#privateKey), this.domain, AGREEMENT, open.agreement);
    const { auditors, readers } = this.#readersOf(state, open);
    await this.#send({ kind: "signature", digest: open.digest, signature }, readers, auditors, [open.key as Hex]);
    const signed = await this.#anchored(state.id);
    await this.#follow(state.id);
    return signed;
  }

  /** Gives notice: the active agreement ends after its notice, if that is before its end. */
  async giveNotice(id: string): Promise<AgreementState> {
    await this.resume();
    const state = await this.agreement(id);
    const { active } = state;
    if (!active || !isActive(state, Date.now())) throw new Problem("nothing is in force: there is no notice to give");
    if (!active.agreement.parties.includes(this.#sender.address))
      throw new Problem(`${this.#sender.address} is no party: auditors read and never write`);
    const { auditors, readers } = this.#readersOf(state, active);
    const affected = active.key ? [active.key] : [];
    await this.#send({ kind: "notice", digest: active.digest }, readers, auditors, affected);
    await this.#inContract(() => this.#contract.giveNotice(state));
    return this.agreement(state.id);
  }

  /** Gives what is in force to others, sealed anew for each: it proves itself by its signatures. */
  async share(id: string, cards: readonly Card[]): Promise<void> {
    await this.resume();
    const state = await this.agreement(id);
    const signed = this.signed(state);
    const copy: Message = { kind: "copy", signed, endMs: state.endMs, newest: state.newest };
    for (const card of cards) await this.#send(copy, [card], [], []);
  }

  /** What is in force or was last, as it may be shown to a court. */
  signed({ active }: AgreementState): SignedVersion {
    if (!active) throw new Problem("not all parties have signed yet: there is nothing to show");
    const { agreement, terms, cards, signatures } = active;
    return { agreement, terms, cards, signatures: agreement.parties.map((party) => signatures.get(party) as Hex) };
  }

  /** Time at which a digest was anchored, Unix milliseconds; 0 if it was not. */
  async anchoredAt(digest: Hex): Promise<number> {
    return Number((await this.#digests.anchoredBy(digest)).atMs);
  }

  /** What the contract behind it says; undefined where this account's node has none. */
  contract(state: AgreementState): Promise<ContractView | undefined> {
    return this.#contract.view(state);
  }

  /** Brings the contracts behind all agreements what they lack of the messages. */
  async catchUp(): Promise<void> {
    for (const state of (await this.agreements()).values()) await this.#inContract(() => this.#contract.follow(state));
  }

  async #follow(id: Hex): Promise<void> {
    const state = await this.agreement(id);
    await this.#inContract(() => this.#contract.follow(state));
  }

  async #inContract(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw new Problem(
        `the message is out, but the private contract behind it is not level (${describeError(error)}): msec agreement resume`,
      );
    }
  }

  /**
   * Pays another party under what is in force, or was last: its digest stands in the transaction. A payment of the same kind that was
   * cut off is brought to its end in place of a second one, and said to be `resumed`.
   */
  async pay(
    id: string,
    { token, amount, to }: { token: Hex; amount: bigint; to?: Hex },
  ): Promise<{ digest: Hex; to: Hex; amount: bigint; hash: Hex; resumed: boolean }> {
    const finished = await this.#finishAll();
    const { active } = await this.agreement(id);
    if (!active) throw new Problem("not all parties have signed yet: there is nothing to pay under");
    const { digest } = active;
    const others = active.agreement.parties.filter((party) => party !== this.#sender.address);
    if (others.length === active.agreement.parties.length)
      throw new Problem(`${this.#sender.address} is no party: parties alone pay under an agreement`);
    const payee = to ?? others[0];
    if (!payee || (!to && others.length > 1) || !others.includes(payee))
      throw new Problem(`name another party with --to: ${others.join(", ")}`, 2);
    if ((await this.anchoredAt(digest)) === 0) throw new Problem("its digest is not anchored: sign again to anchor it");
    const payment = { token, to: payee, amount: String(amount), digest };
    const before = finished.find(({ draft }) => "payment" in draft && isDeepStrictEqual(draft.payment, payment));
    if (before) return { ...{ digest, to: payee, amount }, hash: before.hash, resumed: true };
    const call = this.#paymentCall(payment);
    try {
      await this.#provider.call({ from: this.#sender.address, ...call });
    } catch (error) {
      throw new Problem(`the token refuses the payment: ${describeError(error)}`);
    }
    const hash = await this.#keepAndFinish(digest, { payment });
    return { ...{ digest, to: payee, amount, hash }, resumed: false };
  }

  #paymentCall({ token, to, amount, digest }: PaymentDraft["payment"]): { to: Hex; data: Hex } {
    const { MSecToken } = contractsAt({ MSecToken: token }, this.#provider);
    return { to: token, data: paymentData(MSecToken, to, BigInt(amount), digest) };
  }

  /** Brings to their end what was cut off: messages and payments on their way, digests that all have signed. */
  async resume(): Promise<number> {
    return (await this.#finishAll()).length;
  }

  async #finishAll(): Promise<{ draft: Draft; hash: Hex }[]> {
    const files = readdirSync(this.#drafts)
      .filter((name) => name.endsWith(".json"))
      .sort();
    const finished = [];
    for (const file of files) {
      const draft = readJson<Draft>(join(this.#drafts, file)) as Draft;
      finished.push({ draft, hash: await this.#finish(join(this.#drafts, file)) });
    }
    return finished;
  }

  get #drafts(): string {
    return join(this.#folder, "drafts");
  }

  #mayNotPropose(before: AgreementState | undefined): string | undefined {
    const parties = before?.active?.agreement.parties ?? before?.founders;
    return parties && !parties.includes(this.#sender.address) ? `${this.#sender.address} is no party of it` : undefined;
  }

  #readersOf(state: AgreementState, version: Version): { readers: Card[]; auditors: Card[] } {
    const amended = version === state.open && isActive(state, Date.now()) ? (state.active?.cards ?? []) : [];
    const auditors = version.cards.filter(({ account }) => version.agreement.auditors.includes(account));
    return { readers: [...version.cards, ...amended], auditors };
  }

  /** Stores a message, remembers it, brings it to its readers and announces it. */
  async #send(message: Message, readers: readonly Card[], auditors: readonly Card[], affected: Hex[]): Promise<void> {
    const key = await this.#manager.storeRaw(encodeMessage(message));
    await this.#keepAndFinish(key, { key, to: keysOf(readers), mandatory: keysOf(auditors), affected });
  }

  #keepAndFinish(key: Hex, draft: Draft): Promise<Hex> {
    const file = join(this.#drafts, `${Date.now()}-${key.slice(2, 18)}.json`);
    writeJson(file, draft);
    return this.#finish(file);
  }

  async #finish(file: string): Promise<Hex> {
    const draft = readJson<Draft>(file) as Draft;
    if ("key" in draft) await this.#deliver(file, draft);
    const call = "key" in draft ? { to: this.#sender.address, data: draft.key } : this.#paymentCall(draft.payment);
    for (;;) {
      draft.nonce ??= await this.#sender.nonce();
      writeJson(file, draft);
      const { hash, raw } = await this.#sender.sign({ ...call, gasLimit: GAS_LIMIT }, draft.nonce);
      await this.#sender.broadcast(raw);
      const mined = await this.#provider.getTransactionCount(this.#sender.address, "latest");
      // The account has used the number for something else since.
      if (mined > draft.nonce && !(await this.#sender.receipt(hash))) {
        delete draft.nonce;
        continue;
      }
      const { status } = await this.#sender.wait(hash, raw);
      if (existsSync(file)) rmSync(file);
      if (status !== 1) throw new Problem(`the transaction ${hash} had no effect: see msec agreement show`);
      return hash;
    }
  }

  /** Brings a message to its readers. */
  async #deliver(file: string, { key, to, mandatory, affected }: MessageDraft): Promise<void> {
    // Only parties may write (flag 1), and with auditors nobody may write without them (flag 2).
    const flag = mandatory.length > 0 ? PRIVACY.mandatoryParties : PRIVACY.partyProtection;
    try {
      await this.#manager.sendStored(key, { to, flag, mandatory, affected });
    } catch (error) {
      const refused = error instanceof PrivacyManagerError && error.status >= 400 && error.status < 500;
      if (refused) rmSync(file);
      throw new Problem(
        refused
          ? (error as Error).message
          : `${(error as Error).message}; what was to be sent is kept, and goes out once: msec agreement resume`,
      );
    }
  }

  async #anchored(id: Hex): Promise<AgreementState> {
    const state = await this.agreement(id);
    const digest = state.active?.digest;
    if (!digest || (await this.#digests.anchoredBy(digest)).by !== ZERO_ADDRESS) return state;
    const data = this.#digests.interface.encodeFunctionData("anchor", [digest]);
    const to = this.domain.verifyingContract;
    try {
      await this.#sender.transact({ to, data });
    } catch (error) {
      // Another party was faster.
      if ((await this.anchoredAt(digest)) === 0)
        throw new Problem(`all have signed, but the digest is not anchored (${describeError(error)}): sign again`);
    }
    return state;
  }
}

/** Checks a signed version that was shown: its digest and when it was anchored (0: never). Throws if it is not signed. */
export async function checkSigned(
  digests: Digests,
  domain: Domain,
  signed: SignedVersion,
): Promise<{ digest: Hex; anchoredMs: number }> {
  if (termsHashOf(signed.terms) !== signed.agreement.termsHash)
    throw new Problem("the terms in the file are not those that were signed");
  try {
    const { digest, atMs } = await digests.verify(signed.agreement, signed.signatures);
    if (digest !== digestOf(domain, signed.agreement)) throw new Error("the contract computes another digest");
    return { digest: digest as Hex, anchoredMs: Number(atMs) };
  } catch (error) {
    throw new Problem(`not every party has signed this: ${describeError(error)}`);
  }
}
