// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Secp256k1} from "../market/Secp256k1.sol";
import {Curve} from "../test/Curve.t.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {KeyTree} from "./KeyTree.sol";
import {Config, Deal, Enrol, Epoch, Facts, Pack, ProtocolTypes, Stream} from "./ProtocolTypes.sol";

/// @dev Type strings copied from PROTOCOL.md, hashed by the test runner's own EIP-712 code.
contract ProtocolTypesTest is Fixture {
    string private constant STREAM =
        "Stream(bytes32 deviceId,uint32 ownerEpoch,bytes32 nameHash,bytes32 schemaHash,uint32 slotSeconds,uint8 mode,bytes32 salt)";
    string private constant PACK =
        "Pack(bytes32 streamId,uint32 keyEpoch,uint64 seq,bytes32 headerDigest,bytes32 root,uint32 count,uint64 fromMs,uint64 toMs,uint32 slot,bytes32 keyCommitment,bytes32 contentDigest)";
    string private constant EPOCH =
        "Epoch(uint64 number,bytes32 prev,bytes32 root,uint32 packs,uint64 readings,uint64 fromMs,uint64 toMs,uint64 closedAt,uint64 stateBlock,bytes32 manifest,bytes32 configDigest)";
    string private constant CONFIG = "Config(uint16 q,address[] members,bytes32[] organisations,uint64 fromEpoch)";
    string private constant DEAL =
        "Deal(address anchor,bytes32 streamId,address buyer,address seller,address deliverer,address fallbackDeliverer,address token,uint128 price,uint128 fee,uint128 bond,uint64 asOfEpoch,uint32 packs,uint64 readings,uint64 endMs,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint16 nodes,bytes32 keysRoot,bytes32 purpose,uint64 erasures,uint32 deliverSeconds,uint32 complainSeconds,bytes32 nonce)";
    string private constant ENROL =
        "Enrol(bytes32 deviceId,bytes32 ekHash,bytes32 akName,uint8 keyAlg,bytes32 keyHash,address owner,bytes32 organisation,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)";
    string private constant FACTS =
        "Facts(bytes32 provider,uint32 number,uint64 fromEpoch,uint64 toEpoch,uint32 gaps,uint32 late,uint32 equivocations,uint32 attestations,uint32 intrusions,uint32 disputes,uint32 probes,bytes32 configDigest)";

    function testFuzz_stream(Stream calldata x) external pure {
        assertEq(ProtocolTypes.hashStream(x), vm.eip712HashStruct(STREAM, abi.encode(x)), "Stream");
    }

    function testFuzz_pack(Pack calldata x) external pure {
        assertEq(ProtocolTypes.hashPack(x), vm.eip712HashStruct(PACK, abi.encode(x)), "Pack");
    }

    function testFuzz_epoch(Epoch calldata x) external pure {
        assertEq(ProtocolTypes.hashEpoch(x), vm.eip712HashStruct(EPOCH, abi.encode(x)), "Epoch");
    }

    function testFuzz_deal(Deal calldata x) external pure {
        assertEq(ProtocolTypes.hashDeal(x), vm.eip712HashStruct(DEAL, abi.encode(x)), "Deal");
    }

    function testFuzz_enrol(Enrol calldata x) external pure {
        assertEq(ProtocolTypes.hashEnrol(x), vm.eip712HashStruct(ENROL, abi.encode(x)), "Enrol");
    }

    function testFuzz_facts(Facts calldata x) external pure {
        assertEq(ProtocolTypes.hashFacts(x), vm.eip712HashStruct(FACTS, abi.encode(x)), "Facts");
    }

    function testFuzz_config(Config calldata x) external pure {
        assertEq(ProtocolTypes.hashConfig(x), vm.eip712HashStruct(CONFIG, abi.encode(x)), "Config");
    }

    function testFuzz_keyTree_walksTheSlotsBits(bytes32 node, uint8 depth, uint32 slot) external pure {
        depth = uint8(bound(depth, 0, 32));
        assertEq(KeyTree.leafOf(node, depth, slot), slotKey(node, depth, slot), "leaf");
    }

    function testFuzz_keyTree_aWalkCanBeBroken(bytes32 node, uint8 from, uint8 to, uint32 slot) external pure {
        from = uint8(bound(from, 0, 32));
        to = uint8(bound(to, from, 32));
        bytes32 between = node;
        for (uint8 d = from; d < to; ++d) {
            between = keccak256(abi.encodePacked(uint8((slot >> (31 - d)) & 1), between));
        }
        assertEq(KeyTree.leafOf(between, to, slot), KeyTree.leafOf(node, from, slot), "leaf");
    }

    function testFuzz_secp256k1_isKeyOf(uint256 k, uint256 other) external view {
        k = bound(k, 1, N - 1);
        (uint256 x, uint256 y) = point(k);
        uint8 v = parity(y);
        if (x >= N) return;
        assertTrue(Secp256k1.isPoint(x, v), "point");
        assertTrue(Secp256k1.isKeyOf(k, x, v), "its key");
        assertTrue(!Secp256k1.isKeyOf(N - k, x, v), "the second scalar");
        assertTrue(Secp256k1.isKeyOf(N - k, x, v == 27 ? 28 : 27), "of the other point");
        assertTrue(other == k || !Secp256k1.isKeyOf(other, x, v), "another");
    }

    function testFuzz_secp256k1_isProduct(uint256 k, uint256 e) external view {
        (k, e) = (bound(k, 1, N - 1), bound(e, 1, N - 1));
        (uint256 x, uint256 y) = point(e);
        (uint256 sx, uint256 sy) = point(mulmod(k, e, N));
        (uint256 tx_, uint256 ty) = Curve.multiply(k, x, y);
        assertEq(sx, tx_, "test arithmetic");
        assertEq(sy, ty, "test arithmetic");
        if (x >= N) return;
        assertTrue(Secp256k1.isProduct(k, x, parity(y), sx, sy), "product");
        assertTrue(!Secp256k1.isProduct(k, x, parity(y), sx, Curve.P - sy), "negative");
        assertTrue(!Secp256k1.isProduct(k, x, 29, sx, sy), "v");
    }

    function testFuzz_secp256k1_isPoint(uint256 x, uint8 v) external view {
        bool expected = (v == 27 || v == 28) && x != 0 && x < N && Curve.onCurve(x);
        assertTrue(Secp256k1.isPoint(x, v) == expected, "as on the curve");
        uint8 good = 27 + (v % 2);
        assertTrue(Secp256k1.isPoint(x, good) == (x != 0 && x < N && Curve.onCurve(x)), "as on the curve");
    }
}
