import { addressOfKey, type Hex } from "@msec/core";
import { expect, it } from "vitest";
import { drawNodeKey, hasOnePlace } from "./order.ts";

// 0xc41F… and 0xCCDa…: seen to stop a network once two of its four nodes had been started again.
const LOWER = "0xc41f08ee658c20d3ae21dcd6abb0570e3629f801" as const;
const UPPER = "0xccdaefa598eec7a63d8f73e0a4a8839b2c24df37" as const;
const OTHER = "0x696ff293f2225fc1d4b2f572a3f48ce0514c3c31" as const;

it("two addresses whose bytes and whose text with its checksum are in different orders have no one place", () => {
  expect(hasOnePlace(LOWER, [OTHER])).toBe(true);
  expect(hasOnePlace(LOWER, [OTHER, UPPER])).toBe(false);
  expect(hasOnePlace(UPPER, [LOWER])).toBe(false);
});

it("keys are drawn until each has one place among all others", () => {
  const addresses: Hex[] = [];
  for (let n = 0; n < 40; n++) addresses.push(addressOfKey(drawNodeKey(addresses)));
  for (const address of addresses)
    expect(
      hasOnePlace(
        address,
        addresses.filter((other) => other !== address),
      ),
    ).toBe(true);
});
