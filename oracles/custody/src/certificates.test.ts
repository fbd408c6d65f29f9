import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  checkCertificate,
  decodeSealedHeader,
  type Epoch,
  keyHash,
  type Hex,
  rlpBytes,
  rlpDecode,
  rlpList,
  sha256,
  toHex,
  utf8,
  type Vote,
  ZERO32,
} from "@msec/core";
import { connect, type EmbeddedPostgres, startPostgres } from "@msec/companion-db";
import { pino } from "pino";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import {
  type Account,
  anchorAccount,
  registryAccount,
  sealedBlock,
  stateOf,
  type Validator,
  validators,
} from "../../../packages/core/test/sealed.ts";
import { Certificates } from "./certificates.ts";
import { type Context } from "./context.ts";
import { Store } from "./store.ts";

// Certificates against a node that is made up and a database that is not.

const ANCHOR: Hex = `0x${"a1".repeat(20)}`;
const five = validators(5);
const [four, fifth] = [five.slice(0, 4), five[4] as Validator];
const addresses = (of: readonly Validator[]) => of.map(({ address }) => address).sort();
const REGISTRY: Hex = `0x${"b2".repeat(20)}`;
const SPKI = utf8("a key");
const DEVICE = { deviceId: toHex(sha256(utf8("device"))), keyEpoch: 1, keyHash: keyHash(SPKI) };
const word = (epoch: number) => toHex(sha256(utf8(`epoch ${epoch}`)));

/** A chain whose node remembers the states of its last 128 blocks. */
class Node {
  readonly blocks: Uint8Array[] = [];
  readonly states: ReturnType<typeof stateOf>[] = [];
  registered: Account[] = [registryAccount(REGISTRY, DEVICE)];
  words = new Map<number, Hex>();
  members = four;
  asked = 0;
  down = false;

  constructor() {
    this.mine(null, { sealers: [] });
  }

  get height() {
    return this.blocks.length - 1;
  }

  mine(vote: Vote | null = null, change: { listed?: Validator[]; sealers?: Validator[] } = {}): void {
    const number = this.blocks.length;
    const state = stateOf([anchorAccount(ANCHOR, this.words), ...this.registered]);
    const before = this.blocks.at(-1);
    const parentHash = before ? decodeSealedHeader(before).hash : ZERO32;
    const proposer = (this.members[number % this.members.length] as Validator).address;
    const block = { number, stateRoot: state.root, vote, parentHash, proposer, listed: this.members };
    this.blocks.push(sealedBlock({ ...block, sealers: this.members, ...change }));
    this.states.push(state);
  }

  add(validator: Validator): void {
    for (let i = 0; i < 3; i++) this.mine({ candidate: validator.address, add: true });
    this.members = [...this.members, validator];
  }

  send(method: string, params: unknown[]): unknown {
    if (this.down) throw new Error("the node does not answer");
    this.asked++;
    if (method === "eth_getBlockByNumber") {
      const bytes = this.blocks[params[0] === "latest" ? this.height : Number(params[0])] as Uint8Array;
      const names = ["parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot", "logsBloom", "difficulty", "number", "gasLimit", "gasUsed", "timestamp", "extraData", "mixHash", "nonce"]; // prettier-ignore
      const fields = rlpList(rlpDecode(bytes)).map((field) => toHex(rlpBytes(field)));
      const short = (hex: string) => `0x${hex.slice(2).replace(/^0+/, "") || "0"}`;
      const json = Object.fromEntries(names.map((name, i) => [name, i >= 7 && i <= 11 ? short(fields[i] as Hex) : fields[i]])); // prettier-ignore
      return { ...json, hash: decodeSealedHeader(bytes).hash };
    }
    const [contract, slots, block] = params as [Hex, Hex[], string];
    if (Number(block) < this.height - 128) throw new Error("missing trie node");
    const state = this.states[Number(block)] as (typeof this.states)[0];
    return {
      accountProof: state.account(contract).map(toHex),
      storageProof: slots.map((slot) => ({ proof: state.storage(contract, slot).map(toHex) })),
    };
  }
}

