// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {IConsent} from "../data/IConsent.sol";
import {IDataAnchor} from "../data/IDataAnchor.sol";
import {KeyTree} from "../data/KeyTree.sol";
import {Deal, Epoch, Pack, ProtocolTypes, Stream} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IArbitration} from "./IArbitration.sol";
import {DealState, Delivery, IEscrow, KeyNode, Status, Unopenable, WrongKey} from "./IEscrow.sol";
import {IPayer} from "./IPayer.sol";
import {PackCipher} from "./PackCipher.sol";
import {Secp256k1} from "./Secp256k1.sol";
import {Window} from "./Window.sol";

/// @title Escrow
/// @dev The guard stands on every function that moves tokens. The others call nothing but views of the contracts that
/// the deal or the deployment pins, and only book.
contract Escrow is IEscrow, AccessManaged, EIP712, Pausable, ReentrancyGuard {
    using SafeERC20 for IERC20;

    /// @inheritdoc IEscrow
    uint8 public constant FALLBACK = 0x80;

    uint8 private constant FUNDED = uint8(DealState.Funded);
    uint8 private constant DELIVERED = uint8(DealState.Delivered);
    uint8 private constant RELEASED = uint8(DealState.Released);
    uint8 private constant REFUNDED = uint8(DealState.Refunded);
    uint8 private constant DISPUTED = uint8(DealState.Disputed);
    uint8 private constant RESOLVED = uint8(DealState.Resolved);

    bytes32 private constant ANCHOR = "DataAnchor";
    bytes32 private constant MARKETPLACE = "Marketplace";
    uint256 private constant MAX_NODES = 48;
    uint256 private constant MAX_JUDGES = 64;

    IDirectory private immutable _directory;
    IDeviceRegistry private immutable _registry;
    IConsent private immutable _consent;
    IArbitration private immutable _arbitration;
    uint256 private immutable _rulingSeconds;

    mapping(bytes32 dealId => bytes32) private _words;
    mapping(address account => mapping(address token => uint256)) private _bonds;
    mapping(address account => mapping(address token => uint256)) private _credits;
    mapping(address token => bool) private _tokens;

    /// @param authority The AccessManager.
    /// @param directory Names the anchor that new deals must pin, and the marketplace that opens them.
    /// @param registry Says who owned a device.
    /// @param consent Says what was erased or is no longer allowed.
    /// @param arbitration_ Rules on complaints of every deal of this escrow; zero: nobody does, and `dispute` reverts.
    constructor(
        address authority,
        IDirectory directory,
        IDeviceRegistry registry,
        IConsent consent,
        IArbitration arbitration_
    ) AccessManaged(authority) EIP712("Escrow", "1") {
        _directory = directory;
        _registry = registry;
        _consent = consent;
        _arbitration = arbitration_;
        // As long again to fetch a ruling as it takes to find one.
        if (address(arbitration_) != address(0)) _rulingSeconds = 2 * uint256(arbitration_.caseSeconds());
    }

    /* DEALS */

    /// @inheritdoc IEscrow
    function open(
        Deal calldata deal,
        Stream calldata stream,
        KeyNode[] calldata nodes
    ) external whenNotPaused nonReentrant returns (bytes32 dealId) {
        (address marketplace, address anchor) = _directory.addressesOf(MARKETPLACE, ANCHOR);
        if (msg.sender != marketplace) revert Escrow_NotMarketplace(marketplace, msg.sender);
        dealId = ProtocolTypes.hashDeal(deal);
        if (_words[dealId] != 0) revert Escrow_DealKnown(dealId);
        _checkStream(deal, stream);
        _checkTerms(deal, anchor);
        if (nodes.length == 0 || nodes.length > MAX_NODES || nodes.length != deal.nodes) {
            revert Escrow_WrongNodeCount(nodes.length, deal.nodes);
        }
        bytes32 keysRoot = _keysRoot(nodes);
        if (keysRoot != deal.keysRoot) revert Escrow_WrongKeysRoot(keysRoot, deal.keysRoot);

        _words[dealId] = keccak256(abi.encode(Status(FUNDED, ProtocolTypes.nowMs(), uint64(block.number), 0)));
        emit DealOpened(dealId, deal.buyer, deal.deliverer, deal, nodes);

        IERC20 token = IERC20(deal.token);
        uint256 before = token.balanceOf(address(this));
        IPayer(msg.sender).pay(token, deal.buyer, deal.price);
        _checkReceived(token, before, deal.price);
    }

    /// @inheritdoc IEscrow
    function deliver(
        Deal calldata deal,
        Status calldata status,
        uint256 Ex,
        uint8 vE,
        bytes32[] calldata masked
    ) external {
        bytes32 dealId = _checkStatus(deal, status, FUNDED);
        if (_closed(status, deal.deliverSeconds)) revert Escrow_WindowClosed(dealId);
        uint8 flag = _role(dealId, deal, status);
        uint64 nowMs = ProtocolTypes.nowMs();
        if (nowMs < deal.endMs) revert Escrow_BeforeEnd(deal.endMs, nowMs);

        (uint64 erasures, bool authorised) = _consent.consentOf(deal.streamId, deal.purpose, deal.buyer);
        if (erasures > deal.erasures) return _refund(dealId, deal, status, Refund.Erased);
        if (!authorised) return _refund(dealId, deal, status, Refund.ConsentGone);

        if (masked.length != deal.nodes) revert Escrow_WrongMaskedCount(deal.nodes, masked.length);
        if (!Secp256k1.isPoint(Ex, vE)) revert Escrow_NotAPoint(Ex, vE);
        _takeBond(msg.sender, deal.token, deal.bond);
        _set(dealId, DELIVERED | flag, keccak256(abi.encode(Ex, vE, masked)));
        emit Delivered(dealId, msg.sender, Ex, vE, masked);
    }

    /// @inheritdoc IEscrow
    function decline(Deal calldata deal, Status calldata status) external {
        bytes32 dealId = _checkStatus(deal, status, FUNDED);
        uint8 flag = _role(dealId, deal, status);
        emit Declined(dealId, msg.sender);
        bool last = deal.fallbackDeliverer == address(0) || deal.fallbackDeliverer == deal.deliverer;
        if (flag == FALLBACK || last) return _refund(dealId, deal, status, Refund.Declined);
        // The clock runs on: declining wins the fallback no time at the buyer's cost.
        _store(dealId, Status(FUNDED | FALLBACK, status.at, status.atBlock, 0));
    }

    /// @inheritdoc IEscrow
    function refund(Deal calldata deal, Status calldata status) external {
        bytes32 dealId = _checkStatus(deal, status, FUNDED);
        if (!_closed(status, deal.deliverSeconds)) revert Escrow_WindowOpen(dealId);
        _refund(dealId, deal, status, Refund.NotDelivered);
    }

    /// @inheritdoc IEscrow
    function release(Deal calldata deal, Status calldata status) external {
        bytes32 dealId = _checkStatus(deal, status, DELIVERED);
        if (!_closed(status, deal.complainSeconds)) revert Escrow_WindowOpen(dealId);
        address deliverer = _delivererOf(deal, status);
        uint128 toSeller = deal.price - deal.fee;
        _credits[deal.seller][deal.token] += toSeller;
        _bonds[deliverer][deal.token] += uint256(deal.bond) + deal.fee;
        _finish(dealId, RELEASED | (status.state & FALLBACK), status.deliveryHash);
        emit Released(dealId, deliverer, toSeller, deal.fee);
    }

    /// @inheritdoc IEscrow
    function proveWrongKey(
        Deal calldata deal,
        Status calldata status,
        Delivery calldata delivery,
        WrongKey calldata claim
    ) external {
        bytes32 dealId = _checkStatus(deal, status, DELIVERED);
        bytes32 deliveryHash = keccak256(abi.encode(delivery.Ex, delivery.vE, delivery.masked));
        if (deliveryHash != status.deliveryHash) revert Escrow_WrongDelivery(status.deliveryHash, deliveryHash);
        Pack calldata pack = claim.pack;
        _checkNode(deal, claim.index, claim.node, claim.nodeProof, pack.slot);
        bytes32 packLeaf = _checkPack(deal, pack, claim.packProof, claim.epoch);

        bytes32 node = _unmask(dealId, delivery, claim);
        bytes32 leaf = KeyTree.leafOf(node, claim.node.depth, pack.slot);
        bytes32 key = KeyTree.packKey(leaf, pack.streamId, pack.keyEpoch, pack.seq);
        if (KeyTree.commitment(key) == pack.keyCommitment) revert Escrow_KeyIsRight(pack.keyCommitment);

        emit WrongKeyProved(dealId, msg.sender, claim.index, packLeaf);
        _refund(dealId, deal, status, Refund.WrongKey);
    }

    /// @inheritdoc IEscrow
    function proveUnopenable(Deal calldata deal, Status calldata status, Unopenable calldata claim) external {
        bytes32 dealId = _checkStatus(deal, status, DELIVERED);
        Pack calldata pack = claim.pack;
        _checkNode(deal, claim.index, claim.node, claim.nodeProof, pack.slot);
        bytes32 packLeaf = _checkPack(deal, pack, claim.packProof, claim.epoch);
        bytes32 commitment = KeyTree.commitment(claim.packKey);
        if (commitment != pack.keyCommitment) revert Escrow_WrongPackKey(pack.keyCommitment, commitment);
        bytes32 digest = sha256(claim.content);
        if (digest != pack.contentDigest) revert Escrow_WrongContent(pack.contentDigest, digest);
        if (PackCipher.opens(claim.packKey, pack, claim.content)) revert Escrow_PackOpens(packLeaf);

        emit UnopenableProved(dealId, msg.sender, packLeaf);
        _refund(dealId, deal, status, Refund.Unopenable);
    }

    /* COMPLAINTS */

    /// @inheritdoc IEscrow
    function dispute(Deal calldata deal, Status calldata status, bytes32 complaint) external nonReentrant {
        if (address(_arbitration) == address(0)) revert Escrow_NoArbitration();
        bytes32 dealId = _checkStatus(deal, status, DELIVERED);
        if (msg.sender != deal.buyer) revert Escrow_NotTheBuyer(deal.buyer, msg.sender);
        if (_closed(status, deal.complainSeconds)) revert Escrow_WindowClosed(dealId);
        uint256 stake = complaintBondOf(deal);
        _set(dealId, DISPUTED | (status.state & FALLBACK), status.deliveryHash);
        emit Disputed(dealId, complaint, stake);
        _pull(IERC20(deal.token), stake);
        // The panel that could be known when the deal was bought: it was delivered deliverSeconds later at most.
        uint64 window = uint64(deal.deliverSeconds) * 1000;
        uint64 asOfMs = window < status.at ? status.at - window : 0;
        _arbitration.open(dealId, [deal.buyer, deal.seller, deal.deliverer, deal.fallbackDeliverer], asOfMs);
    }

    /// @inheritdoc IEscrow
    function resolve(Deal calldata deal, Status calldata status) external {
        bytes32 dealId = _checkStatus(deal, status, DISPUTED);
        uint256 stake = complaintBondOf(deal);
        uint256 toSeller = deal.price - deal.fee;
        uint256 toBuyer;
        bool ruled = !_closed(status, _rulingSeconds);
        if (ruled) {
            (uint16 perMille, address[] memory judges) = _arbitration.ruling(address(this), dealId);
            uint256 n = judges.length;
            if (perMille > 1000 || n > MAX_JUDGES) revert Escrow_RulingMalformed(perMille, n);
            toBuyer = (toSeller * perMille) / 1000;
            toSeller -= toBuyer;
            if (n != 0) {
                uint256 share = stake / n;
                for (uint256 i = 0; i < n; ++i) _credits[judges[i]][deal.token] += share;
                stake -= share * n;
            }
        }
        _credits[deal.buyer][deal.token] += toBuyer + stake;
        _credits[deal.seller][deal.token] += toSeller;
        _bonds[_delivererOf(deal, status)][deal.token] += uint256(deal.bond) + deal.fee;
        _finish(dealId, RESOLVED | (status.state & FALLBACK), status.deliveryHash);
        emit Resolved(dealId, ruled, toBuyer, toSeller);
    }

    /* BALANCES */

    /// @inheritdoc IEscrow
    function depositBond(address token, uint256 amount) external whenNotPaused nonReentrant {
        if (!_tokens[token]) revert Escrow_TokenNotAllowed(token);
        _pull(IERC20(token), amount);
        _bonds[msg.sender][token] += amount;
        emit BondDeposited(msg.sender, token, amount);
    }

    /// @inheritdoc IEscrow
    function withdrawBond(address token, uint256 amount) external nonReentrant {
        _takeBond(msg.sender, token, amount);
        emit BondWithdrawn(msg.sender, token, amount);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /// @inheritdoc IEscrow
    function withdraw(address token) external nonReentrant returns (uint256 amount) {
        amount = _credits[msg.sender][token];
        if (amount == 0) revert Escrow_NothingToWithdraw(msg.sender, token);
        _credits[msg.sender][token] = 0;
        emit Withdrawn(msg.sender, token, amount);
        IERC20(token).safeTransfer(msg.sender, amount);
    }

    /* RESTRICTED */

    /// @inheritdoc IEscrow
    function setToken(address token, bool allowed) external restricted {
        _tokens[token] = allowed;
        emit TokenSet(token, allowed);
    }

    /// @inheritdoc IEscrow
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc IEscrow
    function unpause() external restricted {
        _unpause();
    }

    /* VIEWS */

    /// @inheritdoc IEscrow
    function statusWord(bytes32 dealId) external view returns (bytes32) {
        return _words[dealId];
    }

    /// @inheritdoc IEscrow
    function bondOf(address account, address token) external view returns (uint256) {
        return _bonds[account][token];
    }

    /// @inheritdoc IEscrow
    function creditOf(address account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc IEscrow
    function arbitration() external view returns (address) {
        return address(_arbitration);
    }

    /// @inheritdoc IEscrow
    function rulingSeconds() external view returns (uint256) {
        return _rulingSeconds;
    }

    /// @inheritdoc IEscrow
    function isTokenAllowed(address token) external view returns (bool) {
        return _tokens[token];
    }

    /// @inheritdoc IEscrow
    function dealIdOf(Deal calldata deal) external pure returns (bytes32) {
        return ProtocolTypes.hashDeal(deal);
    }

    /// @inheritdoc IEscrow
    function keysRootOf(KeyNode[] calldata nodes) external pure returns (bytes32) {
        return _keysRoot(nodes);
    }

    /// @inheritdoc IEscrow
    function complaintBondOf(Deal calldata deal) public pure returns (uint256) {
        return (uint256(deal.price) + 9) / 10;
    }

    /* PRIVATE */

    function _takeBond(address account, address token, uint256 amount) private {
        uint256 free = _bonds[account][token];
        if (free < amount) revert Escrow_BondTooSmall(account, free, amount);
        _bonds[account][token] = free - amount;
    }

    /// @dev Moves tokens of the caller here, all of them.
    function _pull(IERC20 token, uint256 amount) private {
        uint256 before = token.balanceOf(address(this));
        token.safeTransferFrom(msg.sender, address(this), amount);
        _checkReceived(token, before, amount);
    }

    function _checkReceived(IERC20 token, uint256 before, uint256 amount) private view {
        uint256 balance = token.balanceOf(address(this));
        uint256 found = balance < before ? 0 : balance - before;
        if (found != amount) revert Escrow_NotFunded(address(token), amount, found);
    }

    function _delivererOf(Deal calldata deal, Status calldata status) private pure returns (address) {
        return status.state & FALLBACK == 0 ? deal.deliverer : deal.fallbackDeliverer;
    }

    /// @dev In Funded and Delivered: the buyer gets the price, and of a delivery proved wrong the bond as well.
    function _refund(bytes32 dealId, Deal calldata deal, Status calldata status, Refund reason) private {
        uint256 amount = deal.price;
        if (reason >= Refund.WrongKey) amount += deal.bond;
        _credits[deal.buyer][deal.token] += amount;
        _finish(dealId, REFUNDED | (status.state & FALLBACK), status.deliveryHash);
        emit Refunded(dealId, reason, amount);
    }

    /// @dev A state that goes on: says what the next caller must supply.
    function _set(bytes32 dealId, uint8 state, bytes32 deliveryHash) private {
        _store(dealId, Status(state, ProtocolTypes.nowMs(), uint64(block.number), deliveryHash));
    }

    function _store(bytes32 dealId, Status memory status) private {
        _words[dealId] = keccak256(abi.encode(status));
        emit StatusChanged(dealId, status);
    }

    /// @dev A finished deal: the word stays for ever, so the deal can't be opened again; nobody supplies it again.
    function _finish(bytes32 dealId, uint8 state, bytes32 deliveryHash) private {
        _words[dealId] = keccak256(abi.encode(state, ProtocolTypes.nowMs(), uint64(block.number), deliveryHash));
    }

    function _checkStatus(
        Deal calldata deal,
        Status calldata status,
        uint8 state
    ) private view returns (bytes32 dealId) {
        dealId = ProtocolTypes.hashDeal(deal);
        bytes32 word = _words[dealId];
        if (word == 0 || word != keccak256(abi.encode(status))) revert Escrow_WrongStatus(dealId, word);
        if (status.state & ~FALLBACK != state) revert Escrow_WrongState(dealId, status.state);
    }

    /// @dev Whether the caller may act in Funded, and as whom: 0 as the deliverer, FALLBACK as the fallback.
    function _role(bytes32 dealId, Deal calldata deal, Status calldata status) private view returns (uint8) {
        bool passed = status.state & FALLBACK != 0;
        if (msg.sender == deal.deliverer && !passed) return 0;
        if (msg.sender == deal.fallbackDeliverer && (passed || _closed(status, deal.deliverSeconds / 2))) {
            return FALLBACK;
        }
        revert Escrow_NotYourTurn(dealId, msg.sender);
    }

    function _closed(Status calldata status, uint256 windowSeconds) private view returns (bool) {
        return Window.isClosed(status.at, status.atBlock, windowSeconds);
    }

    function _checkStream(Deal calldata deal, Stream calldata stream) private view {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        if (streamId != deal.streamId) revert Escrow_WrongStream(streamId, deal.streamId);
        address seller = _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
        if (seller == address(0) || seller != deal.seller) revert Escrow_WrongSeller(seller, deal.seller);
        bool dataset = stream.mode == ProtocolTypes.MODE_DATASET;
        if (deal.fromSlot > deal.toSlot || (dataset && deal.toSlot != 0)) {
            revert Escrow_WrongWindow(deal.fromSlot, deal.toSlot);
        }
        uint256 endMs = ProtocolTypes.endMs(stream, deal.toSlot);
        if (deal.endMs != endMs) revert Escrow_WrongEnd(endMs, deal.endMs);
    }

    function _checkTerms(Deal calldata deal, address anchor) private view {
        if (anchor == address(0) || deal.anchor != anchor) revert Escrow_UnknownAnchor(anchor, deal.anchor);
        if (IDataAnchor(anchor).epochHash(deal.asOfEpoch) == 0) revert Escrow_EpochNotAnchored(deal.asOfEpoch);
        if (!_tokens[deal.token]) revert Escrow_TokenNotAllowed(deal.token);
        if (deal.fee > deal.price) revert Escrow_FeeAbovePrice(deal.price, deal.fee);
        if (deal.deliverSeconds == 0 || deal.complainSeconds == 0) {
            revert Escrow_WindowZero(deal.deliverSeconds, deal.complainSeconds);
        }
        if (deal.buyer == address(0) || deal.deliverer == address(0)) {
            revert Escrow_PartyZero(deal.buyer, deal.deliverer);
        }
        (uint64 erasures, bool authorised) = _consent.consentOf(deal.streamId, deal.purpose, deal.buyer);
        if (deal.erasures != erasures) revert Escrow_WrongErasures(erasures, deal.erasures);
        if (!authorised) revert Escrow_NotAuthorised(deal.streamId, deal.purpose, deal.buyer);
    }

    /// @dev Leaf of keysRoot, and aligned: fromSlot ≤ firstSlot ≤ slot < firstSlot + 2^(32−depth) ≤ toSlot + 1.
    function _checkNode(
        Deal calldata deal,
        uint16 index,
        KeyNode calldata node,
        bytes32[] calldata proof,
        uint32 slot
    ) private pure {
        bytes32 leaf = _nodeLeaf(index, node);
        if (!MerkleProof.verifyCalldata(proof, deal.keysRoot, leaf)) revert Escrow_WrongNode(leaf);
        if (node.depth > 32) revert Escrow_NodeMisplaced(node.depth, node.firstSlot, slot);
        uint64 first = node.firstSlot;
        uint64 size = uint64(1) << (32 - node.depth);
        if (
            first % size != 0 ||
            first < deal.fromSlot ||
            slot < first ||
            slot >= first + size ||
            first + size > uint64(deal.toSlot) + 1
        ) revert Escrow_NodeMisplaced(node.depth, node.firstSlot, slot);
    }

    function _checkPack(
        Deal calldata deal,
        Pack calldata pack,
        bytes32[] calldata proof,
        Epoch calldata epoch
    ) private view returns (bytes32 packLeaf) {
        if (pack.streamId != deal.streamId) revert Escrow_PackOfOtherStream(deal.streamId, pack.streamId);
        if (epoch.number > deal.asOfEpoch) revert Escrow_EpochTooLate(deal.asOfEpoch, epoch.number);
        packLeaf = ProtocolTypes.hashPack(pack);
        if (
            IDataAnchor(deal.anchor).epochHash(epoch.number) != ProtocolTypes.hashEpoch(epoch) ||
            !MerkleProof.verifyCalldata(proof, epoch.root, packLeaf)
        ) revert Escrow_PackNotAnchored(packLeaf);
    }

    function _unmask(
        bytes32 dealId,
        Delivery calldata delivery,
        WrongKey calldata claim
    ) private view returns (bytes32) {
        uint16 index = claim.index;
        if (!Secp256k1.isKeyOf(claim.b, claim.node.x, claim.node.v)) revert Escrow_WrongPrivateKey(index);
        if (!Secp256k1.isProduct(claim.b, delivery.Ex, delivery.vE, claim.Sx, claim.Sy)) {
            revert Escrow_WrongSharedPoint(index);
        }
        bytes32 mask = keccak256(abi.encodePacked("msec.kd", block.chainid, address(this), dealId, index, claim.Sx));
        return delivery.masked[index] ^ mask;
    }

    /// @dev OpenZeppelin's array form: tree[2n−2−i] = leaf i, each parent the hash of its sorted children.
    function _keysRoot(KeyNode[] calldata nodes) private pure returns (bytes32) {
        uint256 n = nodes.length;
        bytes32[] memory tree = new bytes32[](2 * n - 1);
        for (uint256 i = 0; i < n; ++i) {
            tree[2 * n - 2 - i] = _nodeLeaf(uint16(i), nodes[i]);
        }
        for (uint256 i = n - 1; i > 0; --i) {
            tree[i - 1] = Hashes.commutativeKeccak256(tree[2 * i - 1], tree[2 * i]);
        }
        return tree[0];
    }

    function _nodeLeaf(uint16 index, KeyNode calldata node) private pure returns (bytes32) {
        return keccak256(abi.encode(index, node.depth, node.firstSlot, node.x, node.v));
    }
}
