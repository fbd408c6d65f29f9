// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {Enrol, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {IBootPolicy} from "./IBootPolicy.sol";
import {IDeviceRegistry} from "./IDeviceRegistry.sol";
import {SigningKey} from "./SigningKey.sol";

/// @title DeviceRegistry
contract DeviceRegistry is IDeviceRegistry, AccessManaged, EIP712, Pausable {
    using Checkpoints for Checkpoints.Trace208;

    /// @dev What holds now, since a block, in one word; what held before is in the checkpoints.
    struct State {
        Status status;
        Assurance assurance;
        uint32 keyEpoch;
        uint32 ownerEpoch;
        uint48 since;
        uint64 nonce;
        /// Number of the organisation that was vouched for.
        uint32 organisation;
    }

    struct Key {
        bytes32 keyHash;
        uint64 revokedAt;
    }

    /// @dev `number` is 0 until its first device; `live` and `cap` count software elements.
    struct Organisation {
        uint32 number;
        uint32 live;
        uint32 cap;
    }

    bytes32 private constant ROTATION_TYPEHASH = keccak256(
        "Rotation(bytes32 deviceId,uint32 keyEpoch,bytes32 akName,uint8 keyAlg,bytes32 keyHash,bool revokeOld,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant TRANSFER_TYPEHASH = keccak256(
        "Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant ENDORSEMENT_TYPEHASH = keccak256(
        "Endorsement(bytes32 deviceId,bytes32 ekHash,uint64 deadline)"
    );

    bytes32 private constant QUOTE_TYPEHASH = keccak256(
        "Quote(bytes32 deviceId,uint32 keyEpoch,bytes32 policyId,bytes32 pcrDigest,uint32 resetCount,uint32 restartCount,bool safe,uint64 quotedAtMs,uint64 validUntilMs,bytes32 evidenceDigest,uint64 deadline)"
    );

    uint256 private constant MAX_THRESHOLD = 16;
    /// @dev How far a registrar's clock may be ahead of the chain's.
    uint64 private constant CLOCK_MS = 120_000;
    uint64 private constant MAX_VALID_MS = 30 days * 1000;

    IDirectory private immutable _directory;
    IBootPolicy private immutable _bootPolicy;

    uint16 private _threshold;
    uint32 private _registrarCount;
    mapping(address account => bool) private _registrars;
    mapping(bytes32 deviceId => State) private _states;
    /// @dev Status in bits 0 to 7, keyEpoch in 8 to 39, ownerEpoch in 40 to 71.
    mapping(bytes32 deviceId => Checkpoints.Trace208) private _history;
    mapping(bytes32 deviceId => bytes32) private _policies;
    mapping(bytes32 deviceId => Freshness) private _freshness;
    mapping(bytes32 deviceId => mapping(uint32 keyEpoch => Key)) private _keys;
    mapping(bytes32 deviceId => mapping(uint32 ownerEpoch => address)) private _owners;
    mapping(bytes32 ekHash => bytes32 deviceId) private _deviceOfEndorsement;
    mapping(bytes32 keyHash => bytes32 deviceId) private _deviceOfKey;
    mapping(bytes32 organisation => Organisation) private _organisations;
    /// @dev By number − 1, so that a device's organisation takes four bytes.
    bytes32[] private _organisationIds;

    /// @param authority The AccessManager.
    /// @param directory Says which organisation a registrar speaks for.
    /// @param bootPolicy Says which boot measurements are accepted when.
    constructor(
        address authority,
        IDirectory directory,
        IBootPolicy bootPolicy
    ) AccessManaged(authority) EIP712("DeviceRegistry", "1") {
        _directory = directory;
        _bootPolicy = bootPolicy;
    }

    /* SIGNED ACTIONS */

    /// @inheritdoc IDeviceRegistry
    function enrol(
        Enrol calldata enrolment,
        bytes calldata spki,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external whenNotPaused {
        bytes32 deviceId = enrolment.deviceId;
        if (deviceId == 0) revert DeviceRegistry_ZeroDeviceId();
        State memory state = _states[deviceId];
        if (state.status != Status.None) revert DeviceRegistry_AlreadyEnrolled(deviceId);
        if (enrolment.organisation == 0) revert DeviceRegistry_OrganisationZero(deviceId);
        if (enrolment.owner == address(0)) revert DeviceRegistry_OwnerZero(deviceId);
        if ((enrolment.akName == 0) != (enrolment.ekHash == 0)) {
            revert DeviceRegistry_EndorsementMismatch(enrolment.akName, enrolment.ekHash);
        }
        _useNonce(state, enrolment.nonce, enrolment.deadline);

        bytes32 digest = _hashTypedDataV4(ProtocolTypes.hashEnrol(enrolment));
        _takeKey(deviceId, 1, enrolment.keyAlg, enrolment.keyHash, spki);
        _checkOwner(enrolment.owner, digest, ownerSignature);
        _checkRegistrars(digest, registrarSignatures);

        if (enrolment.akName == 0) {
            bytes32 expected = keccak256(abi.encodePacked("msec.device.sw", spki));
            if (deviceId != expected) revert DeviceRegistry_WrongDeviceId(expected, deviceId);
            Organisation storage organisation = _organisations[enrolment.organisation];
            if (organisation.live >= organisation.cap) {
                revert DeviceRegistry_SoftwareCapReached(enrolment.organisation, organisation.cap);
            }
            organisation.live++;
            state.assurance = Assurance.Software;
        } else {
            _bind(enrolment.ekHash, deviceId);
            state.assurance = Assurance.Tpm;
        }
        state.organisation = _numberOf(enrolment.organisation);
        if (enrolment.policyId != 0) _policies[deviceId] = enrolment.policyId;
        _owners[deviceId][1] = enrolment.owner;
        (state.status, state.keyEpoch, state.ownerEpoch) = (Status.Active, 1, 1);
        state.since = SafeCast.toUint48(block.number);
        _states[deviceId] = state;
        emit Enrolled(deviceId, enrolment.owner, enrolment.organisation, state.assurance, spki, enrolment);
    }

    /// @inheritdoc IDeviceRegistry
    function bindEndorsement(
        Endorsement calldata endorsement,
        bytes[] calldata registrarSignatures
    ) external whenNotPaused {
        if (endorsement.deviceId == 0) revert DeviceRegistry_ZeroDeviceId();
        if (endorsement.ekHash == 0) revert DeviceRegistry_EndorsementMismatch(0, 0);
        _checkDeadline(endorsement.deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(ENDORSEMENT_TYPEHASH, endorsement)));
        _checkRegistrars(digest, registrarSignatures);
        _bind(endorsement.ekHash, endorsement.deviceId);
    }

    /// @inheritdoc IDeviceRegistry
    function rotateKey(
        Rotation calldata rotation,
        bytes calldata spki,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external {
        bytes32 deviceId = rotation.deviceId;
        State memory state = _current(deviceId);
        if (state.status != Status.Active && state.status != Status.Suspended) {
            revert DeviceRegistry_WrongStatus(deviceId, state.status);
        }
        uint32 keyEpoch = state.keyEpoch + 1;
        if (rotation.keyEpoch != keyEpoch) revert DeviceRegistry_WrongKeyEpoch(keyEpoch, rotation.keyEpoch);
        if ((rotation.akName == 0) != (state.assurance == Assurance.Software)) {
            revert DeviceRegistry_AssuranceChanged(deviceId);
        }
        _useNonce(state, rotation.nonce, rotation.deadline);

        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(ROTATION_TYPEHASH, rotation)));
        _takeKey(deviceId, keyEpoch, rotation.keyAlg, rotation.keyHash, spki);
        _checkOwner(_owners[deviceId][state.ownerEpoch], digest, ownerSignature);
        _checkRegistrars(digest, registrarSignatures);

        _policies[deviceId] = rotation.policyId;
        if (rotation.revokeOld && _keys[deviceId][state.keyEpoch].revokedAt == 0) {
            _revoke(deviceId, state.keyEpoch);
        }
        _keep(deviceId, state);
        state.keyEpoch = keyEpoch;
        _states[deviceId] = state;
        emit KeyRotated(deviceId, keyEpoch, spki, rotation);
    }

    /// @inheritdoc IDeviceRegistry
    function transferOwnership(
        Transfer calldata transfer,
        bytes calldata ownerSignature,
        bytes calldata newOwnerSignature
    ) external {
        bytes32 deviceId = transfer.deviceId;
        State memory state = _current(deviceId);
        if (state.status != Status.Active && state.status != Status.Suspended) {
            revert DeviceRegistry_WrongStatus(deviceId, state.status);
        }
        if (transfer.newOwner == address(0)) revert DeviceRegistry_OwnerZero(deviceId);
        _useNonce(state, transfer.nonce, transfer.deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(TRANSFER_TYPEHASH, transfer)));
        address from = _owners[deviceId][state.ownerEpoch];
        _checkOwner(from, digest, ownerSignature);
        _checkOwner(transfer.newOwner, digest, newOwnerSignature);

        _keep(deviceId, state);
        state.ownerEpoch++;
        _owners[deviceId][state.ownerEpoch] = transfer.newOwner;
        _states[deviceId] = state;
        emit OwnershipTransferred(deviceId, from, transfer.newOwner, state.ownerEpoch);
    }

    /// @inheritdoc IDeviceRegistry
    function reportQuote(Quote calldata quote, bytes[] calldata registrarSignatures) external {
        bytes32 deviceId = quote.deviceId;
        State memory state = _current(deviceId);
        if (state.status == Status.Retired) revert DeviceRegistry_WrongStatus(deviceId, state.status);
        if (quote.keyEpoch != state.keyEpoch) revert DeviceRegistry_WrongKeyEpoch(state.keyEpoch, quote.keyEpoch);
        bytes32 policyId = _policies[deviceId];
        if (policyId == 0 || quote.policyId != policyId) revert DeviceRegistry_WrongPolicy(policyId, quote.policyId);
        _checkDeadline(quote.deadline);
        Freshness memory last = _freshness[deviceId];
        if (last.keyEpoch != quote.keyEpoch) last = Freshness(0, 0, 0, 0, 0, false, 0);
        if (
            quote.quotedAtMs <= last.quotedAtMs ||
            quote.quotedAtMs > ProtocolTypes.nowMs() + CLOCK_MS ||
            quote.validUntilMs < quote.quotedAtMs ||
            quote.validUntilMs - quote.quotedAtMs > MAX_VALID_MS
        ) revert DeviceRegistry_WrongQuoteTimes(last.quotedAtMs, quote.quotedAtMs, quote.validUntilMs);
        if (
            quote.resetCount < last.resetCount ||
            (quote.resetCount == last.resetCount && quote.restartCount < last.restartCount)
        ) revert DeviceRegistry_CountersFell(deviceId, quote.resetCount, quote.restartCount);
        if (!_bootPolicy.accepts(policyId, quote.pcrDigest, quote.quotedAtMs)) {
            revert DeviceRegistry_BootRefused(policyId, quote.pcrDigest, quote.quotedAtMs);
        }
        _checkRegistrars(_hashTypedDataV4(keccak256(abi.encode(QUOTE_TYPEHASH, quote))), registrarSignatures);

        _freshness[deviceId] = Freshness({
            quotedAtMs: quote.quotedAtMs,
            validUntilMs: quote.validUntilMs,
            resetCount: quote.resetCount,
            restartCount: quote.restartCount,
            keyEpoch: quote.keyEpoch,
            safe: quote.safe,
            pcrDigest: quote.pcrDigest
        });
        emit QuoteReported(deviceId, quote.pcrDigest, quote);
    }

    /* OWNER OR OFFICER */

    /// @inheritdoc IDeviceRegistry
    function revokeKey(bytes32 deviceId, uint32 keyEpoch) external {
        State memory state = _current(deviceId);
        if (msg.sender != _owners[deviceId][state.ownerEpoch]) _checkCanCall(msg.sender, msg.data);
        if (keyEpoch == 0 || keyEpoch > state.keyEpoch) {
            revert DeviceRegistry_WrongKeyEpoch(state.keyEpoch, keyEpoch);
        }
        if (_keys[deviceId][keyEpoch].revokedAt != 0) revert DeviceRegistry_KeyAlreadyRevoked(deviceId, keyEpoch);
        _revoke(deviceId, keyEpoch);
    }

    /// @inheritdoc IDeviceRegistry
    function setStatus(bytes32 deviceId, Status status) external {
        State memory state = _current(deviceId);
        bool byOwner =
            msg.sender == _owners[deviceId][state.ownerEpoch] &&
                (status == Status.Retired || (status == Status.Suspended && state.status == Status.Active));
        if (!byOwner) _checkCanCall(msg.sender, msg.data);
        if (state.status == Status.Retired || status == Status.None || status == state.status) {
            revert DeviceRegistry_WrongStatus(deviceId, state.status);
        }
        if (status == Status.Retired && state.assurance == Assurance.Software) {
            _organisations[_organisationIds[state.organisation - 1]].live--;
        }
        _keep(deviceId, state);
        state.status = status;
        _states[deviceId] = state;
        emit StatusSet(deviceId, status, msg.sender);
    }

    /* RESTRICTED */

    /// @inheritdoc IDeviceRegistry
    function setRegistrar(address registrar, bool enabled) external restricted {
        if (_registrars[registrar] != enabled) {
            _registrars[registrar] = enabled;
            if (enabled) {
                _registrarCount++;
            } else {
                _registrarCount--;
                if (_registrarCount < _threshold) {
                    revert DeviceRegistry_WrongThreshold(_threshold, _registrarCount);
                }
            }
        }
        emit RegistrarSet(registrar, enabled);
    }

    /// @inheritdoc IDeviceRegistry
    function setThreshold(uint16 threshold_) external restricted {
        if (threshold_ == 0 || threshold_ > _registrarCount || threshold_ > MAX_THRESHOLD) {
            revert DeviceRegistry_WrongThreshold(threshold_, _registrarCount);
        }
        _threshold = threshold_;
        emit ThresholdSet(threshold_);
    }

    /// @inheritdoc IDeviceRegistry
    function setSoftwareCap(bytes32 organisation, uint32 cap) external restricted {
        _organisations[organisation].cap = cap;
        emit SoftwareCapSet(organisation, cap);
    }

    /// @inheritdoc IDeviceRegistry
    function pause() external restricted {
        _pause();
    }

    /// @inheritdoc IDeviceRegistry
    function unpause() external restricted {
        _unpause();
    }

    /* VIEWS */

    /// @inheritdoc IDeviceRegistry
    function device(bytes32 deviceId) external view returns (DeviceView memory) {
        State memory state = _states[deviceId];
        return
            DeviceView({
                status: uint8(state.status),
                assurance: uint8(state.assurance),
                owner: _owners[deviceId][state.ownerEpoch],
                ownerEpoch: state.ownerEpoch,
                organisation: state.organisation == 0 ? bytes32(0) : _organisationIds[state.organisation - 1],
                keyEpoch: state.keyEpoch,
                keyHash: _keys[deviceId][state.keyEpoch].keyHash,
                policyId: _policies[deviceId]
            });
    }

    /// @inheritdoc IDeviceRegistry
    function keyHashOf(bytes32 deviceId, uint32 keyEpoch) external view returns (bytes32) {
        return _keys[deviceId][keyEpoch].keyHash;
    }

    /// @inheritdoc IDeviceRegistry
    function keyRevokedAt(bytes32 deviceId, uint32 keyEpoch) external view returns (uint64) {
        return _keys[deviceId][keyEpoch].revokedAt;
    }

    /// @inheritdoc IDeviceRegistry
    function ownerOf(bytes32 deviceId, uint32 ownerEpoch) external view returns (address) {
        return _owners[deviceId][ownerEpoch];
    }

    /// @inheritdoc IDeviceRegistry
    function statusAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint8) {
        return uint8(_at(deviceId, blockNumber));
    }

    /// @inheritdoc IDeviceRegistry
    function keyEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32) {
        return uint32(_at(deviceId, blockNumber) >> 8);
    }

    /// @inheritdoc IDeviceRegistry
    function ownerEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32) {
        return uint32(_at(deviceId, blockNumber) >> 40);
    }

    /// @inheritdoc IDeviceRegistry
    function currentOwnerEpoch(bytes32 deviceId) external view returns (uint32) {
        return _states[deviceId].ownerEpoch;
    }

    /// @inheritdoc IDeviceRegistry
    function currentKeyEpoch(bytes32 deviceId) external view returns (uint32) {
        return _states[deviceId].keyEpoch;
    }

    /// @inheritdoc IDeviceRegistry
    function freshnessOf(bytes32 deviceId) external view returns (Freshness memory) {
        return _freshness[deviceId];
    }

    /// @inheritdoc IDeviceRegistry
    function isFresh(bytes32 deviceId, uint64 atMs) external view returns (bool) {
        Freshness memory last = _freshness[deviceId];
        return
            last.safe &&
            last.keyEpoch == _states[deviceId].keyEpoch &&
            last.quotedAtMs <= atMs &&
            atMs <= last.validUntilMs &&
            _bootPolicy.accepts(_policies[deviceId], last.pcrDigest, atMs);
    }

    /// @inheritdoc IDeviceRegistry
    function deviceOfEndorsement(bytes32 ekHash) external view returns (bytes32) {
        return _deviceOfEndorsement[ekHash];
    }

    /// @inheritdoc IDeviceRegistry
    function deviceOfKey(bytes32 keyHash) external view returns (bytes32) {
        return _deviceOfKey[keyHash];
    }

    /// @inheritdoc IDeviceRegistry
    function nonceOf(bytes32 deviceId) external view returns (uint256) {
        return _states[deviceId].nonce;
    }

    /// @inheritdoc IDeviceRegistry
    function isRegistrar(address account) external view returns (bool) {
        return _registrars[account];
    }

    /// @inheritdoc IDeviceRegistry
    function registrarCount() external view returns (uint256) {
        return _registrarCount;
    }

    /// @inheritdoc IDeviceRegistry
    function threshold() external view returns (uint16) {
        return _threshold;
    }

    /// @inheritdoc IDeviceRegistry
    function softwareElements(bytes32 organisation) external view returns (uint32 live, uint32 cap) {
        Organisation storage counted = _organisations[organisation];
        return (counted.live, counted.cap);
    }

    /* PRIVATE */

    function _bind(bytes32 ekHash, bytes32 deviceId) private {
        bytes32 holder = _deviceOfEndorsement[ekHash];
        if (holder == deviceId) return;
        if (holder != 0) revert DeviceRegistry_EndorsementTaken(ekHash, holder);
        _deviceOfEndorsement[ekHash] = deviceId;
        emit EndorsementBound(ekHash, deviceId);
    }

    function _numberOf(bytes32 organisation) private returns (uint32 number) {
        number = _organisations[organisation].number;
        if (number != 0) return number;
        _organisationIds.push(organisation);
        number = SafeCast.toUint32(_organisationIds.length);
        _organisations[organisation].number = number;
    }

    function _revoke(bytes32 deviceId, uint32 keyEpoch) private {
        _keys[deviceId][keyEpoch].revokedAt = uint64(block.number);
        emit KeyRevoked(deviceId, keyEpoch, msg.sender);
    }

    /// @dev One key speaks for one device, for ever.
    function _takeKey(bytes32 deviceId, uint32 keyEpoch, uint8 keyAlg, bytes32 keyHash, bytes calldata spki) private {
        uint8 algorithm = SigningKey.algorithmOf(spki);
        if (algorithm == 0 || algorithm != keyAlg) revert DeviceRegistry_WrongKeyAlg(algorithm, keyAlg);
        bytes32 expected = SigningKey.keyHash(spki);
        if (keyHash != expected) revert DeviceRegistry_WrongKeyHash(expected, keyHash);
        bytes32 holder = _deviceOfKey[keyHash];
        if (holder != 0) revert DeviceRegistry_KeyTaken(keyHash, holder);
        _deviceOfKey[keyHash] = deviceId;
        _keys[deviceId][keyEpoch].keyHash = keyHash;
    }

    /// @dev Moves what held until now into the past; the caller then changes `state` and stores it.
    function _keep(bytes32 deviceId, State memory state) private {
        uint48 blockNumber = SafeCast.toUint48(block.number);
        if (state.since == blockNumber) return;
        _history[deviceId].push(state.since, _pack(state));
        state.since = blockNumber;
    }

    function _useNonce(State memory state, uint256 nonce, uint64 deadline) private view {
        _checkDeadline(deadline);
        if (nonce != state.nonce) revert DeviceRegistry_WrongNonce(state.nonce, nonce);
        state.nonce++;
    }

    function _checkOwner(address owner, bytes32 digest, bytes calldata signature) private view {
        if (!SignatureChecker.isValidSignatureNow(owner, digest, signature)) {
            revert DeviceRegistry_WrongOwnerSignature(owner);
        }
    }

    function _checkRegistrars(bytes32 digest, bytes[] calldata signatures) private view {
        uint256 k = _threshold;
        // An unset threshold admits nobody.
        if (k == 0 || signatures.length != k) revert DeviceRegistry_SignatureCount(k, signatures.length);
        bytes32[] memory organisations = new bytes32[](k);
        address previous;
        for (uint256 i = 0; i < k; ++i) {
            bytes calldata signature = signatures[i];
            if (signature.length != 65) revert DeviceRegistry_SignatureLength(signature.length);
            address signer = ECDSA.recover(
                digest,
                uint8(signature[64]),
                bytes32(signature[:32]),
                bytes32(signature[32:64])
            );
            if (signer <= previous) revert DeviceRegistry_SignersNotAscending(previous, signer);
            if (!_registrars[signer]) revert DeviceRegistry_NotRegistrar(signer);
            bytes32 organisation = _directory.organisationOf(signer);
            if (organisation == 0) revert DeviceRegistry_NotRegistrar(signer);
            for (uint256 j = 0; j < i; ++j) {
                if (organisations[j] == organisation) revert DeviceRegistry_OrganisationRepeated(organisation, signer);
            }
            organisations[i] = organisation;
            previous = signer;
        }
    }

    function _checkDeadline(uint64 deadline) private view {
        uint64 nowMs = ProtocolTypes.nowMs();
        if (nowMs > deadline) revert DeviceRegistry_Expired(deadline, nowMs);
    }

    function _current(bytes32 deviceId) private view returns (State memory state) {
        state = _states[deviceId];
        if (state.status == Status.None) revert DeviceRegistry_Unknown(deviceId);
    }

    function _at(bytes32 deviceId, uint256 blockNumber) private view returns (uint208) {
        State memory state = _states[deviceId];
        if (blockNumber >= state.since) return _pack(state);
        return _history[deviceId].upperLookupRecent(uint48(blockNumber));
    }

    function _pack(State memory state) private pure returns (uint208) {
        return uint208(uint8(state.status)) | (uint208(state.keyEpoch) << 8) | (uint208(state.ownerEpoch) << 40);
    }
}
