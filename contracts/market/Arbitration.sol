// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {IDirectory} from "../access/IDirectory.sol";
import {ProtocolTypes} from "../data/ProtocolTypes.sol";
import {IArbitration} from "./IArbitration.sol";
import {Window} from "./Window.sol";

/// @title Arbitration
contract Arbitration is IArbitration, AccessManaged {
    using Checkpoints for Checkpoints.Trace208;

    struct Panel {
        address[] members;
        bytes32[] organisations;
    }

    struct Ballot {
        bytes32 commitment;
        bool revealed;
        uint16 perMille;
    }

    uint256 private constant MAX_MEMBERS = 64;
    uint256 private constant MIN_JUDGES = 3;

    IDirectory private immutable _directory;
    uint32 private immutable _commitSeconds;
    uint32 private immutable _revealSeconds;

    Panel[] private _panels;
    /// @dev Number of the panel that holds from a time (Unix milliseconds) on.
    Checkpoints.Trace208 private _timeline;
    mapping(address court => mapping(bytes32 id => CaseView)) private _cases;
    mapping(address court => mapping(bytes32 id => mapping(uint8 seat => Ballot))) private _ballots;

    /// @param authority The AccessManager.
    /// @param directory Says which organisation an account is of.
    /// @param commitSeconds_ How long votes are committed.
    /// @param revealSeconds_ How long they are then shown.
    constructor(
        address authority,
        IDirectory directory,
        uint32 commitSeconds_,
        uint32 revealSeconds_
    ) AccessManaged(authority) {
        if (commitSeconds_ == 0 || revealSeconds_ == 0) {
            revert Arbitration_DurationZero(commitSeconds_, revealSeconds_);
        }
        _directory = directory;
        _commitSeconds = commitSeconds_;
        _revealSeconds = revealSeconds_;
    }

    /// @inheritdoc IArbitration
    function setPanel(address[] calldata members) external restricted {
        if (members.length > MAX_MEMBERS) revert Arbitration_TooManyMembers(members.length, MAX_MEMBERS);
        Panel storage panel = _panels.push();
        bytes32 previous;
        for (uint256 i = 0; i < members.length; ++i) {
            bytes32 organisation = _directory.organisationOf(members[i]);
            if (organisation == 0) revert Arbitration_NoOrganisation(members[i]);
            if (organisation <= previous) revert Arbitration_NotAscending(previous, organisation);
            panel.members.push(members[i]);
            panel.organisations.push(organisation);
            previous = organisation;
        }
        uint32 number = SafeCast.toUint32(_panels.length);
        _timeline.push(uint48(ProtocolTypes.nowMs()), number);
        emit PanelSet(number, panel.members, panel.organisations);
    }

    /// @inheritdoc IArbitration
    function open(bytes32 id, address[4] calldata parties, uint64 asOfMs) external {
        if (_cases[msg.sender][id].panel != 0) revert Arbitration_CaseKnown(id);
        (uint32 panel, uint64 excluded, uint256 judges) = _seats(parties, asOfMs);
        if (judges < MIN_JUDGES) revert Arbitration_TooFewJudges(judges, MIN_JUDGES);
        _cases[msg.sender][id] = CaseView(panel, ProtocolTypes.nowMs(), uint64(block.number), excluded, 0);
        emit CaseOpened(msg.sender, id, panel, excluded);
    }

    /// @inheritdoc IArbitration
    function commit(address court, bytes32 id, uint8 seat, bytes32 commitment) external {
        CaseView storage case_ = _seated(court, id, seat);
        if (_closed(case_, _commitSeconds)) revert Arbitration_CommitClosed(id);
        if (commitment == 0) revert Arbitration_CommitmentZero();
        Ballot storage ballot = _ballots[court][id][seat];
        if (ballot.commitment != 0) revert Arbitration_AlreadyCommitted(seat);
        ballot.commitment = commitment;
        emit Committed(court, id, seat);
    }

    /// @inheritdoc IArbitration
    function reveal(address court, bytes32 id, uint8 seat, uint16 perMille, bytes32 salt) external {
        CaseView storage case_ = _seated(court, id, seat);
        if (!_closed(case_, _commitSeconds) || _closed(case_, caseSeconds())) revert Arbitration_RevealClosed(id);
        if (perMille > 1000) revert Arbitration_VoteTooLarge(perMille);
        Ballot storage ballot = _ballots[court][id][seat];
        bytes32 given = _commitment(court, id, msg.sender, perMille, salt);
        if (ballot.revealed || ballot.commitment != given) revert Arbitration_WrongReveal(ballot.commitment, given);
        ballot.revealed = true;
        ballot.perMille = perMille;
        case_.revealed += 1;
        emit Revealed(court, id, seat, perMille);
    }

    /// @inheritdoc IArbitration
    function ruling(address court, bytes32 id) external view returns (uint16 perMille, address[] memory judges) {
        CaseView storage case_ = _cases[court][id];
        uint256 n = case_.revealed;
        if (case_.panel == 0 || n < MIN_JUDGES || !_closed(case_, caseSeconds())) revert Arbitration_NotRuled(id, n);
        address[] storage members = _panels[case_.panel - 1].members;
        judges = new address[](n);
        uint16[] memory votes = new uint16[](n);
        uint256 found;
        for (uint256 seat = 0; found < n; ++seat) {
            Ballot storage ballot = _ballots[court][id][uint8(seat)];
            if (!ballot.revealed) continue;
            judges[found] = members[seat];
            // Into its place among the votes so far.
            uint256 i = found;
            for (; i > 0 && votes[i - 1] > ballot.perMille; --i) votes[i] = votes[i - 1];
            votes[i] = ballot.perMille;
            ++found;
        }
        perMille = votes[(n - 1) / 2];
    }

    /// @inheritdoc IArbitration
    function judgesFor(address[4] calldata parties, uint64 asOfMs) external view returns (uint256 judges) {
        (, , judges) = _seats(parties, asOfMs);
    }

    /// @inheritdoc IArbitration
    function commitmentOf(
        address court,
        bytes32 id,
        address judge,
        uint16 perMille,
        bytes32 salt
    ) external pure returns (bytes32) {
        return _commitment(court, id, judge, perMille, salt);
    }

    /// @inheritdoc IArbitration
    function caseOf(address court, bytes32 id) external view returns (CaseView memory) {
        return _cases[court][id];
    }

    /// @inheritdoc IArbitration
    function panelAt(uint32 panel) external view returns (address[] memory, bytes32[] memory) {
        Panel storage stored = _panels[panel - 1];
        return (stored.members, stored.organisations);
    }

    /// @inheritdoc IArbitration
    function panelCount() external view returns (uint32) {
        return uint32(_panels.length);
    }

    /// @inheritdoc IArbitration
    function commitSeconds() external view returns (uint32) {
        return _commitSeconds;
    }

    /// @inheritdoc IArbitration
    function caseSeconds() public view returns (uint32) {
        return _commitSeconds + _revealSeconds;
    }

    /// @dev The panel of a time, who of it may not judge, and how many may.
    function _seats(
        address[4] calldata parties,
        uint64 asOfMs
    ) private view returns (uint32 number, uint64 excluded, uint256 judges) {
        number = uint32(_timeline.upperLookup(uint48(asOfMs)));
        if (number == 0) return (0, 0, 0);
        Panel storage panel = _panels[number - 1];
        bytes32[4] memory organisations;
        for (uint256 k = 0; k < 4; ++k) organisations[k] = _directory.organisationOf(parties[k]);
        uint256 n = panel.members.length;
        for (uint256 i = 0; i < n; ++i) {
            (address member, bytes32 organisation) = (panel.members[i], panel.organisations[i]);
            bool party;
            for (uint256 k = 0; k < 4; ++k) {
                party = party || member == parties[k] || organisation == organisations[k];
            }
            if (party) excluded |= uint64(1) << uint64(i);
            else ++judges;
        }
    }

    /// @dev The case, if the caller sits on its seat.
    function _seated(address court, bytes32 id, uint8 seat) private view returns (CaseView storage case_) {
        case_ = _cases[court][id];
        if (case_.panel == 0) revert Arbitration_NoCase(id);
        address[] storage members = _panels[case_.panel - 1].members;
        if (seat >= members.length || members[seat] != msg.sender || (case_.excluded >> seat) & 1 == 1) {
            revert Arbitration_NotYourSeat(seat, msg.sender);
        }
    }

    function _closed(CaseView storage case_, uint256 windowSeconds) private view returns (bool) {
        return Window.isClosed(case_.openedAt, case_.openedBlock, windowSeconds);
    }

    function _commitment(
        address court,
        bytes32 id,
        address judge,
        uint16 perMille,
        bytes32 salt
    ) private pure returns (bytes32) {
        return keccak256(abi.encode(court, id, judge, perMille, salt));
    }
}
