import { privateKeyToAccount } from "viem/accounts";
import { createSiweMessage } from "viem/siwe";
import { expect, test } from "vitest";
import { SignIn, type SignInCode } from "./sign-in.ts";

const account = privateKeyToAccount(`0x${"11".repeat(32)}`);
const other = privateKeyToAccount(`0x${"22".repeat(32)}`);
const site = { origins: ["https://data.example.org"], chainId: 1337 };
let now = Date.UTC(2026, 0, 1);

type Fields = Parameters<typeof createSiweMessage>[0];
async function tried(signIn: SignIn, change: Partial<Fields> = {}, signer = account) {
  const message = createSiweMessage({
    ...{ address: account.address, chainId: 1337, domain: "data.example.org", uri: "https://data.example.org/en" },
    ...{ version: "1", nonce: signIn.nonce() },
    ...{ issuedAt: new Date(now), expirationTime: new Date(now + 60_000) },
    ...change,
  });
  const signature = await signer.signMessage({ message });
  return { message, signature, answer: signIn.start(message, signature, site) };
}
const refused = (code: SignInCode) => expect.objectContaining({ code });

test("who signs is signed in until it ends", async () => {
  const signIn = new SignIn(() => now);
  const { secret, session } = await (await tried(signIn)).answer;
  expect(session.address).toBe(account.address.toLowerCase());
  expect(signIn.find(secret)).toEqual(session);
  signIn.end(secret);
  expect(signIn.find(secret)).toBeUndefined();
  const again = await (await tried(signIn)).answer;
  now += 9 * 3_600_000;
  expect(signIn.find(again.secret)).toBeUndefined();
});

test("a sign-in that was used is refused, and so is one that failed before", async () => {
  const signIn = new SignIn(() => now);
  const { message, signature, answer } = await tried(signIn);
  await answer;
  await expect(signIn.start(message, signature, site)).rejects.toEqual(refused("nonce"));
  const failed = await tried(signIn, {}, other);
  await expect(failed.answer).rejects.toEqual(refused("signature"));
  const right = await account.signMessage({ message: failed.message });
  await expect(signIn.start(failed.message, right, site)).rejects.toEqual(refused("nonce"));
});

test("a nonce that is too old, or nobody's, is refused", async () => {
  const signIn = new SignIn(() => now);
  const nonce = signIn.nonce();
  now += 5 * 60_000 + 1;
  await expect((await tried(signIn, { nonce })).answer).rejects.toEqual(refused("nonce"));
  await expect((await tried(signIn, { nonce: "0123456789abcdef" })).answer).rejects.toEqual(refused("nonce"));
});

test.each<[SignInCode, Partial<Fields>]>([
  ["domain", { domain: "evil.example" }],
  ["domain", { domain: "data.example.org:8443" }],
  ["domain", { uri: "https://evil.example/en" }],
  ["chain", { chainId: 1 }],
  ["time", { expirationTime: new Date(0) }],
  ["time", { expirationTime: new Date(Date.UTC(2030, 0, 1)) }],
  ["time", { issuedAt: new Date(0) }],
  ["time", { notBefore: new Date(Date.UTC(2029, 0, 1)) }],
])("another %s: %o", async (code, change) => {
  await expect((await tried(new SignIn(() => now), change)).answer).rejects.toEqual(refused(code));
});

test("what is no such message is refused", async () => {
  const signIn = new SignIn(() => now);
  for (const message of ["", "hello", "data.example.org wants you to sign in with your Ethereum account:\n0x12\n"])
    await expect(signIn.start(message, "0x00", site)).rejects.toEqual(refused("malformed"));
  const { message } = await tried(signIn).then((one) => (one.answer.catch(() => undefined), one));
  await expect(signIn.start(message.replace(/Nonce: .*/, `Nonce: ${signIn.nonce()}`), "0x1234", site)).rejects.toEqual(
    refused("signature"),
  );
});
