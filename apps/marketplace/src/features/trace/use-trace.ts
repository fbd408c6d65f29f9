"use client";
import {
  checkContent,
  decodeCose,
  fromBase64,
  type HeaderReport,
  headerSlot,
  type Hex,
  verifyHeader,
  ZERO32,
} from "@msec/core";
import { useQuery } from "@tanstack/react-query";
import { Operators, type StreamInfo } from "@msec/trade";
import { useConfig } from "wagmi";
import { readContract } from "wagmi/actions";
import { useCity } from "@/features/city/context.tsx";
import { operatorUrls } from "@/features/trade/deployed.ts";
import {
  askIndexer,
  type IndexedDeal,
  type IndexedDevice,
  type IndexedEpoch,
  type IndexedErasure,
  type IndexedEvent,
  type IndexedOffer,
  type Page,
} from "@/lib/indexer.ts";
import { bytesOf, findPack, type Found, type Start } from "./find.ts";

/** What the chain says of something that was claimed: the same, something else, or nothing just now. */
export type Word = "same" | "other" | "away";

export interface Trace {
  found: Found;
  info: StreamInfo;
  attestation: Hex;
  fromMs: number;
  toMs: number;
  slot: number;
  seq: number;
  count: number;
  /** undefined: not anchored yet, or refused; then `refused` says why. */
  report?: HeaderReport;
  refused?: string;
  content: { bytes: number; fits: boolean } | null;
  chain: { key: Word; epoch: Word; committee: Word };
  device: (IndexedDevice & { events: IndexedEvent[] }) | undefined;
  epoch: IndexedEpoch | undefined;
  offers: IndexedOffer[];
  deals: IndexedDeal[];
  erasures: IndexedErasure[];
}

const covers = (slot: number, from: unknown, to: unknown) => Number(from) <= slot && slot <= Number(to);

/** Follows one pack from its device to the deals that cover it, and checks on the way what can be checked. */
export function useTrace(start: Start) {
  const city = useCity();
  const config = useConfig();
  const given = Boolean(start.deal ?? start.pack ?? start.stream);
  return useQuery({
    queryKey: ["trace", start],
    enabled: given,
    retry: false,
    refetchOnWindowFocus: false,
    queryFn: async (): Promise<Trace> => {
      const operators = new Operators(operatorUrls(city));
      const found = await findPack(operators, start);
      const info = await operators.stream(found.streamId);
      const signed = decodeCose(fromBase64(found.pack.cose));
      const { header } = signed;
      const stream = info.preimage;
      const slot = headerSlot(stream, header);
      const chain = {
        chainId: city.chainId,
        anchor: city.addresses.DataAnchor,
        registry: city.addresses.DeviceRegistry,
      };
      let report: HeaderReport | undefined;
      let refused: string | undefined;
      if (found.pack.anchoring)
        try {
          report = verifyHeader({
            ...{ chain, stream, keys: info.keys, cose: found.pack.cose, anchoring: found.pack.anchoring },
          });
        } catch (error) {
          refused = (error as Error).message;
        }
      let content: Trace["content"] = null;
      if (found.pack.content !== null) {
        let fits = true;
        try {
          checkContent(header, fromBase64(found.pack.content));
        } catch {
          fits = false;
        }
        content = { bytes: bytesOf(found.pack.content), fits };
      }

      const { abis } = await import("@/lib/contracts.ts");
      const word = (asked: Promise<unknown>, expected: Hex | undefined): Promise<Word> =>
        asked.then(
          (answer) => (answer === expected && answer !== ZERO32 ? "same" : "other"),
          () => "away",
        );
      const nothing: Promise<Word> = Promise.resolve("away");
      const list = async <T>(path: string) => (await askIndexer<Page<T>>(path)).items;
      const number = report?.epoch.number;
      const [key, epochWord, committee, device, epochs, offers, deals, erasures] = await Promise.all([
        word(
          readContract(config, {
            ...{ address: city.addresses.DeviceRegistry, abi: abis.DeviceRegistry, functionName: "keyHashOf" },
            args: [stream.deviceId, header.keyEpoch],
          } as never),
          signed.keyHash,
        ),
        number === undefined
          ? nothing
          : word(
              readContract(config, {
                ...{ address: city.addresses.DataAnchor, abi: abis.DataAnchor, functionName: "epochHash" },
                args: [BigInt(number)],
              } as never),
              report?.epoch.hash,
            ),
        number === undefined
          ? nothing
          : word(
              readContract(config, {
                ...{
                  address: city.addresses.OracleCommittee,
                  abi: abis.OracleCommittee,
                  functionName: "configDigestAt",
                },
                args: [BigInt(number)],
              } as never),
              report?.committee,
            ),
        askIndexer<Trace["device"]>(`/devices/${stream.deviceId}`).catch(() => undefined),
        number === undefined ? [] : list<IndexedEpoch>(`/epochs?number=${number}`),
        list<IndexedOffer>(`/offers?stream=${found.streamId}&limit=500`),
        list<IndexedDeal>(`/deals?stream=${found.streamId}&limit=500`),
        list<IndexedErasure>(`/erasures?stream=${found.streamId}&limit=500`),
      ]);
      return {
        ...{ found, info, slot, content, device, refused: refused ?? "" },
        ...{ attestation: header.attestation, fromMs: header.fromMs, toMs: header.toMs },
        ...{ seq: header.seq, count: header.count },
        ...(report ? { report } : {}),
        chain: { key, epoch: epochWord, committee },
        epoch: epochs[0],
        offers: offers.filter(({ terms }) => covers(slot, terms.fromSlot ?? 0, terms.toSlot ?? slot)),
        deals: deals.filter(
          ({ deal }) =>
            covers(slot, deal.fromSlot, deal.toSlot) && (number === undefined || number <= Number(deal.asOfEpoch)),
        ),
        erasures: erasures.filter(({ fromSlot, toSlot }) => covers(slot, fromSlot, toSlot)),
      };
    },
  });
}
