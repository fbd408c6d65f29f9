// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {Deal, ProtocolTypes, Stream} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IEscrow, KeyNode} from "./IEscrow.sol";
import {IMarketplace, OfferTerms, Permit} from "./IMarketplace.sol";
import {IPayer} from "./IPayer.sol";
import {Offer, Orders, Request} from "./Orders.sol";

/// @title Marketplace
/// @dev Nobody has a role here; whoever pauses the escrow stops every purchase. Tokens move in `pay` alone, which the escrow calls under its own re-entrancy guard; whatever calls back in finds
/// the escrow locked, and every fill booked.
contract Marketplace is IMarketplace, IPayer, EIP712 {
    using SafeERC20 for IERC20;

    struct Published {
        address seller;
        OfferState state;
    }

    IEscrow private immutable _escrow;
    IDeviceRegistry private immutable _registry;

    mapping(bytes32 offerId => Published) private _published;
    mapping(address seller => mapping(bytes32 salt => uint256)) private _filled;
    /// @dev One bit a nonce, 256 nonces a word.
    mapping(address buyer => mapping(uint256 word => uint256)) private _used;
    mapping(address account => uint64) private _counters;

    /// @param escrow Where deals are opened; its Directory must name this contract "Marketplace".
    /// @param registry Says who owned a device.
    constructor(IEscrow escrow, IDeviceRegistry registry) EIP712("Marketplace", "1") {
        _escrow = escrow;
        _registry = registry;
    }

    /* PUBLISHED OFFERS */

    /// @inheritdoc IMarketplace
    function publish(Stream calldata stream, OfferTerms calldata terms) external returns (bytes32 offerId) {
        address seller = _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
        if (msg.sender != seller) revert Marketplace_NotSeller(seller, msg.sender);
        _checkShape(stream);
        _checkTerms(stream, terms);
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        offerId = _offerId(streamId, terms);
        OfferState state = _published[offerId].state;
        if (state != OfferState.None) revert Marketplace_OfferState(offerId, state);
        _published[offerId] = Published(seller, OfferState.Published);
        emit OfferPublished(offerId, streamId, seller, stream, terms);
    }

    /// @inheritdoc IMarketplace
    function close(bytes32 offerId) external {
        Published memory stored = _published[offerId];
        if (stored.state != OfferState.Published) revert Marketplace_OfferState(offerId, stored.state);
        if (msg.sender != stored.seller) revert Marketplace_NotSeller(stored.seller, msg.sender);
        _published[offerId].state = OfferState.Closed;
        emit OfferClosed(offerId);
    }

    /// @inheritdoc IMarketplace
    function buy(
        OfferTerms calldata terms,
        Stream calldata stream,
        Deal calldata deal,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external returns (bytes32 dealId) {
        if (msg.sender != deal.buyer) revert Marketplace_NotBuyer(deal.buyer, msg.sender);
        bytes32 offerId = _checkDeal(terms, stream, deal);
        _permit(deal.token, msg.sender, permit);
        dealId = _open(deal, stream, nodes);
        emit Bought(offerId, dealId, msg.sender);
    }

    /* SIGNED ORDERS */

    /// @inheritdoc IMarketplace
    function settle(
        Offer calldata offer_,
        bytes calldata offerSignature,
        Request calldata request,
        bytes calldata requestSignature,
        Stream calldata stream,
        KeyNode[] calldata nodes,
        Permit calldata permit
    ) external returns (bytes32 dealId) {
        bytes32 offerHash = Orders.hashOffer(offer_);
        _checkSigned(offerHash, offer_.seller, offer_.counter, offer_.deadline, offerSignature);
        bytes32 requestHash = Orders.hashRequest(request);
        _checkSigned(requestHash, request.buyer, request.counter, request.deadline, requestSignature);
        _checkShape(stream);
        _checkMatch(offer_, request, offerHash, requestHash);

        uint256 units = _units(stream, request.packs, request.readings);
        uint256 price = uint256(offer_.unitPrice) * units;
        if (price > request.maxPrice) revert Marketplace_PriceTooHigh(request.maxPrice, price);
        uint256 filled = _filled[offer_.seller][offer_.salt] + units;
        if (filled > offer_.amount) revert Marketplace_OfferFilled(offerHash, offer_.amount, filled);
        _filled[offer_.seller][offer_.salt] = filled;
        if (_use(request.buyer, request.nonce)) revert Marketplace_RequestUsed(request.buyer, request.nonce);

        _permit(request.token, request.buyer, permit);
        dealId = _escrow.open(_deal(offer_, request, stream, uint128(price)), stream, nodes);
        emit Settled(dealId, offerHash, requestHash, units);
    }

    /// @inheritdoc IMarketplace
    function cancelOffer(bytes32 salt) external {
        _filled[msg.sender][salt] = type(uint256).max >> 1;
        emit OfferCancelled(msg.sender, salt);
    }

    /// @inheritdoc IMarketplace
    function cancelRequest(bytes32 nonce) external {
        _use(msg.sender, nonce);
        emit RequestCancelled(msg.sender, nonce);
    }

    /// @inheritdoc IMarketplace
    function cancelAll() external {
        uint64 counter = ++_counters[msg.sender];
        emit CounterRaised(msg.sender, counter);
    }

    /* PAYMENT */

    /// @inheritdoc IPayer
    function pay(IERC20 token, address from, uint256 amount) external {
        if (msg.sender != address(_escrow)) revert Marketplace_NotEscrow(address(_escrow), msg.sender);
        token.safeTransferFrom(from, msg.sender, amount);
    }

    /* VIEWS */

    /// @inheritdoc IMarketplace
    function offer(bytes32 offerId) external view returns (OfferState state, address seller) {
        Published storage stored = _published[offerId];
        return (stored.state, stored.seller);
    }

    /// @inheritdoc IMarketplace
    function offerIdOf(bytes32 streamId, OfferTerms calldata terms) external pure returns (bytes32) {
        return _offerId(streamId, terms);
    }

    /// @inheritdoc IMarketplace
    function filledOf(address seller, bytes32 salt) external view returns (uint256) {
        return _filled[seller][salt];
    }

    /// @inheritdoc IMarketplace
    function isUsed(address buyer, bytes32 nonce) external view returns (bool) {
        return (_used[buyer][uint256(nonce) >> 8] >> uint8(uint256(nonce))) & 1 == 1;
    }

    /// @inheritdoc IMarketplace
    function counterOf(address account) external view returns (uint64) {
        return _counters[account];
    }

    /* PRIVATE */

    /// @return before Whether it was used before.
    function _use(address buyer, bytes32 nonce) private returns (bool before) {
        uint256 word = _used[buyer][uint256(nonce) >> 8];
        uint256 bit = uint256(1) << uint8(uint256(nonce));
        before = word & bit != 0;
        if (!before) _used[buyer][uint256(nonce) >> 8] = word | bit;
    }

    function _permit(address token, address from, Permit calldata permit) private {
        if (permit.deadline == 0) return;
        // Fails if somebody sent the permit alone before; then the allowance is there already.
        // solhint-disable no-empty-blocks
        try
            IERC20Permit(token).permit(from, address(this), permit.value, permit.deadline, permit.v, permit.r, permit.s)
        {} catch {}
        // solhint-enable no-empty-blocks
    }

    /// @dev `_escrow.open`, with the arguments as they lie in calldata: the escrow checks every bit of them itself.
    function _open(
        Deal calldata deal,
        Stream calldata stream,
        KeyNode[] calldata nodes
    ) private returns (bytes32 dealId) {
        address escrow = address(_escrow);
        bytes4 selector = IEscrow.open.selector;
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, selector)
            calldatacopy(add(p, 4), deal, 768)
            calldatacopy(add(p, 772), stream, 224)
            mstore(add(p, 996), 1024)
            mstore(add(p, 1028), nodes.length)
            calldatacopy(add(p, 1060), nodes.offset, mul(nodes.length, 128))
            if iszero(call(gas(), escrow, 0, p, add(1060, mul(nodes.length, 128)), 0x00, 32)) {
                returndatacopy(p, 0, returndatasize())
                revert(p, returndatasize())
            }
            dealId := mload(0x00)
        }
    }

    function _checkDeal(
        OfferTerms calldata terms,
        Stream calldata stream,
        Deal calldata deal
    ) private view returns (bytes32 offerId) {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        if (streamId != deal.streamId) revert Marketplace_WrongStream(deal.streamId, streamId);
        offerId = _offerId(streamId, terms);
        Published memory stored = _published[offerId];
        if (stored.state != OfferState.Published) revert Marketplace_OfferState(offerId, stored.state);
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
        uint256 price = uint256(terms.unitPrice) * _units(stream, deal.packs, deal.readings);
        if (deal.price != price) revert Marketplace_WrongPrice(price, deal.price);
        uint256 fee = (price * terms.feePerMille) / 1000;
        if (deal.fee != fee) revert Marketplace_WrongFee(fee, deal.fee);
    }

    function _checkSigned(
        bytes32 hash,
        address signer,
        uint64 counter,
        uint64 deadline,
        bytes calldata signature
    ) private view {
        uint64 nowMs = ProtocolTypes.nowMs();
        if (nowMs > deadline) revert Marketplace_Expired(hash, deadline, nowMs);
        uint64 current = _counters[signer];
        if (counter != current) revert Marketplace_WrongCounter(hash, current, counter);
        if (!SignatureChecker.isValidSignatureNow(signer, _hashTypedDataV4(hash), signature)) {
            revert Marketplace_BadSignature(hash, signer);
        }
    }

    function _checkMatch(
        Offer calldata offer_,
        Request calldata request,
        bytes32 offerHash,
        bytes32 requestHash
    ) private pure {
        if (
            offer_.streamId != request.streamId ||
            offer_.deliverer != request.deliverer ||
            offer_.fallbackDeliverer != request.fallbackDeliverer ||
            offer_.token != request.token ||
            offer_.terms != request.terms ||
            offer_.bond < request.minBond ||
            offer_.deliverSeconds > request.maxDeliverSeconds ||
            offer_.complainSeconds < request.minComplainSeconds
        ) revert Marketplace_NoMatch(offerHash, requestHash);
        if (request.fromSlot < offer_.fromSlot || request.toSlot > offer_.toSlot) {
            revert Marketplace_WrongWindow(request.fromSlot, request.toSlot);
        }
        if (offer_.feePerMille > 1000) revert Marketplace_FeePerMille(offer_.feePerMille);
    }

    /// @dev Everything that is the buyer's from the request, everything that is the seller's from the offer.
    function _deal(
        Offer calldata offer_,
        Request calldata request,
        Stream calldata stream,
        uint128 price
    ) private pure returns (Deal memory deal) {
        deal.anchor = request.anchor;
        deal.streamId = request.streamId;
        deal.buyer = request.buyer;
        deal.seller = offer_.seller;
        deal.deliverer = offer_.deliverer;
        deal.fallbackDeliverer = offer_.fallbackDeliverer;
        deal.token = offer_.token;
        deal.price = price;
        deal.fee = uint128((uint256(price) * offer_.feePerMille) / 1000);
        deal.bond = offer_.bond;
        deal.asOfEpoch = request.asOfEpoch;
        deal.packs = request.packs;
        deal.readings = request.readings;
        deal.endMs = uint64(ProtocolTypes.endMs(stream, request.toSlot));
        deal.fromSlot = request.fromSlot;
        deal.toSlot = request.toSlot;
        deal.holesHash = request.holesHash;
        deal.nodes = request.nodes;
        deal.keysRoot = request.keysRoot;
        deal.purpose = request.purpose;
        deal.erasures = request.erasures;
        deal.deliverSeconds = offer_.deliverSeconds;
        deal.complainSeconds = offer_.complainSeconds;
        deal.nonce = request.nonce;
    }

    function _units(Stream calldata stream, uint32 packs, uint64 readings) private pure returns (uint256) {
        return stream.mode == ProtocolTypes.MODE_SEALED ? packs : readings;
    }

    function _checkShape(Stream calldata stream) private pure {
        uint32 s = stream.slotSeconds;
        bool slotted = s == 1 || s == 10 || s == 60 || s == 600 || s == 3600 || s == 86400;
        bool dataset = stream.mode == ProtocolTypes.MODE_DATASET;
        if (stream.mode > ProtocolTypes.MODE_DATASET || (dataset ? s != 0 : !slotted)) {
            revert Marketplace_StreamShape(stream.mode, s);
        }
    }

    function _checkTerms(Stream calldata stream, OfferTerms calldata terms) private view {
        bool dataset = stream.mode == ProtocolTypes.MODE_DATASET;
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

    /// @dev H(abi.encode(streamId, terms)): terms lie in calldata as abi.encode would have them.
    function _offerId(bytes32 streamId, OfferTerms calldata terms) private pure returns (bytes32 id) {
        assembly ("memory-safe") {
            let p := mload(0x40)
            mstore(p, streamId)
            calldatacopy(add(p, 32), terms, 352)
            id := keccak256(p, 384)
        }
    }
}
