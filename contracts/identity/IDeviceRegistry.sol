// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Enrol} from "../data/ProtocolTypes.sol";

/// @title Devices, their owners, keys and status
/// @notice A device is its TPM, or a software element that an organisation vouches for. What held at a past block can
/// be asked for ever: status, keys and owners are append-only checkpoints.
/// @dev All signatures are over EIP-712 digests of the domain ("DeviceRegistry", "1", chainId, this). Owners may be
/// contracts (ERC-1271); registrars are plain accounts. Deadlines are Unix milliseconds, inclusive. A signing key is given
/// as its DER SubjectPublicKeyInfo: P-256 (`keyAlg` 1) or RSA of 2048 bits with exponent 65537 (`keyAlg` 2).
///
/// Warning: the registry sees no TPM evidence and no proof of possession. That a TPM is real, has no other endorsement key
/// than the ones named, and that the device signs with the key, is what k registrars of different organisations say with
/// their signatures: each has the new key sign the EIP-712 digest before it does.
interface IDeviceRegistry {
    enum Status {
        None,
        Active,
        Suspended,
        Quarantined,
        Retired
    }

    enum Assurance {
        None,
        Software,
        Tpm
    }

    struct DeviceView {
        uint8 status;
        uint8 assurance;
        address owner;
        uint32 ownerEpoch;
        bytes32 organisation;
        uint32 keyEpoch;
        bytes32 keyHash;
        bytes32 policyId;
    }

    /// @dev Signed by owner and registrars. `keyEpoch` is the new one.
    struct Rotation {
        bytes32 deviceId;
        uint32 keyEpoch;
        bytes32 akName;
        uint8 keyAlg;
        bytes32 keyHash;
        bool revokeOld;
        bytes32 policyId;
        bytes32 evidenceDigest;
        uint256 nonce;
        uint64 deadline;
    }

    /// @dev Signed by the owner and the new owner.
    struct Transfer {
        bytes32 deviceId;
        address newOwner;
        uint256 nonce;
        uint64 deadline;
    }

    /// @dev Signed by registrars: one more endorsement key of a TPM, so that it can't enrol again under that one.
    struct Endorsement {
        bytes32 deviceId;
        bytes32 ekHash;
        uint64 deadline;
    }

    /// @dev Signed by registrars, each of which challenged the TPM itself. `keyEpoch` is the present one. It works once, since
    /// `quotedAtMs` only rises.
    struct Quote {
        bytes32 deviceId;
        uint32 keyEpoch;
        bytes32 policyId;
        bytes32 pcrDigest;
        uint32 resetCount;
        uint32 restartCount;
        /// The TPM's own word that its clock was not set back.
        bool safe;
        uint64 quotedAtMs;
        uint64 validUntilMs;
        bytes32 evidenceDigest;
        uint64 deadline;
    }

    /// @dev What the newest quote said.
    struct Freshness {
        uint64 quotedAtMs;
        uint64 validUntilMs;
        uint32 resetCount;
        uint32 restartCount;
        uint32 keyEpoch;
        bool safe;
        bytes32 pcrDigest;
    }