let folder: string;
let postgres: EmbeddedPostgres;
let store: Store;
let node: Node;
let certificates: Certificates;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "msec-certificates-"));
  postgres = await startPostgres(folder);
  store = await Store.open(connect(await postgres.database("operator")), () => undefined);
});
afterAll(async () => {
  await store?.close();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

beforeEach(async () => {
  await store.db.query("truncate epochs, certificates, device_certificates, sealed_blocks, validator_terms");
  node = new Node();
  certificates = new Certificates({
    config: { chain: { addresses: { DataAnchor: ANCHOR, DeviceRegistry: REGISTRY } } },
    lines: { byId: new Map([[ZERO32, { stream: { deviceId: DEVICE.deviceId }, keys: new Map([[1, SPKI]]) }]]) },
    log: pino({ level: "silent" }),
    provider: { send: async (method: string, params: unknown[]) => node.send(method, params) },
    store,
  } as unknown as Context);
});

/** An epoch is in the state of the next block, and confirmed. */
async function confirm(number: number): Promise<void> {
  node.words.set(number, word(number));
  const row = { hash: word(number), signatures: [], proposer: "0x01", headerDigests: [], tx: "0x" } as const;
  await store.confirm({ epoch: { number } as Epoch, ...row, signatures: [], headerDigests: [] });
}
async function anchor(number: number): Promise<void> {
  await confirm(number);
  node.mine();
}
const blockOf = async (epoch: number) => (await store.certificates([epoch]))[0]?.block.number;
const shown = async (epochs: number[], pinned: Validator[]) => {
  const { certificate, sealed } = await certificates.of(epochs, DEVICE);
  expect(sealed).toBe(true);
  const claims = [...node.words].map(([number, hash]) => ({ number, hash }));
  const about = { anchor: ANCHOR, registry: REGISTRY, epochs: claims, deviceKey: DEVICE };
  return checkCertificate(certificate, about, addresses(pinned));
};

describe("the chain's certificates", () => {
  test("are taken of every epoch, and hold under the validators of the genesis block", async () => {
    await anchor(1);
    await anchor(2);
    await certificates.tick();
    await anchor(3);
    await certificates.tick();
    expect(await shown([1, 3], four)).toMatchObject({ epochs: [1, 3], changes: 0, pinned: true });
    expect(await blockOf(2)).toBe(2);
    const { asked } = node;
    await certificates.tick();
    expect(node.asked).toBe(asked);
  });

  test("that were missed are taken from a later block, after the state of the epoch's own is gone", async () => {
    await anchor(1);
    node.down = true;
    await certificates.tick();
    expect(certificates.problem).toContain("the node does not answer");
    for (let i = 0; i < 140; i++) node.mine();
    node.down = false;
    await certificates.tick();
    expect(certificates.problem).toBeUndefined();
    expect(await blockOf(1)).toBe(141);
    expect((await shown([1], four)).epochs).toEqual([1]);
  });

  test("are taken of a device's key once it is registered", async () => {
    node.registered = [{ address: REGISTRY, words: new Map() }];
    await anchor(1);
    await certificates.tick();
    expect(await shown([1], four)).toMatchObject({ device: null });
    node.registered = [registryAccount(REGISTRY, DEVICE)];
    await anchor(2);
    await certificates.tick();
    expect(await shown([1], four)).toMatchObject({ device: "TPM", epochs: [1] });
    await anchor(3);
    await certificates.tick();
    expect((await store.deviceCertificate(DEVICE.deviceId, 1))?.block.number).toBe(2);
  });

  test("follow a change of validators, and one that came while nobody looked", async () => {
    await anchor(1);
    await certificates.tick();
    node.add(fifth);
    await anchor(2);
    await certificates.tick();
    expect(await shown([1, 2], four)).toMatchObject({ changes: 1, validators: addresses(five) });
    const [gone] = node.members as [Validator];
    for (let i = 0; i < 60; i++) node.mine();
    for (let i = 0; i < 3; i++) node.mine({ candidate: gone.address, add: false });
    node.members = node.members.slice(1);
    for (let i = 0; i < 60; i++) node.mine();
    await anchor(3);
    await certificates.tick();
    expect(await shown([1, 3], four)).toMatchObject({ changes: 2, validators: addresses(node.members) });
    expect((await shown([3], five)).changes).toBe(1);
    expect((await shown([3], node.members)).changes).toBe(0);
    expect((await store.deviceCertificate(DEVICE.deviceId, 1))?.block.number).toBe(node.height);
    // What is before a change does not carry it.
    expect((await certificates.of([1])).certificate.changes).toEqual([]);
  });

  test("are not taken from a block whose proposer lists validators of its own", async () => {
    await anchor(1);
    await certificates.tick();
    await confirm(2);
    node.mine(null, { listed: [fifth, ...four.slice(1)], sealers: four.slice(1) });
    await certificates.tick();
    expect(certificates.problem).toContain("names other validators");
    node.mine();
    await certificates.tick();
    expect(certificates.problem).toBeUndefined();
    expect(await shown([2], four)).toMatchObject({ changes: 0 });
  });

  test("start anew where the validators changed without votes, and are all taken again", async () => {
    await anchor(1);
    await certificates.tick();
    node.members = five;
    for (let i = 0; i < 12; i++) node.mine();
    await anchor(2);
    await certificates.tick();
    await certificates.tick();
    expect(await shown([1, 2], five)).toMatchObject({ epochs: [1, 2], changes: 0 });
    await expect(shown([1], four)).rejects.toThrow("other validators than those pinned");
  });

  test("are not kept where the seals are too few or the state holds another word", async () => {
    await confirm(1);
    node.mine(null, { sealers: four.slice(2) });
    await certificates.tick();
    expect(await blockOf(1)).toBeUndefined();
    expect(certificates.problem).toContain("2 seals");
    node.words.set(1, word(9));
    node.mine();
    await certificates.tick();
    expect(await blockOf(1)).toBeUndefined();
    expect(certificates.problem).toContain("another epoch 1");
  });

  test("of epochs that the chain lost go with them", async () => {
    await anchor(1);
    await anchor(2);
    await certificates.tick();
    await store.rollback(1);
    expect([await blockOf(1), await blockOf(2)]).toEqual([2, undefined]);
  });

  test("are none on a chain whose blocks carry no seals, which is not asked again", async () => {
    await anchor(1);
    const send = node.send.bind(node);
    node.send = (method, params) => ({ ...(send(method, params) as object), mixHash: ZERO32 });
    await certificates.tick();
    await certificates.tick();
    expect(node.asked).toBe(1);
    expect(certificates.problem).toBeUndefined();
    expect(await certificates.of([1])).toEqual({ sealed: false, certificate: { changes: [], epochs: [] } });
  });
});
