// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Epoch, Pack} from "../data/ProtocolTypes.sol";
import {Curve} from "../test/Curve.t.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Roles} from "../test/Roles.t.sol";
import {
    AnchoredPack,
    Batch,
    BatchKeys,
    EmptySlot,
    ISubscription,
    SubscriptionOffer,
    SubscriptionTerms
} from "./ISubscription.sol";
import {SharedPoint} from "./SharedPoint.sol";
import {SubscriptionTypes} from "./SubscriptionTypes.sol";

/// @dev A subscription to batches of 64 one-minute slots. Five packs are anchored around the first batch: one in the slot
/// before it, three in its slots 0, 5 and 40, one three slots after it. Each header follows the one before.
abstract contract SubscriptionBase is Fixture {
    uint8 internal constant DEPTH = 26;
    uint256 internal constant SIZE = 64;
    uint256 internal constant BATCH_SECONDS = 64 * 60;
    uint256 internal constant B_KEY = 0xB0B5;
    uint96 internal constant DEPOSIT = 1_000_000;

    ISubscription internal subscription;
    SubscriptionTerms internal t;
    bytes32 internal id;
    uint32 internal first;
    Pack[] internal packs;
    bytes[] internal headers;
    bytes32[] internal leaves;
    Epoch internal epoch;
    Batch internal batch;

    function prepare() internal {
        deployAll();
        enrolDevice();
        deploySubscription();
        first = uint32(block.timestamp / BATCH_SECONDS) + 1;
        makePacks(first, nodeSecret(0));
        t = makeTerms(first);
        vm.prank(owner);
        subscription.publish(stream(), offerOf(t));
        give(buyer, 1e12);
        give(deliverer, 1e12);
        give(fallbackDeliverer, 1e12);
    }

    function deploySubscription() internal {
        subscription = ISubscription(create("Subscription", abi.encode(manager, directory, registry, consent, escrow)));
        Roles.apply_(manager, Roles.table(), "Subscription", address(subscription));
    }

    function give(address account, uint256 amount) internal {
        token.mint(account, amount);
        vm.prank(account);
        token.approve(address(subscription), type(uint256).max);
    }

    /// @dev Makes and anchors the five packs around a batch.
    function makePacks(uint32 number, bytes32 node) internal {
        buildPacks(number, node);
        epoch = anchorNext(Merkle.root(leaves), 5);
    }

    function buildPacks(uint32 number, bytes32 node) internal {
        uint32 at = number * uint32(SIZE);
        uint32[5] memory slots = [at - 1, at, at + 5, at + 40, at + 67];
        bytes32 previous;
        delete packs;
        delete headers;
        delete leaves;
        for (uint256 i = 0; i < 5; ++i) {
            Pack memory p = pack(i == 0 || i == 4 ? keccak256("another node") : node, DEPTH, slots[i]);
            bytes memory header = headerOf(p, previous);
            (p.headerDigest, , ) = anchor.verifyHeader(header, spki(DEVICE_KEY), "");
            previous = p.headerDigest;
            packs.push(p);
            headers.push(header);
            leaves.push(hashPack(p));
        }
    }

    /// @dev The fields before `previous` in four sizes of CBOR's uint, then what follows it.
    function headerOf(Pack memory p, bytes32 previous) internal pure returns (bytes memory) {
        return
            bytes.concat(
                hex"8f015820",
                p.streamId,
                hex"0118c81a",
                bytes4(uint32(p.seq) + 1e6),
                hex"00",
                hex"5820",
                previous,
                hex"1b",
                bytes8(p.fromMs)
            );
    }

    function makeTerms(uint32 fromBatch) internal view returns (SubscriptionTerms memory x) {
        x.streamId = hashStream(stream());
        (x.seller, x.deliverer, x.fallbackDeliverer, x.token) = (owner, deliverer, fallbackDeliverer, address(token));
        (x.slotPrice, x.feePerMille, x.bond) = (1000, 50, 7000);
        (x.depth, x.slotSeconds) = (DEPTH, 60);
        (x.deliverSeconds, x.complainSeconds, x.silenceSeconds) = (600, 1200, 20_000);
        x.licence = keccak256("licence");
        (x.anchor, x.buyer) = (address(anchor), buyer);
        uint256 y;
        (x.keyX, y) = point(B_KEY);
        x.keyV = parity(y);
        (x.fromBatch, x.purpose, x.nonce) = (fromBatch, PURPOSE, keccak256("nonce"));
        x.erasures = consent.erasures(x.streamId);
    }

    function offerOf(SubscriptionTerms memory x) internal pure returns (SubscriptionOffer memory o) {
        (o.streamId, o.seller, o.deliverer, o.fallbackDeliverer) = (
            x.streamId,
            x.seller,
            x.deliverer,
            x.fallbackDeliverer
        );
        (o.token, o.slotPrice, o.feePerMille, o.bond) = (x.token, x.slotPrice, x.feePerMille, x.bond);
        (o.depth, o.slotSeconds, o.deliverSeconds) = (x.depth, x.slotSeconds, x.deliverSeconds);
        (o.complainSeconds, o.silenceSeconds, o.licence) = (x.complainSeconds, x.silenceSeconds, x.licence);
    }

    function hashTerms(SubscriptionTerms memory x) internal pure returns (bytes32) {
        return keccak256(abi.encode(SubscriptionTypes.TERMS_TYPEHASH, x));
    }

    function hashOfferOf(SubscriptionTerms memory x) internal pure returns (bytes32) {
        return keccak256(abi.encode(SubscriptionTypes.OFFER_TYPEHASH, offerOf(x)));
    }

    function subscribed() internal {
        vm.prank(buyer);
        id = subscription.subscribe(t, DEPOSIT, noPermit());
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(i == 0 ? deliverer : fallbackDeliverer);
            subscription.depositBond(address(token), 100_000);
        }
    }

    /// @dev To the first second after a batch.
    function passBatch(uint32 number) internal {
        uint256 over = (uint256(number) + 1) * BATCH_SECONDS;
        if (over > block.timestamp) pass(over - block.timestamp);
    }

    /* DELIVERIES */

    function bits() internal pure returns (uint256) {
        return 1 | (1 << 5) | (1 << 40);
    }

    function batchId(uint32 number) internal view returns (bytes32) {
        return keccak256(abi.encode(id, number));
    }

    function keysFor(uint32 number, bytes32 node, uint256 slots) internal view returns (BatchKeys memory k) {
        (uint256 ex, uint256 ey) = point(E_KEY);
        (uint256 sx, ) = point(mulmod(E_KEY, B_KEY, N));
        bytes32 mask_ = keccak256(
            abi.encodePacked("msec.kd", block.chainid, address(subscription), batchId(number), uint16(0), sx)
        );
        return BatchKeys(number, slots, ex, parity(ey), node ^ mask_);
    }

    function shown(uint256 i) internal view returns (AnchoredPack memory) {
        return AnchoredPack(packs[i], Merkle.proof(leaves, i), epoch);
    }

    function delivered(address by, BatchKeys memory k, AnchoredPack memory last) internal returns (Batch memory b_) {
        vm.prank(by);
        subscription.deliver(t, k, last);
        return Batch(k.number, by, nowMs(), uint64(block.number), last.epoch.number, k.slots, k.Ex, k.vE, k.masked);
    }

    /// @dev Delivers the first batch once it is over; right or, with another node, wrong.
    function serve(bytes32 node) internal {
        passBatch(first);
        batch = delivered(deliverer, keysFor(first, node, bits()), shown(3));
    }

    function settleOne() internal {
        Batch[] memory list = new Batch[](1);
        list[0] = batch;
        subscription.settle(t, list);
    }

    /* PROOFS */

    function sharedPoint(uint256 key, uint256 e, bytes32 context) internal view returns (SharedPoint memory s) {
        uint256 k = uint256(keccak256(abi.encode("k", key, e, context))) % N;
        (uint256 ex, uint256 ey) = point(e);
        uint256 sy;
        (s.x, sy) = Curve.multiply(key, ex, ey);
        s.v = parity(sy);
        bytes memory statement = bytes.concat(
            abi.encode(keccak256("msec.shared"), context),
            encoded(key),
            encoded(e),
            abi.encode(s.x, s.v)
        );
        s.c = uint256(keccak256(bytes.concat(keccak256(statement), commitments(k, ex, ey)))) % N;
        s.z = addmod(k, mulmod(s.c, key, N), N);
        (s.Px, s.Py) = Curve.multiply(s.z, ex, ey);
        (s.Qx, s.Qy) = Curve.multiply(s.c, s.x, sy);
        s.inverse = inverse(addmod(s.Px, Curve.P - s.Qx, Curve.P));
    }

    function encoded(uint256 scalar) internal view returns (bytes memory) {
        (uint256 x, uint256 y) = point(scalar);
        return abi.encode(x, parity(y));
    }

    function commitments(uint256 k, uint256 ex, uint256 ey) internal view returns (bytes memory) {
        (uint256 ax, uint256 ay) = point(k);
        (uint256 cx, uint256 cy) = Curve.multiply(k, ex, ey);
        return abi.encode(address(uint160(uint256(keccak256(abi.encode(ax, ay))))), cx, cy);
    }

    function inverse(uint256 x) internal view returns (uint256) {
        (, bytes memory result) = address(5).staticcall(
            abi.encodePacked(uint256(32), uint256(32), uint256(32), x, Curve.P - 2, Curve.P)
        );
        return abi.decode(result, (uint256));
    }

    function emptyClaim(uint32 slot, uint256 next) internal view returns (EmptySlot memory c) {
        c.slot = slot;
        c.next = shown(next);
        if (next > 0) c.previous = shown(next - 1);
        c.header = headers[next];
        c.spki = spki(DEVICE_KEY);
    }
}
