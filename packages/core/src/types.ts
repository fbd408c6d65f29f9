import { defineStruct, type ValueOfFields } from "./struct.ts";

// Every struct of the protocol, field for field as contracts and wallets hash it.

export const STREAM = defineStruct("Stream", [
  ["bytes32", "deviceId"],
  ["uint32", "ownerEpoch"],
  ["bytes32", "nameHash"],
  ["bytes32", "schemaHash"],
  ["uint32", "slotSeconds"],
  ["uint8", "mode"],
  ["bytes32", "salt"],
]);
export type Stream = ValueOfFields<typeof STREAM.fields>;

export const PACK = defineStruct("Pack", [
  ["bytes32", "streamId"],
  ["uint32", "keyEpoch"],
  ["uint64", "seq"],
  ["bytes32", "headerDigest"],
  ["bytes32", "root"],
  ["uint32", "count"],
  ["uint64", "fromMs"],
  ["uint64", "toMs"],
  ["uint32", "slot"],
  ["bytes32", "keyCommitment"],
  ["bytes32", "contentDigest"],
]);
export type Pack = ValueOfFields<typeof PACK.fields>;

export const EPOCH = defineStruct("Epoch", [
  ["uint64", "number"],
  ["bytes32", "prev"],
  ["bytes32", "root"],
  ["uint32", "packs"],
  ["uint64", "readings"],
  ["uint64", "fromMs"],
  ["uint64", "toMs"],
  ["uint64", "closedAt"],
  ["uint64", "stateBlock"],
  ["bytes32", "manifest"],
  ["bytes32", "configDigest"],
]);
export type Epoch = ValueOfFields<typeof EPOCH.fields>;

export const CONFIG = defineStruct("Config", [
  ["uint16", "q"],
  ["address[]", "members"],
  ["bytes32[]", "organisations"],
  ["uint64", "fromEpoch"],
]);
export type Config = ValueOfFields<typeof CONFIG.fields>;

export const HOLDERS = defineStruct("Holders", [
  ["bytes32", "streamId"],
  ["uint64", "version"],
  ["address[]", "holders"],
]);
export type Holders = ValueOfFields<typeof HOLDERS.fields>;

/** What an owner signs of a description; `document` is the SHA-256 of its text. */
export const THING_DESCRIPTION = defineStruct("ThingDescription", [
  ["bytes32", "streamId"],
  ["uint64", "version"],
  ["bytes32", "document"],
]);
export type ThingDescription = ValueOfFields<typeof THING_DESCRIPTION.fields>;

export const OPENED = defineStruct("Opened", [["bytes32", "headerDigest"]]);
export type Opened = ValueOfFields<typeof OPENED.fields>;

export const REFUSED = defineStruct("Refused", [
  ["bytes32", "headerDigest"],
  ["uint16", "reason"],
]);
export type Refused = ValueOfFields<typeof REFUSED.fields>;

export const RECEIPT = defineStruct("Receipt", [
  ["bytes32", "streamId"],
  ["uint32", "keyEpoch"],
  ["uint64", "seq"],
  ["bytes32", "headerDigest"],
  ["uint64", "atMs"],
]);
export type Receipt = ValueOfFields<typeof RECEIPT.fields>;

export const HEAD = defineStruct("Head", [
  ["bytes32", "streamId"],
  ["uint64", "epoch"],
  ["uint32", "keyEpoch"],
  ["uint64", "seq"],
  ["bytes32", "headerDigest"],
]);
export type Head = ValueOfFields<typeof HEAD.fields>;

