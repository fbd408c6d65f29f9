import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";

/** Why machines can't be told apart here; undefined where they can. */
export function missingNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return "network namespaces take root";
  const name = `msec-${randomBytes(3).toString("hex")}`;
  const { error, status, stderr } = spawnSync("ip", ["netns", "add", name], { encoding: "utf8" });
  if (error) return "there is no ip (Debian package iproute2)";
  if (status !== 0) return `there are no network namespaces: ${stderr.trim()}`;
  spawnSync("ip", ["netns", "del", name]);
  return undefined;
}

function ip(...args: string[]): void {
  const { status, stderr } = spawnSync("ip", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`ip ${args.join(" ")}: ${stderr.trim()}`);
}

/**
 * Machines with a network of their own, on two switches with a cable between them; none reaches anything else. Names are short: an
 * interface's has 15 characters at most.
 */
export class Machines {
  readonly #id = randomBytes(2).toString("hex");
  readonly #count: number;

  /** @param onFirst How many of them are on the first switch. */
  constructor(count: number, onFirst: number) {
    this.#count = count;
    const [a, b] = [this.#switch(1), this.#switch(2)];
    for (const one of [a, b]) ip("link", "add", one, "type", "bridge");
    ip("link", "add", `${a}x`, "type", "veth", "peer", "name", `${b}x`);
    ip("link", "set", `${a}x`, "master", a, "up");
    ip("link", "set", `${b}x`, "master", b, "up");
    for (const one of [a, b]) ip("link", "set", one, "up");
    for (let n = 1; n <= count; n++) {
      const [space, port] = [this.space(n), `${this.#prefix}p${n}`];
      ip("netns", "add", space);
      ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", space);
      ip("link", "set", port, "master", n <= onFirst ? a : b, "up");
      ip("-n", space, "addr", "add", `${this.address(n)}/24`, "dev", "eth0");
      for (const device of ["eth0", "lo"]) ip("-n", space, "link", "set", device, "up");
    }
  }

  get #prefix(): string {
    return `ms${this.#id}`;
  }

  #switch(n: 1 | 2): string {
    return `${this.#prefix}s${n}`;
  }

  /** Name of a machine's namespace, from 1. */
  space(n: number): string {
    return `${this.#prefix}n${n}`;
  }

  address(n: number): string {
    return `10.77.0.${n}`;
  }

  /** Pulls the cable between the switches, or puts it back. */
  connect(connected: boolean): void {
    ip("link", "set", `${this.#switch(1)}x`, connected ? "up" : "down");
  }

  remove(): void {
    for (let n = 1; n <= this.#count; n++) spawnSync("ip", ["netns", "del", this.space(n)]);
    for (const n of [1, 2] as const) spawnSync("ip", ["link", "del", this.#switch(n)]);
    spawnSync("ip", ["link", "del", `${this.#switch(1)}x`]);
  }
}
