import { connectChain, contractsAt } from "@msec/chain";
import { Operators } from "@msec/trade";
import { people, Layout } from "./city/layout.ts";
import { type Run, runningCity } from "./city/up.ts";
import { type Shop } from "./market/buy.ts";
import { printJson } from "./output.ts";
import { Problem } from "./problem.ts";

/** The city that is up in a folder, as the commands besides `up` see it. */
export interface Session extends Shop {
  run: Run;
  layout: Layout;
  close(): void;
}

export function openSession(dir: string, progress: Shop["progress"] = () => undefined): Session {
  const run = runningCity(dir);
  if (!run)
    throw new Problem(`no city is up in ${dir}: start one with npm start (msec up), or name its folder with --dir`);
  const layout = new Layout(dir);
  const provider = connectChain(run.chain);
  return {
    run,
    layout,
    provider,
    contracts: contractsAt(run.deployment.addresses, provider),
    deployment: run.deployment,
    operators: new Operators(run.operators.map((o) => o.url)),
    buyer: people(layout).buyer,
    purchases: layout.purchases,
    subscriptions: layout.subscriptions,
    progress,
    close: () => provider.destroy(),
  };
}

/** What commands on a city have in common. */
export type Common = { dir: string; json?: boolean };

/** Does something in the city that is up, and prints what came of it: as JSON, or as `show` has it. */
export async function withSession<T>(
  { dir, json }: Common,
  work: (s: Session) => Promise<T>,
  show: (result: T) => void,
) {
  const session = openSession(dir);
  try {
    const result = await work(session);
    if (json) printJson(result);
    else show(result);
  } finally {
    session.close();
  }
}
