// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreement} from "./Agreement.sol";

/// @title When the digest of a private agreement was there
/// @notice The public side of {IPrivateAgreement}. It sees digests and nothing else: no party, no terms, no version.
/// @dev EIP-712 domain ("AgreementDigests", "1", chainId, this). A digest is salted, so it can't be guessed, and stands
/// once. Warning: who anchored it says nothing of who is a party; that is shown by the signatures, to whom one likes.
interface IAgreementDigests {
    /// @notice A digest stands, with its time.
    event DigestAnchored(bytes32 indexed digest, address indexed by, uint64 atMs);

    /// @dev Thrown when the digest is zero.
    error AgreementDigests_DigestZero();
    /// @dev Thrown when the digest stands already.
    error AgreementDigests_Known(bytes32 digest, uint64 atMs);
    /// @dev Thrown when there is no party, or not one signature each.
    error AgreementDigests_SignatureCount(uint256 expected, uint256 given);
    /// @dev Thrown when the party did not sign this digest.
    error AgreementDigests_WrongSigner(address expected, address found);

    /// @notice Anchors a digest, once. Anyone may.
    function anchor(bytes32 digest) external;

    /// @return by Who anchored it, or zero.
    /// @return atMs When, Unix milliseconds.
    function anchoredBy(bytes32 digest) external view returns (address by, uint64 atMs);

    /// @notice For a court or an auditor to whom a party shows the agreement: checks that every party signed it.
    /// @dev A view: asked by a call at one's own node it tells nobody anything. Reverts if a signature is wrong.
    /// @param agreement As it was signed.
    /// @param signatures One of each party, in the order of parties.
    /// @return digest What they signed.
    /// @return atMs When it was anchored, zero if it was not.
    function verify(
        Agreement calldata agreement,
        bytes[] calldata signatures
    ) external view returns (bytes32 digest, uint64 atMs);
}
