import { askAsOperator, type Ballot, castVote, type NetworkPlan, validatorsOf } from "@msec/quorum";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machines, until } from "../support/network.ts";

// Four validators and a node that is to become one; each operator votes at its own node.

const machines = new Machines();
const machine = (n: number) => machines.folder(n).root;
let plan: NetworkPlan;

beforeAll(async () => {
  plan = await machines.found({ observers: 1, members: 0 });
});

afterAll(() => machines.end());

const addressOf = (n: number) => plan.nodes[n - 1]?.address as string;
const validatorsAt = (n: number) => validatorsOf(machines.folder(n), machines.name(n));
const candidatesAt = (n: number) => askAsOperator(machines.folder(n), machines.name(n), "istanbul_candidates");

test("operators vote a node in, each by one command at its own node, at whatever time", async () => {
  expect(await machines.msec<Ballot>(1, "vote", "node-5")).toEqual({
    address: addressOf(5),
    votes: 1,
    needed: 3,
    decided: false,
  });
  expect(await castVote(machine(1), "node-5", true)).toMatchObject({ votes: 1, decided: false });
  expect(await castVote(machine(2), addressOf(5), true)).toMatchObject({ votes: 2, decided: false });
  expect(await validatorsAt(4)).toHaveLength(4);
  expect(await castVote(machine(3), "node-5", true)).toMatchObject({ decided: true });
  await until(async () => (await validatorsAt(5)).includes(addressOf(5)), 30);
  // Who comes late has nothing to do.
  expect(await castVote(machine(4), "node-5", true)).toMatchObject({ decided: true });
});

test("and another one out; a vote that is decided does not stand for ever", async () => {
  expect(await candidatesAt(1)).toEqual({ [addressOf(5)]: true });
  for (const [n, votes] of [
    [1, 1],
    [5, 2],
  ] as const)
    expect(await castVote(machine(n), "node-4", false)).toMatchObject({ votes, needed: 3, decided: false });
  expect(await candidatesAt(1)).toEqual({ [addressOf(4)]: false });
  expect(await castVote(machine(2), "node-4", false)).toMatchObject({ decided: true });
  await until(async () => !(await validatorsAt(3)).includes(addressOf(4)), 30);
  expect(await candidatesAt(2)).toEqual({});
});

test("it is refused to whoever is no validator, of a name that nobody has, and where the chain would be left with three", async () => {
  await expect(castVote(machine(4), "node-4", true)).rejects.toThrow(/node-4 is no validator: validators alone vote/);
  await expect(castVote(machine(1), "node-9", true)).rejects.toThrow(/node-9 is no address and no node of this plan/);
  await expect(castVote(machine(1), "node-4", false)).rejects.toThrow(/node-4 is no validator/);
  await expect(castVote(machine(1), "node-3", false)).rejects.toThrow(/3 validators would be left/);
});
