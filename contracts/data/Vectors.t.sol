// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC5267} from "@openzeppelin/contracts/interfaces/IERC5267.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Delivery, KeyNode, Status} from "../market/IEscrow.sol";
import {Offer, Orders, Request} from "../market/Orders.sol";
import {ISubscription} from "../market/ISubscription.sol";
import {Secp256k1} from "../market/Secp256k1.sol";
import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Roles} from "../test/Roles.t.sol";
import {IDataAnchor} from "./IDataAnchor.sol";
import {KeyTree} from "./KeyTree.sol";
import {Config, Deal, Enrol, Epoch, Facts, Pack, ProtocolTypes, Stream} from "./ProtocolTypes.sol";

/// @dev The contracts, and what these tests compute beside them, held to the vectors that packages/core is held to. The other
/// files of vectors are read where their contract is tested: header, signature, cipher, subscription.
abstract contract VectorsBase is Fixture {
    string internal json;

    function read(string memory name) internal {
        json = vm.readFile(string.concat("packages/core/vectors/", name, ".json"));
    }

    /// @return Whether there is a case of this number.
    function has(uint256 i) internal view returns (bool) {
        return vm.keyExistsJson(json, inCase("", i));
    }

    function inCase(string memory path, uint256 i) internal pure returns (string memory) {
        return string.concat("$.cases[", vm.toString(i), "]", path);
    }

    function element(string memory path, uint256 i) internal pure returns (string memory) {
        return string.concat(path, "[", vm.toString(i), "]");
    }

    function isRefused(uint256 i) internal view returns (bool) {
        return vm.keyExistsJson(json, inCase(".out.refused", i));
    }

    function isA(uint256 i, string memory operation) internal view returns (bool) {
        return same(vm.parseJsonString(json, inCase(".operation", i)), operation);
    }

    function same(string memory x, string memory y) internal pure returns (bool) {
        return keccak256(bytes(x)) == keccak256(bytes(y));
    }

    function word32(string memory path) internal view returns (bytes32) {
        return vm.parseJsonBytes32(json, path);
    }

    function number(string memory path) internal view returns (uint256) {
        return vm.parseJsonUint(json, path);
    }

    function array32(string memory path) internal view returns (bytes32[] memory) {
        if (!vm.keyExistsJson(json, element(path, 0))) return new bytes32[](0);
        return vm.parseJsonBytes32Array(json, path);
    }

    function packAt(string memory path) internal view returns (Pack memory p) {
        p.streamId = word32(string.concat(path, ".streamId"));
        p.keyEpoch = uint32(number(string.concat(path, ".keyEpoch")));
        p.seq = uint64(number(string.concat(path, ".seq")));
        p.headerDigest = word32(string.concat(path, ".headerDigest"));
        p.root = word32(string.concat(path, ".root"));
        p.count = uint32(number(string.concat(path, ".count")));
        p.fromMs = uint64(number(string.concat(path, ".fromMs")));
        p.toMs = uint64(number(string.concat(path, ".toMs")));
        p.slot = uint32(number(string.concat(path, ".slot")));
        p.keyCommitment = word32(string.concat(path, ".keyCommitment"));
        p.contentDigest = word32(string.concat(path, ".contentDigest"));
    }

    function configAt(string memory path) internal view returns (Config memory c) {
        c.q = uint16(number(string.concat(path, ".q")));
        c.members = vm.parseJsonAddressArray(json, string.concat(path, ".members"));
        c.organisations = array32(string.concat(path, ".organisations"));
        c.fromEpoch = uint64(number(string.concat(path, ".fromEpoch")));
    }
}

