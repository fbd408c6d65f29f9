import { createServer } from "node:net";

/** Whether nobody listens on this port of loopback. */
export function isFreePort(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

/** Cities that are started at the same time look in places of their own: MSEC_PORTS_FROM, and 3,000 from there. */
const [FROM, SPAN] = process.env.MSEC_PORTS_FROM ? [Number(process.env.MSEC_PORTS_FROM), 3_000] : [20_000, 12_000];

/** What was given out is not given again: it may be in use a moment later only. */
const given = new Set<number>();

/** A port of loopback that is free and not among `taken`; below those that systems hand out by themselves. */
export async function freePort(taken: ReadonlySet<number> = new Set()): Promise<number> {
  for (;;) {
    const port = FROM + Math.floor(Math.random() * SPAN);
    if (given.has(port) || taken.has(port)) continue;
    given.add(port);
    if (await isFreePort(port)) return port;
    given.delete(port);
  }
}
