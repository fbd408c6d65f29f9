// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

import {Fixture} from "../test/Fixture.t.sol";
import {Roles} from "../test/Roles.t.sol";
import {Vm} from "../test/Vm.t.sol";
import {IDirectory} from "./IDirectory.sol";

interface Meter {
    function pauseGasMetering() external;
}

contract DirectoryTest is Fixture {
    function setUp() external {
        deployAll();
    }

    function test_setModule_whenCodeIsThere_itIsKept() external {
        vm.expectEmit(address(directory));
        emit IDirectory.ModuleSet("Escrow", address(escrow), 3, address(escrow).codehash);
        directory.setModule("Escrow", address(escrow), 3);
        IDirectory.Module memory m = directory.module("Escrow");
        assertEq(m.module, address(escrow), "module");
        assertEq(m.version, 3, "version");
        assertEq(m.codehash, address(escrow).codehash, "codehash");
        assertEq(directory.addressOf("Escrow"), address(escrow), "address");
        assertEq(directory.addressOf("Nothing"), address(0), "unknown");
        (address first, address second) = directory.addressesOf("Escrow", "Nothing");
        assertEq(first, address(escrow), "first");
        assertEq(second, address(0), "second");
    }

    function testFuzz_setModule_whenVersionDoesNotRise_itReverts(uint32 first, uint32 second) external {
        first = uint32(bound(first, 1, type(uint32).max));
        directory.setModule("X", address(escrow), first);
        bytes memory e = abi.encodeWithSelector(
            IDirectory.Directory_VersionNotRising.selector,
            bytes32("X"),
            first,
            second
        );
        if (second <= first) vm.expectRevert(e);
        directory.setModule("X", address(market), second);
        assertEq(directory.addressOf("X"), second <= first ? address(escrow) : address(market), "module");
    }

    function test_setModule_whenInputIsEmpty_itReverts() external {
        vm.expectRevert(IDirectory.Directory_NameZero.selector);
        directory.setModule(0, address(escrow), 1);
        vm.expectRevert(abi.encodeWithSelector(IDirectory.Directory_NoCode.selector, bytes32("X"), stranger));
        directory.setModule("X", stranger, 1);
        vm.expectPartialRevert(IDirectory.Directory_VersionNotRising.selector);
        directory.setModule("X", address(escrow), 0);
    }

    function test_setOrganisation_anAccountHasAtMostOne() external {
        directory.setOrganisation(stranger, "a");
        vm.expectEmit(address(directory));
        emit IDirectory.OrganisationSet(stranger, "a", "b");
        directory.setOrganisation(stranger, "b");
        assertEq(directory.organisationOf(stranger), "b", "moved");
        directory.setOrganisation(stranger, 0);
        assertEq(directory.organisationOf(stranger), 0, "out");
        vm.expectRevert(IDirectory.Directory_AccountZero.selector);
        directory.setOrganisation(address(0), "a");
    }
}

/// @dev Holds access/roles.json to the code, both ways.
contract RolesTest is Fixture {
    /// @dev Functions that also let somebody in without the role (the device's owner), so that not every call is refused.
    string[8] private _names = [
        "Directory",
        "BootPolicy",
        "DeviceRegistry",
        "OracleCommittee",
        "MSecToken",
        "Arbitration",
        "Escrow",
        "Subscription"
    ];
    address[8] private _addresses;

    function setUp() external {
        deployAll();
        enrolDevice();
        address subscription = create("Subscription", abi.encode(manager, directory, registry, consent, escrow));
        Roles.apply_(manager, Roles.table(), "Subscription", subscription);
        _addresses = [
            address(directory),
            address(policy),
            address(registry),
            address(committee),
            address(token),
            address(arbitration),
            address(escrow),
            subscription
        ];
    }

    function test_everyRow_isRefusedToStrangersAndSetInTheManager() external {
        Roles.Row[] memory rows = Roles.table();
        for (uint256 i = 0; i < rows.length; ++i) {
            address target = _addressOf(rows[i].target);
            uint64 role = manager.getTargetFunctionRole(target, rows[i].selector);
            assertEq(role, rows[i].role, rows[i].signature);
            assertTrue(role != 0, "no function is the admin's own");
            bytes memory data = bytes.concat(rows[i].selector, _arguments(rows[i].signature));
            vm.prank(stranger);
            vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger));
            (bool asExpected, ) = target.call(data);
            assertTrue(asExpected, rows[i].signature);
        }
    }

    /// @dev As many rows a contract as its source has restrictions, in every source there is: no restricted function is
    /// missing in the table, and the table names nothing else.
    function test_everyRestriction_hasARow() external {
        // Its gas would be that of reading the sources, comments and all.
        Meter(address(vm)).pauseGasMetering();
        Roles.Row[] memory rows = Roles.table();
        Vm.DirEntry[] memory entries = vm.readDir("contracts", 4);
        uint256 sources;
        uint256 restrictions;
        for (uint256 k = 0; k < entries.length; ++k) {
            string memory name = _sourceName(entries[k]);
            if (bytes(name).length == 0) continue;
            ++sources;
            string memory source = vm.readFile(entries[k].path);
            uint256 found = vm.split(source, " restricted").length - 1 + vm.split(source, "_checkCanCall(").length - 1;
            uint256 listed;
            for (uint256 i = 0; i < rows.length; ++i) {
                if (_same(rows[i].target, name)) ++listed;
            }
            assertEq(listed, found, name);
            if (found != 0) assertTrue(_addressOf(name) != address(0), name);
            restrictions += found;
        }
        assertTrue(sources > 40, "all sources");
        assertEq(restrictions, rows.length, "rows");
    }

    /// @return Of a contract's source, without folder and ending; empty for tests and what is no source.
    function _sourceName(Vm.DirEntry memory entry) private pure returns (string memory) {
        string[] memory parts = vm.split(entry.path, "/");
        string[] memory file = vm.split(parts[parts.length - 1], ".");
        if (entry.isDir || file.length != 2 || !_same(file[1], "sol")) return "";
        return file[0];
    }

    function _arguments(string memory signature) private view returns (bytes memory) {
        bytes32 h = keccak256(bytes(signature));
        if (h == keccak256("setStatus(bytes32,uint8)")) return abi.encode(deviceId, 3);
        if (h == keccak256("revokeKey(bytes32,uint32)")) return abi.encode(deviceId, 1);
        if (h == keccak256("setConfig((uint16,address[],bytes32[],uint64))")) {
            return abi.encode(uint256(32), 1, 128, 160, 1, 0, 0);
        }
        if (h == keccak256("setPanel(address[])")) return abi.encode(new address[](0));
        return new bytes(160);
    }

    function _addressOf(string memory name) private view returns (address) {
        for (uint256 i = 0; i < _names.length; ++i) {
            if (_same(_names[i], name)) return _addresses[i];
        }
        revert(name);
    }

    function _same(string memory a, string memory b_) private pure returns (bool) {
        return keccak256(bytes(a)) == keccak256(bytes(b_));
    }
}
