// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What a sale asks about consent
interface IConsent {
    /// @return How many erasures of the stream were ever requested; only rises.
    function erasures(bytes32 streamId) external view returns (uint64);

    /// @notice Whether `buyer` may have the stream's data for `purpose` now. Nobody may whom nobody granted it.
    function authorised(bytes32 streamId, bytes32 purpose, address buyer) external view returns (bool);

    /// @return erasures_ What {erasures} says.
    /// @return authorised_ What {authorised} says.
    function consentOf(
        bytes32 streamId,
        bytes32 purpose,
        address buyer
    ) external view returns (uint64 erasures_, bool authorised_);
}
