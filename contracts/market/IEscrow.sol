// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Deal, Epoch, Pack, Stream} from "../data/ProtocolTypes.sol";

/// @dev The state of a deal. A `Status.state` is one of these, plus {IEscrow-FALLBACK} where the fallback is concerned.
enum DealState {
    None,
    Funded,
    Delivered,
    Released,
    Refunded,
    Disputed,
    Resolved
}

/// @dev What the stored word of a deal hashes: H(abi.encode(state, at, atBlock, deliveryHash)).
struct Status {
    uint8 state;
    /// Unix milliseconds of the block in which the state began.
    uint64 at;
    /// Number of that block.
    uint64 atBlock;
    /// H(abi.encode(Ex, vE, masked)) once delivered, else zero.
    bytes32 deliveryHash;
}

/// @dev The i-th cover node that is sold, with the buyer's public key B_i for it.
struct KeyNode {
    uint8 depth;
    uint32 firstSlot;
    /// x of B_i.
    uint256 x;
    /// 27 if y of B_i is even, 28 if it is odd.
    uint8 v;
}

/// @dev What `deliver` published.
struct Delivery {
    uint256 Ex;
    uint8 vE;
    bytes32[] masked;
}

/// @dev The claim that node `index` of a delivery does not give the key of `pack`.
struct WrongKey {
    uint16 index;
    KeyNode node;
    /// Path of the node to `deal.keysRoot`.
    bytes32[] nodeProof;
    /// Private key of the node's point. Revealing it opens this node and no other.
    uint256 b;
    /// Coordinates of S = b·E.
    uint256 Sx;
    uint256 Sy;
    Pack pack;
    /// Path of the pack to `epoch.root`.
    bytes32[] packProof;
    Epoch epoch;
}

/// @dev The claim that a pack of a deal was anchored with a content that its key does not open.
struct Unopenable {
    uint16 index;
    /// The node of the deal above the pack's slot.
    KeyNode node;
    /// Path of the node to `deal.keysRoot`.
    bytes32[] nodeProof;
    /// Key of this pack alone; its commitment is the pack's.
    bytes32 packKey;
    /// nonce ‖ ciphertext ‖ tag, whose SHA-256 is the pack's.
    bytes content;
    Pack pack;
    /// Path of the pack to `epoch.root`.
    bytes32[] packProof;
    Epoch epoch;
}

/// @title Deals that nobody has to trust
/// @notice Funded → Delivered → Released, Refunded, or Disputed → Resolved. A deal is one stored word; everything else
/// is supplied again by the caller and checked against it. Every state has an exit by time alone, that anyone may take,
/// and that nobody can pause. A finished deal's word is never cleared, so no deal can be opened twice.
/// @dev The status of a finished deal is in no event of its own: state and FALLBACK bit as the event of its end says
/// (Released 3, Refunded 4, Resolved 6; the bit as in the status before), at and atBlock those of that event's block,
/// deliveryHash as before.
///
/// `dealId` = hashStruct(Deal), no domain. EIP-712 domain ("Escrow", "1", chainId, this) for what clients sign
/// off chain (DealKeys). Time windows close after their seconds *and* at least seconds/20 blocks, so that a halted chain
/// takes nobody's right away.
///
/// Money: balance of each token ≥ free bonds + credits + price of each Funded, Delivered and Disputed deal + bond of each
/// Delivered and Disputed deal + complaint bond of each Disputed deal. Tokens must be plain (allow-listed by role): no
/// fee, no rebase; one that takes a fee is refused by the balance check.
///
/// Complaints about quality ("the sensor stood in a cellar") go to the arbitration contract, which is fixed for all deals
/// of this escrow. A buyer sees before buying whether there is one ({arbitration}) and whether it has a panel for these
/// parties ({IArbitration-judgesFor}). What is judged is the seller's part, price − fee; whoever delivered what was
/// committed gets fee and bond either way. The buyer's complaint bond, a tenth of the price, is the judges' whatever they
/// rule, so that no ruling pays better than another. Without a ruling in time the sale stands and the bond goes back: a
/// complaint that nobody judged must not be worth money, or keeping judges silent would pay.
interface IEscrow {
    /// @dev Why a buyer got the price back.
    enum Refund {
        NotDelivered,
        Declined,
        Erased,
        ConsentGone,
        WrongKey,
        Unopenable
    }

