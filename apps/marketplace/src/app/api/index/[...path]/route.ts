import { config } from "@/server/city.ts";
import { refused } from "@/server/guard.ts";
import { forward } from "@/server/upstream.ts";

/** The indexer's answers. */
export async function GET(request: Request, { params }: { params: Promise<{ path: string[] }> }) {
  const no = refused(request, "index", { burst: 300, perSecond: 60 });
  if (no) return no;
  const path = (await params).path.map(encodeURIComponent).join("/");
  return forward(`${config().indexer}/${path}${new URL(request.url).search}`, request, "the indexer");
}
