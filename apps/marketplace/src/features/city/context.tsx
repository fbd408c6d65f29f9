"use client";
import { createContext, type ReactNode, use } from "react";
import { type PublicCity } from "@/lib/city.ts";

const City = createContext<PublicCity | undefined>(undefined);

export const CityProvider = ({ city, children }: { city: PublicCity; children: ReactNode }) => (
  <City value={city}>{children}</City>
);

/** The city that this page belongs to. */
export function useCity(): PublicCity {
  const city = use(City);
  if (!city) throw new Error("useCity outside of CityProvider");
  return city;
}
