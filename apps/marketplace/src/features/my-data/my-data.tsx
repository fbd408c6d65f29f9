"use client";
import { useTranslations } from "next-intl";
import { useConnection } from "wagmi";
import { Failure, Waiting } from "@/ui/waiting.tsx";
import { StreamCard } from "./stream-card.tsx";
import { useStreams } from "./use-streams.ts";

/** What an account's devices measure, who has it, and how to take it back. */
export function MyData() {
  const t = useTranslations("mydata");
  const { address } = useConnection();
  const streams = useStreams(address?.toLowerCase());
  if (!address) return <p className="note">{t("connect")}</p>;
  if (streams.isPending) return <Waiting>{t("reading")}</Waiting>;
  if (streams.isError) return <Failure reason={streams.error.message} retry={() => void streams.refetch()} />;
  if (streams.data.length === 0) return <p className="note">{t("none")}</p>;
  return (
    <div className="stack">
      {streams.data.map((stream) => (
        <StreamCard key={stream.streamId} stream={stream} />
      ))}
    </div>
  );
}
