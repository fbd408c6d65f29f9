// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Names of contracts and organisations of accounts
/// @notice The one place where a module is replaced, and the Sybil root: whatever counts "organisations" counts these.
/// @dev Warning: moving a name changes nothing for what already pins an address (a deal pins its anchor).
interface IDirectory {
    struct Module {
        /// Zero while the name is unknown.
        address module;
        /// Only rises.
        uint32 version;
        /// EXTCODEHASH when the name was moved; contracts here are immutable, so it stays true.
        bytes32 codehash;
    }

    /// @notice A name points at other code, or at its first.
    event ModuleSet(bytes32 indexed name, address indexed module, uint32 version, bytes32 codehash);
    /// @notice An account joined, changed or left (zero) an organisation.
    event OrganisationSet(address indexed account, bytes32 indexed previous, bytes32 indexed organisation);

    /// @dev Thrown when the name is empty.
    error Directory_NameZero();
    /// @dev Thrown when the account is zero.
    error Directory_AccountZero();
    /// @dev Thrown when there is no code at the address that a name should point at.
    error Directory_NoCode(bytes32 name, address module);
    /// @dev Thrown when the given version is not above the present one.
    error Directory_VersionNotRising(bytes32 name, uint32 current, uint32 given);

    /// @notice Points `name` at a deployed contract. Restricted.
    /// @param name Short string in bytes32, for example "DataAnchor".
    /// @param module Must hold code.
    /// @param version Must be higher than the one before; the first may be any above 0.
    function setModule(bytes32 name, address module, uint32 version) external;

    /// @notice Puts an account into an organisation, moves it to another, or takes it out (zero). Restricted.
    /// @dev An account has at most one organisation; an organisation has any number of accounts.
    function setOrganisation(address account, bytes32 organisation) external;

    /// @return The module's entry, all zero if the name is unknown.
    function module(bytes32 name) external view returns (Module memory);

    /// @return The module's address, or zero.
    function addressOf(bytes32 name) external view returns (address);

    /// @return The addresses of two modules in one call, each or zero.
    function addressesOf(bytes32 first, bytes32 second) external view returns (address, address);

    /// @return The account's organisation, or zero if it has none.
    function organisationOf(address account) external view returns (bytes32);
}