contract VectorsTest is VectorsBase {
    function setUp() external {
        deployAll();
        enrolDevice();
        assertEq(block.chainid, 31_337, "the chain of the vectors");
    }

    function test_keyTree_isTheVectors() external {
        read("keytree");
        uint256 found;
        for (uint256 i = 0; has(i); ++i) {
            if (isRefused(i) || !isA(i, "packKey")) continue;
            Pack memory p;
            bytes32 seed = word32(inCase(".in.seed", i));
            (p.streamId, p.slot) = (word32(inCase(".in.streamId", i)), uint32(number(inCase(".in.slot", i))));
            (p.keyEpoch, p.seq) = (uint32(number(inCase(".in.keyEpoch", i))), uint64(number(inCase(".in.seq", i))));
            bytes32 leaf = KeyTree.leafOf(seed, 0, p.slot);
            assertEq(leaf, word32(inCase(".out.leaf", i)), "leaf");
            bytes32 key = KeyTree.packKey(leaf, p.streamId, p.keyEpoch, p.seq);
            assertEq(key, word32(inCase(".out.packKey", i)), "key of the pack");
            assertEq(key, packKey(seed, 0, p), "as these tests compute it");
            assertEq(KeyTree.commitment(key), word32(inCase(".out.keyCommitment", i)), "commitment");
            ++found;
        }
        assertEq(found, 5, "slots");
    }

    function test_keyTree_whenFromANodeBetween_itIsTheVectors() external {
        read("keytree");
        for (uint256 i = 0; has(i); ++i) {
            if (!isA(i, "nodes")) continue;
            bytes32 seed = word32(inCase(".in.seed", i));
            bytes32[] memory keys = array32(inCase(".out.keys", i));
            for (uint256 k = 0; k < keys.length; ++k) {
                string memory place = element(inCase(".in.places", i), k);
                (uint8 depth, uint32 slot) = (uint8(number(element(place, 0))), uint32(number(element(place, 1))));
                assertEq(KeyTree.leafOf(keys[k], depth, slot), KeyTree.leafOf(seed, 0, slot), "the same leaf");
            }
            assertEq(keys.length, 5, "places");
            return;
        }
        revert("no nodes");
    }

    function test_merkle_rootsAndProofsAreTheVectors() external {
        read("merkle");
        uint256 found;
        for (uint256 i = 0; has(i); ++i) {
            bytes32[] memory leaves = array32(inCase(".in.leaves", i));
            bytes32 root = word32(inCase(".out.root", i));
            assertEq(Merkle.root(leaves), root, "as these tests compute it");
            for (uint256 k = 0; k < leaves.length; ++k) {
                bytes32[] memory proof = array32(element(inCase(".out.proofs", i), k));
                assertTrue(MerkleProof.verify(proof, root, leaves[k]), "proved as the contracts do");
                assertEq(keccak256(abi.encode(Merkle.proof(leaves, k))), keccak256(abi.encode(proof)), "proof");
            }
            ++found;
        }
        assertEq(found, 12, "trees");
    }

    /// @dev A whole delivery: keysRoot and deliveryHash by the deployed escrow, points, masks and keys by what it computes with.
    function test_delivery_isTheVectors() external {
        read("delivery");
        anchorNext("root", 1);
        uint256 found;
        for (uint256 i = 0; has(i); ++i) {
            if (isRefused(i)) continue;
            KeyNode[] memory list = _nodes(i);
            assertEq(escrow.keysRootOf(list), word32(inCase(".out.keysRoot", i)), "keysRoot");
            _checkKeys(i, list);
            _checkWitness(i, list);
            _checkDelivered(i, list);
            ++found;
        }
        assertEq(found, 3, "deliveries");
    }

    function _nodes(uint256 i) private view returns (KeyNode[] memory list) {
        string memory path = inCase(".out.nodes", i);
        uint256 n;
        while (vm.keyExistsJson(json, element(path, n))) ++n;
        list = new KeyNode[](n);
        for (uint256 k = 0; k < n; ++k) {
            string memory node = element(path, k);
            list[k] = KeyNode({
                depth: uint8(number(string.concat(node, ".depth"))),
                firstSlot: uint32(number(string.concat(node, ".firstSlot"))),
                x: number(string.concat(node, ".x")),
                v: uint8(number(string.concat(node, ".v")))
            });
        }
        bytes32[] memory leaves = nodeLeaves(list);
        for (uint256 k = 0; k < n; ++k) {
            assertEq(leaves[k], word32(string.concat(element(path, k), ".leaf")), "leaf of a node");
            assertTrue(Secp256k1.isPoint(list[k].x, list[k].v), "point");
        }
    }

    function _checkKeys(uint256 i, KeyNode[] memory list) private view {
        bytes32 seed = word32(inCase(".in.seed", i));
        bytes32[] memory keys = array32(inCase(".out.unmasked", i));
        assertEq(keys.length, list.length, "a key for each node");
        for (uint256 k = 0; k < keys.length; ++k) {
            uint32 last = list[k].firstSlot + (uint32(1) << (32 - list[k].depth)) - 1;
            assertEq(KeyTree.leafOf(keys[k], list[k].depth, last), KeyTree.leafOf(seed, 0, last), "key of a node");
        }
    }

    function _checkWitness(uint256 i, KeyNode[] memory list) private view {
        uint16 index = uint16(number(inCase(".out.witness.i", i)));
        uint256 scalar = number(inCase(".out.witness.b", i));
        uint256 sx = number(inCase(".out.witness.S.x", i));
        assertTrue(Secp256k1.isKeyOf(scalar, list[index].x, list[index].v), "the buyer's key");
        assertTrue(
            Secp256k1.isProduct(
                scalar,
                number(inCase(".out.E.x", i)),
                uint8(number(inCase(".out.E.v", i))),
                sx,
                number(inCase(".out.witness.S.y", i))
            ),
            "the shared point"
        );
        bytes32 leaf = nodeLeaves(list)[index];
        assertTrue(
            MerkleProof.verify(array32(inCase(".out.witness.path", i)), word32(inCase(".out.keysRoot", i)), leaf),
            "path"
        );
        bytes32 mask_ = maskOf(
            number(inCase(".in.context.chainId", i)),
            vm.parseJsonAddress(json, inCase(".in.context.escrow", i)),
            word32(inCase(".in.context.dealId", i)),
            index,
            sx
        );
        bytes32 masked = array32(inCase(".out.masked", i))[index];
        assertEq(masked ^ mask_, array32(inCase(".out.unmasked", i))[index], "mask");
    }

    function _checkDelivered(uint256 i, KeyNode[] memory list) private {
        Deal memory d = deal(list);
        d.nonce = bytes32(i);
        Status memory s = openDeal(d, list);
        depositBond(deliverer, d.bond);
        Delivery memory out = Delivery({
            Ex: number(inCase(".out.E.x", i)),
            vE: uint8(number(inCase(".out.E.v", i))),
            masked: array32(inCase(".out.masked", i))
        });
        vm.prank(deliverer);
        escrow.deliver(d, s, out.Ex, out.vE, out.masked);
        bytes32 expected = word32(inCase(".out.deliveryHash", i));
        assertEq(escrow.statusWord(hashDeal(d)), word(status(2, expected)), "deliveryHash");
        assertEq(deliveryHash(out), expected, "as these tests compute it");
    }

    /// @dev By the deployed anchor and committee, at the address that the signatures name.
    function test_epochs_areAnchoredAsTheVectorsWereSigned() external {
        read("epoch");
        Config memory c = configAt("$.shared.config");
        committee = IOracleCommittee(create("OracleCommittee", abi.encode(manager, directory)));
        Roles.apply_(manager, Roles.table(), "OracleCommittee", address(committee));
        for (uint256 i = 0; i < c.members.length; ++i) directory.setOrganisation(c.members[i], c.organisations[i]);
        committee.setConfig(c);
        IDataAnchor named = IDataAnchor(vm.parseJsonAddress(json, inCase(".in.anchor", 0)));
        vm.etch(address(named), create("DataAnchor", abi.encode(committee, address(0))).code);

        uint256 found;
        for (uint256 i = 0; has(i); ++i) {
            if (isRefused(i)) continue;
            Epoch memory e = _epoch(i);
            assertEq(committee.configDigestAt(e.number), e.configDigest, "configDigest");
            bytes[] memory each = vm.parseJsonBytesArray(json, inCase(".out.signatures", i));
            bytes memory signatures;
            for (uint256 k = 0; k < each.length; ++k) signatures = bytes.concat(signatures, each[k]);
            named.anchor(e, signatures);
            assertEq(named.epochHash(e.number), word32(inCase(".out.epochHash", i)), "hash");
            assertEq(hashEpoch(e), word32(inCase(".out.epochHash", i)), "as these tests compute it");
            _checkPacks(i, named, e);
            ++found;
        }
        assertEq(found, 2, "epochs");
    }

    function _epoch(uint256 i) private view returns (Epoch memory e) {
        e.number = uint64(number(inCase(".out.epoch.number", i)));
        e.prev = word32(inCase(".out.epoch.prev", i));
        e.root = word32(inCase(".out.epoch.root", i));
        e.packs = uint32(number(inCase(".out.epoch.packs", i)));
        e.readings = uint64(number(inCase(".out.epoch.readings", i)));
        e.fromMs = uint64(number(inCase(".out.epoch.fromMs", i)));
        e.toMs = uint64(number(inCase(".out.epoch.toMs", i)));
        e.closedAt = uint64(number(inCase(".out.epoch.closedAt", i)));
        e.stateBlock = uint64(number(inCase(".out.epoch.stateBlock", i)));
        e.manifest = word32(inCase(".out.epoch.manifest", i));
        e.configDigest = word32(inCase(".out.epoch.configDigest", i));
    }

    function _checkPacks(uint256 i, IDataAnchor named, Epoch memory e) private view {
        bytes32[] memory leaves = array32(inCase(".out.leaves", i));
        assertEq(leaves.length, e.packs, "packs");
        for (uint256 k = 0; k < leaves.length; ++k) {
            Pack memory p = packAt(element(inCase(".in.packs", i), k));
            uint256 j;
            while (leaves[j] != hashPack(p)) ++j;
            assertTrue(named.verifyPack(e, p, array32(element(inCase(".out.paths", i), j))), "in the epoch");
        }
    }

    /// @dev Each reading of each pack by the deployed anchor, in its place and no other.
    function test_readings_areProvedAsTheVectorsSay() external {
        assertEq(_provedReadings("pack"), 3, "open packs");
        assertEq(_provedReadings("sealed-pack"), 3, "sealed packs");
    }

    function _provedReadings(string memory file) private returns (uint256 found) {
        read(file);
        for (uint256 i = 0; has(i); ++i) {
            if (isRefused(i) || !isA(i, "pack")) continue;
            Pack memory p = packAt(inCase(".out.pack", i));
            assertEq(hashPack(p), word32(inCase(".out.packLeaf", i)), "leaf of the pack");
            bytes32 key = KeyTree.packKey(word32(inCase(".out.leafNode", i)), p.streamId, p.keyEpoch, p.seq);
            assertEq(key, word32(inCase(".out.packKey", i)), "key of the pack");
            assertEq(KeyTree.commitment(key), p.keyCommitment, "commitment");
            pass(1);
            Epoch memory e = anchorNext(hashPack(p), 1);
            _checkReadings(i, p, e);
            ++found;
        }
    }

    function _checkReadings(uint256 i, Pack memory p, Epoch memory e) private view {
        bytes[] memory records = vm.parseJsonBytesArray(json, inCase(".out.records", i));
        bytes32[] memory salts = array32(inCase(".out.salts", i));
        bytes32[] memory none = new bytes32[](0);
        assertTrue(records.length != 0 && records.length == salts.length, "readings");
        for (uint32 k = 0; k < records.length; ++k) {
            bytes32[] memory path = array32(element(inCase(".out.paths", i), k));
            assertTrue(anchor.verifyReading(e, p, none, salts[k], k, records[k], path), "proved");
            assertTrue(!anchor.verifyReading(e, p, none, salts[k], k + 1, records[k], path), "not of another index");
        }
    }
}

