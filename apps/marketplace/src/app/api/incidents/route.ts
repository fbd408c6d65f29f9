import { refused } from "@/server/guard.ts";
import { shared } from "@/server/shared.ts";

/** Over ones that are shown. */
const MOST_OVER = 20;

/** What is wrong in the city, and what was. */
export function GET(request: Request) {
  const no = refused(request, "incidents", { burst: 60, perSecond: 10 });
  if (no) return no;
  const all = shared.incidents?.list() ?? [];
  const going = all.filter(({ endedAtMs }) => endedAtMs === null);
  const over = all.filter(({ endedAtMs }) => endedAtMs !== null).slice(0, MOST_OVER);
  return Response.json(
    { lookedAtMs: shared.incidents?.lookedAtMs ?? 0, items: [...going, ...over] },
    { headers: { "cache-control": "no-store" } },
  );
}
