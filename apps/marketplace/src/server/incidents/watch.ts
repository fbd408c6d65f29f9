import { Loops } from "@msec/service";
import { type Config } from "../../config.ts";
import { type CustodyStatus, type MarketStatus } from "../../features/operators/status.ts";
import { type IndexedAudit, type IndexerStatus } from "../../lib/indexer.ts";
import { type Answer, conditionsOf, nothingSeen, type Observed } from "./conditions.ts";
import { type Incidents } from "./incidents.ts";

const LOOK_MS = 3_000;
const AUDIT_MS = 60_000;
const WAIT_MS = 5_000;

async function asked<T>(url: string, body?: object): Promise<Answer<T>> {
  try {
    const response = await fetch(url, {
      ...(body ? { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } } : {}),
      signal: AbortSignal.timeout(WAIT_MS),
    });
    if (!response.ok) return { not: "failing", detail: `HTTP ${response.status}` };
    return { said: (await response.json()) as T };
  } catch (error) {
    return { not: "away", detail: (error as Error).name === "TimeoutError" ? `${WAIT_MS / 1000} s` : "" };
  }
}

async function newestBlock(rpc: string): Promise<Answer<number>> {
  const answer = await asked<{ result?: string }>(rpc, {
    jsonrpc: "2.0",
    id: 1,
    method: "eth_blockNumber",
    params: [],
  });
  if ("not" in answer) return answer;
  return answer.said.result ? { said: Number(answer.said.result) } : { not: "failing", detail: "" };
}

/** Looks at the city again and again, for as long as the process runs. */
export function watch(config: Config, incidents: Incidents, onError: (error: Error) => void): Loops {
  const seen = nothingSeen(Date.now());
  let broken: Observed["broken"] = [];
  const loops = new Loops((_, error) => onError(error));
  loops.every(LOOK_MS, "incidents", async () => {
    const status = <T>(services: readonly { name: string; address: string; url: string }[]) =>
      Promise.all(
        services.map(async ({ name, address, url }) => ({
          ...{ name, address },
          answer: await asked<T>(`${url}/status`),
        })),
      );
    const [operators, markets, indexer, chain] = await Promise.all([
      status<CustodyStatus>(config.operators),
      status<MarketStatus>(config.markets),
      asked<IndexerStatus>(`${config.indexer}/status`),
      newestBlock(config.chain.rpc),
    ]);
    const { blockSeconds } = config.chain;
    incidents.look(conditionsOf({ atMs: Date.now(), operators, markets, indexer, chain, blockSeconds, broken }, seen));
  });
  loops.every(AUDIT_MS, "audit", async () => {
    const audit = await asked<IndexedAudit>(`${config.indexer}/audit`);
    // While it can't be asked, what was known stays.
    if ("said" in audit)
      broken = [
        ...audit.said.invariants.filter(({ verdict }) => verdict === "broken"),
        ...audit.said.contracts
          .filter(({ verdict }) => verdict === "broken")
          .map(({ name, reason }) => ({ id: `code ${name}`, reason })),
      ].map(({ id, reason }) => ({ id, reason }));
  });
  return loops;
}
