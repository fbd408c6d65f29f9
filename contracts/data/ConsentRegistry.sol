// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IConsent} from "./IConsent.sol";
import {IConsentRegistry} from "./IConsentRegistry.sol";
import {ProtocolTypes, Stream} from "./ProtocolTypes.sol";

/// @title ConsentRegistry
/// @dev Nobody has a role here and nothing can be paused: to withdraw and to be forgotten are exits.
contract ConsentRegistry is IConsentRegistry, EIP712, Nonces {
    /// @dev One word, so that a sale asks for little.
    struct StreamState {
        address subject;
        uint40 epoch;
        /// Of the stream alone; the subject's comes on top.
        uint40 tombstones;
        /// How many there are; also keeps the word in use, so that what withdraws and erases writes no new one.
        uint8 holders;
        /// A tombstone names the whole stream.
        bool erased;
    }

    bytes32 private constant GRANT_TYPEHASH = keccak256(
        "Grant(bytes32 streamId,bytes32 purpose,address grantee,uint64 fromMs,uint64 untilMs,uint64 epoch,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant REVOCATION_TYPEHASH = keccak256(
        "Revocation(bytes32 streamId,bytes32 purpose,address grantee,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant REVOCATION_OF_ALL_TYPEHASH = keccak256(
        "RevocationOfAll(bytes32 streamId,uint64 epoch,uint64 deadline)"
    );
    bytes32 private constant BINDING_TYPEHASH = keccak256("Binding(bytes32 streamId,address subject,uint64 deadline)");
    bytes32 private constant REQUEST_TYPEHASH = keccak256(
        "ErasureRequest(bytes32 streamId,uint32 fromSlot,uint32 toSlot,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant SUBJECT_ERASURE_TYPEHASH = keccak256("SubjectErasure(address subject,uint64 deadline)");
    bytes32 private constant HOLDERS_TYPEHASH = keccak256("Holders(bytes32 streamId,uint64 version,address[] holders)");
    bytes32 private constant ERASED_TYPEHASH = keccak256(
        "Erased(bytes32 streamId,uint64 number,uint32 fromSlot,uint32 toSlot,uint64 keysDestroyedAt,uint64 backupsExpireAt)"
    );

    /// @dev As many as a word has bits for, and as a committee has members.
    uint256 private constant MAX_HOLDERS = 64;
    /// @dev How far a holder's clock may be ahead of the chain's.
    uint64 private constant CLOCK_MS = 120_000;

    IDeviceRegistry private immutable _registry;

    mapping(bytes32 streamId => StreamState) private _streams;
    mapping(bytes32 streamId => mapping(bytes32 purpose => mapping(address grantee => GrantState))) private _grants;
    mapping(bytes32 streamId => mapping(uint64 number => Erasure)) private _erasures;
    mapping(bytes32 streamId => mapping(uint64 number => Receipts)) private _receipts;
    mapping(bytes32 streamId => bytes32) private _holders;
    mapping(address subject => bytes32 deviceId) private _deviceOf;
    mapping(address subject => uint64) private _subjectErasedAt;

    constructor(IDeviceRegistry registry) EIP712("ConsentRegistry", "1") {
        _registry = registry;
    }

    /* SUBJECT */

    /// @inheritdoc IConsentRegistry
    function bindSubject(
        Stream calldata stream,
        Binding calldata binding,
        bytes calldata ownerSignature,
        bytes calldata subjectSignature
    ) external {
        bytes32 streamId = _checkStream(stream, binding.streamId);
        _checkDeadline(binding.deadline);
        if (stream.mode != ProtocolTypes.MODE_SEALED) revert ConsentRegistry_NotSealed(streamId);
        address subject = binding.subject;
        if (subject == address(0)) revert ConsentRegistry_SubjectZero(streamId);
        address bound = _streams[streamId].subject;
        if (bound != address(0)) revert ConsentRegistry_SubjectBound(streamId, bound);
        if (_subjectErasedAt[subject] != 0) revert ConsentRegistry_SubjectErased(subject);
        bytes32 device = _deviceOf[subject];
        if (device == 0) {
            _deviceOf[subject] = stream.deviceId;
        } else if (device != stream.deviceId) {
            revert ConsentRegistry_SubjectOfOtherDevice(subject, device);
        }
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(BINDING_TYPEHASH, binding)));
        _checkSignature(_ownerOf(stream), digest, ownerSignature);
        _checkSignature(subject, digest, subjectSignature);
        _streams[streamId].subject = subject;
        emit SubjectBound(streamId, subject);
    }

    /// @inheritdoc IConsentRegistry
    function eraseSubject() external {
        _eraseSubject(msg.sender);
    }

    /// @inheritdoc IConsentRegistry
    function eraseSubjectBySignature(SubjectErasure calldata erasure, bytes calldata signature) external {
        _checkDeadline(erasure.deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(SUBJECT_ERASURE_TYPEHASH, erasure)));
        _checkSignature(erasure.subject, digest, signature);
        _eraseSubject(erasure.subject);
    }

    /* GRANTS */

    /// @inheritdoc IConsentRegistry
    function grant(Stream calldata stream, bytes32 purpose, address grantee, uint64 fromMs, uint64 untilMs) external {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        address owner = _ownerOf(stream);
        if (msg.sender != owner) revert ConsentRegistry_NotOwner(streamId, owner, msg.sender);
        StreamState memory state = _streams[streamId];
        if (stream.mode == ProtocolTypes.MODE_SEALED && state.subject != owner) {
            revert ConsentRegistry_SubjectMustSign(streamId, state.subject);
        }
        _grant(streamId, state, purpose, grantee, fromMs, untilMs);
    }

    /// @inheritdoc IConsentRegistry
    function grantBySignature(
        Stream calldata stream,
        Grant calldata given,
        bytes calldata ownerSignature,
        bytes calldata subjectSignature
    ) external {
        bytes32 streamId = _checkStream(stream, given.streamId);
        _checkDeadline(given.deadline);
        StreamState memory state = _streams[streamId];
        if (given.epoch != state.epoch) revert ConsentRegistry_WrongEpoch(state.epoch, given.epoch);
        _checkNonce(_grants[streamId][given.purpose][given.grantee], given.nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(GRANT_TYPEHASH, given)));
        address owner = _ownerOf(stream);
        _checkSignature(owner, digest, ownerSignature);
        if (stream.mode == ProtocolTypes.MODE_SEALED && state.subject != owner) {
            if (state.subject == address(0)) revert ConsentRegistry_SubjectMustSign(streamId, address(0));
            _checkSignature(state.subject, digest, subjectSignature);
        }
        _grant(streamId, state, given.purpose, given.grantee, given.fromMs, given.untilMs);
    }

    /// @inheritdoc IConsentRegistry
    function revoke(Stream calldata stream, bytes32 purpose, address grantee) external {
        _revoke(_checkCaller(stream), purpose, grantee);
    }

    /// @inheritdoc IConsentRegistry
    function revokeBySignature(
        Stream calldata stream,
        Revocation calldata revocation,
        bytes calldata signature
    ) external {
        bytes32 streamId = _checkStream(stream, revocation.streamId);
        _checkDeadline(revocation.deadline);
        _checkNonce(_grants[streamId][revocation.purpose][revocation.grantee], revocation.nonce);
        _checkEither(stream, streamId, keccak256(abi.encode(REVOCATION_TYPEHASH, revocation)), signature);
        _revoke(streamId, revocation.purpose, revocation.grantee);
    }

    /// @inheritdoc IConsentRegistry
    function revokeAll(Stream calldata stream) external {
        _revokeAll(_checkCaller(stream));
    }

    /// @inheritdoc IConsentRegistry
    function revokeAllBySignature(
        Stream calldata stream,
        RevocationOfAll calldata revocation,
        bytes calldata signature
    ) external {
        bytes32 streamId = _checkStream(stream, revocation.streamId);
        _checkDeadline(revocation.deadline);
        uint40 epoch = _streams[streamId].epoch;
        if (revocation.epoch != epoch) revert ConsentRegistry_WrongEpoch(epoch, revocation.epoch);
        _checkEither(stream, streamId, keccak256(abi.encode(REVOCATION_OF_ALL_TYPEHASH, revocation)), signature);
        _revokeAll(streamId);
    }

    /* ERASURE */

    /// @inheritdoc IConsentRegistry
    function requestErasure(Stream calldata stream, uint32 fromSlot, uint32 toSlot) external returns (uint64 number) {
        return _request(_checkCaller(stream), stream.mode, fromSlot, toSlot);
    }

    /// @inheritdoc IConsentRegistry
    function requestErasureBySignature(
        Stream calldata stream,
        ErasureRequest calldata request,
        bytes calldata signature
    ) external returns (uint64 number) {
        bytes32 streamId = _checkStream(stream, request.streamId);
        _checkDeadline(request.deadline);
        address signer = _checkEither(stream, streamId, keccak256(abi.encode(REQUEST_TYPEHASH, request)), signature);
        _useCheckedNonce(signer, request.nonce);
        return _request(streamId, stream.mode, request.fromSlot, request.toSlot);
    }

    /// @inheritdoc IConsentRegistry
    function setHolders(
        Stream calldata stream,
        Holders calldata holders,
        Holders calldata previous,
        bytes calldata signature
    ) external {
        bytes32 streamId = _checkStream(stream, holders.streamId);
        uint256 n = holders.holders.length;
        if (n == 0 || n > MAX_HOLDERS) revert ConsentRegistry_HolderCount(n);
        bytes32 hash = _hashHolders(holders);
        bytes32 recorded = _holders[streamId];
        if (hash == recorded) return;
        if (recorded != 0) _checkLater(recorded, previous, holders);
        for (uint256 i = 0; i < n; ++i) {
            for (uint256 j = 0; j < i; ++j) {
                if (holders.holders[i] == holders.holders[j]) {
                    revert ConsentRegistry_HolderRepeated(holders.holders[i]);
                }
            }
        }
        _checkSignature(_ownerOf(stream), _hashTypedDataV4(hash), signature);
        _holders[streamId] = hash;
        _streams[streamId].holders = uint8(n);
        emit HoldersSet(streamId, holders.version, holders.holders);
    }

    /// @inheritdoc IConsentRegistry
    function submitErased(Erased calldata erased, Holders calldata holders, bytes calldata signature) external {
        (bytes32 streamId, uint64 number) = (erased.streamId, erased.number);
        Erasure memory tombstone = _erasureAt(streamId, number);
        if (erased.fromSlot != tombstone.fromSlot || erased.toSlot != tombstone.toSlot) {
            revert ConsentRegistry_WrongSlots(tombstone.fromSlot, tombstone.toSlot);
        }
        bytes32 recorded = _holders[streamId];
        bytes32 given = _hashHolders(holders);
        if (recorded != given) revert ConsentRegistry_WrongHolders(recorded, given);
        address signer = ECDSA.recover(_hashTypedDataV4(keccak256(abi.encode(ERASED_TYPEHASH, erased))), signature);
        uint64 bit = _bitOf(streamId, holders.holders, signer);
        Receipts memory receipts = _receipts[streamId][number];
        if (receipts.received & bit != 0) return;
        if (
            erased.keysDestroyedAt > ProtocolTypes.nowMs() + CLOCK_MS || erased.backupsExpireAt < erased.keysDestroyedAt
        ) revert ConsentRegistry_WrongTimes(erased.keysDestroyedAt, erased.backupsExpireAt);

        receipts.received |= bit;
        if (erased.keysDestroyedAt > receipts.keysDestroyedAt) receipts.keysDestroyedAt = erased.keysDestroyedAt;
        if (erased.backupsExpireAt > receipts.backupsExpireAt) receipts.backupsExpireAt = erased.backupsExpireAt;
        emit ReceiptTaken(streamId, number, signer, erased);
        if (!receipts.complete && receipts.received == type(uint64).max >> (MAX_HOLDERS - holders.holders.length)) {
            receipts.complete = true;
            emit ErasureCompleted(streamId, number, receipts.backupsExpireAt);
        }
        _receipts[streamId][number] = receipts;
    }

    /* VIEWS */

    /// @inheritdoc IConsent
    function erasures(bytes32 streamId) external view returns (uint64 count) {
        (count, ) = consentOf(streamId, 0, address(0));
    }

    /// @inheritdoc IConsent
    function authorised(bytes32 streamId, bytes32 purpose, address buyer) external view returns (bool may) {
        (, may) = consentOf(streamId, purpose, buyer);
    }

    /// @inheritdoc IConsent
    function consentOf(bytes32 streamId, bytes32 purpose, address buyer) public view returns (uint64, bool) {
        StreamState memory state = _streams[streamId];
        if (_isSubjectErased(state)) return (state.tombstones + 1, false);
        if (state.erased) return (state.tombstones, false);
        mapping(address grantee => GrantState) storage granted = _grants[streamId][purpose];
        GrantState memory own = granted[buyer];
        bool may = !own.revoked && (_holds(own, state.epoch) || _holds(granted[address(0)], state.epoch));
        return (state.tombstones, may);
    }

    /// @inheritdoc IConsentRegistry
    function erasureAt(bytes32 streamId, uint64 number) external view returns (Erasure memory) {
        return _erasureAt(streamId, number);
    }

    /// @inheritdoc IConsentRegistry
    function receiptsOf(bytes32 streamId, uint64 number) external view returns (Receipts memory) {
        return _receipts[streamId][number];
    }

    /// @inheritdoc IConsentRegistry
    function completeAt(bytes32 streamId, uint64 number) external view returns (uint64) {
        Receipts memory receipts = _receipts[streamId][number];
        return receipts.complete ? receipts.backupsExpireAt : 0;
    }

    /// @inheritdoc IConsentRegistry
    function grantOf(bytes32 streamId, bytes32 purpose, address grantee) external view returns (GrantState memory) {
        return _grants[streamId][purpose][grantee];
    }

    /// @inheritdoc IConsentRegistry
    function epochOf(bytes32 streamId) external view returns (uint64) {
        return _streams[streamId].epoch;
    }

    /// @inheritdoc IConsentRegistry
    function subjectOf(bytes32 streamId) external view returns (address) {
        return _streams[streamId].subject;
    }

    /// @inheritdoc IConsentRegistry
    function subjectErasedAt(address subject) external view returns (uint64) {
        return _subjectErasedAt[subject];
    }

    /// @inheritdoc IConsentRegistry
    function holdersHash(bytes32 streamId) external view returns (bytes32) {
        return _holders[streamId];
    }

    /* PRIVATE */

    function _grant(
        bytes32 streamId,
        StreamState memory state,
        bytes32 purpose,
        address grantee,
        uint64 fromMs,
        uint64 untilMs
    ) private {
        if (purpose == 0) revert ConsentRegistry_PurposeZero(streamId);
        if (state.erased || _isSubjectErased(state)) revert ConsentRegistry_StreamErased(streamId);
        uint64 nowMs = ProtocolTypes.nowMs();
        if (fromMs > untilMs || untilMs < nowMs) revert ConsentRegistry_EmptyPeriod(fromMs, untilMs, nowMs);
        GrantState storage stored = _grants[streamId][purpose][grantee];
        _grants[streamId][purpose][grantee] = GrantState(fromMs, untilMs, state.epoch, stored.changes + 1, false);
        emit Granted(streamId, purpose, grantee, fromMs, untilMs);
    }

    function _revoke(bytes32 streamId, bytes32 purpose, address grantee) private {
        GrantState storage stored = _grants[streamId][purpose][grantee];
        _grants[streamId][purpose][grantee] = GrantState(0, 0, 0, stored.changes + 1, true);
        emit Revoked(streamId, purpose, grantee);
    }

    function _revokeAll(bytes32 streamId) private {
        uint40 epoch = ++_streams[streamId].epoch;
        emit AllRevoked(streamId, epoch);
    }

    function _request(bytes32 streamId, uint8 mode, uint32 fromSlot, uint32 toSlot) private returns (uint64 number) {
        if (fromSlot > toSlot) revert ConsentRegistry_EmptyWindow(fromSlot, toSlot);
        bool whole = fromSlot == 0 && toSlot == type(uint32).max;
        if (mode == ProtocolTypes.MODE_DATASET) {
            if (toSlot != 0) revert ConsentRegistry_DatasetIsWhole(fromSlot, toSlot);
            whole = true;
        }
        StreamState memory state = _streams[streamId];
        if (state.erased || _isSubjectErased(state)) revert ConsentRegistry_StreamErased(streamId);
        number = ++state.tombstones;
        state.erased = whole;
        _streams[streamId] = state;
        uint64 nowMs = ProtocolTypes.nowMs();
        _erasures[streamId][number] = Erasure(fromSlot, toSlot, nowMs);
        emit ErasureRequested(streamId, number, fromSlot, toSlot, nowMs);
    }

    function _eraseSubject(address subject) private {
        if (_deviceOf[subject] == 0) revert ConsentRegistry_SubjectUnknown(subject);
        if (_subjectErasedAt[subject] != 0) revert ConsentRegistry_SubjectErased(subject);
        uint64 nowMs = ProtocolTypes.nowMs();
        _subjectErasedAt[subject] = nowMs;
        emit SubjectErased(subject, nowMs);
    }

    /// @return streamId Of a stream that the caller owns or is the subject of.
    function _checkCaller(Stream calldata stream) private view returns (bytes32 streamId) {
        streamId = ProtocolTypes.hashStream(stream);
        if (msg.sender != _ownerOf(stream) && msg.sender != _streams[streamId].subject) {
            revert ConsentRegistry_NotOwnerOrSubject(streamId, msg.sender);
        }
    }

    /// @return Owner or subject, whoever signed.
    function _checkEither(
        Stream calldata stream,
        bytes32 streamId,
        bytes32 structHash,
        bytes calldata signature
    ) private view returns (address) {
        bytes32 digest = _hashTypedDataV4(structHash);
        address owner = _ownerOf(stream);
        if (_isSignedBy(owner, digest, signature)) return owner;
        address subject = _streams[streamId].subject;
        if (_isSignedBy(subject, digest, signature)) return subject;
        revert ConsentRegistry_WrongSignature(owner);
    }

    function _checkStream(Stream calldata stream, bytes32 given) private pure returns (bytes32 streamId) {
        streamId = ProtocolTypes.hashStream(stream);
        if (given != streamId) revert ConsentRegistry_WrongStream(streamId, given);
    }

    /// @dev That the recorded version is `previous` and every holder of it stands at its place in `next`.
    function _checkLater(bytes32 recorded, Holders calldata previous, Holders calldata next) private pure {
        bytes32 given = _hashHolders(previous);
        if (given != recorded) revert ConsentRegistry_WrongHolders(recorded, given);
        if (next.version <= previous.version) {
            revert ConsentRegistry_VersionNotRising(previous.version, next.version);
        }
        for (uint256 i = 0; i < previous.holders.length; ++i) {
            if (i >= next.holders.length || next.holders[i] != previous.holders[i]) {
                revert ConsentRegistry_HolderLeftOut(i, previous.holders[i]);
            }
        }
    }

    function _checkDeadline(uint64 deadline) private view {
        uint64 nowMs = ProtocolTypes.nowMs();
        if (nowMs > deadline) revert ConsentRegistry_Expired(deadline, nowMs);
    }

    function _checkNonce(GrantState storage stored, uint64 nonce) private view {
        if (nonce != stored.changes) revert ConsentRegistry_WrongNonce(stored.changes, nonce);
    }

    function _checkSignature(address signer, bytes32 digest, bytes calldata signature) private view {
        if (!_isSignedBy(signer, digest, signature)) revert ConsentRegistry_WrongSignature(signer);
    }

    function _isSignedBy(address signer, bytes32 digest, bytes calldata signature) private view returns (bool) {
        return signer != address(0) && SignatureChecker.isValidSignatureNow(signer, digest, signature);
    }

    /// @dev Of the stream's own owner epoch: a new owner can't speak for the past of the old one, nor the reverse.
    function _ownerOf(Stream calldata stream) private view returns (address) {
        return _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
    }

    function _isSubjectErased(StreamState memory state) private view returns (bool) {
        return state.subject != address(0) && _subjectErasedAt[state.subject] != 0;
    }

    function _holds(GrantState memory granted, uint40 epoch) private view returns (bool) {
        uint64 nowMs = ProtocolTypes.nowMs();
        return
            granted.changes != 0 &&
            !granted.revoked &&
            granted.epoch == epoch &&
            granted.fromMs <= nowMs &&
            nowMs <= granted.untilMs;
    }

    /// @dev The subject's tombstone comes after all of the stream's own, which then rise no more.
    function _erasureAt(bytes32 streamId, uint64 number) private view returns (Erasure memory) {
        StreamState memory state = _streams[streamId];
        if (number == uint64(state.tombstones) + 1 && _isSubjectErased(state)) {
            return Erasure(0, type(uint32).max, _subjectErasedAt[state.subject]);
        }
        if (number == 0 || number > state.tombstones) revert ConsentRegistry_NoErasure(streamId, number);
        return _erasures[streamId][number];
    }

    function _bitOf(bytes32 streamId, address[] calldata holders, address signer) private pure returns (uint64) {
        for (uint256 i = 0; i < holders.length; ++i) {
            if (holders[i] == signer) return uint64(1) << uint64(i);
        }
        revert ConsentRegistry_NotHolder(streamId, signer);
    }

    function _hashHolders(Holders calldata holders) private pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    HOLDERS_TYPEHASH,
                    holders.streamId,
                    holders.version,
                    keccak256(abi.encodePacked(holders.holders))
                )
            );
    }
}
