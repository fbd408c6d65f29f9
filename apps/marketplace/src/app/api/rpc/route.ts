import { config } from "@/server/city.ts";
import { refused } from "@/server/guard.ts";
import { forward, refusal } from "@/server/upstream.ts";

/** What a page asks of the chain: reads, and transactions that somebody has signed. Nothing that acts in a node's name. */
const METHODS = new Set([
  "eth_blockNumber",
  "eth_call",
  "eth_chainId",
  "eth_estimateGas",
  "eth_gasPrice",
  "eth_getBalance",
  "eth_getBlockByHash",
  "eth_getBlockByNumber",
  "eth_getCode",
  "eth_getLogs",
  "eth_getProof",
  "eth_getStorageAt",
  "eth_getTransactionByHash",
  "eth_getTransactionCount",
  "eth_getTransactionReceipt",
  "eth_sendRawTransaction",
  "net_version",
]);
const LARGEST_BATCH = 50;

export async function POST(request: Request) {
  const no = refused(request, "rpc", { burst: 300, perSecond: 60 });
  if (no) return no;
  let body: unknown;
  try {
    body = await request.clone().json();
  } catch {
    return refusal(400, "malformed", "the request's body is not JSON");
  }
  const calls = (Array.isArray(body) ? body : [body]) as { method?: unknown }[];
  if (calls.length > LARGEST_BATCH) return refusal(400, "oversize", `a batch holds at most ${LARGEST_BATCH} requests`);
  const shut = calls.find((call) => typeof call?.method !== "string" || !METHODS.has(call.method));
  if (shut) return refusal(403, "method", `${String(shut?.method)} is not answered here`);
  return forward(config().chain.rpc, request, "the chain's node");
}
