import { type Hex } from "@msec/core";
import { JsonRpcProvider, Wallet } from "ethers";
import { type Page } from "playwright-core";

interface Asked {
  method: string;
  params?: unknown[];
}
type Answered = { result: unknown } | { error: { code: number; message: string; data?: unknown } };
/** A refusal as ethers tells it, with what the node said. */
interface Failed {
  code?: unknown;
  message: string;
  data?: unknown;
  info?: { error?: { code: number; message: string; data?: unknown } };
}

/**
 * A wallet for pages under test: announces itself by EIP-6963, signs in this process, where its key stays, and sends to a
 * node of its own choice.
 */
export class TestWallet {
  readonly #provider: JsonRpcProvider;
  #wallet: Wallet;
  /** What was asked of it, by method. */
  readonly asked: string[] = [];
  /** Says no to the next signature or transaction (EIP-1193, 4001). */
  rejectNext = false;
  #connected = false;
  readonly #pages = new Set<Page>();
  readonly #chainId: number;

  constructor(rpc: string, chainId: number, key: Hex) {
    this.#provider = new JsonRpcProvider(rpc, chainId, { staticNetwork: true, pollingInterval: 200 });
    this.#chainId = chainId;
    this.#wallet = new Wallet(key, this.#provider);
  }

  get address(): Hex {
    return this.#wallet.address.toLowerCase() as Hex;
  }

  /** Puts the wallet into a page, before it loads. */
  async into(page: Page): Promise<void> {
    await page.exposeFunction("testWalletRequest", (asked: Asked) => this.#answer(asked));
    await page.addInitScript(() => {
      const listeners = new Map<string, Set<(value: unknown) => void>>();
      const ask = (window as unknown as { testWalletRequest: (asked: unknown) => Promise<Answered> }).testWalletRequest;
      const provider = {
        async request(asked: unknown) {
          const answer = await ask(JSON.parse(JSON.stringify(asked)));
          if ("error" in answer)
            throw Object.assign(new Error(answer.error.message), { code: answer.error.code, data: answer.error.data });
          return answer.result;
        },
        on(event: string, listener: (value: unknown) => void) {
          listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
        },
        removeListener(event: string, listener: (value: unknown) => void) {
          listeners.get(event)?.delete(listener);
        },
      };
      const icon = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E";
      const info = { uuid: "6e1c5a52-0f6b-4f6c-9d0d-6d2f7f1f5a11", name: "Test Wallet", icon, rdns: "test.wallet" };
      const detail = Object.freeze({ info, provider });
      const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
      window.addEventListener("eip6963:requestProvider", announce);
      announce();
      Object.assign(window, {
        testWalletEmit: (event: string, value: unknown) => listeners.get(event)?.forEach((listener) => listener(value)),
      });
    });
    this.#pages.add(page);
    page.on("close", () => this.#pages.delete(page));
  }

  /** The person chooses another account in the wallet. */
  async become(key: Hex): Promise<void> {
    this.#wallet = new Wallet(key, this.#provider);
    await this.emit("accountsChanged", [this.#wallet.address]);
  }

  async emit(event: string, value: unknown): Promise<void> {
    for (const page of this.#pages)
      await page.evaluate(
        ([name, given]) =>
          (window as unknown as { testWalletEmit: (n: unknown, v: unknown) => void }).testWalletEmit(name, given),
        [event, value],
      );
  }

  close(): void {
    this.#provider.destroy();
  }

  async #answer({ method, params = [] }: Asked): Promise<Answered> {
    this.asked.push(method);
    try {
      return { result: await this.#do(method, params) };
    } catch (error) {
      const { code, message, data, info } = error as Failed;
      const node = info?.error;
      return {
        error: { code: typeof code === "number" ? code : (node?.code ?? -32603), message, data: data ?? node?.data },
      };
    }
  }

  async #do(method: string, params: unknown[]): Promise<unknown> {
    const asks = /^(personal_sign|eth_signTypedData_v4|eth_sendTransaction)$/.test(method);
    if (asks && this.rejectNext) {
      this.rejectNext = false;
      throw Object.assign(new Error("User rejected the request."), { code: 4001 });
    }
    switch (method) {
      case "eth_requestAccounts":
        this.#connected = true;
        return [this.#wallet.address];
      case "eth_accounts":
        return this.#connected ? [this.#wallet.address] : [];
      case "eth_chainId":
        return `0x${this.#chainId.toString(16)}`;
      case "wallet_requestPermissions":
        this.#connected = true;
        return [{ parentCapability: "eth_accounts" }];
      case "wallet_revokePermissions":
        this.#connected = false;
        return null;
      case "wallet_switchEthereumChain":
      case "wallet_addEthereumChain":
        return null;
      case "personal_sign":
        return this.#wallet.signMessage(Buffer.from((params[0] as string).slice(2), "hex"));
      case "eth_signTypedData_v4": {
        const { domain, types, message } = JSON.parse(params[1] as string) as {
          domain: object;
          types: Record<string, { name: string; type: string }[]>;
          message: Record<string, unknown>;
        };
        const { EIP712Domain: _, ...own } = types;
        return this.#wallet.signTypedData(domain, own, message);
      }
      case "eth_sendTransaction": {
        const { to, data, gas, gasPrice, type } = params[0] as Record<string, string>;
        if (gasPrice !== "0x0" && gasPrice !== undefined) throw new Error(`gas has no price here, not ${gasPrice}`);
        if (type !== undefined && type !== "0x0") throw new Error(`a legacy transaction is wanted, not ${type}`);
        const sent = await this.#wallet.sendTransaction({
          to: to as string,
          data: data as string,
          type: 0,
          gasPrice: 0,
          ...(gas ? { gasLimit: BigInt(gas) } : {}),
        });
        return sent.hash;
      }
      default:
        return this.#provider.send(method, params);
    }
  }
}
