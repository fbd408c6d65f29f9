// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {IDataAnchor} from "../data/IDataAnchor.sol";
import {Config, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {IOracleCommittee} from "./IOracleCommittee.sol";

/// @title OracleCommittee
contract OracleCommittee is IOracleCommittee, AccessManaged {
    using Checkpoints for Checkpoints.Trace208;

    bytes32 private constant ANCHOR = "DataAnchor";
    uint256 private constant MAX_MEMBERS = 64;

    IDirectory private immutable _directory;

    /// @dev One word, so that an anchoring reads no more than this and its signers' flags.
    struct Term {
        uint64 fromEpoch;
        /// First epoch of the next configuration; the largest number while there is none.
        uint64 until;
        uint16 q;
    }

    Config[] private _configs;
    mapping(uint256 index => bytes32) private _digests;
    mapping(bytes32 digest => Term) private _terms;
    mapping(bytes32 digest => mapping(address account => bool)) private _members;
    /// @dev fromEpoch to index + 1.
    Checkpoints.Trace208 private _byEpoch;

    /// @param authority The AccessManager.
    /// @param directory Says which organisation a member speaks for, and which anchor is current.
    constructor(address authority, IDirectory directory) AccessManaged(authority) {
        _directory = directory;
    }

    /// @inheritdoc IOracleCommittee
    function setConfig(Config calldata config_) external restricted {
        uint256 n = config_.members.length;
        if (n == 0 || n > MAX_MEMBERS || n != config_.organisations.length) {
            revert OracleCommittee_MemberCount(n, config_.organisations.length);
        }
        uint16 q = uint16(n - (n - 1) / 3);
        if (config_.q != q) revert OracleCommittee_WrongQuorum(q, config_.q);
        _checkFuture(config_.fromEpoch);

        uint256 index = _configs.length;
        bytes32 digest = ProtocolTypes.hashConfig(config_);
        address previous;
        for (uint256 i = 0; i < n; ++i) {
            address member = config_.members[i];
            bytes32 organisation = config_.organisations[i];
            if (member <= previous) revert OracleCommittee_MembersNotAscending(previous, member);
            bytes32 expected = _directory.organisationOf(member);
            if (organisation == 0 || organisation != expected) {
                revert OracleCommittee_WrongOrganisation(member, expected, organisation);
            }
            for (uint256 j = 0; j < i; ++j) {
                if (config_.organisations[j] == organisation) {
                    revert OracleCommittee_OrganisationRepeated(organisation, member);
                }
            }
            _members[digest][member] = true;
            previous = member;
        }

        if (index != 0) _terms[_digests[index - 1]].until = config_.fromEpoch;
        _terms[digest] = Term(config_.fromEpoch, type(uint64).max, q);
        _configs.push(config_);
        _digests[index] = digest;
        _byEpoch.push(SafeCast.toUint48(config_.fromEpoch), SafeCast.toUint208(index + 1));
        emit ConfigSet(index, config_.fromEpoch, digest, config_);
    }

    /// @inheritdoc IOracleCommittee
    function verify(uint64 epoch, bytes32 configDigest, bytes32 digest, bytes calldata signatures) external view {
        Term memory term = _terms[configDigest];
        // An unknown digest has q = 0.
        if (term.q == 0 || epoch < term.fromEpoch || epoch >= term.until) {
            revert OracleCommittee_NotInForce(epoch, configDigest);
        }
        uint256 length = uint256(term.q) * 65;
        if (signatures.length != length) revert OracleCommittee_SignaturesLength(length, signatures.length);
        mapping(address account => bool) storage members = _members[configDigest];
        address previous;
        for (uint256 i = 0; i < length; i += 65) {
            bytes32 r;
            bytes32 s;
            uint8 v;
            assembly ("memory-safe") {
                let at := add(signatures.offset, i)
                r := calldataload(at)
                s := calldataload(add(at, 32))
                v := byte(0, calldataload(add(at, 64)))
            }
            address signer = ECDSA.recover(digest, v, r, s);
            if (signer <= previous) revert OracleCommittee_SignersNotAscending(previous, signer);
            if (!members[signer]) revert OracleCommittee_NotMember(epoch, signer);
            previous = signer;
        }
    }

    /// @inheritdoc IOracleCommittee
    function configDigestAt(uint64 epoch) external view returns (bytes32) {
        return _digests[_inForce(epoch)];
    }

    /// @inheritdoc IOracleCommittee
    function configAt(uint64 epoch) external view returns (Config memory) {
        return _configs[_inForce(epoch)];
    }

    /// @inheritdoc IOracleCommittee
    function configCount() external view returns (uint256) {
        return _configs.length;
    }

    /// @inheritdoc IOracleCommittee
    function config(uint256 index) external view returns (Config memory) {
        return _configs[index];
    }

    /// @inheritdoc IOracleCommittee
    function isMember(uint64 epoch, address account) external view returns (bool) {
        return _members[_digests[_inForce(epoch)]][account];
    }

    function _inForce(uint64 epoch) private view returns (uint256 index) {
        uint48 key = epoch > type(uint48).max ? type(uint48).max : uint48(epoch);
        uint208 next = _byEpoch.upperLookupRecent(key);
        if (next == 0) revert OracleCommittee_NoConfig(epoch);
        return next - 1;
    }

    function _checkFuture(uint64 fromEpoch) private view {
        uint64 notBefore = 1;
        address anchor = _directory.addressOf(ANCHOR);
        if (anchor != address(0)) {
            (uint64 number, , , ) = IDataAnchor(anchor).latest();
            notBefore = number + 1;
        }
        (bool exists, uint48 last, ) = _byEpoch.latestCheckpoint();
        if (exists && last >= notBefore) notBefore = uint64(last) + 1;
        if (fromEpoch < notBefore) revert OracleCommittee_EpochNotFuture(notBefore, fromEpoch);
    }
}