    /// @notice A device's TPM was challenged and booted what its policy accepts.
    event QuoteReported(bytes32 indexed deviceId, bytes32 indexed pcrDigest, Quote quote);
    /// @notice A device was entered, with the key and everything that owner and registrars signed.
    event Enrolled(
        bytes32 indexed deviceId,
        address indexed owner,
        bytes32 indexed organisation,
        Assurance assurance,
        bytes spki,
        Enrol enrolment
    );
    /// @notice An endorsement key is the device's, for ever.
    event EndorsementBound(bytes32 indexed ekHash, bytes32 indexed deviceId);
    /// @notice The device signs with another key from now on; `keyEpoch` is the new one.
    event KeyRotated(bytes32 indexed deviceId, uint32 indexed keyEpoch, bytes spki, Rotation rotation);
    /// @notice Headers under that key may enter no more from this block on.
    event KeyRevoked(bytes32 indexed deviceId, uint32 indexed keyEpoch, address indexed by);
    /// @notice The device has another status from this block on.
    event StatusSet(bytes32 indexed deviceId, Status indexed status, address indexed by);
    /// @notice The device has another owner; `ownerEpoch` is the new one.
    event OwnershipTransferred(bytes32 indexed deviceId, address indexed from, address indexed to, uint32 ownerEpoch);
    /// @notice An account may vouch for devices, or may no more.
    event RegistrarSet(address indexed registrar, bool enabled);
    /// @notice So many registrars must sign from now on.
    event ThresholdSet(uint16 threshold);
    /// @notice An organisation may have so many live software elements.
    event SoftwareCapSet(bytes32 indexed organisation, uint32 cap);

    /// @dev Thrown when no such device was ever enrolled.
    error DeviceRegistry_Unknown(bytes32 deviceId);
    /// @dev Thrown when the device is known, retired or not.
    error DeviceRegistry_AlreadyEnrolled(bytes32 deviceId);
    /// @dev Thrown when a software element's id is not the hash of its first key.
    error DeviceRegistry_WrongDeviceId(bytes32 expected, bytes32 given);
    /// @dev Thrown when the device's id is zero.
    error DeviceRegistry_ZeroDeviceId();
    /// @dev Thrown when no organisation vouches for the device.
    error DeviceRegistry_OrganisationZero(bytes32 deviceId);
    /// @dev Thrown when the endorsement key is another device's.
    error DeviceRegistry_EndorsementTaken(bytes32 ekHash, bytes32 deviceId);
    /// @dev Thrown when only one of attestation key and endorsement key is given, or none to be bound.
    error DeviceRegistry_EndorsementMismatch(bytes32 akName, bytes32 ekHash);
    /// @dev Thrown when the key is in no known form, or of another algorithm than said.
    error DeviceRegistry_WrongKeyAlg(uint8 expected, uint8 given);
    /// @dev Thrown when the signing key is, or was, a device's.
    error DeviceRegistry_KeyTaken(bytes32 keyHash, bytes32 deviceId);
    /// @dev Thrown when what was signed names another key than the one shown.
    error DeviceRegistry_WrongKeyHash(bytes32 expected, bytes32 given);
    /// @dev Thrown when the owner, or the new owner, did not sign this.
    error DeviceRegistry_WrongOwnerSignature(address owner);
    /// @dev Thrown when the deadline of what was signed is over.
    error DeviceRegistry_Expired(uint64 deadline, uint64 nowMs);
    /// @dev Thrown when what was signed is not the device's next action.
    error DeviceRegistry_WrongNonce(uint256 expected, uint256 given);
    /// @dev Thrown when it is not the key epoch that the action is for, or the device has none of that number.
    error DeviceRegistry_WrongKeyEpoch(uint32 expected, uint32 given);
    /// @dev Thrown when a rotation would make a TPM's device a software element, or the reverse.
    error DeviceRegistry_AssuranceChanged(bytes32 deviceId);
    /// @dev Thrown when the organisation has as many live software elements as it may.
    error DeviceRegistry_SoftwareCapReached(bytes32 organisation, uint32 cap);
    /// @dev Thrown when there are not exactly as many signatures as the threshold says, or it is not set.
    error DeviceRegistry_SignatureCount(uint256 expected, uint256 given);
    /// @dev Thrown when a registrar's signature has not 65 bytes.
    error DeviceRegistry_SignatureLength(uint256 length);
    /// @dev Thrown when registrars are not in ascending order, or one signed twice.
    error DeviceRegistry_SignersNotAscending(address previous, address signer);
    /// @dev Thrown when the signer is no registrar, or has no organisation now.
    error DeviceRegistry_NotRegistrar(address signer);
    /// @dev Thrown when two registrars are of one organisation.
    error DeviceRegistry_OrganisationRepeated(bytes32 organisation, address signer);
    /// @dev Thrown when the threshold would be 0, above 16 or above the number of registrars.
    error DeviceRegistry_WrongThreshold(uint256 threshold, uint256 registrars);
    /// @dev Thrown when the device's status does not allow it.
    error DeviceRegistry_WrongStatus(bytes32 deviceId, Status current);
    /// @dev Thrown when the key was revoked before.
    error DeviceRegistry_KeyAlreadyRevoked(bytes32 deviceId, uint32 keyEpoch);
    /// @dev Thrown when the owner would be zero.
    error DeviceRegistry_OwnerZero(bytes32 deviceId);
    /// @dev Thrown when the quote is for another boot policy, or the device has none.
    error DeviceRegistry_WrongPolicy(bytes32 expected, bytes32 given);
    /// @dev Thrown when the quote is not newer than the last, dated ahead, or valid for too long.
    error DeviceRegistry_WrongQuoteTimes(uint64 lastQuotedAtMs, uint64 quotedAtMs, uint64 validUntilMs);
    /// @dev Thrown when the TPM's counters fell under one key: it was cleared, and needs a new one.
    error DeviceRegistry_CountersFell(bytes32 deviceId, uint32 resetCount, uint32 restartCount);
    /// @dev Thrown when the boot policy did not accept the digest at the time of the quote.
    error DeviceRegistry_BootRefused(bytes32 policyId, bytes32 pcrDigest, uint64 quotedAtMs);

