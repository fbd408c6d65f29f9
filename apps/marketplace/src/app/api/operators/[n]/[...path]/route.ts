import { config } from "@/server/city.ts";
import { refused } from "@/server/guard.ts";
import { forward, refusal } from "@/server/upstream.ts";

/** What an operator answers to anyone; what only devices and operators ask stays shut. */
const OPEN = {
  GET: /^(status|info|streams|streams\/0x[0-9a-f]{64}(\/(head|window|days|highest|sample))?|packs\/0x[0-9a-f]{64}|epochs\/\d+)$/,
  POST: /^(packs|certificates)$/,
  PUT: /^streams\/0x[0-9a-f]{64}\/thing$/,
};

async function handle(request: Request, { params }: { params: Promise<{ n: string; path: string[] }> }) {
  const no = refused(request, "operators", { burst: 300, perSecond: 60 });
  if (no) return no;
  const { n, path } = await params;
  const operator = config().operators[Number(n)];
  const asked = path.join("/");
  if (!operator || !OPEN[request.method as keyof typeof OPEN].test(asked))
    return refusal(404, "not-found", `nothing is at ${request.method} /api/operators/${n}/${asked}`);
  return forward(`${operator.url}/${asked}${new URL(request.url).search}`, request, operator.name);
}

export { handle as GET, handle as POST, handle as PUT };
