import { Transaction } from "ethers";
import { z } from "zod";
import { costOf, readsState } from "./methods.ts";
import { connectionOf, Quota, type Rate } from "./quota.ts";
import { type Answer, askNode } from "./upstream.ts";

const id = z.union([z.string().max(256), z.number(), z.null()]);
const request = z.object({
  jsonrpc: z.literal("2.0"),
  id,
  method: z.string().max(64),
  params: z.array(z.unknown()).default([]),
});

/** JSON-RPC 2.0, and EIP-1474's code for a limit. */
export const CODES = {
  malformed: -32_700,
  invalid: -32_600,
  method: -32_601,
  params: -32_602,
  away: -32_603,
  limit: -32_005,
} as const;

/** What became of a request, for the metrics. */
export type Outcome = "answered" | "node-error" | "away" | "invalid" | "method" | "connection" | "account" | "busy";

export interface EdgeOptions {
  /** JSON-RPC of the organisation's node. */
  node: string;
  chainId: number;
  /** The node has a privacy manager: state, logs and receipts are not shown. */
  privateState: boolean;
  /** Cost of requests, by remote address. */
  connection: Rate;
  /** Transactions, by who signed them. */
  account: Rate;
  /** Most requests of one batch, and most that wait for the node at once. */
  largestBatch: number;
  inFlight: number;
}

export type Reply = { jsonrpc: "2.0"; id: z.infer<typeof id> } & Answer;
/** What goes to the node, and whose quota a transaction was taken from. */
type Passed = { method: string; params: unknown[]; sender?: string };

const refusal = (code: number, message: string, data?: object): Answer => ({
  error: { code, message, ...(data ? { data } : {}) },
});

const limited = (message: string, seconds: number): Answer =>
  refusal(CODES.limit, `${message}: try again in ${Math.ceil(seconds)} s, or at another organisation's edge`, {
    retryAfterSeconds: Math.ceil(seconds),
  });

/** Passes on to a node what its users may ask it, and answers the rest itself. */
export class Edge {
  readonly #options: EdgeOptions;
  readonly #connections: Quota;
  readonly #accounts: Quota;
  readonly #count: (method: string, outcome: Outcome) => void;
  #waiting = 0;

  constructor(options: EdgeOptions, count: (method: string, outcome: Outcome) => void, now?: () => number) {
    this.#options = options;
    this.#connections = new Quota(options.connection, now);
    this.#accounts = new Quota(options.account, now);
    this.#count = count;
  }

  /** One request, or a batch of them, from a remote address. */
  async answer(body: unknown, from: string): Promise<Reply | Reply[]> {
    if (!Array.isArray(body)) return (await this.#answerAll([body], from))[0] as Reply;
    const { largestBatch } = this.#options;
    if (body.length > 0 && body.length <= largestBatch) return this.#answerAll(body, from);
    this.#count("other", "invalid");
    return {
      jsonrpc: "2.0",
      id: null,
      ...refusal(CODES.invalid, `a batch holds 1 to ${largestBatch} requests, not ${body.length}`),
    };
  }

  async #answerAll(all: unknown[], from: string): Promise<Reply[]> {
    const checked = all.map((one) => this.#check(one, from));
    const passed = checked.flatMap(({ pass }) => pass ?? []);
    const answers = passed.length > 0 ? await this.#ask(passed) : [];
    return checked.map(({ id, refused }) => ({ jsonrpc: "2.0", id, ...(refused ?? (answers.shift() as Answer)) }));
  }

  async #ask(passed: Passed[]): Promise<Answer[]> {
    const { inFlight, node } = this.#options;
    const all = (answer: Answer, outcome: Outcome) => {
      this.#giveBack(passed);
      return passed.map(({ method }) => {
        this.#count(method, outcome);
        return answer;
      });
    };
    if (this.#waiting + passed.length > inFlight)
      return all(limited(`more than ${inFlight} requests wait for the node`, 1), "busy");
    this.#waiting += passed.length;
    try {
      const answers = await askNode(
        node,
        passed.map(({ method, params }) => ({ method, params })),
      );
      for (const [i, answer] of answers.entries())
        this.#count((passed[i] as Passed).method, "error" in answer ? "node-error" : "answered");
      this.#giveBack(passed.filter((_, i) => "error" in (answers[i] as Answer)));
      return answers;
    } catch (error) {
      const why = error instanceof Error && error.message.includes("16 MiB") ? error.message : "it does not answer";
      return all(refusal(CODES.away, `the organisation's node: ${why}; try another organisation's edge`), "away");
    } finally {
      this.#waiting -= passed.length;
    }
  }

  /** What the node did not take costs its account nothing: else whoever sends its old transactions again would use up its quota. */
  #giveBack(passed: Passed[]): void {
    for (const { sender } of passed) if (sender !== undefined) this.#accounts.giveBack(sender);
  }

  /** What is passed on of a request, or why nothing is. */
  #check(one: unknown, from: string): { id: z.infer<typeof id>; pass?: Passed; refused?: Answer } {
    const parsed = request.safeParse(one);
    const known = z.object({ id }).safeParse(one);
    const refuse = (method: string, outcome: Outcome, refused: Answer) => {
      this.#count(method, outcome);
      return { id: known.success ? known.data.id : null, refused };
    };
    if (!parsed.success)
      return refuse(
        "other",
        "invalid",
        refusal(CODES.invalid, "no request of JSON-RPC 2.0 with jsonrpc, id, method and a list of params"),
      );
    const { method, params } = parsed.data;
    const cost = costOf(method, this.#options.privateState);
    if (cost === undefined) return refuse("other", "method", refusal(CODES.method, this.#notOffered(method)));
    const wait = this.#connections.take(connectionOf(from), cost);
    if (wait > 0) return refuse(method, "connection", limited("too many requests from this address", wait));
    if (method === "eth_sendRawTransaction") {
      const { sender, wrong } = this.#senderOf(params);
      if (sender === undefined) return refuse(method, "invalid", refusal(CODES.params, wrong));
      const late = this.#accounts.take(sender);
      if (late > 0) return refuse(method, "account", limited(`too many transactions of ${sender}`, late));
      return { id: parsed.data.id, pass: { method, params, sender } };
    }
    return { id: parsed.data.id, pass: { method, params } };
  }

  #notOffered(method: string): string {
    if (readsState(method))
      return `${method} is not offered here, since this node holds private state: ask the edge of a node without a privacy manager`;
    return `${method.slice(0, 64)} is not offered to users: reading the public chain and eth_sendRawTransaction are`;
  }

  /** Who signed a transaction for this chain. v = 37 or 38, by which GoQuorum marks private ones, reads as chain 1. */
  #senderOf(params: unknown[]): { sender: string; wrong?: never } | { sender?: never; wrong: string } {
    const { chainId } = this.#options;
    try {
      const transaction = Transaction.from(params[0] as string);
      if (transaction.chainId !== BigInt(chainId))
        return { wrong: `the transaction is not signed for chain ${chainId}` };
      if (transaction.from === null) return { wrong: "the transaction is not signed" };
      return { sender: transaction.from.toLowerCase() };
    } catch {
      return { wrong: "params[0] is no signed transaction" };
    }
  }
}
