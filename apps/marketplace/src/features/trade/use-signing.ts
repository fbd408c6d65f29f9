"use client";
import { type Hex } from "@msec/core";
import { type Permit, permitData, permitOf, type SignTypedData, type TypedData } from "@msec/trade";
import { useConfig, useConnection } from "wagmi";
import { getBlock, readContract, signTypedData } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { type ContractName } from "@/lib/contracts.ts";
import { deployedOf } from "./deployed.ts";

const DAY_SECONDS = 86_400n;

/** What the connected account signs: typed data of any kind, and leave for a contract to take an amount of its tokens. */
export function useSigning() {
  const city = useCity();
  const config = useConfig();
  const { address } = useConnection();
  const account = address?.toLowerCase() as Hex | undefined;
  const sign: SignTypedData = (data: TypedData) => signTypedData(config, data as never) as Promise<Hex>;

  const permit = async (spender: ContractName, value: bigint, days = 1n): Promise<Permit> => {
    if (!account || !address) throw new Error("no account is connected");
    const { abis } = await import("@/lib/contracts.ts");
    const token = { address: city.addresses.MSecToken, abi: abis.MSecToken } as const;
    const [nonce, { timestamp }] = await Promise.all([
      readContract(config, { ...token, functionName: "nonces", args: [address] }),
      getBlock(config),
    ]);
    const deadline = timestamp + days * DAY_SECONDS;
    const asked = { owner: account, spender: city.addresses[spender], value, nonce, deadline };
    return permitOf(value, deadline, await sign(permitData(deployedOf(city), asked)));
  };
  /** What the account's next orders carry: raised, it cancels all before. */
  const counter = async (): Promise<number> => {
    const { abis } = await import("@/lib/contracts.ts");
    const marketplace = { address: city.addresses.Marketplace, abi: abis.Marketplace } as const;
    return Number(await readContract(config, { ...marketplace, functionName: "counterOf", args: [account as Hex] }));
  };
  return { account, sign, permit, counter };
}
