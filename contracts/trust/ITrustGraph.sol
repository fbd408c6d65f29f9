// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title A score from who trusts whom
/// @notice EigenTrust over at most 64 organisations: t ← 0.85 · Cᵀt + 0.15 · p, twenty rounds from t = p, in integers. C
/// holds each organisation's net good ratings of the others, a row adding up to one; an organisation without any trusts
/// the founders. p is the founders, in equal parts.
/// @dev Once a day anyone may begin, which copies all ratings in one transaction, and anyone may compute on, in slices of
/// any number of rounds: the result depends on neither. Nobody can begin twice a day, so nobody can hold it up longer
/// than that; the last result stays until the next is complete.
///
/// Organisations that are no founders get trust only from what others give them: if honest organisations spend no more
/// than the share x of their trust on colluding ones, these hold no more than 0.85x / (0.15 + 0.85x) together.
interface ITrustGraph {
    /// @notice An organisation has a place in the graph, for ever.
    event OrganisationEntered(bytes32 indexed organisation, uint256 index);
    /// @notice All pair ratings were copied: this is what the day's score is computed from.
    event GraphBegun(uint64 indexed day, uint256 organisations);
    /// @notice The day's score is complete.
    event GraphComputed(uint64 indexed day);

    /// @dev Thrown when there are no founders, or too many.
    error TrustGraph_Founders(uint256 given);
    /// @dev Thrown when every place is taken.
    error TrustGraph_Full(uint256 limit);
    /// @dev Thrown when the organisation has a place.
    error TrustGraph_Known(bytes32 organisation);
    /// @dev Thrown when the account is of no organisation.
    error TrustGraph_NoOrganisation(address account);
    /// @dev Thrown when a score was begun today.
    error TrustGraph_BegunToday(uint64 day);
    /// @dev Thrown when nothing was begun, or everything is computed.
    error TrustGraph_NothingToCompute(uint64 day);

    /// @notice Lets the organisation of an account take part from the next day on. Anyone may call; a place is for ever.
    function enter(address account) external;

    /// @notice Copies today's ratings. Once a day; a computation of an earlier day that is not complete is given up.
    function begin() external;

    /// @notice Computes up to `rounds` rounds on.
    function compute(uint256 rounds) external;

    /// @return score Share of all trust, Q0.32; zero for who takes no part.
    /// @return day Days since 1970 of the ratings that it comes from; zero if there is no result yet.
    function graphScoreOf(bytes32 organisation) external view returns (uint32 score, uint64 day);

    /// @return day Of the ratings last copied.
    /// @return rounds Computed of them so far, of twenty.
    function progress() external view returns (uint64 day, uint256 rounds);

    /// @return The organisations that take part, founders first.
    function organisations() external view returns (bytes32[] memory);
}
