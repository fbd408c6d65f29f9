import { type Hex } from "@msec/core";
import { z } from "zod";
import { refused } from "@/server/guard.ts";
import { cookie, endSession, organisationOf, sessionOf, site } from "@/server/session.ts";
import { shared } from "@/server/shared.ts";
import { isSignInError, type Session } from "@/server/sign-in.ts";
import { refusal } from "@/server/upstream.ts";

const body = z.strictObject({ message: z.string().max(2_000), signature: z.string().regex(/^0x[0-9a-fA-F]{2,600}$/) });
const RATE = { burst: 20, perSecond: 1 };

const told = async (session: Session | undefined, headers: Record<string, string> = {}) =>
  Response.json(
    session
      ? { ...session, organisation: (await organisationOf(session.address).catch(() => undefined)) ?? null }
      : { address: null },
    { headers: { "cache-control": "no-store", ...headers } },
  );

/** Who is signed in. */
export async function GET(request: Request) {
  return refused(request, "session-read", { burst: 120, perSecond: 10 }) ?? (await told(sessionOf(request)));
}

/** Signs in with a message that a wallet signed (EIP-4361). */
export async function POST(request: Request) {
  const no = refused(request, "session", RATE);
  if (no) return no;
  const given = body.safeParse(await request.json().catch(() => undefined));
  if (!given.success) return refusal(400, "malformed", "a sign-in is a message and its signature");
  const { message, signature } = given.data;
  try {
    const { secret, session } = await shared.signIn.start(message, signature as Hex, site());
    endSession(request);
    const seconds = Math.floor((session.expiresAtMs - Date.now()) / 1000);
    return await told(session, { "set-cookie": cookie(secret, seconds) });
  } catch (error) {
    if (isSignInError(error)) return refusal(401, error.code, error.message);
    throw error;
  }
}

/** Signs out. */
export async function DELETE(request: Request) {
  const no = refused(request, "session", RATE);
  if (no) return no;
  endSession(request);
  return told(undefined, { "set-cookie": cookie("", 0) });
}
