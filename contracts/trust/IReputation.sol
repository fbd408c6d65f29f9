// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Deal, Facts} from "../data/ProtocolTypes.sol";
import {Status} from "../market/IEscrow.sol";
import {ITrustGraph} from "./ITrustGraph.sol";

/// @dev What a rating speaks of.
enum Facet {
    Delivery,
    Quality,
    Conduct
}

/// @dev One facet of a provider as it stands now. Shares are Q0.32: 2^32 would be one.
struct Score {
    /// Expectation; 0.3 where nothing is known.
    uint32 mean;
    /// Expectation less 1.28 standard deviations; 0 where nothing is known. What gates should ask.
    uint32 lower;
    /// Milliseconds since the last rating of any facet; 0 if there was none.
    uint64 ageMs;
    /// How many ratings there were, of any facet.
    uint32 count;
}

/// @dev Everything counted against a provider, since the beginning.
struct Tally {
    /// Of the last report; the next has one more.
    uint32 number;
    uint32 gaps;
    uint32 late;
    uint32 equivocations;
    uint32 attestations;
    uint32 intrusions;
    uint32 disputes;
    uint32 probes;
}

/// @title What is known of a provider
/// @notice Three facets that buyers rate, one of facts that money can't buy, and a score from who trusts whom.
/// @dev A provider is the organisation of an account in the Directory, so a change of keys keeps its scores; an account
/// without organisation is a citizen and stands for itself. Nobody has a role here and nothing can be paused.
/// EIP-712 domain ("Reputation", "1", chainId, this).
///
/// Ratings: only the buyer of a deal of this contract's escrow that was delivered and has ended, once. Evidence halves in
/// 90 days. At no moment does an organisation hold more than one unit of evidence about a provider, nor all citizens
/// together, nor one citizen more than a sixteenth. A rating's weight is linear in the tokens burned with it and in
/// the rater's own conduct. So k organisations with any money buy no more than {boundOf}(k).
///
/// Warning: this counts organisations. That two of them are different people is the Directory's to know. Citizens'
/// accounts cost nothing, so together they weigh as much as one organisation, and who has many of them can fill that.
interface IReputation is ITrustGraph {
    /// @param weight Evidence, Q8.16.
    event Rated(
        bytes32 indexed provider,
        bytes32 indexed rater,
        bytes32 dealId,
        bytes3 values,
        uint64 fee,
        uint256 weight
    );
    /// @notice The committee's counts of a provider were added.
    event FactsReported(bytes32 indexed provider, uint32 indexed number, Facts facts);
    /// @notice A deal that was lost to a proof counts against its deliverer.
    event FaultCounted(bytes32 indexed provider, bytes32 indexed dealId);

    /// @dev Thrown when the caller is not the deal's buyer.
    error Reputation_NotBuyer(address buyer, address caller);
    /// @dev Thrown when the status shown is not the deal's.
    error Reputation_WrongStatus(bytes32 dealId, bytes32 word);
    /// @dev Thrown when the deal has not ended, or nothing was delivered.
    error Reputation_NotDelivered(bytes32 dealId, uint8 state);
    /// @dev Thrown when the rater is of the organisation that it would rate.
    error Reputation_OwnProvider(bytes32 provider);
    /// @dev Thrown when this deal, or one that finished later, was rated by the pair.
    error Reputation_OutOfOrder(bytes32 dealId, uint112 after_);
    /// @dev Thrown when no facet is rated.
    error Reputation_NoOpinion();
    /// @dev Thrown when a value is above 100.
    error Reputation_WrongValue(uint8 value);
    /// @dev Thrown when the fee is too small to weigh anything.
    error Reputation_FeeTooSmall(uint64 fee);
    /// @dev Thrown when the rater has given about the provider what it may, for now.
    error Reputation_CapReached(uint256 room, uint256 weight);
    /// @dev Thrown when this is not the provider's next report.
    error Reputation_WrongNumber(uint32 expected, uint32 given);
    /// @dev Thrown when the report does not go on where the last one ended, or reaches beyond what is anchored.
    error Reputation_WrongEpochs(uint64 expectedFrom, uint64 latest, uint64 fromEpoch, uint64 toEpoch);
    /// @dev Thrown when the deal was not refunded after a delivery.
    error Reputation_NoFault(bytes32 dealId, uint8 state);
    /// @dev Thrown when the deal was counted before.
    error Reputation_FaultKnown(bytes32 dealId);

    /// @notice Rates the seller of a deal, as its buyer. Burns `fee` tokens of the caller, who has approved them.
    /// @dev One organisation's ratings of another go in the order in which their deals finished (then of deal ids): a
    /// rating closes the earlier ones. That is what one word a pair can hold; a slot a deal would cost 15,000 gas more.
    /// Only delivered deals count: of one that was not, the escrow can't tell whose fault it was.
    /// Warning: an account that is moved to another organisation may rate again the last deals of before, at a new fee
    /// and under the new pair's cap.
    /// @param deal As it was opened.
    /// @param status The finished one: released, or refunded after delivery.
    /// @param values One byte for each {Facet}, 0 (bad) to 100 (good), or 255 for no opinion; one opinion at least.
    /// @param fee Base units of the city's token. Refused if it buys nothing, or more than the pair has room for.
    function rate(Deal calldata deal, Status calldata status, bytes3 values, uint64 fee) external;

    /// @notice Adds what the committee saw of a provider in a range of epochs. Anyone may send it.
    /// @param facts The provider's next number; epochs that join its last report's and are anchored; configDigest of the
    /// committee in force now.
    /// @param signatures Exactly q in a row, 65 bytes each, ascending by signer, over the EIP-712 digest of `facts`.
    function report(Facts calldata facts, bytes calldata signatures) external;

    /// @notice Counts a deal that was refunded after its delivery, that is by a proof, against its deliverer. Anyone may
    /// send it, once a deal.
    function countFault(Deal calldata deal, Status calldata status) external;

    /// @return id The organisation of the account, or the id of the citizen.
    /// @return citizen Whether it has no organisation.
    function providerOf(address account) external view returns (bytes32 id, bool citizen);

    /// @return A facet of the provider now.
    function scoreOf(bytes32 provider, Facet facet) external view returns (Score memory);

    /// @return score Q0.32: all but one without faults, one half at eight weighted faults, which halve in 90 days.
    /// @return tally What the committee reported, since the beginning.
    /// @return proofs Deals lost to a proof, since the beginning.
    function objectiveOf(bytes32 provider) external view returns (uint32 score, Tally memory tally, uint32 proofs);

    /// @return Evidence (Q8.16) that this account may still add about the provider now.
    function roomOf(address rater, bytes32 provider) external view returns (uint256);

    /// @return Evidence (Q8.16) that this account buys with a fee now.
    function weightOf(address rater, uint64 fee) external view returns (uint256);

    /// @return The highest lower bound, Q0.32, that ratings of `organisations` colluding organisations and of all
    /// citizens can make of a provider whom nobody else rates.
    function boundOf(uint256 organisations) external pure returns (uint32);
}
