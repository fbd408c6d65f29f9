// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";

import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {IDataAnchor} from "./IDataAnchor.sol";
import {Config, Epoch, Pack} from "./ProtocolTypes.sol";

contract DataAnchorTest is Fixture {
    function setUp() external {
        deployAll();
        anchorNext("first", 1);
        pass(1);
    }

    function test_anchor_whenFirst_itBeginsTheLine() external view {
        Epoch memory first = lastEpoch;
        assertEq(first.number, 1, "number");
        assertEq(first.prev, 0, "prev");
        assertEq(anchor.epochHash(1), hashEpoch(first), "hash");
        (uint64 number, uint64 closedAt, uint64 stateBlock, bytes32 hash) = anchor.latest();
        assertEq(number, 1, "latest");
        assertEq(closedAt, first.closedAt, "closedAt");
        assertEq(stateBlock, first.stateBlock, "stateBlock");
        assertEq(hash, hashEpoch(first), "latest hash");
        assertEq(anchor.firstNumber(), 1, "first");
    }

    function test_anchor_whenNext_itExtendsTheLine() external {
        Epoch memory e = nextEpoch("second", 16_384);
        bytes memory s = committeeSignatures(e);
        vm.expectEmit(address(anchor));
        emit IDataAnchor.Anchored(2, hashEpoch(e), 16_384, e.readings);
        anchor.anchor(e, s);
        assertEq(anchor.epochHash(2), hashEpoch(e), "hash");
        assertEq(anchor.epochHash(3), 0, "not yet");
        assertEq(anchor.epochHash(0), 0, "never");
    }

    function test_anchor_whenTheSameAgain_itReturnsQuietly() external {
        Epoch memory first = lastEpoch;
        anchorNext("second", 1);
        anchorNext("third", 1);
        vm.recordLogs();
        anchor.anchor(first, "");
        anchor.anchor(lastEpoch, "");
        assertEq(vm.getRecordedLogs().length, 0, "no event");
        (uint64 number, , , ) = anchor.latest();
        assertEq(number, 3, "latest");
    }

    function test_anchor_whenTheNumberIsTaken_itReverts() external {
        Epoch memory e = lastEpoch;
        bytes32 before = hashEpoch(e);
        e.root = "another";
        bytes memory s = committeeSignatures(e);
        vm.expectRevert(
            abi.encodeWithSelector(IDataAnchor.DataAnchor_NumberTaken.selector, uint64(1), before, hashEpoch(e))
        );
        anchor.anchor(e, s);
    }

    function test_anchor_whenARuleIsBroken_itReverts() external {
        Epoch memory e = nextEpoch("x", 1);
        e.number = 3;
        _refused(e, IDataAnchor.DataAnchor_WrongNumber.selector);
        e.number = 0;
        _refused(e, IDataAnchor.DataAnchor_WrongNumber.selector);
        e = nextEpoch("x", 1);
        e.prev = 0;
        _refused(e, IDataAnchor.DataAnchor_WrongPrev.selector);
        e = nextEpoch("x", 1);
        e.closedAt = lastEpoch.closedAt;
        _refused(e, IDataAnchor.DataAnchor_ClosedAtNotRising.selector);
        e.closedAt = nowMs() + 120_001;
        _refused(e, IDataAnchor.DataAnchor_ClosedAtInFuture.selector);
        e = nextEpoch("x", 1);
        e.stateBlock = lastEpoch.stateBlock - 1;
        _refused(e, IDataAnchor.DataAnchor_StateBlockFalling.selector);
        e.stateBlock = uint64(block.number);
        _refused(e, IDataAnchor.DataAnchor_StateBlockNotPast.selector);
        e = nextEpoch("x", 0);
        _refused(e, IDataAnchor.DataAnchor_PackCount.selector);
        e = nextEpoch("x", 16_385);
        _refused(e, IDataAnchor.DataAnchor_PackCount.selector);
        e = nextEpoch("x", 1);
        e.configDigest = 0;
        _refused(e, IOracleCommittee.OracleCommittee_NotInForce.selector);
        e = nextEpoch("x", 1);
        (e.closedAt, e.stateBlock) = (nowMs() + 120_000, lastEpoch.stateBlock);
        anchor.anchor(e, committeeSignatures(e));
    }

    function test_anchor_whenTheLineIsThePredecessors_itsStateBlockBinds() external {
        IDataAnchor old = anchor;
        anchor = IDataAnchor(create("DataAnchor", abi.encode(committee, old)));
        Epoch memory e = nextEpoch("x", 1);
        e.stateBlock = lastEpoch.stateBlock - 1;
        _refused(e, IDataAnchor.DataAnchor_StateBlockFalling.selector);
        e.stateBlock = lastEpoch.stateBlock;
        anchor.anchor(e, committeeSignatures(e));
    }

    function test_anchor_whenSignaturesAreOfAnotherDomainOrEpoch_itReverts() external {
        Epoch memory e = nextEpoch("x", 1);
        bytes32 digest = typed("DataAnchor", address(escrow), hashEpoch(e));
        bytes memory s = membersSignatures(digest, 3);
        vm.expectRevert();
        anchor.anchor(e, s);
        s = committeeSignatures(e);
        e.readings += 1;
        vm.expectRevert();
        anchor.anchor(e, s);
    }

    function test_anchor_whenTheCommitteeChanges_eachEpochIsItsOwns() external {
        uint256[] memory keys = _sortedKeys(7, 0x7000);
        committee.setConfig(config(keys, 3));
        anchorNext("second", 1);
        Epoch memory e = nextEpoch("third", 1);
        bytes memory old = committeeSignatures(e);
        vm.expectPartialRevert(IOracleCommittee.OracleCommittee_SignaturesLength.selector);
        anchor.anchor(e, old);
        e.configDigest = committee.configDigestAt(2);
        old = committeeSignatures(e);
        vm.expectPartialRevert(IOracleCommittee.OracleCommittee_NotInForce.selector);
        anchor.anchor(e, old);
        memberKeys = keys;
        anchorNext("third", 1);
    }

    function test_anchorMany_itCatchesUpAndPassesOverTheKnown() external {
        (Epoch[] memory next, bytes[] memory s) = _line(4);
        anchor.anchor(next[0], s[0]);
        vm.recordLogs();
        anchor.anchorMany(next, s);
        assertEq(vm.getRecordedLogs().length, 3, "three new ones");
        anchor.anchorMany(next, s);
        (uint64 number, , , bytes32 hash) = anchor.latest();
        assertEq(number, 5, "latest");
        assertEq(hash, hashEpoch(next[3]), "hash");
    }

    function test_anchorMany_whenOneIsWrong_noneEnters() external {
        (Epoch[] memory next, bytes[] memory s) = _line(3);
        next[2].root = "other";
        vm.expectRevert();
        anchor.anchorMany(next, s);
        assertEq(anchor.epochHash(2), 0, "none");
        vm.expectRevert(abi.encodeWithSelector(IDataAnchor.DataAnchor_LengthMismatch.selector, 3, 2));
        anchor.anchorMany(next, new bytes[](2));
    }

    function testFuzz_anchor_anyBitMatters(uint256 field, uint64 value) external {
        Epoch memory e = nextEpoch("x", 1);
        bytes memory s = committeeSignatures(e);
        bytes32 before = hashEpoch(e);
        field %= 11;
        if (field == 0) e.number = value;
        if (field == 1) e.prev = bytes32(uint256(value));
        if (field == 2) e.root = bytes32(uint256(value));
        if (field == 3) e.packs = uint32(value);
        if (field == 4) e.readings = value;
        if (field == 5) e.fromMs = value;
        if (field == 6) e.toMs = value;
        if (field == 7) e.closedAt = value;
        if (field == 8) e.stateBlock = value;
        if (field == 9) e.manifest = bytes32(uint256(value));
        if (field == 10) e.configDigest = bytes32(uint256(value));
        vm.assume(hashEpoch(e) != before);
        vm.expectRevert();
        anchor.anchor(e, s);
    }

    /* a new anchor */

    function test_predecessor_theLineGoesOn() external {
        Epoch memory first = lastEpoch;
        IDataAnchor old = anchor;
        anchor = IDataAnchor(create("DataAnchor", abi.encode(committee, old)));
        assertEq(anchor.epochHash(1), hashEpoch(first), "asks the predecessor");
        (uint64 number, , , ) = anchor.latest();
        assertEq(number, 1, "and for the latest");
        assertEq(anchor.firstNumber(), 0, "none of its own");
        // the predecessor may still go on until the first epoch here
        IDataAnchor successor = anchor;
        anchor = old;
        Epoch memory second = anchorNext("second", 1);
        anchor = successor;
        anchorNext("third", 1);
        assertEq(anchor.firstNumber(), 3, "first");
        assertEq(anchor.epochHash(2), old.epochHash(2), "older");
        assertEq(anchor.epochHash(3), hashEpoch(lastEpoch), "own");
        Epoch memory third = lastEpoch;
        // what the old one does now is not this line's
        anchor = old;
        Epoch memory fork = nextEpoch("fork", 1);
        anchor.anchor(fork, committeeSignatures(fork));
        assertEq(successor.epochHash(3), hashEpoch(third), "not the fork");
        assertTrue(old.epochHash(3) != hashEpoch(third), "a fork");
        // a used number of the predecessor is used here too
        anchor = successor;
        first.root = "another";
        vm.expectPartialRevert(IDataAnchor.DataAnchor_NumberTaken.selector);
        successor.anchor(first, "");
    }

    function test_predecessor_whenItsLastEpochComesAgain_itReturnsQuietly() external {
        Epoch memory first = lastEpoch;
        anchor = IDataAnchor(create("DataAnchor", abi.encode(committee, anchor)));
        anchor.anchor(first, "");
        assertEq(anchor.firstNumber(), 0, "nothing is anchored twice");
        Epoch memory later = nextEpoch("later", 1);
        later.number += 1;
        bytes memory s = committeeSignatures(later);
        vm.expectRevert(
            abi.encodeWithSelector(IDataAnchor.DataAnchor_WrongNumber.selector, first.number + 1, later.number)
        );
        anchor.anchor(later, s);
    }

    /* proofs */

    function testFuzz_verifyPack(uint8 n, uint8 which, bytes32 seed) external {
        bytes32[] memory leaves = new bytes32[](bound(n, 1, 40));
        uint256 i = which % leaves.length;
        Pack memory p = pack(seed, 26, F + 5);
        for (uint256 j = 0; j < leaves.length; ++j) leaves[j] = keccak256(abi.encode(seed, j));
        leaves[i] = hashPack(p);
        Epoch memory e = anchorNext(Merkle.root(leaves), uint32(leaves.length));
        bytes32[] memory proof = Merkle.proof(leaves, i);
        assertTrue(anchor.verifyPack(e, p, proof), "in");
        p.count += 1;
        assertTrue(!anchor.verifyPack(e, p, proof), "another pack");
        p.count -= 1;
        e.readings += 1;
        assertTrue(!anchor.verifyPack(e, p, proof), "another epoch");
    }

    struct Reading {
        bytes32 salt;
        uint32 index;
        bytes record;
        bytes32[] proof;
    }

    function testFuzz_verifyReading(uint8 n, uint8 which, bytes32 packSalt, bytes calldata record) external {
        n = uint8(bound(n, 1, 40));
        Pack memory p = pack("node", 26, F);
        Reading memory r;
        (p.root, r) = _readings(n, which % n, packSalt, record);
        p.count = n;
        Epoch memory e = anchorNext(hashPack(p), 1);
        assertTrue(_in(e, p, r), "in");
        r.index += 1;
        assertTrue(!_in(e, p, r), "another index");
        r.index -= 1;
        r.record = bytes.concat(record, hex"00");
        assertTrue(!_in(e, p, r), "another record");
        r.record = record;
        r.salt = ~r.salt;
        assertTrue(!_in(e, p, r), "another salt");
        r.salt = ~r.salt;
        p.count = r.index;
        assertTrue(!_in(e, p, r), "beyond the count");
        p.count = n;
        p.seq += 1;
        assertTrue(!_in(e, p, r), "a pack that is not in the epoch");
        p.seq -= 1;
        p.root = 0;
        assertTrue(!_in(e, p, r), "another pack");
    }

    function _readings(
        uint256 n,
        uint32 index,
        bytes32 packSalt,
        bytes memory record
    ) private pure returns (bytes32 root, Reading memory r) {
        bytes32[] memory leaves = new bytes32[](n);
        for (uint32 i = 0; i < n; ++i) {
            bytes32 salt = keccak256(bytes.concat(keccak256("msec.salt"), packSalt, bytes4(i)));
            bytes memory content = i == index ? record : abi.encodePacked(i);
            leaves[i] = keccak256(bytes.concat(keccak256("msec.reading"), salt, bytes4(i), content));
            if (i == index) r.salt = salt;
        }
        (r.index, r.record, r.proof) = (index, record, Merkle.proof(leaves, index));
        root = Merkle.root(leaves);
    }

    function _in(Epoch memory e, Pack memory p, Reading memory r) private view returns (bool) {
        return anchor.verifyReading(e, p, new bytes32[](0), r.salt, r.index, r.record, r.proof);
    }

    function test_verifyReading_whenTheTreeHoldsMoreThanThePackSays_itIsNotIn() external {
        Pack memory p = pack("node", 26, F);
        Reading memory r;
        (p.root, r) = _readings(3, 2, "salt", "record");
        p.count = 2;
        Epoch memory e = anchorNext(hashPack(p), 1);
        assertTrue(!_in(e, p, r), "the third of two");
    }

    function testFuzz_verifyHeader(bytes calldata header, uint128 key) external view {
        _verifyHeader(header, bound(key, 1, type(uint128).max));
    }

    function test_verifyHeader_everyLengthForm() external {
        uint16[7] memory lengths = [0, 23, 24, 255, 256, 300, 65_535];
        for (uint256 i = 0; i < lengths.length; ++i) _verifyHeader(new bytes(lengths[i]), 7);
        vm.expectRevert(abi.encodeWithSelector(IDataAnchor.DataAnchor_HeaderTooLong.selector, 65_536));
        anchor.verifyHeader(new bytes(65_536), "", "");
    }

    /// @dev The file that packages/core is held to: cases 2 and 3 are signed, 0 and 1 say what was signed.
    function test_verifyHeader_judgesAsTheProtocolLibraryDoes() external view {
        string memory json = vm.readFile("packages/core/vectors/header.json");
        for (uint256 i = 2; i < 4; ++i) {
            bytes memory header = _bytes(json, i, ".in.header");
            bytes memory key = _bytes(json, i, ".in.spki");
            bytes memory signature = _bytes(json, i, ".in.signature");
            (bytes32 digest, bytes32 hash, bool valid) = anchor.verifyHeader(header, key, signature);
            assertEq(digest, bytes32(_bytes(json, i, ".out.headerDigest")), "digest");
            assertEq(digest, bytes32(_bytes(json, i - 2, ".out.headerDigest")), "of what was signed");
            assertEq(hash, bytes32(_bytes(json, i, ".out.keyHash")), "key");
            assertTrue(valid, "signature");
            (, , valid) = anchor.verifyHeader(header, _bytes(json, 5 - i, ".in.spki"), signature);
            assertTrue(!valid, "of the other key");
            signature[7] ^= 0x01;
            (, , valid) = anchor.verifyHeader(header, key, signature);
            assertTrue(!valid, "changed");
        }
    }

    function _bytes(string memory json, uint256 i, string memory field) private pure returns (bytes memory) {
        return vm.parseJsonBytes(json, string.concat("$.cases[", vm.toString(i), "]", field));
    }

    function test_gas_anchor() external {
        Epoch memory e = nextEpoch(keccak256("second"), 1000);
        e.manifest = keccak256("a digest");
        bytes memory data = abi.encodeCall(anchor.anchor, (e, committeeSignatures(e)));
        uint256 gas = transactionGas(address(anchor), data);
        vm.snapshotValue("DataAnchor", "anchor, 3 signatures", gas);
        assertTrue(gas <= 80_000, "gas of an epoch");
    }

    function _verifyHeader(bytes memory header, uint256 key) private view {
        bytes memory length =
            header.length < 24
                ? abi.encodePacked(uint8(0x40 + header.length))
                : header.length < 256
                    ? abi.encodePacked(uint8(0x58), uint8(header.length))
                    : abi.encodePacked(uint8(0x59), uint16(header.length));
        bytes memory protected = bytes.concat(hex"a2", hex"0126", hex"04", hex"5820", keyHash(key));
        bytes memory structure = bytes.concat(
            hex"84",
            hex"6a",
            "Signature1",
            hex"5826",
            protected,
            hex"40",
            length,
            header
        );
        (bytes32 r, bytes32 s) = vm.signP256(key, sha256(structure));
        bytes memory signature = abi.encodePacked(r, s);
        (bytes32 digest, bytes32 hash, bool valid) = anchor.verifyHeader(header, spki(key), signature);
        assertEq(digest, sha256(structure), "digest");
        assertEq(hash, keyHash(key), "key");
        assertTrue(valid, "valid");
        (, , valid) = anchor.verifyHeader(header, spki(key), abi.encodePacked(r, P256.N - uint256(s)));
        assertTrue(!valid, "high s");
        if (header.length == 65_535) return;
        (, , valid) = anchor.verifyHeader(bytes.concat(header, hex"00"), spki(key), signature);
        assertTrue(!valid, "another header");
    }

    function _line(uint256 n) private view returns (Epoch[] memory next, bytes[] memory s) {
        (next, s) = (new Epoch[](n), new bytes[](n));
        bytes32 prev = hashEpoch(lastEpoch);
        for (uint256 i = 0; i < n; ++i) {
            next[i] = nextEpoch(keccak256(abi.encode(i)), 1);
            (next[i].number, next[i].prev) = (uint64(2 + i), prev);
            next[i].closedAt += uint64(i);
            s[i] = committeeSignatures(next[i]);
            prev = hashEpoch(next[i]);
        }
    }

    function _refused(Epoch memory e, bytes4 selector) private {
        bytes memory s = committeeSignatures(e);
        vm.expectPartialRevert(selector);
        anchor.anchor(e, s);
    }
}

