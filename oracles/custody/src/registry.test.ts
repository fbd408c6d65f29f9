import { type Contracts } from "@msec/chain";
import { type Hex, ZERO32 } from "@msec/core";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DeviceCache } from "./registry.ts";

const DEVICE = `0x${"11".repeat(32)}` as Hex;
const NOW = 1_800_000_000_000;

describe("whether a pack was signed in an attested start", () => {
  let policyId: Hex;
  let fresh: boolean;
  let last: { keyEpoch: bigint; resetCount: bigint; validUntilMs: bigint };
  let looks: number;
  let away: boolean;
  let cache: DeviceCache;
  const asked = (bootEpoch: number, keyEpoch = 2) => cache.isAttested(DEVICE, { bootEpoch, keyEpoch });

  beforeEach(() => {
    vi.useFakeTimers({ now: NOW });
    policyId = `0x${"22".repeat(32)}`;
    fresh = true;
    last = { keyEpoch: 2n, resetCount: 7n, validUntilMs: BigInt(NOW + 10_000) };
    looks = 0;
    away = false;
    cache = new DeviceCache({
      DeviceRegistry: {
        device: async () => ({ ...{ status: 1n, assurance: 2n, owner: "0x", ownerEpoch: 1n, keyEpoch: 2n }, policyId }),
        isFresh: async () => {
          if (away) throw new Error("the chain does not answer");
          looks++;
          return fresh;
        },
        freshnessOf: async () => last,
      },
    } as unknown as Contracts);
    return () => vi.useRealTimers();
  });

  test("it was, up to the start that registrars saw last", async () => {
    expect(await asked(6)).toBe(true);
    expect(await asked(7)).toBe(true);
    expect(await asked(8)).toBe(false);
  });

  test("counters of another key say nothing: those of a cleared TPM begin anew", async () => {
    expect(await asked(900, 1)).toBe(true);
    expect(await asked(8, 3)).toBe(false);
  });

  test("it is not asked of a device whose boot is not measured", async () => {
    policyId = ZERO32;
    fresh = false;
    expect(await asked(8)).toBe(true);
  });

  test("an attestation that holds is looked up again when its time is over, one that does not soon", async () => {
    expect(await asked(7)).toBe(true);
    fresh = false;
    vi.advanceTimersByTime(10_000);
    expect(await asked(7)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await asked(7)).toBe(false);
    expect(looks).toBe(2);
    fresh = true;
    expect(await asked(7)).toBe(false);
    vi.advanceTimersByTime(1_000);
    expect(await asked(7)).toBe(true);
  });

  test("while the chain is away one that held holds for its time, and nothing else", async () => {
    last.validUntilMs = BigInt(NOW + 60_000);
    expect(await asked(7)).toBe(true);
    away = true;
    vi.advanceTimersByTime(60_000);
    expect(await asked(7)).toBe(true);
    vi.advanceTimersByTime(1_001);
    await expect(asked(7)).rejects.toThrow(/does not answer/);
    away = false;
    fresh = false;
    expect(await asked(7)).toBe(false);
    away = true;
    vi.advanceTimersByTime(1_000);
    await expect(asked(7)).rejects.toThrow(/does not answer/);
  });

  test("a change that the chain shows counts at once", async () => {
    expect(await asked(7)).toBe(true);
    fresh = false;
    cache.forget(DEVICE);
    expect(await asked(7)).toBe(false);
    fresh = true;
    cache.forgetAll();
    expect(await asked(7)).toBe(true);
  });
});

test("an answer that was on its way when the chain showed a change is not kept", async () => {
  let status = 1n;
  let revokedAt = 0n;
  let fresh = true;
  const answers: (() => void)[] = [];
  /** What the chain says now, told later. */
  const later = <T>(value: T) => new Promise<T>((resolve) => answers.push(() => resolve(value)));
  const view = () => ({ owner: "0x", policyId: `0x${"22".repeat(32)}`, keyHash: ZERO32, status });
  const cache = new DeviceCache({
    DeviceRegistry: {
      device: () => later(view()),
      keyRevokedAt: () => later(revokedAt),
      isFresh: () => later(fresh),
      freshnessOf: () => later({ keyEpoch: 1n, resetCount: 1n, validUntilMs: BigInt(Date.now() + 60_000) }),
    },
  } as unknown as Contracts);
  const answered = async <T>(asked: Promise<T>): Promise<T> => {
    const all = setInterval(() => answers.splice(0).forEach((tell) => tell()), 1);
    return asked.finally(() => clearInterval(all));
  };
  const header = { keyEpoch: 1, bootEpoch: 1 };
  await answered(cache.device(DEVICE));
  const before = [cache.isRevoked(DEVICE, 1), cache.isAttested(DEVICE, header)];
  await new Promise((resolve) => setImmediate(resolve));
  cache.forget(DEVICE);
  const device = cache.device(DEVICE);
  cache.forget(DEVICE);
  [status, revokedAt, fresh] = [3n, 9n, false];
  await answered(Promise.all([...before, device]));
  expect((await answered(cache.device(DEVICE))).status).toBe(3);
  expect(await answered(cache.isRevoked(DEVICE, 1))).toBe(true);
  expect(await answered(cache.isAttested(DEVICE, header))).toBe(false);
});
