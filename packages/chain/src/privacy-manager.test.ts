import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PrivacyManager } from "@msec/chain";
import { utf8 } from "@msec/core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { managerSuite } from "../../../test/support/manager-suite.ts";
import { freePorts, PrivacyNetwork } from "../../../test/support/privacy.ts";

let network: PrivacyNetwork;
beforeAll(async () => {
  network = await PrivacyNetwork.create(mkdtempSync(join(tmpdir(), "msec-client-")), ["alpha", "beta", "gamma"]);
  await network.start();
});
afterAll(() => network?.stop());

const client = (i: number, bySocket = false) => {
  const process = network.managers[i];
  if (!process) throw new Error(`there is no manager ${i}`);
  return new PrivacyManager(bySocket ? `unix:${process.socket}` : process.url, process.thirdParty);
};

managerSuite("the project's manager, by URL", () => ({ a: client(0), b: client(1), c: client(2) }));
managerSuite("the project's manager, by socket", () => ({
  a: client(0, true),
  b: client(1, true),
  c: client(2, true),
}));

describe("what a client's user is told", () => {
  test("of a manager that is down, and of one that is something else", async () => {
    const [port] = await freePorts(1);
    await expect(new PrivacyManager(`http://127.0.0.1:${port}`).upcheck()).rejects.toThrow(
      /does not answer \(ECONNREFUSED\): start it/,
    );
    await expect(new PrivacyManager("/tmp/no-such.ipc").upcheck()).rejects.toThrow(/does not answer \(ENOENT\)/);
    const health = new PrivacyManager(network.managers[0]?.health as string);
    await expect(health.send(utf8("x"), { to: [] })).rejects.toMatchObject({ status: 404 });
  });

  test("sending a stored payload again has no other effect", async () => {
    const [a, b] = [client(0), client(1)];
    const key = await a.storeRaw(utf8("once"));
    const [to] = (await b.keys()) as [string];
    const payloads = async () =>
      ((await (await fetch(`${network.managers[1]?.health}/status`)).json()) as { payloads: number }).payloads;
    await a.sendStored(key, { to: [to] });
    const before = await payloads();
    await Promise.all([a.sendStored(key, { to: [to] }), a.sendStored(key, { to: [to] })]);
    expect(await payloads()).toBe(before);
    expect((await b.receive(key))?.payload).toEqual(utf8("once"));
  });
});
