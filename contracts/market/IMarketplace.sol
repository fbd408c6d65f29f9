// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Deal, Stream} from "../data/ProtocolTypes.sol";
import {KeyNode} from "./IEscrow.sol";

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

/// @title Offers, and buying in one transaction
/// @dev Holds no money at any time: the price goes from the buyer straight to the escrow. Warning: `packs` and `readings`
/// of a deal are the buyer's word here; the deliverer recomputes them and declines a deal that understates them.
interface IMarketplace {
    enum OfferState {
        None,
        Published,
        Closed
    }

    event OfferPublished(
        bytes32 indexed offerId,
        bytes32 indexed streamId,
        address indexed seller,
        Stream stream,
        OfferTerms terms
    );
    event OfferClosed(bytes32 indexed offerId);
    event Bought(bytes32 indexed offerId, bytes32 indexed dealId, address indexed buyer);

    error Marketplace_NotSeller(address seller, address caller);
    error Marketplace_NotBuyer(address buyer, address caller);
    error Marketplace_OfferState(bytes32 offerId, OfferState state);
    error Marketplace_WrongStream(bytes32 offerId, bytes32 streamId);
    error Marketplace_StreamShape(uint8 mode, uint32 slotSeconds);
    error Marketplace_WrongWindow(uint32 fromSlot, uint32 toSlot);
    error Marketplace_FeePerMille(uint16 feePerMille);
    error Marketplace_TokenNotAllowed(address token);
    error Marketplace_DelivererZero();
    error Marketplace_WindowZero(uint32 deliverSeconds, uint32 complainSeconds);
    error Marketplace_WrongPrice(uint256 expected, uint128 given);
    error Marketplace_WrongFee(uint256 expected, uint128 given);
    error Marketplace_TermsDiffer(bytes32 offerId);
    error Marketplace_AllowanceTooSmall(address buyer, uint256 allowance, uint256 price);

    /// @notice Publishes an offer. By who owned the stream's device in the stream's owner epoch.
    /// @dev The id is content-derived, so the same offer can't be published twice; after `close` it is used up.
    /// @return offerId H(abi.encode(streamId, terms)).
    function publish(Stream calldata stream, OfferTerms calldata terms) external returns (bytes32 offerId);

    /// @notice Ends an offer, for good. By its seller. Deals made under it go on. Can't be paused.
    function close(bytes32 offerId) external;

    /// @notice Buys: checks the deal against the offer, takes the permit if it is good, pays the escrow, opens the deal.
    /// @dev The caller is `deal.buyer`. A permit that fails (used up by somebody who saw it, say) is no error if the
    /// allowance suffices.
    /// @return dealId hashStruct(Deal).
    function buy(
        bytes32 offerId,
        Stream calldata stream,
        Deal calldata deal,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external returns (bytes32 dealId);

    /// @notice Stops `publish` and `buy`. Restricted. Nothing else stops.
    function pause() external;

    /// @notice Lets them in again. Restricted.
    function unpause() external;

    /// @return state Of the offer.
    /// @return seller Who published it.
    /// @return terms Zero if unknown.
    function offer(bytes32 offerId) external view returns (OfferState state, address seller, OfferTerms memory terms);

    /// @return H(abi.encode(streamId, terms)).
    function offerIdOf(bytes32 streamId, OfferTerms calldata terms) external pure returns (bytes32);
}
