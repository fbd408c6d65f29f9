// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Epoch, Pack, Stream} from "../data/ProtocolTypes.sol";
import {Permit} from "./IMarketplace.sol";
import {SharedPoint} from "./SharedPoint.sol";

/// @dev What a seller offers to all who subscribe; its id is hashStruct of it, without a domain.
struct SubscriptionOffer {
    bytes32 streamId;
    address seller;
    address deliverer;
    /// May deliver a batch once deliverSeconds after its end are over; zero: nobody.
    address fallbackDeliverer;
    address token;
    /// Smallest units of the token for each slot that holds data.
    uint128 slotPrice;
    /// Part of the price, in thousandths, that goes to whoever delivered.
    uint16 feePerMille;
    /// What the deliverer stakes on each batch.
    uint128 bond;
    /// Depth of a batch's node in the key tree, 24 to 32: a batch is 2^(32−depth) slots.
    uint8 depth;
    uint32 slotSeconds;
    uint32 deliverSeconds;
    /// How long a delivered batch may be complained of before it is paid.
    uint32 complainSeconds;
    /// Without a delivery for so long anyone may end the subscription.
    uint32 silenceSeconds;
    /// Digest of the licence.
    bytes32 licence;
}

/// @dev Everything that a subscription depends on: an offer, field by field, and the buyer's part. Its id is hashStruct
/// of it, without a domain.
struct SubscriptionTerms {
    bytes32 streamId;
    address seller;
    address deliverer;
    address fallbackDeliverer;
    address token;
    uint128 slotPrice;
    uint16 feePerMille;
    uint128 bond;
    uint8 depth;
    uint32 slotSeconds;
    uint32 deliverSeconds;
    uint32 complainSeconds;
    uint32 silenceSeconds;
    bytes32 licence;
    address anchor;
    address buyer;
    /// The buyer's public key B, as x and parity.
    uint256 keyX;
    uint8 keyV;
    /// Number of the first batch: batch n covers slots n·2^(32−depth) to (n + 1)·2^(32−depth) − 1.
    uint32 fromBatch;
    bytes32 purpose;
    /// The stream's count of tombstones when it was subscribed to.
    uint64 erasures;
    bytes32 nonce;
}

enum Phase {
    None,
    Active,
    /// Only batches that were over when it was held may still be delivered.
    Held,
    /// The same, and it does not go on.
    Ending,
    Ended
}

/// @dev One word a subscription.
struct SubscriptionState {
    /// What no delivered batch has taken yet.
    uint96 balance;
    /// The first batch that may still be delivered; only rises.
    uint32 next;
    /// Held or ending: the first batch that was not over then.
    uint32 limit;
    /// Unix seconds. Active: of the last delivery or resumption, at first the first batch's start; else since when it is
    /// held or ending.
    uint40 at;
    /// Number of the block then.
    uint40 atBlock;
    Phase phase;
}

/// @dev What `deliver` publishes of a batch.
struct BatchKeys {
    uint32 number;
    /// Bit i: slot i of the batch holds at least one anchored pack, and is paid for.
    uint256 slots;
    uint256 Ex;
    uint8 vE;
    /// The batch's node XOR H("msec.kd" ‖ uint256 chainId ‖ subscription(20) ‖ batchId ‖ uint16 0 ‖ x(b·E)).
    bytes32 masked;
}

/// @dev A delivered batch as its stored word has it: H(abi.encode(Batch)).
struct Batch {
    uint32 number;
    /// Whose bond stands for it.
    address by;
    /// Unix milliseconds and number of the block of its delivery.
    uint64 at;
    uint64 atBlock;
    /// The epoch of its last pack: what was anchored later is not judged.
    uint64 asOfEpoch;
    uint256 slots;
    uint256 Ex;
    uint8 vE;
    bytes32 masked;
}

/// @dev A pack and its path to an epoch.
struct AnchoredPack {
    Pack pack;
    bytes32[] proof;
    Epoch epoch;
}

/// @dev The claim that no pack lies in a slot: `next` directly follows `previous` in the stream's line, over that slot.
struct EmptySlot {
    uint32 slot;
    /// The last pack before the slot; ignored where `next` is the stream's first.
    AnchoredPack previous;
    AnchoredPack next;
    /// CBOR of the header of `next`.
    bytes header;
    /// DER SubjectPublicKeyInfo of the key that signed it.
    bytes spki;
}

