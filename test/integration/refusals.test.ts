import { cpSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packsTopic } from "@msec/broker";
import {
  encodeMessage,
  FLAG,
  fromHex,
  type Hex,
  readThing,
  type RefusalCode,
  registryDomain,
  sha256,
  type SignedThing,
  signTyped,
  THING_DESCRIPTION,
  thingDescription,
  toHex,
  ZERO32,
} from "@msec/core";
import { Sender } from "@msec/chain";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Built } from "../../packages/core/test/city.ts";
import { csvFile, msec, openPlan, TestCity, until } from "../support/city.ts";
import { duplicateKeys, HandDevice, SLOT0 } from "../support/device.ts";

// Four real operators, a real broker, database and chain. A device made by hand sends them everything that must not get
// through; beside it an honest device goes on measuring, and nothing of this may keep it up.

let t: TestCity;
let good: HandDevice;

beforeAll(async () => {
  t = await TestCity.up((root) => [openPlan("honest", csvFile(root, "honest.csv", 60_000, 1000).file, 10, 40)], {
    software: true,
  });
  good = await HandDevice.make(t.city);
});

afterAll(async () => {
  if (process.env.MSEC_LOGS) cpSync(join(t.root, "logs"), process.env.MSEC_LOGS, { recursive: true });
  await good?.close();
  await t?.stop();
});

test("without a TPM the device is shown as software, and not as one that proves itself", async () => {
  const [device] = t.city.run.devices;
  const { status, assurance, policyId } = await t.city.contracts.DeviceRegistry.device(device?.deviceId as Hex);
  expect([status, assurance, policyId]).toEqual([1n, 1n, ZERO32]);
  expect(t.city.tpms.pids).toEqual({});
  const { code, out } = await msec(["device", "explain", "honest", "--dir", t.root]);
  expect(code).toBe(1);
  expect(out).toMatch(/its keys are software: whoever copies its disk is the device/);
  const attest = await msec(["device", "attest", "honest", "--dir", t.root]);
  expect(attest).toMatchObject({ code: 1, out: expect.stringMatching(/there is no TPM that could answer/) });
});

test("where a device stands only its owner says, and no older word replaces a newer", async () => {
  const stream = t.streamOf("honest");
  const describeBy = (...options: string[]) => msec(["device", "describe", "honest", ...options, "--dir", t.root]);
  const said = async (n: number) => (await t.get<{ thing: SignedThing | null }>(n, `/streams/${stream}`)).thing;
  await until("all operators know the stream", async () => (await Promise.all(ALL.map(said))).every((x) => x === null));
  expect(await describeBy("--at", "43.46,-3.81", "--place", "Plaza")).toMatchObject({
    code: 0,
    out: expect.stringMatching(/description 1, taken by 4 of 4/),
  });
  const first = (await said(1)) as SignedThing;
  expect(readThing(stream, first.document).place).toEqual({ latitude: 43.46, longitude: -3.81, name: "Plaza" });
  expect((await describeBy("--model", "Box 3")).out).toMatch(/description 2, taken by 4 of 4/);
  expect((await describeBy("--nowhere")).out).toMatch(/description 3, taken by 4 of 4/);
  for (const n of ALL) {
    const now = (await said(n)) as SignedThing;
    expect([now.version, readThing(stream, now.document)]).toEqual([3, { title: "honest/air", model: "Box 3" }]);
  }
  expect(await describeBy("--at", "91,0")).toMatchObject({ code: 2 });

  const put = async (thing: SignedThing) => {
    const url = `${t.city.run.operators[0]?.url}/streams/${stream}/thing`;
    const response = await fetch(url, { method: "PUT", body: JSON.stringify(thing) });
    return ((await response.json()) as { code: string }).code;
  };
  expect(await put(first)).toBe("order");
  expect(await put({ ...first, version: 9 })).toBe("bad-signature");
  const { chainId, addresses } = t.city.run.deployment;
  const document = first.document.replace("43.46", "44");
  const signed = thingDescription(stream, { version: 9, document });
  const domain = registryDomain(chainId, addresses.DeviceRegistry);
  const signature = signTyped(fromHex(t.city.people.buyer.key), domain, THING_DESCRIPTION, signed);
  expect(await put({ version: 9, document, signature })).toBe("bad-signature");
  await until("the indexer has what the owner said last", async () => {
    const response = await fetch(`${t.city.run.indexer}/streams/${stream}`);
    return ((await response.json()) as { thing: { model?: string } | null }).thing?.model === "Box 3";
  });
});

