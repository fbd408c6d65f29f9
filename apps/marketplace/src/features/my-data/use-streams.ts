"use client";
import { type Hex } from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { Operators, type StreamInfo } from "@msec/trade";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import { askIndexer, type IndexedDevice, type IndexedEvent, type Page } from "@/lib/indexer.ts";

/** A stream that an account has a say in: as owner of its device, or as the person measured. */
export interface OwnStream {
  streamId: Hex;
  info: StreamInfo;
  owner: boolean;
  person: boolean;
}

/** Streams of an account's devices, and those that measure it. */
export function useStreams(account: string | undefined) {
  const city = useCity();
  return useQuery({
    queryKey: ["my-streams", account],
    enabled: account !== undefined,
    refetchInterval: 5_000,
    queryFn: async (): Promise<OwnStream[]> => {
      const operators = new Operators(operatorUrls(city));
      const [all, devices, bound] = await Promise.all([
        operators.ask<{ streamId: Hex; deviceId: string }[]>("/streams"),
        askIndexer<Page<IndexedDevice>>(`/devices?owner=${account}&limit=500`),
        askIndexer<Page<IndexedEvent>>("/events?contract=ConsentRegistry&name=SubjectBound&limit=500"),
      ]);
      const owned = new Set<string>(devices.items.map(({ deviceId }) => deviceId));
      const measured = new Set<string>(
        bound.items
          .filter(({ args }) => String(args.subject as string).toLowerCase() === account)
          .map(({ args }) => args.streamId as string),
      );
      const own = all.filter(({ streamId, deviceId }) => owned.has(deviceId) || measured.has(streamId));
      return Promise.all(
        own.map(async ({ streamId, deviceId }) => ({
          streamId,
          info: await operators.stream(streamId),
          owner: owned.has(deviceId),
          person: measured.has(streamId),
        })),
      );
    },
  });
}
