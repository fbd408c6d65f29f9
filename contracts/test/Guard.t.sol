// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Base} from "./Base.t.sol";

/// @dev Fails if the network in use knows an opcode later than Istanbul: then tests would pass that a deployment fails.
contract GuardTest is Base {
    function test_whenCodeIsIstanbul_itRuns() external {
        // PUSH1 0 PUSH1 0 RETURN, SELFBALANCE and CHAINID
        assertTrue(_runs(hex"60006000f3"), "push");
        assertTrue(_runs(hex"4746505060006000f3"), "selfbalance, chainid");
    }

    function test_whenCodeIsLater_itFails() external {
        assertTrue(!_runs(hex"5f5ff3"), "PUSH0");
        assertTrue(!_runs(hex"485060006000f3"), "BASEFEE");
        assertTrue(!_runs(hex"6000600060005e60006000f3"), "MCOPY");
        assertTrue(!_runs(hex"60005c5060006000f3"), "TLOAD");
        assertTrue(!_runs(hex"600060005d60006000f3"), "TSTORE");
        assertTrue(!_runs(hex"4a5060006000f3"), "BLOBBASEFEE");
        assertTrue(!_runs(hex"60001e5060006000f3"), "CLZ");
    }

    function _runs(bytes memory initCode) private returns (bool) {
        address made;
        assembly ("memory-safe") {
            made := create(0, add(initCode, 32), mload(initCode))
        }
        return made != address(0);
    }
}