/// @title Subscriptions to live streams, paid by the slot delivered
/// @notice A buyer deposits, and each time that a batch of slots is over (one aligned node of the key tree, of a depth fixed
/// at the start) the deliverer publishes its key for the buyer alone and says which of its slots hold data. Those
/// slots are paid, after a window in which the buyer can prove a fault to the contract itself. Whatever no batch has taken
/// or can still take is the buyer's at any moment.
/// @dev Why nobody has to trust:
/// * A slot is paid at most once, after it is over, and only if it began after the subscription and outside pauses: batches
/// are delivered in ascending order, `next` only rises, and a resumption moves it past the pause. So what was paid never
/// exceeds slotPrice · time / slotSeconds.
/// * A delivery shows the key even where it is refused (its calldata is public). So a buyer can't hold or end what it
/// has: batches that are over by then stay deliverable, and their price reserved, for 2 · deliverSeconds.
/// * A slot without data costs nothing: `slots` ends with the slot of an anchored pack that the deliverer shows, and
/// any slot before it that is empty lies between two packs of which one directly follows the other; showing those two and the
/// header of the second refutes the delivery ({proveEmpty}).
/// * The key is right: else the buyer shows the shared point of this one batch, with a proof that it is, and nothing of its
/// private key ({proveWrongKey}); one public key serves any number of batches.
/// * What the key opens is what was anchored ({proveUnopenable}).
/// Each proof pays the buyer price and bond of the batch and ends the subscription. A buyer who looks at each batch within
/// complainSeconds loses nothing to anyone; one who does not loses at most the price of the batches that it did not look
/// at, to the seller. A deliverer who opened what it delivers can't lose its bond, a seller not its price.
///
/// Everything is left by time alone: a delivered batch by {settle} after complainSeconds, an active or held subscription
/// by {end} after silenceSeconds without a delivery, an ending one after 2 · deliverSeconds, each by anyone. Windows close after their seconds *and* at least
/// seconds/20 blocks. Inflows can be paused ({subscribe}, {topUp}, {depositBond}); nothing else.
///
/// Money: balance of each token ≥ free bonds + credits + balance of each subscription + price and bond of each delivered
/// batch. Tokens are those that the escrow allows.
///
/// Warning: a batch is paid from what was deposited before its ciphertexts were there. That they can be had is what q
/// operators sign for; a buyer who can't get them holds the subscription, and loses the batches that are over.
///
/// Warning: a tombstone of the stream, or consent withdrawn, ends the subscription; batches that hold an older tombstone
/// are not deliverable, since their node is destroyed. Data of a stream's past is sold by the escrow, not here.
interface ISubscription {
    /// @dev Why a subscription ended.
    enum End {
        ByParty,
        Silence,
        Erased,
        ConsentGone,
        WrongKey,
        Unopenable,
        EmptySlot
    }

    /// @notice Anyone may buy at these terms from now on.
    event OfferPublished(
        bytes32 indexed offerId,
        bytes32 indexed streamId,
        address indexed seller,
        Stream stream,
        SubscriptionOffer offer
    );
    /// @notice Nobody may buy from this offer any more.
    event OfferClosed(bytes32 indexed offerId);
    /// @notice A deposit is in, and slots are paid from it as they are delivered.
    event Subscribed(
        bytes32 indexed subscriptionId,
        address indexed buyer,
        address indexed deliverer,
        SubscriptionTerms terms,
        uint96 deposit
    );
    /// @notice More was paid in, by anyone.
    event ToppedUp(bytes32 indexed subscriptionId, address indexed by, uint96 amount);
    /// @param limit The first batch that can't be delivered any more (for now).
    event Held(bytes32 indexed subscriptionId, uint32 limit);
    /// @notice Batches from `next` on are delivered again.
    event Resumed(bytes32 indexed subscriptionId, uint32 next);
    /// @param toBuyer What was refunded at once; what is reserved for batches that are over follows with Ended.
    event Ending(bytes32 indexed subscriptionId, address indexed by, uint32 limit, uint256 toBuyer);
    /// @notice The keys of one batch, masked for the buyer. Its price and the bond are held.
    event BatchDelivered(bytes32 indexed subscriptionId, uint32 indexed number, address indexed by, Batch batch);
    /// @notice The batch stands: seller and deliverer have their parts to withdraw, the bond is free.
    event BatchSettled(bytes32 indexed subscriptionId, uint32 indexed number, uint256 toSeller, uint256 fee);
    /// @notice A proof was given: the batch's price and bond are the buyer's.
    event BatchRefunded(bytes32 indexed subscriptionId, uint32 indexed number, address indexed by, uint256 toBuyer);
    /// @notice Nothing will be delivered any more, and the rest is the buyer's.
    event Ended(bytes32 indexed subscriptionId, End indexed reason, uint256 toBuyer);
    /// @notice A deliverer put up money that deliveries draw on.
    event BondDeposited(address indexed account, address indexed token, uint256 amount);
    /// @notice An account took back what no delivery holds.
    event BondWithdrawn(address indexed account, address indexed token, uint256 amount);
    /// @notice An account took everything that it was owed in a token.
    event Withdrawn(address indexed account, address indexed token, uint256 amount);

