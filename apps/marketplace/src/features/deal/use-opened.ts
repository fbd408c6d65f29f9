"use client";
import { type Hex, type WindowBundle, type WindowReport } from "@msec/core";
import { dealOf, type Fault } from "@msec/trade";
import { useEffect, useState } from "react";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "@/features/trade/deployed.ts";
import { keepPurchase, type KeptPurchase, keptPurchase } from "@/features/trade/purchases.ts";
import { inWorker } from "@/features/trade/work.ts";
import { deliveryOf } from "./status.ts";
import { type DealStory } from "./types.ts";

/** How far this browser is with what was bought. */
export type OpenedState =
  | { step: "looking" }
  /** This browser has no secret of this deal. */
  | { step: "not-kept" }
  | { step: "waiting"; kept: KeptPurchase }
  | { step: "opening"; kept: KeptPurchase; done: number; of: number }
  | { step: "opened"; kept: KeptPurchase; bundle: WindowBundle; report: WindowReport; milliseconds: number }
  | { step: "fault"; kept: KeptPurchase; fault: Fault }
  | { step: "failed"; kept: KeptPurchase; reason: string };

/** Opens and verifies what was bought as soon as its keys are delivered, beside the page. */
export function useOpened(story: DealStory): { opened: OpenedState; again: () => void } {
  const city = useCity();
  const [state, setState] = useState<OpenedState>({ step: "looking" });
  const [tries, setTries] = useState(0);
  const delivered = story.events.some(({ name }) => name === "Delivered");
  const dealId = story.dealId as Hex;
  useEffect(() => {
    let gone = false;
    const tell = (next: OpenedState) => !gone && setState(next);
    const open = async () => {
      const kept = await keptPurchase(dealOf(story.deal));
      if (!kept) return tell({ step: "not-kept" });
      const delivery = deliveryOf(story);
      if (!delivery) return tell({ step: "waiting", kept });
      tell({ step: "opening", kept, done: 0, of: 0 });
      try {
        const draft = { ...kept.bundle, nodes: [] };
        const input = {
          operators: operatorUrls(city),
          deployed: deployedOf(city),
          kept,
          draft,
          delivery,
          validators: city.validators,
        };
        const opened = await inWorker("open", input, (done, of) => tell({ step: "opening", kept, done, of }));
        if (opened.fault) return tell({ step: "fault", kept, fault: opened.fault });
        if (!kept.opened) await keepPurchase({ ...kept, bundle: opened.bundle, opened: true });
        tell({ step: "opened", kept, ...opened });
      } catch (error) {
        tell({ step: "failed", kept, reason: (error as Error).message });
      }
    };
    void open();
    return () => {
      gone = true;
    };
    // A delivery never changes: its story is read when there is one, not again with each block.
  }, [city, dealId, delivered, tries]);
  return { opened: state, again: () => setTries((n) => n + 1) };
}
