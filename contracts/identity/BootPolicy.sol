// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {ProtocolTypes} from "../data/ProtocolTypes.sol";
import {IBootPolicy} from "./IBootPolicy.sol";

/// @title BootPolicy
contract BootPolicy is IBootPolicy, AccessManaged {
    uint64 private constant YEAR_MS = 365 days * 1000;

    mapping(bytes32 policyId => uint32) private _count;
    mapping(bytes32 policyId => mapping(uint32 version => Version)) private _versions;
    /// @dev The newest version with a digest.
    mapping(bytes32 policyId => mapping(bytes32 digest => uint32)) private _byDigest;

    constructor(address authority) AccessManaged(authority) {}

    /// @inheritdoc IBootPolicy
    function publish(
        bytes32 policyId,
        bytes32 pcrDigest,
        uint64 fromMs,
        uint64 graceMs
    ) external restricted returns (uint32 version) {
        return _publish(policyId, pcrDigest, fromMs, graceMs);
    }

    /// @inheritdoc IBootPolicy
    function publishEkProfile(
        bytes32 maker,
        bytes32 rootsHash,
        bytes32[] calldata templates,
        uint64 fromMs,
        uint64 graceMs
    ) external restricted returns (uint32 version) {
        version = _publish(ekPolicyId(maker), _ekDigest(rootsHash, templates), fromMs, graceMs);
        emit EkProfilePublished(maker, version, rootsHash, templates);
    }

    /// @inheritdoc IBootPolicy
    function revoke(bytes32 policyId, uint32 version) external restricted {
        if (version == 0 || version > _count[policyId]) revert BootPolicy_NoVersion(policyId, version);
        Version storage stored = _versions[policyId][version];
        uint64 untilMs = ProtocolTypes.nowMs() - 1;
        if (stored.untilMs <= untilMs) revert BootPolicy_Ended(policyId, version, stored.untilMs);
        stored.untilMs = untilMs;
        emit VersionRevoked(policyId, version, untilMs);
    }

    /// @inheritdoc IBootPolicy
    function accepts(bytes32 policyId, bytes32 digest, uint64 atMs) external view returns (bool) {
        return _accepts(policyId, digest, atMs);
    }

    /// @inheritdoc IBootPolicy
    function acceptsEkProfile(
        bytes32 maker,
        bytes32 rootsHash,
        bytes32[] calldata templates,
        uint64 atMs
    ) external view returns (bool) {
        return _accepts(ekPolicyId(maker), _ekDigest(rootsHash, templates), atMs);
    }

    /// @inheritdoc IBootPolicy
    function versionAt(bytes32 policyId, uint32 version) external view returns (Version memory) {
        if (version == 0 || version > _count[policyId]) revert BootPolicy_NoVersion(policyId, version);
        return _versions[policyId][version];
    }

    /// @inheritdoc IBootPolicy
    function versions(bytes32 policyId) external view returns (uint32) {
        return _count[policyId];
    }

    /// @inheritdoc IBootPolicy
    function ekPolicyId(bytes32 maker) public pure returns (bytes32) {
        return keccak256(abi.encode("msec.ek", maker));
    }

    function _publish(
        bytes32 policyId,
        bytes32 digest,
        uint64 fromMs,
        uint64 graceMs
    ) private returns (uint32 version) {
        if (policyId == 0) revert BootPolicy_PolicyZero();
        if (digest == 0) revert BootPolicy_DigestZero(policyId);
        uint64 nowMs = ProtocolTypes.nowMs();
        if (fromMs < nowMs) revert BootPolicy_InThePast(nowMs, fromMs);
        if (fromMs > nowMs + YEAR_MS) revert BootPolicy_TooLate(nowMs + YEAR_MS, fromMs);
        if (graceMs > YEAR_MS) revert BootPolicy_TooLate(YEAR_MS, graceMs);
        version = _count[policyId] + 1;
        if (version > 1) {
            Version storage last = _versions[policyId][version - 1];
            if (fromMs <= last.fromMs) revert BootPolicy_NotAfter(last.fromMs, fromMs);
            // One that was revoked stays so.
            if (last.untilMs > fromMs + graceMs) last.untilMs = fromMs + graceMs;
        }
        _count[policyId] = version;
        _versions[policyId][version] = Version(digest, fromMs, type(uint64).max, _byDigest[policyId][digest]);
        _byDigest[policyId][digest] = version;
        emit VersionPublished(policyId, version, digest, fromMs, graceMs);
    }

    /// @dev As many steps as the digest was published again, which takes the role.
    function _accepts(bytes32 policyId, bytes32 digest, uint64 atMs) private view returns (bool) {
        for (uint32 version = _byDigest[policyId][digest]; version != 0;) {
            Version memory stored = _versions[policyId][version];
            if (stored.fromMs <= atMs && atMs <= stored.untilMs) return true;
            version = stored.before;
        }
        return false;
    }

    function _ekDigest(bytes32 rootsHash, bytes32[] calldata templates) private pure returns (bytes32) {
        return keccak256(abi.encode(rootsHash, templates));
    }
}