const ALL = [1, 2, 3, 4];
const [ACTIVE, SUSPENDED, QUARANTINED] = [1, 2, 3];
const refusals = (reason: RefusalCode) =>
  Promise.all(ALL.map((n) => t.metric(n, "msec_packs_refused_total", { reason })));

/** Does something that every operator must refuse for a reason, and sees each count it. */
async function refused(reason: RefusalCode, act: () => Promise<unknown>, times = 1): Promise<void> {
  const before = await refusals(reason);
  await act();
  await until(`every operator counts ${reason}`, async () =>
    (await refusals(reason)).every((count, i) => count >= (before[i] as number) + times),
  );
}

interface Info {
  head: { seq: number; headerDigest: Hex } | null;
  pending: number;
}
const info = (device: HandDevice, n = 1) => t.get<Info>(n, `/streams/${device.id}`);

/** Waits until all operators have a header as the stream's head. */
const anchored = (device: HandDevice, { signed }: Built) =>
  until(`seq ${signed.header.seq} is the head at every operator`, async () => {
    const all = await Promise.all(ALL.map((n) => info(device, n)));
    return all.every(({ head }) => head?.headerDigest === signed.headerDigest);
  });

/** Sends a good pack, which every test may build on. */
async function goOn(device = good): Promise<Built> {
  const built = device.pack();
  device.packs.push(built);
  await device.send(built);
  await anchored(device, built);
  return built;
}

async function honestGoesOn(): Promise<void> {
  const id = t.streamOf("honest");
  const seq = async () => (await t.get<Info>(1, `/streams/${id}`)).head?.seq ?? 0;
  const before = await seq();
  await until("the honest device's packs are anchored", async () => (await seq()) > before + 1);
}