    /// @dev Thrown when the stream shown is not the offer's.
    error Subscription_WrongStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the stream is a data set, which has no slots, or of another slot length than the offer.
    error Subscription_StreamShape(uint8 mode, uint32 slotSeconds);
    /// @dev Thrown when the caller, or the offer's seller, does not own the stream.
    error Subscription_NotTheSeller(address seller, address caller);
    /// @dev Thrown when a batch would have more than 256 slots, or less than one.
    error Subscription_WrongDepth(uint8 depth);
    /// @dev Thrown when the deliverer's share is more than the whole.
    error Subscription_FeePerMille(uint16 given);
    /// @dev Thrown when nobody would deliver.
    error Subscription_PartyZero();
    /// @dev Thrown when there is no time to deliver or complain, or silence would come before a delivery can.
    error Subscription_WrongWindows(uint32 complainSeconds, uint32 silenceSeconds, uint256 leastSilence);
    /// @dev Thrown when the escrow does not take the token.
    error Subscription_TokenNotAllowed(address token);
    /// @dev Thrown when the offer is unknown or closed.
    error Subscription_OfferNotOpen(bytes32 offerId);
    /// @dev Thrown when this was subscribed before, whatever became of it.
    error Subscription_Known(bytes32 subscriptionId);
    /// @dev Thrown when the terms name another anchor than the Directory does.
    error Subscription_UnknownAnchor(address current, address given);
    /// @dev Thrown when the caller is not the buyer.
    error Subscription_NotTheBuyer(address buyer, address caller);
    /// @dev Thrown when the coordinates are of no point of secp256k1.
    error Subscription_NotAPoint(uint256 x, uint8 v);
    /// @dev Thrown when the first batch has begun, or begins too far ahead.
    error Subscription_WrongStart(uint32 batch, uint256 startMs, uint64 nowMs);
    /// @dev Thrown when the terms do not count the stream's tombstones of now.
    error Subscription_WrongErasures(uint64 expected, uint64 given);
    /// @dev Thrown when consent to this use by this buyer is missing.
    error Subscription_NotAuthorised(bytes32 streamId, bytes32 purpose, address buyer);
    /// @dev Thrown when the subscription's phase does not allow it.
    error Subscription_WrongPhase(bytes32 subscriptionId, Phase phase);
    /// @dev Thrown when the caller is not the one who may deliver now.
    error Subscription_NotYourTurn(bytes32 subscriptionId, address caller);
    /// @dev Thrown when this batch or a later one was delivered.
    error Subscription_BatchPast(uint32 next, uint32 given);
    /// @dev Thrown when the batch's last slot is not over.
    error Subscription_BatchNotOver(uint32 batch, uint256 endMs, uint64 nowMs);
    /// @dev Thrown when the claimed slots do not end with the one whose pack is shown.
    error Subscription_WrongSlots(uint256 slots);
    /// @dev Thrown by nothing; the interface keeps it.
    error Subscription_WrongLast(uint256 expected, uint32 given);
    /// @dev Thrown when the deposit does not pay for these slots.
    error Subscription_BalanceTooSmall(uint256 balance, uint256 needed);
    /// @dev Thrown when the account has less free bond than this takes.
    error Subscription_BondTooSmall(address account, uint256 free, uint256 needed);
    /// @dev Thrown when the batch shown is not the one that was delivered, or was settled or refunded.
    error Subscription_WrongBatch(bytes32 subscriptionId, uint32 number, bytes32 word);
    /// @dev Thrown when it may not happen yet: a delivery or a complaint may still come.
    error Subscription_WindowOpen(bytes32 subscriptionId);
    /// @dev Thrown when the batch is of a pause, or of after the end.
    error Subscription_BatchOfPause(uint32 limit, uint32 given);
    /// @dev Thrown when the caller is neither buyer nor seller, and nothing lets anyone end it.
    error Subscription_NotYours(bytes32 subscriptionId, address caller);
    /// @dev Thrown when the pack is of another stream.
    error Subscription_PackOfOtherStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the pack is of another batch.
    error Subscription_PackOfOtherSlot(uint32 batch, uint32 slot);
    /// @dev Thrown when the pack was anchored after the delivery: it was not sold.
    error Subscription_EpochTooLate(uint64 asOfEpoch, uint64 given);
    /// @dev Thrown when the epoch is not the anchored one, or the pack is not in it.
    error Subscription_PackNotAnchored(bytes32 streamId, uint64 seq);
    /// @dev Thrown when the proof does not show that the point is the buyer's scalar times the delivery's.
    error Subscription_WrongSharedPoint(uint32 batch);
    /// @dev Thrown when the delivered key fits the pack's commitment.
    error Subscription_KeyIsRight(bytes32 keyCommitment);
    /// @dev Thrown when the key shown is not the one that the pack commits to.
    error Subscription_WrongPackKey(bytes32 expected, bytes32 given);
    /// @dev Thrown when the content shown is not the one that the pack commits to.
    error Subscription_WrongContent(bytes32 expected, bytes32 given);
    /// @dev Thrown when the tag is right: the pack opens.
    error Subscription_PackOpens(bytes32 headerDigest);
    /// @dev Thrown when the slot is of another batch, or was not charged.
    error Subscription_SlotNotPaid(uint32 slot);
    /// @dev Thrown when the header shown is not the later pack's.
    error Subscription_WrongHeader(bytes32 expected, bytes32 given);
    /// @dev Thrown when the later pack's header does not name the earlier one as its `previous`.
    error Subscription_NotInLine(bytes32 expected, bytes32 given);
    /// @dev Thrown when the slot does not lie between the two packs.
    error Subscription_SlotNotBetween(uint32 slot);
    /// @dev Thrown when another sum than the stated one came.
    error Subscription_NotReceived(address token, uint256 needed, uint256 found);
    /// @dev Thrown when the account is owed nothing in this token.
    error Subscription_NothingToWithdraw(address account, address token);