    /// @notice A deal is funded: all that it pins, and the buyer's keys, one a node.
    event DealOpened(
        bytes32 indexed dealId,
        address indexed buyer,
        address indexed deliverer,
        Deal deal,
        KeyNode[] nodes
    );
    /// @dev With every change that leaves the deal unfinished; what callers must supply as `Status` next. A deal just opened
    /// has the status (1, milliseconds and number of DealOpened's block, 0).
    event StatusChanged(bytes32 indexed dealId, Status status);
    /// @notice Whose turn it was won't deliver: the fallback may now, or `Refunded` follows.
    event Declined(bytes32 indexed dealId, address indexed by);
    /// @notice The masked keys, one a node. `Ex` and `vE` are the point that the buyer unmasks them with.
    event Delivered(bytes32 indexed dealId, address indexed by, uint256 Ex, uint8 vE, bytes32[] masked);
    /// @notice The sale stands: seller and deliverer have their parts to withdraw, the bond is free.
    event Released(bytes32 indexed dealId, address indexed deliverer, uint128 toSeller, uint128 fee);
    /// @notice The buyer has the price to withdraw, and the bond where a proof was given.
    event Refunded(bytes32 indexed dealId, Refund indexed reason, uint256 toBuyer);
    /// @notice A delivered key does not open the pack of that leaf.
    event WrongKeyProved(bytes32 indexed dealId, address indexed by, uint16 index, bytes32 packLeaf);
    /// @notice The pack of that leaf was anchored as one that nobody can open.
    event UnopenableProved(bytes32 indexed dealId, address indexed by, bytes32 packLeaf);
    /// @param complaint Digest of what the buyer complains of.
    event Disputed(bytes32 indexed dealId, bytes32 indexed complaint, uint256 complaintBond);
    /// @param ruled Whether the panel ruled; else the time was over.
    /// @param toBuyer Part of the price; the rest of the complaint bond, if any, is not in it.
    event Resolved(bytes32 indexed dealId, bool ruled, uint256 toBuyer, uint256 toSeller);
    /// @notice A deliverer put up money that deliveries draw on.
    event BondDeposited(address indexed account, address indexed token, uint256 amount);
    /// @notice An account took back what no delivery holds.
    event BondWithdrawn(address indexed account, address indexed token, uint256 amount);
    /// @notice An account took everything that it was owed in a token.
    event Withdrawn(address indexed account, address indexed token, uint256 amount);
    /// @notice Deals may be paid in the token, or new ones no more.
    event TokenSet(address indexed token, bool allowed);

