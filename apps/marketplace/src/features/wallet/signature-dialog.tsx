"use client";
import dynamic from "next/dynamic";
import { useSyncExternalStore } from "react";
import { signatures } from "./signatures.ts";

const Question = dynamic(() => import("./signature-question.tsx").then((m) => m.SignatureQuestion), { ssr: false });

/** Shows what the key in this browser is asked to sign. */
export function SignatureDialog() {
  const request = useSyncExternalStore(signatures.subscribe, signatures.current, () => undefined);
  return request ? <Question request={request} /> : null;
}