    /// @notice Offers a live stream to all. By the owner of the device in the stream's owner epoch.
    /// @dev The stream hashes to streamId, is no data set and has offer.slotSeconds; depth 24 to 32; fee ≤ 1000;
    /// complainSeconds above 0; silenceSeconds at least a batch and deliverSeconds; the token is one that the escrow
    /// allows. An offer that was closed may be published again.
    function publish(Stream calldata stream, SubscriptionOffer calldata offer) external returns (bytes32 offerId);

    /// @notice Takes an offer back. By its seller. Subscriptions that were made go on.
    function close(SubscriptionOffer calldata offer) external;

    /// @notice Subscribes the caller and deposits, in one transaction where a permit is given.
    /// @dev Checks: the terms' offer is open; the anchor is the Directory's current one; (keyX, keyV) is a point; the first
    /// batch begins now or later, within silenceSeconds; `erasures` is the present count; consent for purpose and buyer.
    /// @return subscriptionId hashStruct(SubscriptionTerms).
    function subscribe(
        SubscriptionTerms calldata terms,
        uint96 deposit,
        Permit calldata permit
    ) external returns (bytes32 subscriptionId);

    /// @notice Adds to what batches are paid from. By anyone, for an active or held subscription.
    function topUp(SubscriptionTerms calldata terms, uint96 amount, Permit calldata permit) external;

    /// @notice Stops deliveries of what is not over yet. By the buyer.
    function hold(SubscriptionTerms calldata terms) external;

    /// @notice Lets deliveries go on with the first batch that begins from now on. By the buyer, once 2 · deliverSeconds (and
    /// their blocks) are over since it was held; what was not delivered until then never is, nor paid.
    function resume(SubscriptionTerms calldata terms) external;

    /// @notice Ends the subscription. By buyer or seller: all but the highest price of the batches that are over and may be
    /// on their way is the buyer's credit at once, the rest of it once 2 · deliverSeconds are over and anyone calls
    /// again. By anyone, and at once: after silenceSeconds without a delivery, or where a tombstone came or consent is gone.
    function end(SubscriptionTerms calldata terms) external;

