import { Interface } from "ethers";
import { expect, test } from "vitest";
import { artifact } from "./artifacts.ts";
import { contractError, describeError } from "./errors.ts";

const escrow = new Interface(artifact("contracts/market/Escrow.sol").abi);
const DEAL = `0x${"d1".repeat(32)}`;
const data = escrow.encodeErrorResult("Escrow_WindowOpen", [DEAL]);

test("a contract's own error is read wherever the failed call carries it", () => {
  for (const error of [{ data }, { info: { error: { data } } }]) {
    expect(contractError(error)?.name).toBe("Escrow_WindowOpen");
    expect(describeError(error)).toBe(`Escrow_WindowOpen(${DEAL})`);
  }
});

test("every contract that is deployed is asked, not only the first", () => {
  const token = new Interface(artifact("contracts/market/MSecToken.sol").abi);
  const given = token.encodeErrorResult("ERC20InsufficientBalance", [`0x${"ab".repeat(20)}`, 3, 7]);
  expect(describeError({ data: given })).toMatch(/^ERC20InsufficientBalance\(0x[aA][bB].*, 3, 7\)$/);
});

test("other failures give their own sentence", () => {
  expect(contractError(new Error("connection refused"))).toBeUndefined();
  expect(describeError(new Error("connection refused"))).toBe("connection refused");
  expect(describeError(Object.assign(new Error("long (with a request in it)"), { shortMessage: "short" }))).toBe(
    "short",
  );
  expect(describeError(Object.assign(new Error("unknown revert"), { data: "0xdeadbeef" }))).toBe("unknown revert");
  expect(describeError(Object.assign(new Error("no data"), { data: null }))).toBe("no data");
});

test("a source that is not compiled says what to run", () => {
  expect(() => artifact("contracts/market/Nothing.sol")).toThrow(
    "contracts/market/Nothing.sol is not compiled: run npm run setup",
  );
});
