import { config } from "@/server/city.ts";
import { refused } from "@/server/guard.ts";
import { forward, refusal } from "@/server/upstream.ts";

const OPEN = { GET: /^(status|orders)$/, POST: /^orders$/ };

async function handle(request: Request, { params }: { params: Promise<{ n: string; path: string[] }> }) {
  const no = refused(request, "markets", { burst: 60, perSecond: 10 });
  if (no) return no;
  const { n, path } = await params;
  const market = config().markets[Number(n)];
  const asked = path.join("/");
  if (!market || !OPEN[request.method as "GET" | "POST"].test(asked))
    return refusal(404, "not-found", `nothing is at ${request.method} /api/markets/${n}/${asked}`);
  return forward(`${market.url}/${asked}${new URL(request.url).search}`, request, market.name);
}

export { handle as GET, handle as POST };