describe("what an operator refuses of a device", () => {
  test("a wrong signature, a changed header, a changed content", async () => {
    await goOn();
    const next = good.pack();
    const bent = next.cose.slice();
    bent[bent.length - 5] = (bent[bent.length - 5] as number) ^ 1;
    await refused("bad-signature", () => good.send({ cose: bent, content: next.content }));

    const other = good.signed({ ...next.signed.header, toMs: next.signed.header.toMs + 1 }, next.content);
    // The signature of one header under another.
    const mixed = next.cose.slice();
    mixed.set(other.cose.subarray(0, other.cose.length - 66), 0);
    await refused("bad-signature", () => good.send({ cose: mixed, content: next.content }));

    const content = next.content.slice();
    content[20] = (content[20] as number) ^ 1;
    await refused("content-digest", () => good.send({ cose: next.cose, content }));
    const said = await until("every operator signs its refusal of an authentic header", () => {
      const all = good.refused.filter((r) => r.headerDigest === next.signed.headerDigest);
      return new Set(all.map((r) => r.operator)).size === 4 && all;
    });
    expect(said[0]?.message).toMatch(/content is not what the header names/);
  });

  test("an unknown stream, an unknown device", async () => {
    const stranger = new HandDevice(t.city);
    await expect(stranger.connect(), "the registry does not know it").rejects.toThrow(/not authorized/i);
    const before = await t.metric(1, "msec_packs_received_total");
    await refused("wrong-stream", () => good.send(stranger.pack()));
    expect(await t.metric(1, "msec_packs_received_total")).toBeGreaterThan(before);
    // A pack of one device's stream signed by another device's key.
    const thief = good.pack();
    await refused("unknown-key", () => good.send(stranger.signed(thief.signed.header, thief.content)));
    await stranger.close();
  });

  test("questions about unknown streams end where they are asked", async () => {
    const id = toHex(new Uint8Array(32).fill(7));
    const started = Date.now();
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        fetch(`${t.url((i % 4) + 1)}/streams/${id}`, { signal: AbortSignal.timeout(5000) }),
      ),
    );
    expect(answers.every((a) => a.status === 400)).toBe(true);
    expect(Date.now() - started).toBeLessThan(3000);
    await honestGoesOn();
  });

  test("a pack that comes again is no second leaf, one that comes early waits for its place", async () => {
    const first = await goOn();
    const before = await t.chainEpoch();
    await good.send(first, first, first);
    const second = good.pack();
    good.packs.push(second);
    const late = good.pack();
    await good.send(late);
    await sleep(1500);
    expect((await info(good)).head?.headerDigest, "nothing enters before its predecessor").toBe(
      first.signed.headerDigest,
    );
    await good.send(second, late);
    good.packs.push(late);
    await anchored(good, late);
    const leaves = new Map<string, number>();
    for (let n = 1; n <= (await t.chainEpoch()); n++) {
      const { headerDigests } = await until(`epoch ${n}`, () => t.get<{ headerDigests: Hex[] }>(1, `/epochs/${n}`));
      for (const digest of headerDigests) leaves.set(digest, (leaves.get(digest) ?? 0) + 1);
    }
    for (const { signed } of [first, second, late]) expect(leaves.get(signed.headerDigest)).toBe(1);
    expect(await t.chainEpoch()).toBeGreaterThan(before);
  });

  test("a second branch of the line, a jump of seq, an earlier time, two slots in one pack, a future time", async () => {
    const head = await goOn();
    const at = head.signed.header;
    const first = good.packs[0] as Built;
    const slot = good.free();
    await refused("branch", () => good.send(good.pack(slot, { seq: at.seq + 1, previous: first.signed.headerDigest })));
    await refused("order", () => good.send(good.pack(slot, { seq: at.seq + 7 })));
    const past = good.pack(SLOT0 - 5);
    await refused("order", () => good.send(past));
    const wide = good.pack(slot);
    await refused("slot", () =>
      good.send(good.signed({ ...wide.signed.header, toMs: wide.signed.header.fromMs + 60_000 }, wide.content)),
    );
    const soon = Math.floor((Date.now() + 600_000) / 60_000);
    await refused("time", () => good.send(good.pack(soon)));
    const beacon = { number: 1_000_000, digest: first.signed.headerDigest };
    await refused("epoch", () => good.send(good.pack(slot, { beacon })));
    const wrong = { number: 1, digest: first.signed.headerDigest };
    await refused("epoch", () => good.send(good.pack(slot, { beacon: wrong })));
    expect((await info(good)).pending).toBe(0);
    await goOn();
  });

  test("a key commitment that does not fit, records that are not under the root, a content that does not open", async () => {
    await goOn();
    const next = good.pack();
    const { header } = next.signed;
    const elsewhere = `0x${"11".repeat(32)}` as Hex;
    await refused("key-commitment", () =>
      good.send(good.signed({ ...header, keyCommitment: elsewhere }, next.content)),
    );
    await refused("root", () => good.send(good.signed({ ...header, root: elsewhere }, next.content)));
    await refused("records", () => good.send(good.signed({ ...header, count: 2 }, next.content)));
    const bent = next.content.slice();
    bent[bent.length - 1] = (bent[bent.length - 1] as number) ^ 1;
    await refused("unopenable", () => good.send(good.signed({ ...header, contentDigest: toHex(sha256(bent)) }, bent)));
    await goOn();
  });

  test("bytes that are no pack: too many, cut short, not CBOR, map keys twice", async () => {
    const next = good.pack();
    await refused("oversize", () => good.sendBytes(new Uint8Array(60_000)));
    const message = encodeMessage(next.cose, next.content);
    await refused("malformed", () => good.sendBytes(message.slice(0, 100)));
    await refused("malformed", () => good.sendBytes(new TextEncoder().encode("hello")));
    await refused("malformed", () => good.sendBytes(new Uint8Array(0)));
    await refused("malformed", () => good.send({ cose: duplicateKeys(next), content: next.content }));
    await refused("malformed", () =>
      good.sendBytes(message.slice(0, 100), packsTopic(good.preimage.deviceId, "nonsense" as Hex)),
    );
    await goOn();
    await honestGoesOn();
  });

  test("bodies that are no requests: a sentence that names the field, and an operator that goes on", async () => {
    for (const path of [
      `/streams/${good.id}/seed`,
      "/peer/propose",
      "/peer/packs",
      "/peer/line",
      "/peer/push",
      "/peer/opened",
      "/peer/equivocation",
      "/streams",
      "/packs",
    ])
      for (const body of ["", "{}", "[]", "null", "{", '{"opened":[{}],"digests":["0x"],"epoch":{},"preimage":{}}']) {
        const response = await fetch(t.url(2) + path, { method: "POST", body });
        expect(response.status, `${path} ${body}`).toBe(400);
        expect(await response.json()).toMatchObject({
          code: "malformed",
          message: expect.stringMatching(/\w+: |JSON/),
        });
      }
    expect(t.exits).toEqual([]);
    await honestGoesOn();
  });

  test("two packs under one seq: neither enters, the evidence is kept, everyone else goes on", async () => {
    const device = await HandDevice.make(t.city);
    const head = await goOn(device);
    const a = device.pack(device.free(), {}, 1);
    const b = device.pack(device.free(), {}, 2);
    await refused("equivocation", () => device.flood([a, b]));
    for (const n of ALL) {
      const of = () => t.get<Info & { equivocations: number }>(n, `/streams/${device.id}`);
      await until(`operator ${n} has seen both`, async () => (await of()).equivocations > 0);
    }
    await honestGoesOn();
    for (const n of ALL) {
      const seen = await t.get<Info & { equivocations: number }>(n, `/streams/${device.id}`);
      expect(seen.head?.headerDigest, "neither of the two entered").toBe(head.signed.headerDigest);
      expect(seen.pending).toBe(0);
      expect(seen.equivocations).toBe(1);
    }
    const evidence = await Promise.all(ALL.map((n) => t.metric(n, "msec_equivocations_total")));
    expect(evidence).toEqual([1, 1, 1, 1]);
    // The device goes on under `break`, far above whatever it may have signed.
    const onward = device.pack(device.free(1), { seq: head.signed.header.seq + 1001, flags: FLAG.break });
    await device.send(onward);
    await anchored(device, onward);
    await device.close();
  });

  test("a second signature that comes while its rival is on its way to the chain stops nobody", async () => {
    const device = await HandDevice.make(t.city);
    let head = await goOn(device);
    for (let round = 0; round < 3; round++) {
      const slot = device.free(round);
      const a = device.pack(slot, { seq: head.signed.header.seq + 1, previous: head.signed.headerDigest }, 1);
      const b = device.pack(slot, { seq: head.signed.header.seq + 1, previous: head.signed.headerDigest }, 2);
      const proposed = () => Promise.all(ALL.map((n) => t.metric(n, "msec_epochs_signed_total")));
      const before = (await proposed()).reduce((x, y) => x + y, 0);
      await device.send(a);
      await until("an epoch is signed", async () => (await proposed()).reduce((x, y) => x + y, 0) > before);
      await device.send(b);
      // What was signed before stays on its way for as long as a block takes, on GoQuorum up to three seconds, and may bring the first.
      const last = await t.chainEpoch();
      await honestGoesOn();
      await until("what was on its way is over at every operator", async () =>
        (await Promise.all(ALL.map((n) => t.status(n)))).every(({ epoch }) => epoch >= last + 2),
      );
      const settled = await until("the operators agree on the head", async () => {
        const heads = await Promise.all(ALL.map((n) => info(device, n)));
        const first = heads[0] as Info;
        return (
          heads.every((h) => h.head?.headerDigest === first.head?.headerDigest && h.pending === 0) &&
          (first.head ?? undefined)
        );
      });
      const entered = settled.headerDigest !== head.signed.headerDigest;
      if (entered) expect([a.signed.headerDigest, b.signed.headerDigest]).toContain(settled.headerDigest);
      const from = entered ? (settled.headerDigest === a.signed.headerDigest ? a : b) : head;
      const onward = device.pack(slot, {
        seq: from.signed.header.seq + 1001,
        previous: from.signed.headerDigest,
        flags: FLAG.break,
      });
      await device.send(onward);
      await anchored(device, onward);
      head = onward;
    }
    await device.close();
  });

  test("a header after `end`", async () => {
    const device = await HandDevice.make(t.city);
    await goOn(device);
    const end = device.pack(device.free(), { flags: FLAG.end });
    device.packs.push(end);
    await device.send(end);
    await anchored(device, end);
    await refused("after-end", () => device.send(device.pack()));
    expect((await info(device)).head?.headerDigest).toBe(end.signed.headerDigest);
    await device.close();
  });

  test("a flood of packs that can't be anchored stops nobody else", async () => {
    const flooder = await HandDevice.make(t.city);
    await goOn(flooder);
    const ahead = await t.chainEpoch();
    // Admissible by form, but they name epochs that nobody has anchored yet.
    const packs: Built[] = [];
    for (let i = 0; i < 300; i++) {
      const built = flooder.pack(flooder.free(), { beacon: { number: ahead + 8, digest: `0x${"22".repeat(32)}` } });
      flooder.packs.push(built);
      packs.push(built);
    }
    await flooder.flood(packs);
    await flooder.flood(Array.from({ length: 300 }, (_, i) => flooder.pack(flooder.free(i), { seq: 5000 + i })));
    const started = Date.now();
    await honestGoesOn();
    await goOn(good);
    expect(Date.now() - started).toBeLessThan(30_000);
    // When the epoch is there and is another, the packs are refused for good.
    await until("no pack with a false beacon waits", async () => (await info(flooder)).pending === 0);
    expect((await info(flooder)).head?.seq).toBe(1);
    await flooder.close();
  });

  test("a suspended device, one in quarantine, a revoked key: refused from the second block on", async () => {
    const { people, run, contracts, provider } = t.city;
    const act = async (who: Hex, method: "setStatus" | "revokeKey", ...args: unknown[]) => {
      const data = contracts.DeviceRegistry.interface.encodeFunctionData(method as "setStatus", args as never);
      const { blockNumber } = await new Sender(who, provider, run.deployment.chainId).transact({
        to: run.deployment.addresses.DeviceRegistry,
        data,
      });
      return () => until("two blocks", async () => (await provider.getBlockNumber()) >= blockNumber + 2);
    };
    const device = await HandDevice.make(t.city);
    const head = await goOn(device);
    for (const [who, status] of [
      [people.city.key, SUSPENDED],
      [people.deployer.key, QUARANTINED],
    ] as const) {
      const twoBlocks = await act(who, "setStatus", device.preimage.deviceId, status);
      await until("the broker ends its connection", () => !device.connected);
      await expect(device.connect()).rejects.toThrow(/not authorized/i);
      await twoBlocks();
      // Another device's hand does not help it.
      await refused("inactive-device", () => good.send(device.pack()));
    }
    const twoBlocks = await act(people.deployer.key, "setStatus", device.preimage.deviceId, ACTIVE);
    await device.connect();
    await twoBlocks();
    const again = await goOn(device);
    expect(again.signed.header.previous).toBe(head.signed.headerDigest);
    const revoked = await act(people.deployer.key, "revokeKey", device.preimage.deviceId, 1);
    await until("the broker ends its connection", () => !device.connected);
    await expect(device.connect()).rejects.toThrow(/bad username or password/i);
    await revoked();
    await refused("revoked", () => good.send(device.pack()));
    expect((await info(device)).head?.headerDigest).toBe(again.signed.headerDigest);
    await device.close();
  });

  test("every refusal is a sentence with a code in the operator's status", async () => {
    const { refusedPacks } = await t.status(3);
    const reasons = refusedPacks.map((r) => r.reason);
    for (const reason of [
      "bad-signature",
      "unknown-key",
      "branch",
      "order",
      "slot",
      "time",
      "malformed",
      "oversize",
      "root",
    ])
      expect(reasons).toContain(reason);
    expect(t.exits, "no process of the city has ended").toEqual([]);
  });
});