    /// @dev Thrown when the deal was opened before, whatever became of it.
    error Escrow_DealKnown(bytes32 dealId);
    /// @dev Thrown when the status shown is not the deal's, or there is no such deal.
    error Escrow_WrongStatus(bytes32 dealId, bytes32 word);
    /// @dev Thrown when the deal's state does not allow it.
    error Escrow_WrongState(bytes32 dealId, uint8 state);
    /// @dev Thrown when the stream shown is not the deal's.
    error Escrow_WrongStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the seller does not own the device in the stream's owner epoch.
    error Escrow_WrongSeller(address expected, address given);
    /// @dev Thrown when the window ends before it begins, or a data set has any but slot 0.
    error Escrow_WrongWindow(uint32 fromSlot, uint32 toSlot);
    /// @dev Thrown when `endMs` is not the last millisecond of the window (of a data set: 0).
    error Escrow_WrongEnd(uint256 expected, uint64 given);
    /// @dev Thrown when there is no node, more than 48, or not as many as the deal says.
    error Escrow_WrongNodeCount(uint256 nodes, uint16 given);
    /// @dev Thrown when the nodes are not those that the deal commits to.
    error Escrow_WrongKeysRoot(bytes32 expected, bytes32 given);
    /// @dev Thrown when the deal names another anchor than the Directory does.
    error Escrow_UnknownAnchor(address current, address given);
    /// @dev Thrown when the epoch that the deal is judged by is not anchored.
    error Escrow_EpochNotAnchored(uint64 epoch);
    /// @dev Thrown when the token is not on the list.
    error Escrow_TokenNotAllowed(address token);
    /// @dev Thrown when the deliverer's fee is more than the price that it is a part of.
    error Escrow_FeeAbovePrice(uint128 price, uint128 fee);
    /// @dev Thrown when there is no time to deliver or to complain.
    error Escrow_WindowZero(uint32 deliverSeconds, uint32 complainSeconds);
    /// @dev Thrown when the deal has no buyer or no deliverer.
    error Escrow_PartyZero(address buyer, address deliverer);
    /// @dev Thrown when the deal does not count the stream's tombstones of now.
    error Escrow_WrongErasures(uint64 expected, uint64 given);
    /// @dev Thrown when consent to this use by this buyer is missing.
    error Escrow_NotAuthorised(bytes32 streamId, bytes32 purpose, address buyer);
    /// @dev Thrown when another sum than the stated one came.
    error Escrow_NotFunded(address token, uint256 needed, uint256 found);
    /// @dev Thrown when the time to deliver, or to complain, is over.
    error Escrow_WindowClosed(bytes32 dealId);
    /// @dev Thrown when the time to deliver, or to complain, is not over yet.
    error Escrow_WindowOpen(bytes32 dealId);
    /// @dev Thrown when the caller is not the one who may deliver or decline now.
    error Escrow_NotYourTurn(bytes32 dealId, address caller);
    /// @dev Thrown when the sold window is not over.
    error Escrow_BeforeEnd(uint64 endMs, uint64 nowMs);
    /// @dev Thrown when there is not one masked key a node.
    error Escrow_WrongMaskedCount(uint16 expected, uint256 given);
    /// @dev Thrown when the coordinates are of no point of secp256k1.
    error Escrow_NotAPoint(uint256 x, uint8 v);
    /// @dev Thrown when the account has less free bond than this takes.
    error Escrow_BondTooSmall(address account, uint256 free, uint256 needed);
    /// @dev Thrown when the delivery shown is not the one that was made.
    error Escrow_WrongDelivery(bytes32 expected, bytes32 given);
    /// @dev Thrown when the deal has no such node.
    error Escrow_WrongNode(bytes32 leaf);
    /// @dev Thrown when the node is not aligned or leaves the window, or the pack's slot is not under it.
    error Escrow_NodeMisplaced(uint8 depth, uint32 firstSlot, uint32 slot);
    /// @dev Thrown when the scalar is not that of the node's public key, in its one form.
    error Escrow_WrongPrivateKey(uint16 index);
    /// @dev Thrown when the point shown is not the scalar times the delivery's point.
    error Escrow_WrongSharedPoint(uint16 index);
    /// @dev Thrown when the pack is of another stream than the deal.
    error Escrow_PackOfOtherStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the pack was anchored after the deal's epoch: it was not sold.
    error Escrow_EpochTooLate(uint64 asOfEpoch, uint64 given);
    /// @dev Thrown when the epoch is not the anchored one, or the pack is not in it.
    error Escrow_PackNotAnchored(bytes32 packLeaf);
    /// @dev Thrown when the delivered key fits the pack's commitment.
    error Escrow_KeyIsRight(bytes32 keyCommitment);
    /// @dev Thrown when the key shown is not the one that the pack commits to.
    error Escrow_WrongPackKey(bytes32 expected, bytes32 given);
    /// @dev Thrown when the content shown is not the one that the pack commits to.
    error Escrow_WrongContent(bytes32 expected, bytes32 given);
    /// @dev Thrown when the tag is right: the pack opens.
    error Escrow_PackOpens(bytes32 packLeaf);
    /// @dev Thrown when the caller is not what the Directory names "Marketplace".
    error Escrow_NotMarketplace(address current, address caller);
    /// @dev Thrown when this escrow was made without arbitration.
    error Escrow_NoArbitration();
    /// @dev Thrown when the caller is not the deal's buyer.
    error Escrow_NotTheBuyer(address buyer, address caller);
    /// @dev Thrown when a ruling is for more than the whole, or of too many judges.
    error Escrow_RulingMalformed(uint16 perMille, uint256 judges);
    /// @dev Thrown when the account is owed nothing in this token.
    error Escrow_NothingToWithdraw(address account, address token);

    /// @notice Opens a deal and has the caller pay its price ({IPayer-pay}). By the Directory's current "Marketplace" only.
    /// @dev Checks: stream hashes to streamId; seller owned its device in its owner epoch; endMs; fromSlot ≤ toSlot, both
    /// 0 for a data set; 1 to 48 nodes under keysRoot; the anchor is the Directory's current "DataAnchor" and has
    /// asOfEpoch; token allow-listed; fee ≤ price; both windows above 0; `erasures` is the stream's present count (else a
    /// deal could be made deaf to tombstones); consent for purpose and buyer. Warning: whether nodes are the canonical
    /// cover, points lie on the curve, and packs and readings are right is the deliverer's to check before delivering.
    /// @return dealId hashStruct(Deal).
    function open(
        Deal calldata deal,
        Stream calldata stream,
        KeyNode[] calldata nodes
    ) external returns (bytes32 dealId);

    /// @notice Publishes the masked nodes and locks the bond out of the caller's free balance. Only in Funded.
    /// @dev By the deliverer, or by the fallback once half of deliverSeconds (and its blocks) is over or the deliverer has
    /// declined; not before endMs. If the stream's tombstone count has risen or consent is gone, the buyer is refunded
    /// instead and nobody is at fault: then the call succeeds and emits Refunded. 0 < Ex < n and on the curve.
    function deliver(
        Deal calldata deal,
        Status calldata status,
        uint256 Ex,
        uint8 vE,
        bytes32[] calldata masked
    ) external;

