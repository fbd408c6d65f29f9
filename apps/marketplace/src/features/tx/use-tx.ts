"use client";
import { type Hex } from "@msec/core";
import { useCallback, useState } from "react";
import { BaseError, ContractFunctionRevertedError, WaitForTransactionReceiptTimeoutError } from "viem";
import { useConfig, useConnection } from "wagmi";
import { getWalletClient, simulateContract, waitForTransactionReceipt, writeContract } from "wagmi/actions";
import { useQueryClient } from "@tanstack/react-query";
import { useCity } from "@/features/city/context.tsx";
import { type ContractName } from "@/lib/contracts.ts";
import { forget, remember } from "./store.ts";

/** Where a transaction is. Each end has its reason. */
export type TxState =
  | { step: "idle" }
  | { step: "simulating" }
  | { step: "signing" }
  | { step: "submitted"; hash: Hex }
  | { step: "mined"; hash: Hex; block: bigint }
  | { step: "rejected" }
  | { step: "reverted"; error: TxError; hash?: Hex }
  | { step: "failed"; error: TxError; hash?: Hex };

/** What went wrong: the name of a contract's error where it is one, with its values. */
export interface TxError {
  name: string;
  args: readonly unknown[];
  detail: string;
}

export interface TxCall {
  contract: ContractName;
  functionName: string;
  args: readonly unknown[];
  /** Key of the sentence that says what it does, under `tx.what` of the messages. */
  what: string;
}

const WAIT_MS = 60_000;

/** The contract's own error in a failure, or what is known of it. */
export function txError(error: unknown): TxError {
  if (error instanceof BaseError) {
    const reverted = error.walk((e) => e instanceof ContractFunctionRevertedError);
    if (reverted instanceof ContractFunctionRevertedError && reverted.data)
      return { name: reverted.data.errorName, args: reverted.data.args ?? [], detail: error.shortMessage };
    return { name: error.name, args: [], detail: error.shortMessage };
  }
  return { name: (error as Error).name, args: [], detail: (error as Error).message };
}

/** Whether the person said no in the wallet. */
export const isRejection = (error: unknown): boolean => {
  for (let e = error as { code?: number; name?: string; cause?: unknown } | undefined; e; e = e.cause as never)
    if (e.code === 4001 || e.name === "UserRejectedRequestError") return true;
  return false;
};

/**
 * The one way to write to the chain: tried first, then signed, kept until its end is known, then looked at. Answers the
 * receipt's hash if it was mined, or undefined with the reason in the state.
 */
export function useTx() {
  const config = useConfig();
  const city = useCity();
  const { address } = useConnection();
  const queries = useQueryClient();
  const [state, setState] = useState<TxState>({ step: "idle" });

  const send = useCallback(
    async ({ contract, functionName, args, what }: TxCall): Promise<Hex | undefined> => {
      if (!address) return undefined;
      const account = address.toLowerCase() as Hex;
      let hash: Hex | undefined;
      try {
        setState({ step: "simulating" });
        // Large, and nothing that only reads needs them.
        const { abis } = await import("@/lib/contracts.ts");
        // Errors of contracts behind the called one are named, too.
        const errors = Object.values(abis).flatMap((abi) => abi.filter((entry) => entry.type === "error"));
        const call = {
          address: city.addresses[contract],
          abi: [...abis[contract], ...errors],
          functionName,
          args,
          account: address,
        } as never;
        const { request } = (await simulateContract(config, call)) as { request: object };
        setState({ step: "signing" });
        await getWalletClient(config);
        hash = (await writeContract(config, { ...request, type: "legacy", gasPrice: 0n } as never)) as Hex;
        remember(city.chainId, { hash, what, account, sentAt: Date.now() });
        setState({ step: "submitted", hash });
        const receipt = await waitForTransactionReceipt(config, { hash, timeout: WAIT_MS });
        forget(city.chainId, account, hash);
        if (receipt.status !== "success") {
          setState({ step: "reverted", hash, error: { name: "Reverted", args: [], detail: hash } });
          return undefined;
        }
        setState({ step: "mined", hash, block: receipt.blockNumber });
        await queries.invalidateQueries();
        return hash;
      } catch (error) {
        if (isRejection(error)) setState({ step: "rejected" });
        else if (error instanceof WaitForTransactionReceiptTimeoutError)
          setState({ step: "failed", error: { name: "TimedOut", args: [], detail: "" }, ...(hash ? { hash } : {}) });
        else {
          const known = txError(error);
          const reverted = /^[A-Z]\w*_/.test(known.name) || known.name === "Error";
          setState({ step: reverted ? "reverted" : "failed", error: known, ...(hash ? { hash } : {}) });
        }
        return undefined;
      }
    },
    [address, city, config, queries],
  );
  return { state, send, reset: useCallback(() => setState({ step: "idle" }), []) };
}
