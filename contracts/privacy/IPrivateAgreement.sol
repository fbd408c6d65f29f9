// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Agreement} from "./Agreement.sol";

/// @dev What a party puts on the table. Version, contract and hash of the terms are filled in.
struct Proposal {
    /// The terms' exact bytes; an event carries them to all who may read.
    bytes terms;
    address[] parties;
    address[] auditors;
    /// Not before the deadline, at most 100 years ahead.
    uint64 endMs;
    uint64 noticeMs;
    /// At most 90 days ahead.
    uint64 deadline;
    bytes32 salt;
}

/// @title Terms of trade between parties, and nobody else
/// @notice Meant to run as a private contract: only the nodes of parties and auditors hold its state. Propose → counter →
/// signed by all → active → amended, or ended by time or notice.
/// @dev A node runs whatever a private transaction sends to the contract, so every function that writes refuses whom it
/// does not know. Nothing of a public contract is read or called, since each node must come to the same state at any
/// time; `digests` is only a name in what is signed. It holds no value: private transactions carry none.
///
/// One proposal is open at a time: until its deadline, until it is countered, taken back or signed by all. All parties
/// that it names must sign, and while an agreement is active all of that one's as well: so a new party joins, and one
/// leaves, by an amendment, and nobody is left out by the others. What is active stays so until the amendment is.
///
/// Every state is left by time alone: a proposal at its deadline, an agreement at its end.
interface IPrivateAgreement {
    enum State {
        None,
        Proposed,
        Active,
        Amending,
        Ended
    }

    /// @notice Terms were proposed or countered; signatures count anew.
    event Proposed(uint64 indexed version, address indexed by, bytes32 digest, bytes terms);
    /// @notice The open version is void.
    event TakenBack(uint64 indexed version, address indexed by);
    /// @notice A party signed the open version.
    event Signed(uint64 indexed version, address indexed party, bytes signature);
    /// @notice All have signed: this version is in force.
    event Activated(uint64 indexed version, bytes32 digest);
    /// @notice The agreement ends at `endMs`, earlier than it said.
    event NoticeGiven(uint64 indexed version, address indexed by, uint64 endMs);

    /// @dev Thrown when the caller is no party of the agreement in force, or no founder before the first.
    error PrivateAgreement_NotParty(address caller);
    /// @dev Thrown when there are too few or too many parties or auditors.
    error PrivateAgreement_Parties(uint256 parties, uint256 auditors);
    /// @dev Thrown when accounts are not in ascending order, or one stands twice.
    error PrivateAgreement_NotAscending(address previous, address account);
    /// @dev Thrown when an account would be both.
    error PrivateAgreement_BothPartyAndAuditor(address account);
    /// @dev Thrown when deadline or end are past, too far away or in the wrong order.
    error PrivateAgreement_WrongTimes(uint64 nowMs, uint64 deadline, uint64 endMs);
    /// @dev Thrown when there are no terms.
    error PrivateAgreement_TermsEmpty();
    /// @dev Thrown when there is no salt: the digest could be guessed.
    error PrivateAgreement_SaltZero();
    /// @dev Thrown when another proposal is open.
    error PrivateAgreement_ProposalOpen(uint64 version);
    /// @dev Thrown when no proposal of that version is open.
    error PrivateAgreement_NoProposal(uint64 version);
    /// @dev Thrown when somebody else made the proposal.
    error PrivateAgreement_NotProposer(address proposer, address caller);
    /// @dev Thrown when the proposal does not need this account's signature.
    error PrivateAgreement_NotAsked(uint64 version, address signer);
    /// @dev Thrown when the account has signed this version.
    error PrivateAgreement_AlreadySigned(uint64 version, address signer);
    /// @dev Thrown when no agreement is in force.
    error PrivateAgreement_NotActive();

    /// @notice Proposes the first terms, or an amendment. Parties only (before anything is active: those of the
    /// constructor), and only while no proposal is open.
    function propose(Proposal calldata proposal) external returns (uint64 version);

    /// @notice Puts other terms in place of the open proposal. Its signatures count no more.
    /// @param version Of the proposal that is countered, so that nobody counters what they have not seen.
    function counter(uint64 version, Proposal calldata proposal) external returns (uint64 next);

    /// @notice Takes the open proposal back, as its proposer.
    function takeBack(uint64 version) external;

    /// @notice Hands in a signature of anyone who must sign. The last one makes the proposal active.
    /// @param signature r ‖ s ‖ v over {digestOf}(version).
    function sign(uint64 version, bytes calldata signature) external;

    /// @notice Ends the active agreement `noticeMs` from now, if that is before its end. Again: no effect.
    function giveNotice() external;

    /// @return Where things stand now.
    function state() external view returns (State);

    /// @return The agreement in force, or the last one once it has ended; empty before the first.
    /// @return endMs When it ends, notice included.
    function active() external view returns (Agreement memory, uint64 endMs);

    /// @return The proposal that is open now; empty if none is.
    function open() external view returns (Agreement memory);

    /// @return What the parties sign and what is anchored for a version; zero for one that was never there.
    function digestOf(uint64 version) external view returns (bytes32);

    /// @return Whether this account has signed that version.
    function hasSigned(uint64 version, address account) external view returns (bool);

    /// @return Whether the account may write now.
    function isParty(address account) external view returns (bool);
}
