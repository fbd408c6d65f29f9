import { publicCity } from "@/server/city.ts";

export const dynamic = "force-dynamic";

/** Where this city's contracts and organisations are. */
export const GET = () => Response.json(publicCity(), { headers: { "cache-control": "no-store" } });
