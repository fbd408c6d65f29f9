import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { type Hex } from "@msec/core";
import { type Condition, type Kind } from "./conditions.ts";

export interface Incident {
  id: number;
  kind: Kind;
  subject: string;
  /** As it was told last. */
  detail: string;
  startedAtMs: number;
  /** null while it lasts. */
  endedAtMs: number | null;
  acknowledged: { by: Hex; organisation: Hex; atMs: number; note: string } | null;
}

/** Looks in a row that must agree before an incident begins, and before it is over. */
const BEGINS = 2;
const ENDS = 3;
/** Most that are kept once they are over. */
const MOST_OVER = 500;

export class AcknowledgeError extends Error {
  readonly code: "not-found" | "over" | "acknowledged";
  constructor(code: AcknowledgeError["code"], message: string) {
    super(message);
    this.name = "AcknowledgeError";
    this.code = code;
  }
}

/** The process and each of its bundled routes have a class of their own of this name. */
export const isAcknowledgeError = (error: unknown): error is AcknowledgeError =>
  error instanceof Error && error.name === "AcknowledgeError";

/**
 * What is or was wrong, each with its start, its end and who took it on. Every change is a line of a file that is written
 * through at once: it must not be kept in a database whose absence is one of the incidents.
 */
export class Incidents {
  readonly #file: string;
  readonly #now: () => number;
  readonly #all = new Map<number, Incident>();
  /** Of what is going on, and may become an incident: looks that saw it, and looks since. */
  readonly #going = new Map<string, { since: number; seen: number; missed: number; id?: number }>();
  #last = 0;
  /** Milliseconds of the newest look; 0 before the first. */
  lookedAtMs = 0;

  constructor(file: string, now: () => number = Date.now) {
    this.#file = file;
    this.#now = now;
    for (const line of existsSync(file) ? readFileSync(file, "utf8").split("\n") : []) {
      try {
        const incident = JSON.parse(line) as Incident;
        this.#all.set(incident.id, incident);
      } catch {
        // The last line of a process that was killed while it wrote.
      }
    }
    this.#last = Math.max(0, ...this.#all.keys());
    this.#forget();
    const lines = [...this.#all.values()].map((incident) => `${JSON.stringify(incident)}\n`);
    writeFileSync(`${file}.new`, lines.join(""), { mode: 0o600 });
    renameSync(`${file}.new`, file);
    for (const { id, kind, subject, startedAtMs, endedAtMs } of this.#all.values())
      if (endedAtMs === null)
        this.#going.set(`${kind} ${subject}`, { since: startedAtMs, seen: BEGINS, missed: 0, id });
  }

  /** The newest first. */
  list(): Incident[] {
    return [...this.#all.values()].sort((a, b) => b.id - a.id);
  }

  /** Takes what one look found. */
  look(conditions: readonly Condition[]): void {
    const at = this.#now();
    this.lookedAtMs = at;
    const found = new Map(conditions.map((condition) => [`${condition.kind} ${condition.subject}`, condition]));
    for (const [key, condition] of found) {
      const going = this.#going.get(key) ?? { since: at, seen: 0, missed: 0 };
      going.seen++;
      going.missed = 0;
      this.#going.set(key, going);
      const known = going.id === undefined ? undefined : this.#all.get(going.id);
      if (known) {
        // What it says changes all the time; only who reads it now wants to know.
        known.detail = condition.detail;
      } else if (going.seen >= BEGINS) {
        going.id = ++this.#last;
        this.#keep({ id: going.id, ...condition, startedAtMs: going.since, endedAtMs: null, acknowledged: null });
      }
    }
    for (const [key, going] of this.#going) {
      if (found.has(key)) continue;
      if (going.id === undefined) this.#going.delete(key);
      else if (++going.missed >= ENDS) {
        this.#keep({ ...(this.#all.get(going.id) as Incident), endedAtMs: at });
        this.#going.delete(key);
        this.#forget();
      }
    }
  }

  /** @throws AcknowledgeError */
  acknowledge(id: number, by: Hex, organisation: Hex, note: string): Incident {
    const incident = this.#all.get(id);
    if (!incident) throw new AcknowledgeError("not-found", "there is no such incident");
    if (incident.endedAtMs !== null) throw new AcknowledgeError("over", "this incident is over");
    if (incident.acknowledged) throw new AcknowledgeError("acknowledged", "somebody was quicker");
    const taken = { ...incident, acknowledged: { by, organisation, atMs: this.#now(), note } };
    this.#keep(taken);
    return taken;
  }

  #keep(incident: Incident): void {
    const file = openSync(this.#file, "a", 0o600);
    try {
      writeSync(file, `${JSON.stringify(incident)}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    this.#all.set(incident.id, incident);
  }

  #forget(): void {
    const over = this.list().filter(({ endedAtMs }) => endedAtMs !== null);
    for (const { id } of over.slice(MOST_OVER)) this.#all.delete(id);
  }
}
