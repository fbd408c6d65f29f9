// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {IConsent} from "./IConsent.sol";
import {IConsentRegistry} from "./IConsentRegistry.sol";
import {ProtocolTypes, Stream} from "./ProtocolTypes.sol";

/// @title ConsentRegistry
/// @dev Nobody has a role here and nothing can be paused: to be forgotten is an exit.
contract ConsentRegistry is IConsentRegistry, EIP712, Nonces {
    bytes32 private constant REQUEST_TYPEHASH = keccak256(
        "ErasureRequest(bytes32 streamId,uint32 fromSlot,uint32 toSlot,uint256 nonce,uint64 deadline)"
    );

    IDeviceRegistry private immutable _registry;

    mapping(bytes32 streamId => Erasure[]) private _erasures;

    constructor(IDeviceRegistry registry) EIP712("ConsentRegistry", "1") {
        _registry = registry;
    }

    /// @inheritdoc IConsentRegistry
    function requestErasure(Stream calldata stream, uint32 fromSlot, uint32 toSlot) external returns (uint64 number) {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        address owner = _ownerOf(stream);
        if (msg.sender != owner) revert ConsentRegistry_NotOwner(streamId, owner, msg.sender);
        return _request(streamId, fromSlot, toSlot);
    }

    /// @inheritdoc IConsentRegistry
    function requestErasureBySignature(
        Stream calldata stream,
        ErasureRequest calldata request,
        bytes calldata signature
    ) external returns (uint64 number) {
        bytes32 streamId = ProtocolTypes.hashStream(stream);
        if (request.streamId != streamId) revert ConsentRegistry_WrongStream(streamId, request.streamId);
        uint64 nowMs = ProtocolTypes.nowMs();
        if (nowMs > request.deadline) revert ConsentRegistry_Expired(request.deadline, nowMs);
        address owner = _ownerOf(stream);
        _useCheckedNonce(owner, request.nonce);
        bytes32 digest = _hashTypedDataV4(keccak256(abi.encode(REQUEST_TYPEHASH, request)));
        if (owner == address(0) || !SignatureChecker.isValidSignatureNow(owner, digest, signature)) {
            revert ConsentRegistry_WrongSignature(owner);
        }
        return _request(streamId, request.fromSlot, request.toSlot);
    }

    /// @inheritdoc IConsent
    function erasures(bytes32 streamId) external view returns (uint64) {
        return uint64(_erasures[streamId].length);
    }

    /// @inheritdoc IConsentRegistry
    function erasureAt(bytes32 streamId, uint64 number) external view returns (Erasure memory) {
        if (number == 0 || number > _erasures[streamId].length) revert ConsentRegistry_NoErasure(streamId, number);
        return _erasures[streamId][number - 1];
    }

    /// @inheritdoc IConsent
    function authorised(bytes32, bytes32, address) external pure returns (bool) {
        return true;
    }

    function _request(bytes32 streamId, uint32 fromSlot, uint32 toSlot) private returns (uint64 number) {
        if (fromSlot > toSlot) revert ConsentRegistry_EmptyWindow(fromSlot, toSlot);
        uint64 nowMs = ProtocolTypes.nowMs();
        _erasures[streamId].push(Erasure(fromSlot, toSlot, nowMs));
        number = uint64(_erasures[streamId].length);
        emit ErasureRequested(streamId, number, fromSlot, toSlot, nowMs);
    }

    /// @dev Of the stream's own owner epoch: a new owner can't erase the past of the old one, nor the reverse.
    function _ownerOf(Stream calldata stream) private view returns (address) {
        return _registry.ownerOf(stream.deviceId, stream.ownerEpoch);
    }
}