    /// @notice Says that the deal can't or won't be served. Only in Funded.
    /// @dev The deliverer's sets the FALLBACK bit of the state (at and atBlock stay): from then on the fallback alone may
    /// deliver. Without a fallback (zero, or the deliverer itself) it refunds. The fallback's refunds; it may decline
    /// only when it might deliver, so it can't end a deal in the deliverer's own time.
    function decline(Deal calldata deal, Status calldata status) external;

    /// @notice Gives the price back when nobody delivered in time. Anyone may call.
    function refund(Deal calldata deal, Status calldata status) external;

    /// @notice Pays seller (price − fee, as credit) and whoever delivered (fee and bond, as free bond) when nobody proved a
    /// fault or complained in time. Anyone may call.
    function release(Deal calldata deal, Status calldata status) external;

    /// @notice Proves that a delivered node does not give the key of a pack: price and bond go to the buyer. By anyone,
    /// as long as the deal is Delivered, also after the window if nobody has released it yet.
    function proveWrongKey(
        Deal calldata deal,
        Status calldata status,
        Delivery calldata delivery,
        WrongKey calldata claim
    ) external;

    /// @notice Proves that a pack of the deal was anchored under a key that does not open its content: the Poly1305 tag of
    /// ChaCha20-Poly1305 (RFC 8439) does not verify, or the content is under 28 bytes or over 48 KiB. Price and bond go to
    /// the buyer. By anyone, under the same conditions as {proveWrongKey}. Shows at most that pack.
    /// @dev Warning: a content too large for one transaction can't be shown, and readings that open but do not fit the
    /// pack's root are not judged here. A deliverer who opens every pack before it delivers never meets either.
    function proveUnopenable(Deal calldata deal, Status calldata status, Unopenable calldata claim) external;

    /// @notice Takes a delivered deal to arbitration. By the buyer, within complainSeconds; its complaint bond is moved
    /// from its tokens, which it has allowed the escrow to do. Can't be paused.
    /// @dev Reverts where there is no arbitration, or no panel of three organisations outside the deal. From then on the two
    /// proofs are closed.
    /// @param complaint Digest of what the buyer complains of.
    function dispute(Deal calldata deal, Status calldata status, bytes32 complaint) external;

    /// @notice Ends a disputed deal: by the panel's ruling, or once rulingSeconds are over without one as a release. Anyone
    /// may call.
    /// @dev After rulingSeconds the arbitration contract is not even asked, so one that hangs or lies holds no money.
    function resolve(Deal calldata deal, Status calldata status) external;

    /// @notice Adds to the caller's free bond balance, which any of its deliveries may draw on.
    function depositBond(address token, uint256 amount) external;

    /// @notice Pays out free bond.
    function withdrawBond(address token, uint256 amount) external;

    /// @notice Pays out all of the caller's credit.
    /// @return amount That was paid.
    function withdraw(address token) external returns (uint256 amount);

    /// @notice Lets a token into new deals and bonds, or not any more. Restricted. What is inside stays payable.
    function setToken(address token, bool allowed) external;

    /// @notice Stops `open` and `depositBond`. Restricted. Nothing else stops.
    function pause() external;

    /// @notice Lets them in again. Restricted.
    function unpause() external;

    /// @return Bit of `Status.state`: in Funded, the right has passed to the fallback; from Delivered on, it delivered.
    function FALLBACK() external view returns (uint8);

    /// @return The stored word: zero, or H(abi.encode(state, at, atBlock, deliveryHash)).
    function statusWord(bytes32 dealId) external view returns (bytes32);

    /// @return hashStruct(Deal).
    function dealIdOf(Deal calldata deal) external pure returns (bytes32);

    /// @return The root of the nodes' leaves, `keysRoot` of a deal.
    function keysRootOf(KeyNode[] calldata nodes) external pure returns (bytes32);

    /// @return The account's free bond.
    function bondOf(address account, address token) external view returns (uint256);

    /// @return What the account may withdraw.
    function creditOf(address account, address token) external view returns (uint256);

    /// @return The contract that rules on complaints of every deal here, or zero.
    function arbitration() external view returns (address);

    /// @return Seconds (and blocks) after which a complaint without a fetched ruling ends as a release.
    function rulingSeconds() external view returns (uint256);

    /// @return What a complaint costs: a tenth of the price, rounded up.
    function complaintBondOf(Deal calldata deal) external pure returns (uint256);

    /// @return Whether new deals and bonds may use the token.
    function isTokenAllowed(address token) external view returns (bool);
}
