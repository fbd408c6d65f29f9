// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Deal, ProtocolTypes, Stream} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IEscrow, KeyNode} from "./IEscrow.sol";
import {IMarketplace, OfferTerms, Permit} from "./IMarketplace.sol";

/// @title Marketplace
contract Marketplace is IMarketplace, AccessManaged, Pausable, ReentrancyGuard {
    using SafeERC20 for IERC20;

    struct Offer {
        OfferTerms terms;
        address seller;
        OfferState state;
    }

    IEscrow private immutable _escrow;
    IDeviceRegistry private immutable _registry;

    mapping(bytes32 offerId => Offer) private _offers;

    /// @param authority The AccessManager.
    /// @param escrow Where deals are opened; must give this contract its marketplace role.
    /// @param registry Says who owned a device.
    constructor(address authority, IEscrow escrow, IDeviceRegistry registry) AccessManaged(authority) {
        _escrow = escrow;
        _registry = registry;
    }

    /// @inheritdoc IMarketplace
    function publish(
        Stream calldata stream,
        OfferTerms calldata terms
    ) external whenNotPaused returns (bytes32 offerId) {
        address seller = _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
        if (msg.sender != seller) revert Marketplace_NotSeller(seller, msg.sender);
        _checkShape(stream, terms);
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        offerId = _offerId(streamId, terms);
        Offer storage stored = _offers[offerId];
        if (stored.state != OfferState.None) revert Marketplace_OfferState(offerId, stored.state);
        stored.terms = terms;
        stored.seller = seller;
        stored.state = OfferState.Published;
        emit OfferPublished(offerId, streamId, seller, stream, terms);
    }

    /// @inheritdoc IMarketplace
    function close(bytes32 offerId) external {
        Offer storage stored = _offers[offerId];
        if (stored.state != OfferState.Published) revert Marketplace_OfferState(offerId, stored.state);
        if (msg.sender != stored.seller) revert Marketplace_NotSeller(stored.seller, msg.sender);
        stored.state = OfferState.Closed;
        emit OfferClosed(offerId);
    }

    /// @inheritdoc IMarketplace
    function buy(
        bytes32 offerId,
        Stream calldata stream,
        Deal calldata deal,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external whenNotPaused nonReentrant returns (bytes32 dealId) {
        if (msg.sender != deal.buyer) revert Marketplace_NotBuyer(deal.buyer, msg.sender);
        _checkDeal(offerId, stream, deal);
        dealId = ProtocolTypes.hashDeal(deal);
        emit Bought(offerId, dealId, msg.sender);
        _pay(deal.token, deal.price, permit);
        _escrow.open(deal, stream, nodes);
    }

    /// @inheritdoc IMarketplace
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc IMarketplace
    function unpause() external restricted {
        _unpause();
    }

    /// @inheritdoc IMarketplace
    function offer(bytes32 offerId) external view returns (OfferState state, address seller, OfferTerms memory terms) {
        Offer storage stored = _offers[offerId];
        return (stored.state, stored.seller, stored.terms);
    }

    /// @inheritdoc IMarketplace
    function offerIdOf(bytes32 streamId, OfferTerms calldata terms) external pure returns (bytes32) {
        return _offerId(streamId, terms);
    }

    function _pay(address token, uint256 price, Permit calldata permit) private {
        if (permit.deadline != 0) {
            // Fails if somebody sent the permit alone before; then the allowance is there already.
            // solhint-disable no-empty-blocks
            try
                IERC20Permit(token).permit(
                    msg.sender,
                    address(this),
                    permit.value,
                    permit.deadline,
                    permit.v,
                    permit.r,
                    permit.s
                )
            {} catch {}
            // solhint-enable no-empty-blocks
        }
        uint256 allowance = IERC20(token).allowance(msg.sender, address(this));
        if (allowance < price) revert Marketplace_AllowanceTooSmall(msg.sender, allowance, price);
        IERC20(token).safeTransferFrom(msg.sender, address(_escrow), price);
    }

    function _checkDeal(bytes32 offerId, Stream calldata stream, Deal calldata deal) private view {
        Offer memory stored = _offers[offerId];
        if (stored.state != OfferState.Published) revert Marketplace_OfferState(offerId, stored.state);
        OfferTerms memory terms = stored.terms;
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        // The id commits to stream and terms, so this is the stream of the offer.
        if (streamId != deal.streamId || _offerId(streamId, terms) != offerId) {
            revert Marketplace_WrongStream(offerId, streamId);
        }
        if (
            deal.seller != stored.seller ||
            deal.deliverer != terms.deliverer ||
            deal.fallbackDeliverer != terms.fallbackDeliverer ||
            deal.token != terms.token ||
            deal.bond != terms.bond ||
            deal.deliverSeconds != terms.deliverSeconds ||
            deal.complainSeconds != terms.complainSeconds
        ) revert Marketplace_TermsDiffer(offerId);
        if (deal.fromSlot < terms.fromSlot || deal.toSlot > terms.toSlot) {
            revert Marketplace_WrongWindow(deal.fromSlot, deal.toSlot);
        }
        uint256 units = stream.mode == ProtocolTypes.MODE_SEALED ? deal.packs : deal.readings;
        uint256 price = uint256(terms.unitPrice) * units;
        if (deal.price != price) revert Marketplace_WrongPrice(price, deal.price);
        uint256 fee = (price * terms.feePerMille) / 1000;
        if (deal.fee != fee) revert Marketplace_WrongFee(fee, deal.fee);
    }

    function _checkShape(Stream calldata stream, OfferTerms calldata terms) private view {
        uint32 s = stream.slotSeconds;
        bool slotted = s == 1 || s == 10 || s == 60 || s == 600 || s == 3600 || s == 86400;
        bool dataset = stream.mode == ProtocolTypes.MODE_DATASET;
        if (stream.mode > ProtocolTypes.MODE_DATASET || (dataset ? s != 0 : !slotted)) {
            revert Marketplace_StreamShape(stream.mode, s);
        }
        if (terms.fromSlot > terms.toSlot || (dataset && terms.toSlot != 0)) {
            revert Marketplace_WrongWindow(terms.fromSlot, terms.toSlot);
        }
        if (terms.feePerMille > 1000) revert Marketplace_FeePerMille(terms.feePerMille);
        if (terms.deliverer == address(0)) revert Marketplace_DelivererZero();
        if (terms.deliverSeconds == 0 || terms.complainSeconds == 0) {
            revert Marketplace_WindowZero(terms.deliverSeconds, terms.complainSeconds);
        }
        if (!_escrow.isTokenAllowed(terms.token)) revert Marketplace_TokenNotAllowed(terms.token);
    }

    function _offerId(bytes32 streamId, OfferTerms memory terms) private pure returns (bytes32) {
        return keccak256(abi.encode(streamId, terms));
    }
}
