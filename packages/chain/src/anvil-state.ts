import { copyFileSync, existsSync, readFileSync, statSync } from "node:fs";
import { copyFile, rename, stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/** Bytes of state that are saved a second: a longer history is saved less often, so that saving costs the same for ever. */
const SAVED_PER_SECOND = 4 * 1024 * 1024;

/** Seconds between two saves of a state file of this size, at least two. */
export function saveSeconds(state: string): number {
  const size = existsSync(state) ? statSync(state).size : 0;
  return 2 + Math.floor(size / SAVED_PER_SECOND);
}

const COPY_MS = 10_000;
const AGAIN_MS = 1000;
const QUIET_MS = 300;

interface State {
  accounts: Record<string, { nonce: number; code: string }>;
  transactions: { info: { from: string } }[];
}

/**
 * Whether a state file can be started from. anvil writes it in place, so that a SIGKILL may leave half of it; and it takes
 * the blocks first and the accounts after, so that a block mined in between has changed accounts and is not there itself.
 * On such a chain a contract says what no event shows. Every transaction counts its sender's nonce, which tells.
 */
export function isWhole(file: string): boolean {
  try {
    const { accounts, transactions } = JSON.parse(readFileSync(file, "utf8")) as State;
    const sent = new Map<string, number>();
    for (const { info } of transactions) {
      const from = info.from.toLowerCase();
      sent.set(from, (sent.get(from) ?? 0) + 1);
    }
    return Object.entries(accounts).every(
      ([address, { nonce, code }]) => code !== "0x" || nonce === (sent.get(address.toLowerCase()) ?? 0),
    );
  } catch {
    return false;
  }
}

/** Puts the last copy in the place of a state that is not whole. */
export function mendState(state: string, copy: string): void {
  if (!existsSync(state) || isWhole(state)) return;
  if (!isWhole(copy))
    throw new Error(
      `the chain's state ${state} is damaged, and there is no copy of it: restore it from a backup, or start a new city in another folder`,
    );
  copyFileSync(copy, state);
}

/** Copies the state between two of its writings, again and again, until the chain has ended. */
export async function keepCopies(state: string, copy: string, ended: () => boolean): Promise<void> {
  const seen = () => stat(state).then(({ size, mtimeMs }) => `${size}/${mtimeMs}`);
  for (let wait = AGAIN_MS; !ended(); ) {
    await sleep(wait, undefined, { ref: false });
    try {
      const before = await seen();
      await sleep(QUIET_MS, undefined, { ref: false });
      const started = Date.now();
      if ((await seen()) === before) {
        await copyFile(state, `${copy}.new`);
        const whole = isWhole(`${copy}.new`);
        if (whole && !ended()) await rename(`${copy}.new`, copy);
        wait = Math.max(whole ? COPY_MS : AGAIN_MS, 20 * (Date.now() - started));
        continue;
      }
    } catch {
      // Not there yet.
    }
    wait = AGAIN_MS;
  }
}
