import "server-only";
import { type Hex, ZERO32 } from "@msec/core";
import { createPublicClient, http } from "viem";
import { abis } from "@/lib/contracts.ts";
import { config } from "./city.ts";
import { shared } from "./shared.ts";
import { type Session, type Site } from "./sign-in.ts";

const COOKIE = "msec-session";

/** This site as wallets are to see it: where people reach it, or loopback. */
export function site(): Site {
  const { origins, port, chain } = config();
  const local = ["localhost", "127.0.0.1"].map((host) => `http://${host}:${port}`);
  return { origins: origins.length > 0 ? origins.map((url) => new URL(url).origin) : local, chainId: chain.chainId };
}

const secretOf = (request: Request): string | undefined =>
  (request.headers.get("cookie") ?? "")
    .split(/;\s*/)
    .find((pair) => pair.startsWith(`${COOKIE}=`))
    ?.slice(COOKIE.length + 1);

export const sessionOf = (request: Request): Session | undefined => shared.signIn.find(secretOf(request));
export const endSession = (request: Request): void => shared.signIn.end(secretOf(request));

/** Out of reach of scripts and of other sites' requests. */
export function cookie(secret: string, seconds: number): string {
  const secure = site().origins.every((origin) => origin.startsWith("https:")) ? "; Secure" : "";
  return `${COOKIE}=${secret}; Path=/api; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure}`;
}

/** The organisation that the Directory knows an account under, now; undefined where it knows none. */
export async function organisationOf(account: Hex): Promise<Hex | undefined> {
  const { chain } = config();
  const client = createPublicClient({ transport: http(chain.rpc) });
  const found = await client.readContract({
    address: chain.addresses.Directory as Hex,
    abi: abis.Directory,
    functionName: "organisationOf",
    args: [account],
  });
  return found === ZERO32 ? undefined : found;
}
