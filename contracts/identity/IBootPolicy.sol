// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What a device's boot measurements and its TPM's maker are judged by
/// @notice A policy is a line of versions, each one accepted digest from a time until a time. A firmware roll-out publishes
/// the next version: accepted from T on, the one before until T + grace. A revocation ends a version at once. Nothing
/// changes for times that are past: what was accepted when a quote was taken stays accepted for that time.
/// @dev Times are Unix milliseconds, inclusive. Boot policies and profiles of endorsement keys are the same kind of line;
/// the digest of a profile is H(abi.encode(rootsHash, templates)). Warning: this contract sees no TPM evidence; registrars
/// judge it by these lines.
interface IBootPolicy {
    struct Version {
        bytes32 digest;
        uint64 fromMs;
        /// The largest number while nothing has ended it.
        uint64 untilMs;
        /// The version before with the same digest, 0 for none.
        uint32 before;
    }

    /// @notice A digest is accepted from `fromMs` on, and what was accepted before until `graceMs` later.
    event VersionPublished(
        bytes32 indexed policyId,
        uint32 indexed version,
        bytes32 indexed digest,
        uint64 fromMs,
        uint64 graceMs
    );
    /// @notice A version ends at `untilMs`, the last millisecond before the block.
    event VersionRevoked(bytes32 indexed policyId, uint32 indexed version, uint64 untilMs);
    /// @notice What a version of a maker's profile consists of; `VersionPublished` has its digest and times.
    event EkProfilePublished(bytes32 indexed maker, uint32 indexed version, bytes32 rootsHash, bytes32[] templates);

    /// @dev Thrown when the policy's id is zero, which means "no measured boot".
    error BootPolicy_PolicyZero();
    /// @dev Thrown when the accepted digest is zero.
    error BootPolicy_DigestZero(bytes32 policyId);
    /// @dev Thrown when a version would begin before the block's time.
    error BootPolicy_InThePast(uint64 nowMs, uint64 fromMs);
    /// @dev Thrown when a version would not begin after the newest one.
    error BootPolicy_NotAfter(uint64 latestFromMs, uint64 fromMs);
    /// @dev Thrown when a version would begin more than a year ahead, or the grace is longer than a year.
    error BootPolicy_TooLate(uint64 most, uint64 given);
    /// @dev Thrown when the line has no version of that number.
    error BootPolicy_NoVersion(bytes32 policyId, uint32 version);
    /// @dev Thrown when the version to be revoked has ended already.
    error BootPolicy_Ended(bytes32 policyId, uint32 version, uint64 untilMs);

    /// @notice Accepts a PCR digest from `fromMs` on, and the version before until `graceMs` later. Restricted.
    /// @param policyId Of the line; zero means "no measured boot" everywhere and can't be used.
    /// @param fromMs Now or later, and after the start of the version before; at most a year ahead.
    /// @param graceMs At most a year.
    /// @return version From 1.
    function publish(
        bytes32 policyId,
        bytes32 pcrDigest,
        uint64 fromMs,
        uint64 graceMs
    ) external returns (uint32 version);

    /// @notice The same for the profile of a TPM maker's endorsement keys. Restricted.
    /// @param maker H of the maker's name.
    /// @param rootsHash SHA-256 of the maker's root certificates in DER, one after the other.
    /// @param templates Hashes of the templates that its endorsement keys may be made from.
    function publishEkProfile(
        bytes32 maker,
        bytes32 rootsHash,
        bytes32[] calldata templates,
        uint64 fromMs,
        uint64 graceMs
    ) external returns (uint32 version);

    /// @notice Ends a version at once, also one that has not begun. Restricted.
    function revoke(bytes32 policyId, uint32 version) external;

    /// @return Whether a quote with this digest, taken at that time, is accepted by the policy.
    function accepts(bytes32 policyId, bytes32 digest, uint64 atMs) external view returns (bool);

    /// @return Whether an endorsement key of that maker may be judged by these roots and templates at that time.
    function acceptsEkProfile(
        bytes32 maker,
        bytes32 rootsHash,
        bytes32[] calldata templates,
        uint64 atMs
    ) external view returns (bool);

    /// @return The version by number, from 1; reverts if there is none.
    function versionAt(bytes32 policyId, uint32 version) external view returns (Version memory);

    /// @return How many versions there are.
    function versions(bytes32 policyId) external view returns (uint32);

    /// @return The line that the profile of a maker's endorsement keys is kept under.
    function ekPolicyId(bytes32 maker) external pure returns (bytes32);
}
