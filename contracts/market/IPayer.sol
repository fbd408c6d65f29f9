// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

/// @title Whoever opens a deal pays for it when the escrow asks
interface IPayer {
    /// @notice Moves exactly `amount` of `token` from `from` to the caller, which is the escrow, inside its `open`.
    /// @dev The escrow compares its balance before and after, under its re-entrancy guard.
    function pay(IERC20 token, address from, uint256 amount) external;
}
