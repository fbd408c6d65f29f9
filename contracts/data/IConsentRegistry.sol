// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IConsent} from "./IConsent.sol";
import {Stream} from "./ProtocolTypes.sol";

/// @title Who may use what for which purpose until when, and what must be forgotten
/// @notice Deny by default. A purpose is the hash of its exact text, language and version. The stream's owner is who owned
/// the device in the stream's owner epoch, also after the device was sold. A sealed stream has a subject besides, an
/// account of the person measured: a grant takes both, a withdrawal or an erasure either. A tombstone never disappears;
/// proofs of other data still verify.
/// @dev EIP-712 domain ("ConsentRegistry", "1", chainId, this); signers may be contracts (ERC-1271). Times and deadlines
/// are Unix milliseconds, inclusive. Warning: a tombstone is a request; that the keys are gone is what the receipts of all
/// seed holders say. Nothing personal may enter it: slots and pseudonyms only.
interface IConsentRegistry is IConsent {
    /// @dev Signed by the owner, and by the subject of a sealed stream. `epoch` is `epochOf(streamId)`, so that a withdrawal
    /// of all also withdraws what was signed and not sent; `nonce` is `grantOf(…).changes`, so each signature works once.
    struct Grant {
        bytes32 streamId;
        bytes32 purpose;
        /// Zero for anyone.
        address grantee;
        uint64 fromMs;
        uint64 untilMs;
        uint64 epoch;
        uint64 nonce;
        uint64 deadline;
    }

    /// @dev Signed by the owner or the subject; `nonce` as in `Grant`.
    struct Revocation {
        bytes32 streamId;
        bytes32 purpose;
        address grantee;
        uint64 nonce;
        uint64 deadline;
    }

    /// @dev Signed by the owner or the subject; `epoch` is `epochOf(streamId)`, so it works once.
    struct RevocationOfAll {
        bytes32 streamId;
        uint64 epoch;
        uint64 deadline;
    }

    /// @dev Signed by the owner and the subject; works once, since a subject is never replaced.
    struct Binding {
        bytes32 streamId;
        address subject;
        uint64 deadline;
    }

    /// @dev Signed by the owner or the subject; `nonce` is the signer's in `nonces`.
    struct ErasureRequest {
        bytes32 streamId;
        uint32 fromSlot;
        uint32 toSlot;
        uint256 nonce;
        uint64 deadline;
    }

    /// @dev Signed by the subject; works once, since it is final.
    struct SubjectErasure {
        address subject;
        uint64 deadline;
    }

    /// @dev Signed by the owner: who was given the stream's seed.
    struct Holders {
        bytes32 streamId;
        uint64 version;
        address[] holders;
    }

    /// @dev Signed by a seed holder: when its keys of the slots were destroyed, which may be before the tombstone, and when the
    /// last backup of them is gone.
    struct Erased {
        bytes32 streamId;
        uint64 number;
        uint32 fromSlot;
        uint32 toSlot;
        uint64 keysDestroyedAt;
        uint64 backupsExpireAt;
    }

    /// @dev One word. It counts while its epoch is the stream's and nobody withdrew it.
    struct GrantState {
        uint64 fromMs;
        uint64 untilMs;
        uint40 epoch;
        /// Of this word, grants and withdrawals together.
        uint64 changes;
        /// Withdrawn: this grantee may not, even where anyone may.
        bool revoked;
    }

    struct Erasure {
        uint32 fromSlot;
        uint32 toSlot;
        /// Unix milliseconds of the block.
        uint64 at;
    }

    /// @dev Of a tombstone. The times are the latest that any receipt so far names.
    struct Receipts {
        /// Bit i is the receipt of holder i.
        uint64 received;
        uint64 keysDestroyedAt;
        uint64 backupsExpireAt;
        bool complete;
    }

    /// @notice A stream has the account of the person measured, for good.
    event SubjectBound(bytes32 indexed streamId, address indexed subject);
    /// @notice The grantee may use the stream for the purpose in that period; zero as grantee means anyone.
    event Granted(
        bytes32 indexed streamId,
        bytes32 indexed purpose,
        address indexed grantee,
        uint64 fromMs,
        uint64 untilMs
    );
    /// @notice The grantee may no more; zero as grantee withdraws what was granted to anyone.
    event Revoked(bytes32 indexed streamId, bytes32 indexed purpose, address indexed grantee);
    /// @dev `epoch` is the new one.
    event AllRevoked(bytes32 indexed streamId, uint64 epoch);
    /// @notice A tombstone stands over the slots; `number` counts the stream's from 1.
    event ErasureRequested(bytes32 indexed streamId, uint64 indexed number, uint32 fromSlot, uint32 toSlot, uint64 at);
    /// @dev A tombstone of every whole stream that is bound to the subject; `SubjectBound` names them.
    event SubjectErased(address indexed subject, uint64 at);
    /// @notice The owner named who holds the stream's seed.
    event HoldersSet(bytes32 indexed streamId, uint64 indexed version, address[] holders);
    /// @notice A holder signed that its keys under the tombstone are destroyed.
    event ReceiptTaken(bytes32 indexed streamId, uint64 indexed number, address indexed holder, Erased erased);
    /// @notice Every holder has signed; at `completeAt` the last of their backups is gone.
    event ErasureCompleted(bytes32 indexed streamId, uint64 indexed number, uint64 completeAt);