export const DEAL_KEYS = defineStruct("DealKeys", [
  ["address", "escrow"],
  ["bytes32", "streamId"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["bytes32", "holesHash"],
  ["uint64", "asOfEpoch"],
  ["bytes32", "nonce"],
]);
export type DealKeys = ValueOfFields<typeof DEAL_KEYS.fields>;

export const DEAL = defineStruct("Deal", [
  ["address", "anchor"],
  ["bytes32", "streamId"],
  ["address", "buyer"],
  ["address", "seller"],
  ["address", "deliverer"],
  ["address", "fallbackDeliverer"],
  ["address", "token"],
  ["uint128", "price"],
  ["uint128", "fee"],
  ["uint128", "bond"],
  ["uint64", "asOfEpoch"],
  ["uint32", "packs"],
  ["uint64", "readings"],
  ["uint64", "endMs"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["bytes32", "holesHash"],
  ["uint16", "nodes"],
  ["bytes32", "keysRoot"],
  ["bytes32", "purpose"],
  ["uint64", "erasures"],
  ["uint32", "deliverSeconds"],
  ["uint32", "complainSeconds"],
  ["bytes32", "nonce"],
]);
export type Deal = ValueOfFields<typeof DEAL.fields>;

/** What a seller signs; the names of fields are those of contracts/market/Orders.sol. */
export const OFFER = defineStruct("Offer", [
  ["address", "seller"],
  ["bytes32", "streamId"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["address", "deliverer"],
  ["address", "fallbackDeliverer"],
  ["address", "token"],
  ["uint128", "unitPrice"],
  ["uint16", "feePerMille"],
  ["uint128", "bond"],
  ["uint32", "deliverSeconds"],
  ["uint32", "complainSeconds"],
  ["bytes32", "terms"],
  ["uint64", "amount"],
  ["bytes32", "salt"],
  ["uint64", "counter"],
  ["uint64", "deadline"],
]);
export type Offer = ValueOfFields<typeof OFFER.fields>;

/** What a buyer signs: one window with keys of its own. Requests under one nonce are alternatives. */
export const REQUEST = defineStruct("Request", [
  ["address", "buyer"],
  ["address", "anchor"],
  ["bytes32", "streamId"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["bytes32", "holesHash"],
  ["uint64", "asOfEpoch"],
  ["uint32", "packs"],
  ["uint64", "readings"],
  ["uint64", "erasures"],
  ["uint16", "nodes"],
  ["bytes32", "keysRoot"],
  ["bytes32", "purpose"],
  ["address", "deliverer"],
  ["address", "fallbackDeliverer"],
  ["address", "token"],
  ["uint128", "maxPrice"],
  ["uint128", "minBond"],
  ["uint32", "maxDeliverSeconds"],
  ["uint32", "minComplainSeconds"],
  ["bytes32", "terms"],
  ["bytes32", "nonce"],
  ["uint64", "counter"],
  ["uint64", "deadline"],
]);
export type Request = ValueOfFields<typeof REQUEST.fields>;

const SUBSCRIPTION_OFFER_FIELDS = [
  ["bytes32", "streamId"],
  ["address", "seller"],
  ["address", "deliverer"],
  ["address", "fallbackDeliverer"],
  ["address", "token"],
  ["uint128", "slotPrice"],
  ["uint16", "feePerMille"],
  ["uint128", "bond"],
  ["uint8", "depth"],
  ["uint32", "slotSeconds"],
  ["uint32", "deliverSeconds"],
  ["uint32", "complainSeconds"],
  ["uint32", "silenceSeconds"],
  ["bytes32", "licence"],
] as const;

/** What a seller publishes for all who subscribe to a live stream; names of fields are those of ISubscription.sol. */
export const SUBSCRIPTION_OFFER = defineStruct("SubscriptionOffer", SUBSCRIPTION_OFFER_FIELDS);
export type SubscriptionOffer = ValueOfFields<typeof SUBSCRIPTION_OFFER.fields>;

/** An offer, field by field, and the buyer's part. */
export const SUBSCRIPTION_TERMS = defineStruct("SubscriptionTerms", [
  ...SUBSCRIPTION_OFFER_FIELDS,
  ["address", "anchor"],
  ["address", "buyer"],
  ["uint256", "keyX"],
  ["uint8", "keyV"],
  ["uint32", "fromBatch"],
  ["bytes32", "purpose"],
  ["uint64", "erasures"],
  ["bytes32", "nonce"],
]);
export type SubscriptionTerms = ValueOfFields<typeof SUBSCRIPTION_TERMS.fields>;

/** What a buyer's wallet signs for the secret of a subscription, under the domain "Subscription". */
export const SUBSCRIPTION_KEYS = defineStruct("SubscriptionKeys", [
  ["address", "subscription"],
  ["bytes32", "streamId"],
  ["bytes32", "nonce"],
]);
export type SubscriptionKeys = ValueOfFields<typeof SUBSCRIPTION_KEYS.fields>;

/** What the committee saw of a provider in a range of epochs. */
export const FACTS = defineStruct("Facts", [
  ["bytes32", "provider"],
  ["uint32", "number"],
  ["uint64", "fromEpoch"],
  ["uint64", "toEpoch"],
  ["uint32", "gaps"],
  ["uint32", "late"],
  ["uint32", "equivocations"],
  ["uint32", "attestations"],
  ["uint32", "intrusions"],
  ["uint32", "disputes"],
  ["uint32", "probes"],
  ["bytes32", "configDigest"],
]);
export type Facts = ValueOfFields<typeof FACTS.fields>;

/** A version of a private agreement, as all its parties sign it. */
export const AGREEMENT = defineStruct("Agreement", [
  ["address", "agreement"],
  ["uint64", "version"],
  ["bytes32", "termsHash"],
  ["address[]", "parties"],
  ["address[]", "auditors"],
  ["uint64", "endMs"],
  ["uint64", "noticeMs"],
  ["uint64", "deadline"],
  ["bytes32", "salt"],
]);
export type Agreement = ValueOfFields<typeof AGREEMENT.fields>;

export const ENROL = defineStruct("Enrol", [
  ["bytes32", "deviceId"],
  ["bytes32", "ekHash"],
  ["bytes32", "akName"],
  ["uint8", "keyAlg"],
  ["bytes32", "keyHash"],
  ["address", "owner"],
  ["bytes32", "organisation"],
  ["bytes32", "policyId"],
  ["bytes32", "evidenceDigest"],
  ["uint256", "nonce"],
  ["uint64", "deadline"],
]);
export type Enrol = ValueOfFields<typeof ENROL.fields>;

export const ROTATION = defineStruct("Rotation", [
  ["bytes32", "deviceId"],
  ["uint32", "keyEpoch"],
  ["bytes32", "akName"],
  ["uint8", "keyAlg"],
  ["bytes32", "keyHash"],
  ["bool", "revokeOld"],
  ["bytes32", "policyId"],
  ["bytes32", "evidenceDigest"],
  ["uint256", "nonce"],
  ["uint64", "deadline"],
]);
export type Rotation = ValueOfFields<typeof ROTATION.fields>;

export const TRANSFER = defineStruct("Transfer", [
  ["bytes32", "deviceId"],
  ["address", "newOwner"],
  ["uint256", "nonce"],
  ["uint64", "deadline"],
]);
export type Transfer = ValueOfFields<typeof TRANSFER.fields>;

export const ENDORSEMENT = defineStruct("Endorsement", [
  ["bytes32", "deviceId"],
  ["bytes32", "ekHash"],
  ["uint64", "deadline"],
]);
export type Endorsement = ValueOfFields<typeof ENDORSEMENT.fields>;

export const QUOTE = defineStruct("Quote", [
  ["bytes32", "deviceId"],
  ["uint32", "keyEpoch"],
  ["bytes32", "policyId"],
  ["bytes32", "pcrDigest"],
  ["uint32", "resetCount"],
  ["uint32", "restartCount"],
  ["bool", "safe"],
  ["uint64", "quotedAtMs"],
  ["uint64", "validUntilMs"],
  ["bytes32", "evidenceDigest"],
  ["uint64", "deadline"],
]);
export type Quote = ValueOfFields<typeof QUOTE.fields>;

export const BINDING = defineStruct("Binding", [
  ["bytes32", "streamId"],
  ["address", "subject"],
  ["uint64", "deadline"],
]);
export type Binding = ValueOfFields<typeof BINDING.fields>;

export const GRANT = defineStruct("Grant", [
  ["bytes32", "streamId"],
  ["bytes32", "purpose"],
  ["address", "grantee"],
  ["uint64", "fromMs"],
  ["uint64", "untilMs"],
  ["uint64", "epoch"],
  ["uint64", "nonce"],
  ["uint64", "deadline"],
]);
export type Grant = ValueOfFields<typeof GRANT.fields>;

export const REVOCATION = defineStruct("Revocation", [
  ["bytes32", "streamId"],
  ["bytes32", "purpose"],
  ["address", "grantee"],
  ["uint64", "nonce"],
  ["uint64", "deadline"],
]);
export type Revocation = ValueOfFields<typeof REVOCATION.fields>;

export const REVOCATION_OF_ALL = defineStruct("RevocationOfAll", [
  ["bytes32", "streamId"],
  ["uint64", "epoch"],
  ["uint64", "deadline"],
]);
export type RevocationOfAll = ValueOfFields<typeof REVOCATION_OF_ALL.fields>;

export const ERASURE_REQUEST = defineStruct("ErasureRequest", [
  ["bytes32", "streamId"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["uint256", "nonce"],
  ["uint64", "deadline"],
]);
export type ErasureRequest = ValueOfFields<typeof ERASURE_REQUEST.fields>;

export const SUBJECT_ERASURE = defineStruct("SubjectErasure", [
  ["address", "subject"],
  ["uint64", "deadline"],
]);
export type SubjectErasure = ValueOfFields<typeof SUBJECT_ERASURE.fields>;

export const ERASED = defineStruct("Erased", [
  ["bytes32", "streamId"],
  ["uint64", "number"],
  ["uint32", "fromSlot"],
  ["uint32", "toSlot"],
  ["uint64", "keysDestroyedAt"],
  ["uint64", "backupsExpireAt"],
]);
export type Erased = ValueOfFields<typeof ERASED.fields>;
