import { keccak256 } from "#native";
import { concat, fromBase64, fromHex, type Hex, toHex, uint } from "./bytes.ts";
import { demand } from "./errors.ts";
import { checkListed, checkSeals, decodeSealedHeader, followChange, sameSet, type SealedHeader, validatorSet, type ValidatorTerm } from "./qbft.ts"; // prettier-ignore
import { rlpBytes, rlpDecode, rlpList } from "./rlp.ts";
import { trieValue } from "./trie.ts";

// The chain's own certificate of an epoch: that its word stands in the anchor, in a state whose root a block names that a
// quorum of validators sealed. It needs no endpoint, and outlives the chain.

/** An epoch's word in a block; bytes are base64. */
export interface EpochCertificate {
  number: number;
  /** RLP of a block's header with its seals: the epoch's own block or any later one. */
  header: string;
  /** Nodes from the state's root to the anchor's account. */
  account: string[];
  /** Nodes from the account's storage root to the epoch's word. */
  storage: string[];
}

/** A signing key's hash and the device's state in DeviceRegistry in a block; neither hash nor assurance ever changes. */
export interface DeviceCertificate {
  header: string;
  /** Nodes from the state's root to the registry's account. */
  account: string[];
  /** Nodes from the account's storage root to the key's hash. */
  key: string[];
  /** Nodes from the account's storage root to the device's state. */
  state: string[];
}

/** Certificates of what a bundle rests on, and how the chain's validators have changed until then. */
export interface Certificate {
  /** A list of sealed headers for each change of validators, base64 of RLP. */
  changes: string[][];
  epochs: EpochCertificate[];
  /** Of the key that signed the header which proves the window. */
  device?: DeviceCertificate;
}

/** What a chain may be asked to certify. */
export interface Certifiable {
  anchor: Hex;
  registry?: Hex;
  epochs: readonly { number: number; hash: Hex }[];
  deviceKey?: { deviceId: Hex; keyEpoch: number; keyHash: Hex };
}

/** What certificates have shown. */
export interface Certified {
  /** Epochs whose word was proved, ascending. */
  epochs: number[];
  /** What the signing key lives in, as registered; null where the bundle does not show it. */
  device: "TPM" | "software" | null;
  /** Validators who seal the newest of the blocks, as far as the changes given lead. */
  validators: Hex[];
  /** Whether the reader pinned these validators, or some from whom every change to these is shown. */
  pinned: boolean;
  /** Fewest seals that one of the blocks has. */
  seals: number;
  /** Changes of validators that were followed, from those that the reader pinned. */
  changes: number;
}

/** Where the contracts keep what is proved: they are immutable, and tests hold them to this. */
const HASHES_SLOT = 3;
const STATES_SLOT = 5;
const KEYS_SLOT = 9;

const entry = (key: Uint8Array, mapping: Uint8Array): Hex => toHex(keccak256(concat(key, mapping)));

/** Storage slot of an epoch's word in DataAnchor. */
export const epochSlot = (number: number): Hex => entry(uint(number, 32), uint(HASHES_SLOT, 32));

/** Storage slots of a device in DeviceRegistry: the hash of its key of an epoch, and its state (assurance in byte 30). */
export function deviceSlots(deviceId: Hex, keyEpoch: number): { key: Hex; state: Hex } {
  const device = fromHex(deviceId, 32);
  return {
    key: entry(uint(keyEpoch, 32), fromHex(entry(device, uint(KEYS_SLOT, 32)))),
    state: entry(device, uint(STATES_SLOT, 32)),
  };
}

/** The word in an account's storage, proved; one of zero is not, since a trie leaves it out. */
function provedWord(
  stateRoot: Hex,
  account: Hex,
  slot: Hex,
  nodes: { account: readonly string[]; storage: readonly string[] },
): Hex {
  const found = trieValue(fromHex(stateRoot, 32), fromHex(account, 20), nodes.account.map(fromBase64));
  const [, , storageRoot] = rlpList(rlpDecode(found), 4);
  const value = rlpBytes(
    rlpDecode(trieValue(rlpBytes(storageRoot, 32), fromHex(slot, 32), nodes.storage.map(fromBase64))),
  );
  demand(value.length > 0 && value.length <= 32 && value[0] !== 0, "state", "a word of the state is malformed");
  return toHex(concat(new Uint8Array(32 - value.length), value));
}

