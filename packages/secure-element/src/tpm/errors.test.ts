import { expect, test } from "vitest";
import { CC } from "./constants.ts";
import { responseError } from "./errors.ts";
import { parseTpmAddress } from "./transport.ts";

test("a response code becomes a sentence that names command, cause and place", () => {
  const policy = responseError(0x99d, CC.Sign);
  expect(policy).toMatchObject({ code: "policy", rc: 0x99d });
  expect(policy.message).toMatch(/^Sign: .*other software booted.*TPM_RC_POLICY_FAIL, 0x99d, session 1/);
  expect(responseError(0x1df, CC.Load)).toMatchObject({ code: "foreign-key" });
  expect(responseError(0x3e0, CC.Sign).message).toMatch(/TPM_RC_TICKET, 0x3e0, parameter 3/);
  expect(responseError(0x18b, CC.Sign).message).toMatch(/TPM_RC_HANDLE, 0x18b, handle 1/);
  expect(responseError(0x902, CC.Load)).toMatchObject({ code: "memory" });
  expect(responseError(0x921, CC.Unseal).message).toMatch(/recovery time.*clear-lockout/);
  expect(responseError(0x7ff, CC.Sign)).toMatchObject({ code: "refused" });
});

test("a TPM's address is one of three forms", () => {
  expect(parseTpmAddress("device:/dev/tpmrm0")).toEqual({ kind: "device", path: "/dev/tpmrm0" });
  expect(parseTpmAddress("swtpm:path=/run/x")).toEqual({ kind: "unix", path: "/run/x" });
  expect(parseTpmAddress("swtpm:host=127.0.0.1,port=2321")).toEqual({ kind: "tcp", host: "127.0.0.1", port: 2321 });
  for (const wrong of ["", "/dev/tpm0", "device:tpm0", "swtpm:", "swtpm:host=a,port=0", "swtpm:host=a", "tcp:1"])
    expect(() => parseTpmAddress(wrong)).toThrow(/a TPM is named as device:/);
});