    /// @notice Enters a device under keyEpoch 1 and ownerEpoch 1, status Active. Anyone may send it.
    /// @dev `akName` zero means a software element: then `ekHash` is zero, the id is checked here and the organisation's
    /// cap counts it. `nonce` is `nonceOf(deviceId)`, 0 for a device that never was here. `evidenceDigest` and `ekHash` are
    /// in the event only.
    /// @param enrolment Signed by the owner and exactly `threshold()` registrars.
    /// @param spki The signing key; `keyAlg` and `keyHash` are recomputed from it.
    /// @param ownerSignature Of `enrolment.owner`.
    /// @param registrarSignatures 65 bytes each, ascending by signer, all of different organisations.
    function enrol(
        Enrol calldata enrolment,
        bytes calldata spki,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external;

    /// @notice Marks one more endorsement key as this device's, for good; before or after `enrol`, idempotent.
    /// @dev A TPM with two endorsement certificates is bound under the second one first and enrolled then.
    function bindEndorsement(Endorsement calldata endorsement, bytes[] calldata registrarSignatures) external;

    /// @notice Replaces the signing key: keyEpoch + 1. Anyone may send it. Not when retired or quarantined.
    /// @dev With `revokeOld` the key before is revoked at this block; otherwise its headers may enter until the next
    /// key's first header has. The assurance can't change; a new attestation key (after TPM2_Clear) may.
    function rotateKey(
        Rotation calldata rotation,
        bytes calldata spki,
        bytes calldata ownerSignature,
        bytes[] calldata registrarSignatures
    ) external;

    /// @notice Records that the device's TPM was challenged and booted what its policy accepts. Anyone may send it. Not when
    /// retired.
    /// @dev Within one key epoch resetCount never falls, nor restartCount under one resetCount: a fall means TPM2_Clear, and
    /// takes a new key. `quotedAtMs` rises and is at most 120 s ahead of the block; a quote is valid for 30 days at most and
    /// judged by the boot policy at `quotedAtMs`. A device without policy (zero) has no measured boot and takes no quote.
    function reportQuote(Quote calldata quote, bytes[] calldata registrarSignatures) external;

    /// @notice Revokes a key at this block, for good. By the device's owner, or by who holds the role.
    function revokeKey(bytes32 deviceId, uint32 keyEpoch) external;

    /// @notice Sets the status. The owner may suspend its active device and retire it; all else needs the role.
    /// @dev Retired is final. None can't be set.
    function setStatus(bytes32 deviceId, Status status) external;

    /// @notice Hands the device to a new owner: ownerEpoch + 1, so its streams end and new ones begin.
    /// @dev Only when active or suspended, so a quarantine can't be sold away. The organisation stays the one that was
    /// vouched for at enrolment.
    function transferOwnership(
        Transfer calldata transfer,
        bytes calldata ownerSignature,
        bytes calldata newOwnerSignature
    ) external;

    /// @notice Adds or removes a registrar. Restricted.
    /// @dev Which organisation it speaks for is asked of the Directory at each use.
    function setRegistrar(address registrar, bool enabled) external;

    /// @notice Sets how many registrars must sign, 1 to the number of registrars and at most 16. Restricted.
    function setThreshold(uint16 threshold_) external;

    /// @notice Sets how many live software elements an organisation may have (0 at first). Restricted.
    /// @dev A cap below the present number evicts nobody.
    function setSoftwareCap(bytes32 organisation, uint32 cap) external;

    /// @notice Stops enrolments. Restricted. Nothing else stops.
    function pause() external;

    /// @notice Lets enrolments in again. Restricted.
    function unpause() external;

    /// @return The device as it is now; all zero if unknown.
    function device(bytes32 deviceId) external view returns (DeviceView memory);

    /// @return The hash of the key of that epoch, or zero.
    function keyHashOf(bytes32 deviceId, uint32 keyEpoch) external view returns (bytes32);

    /// @return The block in which the key was revoked, or 0.
    function keyRevokedAt(bytes32 deviceId, uint32 keyEpoch) external view returns (uint64);

    /// @return The owner of that epoch, or zero.
    function ownerOf(bytes32 deviceId, uint32 ownerEpoch) external view returns (address);

    /// @return The status at the end of that block; of the current block it may still change.
    function statusAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint8);

