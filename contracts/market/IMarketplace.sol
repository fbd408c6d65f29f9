// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Deal, Stream} from "../data/ProtocolTypes.sol";
import {KeyNode} from "./IEscrow.sol";
import {Offer, Request} from "./Orders.sol";

/// @dev What a seller offers. Immutable once published; `offerId` is its hash together with the stream's id.
struct OfferTerms {
    address deliverer;
    /// Zero: none.
    address fallbackDeliverer;
    address token;
    /// For one reading (modes open and dataset) or one pack (sealed), in the token's base units.
    uint128 unitPrice;
    /// Part of the price that goes to whoever delivers, in thousandths: fee = ⌊price · feePerMille / 1000⌋.
    uint16 feePerMille;
    /// What the deliverer stakes on each deal, in the token's base units.
    uint128 bond;
    uint32 deliverSeconds;
    uint32 complainSeconds;
    /// First and last slot that may be bought, inclusive; a deal may take any window inside. Both 0 for a data set.
    uint32 fromSlot;
    uint32 toSlot;
    /// Hash of the exact text of the licence.
    bytes32 terms;
}

/// @dev An ERC-2612 permit of the buyer for the marketplace; none if `deadline` is 0.
struct Permit {
    uint256 value;
    uint256 deadline;
    uint8 v;
    bytes32 r;
    bytes32 s;
}

/// @title Offers and requests, and a sale in one transaction
/// @notice Two ways to a deal: an offer that is published here and bought by anyone, or an offer and a request that seller
/// and buyer sign (EIP-712) and anyone settles. Holds no money at any time: the price goes from the buyer straight to the
/// escrow, at the escrow's call ({IPayer}).
///
/// Signed orders. The price is always the offer's, so the surplus, maxPrice − price, stays the buyer's; nobody pays more or
/// gets less than signed. A request names one window of one stream with the buyer's keys for it, because keys are of a
/// cover and a cover is of a window: "any hour on this street" is signed as one request a candidate, all under one nonce,
/// of which at most one is ever filled. So everything that the buyer relies on is signed and can't be switched: the device
/// and its kind (in the stream's id), what was anchored until then (packs, readings, epoch, holes), purpose, licence,
/// deliverers, bond, windows, price limit. Offers fill in parts, up to `amount` units for one salt.
/// @dev EIP-712 domain ("Marketplace", "1", chainId, this). Signatures may be ERC-1271. Warning: `packs` and `readings`
/// of a deal are the buyer's word here; the deliverer recomputes them and declines a deal that understates them.
interface IMarketplace {
    enum OfferState {
        None,
        Published,
        Closed
    }

    /// @notice Anyone may buy at these terms from now on.
    event OfferPublished(
        bytes32 indexed offerId,
        bytes32 indexed streamId,
        address indexed seller,
        Stream stream,
        OfferTerms terms
    );
    /// @notice Nobody may buy from this offer any more.
    event OfferClosed(bytes32 indexed offerId);
    /// @notice A deal was made of a published offer.
    event Bought(bytes32 indexed offerId, bytes32 indexed dealId, address indexed buyer);
    /// @param units Readings or sealed packs that the deal takes of the offer's amount.
    event Settled(bytes32 indexed dealId, bytes32 indexed offerHash, bytes32 indexed requestHash, uint256 units);
    /// @notice Signed offers of the seller under the salt count no more.
    event OfferCancelled(address indexed seller, bytes32 indexed salt);
    /// @notice Signed requests of the buyer under the nonce count no more.
    event RequestCancelled(address indexed buyer, bytes32 indexed nonce);
    /// @notice Nothing that the account signed before counts any more.
    event CounterRaised(address indexed account, uint64 counter);