    /// @dev Thrown when the caller is not the owner of the stream's owner epoch.
    error ConsentRegistry_NotOwner(bytes32 streamId, address owner, address given);
    /// @dev Thrown when the caller is neither the stream's owner nor its subject.
    error ConsentRegistry_NotOwnerOrSubject(bytes32 streamId, address given);
    /// @dev Thrown when a sealed stream would be granted without its subject, or has none yet.
    error ConsentRegistry_SubjectMustSign(bytes32 streamId, address subject);
    /// @dev Thrown when a stream that is not sealed would get a subject.
    error ConsentRegistry_NotSealed(bytes32 streamId);
    /// @dev Thrown when the subject is zero.
    error ConsentRegistry_SubjectZero(bytes32 streamId);
    /// @dev Thrown when the stream has a subject.
    error ConsentRegistry_SubjectBound(bytes32 streamId, address subject);
    /// @dev Thrown when the account is the subject of another device: it is made for one.
    error ConsentRegistry_SubjectOfOtherDevice(address subject, bytes32 deviceId);
    /// @dev Thrown when everything of the subject is erased already.
    error ConsentRegistry_SubjectErased(address subject);
    /// @dev Thrown when the account is the subject of no stream.
    error ConsentRegistry_SubjectUnknown(address subject);
    /// @dev Thrown when no purpose is named.
    error ConsentRegistry_PurposeZero(bytes32 streamId);
    /// @dev Thrown when the period ends before it begins, or is over.
    error ConsentRegistry_EmptyPeriod(uint64 fromMs, uint64 untilMs, uint64 nowMs);
    /// @dev Thrown when everything was withdrawn after this was signed.
    error ConsentRegistry_WrongEpoch(uint64 expected, uint64 given);
    /// @dev Thrown when this was used, or something else happened to the grant or stream since it was signed.
    error ConsentRegistry_WrongNonce(uint64 expected, uint64 given);
    /// @dev Thrown when the slots end before they begin.
    error ConsentRegistry_EmptyWindow(uint32 fromSlot, uint32 toSlot);
    /// @dev Thrown when a part of a data set would be erased: it has one slot.
    error ConsentRegistry_DatasetIsWhole(uint32 fromSlot, uint32 toSlot);
    /// @dev Thrown when the whole stream is erased, or everything of its subject.
    error ConsentRegistry_StreamErased(bytes32 streamId);
    /// @dev Thrown when the preimage shown is another stream's than the one named.
    error ConsentRegistry_WrongStream(bytes32 expected, bytes32 given);
    /// @dev Thrown when the account did not sign this.
    error ConsentRegistry_WrongSignature(address signer);
    /// @dev Thrown when the deadline of what was signed is over.
    error ConsentRegistry_Expired(uint64 deadline, uint64 nowMs);
    /// @dev Thrown when the stream has no tombstone of that number.
    error ConsentRegistry_NoErasure(bytes32 streamId, uint64 number);
    /// @dev Thrown when no holder is named, or more than 64.
    error ConsentRegistry_HolderCount(uint256 holders);
    /// @dev Thrown when a holder stands twice.
    error ConsentRegistry_HolderRepeated(address holder);
    /// @dev Thrown when the list shown is not the one that is recorded.
    error ConsentRegistry_WrongHolders(bytes32 expected, bytes32 given);
    /// @dev Thrown when the new list does not begin with the whole old one.
    error ConsentRegistry_HolderLeftOut(uint256 index, address holder);
    /// @dev Thrown when the list's version is not above the recorded one.
    error ConsentRegistry_VersionNotRising(uint64 current, uint64 given);
    /// @dev Thrown when the signer is not among the holders.
    error ConsentRegistry_NotHolder(bytes32 streamId, address signer);
    /// @dev Thrown when the receipt is for other slots than the tombstone.
    error ConsentRegistry_WrongSlots(uint32 fromSlot, uint32 toSlot);
    /// @dev Thrown when the keys would be destroyed ahead of the clock, or backups end before that.
    error ConsentRegistry_WrongTimes(uint64 keysDestroyedAt, uint64 backupsExpireAt);

