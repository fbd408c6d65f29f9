import { type TestCity, until } from "./city.ts";

interface Place {
  block: number;
  index: number;
  tx: string;
}
interface Page {
  items: Place[];
  next: number | null;
}

const key = ({ block, index, tx }: Place): string => `${block}/${index}/${tx.toLowerCase()}`;

/** Waits until the indexer has said of the city's contracts what the chain says, all of it, and nothing else. */
export async function indexedAsOnChain(t: TestCity): Promise<void> {
  const { provider, run } = t.city;
  const address = Object.values(run.deployment.addresses);
  await until("the indexer says what the chain says", async () => {
    const toBlock = await provider.getBlockNumber();
    const indexed: string[] = [];
    let before = "";
    for (;;) {
      const { items, next } = await ask<Page>(t, `/events?limit=500${before}`);
      indexed.push(...items.filter(({ block }) => block <= toBlock).map(key));
      if (next === null) break;
      before = `&before=${next}`;
    }
    const logs = await provider.getLogs({ address, fromBlock: 0, toBlock });
    const told = logs.map((log) => key({ block: log.blockNumber, index: log.index, tx: log.transactionHash }));
    return told.length > 0 && told.reverse().join() === indexed.join();
  });
}

/** An answer of the city's indexer. */
export async function ask<T>(t: TestCity, path: string): Promise<T> {
  const response = await fetch(`${t.city.run.indexer}${path}`);
  if (!response.ok) throw new Error(`the indexer answers ${response.status} to ${path}: ${await response.text()}`);
  return (await response.json()) as T;
}
