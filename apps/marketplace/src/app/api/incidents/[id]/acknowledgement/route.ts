import { z } from "zod";
import { refused } from "@/server/guard.ts";
import { isAcknowledgeError } from "@/server/incidents/incidents.ts";
import { organisationOf, sessionOf } from "@/server/session.ts";
import { shared } from "@/server/shared.ts";
import { refusal } from "@/server/upstream.ts";

const body = z.strictObject({ note: z.string().trim().min(1).max(500) });

/** Somebody of an organisation takes an incident on. */
export async function POST(request: Request, { params }: { params: Promise<{ id: string }> }) {
  const no = refused(request, "acknowledge", { burst: 20, perSecond: 1 });
  if (no) return no;
  const session = sessionOf(request);
  if (!session) return refusal(401, "signed-out", "sign in first");
  const given = body.safeParse(await request.json().catch(() => undefined));
  if (!given.success) return refusal(400, "malformed", "say in 1 to 500 characters what is done");
  let organisation;
  try {
    organisation = await organisationOf(session.address);
  } catch {
    return refusal(502, "away", "the chain does not answer: whose account this is can't be told");
  }
  if (!organisation) return refusal(403, "no-organisation", "the Directory knows this account under no organisation");
  try {
    const id = Number((await params).id);
    const taken = shared.incidents?.acknowledge(id, session.address, organisation, given.data.note);
    return taken ? Response.json(taken) : refusal(404, "not-found", "there is no such incident");
  } catch (error) {
    if (isAcknowledgeError(error)) return refusal(error.code === "not-found" ? 404 : 409, error.code, error.message);
    throw error;
  }
}
