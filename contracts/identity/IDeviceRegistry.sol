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

    event QuoteReported(bytes32 indexed deviceId, bytes32 indexed pcrDigest, Quote quote);
    event Enrolled(
        bytes32 indexed deviceId,
        address indexed owner,
        bytes32 indexed organisation,
        Assurance assurance,
        bytes spki,
        Enrol enrolment
    );
    event EndorsementBound(bytes32 indexed ekHash, bytes32 indexed deviceId);
    event KeyRotated(bytes32 indexed deviceId, uint32 indexed keyEpoch, bytes spki, Rotation rotation);
    event KeyRevoked(bytes32 indexed deviceId, uint32 indexed keyEpoch, address indexed by);
    event StatusSet(bytes32 indexed deviceId, Status indexed status, address indexed by);
    event OwnershipTransferred(bytes32 indexed deviceId, address indexed from, address indexed to, uint32 ownerEpoch);
    event RegistrarSet(address indexed registrar, bool enabled);
    event ThresholdSet(uint16 threshold);
    event SoftwareCapSet(bytes32 indexed organisation, uint32 cap);

    error DeviceRegistry_Unknown(bytes32 deviceId);
    error DeviceRegistry_AlreadyEnrolled(bytes32 deviceId);
    error DeviceRegistry_WrongDeviceId(bytes32 expected, bytes32 given);
    error DeviceRegistry_ZeroDeviceId();
    error DeviceRegistry_OrganisationZero(bytes32 deviceId);
    error DeviceRegistry_EndorsementTaken(bytes32 ekHash, bytes32 deviceId);
    error DeviceRegistry_EndorsementMismatch(bytes32 akName, bytes32 ekHash);
    error DeviceRegistry_WrongKeyAlg(uint8 expected, uint8 given);
    error DeviceRegistry_KeyTaken(bytes32 keyHash, bytes32 deviceId);
    error DeviceRegistry_WrongKeyHash(bytes32 expected, bytes32 given);
    error DeviceRegistry_WrongOwnerSignature(address owner);
    error DeviceRegistry_Expired(uint64 deadline, uint64 nowMs);
    error DeviceRegistry_WrongNonce(uint256 expected, uint256 given);
    error DeviceRegistry_WrongKeyEpoch(uint32 expected, uint32 given);
    error DeviceRegistry_AssuranceChanged(bytes32 deviceId);
    error DeviceRegistry_SoftwareCapReached(bytes32 organisation, uint32 cap);
    error DeviceRegistry_SignatureCount(uint256 expected, uint256 given);
    error DeviceRegistry_SignatureLength(uint256 length);
    error DeviceRegistry_SignersNotAscending(address previous, address signer);
    error DeviceRegistry_NotRegistrar(address signer);
    error DeviceRegistry_OrganisationRepeated(bytes32 organisation, address signer);
    error DeviceRegistry_WrongThreshold(uint256 threshold, uint256 registrars);
    error DeviceRegistry_WrongStatus(bytes32 deviceId, Status current);
    error DeviceRegistry_KeyAlreadyRevoked(bytes32 deviceId, uint32 keyEpoch);
    error DeviceRegistry_OwnerZero(bytes32 deviceId);
    error DeviceRegistry_WrongPolicy(bytes32 expected, bytes32 given);
    error DeviceRegistry_WrongQuoteTimes(uint64 lastQuotedAtMs, uint64 quotedAtMs, uint64 validUntilMs);
    error DeviceRegistry_CountersFell(bytes32 deviceId, uint32 resetCount, uint32 restartCount);
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
