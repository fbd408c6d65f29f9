import { type Hex } from "@msec/core";
import { type Chain, http, type Transport } from "viem";
import { createConnector } from "wagmi";
import { signatures } from "./signatures.ts";
import { parseVault, type Vault } from "./vault.ts";

const STORED = "msec.vault";
export const BROWSER_KEY = "msec.browser-key";

export function storedVault(): Vault | undefined {
  const text = typeof window === "undefined" ? null : window.localStorage.getItem(STORED);
  try {
    return text ? parseVault(text) : undefined;
  } catch {
    return undefined;
  }
}

export const storeVault = (vault: Vault) => window.localStorage.setItem(STORED, JSON.stringify(vault));
export const forgetVault = () => window.localStorage.removeItem(STORED);

/** Elliptic curves are loaded by whoever signs. */
const accountOf = async (key: Hex) => (await import("viem/accounts")).privateKeyToAccount(key);

type Request = { method: string; params?: unknown };

/** A key kept in this browser, as a wallet: every use of it is shown and agreed to. */
export function browserKey(chain: Chain) {
  const rpc: Transport = http("/api/rpc");
  const provider = {
    async request({ method, params = [] }: Request): Promise<unknown> {
      const [first, second] = params as unknown[];
      const vault = storedVault();
      const address = vault?.address as Hex;
      switch (method) {
        case "eth_accounts":
        case "eth_requestAccounts":
          return vault ? [address] : [];
        case "eth_chainId":
          return `0x${chain.id.toString(16)}`;
        case "personal_sign": {
          const key = await signatures.ask({ address, kind: "message", content: first });
          return (await accountOf(key)).signMessage({ message: { raw: first as Hex } });
        }
        case "eth_signTypedData_v4": {
          const typed = JSON.parse(second as string) as never;
          const key = await signatures.ask({ address, kind: "typed", content: typed });
          return (await accountOf(key)).signTypedData(typed);
        }
        case "eth_sendTransaction": {
          const { to, data, gas, value } = first as { to: Hex; data: Hex; gas?: Hex; value?: Hex };
          const key = await signatures.ask({ address, kind: "transaction", content: { to, data } });
          const { createWalletClient } = await import("viem");
          const client = createWalletClient({ account: await accountOf(key), chain, transport: rpc });
          return client.sendTransaction({
            to,
            data,
            type: "legacy",
            gasPrice: 0n,
            ...(gas ? { gas: BigInt(gas) } : {}),
            ...(value ? { value: BigInt(value) } : {}),
          });
        }
        default:
          return rpc({ chain }).request({ method, params } as never);
      }
    },
  };
  return createConnector((config) => ({
    id: BROWSER_KEY,
    name: BROWSER_KEY,
    type: BROWSER_KEY,
    async connect() {
      const vault = storedVault();
      if (!vault) throw new Error("no key is kept in this browser");
      return { accounts: [vault.address] as never, chainId: chain.id };
    },
    async disconnect() {},
    async getAccounts() {
      const vault = storedVault();
      return vault ? [vault.address] : [];
    },
    getChainId: async () => chain.id,
    getProvider: async () => provider,
    isAuthorized: async () => storedVault() !== undefined,
    onAccountsChanged() {},
    onChainChanged() {},
    onDisconnect() {
      config.emitter.emit("disconnect");
    },
  }));
}