    /// @dev Thrown when the caller does not own what is offered.
    error Marketplace_NotSeller(address seller, address caller);
    /// @dev Thrown when the caller is not the deal's buyer.
    error Marketplace_NotBuyer(address buyer, address caller);
    /// @dev Thrown when the offer is known, or not open.
    error Marketplace_OfferState(bytes32 offerId, OfferState state);
    /// @dev Thrown when the stream shown is another than the one sold.
    error Marketplace_WrongStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the stream has an unknown mode, or a slot length that its mode does not allow.
    error Marketplace_StreamShape(uint8 mode, uint32 slotSeconds);
    /// @dev Thrown when the window is outside the offered one, ends before it begins, or is no data set's.
    error Marketplace_WrongWindow(uint32 fromSlot, uint32 toSlot);
    /// @dev Thrown when the deliverer's share is more than the whole.
    error Marketplace_FeePerMille(uint16 feePerMille);
    /// @dev Thrown when the escrow does not take the token.
    error Marketplace_TokenNotAllowed(address token);
    /// @dev Thrown when nobody would deliver.
    error Marketplace_DelivererZero();
    /// @dev Thrown when there would be no time to deliver or to complain.
    error Marketplace_WindowZero(uint32 deliverSeconds, uint32 complainSeconds);
    /// @dev Thrown when the deal's price is not what its readings or packs cost.
    error Marketplace_WrongPrice(uint256 expected, uint128 given);
    /// @dev Thrown when the deal's fee is not the offered share of its price.
    error Marketplace_WrongFee(uint256 expected, uint128 given);
    /// @dev Thrown when the deal differs from the offer in a term that the offer fixes.
    error Marketplace_TermsDiffer(bytes32 offerId);
    /// @dev Thrown when anyone but the escrow asks for a payment.
    error Marketplace_NotEscrow(address escrow, address caller);
    /// @dev Thrown when an order's deadline is over.
    error Marketplace_Expired(bytes32 orderHash, uint64 deadline, uint64 nowMs);
    /// @dev Thrown when everything signed under that counter was cancelled.
    error Marketplace_WrongCounter(bytes32 orderHash, uint64 expected, uint64 given);
    /// @dev Thrown when the account did not sign the order.
    error Marketplace_BadSignature(bytes32 orderHash, address signer);
    /// @dev Thrown when offer and request do not fit each other.
    error Marketplace_NoMatch(bytes32 offerHash, bytes32 requestHash);
    /// @dev Thrown when the price is above the buyer's limit.
    error Marketplace_PriceTooHigh(uint128 most, uint256 price);
    /// @dev Thrown when the offer's amount would be exceeded.
    error Marketplace_OfferFilled(bytes32 offerHash, uint64 amount, uint256 filled);
    /// @dev Thrown when a request under the nonce was filled or cancelled.
    error Marketplace_RequestUsed(address buyer, bytes32 nonce);

    /// @notice Publishes an offer. By who owned the stream's device in the stream's owner epoch.
    /// @dev The id is content-derived, so the same offer can't be published twice; after `close` it is used up.
    /// @return offerId H(abi.encode(streamId, terms)).
    function publish(Stream calldata stream, OfferTerms calldata terms) external returns (bytes32 offerId);

    /// @notice Ends an offer, for good. By its seller. Deals made under it go on.
    function close(bytes32 offerId) external;

    /// @notice Buys: checks the deal against the published offer of these terms, takes the permit if it is good, opens the
    /// deal.
    /// @dev The caller is `deal.buyer`. A permit that fails (used up by somebody who saw it, say) is no error if the
    /// allowance suffices; else the token's own error tells.
    /// @return dealId hashStruct(Deal).
    function buy(
        OfferTerms calldata terms,
        Stream calldata stream,
        Deal calldata deal,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external returns (bytes32 dealId);

    /// @notice Makes the deal that an offer and a request agree on. By anyone.
    /// @dev The same: stream, deliverers, token, licence. The request's window lies in the offer's; bond and complainSeconds
    /// are at least, deliverSeconds and price at most what the request says. The escrow checks the rest. A permit is the
    /// buyer's; none (deadline 0) if it has approved this contract.
    /// @return dealId hashStruct(Deal); the deal's nonce is the request's.
    function settle(
        Offer calldata offer_,
        bytes calldata offerSignature,
        Request calldata request,
        bytes calldata requestSignature,
        Stream calldata stream,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external returns (bytes32 dealId);

    /// @notice Ends all of the caller's signed offers under a salt.
    function cancelOffer(bytes32 salt) external;

    /// @notice Ends all of the caller's signed requests under a nonce.
    function cancelRequest(bytes32 nonce) external;

    /// @notice Ends everything that the caller has signed so far, by raising its counter.
    function cancelAll() external;

    /// @return state Of the offer.
    /// @return seller Who published it.
    function offer(bytes32 offerId) external view returns (OfferState state, address seller);

    /// @return H(abi.encode(streamId, terms)).
    function offerIdOf(bytes32 streamId, OfferTerms calldata terms) external pure returns (bytes32);

    /// @return Units filled of the seller's offers under a salt; 2^255 − 1 once cancelled.
    function filledOf(address seller, bytes32 salt) external view returns (uint256);

    /// @return Whether a request of this nonce was filled or cancelled.
    function isUsed(address buyer, bytes32 nonce) external view returns (bool);

    /// @return What orders of this account must carry as counter.
    function counterOf(address account) external view returns (uint64);
}
