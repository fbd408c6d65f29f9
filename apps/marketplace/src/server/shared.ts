import { type Incidents } from "./incidents/incidents.ts";
import { SignIn } from "./sign-in.ts";

interface Shared {
  readonly signIn: SignIn;
  /** Set by the process that serves the pages. */
  incidents?: Incidents;
}

const place = globalThis as unknown as { [key: symbol]: Shared | undefined };
const KEY = Symbol.for("msec.marketplace");

/** What this process and every bundled route of it have in common. */
export const shared: Shared = (place[KEY] ??= { signIn: new SignIn() });