const terms = (changes: readonly SealedHeader[][], first: readonly Hex[]): ValidatorTerm[] => {
  const out: ValidatorTerm[] = [{ fromBlock: 1, validators: validatorSet(first) }];
  for (const headers of changes) out.push(followChange(out[out.length - 1] as ValidatorTerm, headers));
  return out;
};

/**
 * Checks certificates and every change of validators before them. Throws a ProtocolError with the code `validators` or
 * `state` where something does not hold.
 * @param claims What may be certified.
 * @param pinned Validators that the reader trusts; without them nobody vouches for those that sealed.
 */
export function checkCertificate(certificate: Certificate, claims: Certifiable, pinned?: readonly Hex[]): Certified {
  const decode = (header: string) => decodeSealedHeader(fromBase64(header));
  const changes = certificate.changes.map((headers) => headers.map(decode));
  const { epochs, device } = certificate;
  const headers = new Map([...epochs, ...(device ? [device] : [])].map(({ header }) => [header, decode(header)]));
  const [oldest] = [...(changes[0] ?? []), ...headers.values()];
  demand(oldest !== undefined && epochs.length > 0, "validators", "the certificate certifies nothing");
  const line = terms(changes, oldest.validators);
  const pins = pinned && validatorSet(pinned);
  const trustedFrom = pins === undefined ? 0 : line.findIndex(({ validators }) => sameSet(validators, pins));
  demand(
    trustedFrom >= 0,
    "validators",
    "the chain was sealed by other validators than those pinned, and no change to them is shown",
    line[0]?.validators,
  );
  let seals = Infinity;
  let newest = 0;
  for (const header of headers.values()) {
    const at = line.findLastIndex(({ fromBlock }) => fromBlock <= header.number);
    demand(at >= trustedFrom, "validators", `block ${header.number} is older than the validators pinned`);
    const { validators } = line[at] as ValidatorTerm;
    checkListed(header, validators);
    seals = Math.min(seals, checkSeals(header, validators).length);
    newest = Math.max(newest, at);
  }
  const rootOf = ({ header }: { header: string }) => (headers.get(header) as SealedHeader).stateRoot;
  const numbers = new Set<number>();
  for (const epoch of epochs) {
    const claim = claims.epochs.find(({ number }) => number === epoch.number);
    demand(
      claim !== undefined && !numbers.has(epoch.number),
      "malformed",
      "a certificate of no epoch of the bundle",
      epoch.number,
    );
    numbers.add(epoch.number);
    const word = provedWord(rootOf(epoch), claims.anchor, epochSlot(epoch.number), epoch);
    demand(word === claim.hash, "state", `the chain has another epoch ${epoch.number} than the one claimed`, word);
  }
  return {
    epochs: [...numbers].sort((a, b) => a - b),
    device: device ? certifiedDevice(rootOf(device), claims, device) : null,
    validators: (line[newest] as ValidatorTerm).validators,
    pinned: pins !== undefined,
    seals,
    changes: newest - trustedFrom,
  };
}

/** What a device's key lives in, proved beside the hash of the key in the registry of a state. */
export function certifiedDevice(
  stateRoot: Hex,
  { registry, deviceKey }: Pick<Certifiable, "registry" | "deviceKey">,
  { account, key, state }: DeviceCertificate,
): "TPM" | "software" {
  demand(registry !== undefined && deviceKey !== undefined, "malformed", "a certificate of no device of the bundle");
  const slots = deviceSlots(deviceKey.deviceId, deviceKey.keyEpoch);
  const hash = provedWord(stateRoot, registry, slots.key, { account, storage: key });
  demand(hash === deviceKey.keyHash, "state", "the registry has another signing key of the device", hash);
  const word = fromHex(provedWord(stateRoot, registry, slots.state, { account, storage: state }));
  const assurance = word[30];
  demand(assurance === 1 || assurance === 2, "state", "the registry says nothing of what the device's key lives in");
  return assurance === 2 ? "TPM" : "software";
}
