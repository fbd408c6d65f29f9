import "server-only";
import { config } from "./city.ts";
import { Buckets, isOwnOrigin, type Rate } from "./limits.ts";
import { refusal } from "./upstream.ts";

const LARGEST_BODY = 4 * 1024 * 1024;
const buckets = new Map<string, Buckets>();

/** Why a request is not served, or undefined: too many, from another site, or too large. */
export function refused(request: Request, name: string, rate: Rate): Response | undefined {
  const bucket = buckets.get(name) ?? new Buckets(rate);
  buckets.set(name, bucket);
  const who = request.headers.get("x-msec-from") ?? "unknown";
  if (!bucket.take(who)) return refusal(429, "too-many", "too many requests: wait some seconds and try again");
  if (!isOwnOrigin(request, config()))
    return refusal(403, "origin", "this request does not come from a page of this site");
  if (Number(request.headers.get("content-length") ?? 0) > LARGEST_BODY)
    return refusal(413, "oversize", `the request is larger than ${LARGEST_BODY / 1024 / 1024} MiB`);
  return undefined;
}
