// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {SigningKey} from "../identity/SigningKey.sol";
import {IOracleCommittee} from "../oracle/IOracleCommittee.sol";
import {IDataAnchor} from "./IDataAnchor.sol";
import {Epoch, Pack, ProtocolTypes} from "./ProtocolTypes.sol";

/// @title DataAnchor
/// @dev Nobody has a role here and nothing can be paused: the committee's signatures decide.
contract DataAnchor is IDataAnchor, EIP712 {
    struct Head {
        uint64 number;
        uint64 closedAt;
        uint64 first;
        uint64 stateBlock;
    }

    uint32 private constant MAX_PACKS = 16_384;
    uint64 private constant MAX_AHEAD_MS = 120_000;
    bytes32 private constant READING_TAG = keccak256("msec.reading");

    IOracleCommittee private immutable _committee;
    IDataAnchor private immutable _predecessor;

    Head private _head;
    mapping(uint64 number => bytes32) private _hashes;

    /// @param committee Whose signatures count.
    /// @param predecessor The anchor that this one continues, or zero. Where the line changes over is settled by the
    /// first epoch anchored here; until then the predecessor may go on.
    constructor(IOracleCommittee committee, IDataAnchor predecessor) EIP712("DataAnchor", "1") {
        _committee = committee;
        _predecessor = predecessor;
    }

    /// @inheritdoc IDataAnchor
    function anchor(Epoch calldata next, bytes calldata signatures) external {
        _anchor(next, signatures);
    }

    /// @inheritdoc IDataAnchor
    function anchorMany(Epoch[] calldata next, bytes[] calldata signatures) external {
        if (next.length != signatures.length) revert DataAnchor_LengthMismatch(next.length, signatures.length);
        for (uint256 i = 0; i < next.length; ++i) {
            _anchor(next[i], signatures[i]);
        }
    }

    /// @inheritdoc IDataAnchor
    function epochHash(uint64 number) external view returns (bytes32) {
        return _epochHash(_head.first, number);
    }

    /// @inheritdoc IDataAnchor
    function latest() external view returns (uint64 number, uint64 closedAt, uint64 stateBlock, bytes32 hash) {
        return _latest(_head);
    }

    /// @inheritdoc IDataAnchor
    function firstNumber() external view returns (uint64) {
        return _head.first;
    }

    /// @inheritdoc IDataAnchor
    function verifyPack(
        Epoch calldata epoch,
        Pack calldata pack,
        bytes32[] calldata proof
    ) external view returns (bool) {
        return _verifyPack(epoch, pack, proof);
    }

    /// @inheritdoc IDataAnchor
    function verifyReading(
        Epoch calldata epoch,
        Pack calldata pack,
        bytes32[] calldata packProof,
        bytes32 salt,
        uint32 index,
        bytes calldata record,
        bytes32[] calldata proof
    ) external view returns (bool) {
        bytes32 leaf = keccak256(abi.encodePacked(READING_TAG, salt, index, record));
        return
            index < pack.count &&
            MerkleProof.verifyCalldata(proof, pack.root, leaf) &&
            _verifyPack(epoch, pack, packProof);
    }

    /// @inheritdoc IDataAnchor
    function verifyHeader(
        bytes calldata header,
        bytes calldata spki,
        bytes calldata signature
    ) external view returns (bytes32 headerDigest, bytes32 keyHash, bool valid) {
        keyHash = SigningKey.keyHash(spki);
        // << {1: alg, 4: keyHash} >> with alg −7 or −257
        bytes memory algorithm =
            SigningKey.algorithmOf(spki) == SigningKey.RS256
                ? bytes(hex"5828a201390100045820")
                : bytes(hex"5826a20126045820");
        // ["Signature1", protected, h'', header]
        headerDigest = sha256(
            abi.encodePacked(hex"846a5369676e617475726531", algorithm, keyHash, hex"40", _byteString(header))
        );
        valid = SigningKey.verify(spki, headerDigest, signature);
    }

    function _anchor(Epoch calldata next, bytes calldata signatures) private {
        Head memory head = _head;
        bytes32 hash = ProtocolTypes.hashEpoch(next);
        // Above the head nothing is anchored; without a head of its own the predecessor is asked.
        bytes32 anchored =
            head.first != 0 && next.number > head.number ? bytes32(0) : _epochHash(head.first, next.number);
        if (anchored != 0) {
            if (anchored != hash) revert DataAnchor_NumberTaken(next.number, anchored, hash);
            return;
        }

        (uint64 number, uint64 closedAt, uint64 stateBlock, bytes32 prev) = _latest(head);
        if (next.number != number + 1) revert DataAnchor_WrongNumber(number + 1, next.number);
        if (next.prev != prev) revert DataAnchor_WrongPrev(prev, next.prev);
        if (number != 0) {
            if (next.closedAt <= closedAt) revert DataAnchor_ClosedAtNotRising(closedAt, next.closedAt);
            if (next.stateBlock < stateBlock) revert DataAnchor_StateBlockFalling(stateBlock, next.stateBlock);
        }
        if (next.stateBlock >= block.number) revert DataAnchor_StateBlockNotPast(block.number, next.stateBlock);
        if (next.packs == 0 || next.packs > MAX_PACKS) revert DataAnchor_PackCount(next.packs);
        uint64 ahead = ProtocolTypes.nowMs() + MAX_AHEAD_MS;
        if (next.closedAt > ahead) revert DataAnchor_ClosedAtInFuture(ahead, next.closedAt);
        _committee.verify(next.number, next.configDigest, _hashTypedDataV4(hash), signatures);

        _hashes[next.number] = hash;
        _head = Head(next.number, next.closedAt, head.first == 0 ? next.number : head.first, next.stateBlock);
        emit Anchored(next.number, hash, next.packs, next.readings);
    }

    function _epochHash(uint64 first, uint64 number) private view returns (bytes32) {
        if (first != 0 && number >= first) return _hashes[number];
        return address(_predecessor) == address(0) ? bytes32(0) : _predecessor.epochHash(number);
    }

    function _latest(
        Head memory head
    ) private view returns (uint64 number, uint64 closedAt, uint64 stateBlock, bytes32 hash) {
        if (head.first != 0) return (head.number, head.closedAt, head.stateBlock, _hashes[head.number]);
        if (address(_predecessor) != address(0)) return _predecessor.latest();
    }

    function _verifyPack(
        Epoch calldata epoch,
        Pack calldata pack,
        bytes32[] calldata proof
    ) private view returns (bool) {
        return
            _epochHash(_head.first, epoch.number) == ProtocolTypes.hashEpoch(epoch) &&
            MerkleProof.verifyCalldata(proof, epoch.root, ProtocolTypes.hashPack(pack));
    }

    /// @dev Major type 2 with the shortest length (RFC 8949 §4.2.1).
    function _byteString(bytes calldata content) private pure returns (bytes memory) {
        uint256 length = content.length;
        if (length < 24) return abi.encodePacked(uint8(0x40 + length), content);
        if (length <= type(uint8).max) return abi.encodePacked(hex"58", uint8(length), content);
        if (length <= type(uint16).max) return abi.encodePacked(hex"59", uint16(length), content);
        revert DataAnchor_HeaderTooLong(length);
    }
}
