// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title A panel of organisations outside the deal
/// @notice All members of the panel that held when the deal was bought judge, without those of the parties' organisations:
/// so nobody draws them and nobody can choose them. One organisation has one seat and one vote. Votes are committed, then
/// revealed; the ruling is the (lower) median of at least three. A case always ends: after caseSeconds there is a ruling
/// or there never will be one.
/// @dev Cases are kept apart by who opened them, so the contract needs no list of those who may, and holds no money.
/// Windows close after their seconds and at least seconds/20 blocks.
///
/// Warning: members are chosen by a role. A change binds only deals bought after it; a buyer looks at the panel before it
/// buys. The role that moves accounts between organisations can keep at most four members out of a case.
interface IArbitration {
    /// @dev A case as it stands.
    struct CaseView {
        /// Number of the panel, from 1; 0: no such case.
        uint32 panel;
        /// Unix milliseconds and number of the block that opened it.
        uint64 openedAt;
        uint64 openedBlock;
        /// Bit i: seat i is of a party's organisation.
        uint64 excluded;
        uint32 revealed;
    }

    /// @notice These judge complaints about deals that are made from now on.
    event PanelSet(uint32 indexed panel, address[] members, bytes32[] organisations);
    /// @notice A court, the escrow, has a complaint; bit i of `excluded` is set where seat i may not judge.
    event CaseOpened(address indexed court, bytes32 indexed id, uint32 indexed panel, uint64 excluded);
    /// @notice A seat has voted; how is not known yet.
    event Committed(address indexed court, bytes32 indexed id, uint8 indexed seat);
    /// @notice A seat has shown its vote.
    event Revealed(address indexed court, bytes32 indexed id, uint8 indexed seat, uint16 perMille);

    /// @dev Thrown when there would be no time to commit or to reveal.
    error Arbitration_DurationZero(uint32 commitSeconds, uint32 revealSeconds);
    /// @dev Thrown when the panel has more than 64 members.
    error Arbitration_TooManyMembers(uint256 given, uint256 most);
    /// @dev Thrown when a member is of no organisation.
    error Arbitration_NoOrganisation(address member);
    /// @dev Thrown when members are not ascending by organisation, or two are of one.
    error Arbitration_NotAscending(bytes32 previous, bytes32 given);
    /// @dev Thrown when fewer than three organisations outside the deal are left to judge.
    error Arbitration_TooFewJudges(uint256 judges, uint256 needed);
    /// @dev Thrown when the court has brought this case before.
    error Arbitration_CaseKnown(bytes32 id);
    /// @dev Thrown when there is no such case.
    error Arbitration_NoCase(bytes32 id);
    /// @dev Thrown when the seat is another's, or may not judge this case.
    error Arbitration_NotYourSeat(uint8 seat, address caller);
    /// @dev Thrown when the time to commit is over.
    error Arbitration_CommitClosed(bytes32 id);
    /// @dev Thrown when the time to reveal has not begun, or is over.
    error Arbitration_RevealClosed(bytes32 id);
    /// @dev Thrown when the commitment is zero.
    error Arbitration_CommitmentZero();
    /// @dev Thrown when the seat has voted.
    error Arbitration_AlreadyCommitted(uint8 seat);
    /// @dev Thrown when this is not what the seat committed to, or it was shown before.
    error Arbitration_WrongReveal(bytes32 expected, bytes32 given);
    /// @dev Thrown when the vote is for more than the whole.
    error Arbitration_VoteTooLarge(uint16 perMille);
    /// @dev Thrown when there is no ruling: no such case, too few votes shown, or not over yet.
    error Arbitration_NotRuled(bytes32 id, uint256 revealed);

    /// @notice Seats a new panel for deals bought from now on. Restricted.
    /// @param members Ascending by their organisation in the Directory, each of another one; at most 64. None: no panel.
    function setPanel(address[] calldata members) external;

    /// @notice Opens a case of the caller's. Reverts with fewer than three judges.
    /// @param parties Whose organisations and accounts do not judge; zero counts for nobody.
    /// @param asOfMs The panel of this time judges, Unix milliseconds.
    function open(bytes32 id, address[4] calldata parties, uint64 asOfMs) external;

    /// @notice Commits a judge's vote, once, within commitSeconds.
    /// @param commitment {commitmentOf} of the vote and a random salt.
    function commit(address court, bytes32 id, uint8 seat, bytes32 commitment) external;

    /// @notice Shows a vote after commitSeconds, within revealSeconds.
    /// @param perMille How much of what is judged goes back to the complainer, 0 to 1000.
    function reveal(address court, bytes32 id, uint8 seat, uint16 perMille, bytes32 salt) external;

    /// @notice The ruling, once the case is over and three votes are revealed; else reverts.
    /// @return perMille Median of the votes; of an even number the lower of the two.
    /// @return judges Who revealed, by seat.
    function ruling(address court, bytes32 id) external view returns (uint16 perMille, address[] memory judges);

    /// @return How many could judge between these parties by the panel of a time; below three there is no arbitration.
    function judgesFor(address[4] calldata parties, uint64 asOfMs) external view returns (uint256);

    /// @return H(abi.encode(court, id, judge, perMille, salt)): nobody can copy another's commitment.
    function commitmentOf(
        address court,
        bytes32 id,
        address judge,
        uint16 perMille,
        bytes32 salt
    ) external pure returns (bytes32);

    /// @return The case; all zero if there is none.
    function caseOf(address court, bytes32 id) external view returns (CaseView memory);

    /// @return Members and organisations of a panel, by seat.
    function panelAt(uint32 panel) external view returns (address[] memory, bytes32[] memory);

    /// @return Number of panels so far.
    function panelCount() external view returns (uint32);

    /// @return Seconds from opening to ruling: commitSeconds + revealSeconds.
    function caseSeconds() external view returns (uint32);

    /// @return Seconds for commitments.
    function commitSeconds() external view returns (uint32);
}
