import { createServer, type Server } from "node:http";
import { randomBytes } from "node:crypto";
import {
  type ChainProvider,
  connectChain,
  ContractExtension,
  contractPrivacyOf,
  embedded,
  markedReceipt,
  PRIVACY,
  type PrivacyManager,
  PrivateSender,
  quorumPayload,
} from "@msec/chain";
import { type Hex, toHex, utf8 } from "@msec/core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";

// The requests that a node of GoQuorum 24.4.1 understands, and its answers, as its source has them
// (internal/ethapi/api.go, extension/api.go). A stand-in answers here: it shows their form, not that a node takes them.

type Answer = { result: unknown } | { error: { code: number; message: string } };
let node: Server;
let provider: ChainProvider;
let asked: { method: string; params: unknown[] }[] = [];
let answer: Answer = { result: null };

beforeAll(async () => {
  node = createServer((request, response) => {
    let text = "";
    request.on("data", (part) => (text += String(part)));
    request.on("end", () => {
      const call = JSON.parse(text) as { id: number; method: string; params: unknown[] };
      asked.push({ method: call.method, params: call.params });
      response.end(JSON.stringify({ jsonrpc: "2.0", id: call.id, ...answer }));
    });
  });
  await new Promise<void>((resolve) => node.listen(0, "127.0.0.1", resolve));
  provider = connectChain(embedded(`http://127.0.0.1:${(node.address() as { port: number }).port}`, 1337));
});
afterAll(() => {
  provider.destroy();
  node.closeAllConnections();
  node.close();
});
beforeEach(() => {
  asked = [];
});

const random = (bytes: number): Hex => toHex(new Uint8Array(randomBytes(bytes)));
const [partyA, partyB] = [randomBytes(32).toString("base64"), randomBytes(32).toString("base64")];

describe("a private transaction", () => {
  const key = random(64);
  const manager = { storeRaw: async () => key, receive: async () => undefined } as unknown as PrivacyManager;
  const sender = () => new PrivateSender(random(32), provider, manager);

  test("names its parties, flag and mandatory parties, and no field that a node does not know", async () => {
    const { raw } = await sender().sign({ data: "0x6080" }, 3);
    answer = { result: random(32) };
    await sender().broadcast(raw, { to: [partyA, partyB], flag: PRIVACY.mandatoryParties, mandatory: [partyB] });
    await sender().broadcast(raw, { to: [partyA] });
    await sender().broadcast(raw, { to: [partyA] }, partyB);
    expect(asked).toEqual([
      {
        method: "eth_sendRawPrivateTransaction",
        params: [raw, { privateFor: [partyA, partyB], privacyFlag: 2, mandatoryFor: [partyB] }],
      },
      { method: "eth_sendRawPrivateTransaction", params: [raw, { privateFor: [partyA], privacyFlag: 0 }] },
      {
        method: "eth_sendRawPrivateTransaction",
        params: [raw, { privateFrom: partyB, privateFor: [partyA], privacyFlag: 0 }],
      },
    ]);
  });

  test("that the node has is as good as one that it takes now; a refusal says why", async () => {
    const { raw } = await sender().sign({ data: "0x6080" }, 3);
    answer = { error: { code: -32000, message: "already known" } };
    await sender().broadcast(raw, { to: [partyA] });
    answer = { error: { code: -32000, message: "503 status: the privacy manager of beta does not answer" } };
    await expect(sender().broadcast(raw, { to: [partyA] })).rejects.toThrow(
      /does not take the private transaction: 503 status: the privacy manager of beta/,
    );
  });
});

test("a payload is read by its key; a stranger's node answers with nothing", async () => {
  const key = random(64);
  answer = { result: toHex(utf8("terms")) };
  expect(await quorumPayload(provider, key)).toEqual(utf8("terms"));
  answer = { result: "0x" };
  expect(await quorumPayload(provider, key)).toBeUndefined();
  expect(asked[0]).toEqual({ method: "eth_getQuorumPayload", params: [key] });
});

test("a contract's protection; none for public ones and those of flag 0", async () => {
  const creationKey = random(64);
  const creationTxHash = Buffer.from(creationKey.slice(2), "hex").toString("base64");
  answer = { result: { creationTxHash, privacyFlag: 2, mandatoryFor: [partyA] } };
  expect(await contractPrivacyOf(provider, random(20))).toEqual({ creationKey, flag: 2, mandatory: [partyA] });
  answer = { result: { creationTxHash, privacyFlag: 3 } };
  expect(await contractPrivacyOf(provider, random(20))).toEqual({ creationKey, flag: 3, mandatory: [] });
  answer = { result: null };
  expect(await contractPrivacyOf(provider, random(20))).toBeUndefined();
  answer = { error: { code: -32000, message: "0x12: no account extra data found" } };
  expect(await contractPrivacyOf(provider, random(20))).toBeUndefined();
  answer = { error: { code: -32000, message: "missing trie node" } };
  await expect(contractPrivacyOf(provider, random(20))).rejects.toThrow(/missing trie node/);
});

test("the receipt inside a privacy marker transaction", async () => {
  answer = { result: { status: "0x1", logs: [] } };
  expect(await markedReceipt(provider, random(32))).toEqual({ status: 1, logs: [] });
});

test("extending a contract to a new party, voting, cancelling, asking", async () => {
  const extension = new ContractExtension(provider);
  const [contract, account, newcomer, hash] = [random(20), random(20), random(20), random(32)];
  const signer = { account, privateFor: [partyA] };
  const args = { from: account, privateFor: [partyA], value: "0x0" };
  answer = { result: hash };
  expect(await extension.extend(contract, partyB, newcomer, signer)).toBe(hash);
  await extension.approve(contract, true, { ...signer, privateFrom: partyB });
  await extension.cancel(contract, signer);
  answer = { result: "DONE" };
  expect(await extension.status(contract)).toBe("DONE");
  answer = { result: null };
  expect(await extension.active()).toEqual([]);
  const [key, open] = [random(64), { contractExtended: contract, managementContractAddress: newcomer }];
  const more = { initiator: account, recipient: newcomer, recipientPtmKey: partyB };
  const creationData = Buffer.from(key.slice(2), "hex").toString("base64");
  answer = { result: [{ ...open, ...more, creationData }] };
  expect(await extension.active()).toEqual([{ ...open, ...more, creationKey: key }]);
  expect(asked).toEqual([
    { method: "quorumExtension_extendContract", params: [contract, partyB, newcomer, args] },
    { method: "quorumExtension_approveExtension", params: [contract, true, { ...args, privateFrom: partyB }] },
    { method: "quorumExtension_cancelExtension", params: [contract, args] },
    { method: "quorumExtension_getExtensionStatus", params: [contract] },
    { method: "quorumExtension_activeExtensionContracts", params: [] },
    { method: "quorumExtension_activeExtensionContracts", params: [] },
  ]);
});
