"use client";
import { type Hex } from "@msec/core";
import { useTranslations } from "next-intl";
import { useQuery } from "@tanstack/react-query";
import { useConfig, useConnection } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { TxStatus } from "@/features/tx/tx-status.tsx";
import { useTx } from "@/features/tx/use-tx.ts";
import { Amount } from "@/ui/amount.tsx";

/** What the escrow owes the connected account, of whatever deals: refunds, rulings, sales. */
export function TakeOut() {
  const t = useTranslations("deal");
  const { addresses } = useCity();
  const config = useConfig();
  const { address } = useConnection();
  const tx = useTx();
  const { data: owed = 0n } = useQuery({
    queryKey: ["escrow-credit", address],
    enabled: address !== undefined,
    queryFn: async () => {
      const { abis } = await import("@/lib/contracts.ts");
      return readContract(config, {
        address: addresses.Escrow,
        abi: abis.Escrow,
        functionName: "creditOf",
        args: [address as Hex, addresses.MSecToken],
      });
    },
  });
  const busy = ["simulating", "signing", "submitted"].includes(tx.state.step);
  return (
    <>
      {owed > 0n ? (
        <button
          type="button"
          className="button"
          disabled={busy}
          onClick={() =>
            void tx.send({
              contract: "Escrow",
              functionName: "withdraw",
              args: [addresses.MSecToken],
              what: "withdraw",
            })
          }
        >
          {t("takeOut")} <Amount units={owed} />
        </button>
      ) : null}
      <TxStatus state={tx.state} />
    </>
  );
}
