import { describe, expect, it } from "vitest";
import { type NodePlan } from "./network.ts";
import { admission } from "./permissions.ts";

const node = (n: number): NodePlan => ({
  name: `node-${n}`,
  validator: true,
  address: `0x${String(n).padStart(40, "0")}`,
  publicKey: String(n).padStart(128, "0"),
  ...{ host: "127.0.0.1", p2p: n, rpc: n, ws: n },
});
const nodes = [1, 2, 3, 4, 5].map(node);
const validators = nodes.slice(0, 4).map(({ address }) => address);
const names = (all: NodePlan[]) => all.map(({ name }) => name).join(" ");
/** Who is admitted, and who is spared, when these nodes are not in the Directory. */
const without = (...gone: number[]) => {
  const { admitted, spared } = admission(nodes, (one) => !gone.includes(one.p2p), validators);
  return [names(admitted), names(spared)];
};

describe("who is let in", () => {
  it("are the nodes in the Directory, validators or not", () => {
    expect(without()).toEqual(["node-1 node-2 node-3 node-4 node-5", ""]);
    expect(without(5)).toEqual(["node-1 node-2 node-3 node-4", ""]);
    expect(without(2)).toEqual(["node-1 node-3 node-4 node-5", ""]);
  });

  it("are validators all the same where the chain would stop without them: then it could never let them in again", () => {
    expect(without(2, 3)).toEqual(["node-1 node-2 node-3 node-4 node-5", "node-2 node-3"]);
    expect(without(1, 2, 3, 4, 5)).toEqual(["node-1 node-2 node-3 node-4", "node-1 node-2 node-3 node-4"]);
  });

  it("depends on who is a validator now, not on who was planned as one", () => {
    const { admitted, spared } = admission(nodes, ({ p2p }) => p2p > 2, [...validators.slice(2), nodes[4]!.address]);
    expect([names(admitted), names(spared)]).toEqual(["node-3 node-4 node-5", ""]);
  });
});
