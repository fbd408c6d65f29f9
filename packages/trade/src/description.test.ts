import { type SignedThing } from "@msec/core";
import { afterAll, expect, test } from "vitest";
import { TestStream } from "../../core/test/city.ts";
import { DEPLOYED, listen } from "../test/operator.ts";
import { wallet } from "../test/wallet.ts";
import { descriptionOf, describeStream, thingOf } from "./description.ts";
import { Operators } from "./operators.ts";

const { id, preimage } = new TestStream();
const owner = wallet(`0x${"5e".repeat(32)}`);
const stranger = wallet(`0x${"4b".repeat(32)}`);
const closing: (() => void)[] = [];
afterAll(() => closing.forEach((close) => close()));

/** An operator that keeps what it is given, whoever signed it, or shows always the same. */
async function operator(shows?: SignedThing): Promise<{ url: string; kept: () => SignedThing | null }> {
  let kept: SignedThing | null = shows ?? null;
  const { url, server } = await listen((request, response, body) => {
    if (request.method === "PUT" && !shows) kept = JSON.parse(body) as SignedThing;
    response.end(JSON.stringify({ preimage, thing: kept }));
  });
  closing.push(() => server.close());
  return { url, kept: () => kept };
}

test("an owner's description goes on from the owner's own last one, whatever an operator makes up", async () => {
  const honest = await operator();
  const operators = new Operators([honest.url]);
  const first = await describeStream(operators, DEPLOYED, id, { title: "The park" }, owner);
  expect(first).toEqual({ version: 1, took: 1, of: 1 });
  const made = await operator();
  await describeStream(new Operators([made.url]), DEPLOYED, id, { title: "Somewhere else" }, stranger);
  const forged = { ...(made.kept() as SignedThing), version: 2 ** 50 };
  const nonsense = { version: 3, document: "{", signature: "0x" } as SignedThing;
  const liars = await Promise.all([operator(made.kept() as SignedThing), operator(forged), operator(nonsense)]);
  const all = new Operators([...liars.map(({ url }) => url), honest.url]);
  const known = await descriptionOf(all, DEPLOYED, id, owner.address);
  expect(thingOf(id, known)).toEqual({ title: "The park" });
  expect(await describeStream(all, DEPLOYED, id, { title: "The old park" }, owner)).toMatchObject({ version: 2 });
  expect(thingOf(id, await descriptionOf(all, DEPLOYED, id, owner.address))).toEqual({ title: "The old park" });
});
