// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Config} from "../data/ProtocolTypes.sol";

/// @title Who may sign epochs, from which epoch on
/// @notice n operators of different organisations tolerate f = ⌊(n−1)/3⌋ faulty ones; q = n − f must sign.
/// @dev Nothing here knows what an epoch says: the digest that is signed carries the domain of the contract that asks,
/// so a report can't cross chains or contracts, and the epoch names its configuration, so it can't cross those either.
interface IOracleCommittee {
    /// @notice A committee is known, and holds from that epoch on.
    event ConfigSet(uint256 indexed index, uint64 indexed fromEpoch, bytes32 indexed digest, Config config);

    /// @dev Thrown when q is not n − ⌊(n − 1)/3⌋.
    error OracleCommittee_WrongQuorum(uint16 expected, uint16 given);
    /// @dev Thrown when there is no member, too many, or not one organisation a member.
    error OracleCommittee_MemberCount(uint256 members, uint256 organisations);
    /// @dev Thrown when members are not in ascending order, or one stands twice.
    error OracleCommittee_MembersNotAscending(address previous, address member);
    /// @dev Thrown when the Directory knows the member under another organisation, or none.
    error OracleCommittee_WrongOrganisation(address member, bytes32 expected, bytes32 given);
    /// @dev Thrown when two members are of one organisation.
    error OracleCommittee_OrganisationRepeated(bytes32 organisation, address member);
    /// @dev Thrown when the configuration would hold for epochs that may be signed already.
    error OracleCommittee_EpochNotFuture(uint64 notBefore, uint64 fromEpoch);
    /// @dev Thrown when no configuration holds for the epoch.
    error OracleCommittee_NoConfig(uint64 epoch);
    /// @dev Thrown when the configuration is not the one that holds for the epoch.
    error OracleCommittee_NotInForce(uint64 epoch, bytes32 configDigest);
    /// @dev Thrown when there are not exactly q signatures of 65 bytes.
    error OracleCommittee_SignaturesLength(uint256 expected, uint256 given);
    /// @dev Thrown when signers are not in ascending order, or one signed twice.
    error OracleCommittee_SignersNotAscending(address previous, address signer);
    /// @dev Thrown when the signer is no member of the committee of that epoch.
    error OracleCommittee_NotMember(uint64 epoch, address signer);

    /// @notice Announces the committee from a future epoch on. Restricted.
    /// @dev `fromEpoch` is above the number last anchored (by the Directory's "DataAnchor") and above that of the
    /// configuration before. Members ascend; each is in the Directory under the organisation named for it, and no two
    /// share one. 1 to 64 members. Warning: the Directory is asked now and not again; an operator that changes its
    /// organisation later stays until the next configuration.
    function setConfig(Config calldata config_) external;

    /// @notice Requires that the configuration is in force and exactly q of its members signed, ascending by signer.
    /// Reverts otherwise.
    /// @param epoch Number of the epoch that is signed.
    /// @param configDigest Of the configuration that the epoch names.
    /// @param digest EIP-712 digest that was signed.
    /// @param signatures q times 65 bytes in a row: r ‖ s ‖ v, with s in the lower half.
    function verify(uint64 epoch, bytes32 configDigest, bytes32 digest, bytes calldata signatures) external view;

    /// @return The digest in force at an epoch number; reverts before the first.
    function configDigestAt(uint64 epoch) external view returns (bytes32);

    /// @return The configuration in force at an epoch number; reverts before the first.
    function configAt(uint64 epoch) external view returns (Config memory);

    /// @return How many configurations there have been.
    function configCount() external view returns (uint256);

    /// @return The configuration by index, the first is 0.
    function config(uint256 index) external view returns (Config memory);

    /// @return Whether the account is a member at an epoch number.
    function isMember(uint64 epoch, address account) external view returns (bool);
}