    /// @notice Publishes a batch's masked key, takes the price of its slots from the deposit and the bond from the caller's
    /// free one. By the deliverer, or by the fallback once deliverSeconds after the batch's end are over.
    /// @dev For a batch from `next` on that is over, and was so before a subscription was held or is ending. The highest bit
    /// of `slots` is the slot of `last`, a pack of the stream that is anchored; it should be the batch's last one, since
    /// what was anchored after it is not judged. Where a tombstone came or consent is gone the subscription ends without
    /// fault instead: then the call succeeds and emits Ended, but its calldata has shown the key; a deliverer asks before,
    /// and calls {end}. Warning: that the key is right and every pack opens is the deliverer's to check before.
    function deliver(SubscriptionTerms calldata terms, BatchKeys calldata keys, AnchoredPack calldata last) external;

    /// @notice Pays delivered batches whose window is over: the seller as credit, fee and bond to whoever delivered, as free
    /// bond. By anyone; also of a subscription that has ended.
    function settle(SubscriptionTerms calldata terms, Batch[] calldata batches) external;

    /// @notice Proves that a delivered key is not that of a pack of the batch. By whoever can show the shared point, which the
    /// buyer can, until the batch is settled.
    /// @param shared b·E with its proof, made for `batchIdOf(subscriptionId, batch.number)`.
    function proveWrongKey(
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        SharedPoint calldata shared,
        AnchoredPack calldata shown
    ) external;

    /// @notice Proves that a pack of a delivered batch was anchored under a key that does not open its content. By anyone.
    /// @param packKey Key of this pack alone; its commitment is the pack's.
    /// @param content nonce ‖ ciphertext ‖ tag, whose SHA-256 is the pack's.
    function proveUnopenable(
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        bytes32 packKey,
        bytes calldata content,
        AnchoredPack calldata shown
    ) external;

    /// @notice Proves that a slot which a delivered batch takes money for holds no pack. By anyone.
    /// @dev `next` lies after the slot and its header names `previous`, which lies before it, or nothing. The line rule (a
    /// header enters only after its predecessor, slots never fall) makes that proof enough.
    function proveEmpty(SubscriptionTerms calldata terms, Batch calldata batch, EmptySlot calldata claim) external;

    /// @notice Adds to the caller's free bond balance, which any of its deliveries may draw on.
    function depositBond(address token, uint256 amount) external;

    /// @notice Pays out free bond.
    function withdrawBond(address token, uint256 amount) external;

    /// @notice Pays out all of the caller's credit.
    /// @return amount That was paid.
    function withdraw(address token) external returns (uint256 amount);

    /// @notice Stops inflows: `subscribe`, `topUp`, `depositBond`. Restricted. Nothing else stops.
    function pause() external;

    /// @notice Lets them in again. Restricted.
    function unpause() external;

    /// @return Whether the offer may be subscribed to.
    function isOpen(bytes32 offerId) external view returns (bool);

    /// @return What is kept of a subscription; all zero where it is not known.
    function stateOf(bytes32 subscriptionId) external view returns (SubscriptionState memory);

    /// @return H(abi.encode(Batch)) of a batch that is delivered and neither settled nor refunded, else zero.
    function batchWord(bytes32 subscriptionId, uint32 number) external view returns (bytes32);

    /// @return Whether the buyer has a right to the next batch: active, and the deposit pays for a whole one.
    function isSolvent(SubscriptionTerms calldata terms) external view returns (bool);

    /// @return Unix milliseconds up to which the deposit pays if every slot holds data: the start of the first batch
    /// that it would not. The highest value where slots cost nothing.
    function solventUntil(SubscriptionTerms calldata terms) external view returns (uint256);

    /// @return The account's free bond.
    function bondOf(address account, address token) external view returns (uint256);

    /// @return What the account may withdraw.
    function creditOf(address account, address token) external view returns (uint256);

    /// @return hashStruct(SubscriptionOffer).
    function offerIdOf(SubscriptionOffer calldata offer) external pure returns (bytes32);

    /// @return hashStruct(SubscriptionTerms).
    function subscriptionIdOf(SubscriptionTerms calldata terms) external pure returns (bytes32);

    /// @return H(abi.encode(subscriptionId, number)), what a batch's mask and proof are bound to.
    function batchIdOf(bytes32 subscriptionId, uint32 number) external pure returns (bytes32);
}
