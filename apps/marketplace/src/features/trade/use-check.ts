"use client";
import { type Hex, type SlotRange, type WindowBundle, type WindowReport } from "@msec/core";
import { useState } from "react";
import { useConfig } from "wagmi";
import { useCity } from "@/features/city/context.tsx";
import { deployedOf, operatorUrls } from "./deployed.ts";
import { erasuresOf } from "./erasures.ts";
import { inWorker } from "./work.ts";

/** A window of which everything but its keys is in this browser, and in order. */
export interface Checked {
  bundle: WindowBundle;
  before: WindowReport;
  erasures: SlotRange[];
}

export type CheckState =
  | { step: "idle" }
  | { step: "checking"; done: number; of: number }
  | { step: "checked"; checked: Checked }
  | { step: "failed"; reason: string };

/** Downloads and checks a window before anything is paid. */
export function useCheck(streamId: Hex) {
  const city = useCity();
  const config = useConfig();
  const [state, setState] = useState<CheckState>({ step: "idle" });

  const check = async (fromSlot: number, toSlot: number) => {
    setState({ step: "checking", done: 0, of: 0 });
    try {
      const erasures = await erasuresOf(config, city, streamId);
      const { bundle, before } = await inWorker(
        "download",
        { operators: operatorUrls(city), deployed: deployedOf(city), streamId, fromSlot, toSlot, erasures },
        (done, of) => setState({ step: "checking", done, of }),
      );
      setState({ step: "checked", checked: { bundle, before, erasures } });
    } catch (error) {
      setState({ step: "failed", reason: (error as Error).message });
    }
  };
  return { state, check, reset: () => setState({ step: "idle" }) };
}
