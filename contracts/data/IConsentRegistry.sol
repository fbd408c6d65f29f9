// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IConsent} from "./IConsent.sol";
import {Stream} from "./ProtocolTypes.sol";

/// @title Erasure tombstones
/// @notice Who owned the device in the stream's owner epoch may have slots of it forgotten, also after the device was
/// sold. A tombstone never disappears; proofs of other data still verify.
/// @dev EIP-712 domain ("ConsentRegistry", "1", chainId, this). Warning: a tombstone is a request; that keys are gone is
/// what the seed holders' receipts say. Nothing personal may enter it: slots only.
interface IConsentRegistry is IConsent {
    /// @dev Signed by the owner; `nonce` is the owner's, `deadline` in Unix milliseconds.
    struct ErasureRequest {
        bytes32 streamId;
        uint32 fromSlot;
        uint32 toSlot;
        uint256 nonce;
        uint64 deadline;
    }

    struct Erasure {
        uint32 fromSlot;
        uint32 toSlot;
        /// Unix milliseconds of the block.
        uint64 at;
    }

    event ErasureRequested(bytes32 indexed streamId, uint64 indexed number, uint32 fromSlot, uint32 toSlot, uint64 at);

    error ConsentRegistry_NotOwner(bytes32 streamId, address owner, address given);
    error ConsentRegistry_EmptyWindow(uint32 fromSlot, uint32 toSlot);
    error ConsentRegistry_WrongStream(bytes32 expected, bytes32 given);
    error ConsentRegistry_WrongSignature(address owner);
    error ConsentRegistry_Expired(uint64 deadline, uint64 nowMs);
    error ConsentRegistry_NoErasure(bytes32 streamId, uint64 number);

    /// @notice Requests that slots `fromSlot` to `toSlot`, inclusive, be forgotten. By the stream's owner.
    /// @return number Of the tombstone in this stream, from 1.
    function requestErasure(Stream calldata stream, uint32 fromSlot, uint32 toSlot) external returns (uint64 number);

    /// @notice The same by signature; anyone may send it.
    function requestErasureBySignature(
        Stream calldata stream,
        ErasureRequest calldata request,
        bytes calldata signature
    ) external returns (uint64 number);

    /// @return The tombstone by number, from 1; reverts if there is none.
    function erasureAt(bytes32 streamId, uint64 number) external view returns (Erasure memory);
}