/// @dev Type strings, struct hashes and digests of all that is signed. Where the contract gives the hash away it is asked;
/// where it only checks a signature, its deployed code must hold the type's hash and its domain be that of the vectors.
contract StructVectorsTest is VectorsBase {
    /// @dev How a contract shows that it has the type.
    enum By {
        Hash,
        Signature,
        Nobody
    }

    ISubscription private _subscription;
    address private _agreements;
    mapping(string name => string) private _typeOf;

    function setUp() external {
        deployAll();
        _subscription = ISubscription(
            create("Subscription", abi.encode(manager, directory, registry, consent, escrow))
        );
        _agreements = create("AgreementDigests", "");
        read("struct");
        for (uint256 i = 0; has(i); ++i) {
            _typeOf[vm.parseJsonString(json, inCase(".in.type", i))] = vm.parseJsonString(
                json,
                inCase(".out.encodeType", i)
            );
        }
    }

    function hashStream_(Stream calldata x) external pure returns (bytes32) {
        return ProtocolTypes.hashStream(x);
    }

    function hashPack_(Pack calldata x) external pure returns (bytes32) {
        return ProtocolTypes.hashPack(x);
    }

    function hashEpoch_(Epoch calldata x) external pure returns (bytes32) {
        return ProtocolTypes.hashEpoch(x);
    }

    function hashEnrol_(Enrol calldata x) external pure returns (bytes32) {
        return ProtocolTypes.hashEnrol(x);
    }

    function hashFacts_(Facts calldata x) external pure returns (bytes32) {
        return ProtocolTypes.hashFacts(x);
    }

    function hashOffer_(Offer calldata x) external pure returns (bytes32) {
        return Orders.hashOffer(x);
    }

    function hashRequest_(Request calldata x) external pure returns (bytes32) {
        return Orders.hashRequest(x);
    }

    function test_structs_hashAsTheVectorsSay() external {
        read("struct");
        uint256[3] memory counts;
        for (uint256 i = 0; has(i); ++i) ++counts[uint256(_checkStruct(i))];
        assertEq(counts[uint256(By.Hash)], 11, "hashes that the contracts compute");
        assertEq(counts[uint256(By.Signature)], 13, "types that they check signatures of");
        // Opened, Refused, Receipt, Head, DealKeys, SubscriptionKeys, ThingDescription
        assertEq(counts[uint256(By.Nobody)], 7, "types that no contract reads");
    }

    function _checkStruct(uint256 i) private view returns (By) {
        string memory name = vm.parseJsonString(json, inCase(".in.type", i));
        bytes32 expected = word32(inCase(".out.hashStruct", i));
        bytes memory words = _words(i, name);
        bytes32 typeHash = keccak256(bytes(_typeOf[name]));
        assertEq(typeHash, word32(inCase(".out.typeHash", i)), name);
        assertEq(keccak256(bytes.concat(typeHash, words)), expected, name);
        _checkDigest(i, expected);
        if (same(name, "Config")) {
            assertEq(ProtocolTypes.hashConfig(configAt(inCase(".in.value", i))), expected, name);
            return By.Hash;
        }
        (address target, bytes4 selector) = _hasherOf(name);
        if (target != address(0)) {
            (bool ok, bytes memory found) = target.staticcall(bytes.concat(selector, words));
            assertTrue(ok && abi.decode(found, (bytes32)) == expected, name);
            return By.Hash;
        }
        target = _verifierOf(name);
        if (target == address(0)) return By.Nobody;
        assertTrue(_holds(target, typeHash), string.concat(name, ": the deployed code has another type"));
        assertTrue(!_holds(target, ~typeHash), "and not just any");
        return By.Signature;
    }

    function test_statements_areSignedAsTheVectorsSay() external {
        read("statements");
        uint256 found;
        for (; has(found); ++found) {
            string memory name = vm.parseJsonString(json, inCase(".in.type", found));
            bytes32 hash = keccak256(bytes.concat(keccak256(bytes(_typeOf[name])), _words(found, name)));
            assertEq(hash, word32(inCase(".out.hashStruct", found)), name);
            bytes32 digest = _checkDigest(found, hash);
            address signer = ECDSA.recover(digest, vm.parseJsonBytes(json, inCase(".out.signature", found)));
            assertEq(signer, vm.parseJsonAddress(json, inCase(".out.signer", found)), name);
        }
        assertTrue(found >= 19, "statements");
    }

    function test_domains_areThoseOfTheVectors() external {
        string[5] memory names = ["DataAnchor", "Escrow", "Marketplace", "DeviceRegistry", "ConsentRegistry"];
        address[5] memory of_ = [
            address(anchor),
            address(escrow),
            address(market),
            address(registry),
            address(consent)
        ];
        for (uint256 i = 0; i < 5; ++i) {
            (, string memory name, string memory version, uint256 chainId, address verifying, , ) = IERC5267(of_[i])
                .eip712Domain();
            assertEq(
                keccak256(abi.encode(name, version, chainId, verifying)),
                keccak256(abi.encode(names[i], "1", block.chainid, of_[i])),
                names[i]
            );
        }
    }

    /// @dev EIP-712's encodeData, read off the type string.
    function _words(uint256 i, string memory name) private view returns (bytes memory words) {
        string[] memory fields = vm.split(vm.split(vm.split(_typeOf[name], "(")[1], ")")[0], ",");
        for (uint256 k = 0; k < fields.length; ++k) {
            string[] memory field = vm.split(fields[k], " ");
            words = bytes.concat(words, _word(field[0], string.concat(inCase(".in.value.", i), field[1])));
        }
    }

    function _word(string memory kind, string memory path) private view returns (bytes32) {
        if (same(kind, "bytes32")) return word32(path);
        if (same(kind, "address")) return bytes32(uint256(uint160(vm.parseJsonAddress(json, path))));
        if (same(kind, "bool")) return bytes32(uint256(vm.parseJsonBool(json, path) ? 1 : 0));
        if (same(kind, "bytes32[]")) return keccak256(abi.encodePacked(array32(path)));
        if (same(kind, "address[]")) return keccak256(abi.encodePacked(vm.parseJsonAddressArray(json, path)));
        return bytes32(number(path));
    }

    function _checkDigest(uint256 i, bytes32 hash) private view returns (bytes32 digest) {
        assertEq(number(inCase(".in.domain.chainId", i)), block.chainid, "chain");
        digest = typed(
            vm.parseJsonString(json, inCase(".in.domain.name", i)),
            vm.parseJsonAddress(json, inCase(".in.domain.verifyingContract", i)),
            hash
        );
        assertEq(digest, word32(inCase(".out.digest", i)), "digest");
    }

    /// @return The function that hashes such a struct, as it lies in calldata.
    function _hasherOf(string memory name) private view returns (address, bytes4) {
        if (same(name, "Deal")) return (address(escrow), escrow.dealIdOf.selector);
        if (same(name, "SubscriptionOffer")) return (address(_subscription), _subscription.offerIdOf.selector);
        if (same(name, "SubscriptionTerms")) return (address(_subscription), _subscription.subscriptionIdOf.selector);
        if (same(name, "Stream")) return (address(this), this.hashStream_.selector);
        if (same(name, "Pack")) return (address(this), this.hashPack_.selector);
        if (same(name, "Epoch")) return (address(this), this.hashEpoch_.selector);
        if (same(name, "Enrol")) return (address(this), this.hashEnrol_.selector);
        if (same(name, "Facts")) return (address(this), this.hashFacts_.selector);
        if (same(name, "Offer")) return (address(this), this.hashOffer_.selector);
        if (same(name, "Request")) return (address(this), this.hashRequest_.selector);
        return (address(0), 0);
    }

    /// @return Whose code checks signatures of such a struct.
    function _verifierOf(string memory name) private view returns (address) {
        string[4] memory ofRegistry = ["Rotation", "Transfer", "Endorsement", "Quote"];
        for (uint256 i = 0; i < 4; ++i) if (same(name, ofRegistry[i])) return address(registry);
        string[8] memory ofConsent = [
            "Holders",
            "Binding",
            "Grant",
            "Revocation",
            "RevocationOfAll",
            "ErasureRequest",
            "SubjectErasure",
            "Erased"
        ];
        for (uint256 i = 0; i < 8; ++i) if (same(name, ofConsent[i])) return address(consent);
        return same(name, "Agreement") ? _agreements : address(0);
    }

    function _holds(address target, bytes32 value) private view returns (bool found) {
        bytes memory code = target.code;
        assembly ("memory-safe") {
            let last := add(code, mload(code))
            for {
                let p := add(code, 32)
            } iszero(gt(p, last)) {
                p := add(p, 1)
            } {
                if eq(mload(p), value) {
                    found := 1
                    break
                }
            }
        }
    }
}