    /// @notice Gives a sealed stream its subject, for ever. Anyone may send it.
    /// @dev One account a device: the account says nothing of other devices, and a person with two has two accounts. A
    /// subject may be the owner. A subject that was erased is bound no more.
    function bindSubject(
        Stream calldata stream,
        Binding calldata binding,
        bytes calldata ownerSignature,
        bytes calldata subjectSignature
    ) external;

    /// @notice Lets `grantee` (zero: anyone) have the stream's data for `purpose`. By the owner, where no other subject
    /// must sign. Replaces what was granted or withdrawn under the same purpose and grantee.
    function grant(Stream calldata stream, bytes32 purpose, address grantee, uint64 fromMs, uint64 untilMs) external;

    /// @notice The same by signature; anyone may send it.
    /// @param subjectSignature Of a sealed stream's subject; empty where the subject is the owner or there is none.
    function grantBySignature(
        Stream calldata stream,
        Grant calldata given,
        bytes calldata ownerSignature,
        bytes calldata subjectSignature
    ) external;

    /// @notice Withdraws what `grantee` was granted for `purpose`, and refuses it even where anyone may. By the owner or the
    /// subject. With grantee zero only the grant to anyone ends; single grantees keep theirs.
    function revoke(Stream calldata stream, bytes32 purpose, address grantee) external;

    /// @notice The same by signature; anyone may send it.
    function revokeBySignature(
        Stream calldata stream,
        Revocation calldata revocation,
        bytes calldata signature
    ) external;

    /// @notice Withdraws every grant of the stream, also those that are signed and not sent. By the owner or the subject.
    /// @dev Refusals of single grantees stay.
    function revokeAll(Stream calldata stream) external;

    /// @notice The same by signature; anyone may send it.
    function revokeAllBySignature(
        Stream calldata stream,
        RevocationOfAll calldata revocation,
        bytes calldata signature
    ) external;

    /// @notice Requests that slots `fromSlot` to `toSlot`, inclusive, be forgotten. By the owner or the subject.
    /// @dev 0 to the largest slot is the whole stream, which then authorises nobody and takes no other tombstone. A data set
    /// is erased whole: both are 0.
    /// @return number Of the tombstone in this stream, from 1.
    function requestErasure(Stream calldata stream, uint32 fromSlot, uint32 toSlot) external returns (uint64 number);

    /// @notice The same by signature; anyone may send it.
    function requestErasureBySignature(
        Stream calldata stream,
        ErasureRequest calldata request,
        bytes calldata signature
    ) external returns (uint64 number);

    /// @notice Requests that every stream bound to the caller be forgotten, whole; in one step, final.
    function eraseSubject() external;

    /// @notice The same by signature; anyone may send it.
    function eraseSubjectBySignature(SubjectErasure calldata erasure, bytes calldata signature) external;

    /// @notice Records who holds the stream's seed. Anyone may send what the owner signed; the same again has no effect.
    /// @dev 1 to 64 holders, none twice. A later version begins with the holders of the one before: who once held the seed
    /// must show that it is gone.
    /// @param previous The version that is recorded; ignored for the first.
    function setHolders(
        Stream calldata stream,
        Holders calldata holders,
        Holders calldata previous,
        bytes calldata signature
    ) external;

    /// @notice Takes one holder's receipt for a tombstone. Anyone may send it; the same holder's again has no effect.
    /// @dev The tombstone is complete once every holder of the recorded list has signed, and stays so.
    /// @param holders The version that is recorded.
    function submitErased(Erased calldata erased, Holders calldata holders, bytes calldata signature) external;

    /// @return The tombstone by number, from 1; reverts if there is none.
    function erasureAt(bytes32 streamId, uint64 number) external view returns (Erasure memory);

    /// @return The receipts for a tombstone so far.
    function receiptsOf(bytes32 streamId, uint64 number) external view returns (Receipts memory);

    /// @return Unix milliseconds from which on no holder has keys or backups of what the tombstone names; 0 as long as a
    /// holder's receipt is missing.
    function completeAt(bytes32 streamId, uint64 number) external view returns (uint64);

    /// @return What the grantee (zero: anyone) was granted or refused.
    function grantOf(bytes32 streamId, bytes32 purpose, address grantee) external view returns (GrantState memory);

    /// @return How often all grants of the stream were withdrawn.
    function epochOf(bytes32 streamId) external view returns (uint64);

    /// @return The subject of a sealed stream, or zero.
    function subjectOf(bytes32 streamId) external view returns (address);

    /// @return Unix milliseconds at which the subject asked to be forgotten, or 0.
    function subjectErasedAt(address subject) external view returns (uint64);

    /// @return hashStruct of the recorded `Holders`, or zero.
    function holdersHash(bytes32 streamId) external view returns (bytes32);
}
