// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title The city's virtual currency
/// @notice ERC-20 with permit, 6 decimals, no fee, no rebase, no hooks. Supply changes only by role, up to a cap, and by
/// holders who burn their own.
interface IMSecToken is IERC20 {
    /// @dev Thrown when there would be more than the cap.
    error MSecToken_CapExceeded(uint256 cap, uint256 supply);

    /// @notice Mints `amount` base units (10^-6) to `to`. Restricted.
    function mint(address to, uint256 amount) external;

    /// @return The supply that is never exceeded, in base units. Burnt units may be minted again.
    function cap() external view returns (uint256);
}
