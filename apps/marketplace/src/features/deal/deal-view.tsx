"use client";
import { useQuery } from "@tanstack/react-query";
import { useTranslations } from "next-intl";
import { useConnection } from "wagmi";
import { askIndexer } from "@/lib/indexer.ts";
import { useCity } from "@/features/city/context.tsx";
import { Failure } from "@/ui/waiting.tsx";
import { Actions } from "./actions.tsx";
import { CaseCard } from "./case-card.tsx";
import { Complain } from "./complain.tsx";
import { OpenedData } from "./opened-data.tsx";
import { Timeline } from "./timeline.tsx";
import { type DealStory, isOver } from "./types.ts";
import { useDispute } from "./use-dispute.ts";
import { useOpened } from "./use-opened.ts";

/** A deal from paid to its end, and, for its buyer, what was bought. */
export function DealView({ initial }: { initial: DealStory }) {
  const t = useTranslations("deal");
  const { blockSeconds } = useCity();
  const { address } = useConnection();
  const story = useQuery({
    queryKey: ["deal", initial.dealId],
    queryFn: () => askIndexer<DealStory>(`/deals/${initial.dealId}`),
    initialData: initial,
    refetchInterval: ({ state }) => (state.data && isOver(state.data) ? 10_000 : blockSeconds * 1000),
  });
  const { opened, again } = useOpened(story.data);
  const dispute = useDispute(story.data);
  const mine = address?.toLowerCase() === story.data.buyer;
  return (
    <div className="columns">
      <div className="stack">
        {story.isError ? <Failure reason={t("stale")} retry={() => void story.refetch()} /> : null}
        <OpenedData opened={opened} mine={mine} story={story.data} again={again} />
      </div>
      <div className="stack">
        <Timeline story={story.data} opened={opened} dispute={dispute} />
        {dispute ? <CaseCard story={story.data} dispute={dispute} mine={mine} /> : null}
        <Actions story={story.data} opened={opened} mine={mine} />
        {mine && story.data.state === "delivered" ? <Complain story={story.data} /> : null}
      </div>
    </div>
  );
}
