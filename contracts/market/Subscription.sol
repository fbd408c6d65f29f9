// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {IConsent} from "../data/IConsent.sol";
import {IDataAnchor} from "../data/IDataAnchor.sol";
import {KeyTree} from "../data/KeyTree.sol";
import {Pack, ProtocolTypes, Stream} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IEscrow} from "./IEscrow.sol";
import {Permit} from "./IMarketplace.sol";
import {
    AnchoredPack,
    Batch,
    BatchKeys,
    EmptySlot,
    ISubscription,
    Phase,
    SubscriptionOffer,
    SubscriptionState,
    SubscriptionTerms
} from "./ISubscription.sol";
import {PackCipher} from "./PackCipher.sol";
import {Secp256k1} from "./Secp256k1.sol";
import {SharedPoint, SharedPointProof} from "./SharedPoint.sol";
import {SubscriptionTypes} from "./SubscriptionTypes.sol";
import {Window} from "./Window.sol";

/// @title Subscription
/// @dev The guard stands on every function that moves tokens. The others call nothing but views of the contracts that
/// the terms or the deployment pin, and only book.
contract Subscription is ISubscription, AccessManaged, Pausable, ReentrancyGuard {
    using SafeCast for uint256;
    using SafeERC20 for IERC20;

    bytes32 private constant ANCHOR = "DataAnchor";
    /// @dev A batch's slots fit the bits of a word.
    uint8 private constant LEAST_DEPTH = 24;
    uint8 private constant DEPTH = 32;

    IDirectory private immutable _directory;
    IDeviceRegistry private immutable _registry;
    IConsent private immutable _consent;
    IEscrow private immutable _escrow;

    mapping(bytes32 offerId => bool) private _offers;
    mapping(bytes32 subscriptionId => SubscriptionState) private _states;
    mapping(bytes32 batchId => bytes32) private _words;
    mapping(address account => mapping(address token => uint256)) private _bonds;
    mapping(address account => mapping(address token => uint256)) private _credits;

    /// @param authority The AccessManager.
    /// @param directory Names the anchor that new subscriptions must pin.
    /// @param registry Says who owned a device.
    /// @param consent Says what was erased or is no longer allowed.
    /// @param escrow Whose tokens new offers and bonds may use.
    constructor(
        address authority,
        IDirectory directory,
        IDeviceRegistry registry,
        IConsent consent,
        IEscrow escrow
    ) AccessManaged(authority) {
        _directory = directory;
        _registry = registry;
        _consent = consent;
        _escrow = escrow;
    }

    /* OFFERS */

    /// @inheritdoc ISubscription
    function publish(Stream calldata stream, SubscriptionOffer calldata offer) external returns (bytes32 offerId) {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        if (streamId != offer.streamId) revert Subscription_WrongStream(streamId, offer.streamId);
        address owner = _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
        if (owner != msg.sender) revert Subscription_NotTheSeller(owner, msg.sender);
        if (owner != offer.seller) revert Subscription_NotTheSeller(owner, offer.seller);
        if (
            stream.mode >= ProtocolTypes.MODE_DATASET ||
            stream.slotSeconds == 0 ||
            stream.slotSeconds != offer.slotSeconds
        ) revert Subscription_StreamShape(stream.mode, stream.slotSeconds);
        if (offer.depth < LEAST_DEPTH || offer.depth > DEPTH) revert Subscription_WrongDepth(offer.depth);
        if (offer.feePerMille > 1000) revert Subscription_FeePerMille(offer.feePerMille);
        if (offer.deliverer == address(0)) revert Subscription_PartyZero();
        uint256 least = (uint256(offer.slotSeconds) << (DEPTH - offer.depth)) + 2 * uint256(offer.deliverSeconds);
        if (offer.deliverSeconds == 0 || offer.complainSeconds == 0 || offer.silenceSeconds < least) {
            revert Subscription_WrongWindows(offer.complainSeconds, offer.silenceSeconds, least);
        }
        _checkToken(offer.token);
        offerId = SubscriptionTypes.hashOffer(offer);
        _offers[offerId] = true;
        emit OfferPublished(offerId, streamId, owner, stream, offer);
    }

    /// @inheritdoc ISubscription
    function close(SubscriptionOffer calldata offer) external {
        if (msg.sender != offer.seller) revert Subscription_NotTheSeller(offer.seller, msg.sender);
        bytes32 offerId = SubscriptionTypes.hashOffer(offer);
        if (!_offers[offerId]) revert Subscription_OfferNotOpen(offerId);
        _offers[offerId] = false;
        emit OfferClosed(offerId);
    }

    /* THE BUYER'S SIDE */

    /// @inheritdoc ISubscription
    function subscribe(
        SubscriptionTerms calldata terms,
        uint96 deposit,
        Permit calldata permit
    ) external whenNotPaused nonReentrant returns (bytes32 subscriptionId) {
        subscriptionId = SubscriptionTypes.hashTerms(terms);
        if (_states[subscriptionId].phase != Phase.None) revert Subscription_Known(subscriptionId);
        if (msg.sender != terms.buyer) revert Subscription_NotTheBuyer(terms.buyer, msg.sender);
        _checkTerms(terms);
        uint256 startMs = _startMs(terms, terms.fromBatch);
        uint64 nowMs = ProtocolTypes.nowMs();
        if (
            uint256(terms.fromBatch) + 1 > uint256(1) << terms.depth ||
            startMs < nowMs ||
            startMs > nowMs + uint256(terms.silenceSeconds) * 1000
        ) revert Subscription_WrongStart(terms.fromBatch, startMs, nowMs);

        _states[subscriptionId] = SubscriptionState({
            balance: deposit,
            next: terms.fromBatch,
            limit: 0,
            at: (startMs / 1000).toUint40(),
            atBlock: uint40(block.number),
            phase: Phase.Active
        });
        emit Subscribed(subscriptionId, terms.buyer, terms.deliverer, terms, deposit);
        _pull(IERC20(terms.token), deposit, permit);
    }

    /// @inheritdoc ISubscription
    function topUp(
        SubscriptionTerms calldata terms,
        uint96 amount,
        Permit calldata permit
    ) external whenNotPaused nonReentrant {
        (bytes32 id, SubscriptionState memory state) = _load(terms);
        if (state.phase > Phase.Held) revert Subscription_WrongPhase(id, state.phase);
        _checkToken(terms.token);
        _states[id].balance = state.balance + amount;
        emit ToppedUp(id, msg.sender, amount);
        _pull(IERC20(terms.token), amount, permit);
    }

    /// @inheritdoc ISubscription
    function hold(SubscriptionTerms calldata terms) external {
        (bytes32 id, SubscriptionState memory state) = _load(terms);
        if (msg.sender != terms.buyer) revert Subscription_NotTheBuyer(terms.buyer, msg.sender);
        if (state.phase != Phase.Active) revert Subscription_WrongPhase(id, state.phase);
        _stop(terms, state, Phase.Held);
        _states[id] = state;
        emit Held(id, state.limit);
    }

    /// @inheritdoc ISubscription
    function resume(SubscriptionTerms calldata terms) external {
        (bytes32 id, SubscriptionState memory state) = _load(terms);
        if (msg.sender != terms.buyer) revert Subscription_NotTheBuyer(terms.buyer, msg.sender);
        if (state.phase != Phase.Held) revert Subscription_WrongPhase(id, state.phase);
        if (_mayBeOnTheWay(terms, state)) revert Subscription_WindowOpen(id);
        uint256 batchMs = _batchMs(terms);
        uint32 first = ((ProtocolTypes.nowMs() + batchMs - 1) / batchMs).toUint32();
        if (first > state.next) state.next = first;
        (state.phase, state.limit) = (Phase.Active, 0);
        (state.at, state.atBlock) = (uint40(block.timestamp), uint40(block.number));
        _states[id] = state;
        emit Resumed(id, state.next);
    }

    /// @inheritdoc ISubscription
    function end(SubscriptionTerms calldata terms) external {
        (bytes32 id, SubscriptionState memory state) = _load(terms);
        (bool gone, End reason) = _isGone(terms);
        if (gone) return _end(id, terms, state, reason);
        bool ending = state.phase == Phase.Ending;
        if (!ending && _closed(state, terms.silenceSeconds)) return _end(id, terms, state, End.Silence);
        if (!ending && msg.sender != terms.buyer && msg.sender != terms.seller) {
            revert Subscription_NotYours(id, msg.sender);
        }
        if (state.phase == Phase.Active) _stop(terms, state, Phase.Ending);
        if (!_mayBeOnTheWay(terms, state)) return _end(id, terms, state, End.ByParty);
        if (ending) revert Subscription_WindowOpen(id);

        state.phase = Phase.Ending;
        uint256 reserve = (state.limit - state.next) * _batchPrice(terms);
        uint96 toBuyer = reserve < state.balance ? uint96(state.balance - reserve) : 0;
        state.balance -= toBuyer;
        _states[id] = state;
        _credits[terms.buyer][terms.token] += toBuyer;
        emit Ending(id, msg.sender, state.limit, toBuyer);
    }

    /* DELIVERY */

    /// @inheritdoc ISubscription
    function deliver(SubscriptionTerms calldata terms, BatchKeys calldata keys, AnchoredPack calldata last) external {
        (bytes32 id, SubscriptionState memory state) = _load(terms);
        _checkTurn(id, terms, state, keys.number);
        (bool gone, End reason) = _isGone(terms);
        if (gone) return _end(id, terms, state, reason);

        if (!Secp256k1.isPoint(keys.Ex, keys.vE)) revert Subscription_NotAPoint(keys.Ex, keys.vE);
        uint256 price = uint256(terms.slotPrice) * _checkSlots(terms, keys, last);
        if (price > state.balance) revert Subscription_BalanceTooSmall(state.balance, price);
        state.balance -= uint96(price);
        state.next = keys.number + 1;
        if (state.phase == Phase.Active) {
            (state.at, state.atBlock) = (uint40(block.timestamp), uint40(block.number));
        }
        _states[id] = state;
        _takeBond(msg.sender, terms.token, terms.bond);
        Batch memory batch = Batch({
            number: keys.number,
            by: msg.sender,
            at: ProtocolTypes.nowMs(),
            atBlock: uint64(block.number),
            asOfEpoch: last.epoch.number,
            slots: keys.slots,
            Ex: keys.Ex,
            vE: keys.vE,
            masked: keys.masked
        });
        _words[batchIdOf(id, keys.number)] = keccak256(abi.encode(batch));
        emit BatchDelivered(id, keys.number, msg.sender, batch);
    }

    /// @inheritdoc ISubscription
    function settle(SubscriptionTerms calldata terms, Batch[] calldata batches) external {
        bytes32 id = SubscriptionTypes.hashTerms(terms);
        uint256 toSeller;
        for (uint256 i = 0; i < batches.length; ++i) {
            Batch calldata batch = batches[i];
            bytes32 batchId = _checkBatch(id, batch);
            if (!Window.isClosed(batch.at, batch.atBlock, terms.complainSeconds)) revert Subscription_WindowOpen(id);
            delete _words[batchId];
            uint256 price = _priceOf(terms, batch);
            uint256 fee = (price * terms.feePerMille) / 1000;
            toSeller += price - fee;
            _bonds[batch.by][terms.token] += uint256(terms.bond) + fee;
            emit BatchSettled(id, batch.number, price - fee, fee);
        }
        _credits[terms.seller][terms.token] += toSeller;
    }

    /// @inheritdoc ISubscription
    function proveWrongKey(
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        SharedPoint calldata shared,
        AnchoredPack calldata shown
    ) external {
        bytes32 id = SubscriptionTypes.hashTerms(terms);
        bytes32 batchId = _checkBatch(id, batch);
        _checkJudged(terms, batch, shown);
        if (!SharedPointProof.holds(shared, batchId, terms.keyX, terms.keyV, batch.Ex, batch.vE)) {
            revert Subscription_WrongSharedPoint(batch.number);
        }
        bytes32 mask = keccak256(
            abi.encodePacked("msec.kd", block.chainid, address(this), batchId, uint16(0), shared.x)
        );
        Pack calldata pack = shown.pack;
        bytes32 leaf = KeyTree.leafOf(batch.masked ^ mask, terms.depth, pack.slot);
        bytes32 key = KeyTree.packKey(leaf, pack.streamId, pack.keyEpoch, pack.seq);
        if (KeyTree.commitment(key) == pack.keyCommitment) revert Subscription_KeyIsRight(pack.keyCommitment);
        _refute(id, batchId, terms, batch, End.WrongKey);
    }

    /// @inheritdoc ISubscription
    function proveUnopenable(
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        bytes32 packKey,
        bytes calldata content,
        AnchoredPack calldata shown
    ) external {
        bytes32 id = SubscriptionTypes.hashTerms(terms);
        bytes32 batchId = _checkBatch(id, batch);
        _checkJudged(terms, batch, shown);
        Pack calldata pack = shown.pack;
        bytes32 commitment = KeyTree.commitment(packKey);
        if (commitment != pack.keyCommitment) revert Subscription_WrongPackKey(pack.keyCommitment, commitment);
        bytes32 digest = sha256(content);
        if (digest != pack.contentDigest) revert Subscription_WrongContent(pack.contentDigest, digest);
        if (PackCipher.opens(packKey, pack, content)) revert Subscription_PackOpens(pack.headerDigest);
        _refute(id, batchId, terms, batch, End.Unopenable);
    }

    /// @inheritdoc ISubscription
    function proveEmpty(SubscriptionTerms calldata terms, Batch calldata batch, EmptySlot calldata claim) external {
        bytes32 id = SubscriptionTypes.hashTerms(terms);
        bytes32 batchId = _checkBatch(id, batch);
        uint32 slot = claim.slot;
        uint256 size = _sizeOf(terms);
        if (slot / size != batch.number || (batch.slots >> (slot % size)) & 1 == 0) {
            revert Subscription_SlotNotPaid(slot);
        }
        Pack calldata next = claim.next.pack;
        _checkPack(terms, claim.next);
        (bytes32 digest, , ) = IDataAnchor(terms.anchor).verifyHeader(claim.header, claim.spki, "");
        if (digest != next.headerDigest) revert Subscription_WrongHeader(next.headerDigest, digest);
        bytes32 previous = _previousOf(claim.header);
        if (next.slot <= slot) revert Subscription_SlotNotBetween(slot);
        if (previous != 0) {
            _checkPack(terms, claim.previous);
            Pack calldata before = claim.previous.pack;
            if (before.headerDigest != previous) revert Subscription_NotInLine(previous, before.headerDigest);
            if (before.slot >= slot) revert Subscription_SlotNotBetween(slot);
        }
        _refute(id, batchId, terms, batch, End.EmptySlot);
    }

    /* BALANCES */

    /// @inheritdoc ISubscription
    function depositBond(address token, uint256 amount) external whenNotPaused nonReentrant {
        _checkToken(token);
        _bonds[msg.sender][token] += amount;
        emit BondDeposited(msg.sender, token, amount);
        _pull(IERC20(token), amount);
    }

    /// @inheritdoc ISubscription
    function withdrawBond(address token, uint256 amount) external nonReentrant {
        _takeBond(msg.sender, token, amount);
        emit BondWithdrawn(msg.sender, token, amount);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc ISubscription
    function withdraw(address token) external nonReentrant returns (uint256 amount) {
        amount = _credits[msg.sender][token];
        if (amount == 0) revert Subscription_NothingToWithdraw(msg.sender, token);
        _credits[msg.sender][token] = 0;
        emit Withdrawn(msg.sender, token, amount);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /* RESTRICTED */

    /// @inheritdoc ISubscription
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc ISubscription
    function unpause() external restricted {
        _unpause();
    }

    /* VIEWS */

    /// @inheritdoc ISubscription
    function isOpen(bytes32 offerId) external view returns (bool) {
        return _offers[offerId];
    }

    /// @inheritdoc ISubscription
    function stateOf(bytes32 subscriptionId) external view returns (SubscriptionState memory) {
        return _states[subscriptionId];
    }

    /// @inheritdoc ISubscription
    function batchWord(bytes32 subscriptionId, uint32 number) external view returns (bytes32) {
        return _words[batchIdOf(subscriptionId, number)];
    }

    /// @inheritdoc ISubscription
    function isSolvent(SubscriptionTerms calldata terms) external view returns (bool) {
        SubscriptionState memory state = _states[SubscriptionTypes.hashTerms(terms)];
        return state.phase == Phase.Active && state.balance >= _batchPrice(terms);
    }

    /// @inheritdoc ISubscription
    function solventUntil(SubscriptionTerms calldata terms) external view returns (uint256) {
        if (terms.slotPrice == 0) return type(uint256).max;
        SubscriptionState memory state = _states[SubscriptionTypes.hashTerms(terms)];
        return _startMs(terms, state.next + state.balance / _batchPrice(terms));
    }

    /// @inheritdoc ISubscription
    function bondOf(address account, address token) external view returns (uint256) {
        return _bonds[account][token];
    }

    /// @inheritdoc ISubscription
    function creditOf(address account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc ISubscription
    function offerIdOf(SubscriptionOffer calldata offer) external pure returns (bytes32) {
        return SubscriptionTypes.hashOffer(offer);
    }

    /// @inheritdoc ISubscription
    function subscriptionIdOf(SubscriptionTerms calldata terms) external pure returns (bytes32) {
        return SubscriptionTypes.hashTerms(terms);
    }

    /// @inheritdoc ISubscription
    function batchIdOf(bytes32 subscriptionId, uint32 number) public pure returns (bytes32) {
        return keccak256(abi.encode(subscriptionId, number));
    }

    /* PRIVATE */

    /// @dev Batches that are over stay deliverable, later ones are not.
    function _stop(SubscriptionTerms calldata terms, SubscriptionState memory state, Phase phase) private view {
        state.limit = (ProtocolTypes.nowMs() / _batchMs(terms)).toUint32();
        (state.at, state.atBlock, state.phase) = (uint40(block.timestamp), uint40(block.number), phase);
    }

    function _end(bytes32 id, SubscriptionTerms calldata terms, SubscriptionState memory state, End reason) private {
        uint256 toBuyer = state.balance;
        (state.balance, state.phase) = (0, Phase.Ended);
        _states[id] = state;
        _credits[terms.buyer][terms.token] += toBuyer;
        emit Ended(id, reason, toBuyer);
    }

    /// @dev A delivery proved wrong: its price and its bond are the buyer's, and nothing more is delivered.
    function _refute(
        bytes32 id,
        bytes32 batchId,
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        End reason
    ) private {
        delete _words[batchId];
        uint256 toBuyer = _priceOf(terms, batch) + terms.bond;
        _credits[terms.buyer][terms.token] += toBuyer;
        emit BatchRefunded(id, batch.number, msg.sender, toBuyer);
        SubscriptionState memory state = _states[id];
        if (state.phase != Phase.Ended) _end(id, terms, state, reason);
    }

    function _takeBond(address account, address token, uint256 amount) private {
        uint256 free = _bonds[account][token];
        if (free < amount) revert Subscription_BondTooSmall(account, free, amount);
        _bonds[account][token] = free - amount;
    }

    function _pull(IERC20 token, uint256 amount, Permit calldata permit) private {
        if (permit.deadline != 0) {
            // Fails if somebody sent the permit alone before; then the allowance is there already.
            // solhint-disable no-empty-blocks
            try
                IERC20Permit(address(token)).permit(
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
        _pull(token, amount);
    }

    /// @dev Moves tokens of the caller here, all of them.
    function _pull(IERC20 token, uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 balance = token.balanceOf(address(this));
        uint256 found = balance < before ? 0 : balance - before;
        if (found != amount) revert Subscription_NotReceived(address(token), amount, found);
    }

    function _checkToken(address token) private view {
        if (!_escrow.isTokenAllowed(token)) revert Subscription_TokenNotAllowed(token);
    }

    function _load(SubscriptionTerms calldata terms) private view returns (bytes32 id, SubscriptionState memory state) {
        id = SubscriptionTypes.hashTerms(terms);
        state = _states[id];
        if (state.phase == Phase.None || state.phase == Phase.Ended) revert Subscription_WrongPhase(id, state.phase);
    }

    function _checkTerms(SubscriptionTerms calldata terms) private view {
        bytes32 offerId = SubscriptionTypes.hashOfferOf(terms);
        if (!_offers[offerId]) revert Subscription_OfferNotOpen(offerId);
        _checkToken(terms.token);
        address anchor = _directory.addressOf(ANCHOR);
        if (anchor == address(0) || terms.anchor != anchor) revert Subscription_UnknownAnchor(anchor, terms.anchor);
        if (!Secp256k1.isPoint(terms.keyX, terms.keyV)) revert Subscription_NotAPoint(terms.keyX, terms.keyV);
        (uint64 erasures, bool authorised) = _consent.consentOf(terms.streamId, terms.purpose, terms.buyer);
        if (terms.erasures != erasures) revert Subscription_WrongErasures(erasures, terms.erasures);
        if (!authorised) revert Subscription_NotAuthorised(terms.streamId, terms.purpose, terms.buyer);
    }

    function _checkTurn(
        bytes32 id,
        SubscriptionTerms calldata terms,
        SubscriptionState memory state,
        uint32 number
    ) private view {
        if (number < state.next) revert Subscription_BatchPast(state.next, number);
        if (state.phase != Phase.Active && number >= state.limit) {
            revert Subscription_BatchOfPause(state.limit, number);
        }
        uint64 nowMs = ProtocolTypes.nowMs();
        uint256 endMs = _startMs(terms, uint256(number) + 1) - 1;
        if (nowMs <= endMs) revert Subscription_BatchNotOver(number, endMs, nowMs);
        if (msg.sender == terms.deliverer) return;
        bool turn = msg.sender == terms.fallbackDeliverer && nowMs > endMs + uint256(terms.deliverSeconds) * 1000;
        if (!turn) revert Subscription_NotYourTurn(id, msg.sender);
    }

    /// @return How many slots are claimed to hold data, after the last of them was shown to.
    function _checkSlots(
        SubscriptionTerms calldata terms,
        BatchKeys calldata keys,
        AnchoredPack calldata last
    ) private view returns (uint256) {
        uint256 size = _sizeOf(terms);
        uint256 slots = keys.slots;
        uint32 slot = last.pack.slot;
        if (slot / size != keys.number) revert Subscription_PackOfOtherSlot(keys.number, slot);
        if (slots >> (slot % size) != 1) revert Subscription_WrongSlots(slots);
        _checkPack(terms, last);
        return _count(slots);
    }

    function _checkPack(SubscriptionTerms calldata terms, AnchoredPack calldata shown) private view {
        Pack calldata pack = shown.pack;
        if (pack.streamId != terms.streamId) revert Subscription_PackOfOtherStream(terms.streamId, pack.streamId);
        if (!IDataAnchor(terms.anchor).verifyPack(shown.epoch, pack, shown.proof)) {
            revert Subscription_PackNotAnchored(pack.streamId, pack.seq);
        }
    }

    /// @dev A pack that the deliverer of the batch answers for.
    function _checkJudged(
        SubscriptionTerms calldata terms,
        Batch calldata batch,
        AnchoredPack calldata shown
    ) private view {
        if (shown.pack.slot / _sizeOf(terms) != batch.number) {
            revert Subscription_PackOfOtherSlot(batch.number, shown.pack.slot);
        }
        if (shown.epoch.number > batch.asOfEpoch) {
            revert Subscription_EpochTooLate(batch.asOfEpoch, shown.epoch.number);
        }
        _checkPack(terms, shown);
    }

    function _checkBatch(bytes32 id, Batch calldata batch) private view returns (bytes32 batchId) {
        batchId = batchIdOf(id, batch.number);
        bytes32 word = _words[batchId];
        if (word == 0 || word != keccak256(abi.encode(batch))) {
            revert Subscription_WrongBatch(id, batch.number, word);
        }
    }

    /// @dev Whether what is subscribed to may not be had any more.
    function _isGone(SubscriptionTerms calldata terms) private view returns (bool, End) {
        (uint64 erasures, bool authorised) = _consent.consentOf(terms.streamId, terms.purpose, terms.buyer);
        if (erasures > terms.erasures) return (true, End.Erased);
        return (!authorised, End.ConsentGone);
    }

    /// @dev Held or ending: whether a batch that was over then is not delivered, and there is time for it.
    function _mayBeOnTheWay(
        SubscriptionTerms calldata terms,
        SubscriptionState memory state
    ) private view returns (bool) {
        return state.limit > state.next && !_closed(state, 2 * uint256(terms.deliverSeconds));
    }

    function _closed(SubscriptionState memory state, uint256 windowSeconds) private view returns (bool) {
        return Window.isClosed(uint256(state.at) * 1000, state.atBlock, windowSeconds);
    }

    function _sizeOf(SubscriptionTerms calldata terms) private pure returns (uint256) {
        return uint256(1) << (DEPTH - terms.depth);
    }

    function _batchMs(SubscriptionTerms calldata terms) private pure returns (uint256) {
        return _sizeOf(terms) * terms.slotSeconds * 1000;
    }

    /// @dev Unix milliseconds.
    function _startMs(SubscriptionTerms calldata terms, uint256 number) private pure returns (uint256) {
        return number * _batchMs(terms);
    }

    /// @dev What a batch costs if every slot of it holds data.
    function _batchPrice(SubscriptionTerms calldata terms) private pure returns (uint256) {
        return uint256(terms.slotPrice) * _sizeOf(terms);
    }

    function _priceOf(SubscriptionTerms calldata terms, Batch calldata batch) private pure returns (uint256) {
        return _count(batch.slots) * terms.slotPrice;
    }

    function _count(uint256 slots) private pure returns (uint256 count) {
        for (; slots != 0; slots &= slots - 1) ++count;
    }

    /// @dev `previous` of a header whose digest is that of an anchored pack, so that its form is known:
    /// CBOR[1, streamId, keyEpoch, bootEpoch, seq, flags, previous, …].
    function _previousOf(bytes calldata header) private pure returns (bytes32) {
        uint256 at = 36;
        for (uint256 i = 0; i < 4; ++i) {
            uint8 info = uint8(header[at]) & 0x1f;
            at += info < 24 ? 1 : 1 + (1 << (info - 24));
        }
        return bytes32(header[at + 2:at + 34]);
    }
}
