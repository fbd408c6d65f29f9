// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Vm} from "./Vm.t.sol";

/// @dev Assertions, and what invariant campaigns ask a test contract.
abstract contract Base {
    error NotEqual(string what, bytes32 actual, bytes32 expected);
    error NotTrue(string what);

    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    address[] private _targets;

    function targetContracts() public view returns (address[] memory) {
        return _targets;
    }

    function targetContract(address target) internal {
        _targets.push(target);
    }

    function assertTrue(bool condition, string memory what) internal pure {
        if (!condition) revert NotTrue(what);
    }

    function assertEq(bytes32 actual, bytes32 expected, string memory what) internal pure {
        if (actual != expected) revert NotEqual(what, actual, expected);
    }

    function assertEq(uint256 actual, uint256 expected, string memory what) internal pure {
        assertEq(bytes32(actual), bytes32(expected), what);
    }

    function assertEq(address actual, address expected, string memory what) internal pure {
        assertEq(uint160(actual), uint160(expected), what);
    }

    function bound(uint256 x, uint256 min, uint256 max) internal pure returns (uint256) {
        if (x >= min && x <= max) return x;
        uint256 size = max - min + 1;
        return size == 0 ? x : min + (x % size);
    }

    /// @dev What a transaction with this calldata costs in all, at Istanbul's rules: 21,000, 16 or 4 a byte, the call.
    function transactionGas(address target, bytes memory data) internal returns (uint256 gas) {
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? 4 : 16;
        }
        bool ok;
        uint256 used;
        // Measured in assembly, so that nothing but the call (700) is between the two readings.
        assembly ("memory-safe") {
            used := gas()
            ok := call(gas(), target, 0, add(data, 32), mload(data), 0, 0)
            used := sub(used, gas())
        }
        gas += 21_000 + used - 700;
        if (!ok) {
            bytes memory result;
            assembly ("memory-safe") {
                result := mload(0x40)
                mstore(result, returndatasize())
                returndatacopy(add(result, 32), 0, returndatasize())
                mstore(0x40, add(add(result, 64), returndatasize()))
            }
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }
}