/// @dev Anchors, repeats, forks and changes committees at random; keeps what was anchored first.
contract AnchorHandler is Fixture {
    mapping(uint64 number => bytes32) private _seen;
    mapping(uint64 number => Epoch) private _epochs;
    uint64 public highest;
    uint64 public closedAt;
    uint256 private _seed = 0x9000;

    constructor() {
        deployAll();
    }

    function next(bytes32 root, uint16 packs, uint8 secs) external {
        pass(1 + uint256(secs));
        _keep(anchorNext(root, uint32(bound(packs, 1, 16_384))));
    }

    function many(uint8 n) external {
        pass(1);
        Epoch memory before = lastEpoch;
        uint256 k = 1 + (n % 3);
        (Epoch[] memory line, bytes[] memory s) = (new Epoch[](k), new bytes[](k));
        for (uint256 i = 0; i < k; ++i) {
            line[i] = nextEpoch(keccak256(abi.encode(i)), 1);
            line[i].number = highest + 1 + uint64(i);
            line[i].prev = i == 0 ? (highest == 0 ? bytes32(0) : hashEpoch(before)) : hashEpoch(line[i - 1]);
            line[i].closedAt += uint64(i);
            line[i].configDigest = committee.configDigestAt(line[i].number);
            s[i] = _sign(line[i]);
        }
        anchor.anchorMany(line, s);
        for (uint256 i = 0; i < k; ++i) _keep(line[i]);
        lastEpoch = line[k - 1];
    }

    function again(uint64 which) external {
        if (highest == 0) return;
        Epoch memory e = _epochs[uint64(bound(which, 1, highest))];
        anchor.anchor(e, "");
    }

    function fork(uint64 which, bytes32 root) external {
        if (highest == 0) return;
        Epoch memory e = _epochs[uint64(bound(which, 1, highest))];
        if (e.root == root) return;
        e.root = root;
        bytes memory s = committeeSignatures(e);
        vm.expectPartialRevert(IDataAnchor.DataAnchor_NumberTaken.selector);
        anchor.anchor(e, s);
    }

    function skip(uint8 by) external {
        Epoch memory e = nextEpoch("skip", 1);
        e.number += 1 + uint64(by);
        bytes memory s = "";
        vm.expectPartialRevert(IDataAnchor.DataAnchor_WrongNumber.selector);
        anchor.anchor(e, s);
    }

    function check() external view {
        (uint64 number, uint64 at_, uint64 stateBlock, bytes32 hash) = anchor.latest();
        assertEq(number, highest, "latest");
        assertEq(at_, closedAt, "closedAt");
        assertEq(stateBlock, _epochs[highest].stateBlock, "stateBlock");
        assertEq(hash, _seen[highest], "latest hash");
        assertEq(anchor.epochHash(number + 1), 0, "nothing beyond");
        for (uint64 n = 1; n <= number; ++n) {
            assertTrue(_seen[n] != 0, "no hole");
            assertEq(anchor.epochHash(n), _seen[n], "a digest never changes");
            if (n > 1) {
                assertEq(_epochs[n].prev, _seen[n - 1], "one line");
                assertTrue(_epochs[n].closedAt > _epochs[n - 1].closedAt, "closedAt only rises");
            }
        }
    }

    function _sign(Epoch memory e) private view returns (bytes memory) {
        return committeeSignatures(e);
    }

    function _keep(Epoch memory e) private {
        assertEq(e.number, highest + 1, "one more");
        (highest, closedAt) = (e.number, e.closedAt);
        _seen[e.number] = hashEpoch(e);
        _epochs[e.number] = e;
    }
}

contract DataAnchorInvariants is Fixture {
    AnchorHandler private _handler;

    function setUp() external {
        _handler = new AnchorHandler();
        targetContract(address(_handler));
    }

    function invariant_numbersHaveNoHoleAndDigestsNeverChange() external view {
        _handler.check();
    }
}
