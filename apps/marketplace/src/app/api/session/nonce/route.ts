import { refused } from "@/server/guard.ts";
import { shared } from "@/server/shared.ts";

/** Something to sign in with, once. */
export function POST(request: Request) {
  const no = refused(request, "session", { burst: 20, perSecond: 1 });
  return no ?? Response.json({ nonce: shared.signIn.nonce() }, { headers: { "cache-control": "no-store" } });
}
