// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {P256} from "@openzeppelin/contracts/utils/cryptography/P256.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {Enrol, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "./IDeviceRegistry.sol";
import {P256Key} from "./P256Key.sol";

/// @title DeviceRegistry
contract DeviceRegistry is IDeviceRegistry, AccessManaged, EIP712, Pausable {
    using Checkpoints for Checkpoints.Trace208;

    struct Device {
        bytes32 organisation;
        bytes32 ekHash;
        bytes32 policyId;
        uint128 nonce;
        Assurance assurance;
    }

    struct Key {
        bytes32 keyHash;
        uint64 revokedAt;
    }

    struct Cap {
        uint32 live;
        uint32 cap;
    }

    /// @dev What one checkpoint holds: status in bits 0 to 7, keyEpoch in 8 to 39, ownerEpoch in 40 to 71.
    struct Snapshot {
        Status status;
        uint32 keyEpoch;
        uint32 ownerEpoch;
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

    uint8 private constant KEY_ALG_ES256 = 1;
    uint256 private constant MAX_THRESHOLD = 16;

    IDirectory private immutable _directory;

    uint16 private _threshold;
    uint32 private _registrarCount;
    mapping(address account => bool) private _registrars;
    mapping(bytes32 deviceId => Device) private _devices;
    mapping(bytes32 deviceId => Checkpoints.Trace208) private _history;
    mapping(bytes32 deviceId => mapping(uint32 keyEpoch => Key)) private _keys;
    mapping(bytes32 deviceId => mapping(uint32 ownerEpoch => address)) private _owners;
    mapping(bytes32 ekHash => bytes32 deviceId) private _deviceOfEndorsement;
    mapping(bytes32 keyHash => bytes32 deviceId) private _deviceOfKey;
    mapping(bytes32 organisation => Cap) private _software;

    /// @param authority The AccessManager.
    /// @param directory Says which organisation a registrar speaks for.
    constructor(address authority, IDirectory directory) AccessManaged(authority) EIP712("DeviceRegistry", "1") {
        _directory = directory;
    }

    /* SIGNED ACTIONS */

    /// @inheritdoc IDeviceRegistry
    function enrol(
        Enrol calldata enrolment,
        bytes32 x,
        bytes32 y,
        bytes calldata keySignature,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external whenNotPaused {
        bytes32 deviceId = enrolment.deviceId;
        if (deviceId == 0) revert DeviceRegistry_ZeroDeviceId();
        if (_history[deviceId].length() != 0) revert DeviceRegistry_AlreadyEnrolled(deviceId);
        if (enrolment.organisation == 0) revert DeviceRegistry_OrganisationZero(deviceId);
        if (enrolment.owner == address(0)) revert DeviceRegistry_OwnerZero(deviceId);
        if ((enrolment.akName == 0) != (enrolment.ekHash == 0)) {
            revert DeviceRegistry_EndorsementMismatch(enrolment.akName, enrolment.ekHash);
        }
        _useNonce(deviceId, enrolment.nonce, enrolment.deadline);

        bytes32 digest = _hashTypedDataV4(ProtocolTypes.hashEnrol(enrolment));
        _checkKey(deviceId, enrolment.keyAlg, enrolment.keyHash, digest, x, y, keySignature);
        _checkOwner(enrolment.owner, digest, ownerSignature);
        _checkRegistrars(digest, registrarSignatures);

        Device storage stored = _devices[deviceId];
        if (enrolment.akName == 0) {
            bytes32 expected = keccak256(abi.encodePacked("msec.device.sw", P256Key.spki(x, y)));
            if (deviceId != expected) revert DeviceRegistry_WrongDeviceId(expected, deviceId);
            Cap storage software = _software[enrolment.organisation];
            if (software.live >= software.cap) {
                revert DeviceRegistry_SoftwareCapReached(enrolment.organisation, software.cap);
            }
            software.live++;
            stored.assurance = Assurance.Software;
        } else {
            _bind(enrolment.ekHash, deviceId);
            stored.ekHash = enrolment.ekHash;
            stored.assurance = Assurance.Tpm;
        }
        stored.organisation = enrolment.organisation;
        stored.policyId = enrolment.policyId;
        _owners[deviceId][1] = enrolment.owner;
        _keys[deviceId][1].keyHash = enrolment.keyHash;
        _push(deviceId, Snapshot(Status.Active, 1, 1));
        emit Enrolled(deviceId, enrolment.owner, enrolment.organisation, stored.assurance, x, y, enrolment);
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
        bytes32 x,
        bytes32 y,
        bytes calldata keySignature,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external {
        bytes32 deviceId = rotation.deviceId;
        Snapshot memory current = _current(deviceId);
        if (current.status != Status.Active && current.status != Status.Suspended) {
            revert DeviceRegistry_WrongStatus(deviceId, current.status);
        }
        uint32 keyEpoch = current.keyEpoch + 1;
        if (rotation.keyEpoch != keyEpoch) revert DeviceRegistry_WrongKeyEpoch(keyEpoch, rotation.keyEpoch);
        Device storage stored = _devices[deviceId];
        if ((rotation.akName == 0) != (stored.assurance == Assurance.Software)) {
            revert DeviceRegistry_AssuranceChanged(deviceId);
        }
        _useNonce(deviceId, rotation.nonce, rotation.deadline);

        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(ROTATION_TYPEHASH, rotation)));
        _checkKey(deviceId, rotation.keyAlg, rotation.keyHash, digest, x, y, keySignature);
        _checkOwner(_owners[deviceId][current.ownerEpoch], digest, ownerSignature);
        _checkRegistrars(digest, registrarSignatures);

        stored.policyId = rotation.policyId;
        _keys[deviceId][keyEpoch].keyHash = rotation.keyHash;
        if (rotation.revokeOld && _keys[deviceId][current.keyEpoch].revokedAt == 0) {
            _revoke(deviceId, current.keyEpoch);
        }
        current.keyEpoch = keyEpoch;
        _push(deviceId, current);
        emit KeyRotated(deviceId, keyEpoch, x, y, rotation);
    }

    /// @inheritdoc IDeviceRegistry
    function transferOwnership(
        Transfer calldata transfer,
        bytes calldata ownerSignature,
        bytes calldata newOwnerSignature
    ) external {
        bytes32 deviceId = transfer.deviceId;
        Snapshot memory current = _current(deviceId);
        if (current.status != Status.Active && current.status != Status.Suspended) {
            revert DeviceRegistry_WrongStatus(deviceId, current.status);
        }
        if (transfer.newOwner == address(0)) revert DeviceRegistry_OwnerZero(deviceId);
        _useNonce(deviceId, transfer.nonce, transfer.deadline);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(TRANSFER_TYPEHASH, transfer)));
        address from = _owners[deviceId][current.ownerEpoch];
        _checkOwner(from, digest, ownerSignature);
        _checkOwner(transfer.newOwner, digest, newOwnerSignature);

        current.ownerEpoch++;
        _owners[deviceId][current.ownerEpoch] = transfer.newOwner;
        _push(deviceId, current);
        emit OwnershipTransferred(deviceId, from, transfer.newOwner, current.ownerEpoch);
    }

    /* OWNER OR OFFICER */

    /// @inheritdoc IDeviceRegistry
    function revokeKey(bytes32 deviceId, uint32 keyEpoch) external {
        Snapshot memory current = _current(deviceId);
        if (msg.sender != _owners[deviceId][current.ownerEpoch]) _checkCanCall(msg.sender, msg.data);
        if (keyEpoch == 0 || keyEpoch > current.keyEpoch) {
            revert DeviceRegistry_WrongKeyEpoch(current.keyEpoch, keyEpoch);
        }
        if (_keys[deviceId][keyEpoch].revokedAt != 0) revert DeviceRegistry_KeyAlreadyRevoked(deviceId, keyEpoch);
        _revoke(deviceId, keyEpoch);
    }

    /// @inheritdoc IDeviceRegistry
    function setStatus(bytes32 deviceId, Status status) external {
        Snapshot memory current = _current(deviceId);
        bool byOwner =
            msg.sender == _owners[deviceId][current.ownerEpoch] &&
                (status == Status.Retired || (status == Status.Suspended && current.status == Status.Active));
        if (!byOwner) _checkCanCall(msg.sender, msg.data);
        if (current.status == Status.Retired || status == Status.None || status == current.status) {
            revert DeviceRegistry_WrongStatus(deviceId, current.status);
        }
        Device storage stored = _devices[deviceId];
        if (status == Status.Retired && stored.assurance == Assurance.Software) _software[stored.organisation].live--;
        current.status = status;
        _push(deviceId, current);
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
        _software[organisation].cap = cap;
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
        Snapshot memory current = _unpack(_history[deviceId].latest());
        Device storage stored = _devices[deviceId];
        return
            DeviceView({
                status: uint8(current.status),
                assurance: uint8(stored.assurance),
                owner: _owners[deviceId][current.ownerEpoch],
                ownerEpoch: current.ownerEpoch,
                organisation: stored.organisation,
                keyEpoch: current.keyEpoch,
                keyHash: _keys[deviceId][current.keyEpoch].keyHash,
                ekHash: stored.ekHash,
                policyId: stored.policyId
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
        return uint8(_at(deviceId, blockNumber).status);
    }

    /// @inheritdoc IDeviceRegistry
    function keyEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32) {
        return _at(deviceId, blockNumber).keyEpoch;
    }

    /// @inheritdoc IDeviceRegistry
    function ownerEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32) {
        return _at(deviceId, blockNumber).ownerEpoch;
    }

    /// @inheritdoc IDeviceRegistry
    function currentOwnerEpoch(bytes32 deviceId) external view returns (uint32) {
        return _unpack(_history[deviceId].latest()).ownerEpoch;
    }

    /// @inheritdoc IDeviceRegistry
    function currentKeyEpoch(bytes32 deviceId) external view returns (uint32) {
        return _unpack(_history[deviceId].latest()).keyEpoch;
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
        return _devices[deviceId].nonce;
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
        Cap storage software = _software[organisation];
        return (software.live, software.cap);
    }

    /* PRIVATE */

    function _bind(bytes32 ekHash, bytes32 deviceId) private {
        bytes32 holder = _deviceOfEndorsement[ekHash];
        if (holder == deviceId) return;
        if (holder != 0) revert DeviceRegistry_EndorsementTaken(ekHash, holder);
        _deviceOfEndorsement[ekHash] = deviceId;
        emit EndorsementBound(ekHash, deviceId);
    }

    function _revoke(bytes32 deviceId, uint32 keyEpoch) private {
        _keys[deviceId][keyEpoch].revokedAt = uint64(block.number);
        emit KeyRevoked(deviceId, keyEpoch, msg.sender);
    }

    function _useNonce(bytes32 deviceId, uint256 nonce, uint64 deadline) private {
        _checkDeadline(deadline);
        uint128 expected = _devices[deviceId].nonce;
        if (nonce != expected) revert DeviceRegistry_WrongNonce(expected, nonce);
        _devices[deviceId].nonce = expected + 1;
    }

    /// @dev Also takes the key: one key speaks for one device, for ever.
    function _checkKey(
        bytes32 deviceId,
        uint8 keyAlg,
        bytes32 keyHash,
        bytes32 digest,
        bytes32 x,
        bytes32 y,
        bytes calldata signature
    ) private {
        if (keyAlg != KEY_ALG_ES256) revert DeviceRegistry_KeyAlgUnknown(keyAlg);
        bytes32 expected = P256Key.keyHash(x, y);
        if (keyHash != expected) revert DeviceRegistry_WrongKeyHash(expected, keyHash);
        bytes32 holder = _deviceOfKey[keyHash];
        if (holder != 0) revert DeviceRegistry_KeyTaken(keyHash, holder);
        _deviceOfKey[keyHash] = deviceId;
        if (signature.length != 64) revert DeviceRegistry_KeySignatureLength(signature.length);
        bytes32 message = sha256(abi.encode(digest));
        if (!P256.verify(message, bytes32(signature[:32]), bytes32(signature[32:]), x, y)) {
            revert DeviceRegistry_WrongKeySignature(keyHash);
        }
    }

    function _push(bytes32 deviceId, Snapshot memory snapshot) private {
        _history[deviceId].push(
            SafeCast.toUint48(block.number),
            uint208(uint8(snapshot.status)) | (uint208(snapshot.keyEpoch) << 8) | (uint208(snapshot.ownerEpoch) << 40)
        );
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

    function _current(bytes32 deviceId) private view returns (Snapshot memory snapshot) {
        snapshot = _unpack(_history[deviceId].latest());
        if (snapshot.status == Status.None) revert DeviceRegistry_Unknown(deviceId);
    }

    function _at(bytes32 deviceId, uint256 blockNumber) private view returns (Snapshot memory) {
        uint48 key = blockNumber > type(uint48).max ? type(uint48).max : uint48(blockNumber);
        return _unpack(_history[deviceId].upperLookupRecent(key));
    }

    function _unpack(uint208 packed) private pure returns (Snapshot memory) {
        return Snapshot(Status(uint8(packed)), uint32(packed >> 8), uint32(packed >> 40));
    }
}
