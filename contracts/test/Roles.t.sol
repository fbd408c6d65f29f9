// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManager} from "@openzeppelin/contracts/access/manager/IAccessManager.sol";

import {Vm} from "./Vm.t.sol";

/// @dev Reads access/roles.json, the one table of who may call what.
library Roles {
    struct Row {
        string target;
        string signature;
        bytes4 selector;
        uint64 role;
    }

    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function table() internal view returns (Row[] memory rows) {
        string memory json = vm.readFile("contracts/access/roles.json");
        uint256 n;
        while (vm.keyExistsJson(json, _key(n, ""))) ++n;
        rows = new Row[](n);
        for (uint256 i = 0; i < n; ++i) {
            string memory signature = vm.parseJsonString(json, _key(i, ".function"));
            string memory role = vm.parseJsonString(json, _key(i, ".role"));
            rows[i] = Row({
                target: vm.parseJsonString(json, _key(i, ".contract")),
                signature: signature,
                selector: bytes4(keccak256(bytes(signature))),
                role: uint64(vm.parseJsonUint(json, string.concat("$.roles.", role)))
            });
        }
    }

    function _key(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat("$.table[", vm.toString(i), "]", field);
    }

    /// @dev Does what a deployment does with the table's rows for one contract.
    function apply_(IAccessManager manager, Row[] memory rows, string memory name, address target) internal {
        for (uint256 i = 0; i < rows.length; ++i) {
            if (keccak256(bytes(rows[i].target)) != keccak256(bytes(name))) continue;
            bytes4[] memory selectors = new bytes4[](1);
            selectors[0] = rows[i].selector;
            manager.setTargetFunctionRole(target, selectors, rows[i].role);
        }
    }
}
