import { secp256k1 } from "@noble/curves/secp256k1.js";
import {
  addressOfKey,
  concat,
  decodeSealedHeader,
  type DeviceCertificate,
  deviceSlots,
  encodeExtra,
  fromHex,
  type Hex,
  ISTANBUL_DIGEST,
  keccak256,
  rlpEncode,
  rlpOfUint,
  sha256,
  toBase64,
  toHex,
  uint,
  utf8,
  type Certificate,
  epochSlot,
  type Vote,
  ZERO32,
} from "../src/index.ts";
import { type TestTrie, testTrie } from "./trie.ts";

// A QBFT chain in memory: blocks that are sealed by keys of the test, over a state that holds an anchor's words.

export interface Validator {
  key: Uint8Array;
  address: Hex;
}

/** Validators with keys that are the same in every run, in the order of their addresses. */
export function validators(n: number, label = "validator"): Validator[] {
  return Array.from({ length: n }, (_, i) => sha256(utf8(`${label} ${i}`)))
    .map((key) => ({ key, address: addressOfKey(key) }))
    .sort((a, b) => (a.address < b.address ? -1 : 1));
}

export interface BlockOptions {
  number: number;
  /** What the header lists; the sealers if left out. */
  listed?: readonly Validator[];
  sealers: readonly Validator[];
  proposer?: Hex;
  vote?: Vote | null;
  round?: number;
  stateRoot?: Uint8Array;
  parentHash?: Hex;
}

const NO_UNCLES = keccak256(Uint8Array.of(0xc0));

/** A seal as GoQuorum writes it: r ‖ s ‖ parity. */
export function seal({ key }: Validator, hash: Hex): Uint8Array {
  const signed = secp256k1.sign(fromHex(hash), key, { prehash: false, format: "recovered" });
  return concat(signed.subarray(1), signed.subarray(0, 1));
}

/** RLP of a block's header with the seals of all `sealers`. */
export function sealedBlock(o: BlockOptions): Uint8Array {
  const { number, sealers, listed = sealers, vote = null, round = 0, parentHash = ZERO32 } = o;
  const header = (seals: Uint8Array[]) =>
    rlpEncode([
      fromHex(parentHash),
      NO_UNCLES,
      fromHex(o.proposer ?? (listed[0] as Validator).address),
      o.stateRoot ?? new Uint8Array(32),
      new Uint8Array(32),
      new Uint8Array(32),
      new Uint8Array(256),
      Uint8Array.of(1),
      rlpOfUint(number),
      rlpOfUint(40_000_000),
      new Uint8Array(),
      rlpOfUint(1_700_000_000 + number),
      encodeExtra({ validators: listed.map(({ address }) => address), vote, round, seals }),
      fromHex(ISTANBUL_DIGEST),
      new Uint8Array(8),
    ]);
  const { sealHash } = decodeSealedHeader(header([]));
  return header(sealers.map((one) => seal(one, sealHash)));
}

const trimmed = (word: Hex) => {
  const bytes = fromHex(word);
  return bytes.subarray(bytes.findIndex((byte) => byte !== 0));
};

/** A contract and some of its words, by slot. */
export interface Account {
  address: Hex;
  words: ReadonlyMap<Hex, Hex>;
}

/** A state in which contracts have words, among other accounts and other words. */
export function stateOf(contracts: readonly Account[]) {
  const others = Array.from({ length: 20 }, (_, i) => [uint(i, 32), rlpEncode(uint(i + 1, 1))] as const);
  const storages = contracts.map(({ words }) =>
    testTrie([...[...words].map(([slot, word]) => [fromHex(slot), rlpEncode(trimmed(word))] as const), ...others]),
  );
  const account = (root: Uint8Array) => rlpEncode([rlpOfUint(1), new Uint8Array(), root, keccak256(utf8("code"))]);
  const state = testTrie([
    ...contracts.map(({ address }, i) => [fromHex(address), account((storages[i] as TestTrie).root)] as const),
    ...Array.from({ length: 20 }, (_, i) => [uint(i, 20), account(NO_UNCLES)] as const),
  ]);
  return {
    root: state.root,
    account: (address: Hex) => state.prove(fromHex(address)),
    storage: (address: Hex, slot: Hex) =>
      (storages[contracts.findIndex((one) => one.address === address)] as TestTrie).prove(fromHex(slot)),
  };
}

export const anchorAccount = (address: Hex, epochs: ReadonlyMap<number, Hex>): Account => ({
  address,
  words: new Map([...epochs].map(([number, word]) => [epochSlot(number), word])),
});

/** A registry with one device: its key's hash, and in its state what the key lives in (1 software, 2 TPM). */
export function registryAccount(address: Hex, key: DeviceKey, assurance = 2): Account {
  const slots = deviceSlots(key.deviceId, key.keyEpoch);
  const state = uint((5n << 80n) | (BigInt(assurance) << 8n) | 1n, 32);
  return {
    address,
    words: new Map([
      [slots.key, key.keyHash],
      [slots.state, toHex(state)],
    ]),
  };
}

type DeviceKey = { deviceId: Hex; keyEpoch: number; keyHash: Hex };

/** A certificate of a device's key by one block. */
export function deviceCertificateBy(
  sealers: readonly Validator[],
  registry: Account,
  key: DeviceKey,
  block: Partial<BlockOptions> = {},
): DeviceCertificate {
  const state = stateOf([registry]);
  const slots = deviceSlots(key.deviceId, key.keyEpoch);
  const nodes = (slot: Hex) => state.storage(registry.address, slot).map(toBase64);
  return {
    header: toBase64(sealedBlock({ number: 100, sealers, stateRoot: state.root, ...block })),
    account: state.account(registry.address).map(toBase64),
    key: nodes(slots.key),
    state: nodes(slots.state),
  };
}

/** A certificate of every word by one block. */
export function certificateBy(
  sealers: readonly Validator[],
  anchor: Hex,
  words: ReadonlyMap<number, Hex>,
  block: Partial<BlockOptions> = {},
): Certificate {
  const state = stateOf([anchorAccount(anchor, words)]);
  const header = toBase64(sealedBlock({ number: 100, sealers, stateRoot: state.root, ...block }));
  return {
    changes: [],
    epochs: [...words.keys()].map((number) => ({
      number,
      header,
      account: state.account(anchor).map(toBase64),
      storage: state.storage(anchor, epochSlot(number)).map(toBase64),
    })),
  };
}
