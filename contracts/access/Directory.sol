// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";

import {IDirectory} from "./IDirectory.sol";

/// @title Directory
contract Directory is IDirectory, AccessManaged {
    mapping(bytes32 name => Module) private _modules;
    mapping(address account => bytes32) private _organisations;

    constructor(address authority) AccessManaged(authority) {}

    /// @inheritdoc IDirectory
    function setModule(bytes32 name, address module_, uint32 version) external restricted {
        if (name == 0) revert Directory_NameZero();
        if (module_.code.length == 0) revert Directory_NoCode(name, module_);
        uint32 current = _modules[name].version;
        if (version <= current) revert Directory_VersionNotRising(name, current, version);
        _modules[name] = Module(module_, version, module_.codehash);
        emit ModuleSet(name, module_, version, module_.codehash);
    }

    /// @inheritdoc IDirectory
    function setOrganisation(address account, bytes32 organisation) external restricted {
        if (account == address(0)) revert Directory_AccountZero();
        bytes32 previous = _organisations[account];
        _organisations[account] = organisation;
        emit OrganisationSet(account, previous, organisation);
    }

    /// @inheritdoc IDirectory
    function module(bytes32 name) external view returns (Module memory) {
        return _modules[name];
    }

    /// @inheritdoc IDirectory
    function addressOf(bytes32 name) external view returns (address) {
        return _modules[name].module;
    }

    /// @inheritdoc IDirectory
    function addressesOf(bytes32 first, bytes32 second) external view returns (address, address) {
        return (_modules[first].module, _modules[second].module);
    }

    /// @inheritdoc IDirectory
    function organisationOf(address account) external view returns (bytes32) {
        return _organisations[account];
    }
}
