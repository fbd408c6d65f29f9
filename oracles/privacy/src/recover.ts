import { connect } from "@msec/companion-db";
import { runMain } from "@msec/service";
import { readConfig } from "./config.ts";
import { identityKey, KeyRing } from "./keys.ts";
import { Manager } from "./manager.ts";
import { Parties } from "./parties.ts";
import { Peers } from "./peers.ts";
import { Store } from "./store.ts";

/**
 * Fetches from every other party what it holds of this manager's payloads, after the database was lost. May be run any
 * number of times, while the manager is down or up; ends with 1 and names the parties that did not answer.
 */
async function main(file: string): Promise<void> {
  const config = readConfig(file);
  const ring = KeyRing.open(config.dataDir, config.keys);
  const identity = identityKey(config.dataDir);
  const parties = Parties.read(config.partyList, identity, ring.publicKeys);
  const db = connect(config.databaseUrl);
  const peers = new Peers(parties, identity);
  const away: string[] = [];
  try {
    const store = await Store.open(db);
    const manager = new Manager({ ring, parties, store, push: peers.push.bind(peers), whenAway: "refuse" });
    for (const party of parties.others) {
      let count = 0;
      try {
        for (let after: string | null = "0"; after !== null; ) {
          const page = await peers.resend(party, after);
          for (const envelope of page.envelopes) await manager.restore(envelope);
          count += page.envelopes.length;
          after = page.next;
        }
      } catch (error) {
        away.push(`${party.name} (${(error as Error).message})`);
      }
      process.stdout.write(`${party.name}: ${count} payloads\n`);
    }
  } finally {
    peers.close();
    await db.end();
  }
  if (away.length > 0) throw new Error(`not all parties were heard, run it again when they answer: ${away.join("; ")}`);
}

runMain("privacy-recover", main);
