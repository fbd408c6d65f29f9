// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Epoch, Pack} from "./ProtocolTypes.sol";

/// @title The chain of epochs
/// @notice One word an epoch, whatever the number of devices; everything else is proved against it.
/// @dev EIP-712 domain ("DataAnchor", "1", chainId, this). Warning: the contract sees no pack. That each was checked and
/// is held is what q operators say with their signatures; the contract holds them to one line of epochs without holes.
interface IDataAnchor {
    /// @notice An epoch was added to the line.
    event Anchored(uint64 indexed number, bytes32 indexed epochHash, uint32 packs, uint64 readings);

    /// @dev Thrown when another epoch stands under the number.
    error DataAnchor_NumberTaken(uint64 number, bytes32 anchored, bytes32 given);
    /// @dev Thrown when the epoch is not the one after the latest.
    error DataAnchor_WrongNumber(uint64 expected, uint64 given);
    /// @dev Thrown when `prev` is not the hash of the epoch before.
    error DataAnchor_WrongPrev(bytes32 expected, bytes32 given);
    /// @dev Thrown when the epoch closed no later than the one before.
    error DataAnchor_ClosedAtNotRising(uint64 previous, uint64 given);
    /// @dev Thrown when the epoch is dated ahead of the block by more than is allowed.
    error DataAnchor_ClosedAtInFuture(uint64 latest, uint64 given);
    /// @dev Thrown when the epoch is judged at an earlier block than the one before.
    error DataAnchor_StateBlockFalling(uint64 previous, uint64 given);
    /// @dev Thrown when the epoch is judged at a block that is not past.
    error DataAnchor_StateBlockNotPast(uint256 blockNumber, uint64 given);
    /// @dev Thrown when the epoch holds no pack or more than 16,384.
    error DataAnchor_PackCount(uint32 given);
    /// @dev Thrown when there are not as many signatures as epochs.
    error DataAnchor_LengthMismatch(uint256 epochs, uint256 signatures);
    /// @dev Thrown when a header has more bytes than its length can be written in.
    error DataAnchor_HeaderTooLong(uint256 length);

    /// @notice Anchors the next epoch. Anyone may send it.
    /// @dev The same epoch again returns quietly and without event, even if it is not the latest, and even under other
    /// signatures (they are not looked at); another digest under a used number reverts.
    /// @param next number + 1, prev = hash of the latest, closedAt above the one before and at most 120 s ahead of the
    /// block, latest stateBlock ≤ stateBlock < block.number, 1 to 16,384 packs, configDigest in force at its number.
    /// @param signatures Exactly q in a row, 65 bytes each, ascending by signer, over the EIP-712 digest of `next`.
    function anchor(Epoch calldata next, bytes calldata signatures) external;

    /// @notice Anchors several epochs in a row, all or none; those that are already anchored are passed over.
    function anchorMany(Epoch[] calldata next, bytes[] calldata signatures) external;

    /// @return The hash of that epoch, or zero; older numbers are asked of the predecessor contract.
    function epochHash(uint64 number) external view returns (bytes32);

    /// @return number Of the latest epoch, 0 if there is none.
    /// @return closedAt Of it, Unix milliseconds.
    /// @return stateBlock Of it.
    /// @return hash Of it.
    function latest() external view returns (uint64 number, uint64 closedAt, uint64 stateBlock, bytes32 hash);

    /// @return The first number anchored here rather than in the predecessor, 0 as long as there is none.
    function firstNumber() external view returns (uint64);

    /// @return Whether the epoch is anchored and the pack is one of its leaves.
    function verifyPack(
        Epoch calldata epoch,
        Pack calldata pack,
        bytes32[] calldata proof
    ) external view returns (bool);

    /// @notice Whether one reading was in a pack of an anchored epoch.
    /// @dev leaf = H(H("msec.reading") ‖ salt ‖ uint32 index ‖ record). Proves membership and index, not that there are
    /// no other readings.
    /// @param packProof Path of the pack to the epoch's root.
    /// @param salt Of this reading.
    /// @param index In the pack, from 0.
    /// @param record Its CBOR as it came.
    /// @param proof Path of the reading to the pack's root.
    function verifyReading(
        Epoch calldata epoch,
        Pack calldata pack,
        bytes32[] calldata packProof,
        bytes32 salt,
        uint32 index,
        bytes calldata record,
        bytes32[] calldata proof
    ) external view returns (bool);

    /// @notice Checks a device's signature under a pack header: ES256 or RS256 over the COSE Sig_structure (RFC 9052 §4.4).
    /// @dev Warning: whether `keyHash` is the key of (deviceId, keyEpoch) is the DeviceRegistry's to say, and whether
    /// the header's fields are those of a Pack is not looked at; `headerDigest` is what binds a Pack to it.
    /// @param header CBOR of the header as it came, at most 65,535 bytes.
    /// @param spki The key's DER SubjectPublicKeyInfo: P-256, or RSA of 2048 bits with exponent 65537.
    /// @param signature r ‖ s with s ≤ n/2 in 64 bytes, or PKCS#1 v1.5 in 256 bytes.
    /// @return headerDigest SHA-256 of the Sig_structure, the field of the Pack.
    /// @return keyHash SHA-256 of the SPKI, which the protected header names.
    /// @return valid Whether the SPKI is of such a form and the signature is the key's.
    function verifyHeader(
        bytes calldata header,
        bytes calldata spki,
        bytes calldata signature
    ) external view returns (bytes32 headerDigest, bytes32 keyHash, bool valid);
}
