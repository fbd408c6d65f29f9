import { describe, expect, it } from "vitest";
import { decodeRlp } from "ethers";
import { extraData, genesis } from "./qbft.ts";

const A = "0x93917cadbace5dfce132b991732c6cda9bcc5b8a" as const;
const B = "0x27a97c9aaf04f18f3014c32e036dd0ac76da5f18" as const;

describe("extraData", () => {
  it("without validators is the contract mode's", () => {
    expect(extraData([])).toBe(`0xe5a0${"00".repeat(32)}c0c080c0`);
  });

  it("holds vanity, validators in their order, no vote, round 0 and no seals", () => {
    expect(decodeRlp(extraData([A, B]))).toEqual([`0x${"00".repeat(32)}`, [A, B], [], "0x", []]);
  });
});

describe("genesis", () => {
  it("stays at Istanbul, and has privacy enhancements as a transition only", () => {
    const { config } = genesis({ chainId: 7, validators: [A], blockSeconds: 2 }) as {
      config: Record<string, unknown> & { transitions: Record<string, unknown>[]; qbft: Record<string, unknown> };
    };
    expect(config).not.toHaveProperty("berlinBlock");
    expect(config).not.toHaveProperty("privacyEnhancementsBlock");
    expect(config.transitions[0]).toMatchObject({ block: 0, privacyEnhancementsEnabled: true });
    expect(config.qbft.blockperiodseconds).toBe(2);
    expect(config.qbft.emptyblockperiodseconds).toBe(3);
  });
});
