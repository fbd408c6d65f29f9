// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {ProtocolTypes} from "../data/ProtocolTypes.sol";

/// @title Windows of time in which a party may act
/// @dev One closes after its seconds and at least one block for each twenty of them: a chain that stood still closes none.
library Window {
    uint256 private constant SECONDS_PER_BLOCK = 20;

    /// @notice Whether a window of `length` seconds that opened at `fromMs` (Unix milliseconds) in `fromBlock` is closed.
    function isClosed(uint256 fromMs, uint256 fromBlock, uint256 length) internal view returns (bool) {
        return
            ProtocolTypes.nowMs() > fromMs + length * 1000 && (block.number - fromBlock) * SECONDS_PER_BLOCK >= length;
    }
}