    /// @return The key epoch at the end of that block, 0 before enrolment.
    function keyEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32);

    /// @return The owner epoch at the end of that block, 0 before enrolment.
    function ownerEpochAt(bytes32 deviceId, uint256 blockNumber) external view returns (uint32);

    /// @return The present owner epoch, 0 if unknown.
    function currentOwnerEpoch(bytes32 deviceId) external view returns (uint32);

    /// @return The present key epoch, 0 if unknown.
    function currentKeyEpoch(bytes32 deviceId) external view returns (uint32);

    /// @return What the newest quote said; of a key epoch that is over it counts no more.
    function freshnessOf(bytes32 deviceId) external view returns (Freshness memory);

    /// @notice Whether the newest quote speaks for that time: of the present key, safe, within its validity, and accepted by
    /// the boot policy of that time. Nothing here depends on it.
    /// @dev False for a device without measured boot. Quotes before the newest are in the events.
    function isFresh(bytes32 deviceId, uint64 atMs) external view returns (bool);

    /// @return The device that the endorsement key belongs to, or zero. Never cleared.
    function deviceOfEndorsement(bytes32 ekHash) external view returns (bytes32);

    /// @return The device that the signing key belongs or belonged to, or zero. Never cleared.
    function deviceOfKey(bytes32 keyHash) external view returns (bytes32);

    /// @return The nonce that the device's next signed action must carry.
    function nonceOf(bytes32 deviceId) external view returns (uint256);

    /// @return Whether the account may vouch.
    function isRegistrar(address account) external view returns (bool);

    /// @return How many registrars there are.
    function registrarCount() external view returns (uint256);

    /// @return How many of them must sign.
    function threshold() external view returns (uint16);

    /// @return live Software elements of the organisation that are not retired.
    /// @return cap How many it may have.
    function softwareElements(bytes32 organisation) external view returns (uint32 live, uint32 cap);
}
