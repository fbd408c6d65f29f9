"use client";
import { type Hex, type Thing } from "@msec/core";
import { describeStream, descriptionOf, Operators, type StreamInfo, thingOf } from "@msec/trade";
import { useMutation } from "@tanstack/react-query";
import { useRouter } from "next/navigation";
import { useTranslations } from "next-intl";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { useSigning } from "@/features/trade/use-signing.ts";

/** What the owner says of a stream, changed from what is said now: a signature given to every operator, no transaction. */
export function useDescription(streamId: Hex, { preimage }: StreamInfo) {
  const t = useTranslations("description");
  const city = useCity();
  const router = useRouter();
  const { account, sign } = useSigning();
  const description = useMutation({
    mutationFn: async (change: (said: Thing) => Thing) => {
      if (!account) throw new Error(t("connect"));
      const operators = new Operators(operatorUrls(city));
      const known = await descriptionOf(operators, deployedOf(city), streamId, account);
      const next = change(thingOf(streamId, known) ?? { title: preimage.name });
      return describeStream(operators, deployedOf(city), streamId, next, { address: account, sign });
    },
    onSuccess: () => router.refresh(),
  });
  // It comes a moment after the page, where a wallet was connected before.
  return { ...description, account };
}
