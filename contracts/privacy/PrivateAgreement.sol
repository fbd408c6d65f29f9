// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {ProtocolTypes} from "../data/ProtocolTypes.sol";
import {Agreement, AgreementHash} from "./Agreement.sol";
import {IPrivateAgreement, Proposal} from "./IPrivateAgreement.sol";

/// @title PrivateAgreement
contract PrivateAgreement is IPrivateAgreement {
    uint256 private constant MAX_PARTIES = 16;
    uint256 private constant MAX_AUDITORS = 4;
    uint64 private constant MAX_SIGNING_MS = 90 * 86_400_000;
    uint64 private constant MAX_TERM_MS = 36_525 * 86_400_000;

    address private immutable _digests;

    address[] private _founders;
    Agreement private _active;
    uint64 private _endMs;
    /// @dev The last proposal; open while its version is above the active one's and its deadline has not passed.
    Agreement private _proposal;
    address private _proposer;
    uint64 private _versions;
    bool private _takenBack;
    /// @dev Whether something was active when it was proposed, so that those parties must sign as well.
    bool private _amends;
    /// @dev Signatures that the proposal still needs.
    uint256 private _missing;
    mapping(uint64 version => bytes32) private _digestOf;
    mapping(uint64 version => mapping(address account => bool)) private _signed;

    /// @param digests The public contract whose name and address are in what is signed; it is never called.
    /// @param founders Who may make the first proposal: 2 to 16 accounts, ascending.
    constructor(address digests, address[] memory founders) {
        _digests = digests;
        _checkList(founders, 2, MAX_PARTIES, 0);
        _founders = founders;
    }

    modifier onlyParty() {
        if (!isParty(msg.sender)) revert PrivateAgreement_NotParty(msg.sender);
        _;
    }

    /// @inheritdoc IPrivateAgreement
    function propose(Proposal calldata proposal) external onlyParty returns (uint64) {
        if (_isOpen()) revert PrivateAgreement_ProposalOpen(_proposal.version);
        return _propose(proposal);
    }

    /// @inheritdoc IPrivateAgreement
    function counter(uint64 version, Proposal calldata proposal) external onlyParty returns (uint64) {
        _checkOpen(version);
        return _propose(proposal);
    }

    /// @inheritdoc IPrivateAgreement
    function takeBack(uint64 version) external onlyParty {
        _checkOpen(version);
        if (msg.sender != _proposer) revert PrivateAgreement_NotProposer(_proposer, msg.sender);
        _takenBack = true;
        emit TakenBack(version, msg.sender);
    }

    /// @inheritdoc IPrivateAgreement
    function sign(uint64 version, bytes calldata signature) external onlyParty {
        _checkOpen(version);
        bytes32 digest = _digestOf[version];
        address signer = ECDSA.recover(digest, signature);
        if (!_contains(_proposal.parties, signer) && !(_amends && _contains(_active.parties, signer))) {
            revert PrivateAgreement_NotAsked(version, signer);
        }
        if (_signed[version][signer]) revert PrivateAgreement_AlreadySigned(version, signer);
        _signed[version][signer] = true;
        emit Signed(version, signer, signature);
        if (--_missing != 0) return;
        _active = _proposal;
        _endMs = _proposal.endMs;
        emit Activated(version, digest);
    }

    /// @inheritdoc IPrivateAgreement
    function giveNotice() external onlyParty {
        if (!_isActive()) revert PrivateAgreement_NotActive();
        uint256 end = uint256(ProtocolTypes.nowMs()) + _active.noticeMs;
        if (end >= _endMs) return;
        _endMs = uint64(end);
        emit NoticeGiven(_active.version, msg.sender, _endMs);
    }

    /// @inheritdoc IPrivateAgreement
    function state() external view returns (State) {
        if (_isActive()) return _isOpen() ? State.Amending : State.Active;
        if (_isOpen()) return State.Proposed;
        return _active.version == 0 ? State.None : State.Ended;
    }

    /// @inheritdoc IPrivateAgreement
    function active() external view returns (Agreement memory, uint64 endMs) {
        return (_active, _endMs);
    }

    /// @inheritdoc IPrivateAgreement
    function open() external view returns (Agreement memory agreement) {
        if (_isOpen()) return _proposal;
    }

    /// @inheritdoc IPrivateAgreement
    function digestOf(uint64 version) external view returns (bytes32) {
        return _digestOf[version];
    }

    /// @inheritdoc IPrivateAgreement
    function hasSigned(uint64 version, address account) external view returns (bool) {
        return _signed[version][account];
    }

    /// @inheritdoc IPrivateAgreement
    function isParty(address account) public view returns (bool) {
        return _contains(_active.version == 0 ? _founders : _active.parties, account);
    }

    function _propose(Proposal calldata proposal) private returns (uint64 version) {
        uint64 nowMs = ProtocolTypes.nowMs();
        if (
            proposal.deadline < nowMs ||
            proposal.deadline - nowMs > MAX_SIGNING_MS ||
            proposal.endMs < proposal.deadline ||
            proposal.endMs - nowMs > MAX_TERM_MS
        ) {
            revert PrivateAgreement_WrongTimes(nowMs, proposal.deadline, proposal.endMs);
        }
        if (proposal.terms.length == 0) revert PrivateAgreement_TermsEmpty();
        if (proposal.salt == 0) revert PrivateAgreement_SaltZero();
        _checkList(proposal.parties, 2, MAX_PARTIES, proposal.auditors.length);
        _checkList(proposal.auditors, 0, MAX_AUDITORS, proposal.parties.length);
        version = ++_versions;
        _proposal = Agreement({
            agreement: address(this),
            version: version,
            termsHash: keccak256(proposal.terms),
            parties: proposal.parties,
            auditors: proposal.auditors,
            endMs: proposal.endMs,
            noticeMs: proposal.noticeMs,
            deadline: proposal.deadline,
            salt: proposal.salt
        });
        for (uint256 i = 0; i < proposal.auditors.length; ++i) {
            if (_contains(_proposal.parties, proposal.auditors[i])) {
                revert PrivateAgreement_BothPartyAndAuditor(proposal.auditors[i]);
            }
        }
        (_proposer, _takenBack, _amends) = (msg.sender, false, _isActive());
        _missing = proposal.parties.length + _leavers();
        bytes32 digest = AgreementHash.digest(_proposal, _digests);
        _digestOf[version] = digest;
        emit Proposed(version, msg.sender, digest, proposal.terms);
    }

    /// @dev Parties of the active agreement whom the proposal does not name.
    function _leavers() private view returns (uint256 count) {
        if (!_amends) return 0;
        for (uint256 i = 0; i < _active.parties.length; ++i) {
            if (!_contains(_proposal.parties, _active.parties[i])) ++count;
        }
    }

    function _isActive() private view returns (bool) {
        return _active.version != 0 && ProtocolTypes.nowMs() <= _endMs;
    }

    function _isOpen() private view returns (bool) {
        return _proposal.version > _active.version && !_takenBack && ProtocolTypes.nowMs() <= _proposal.deadline;
    }

    function _checkOpen(uint64 version) private view {
        if (version == 0 || version != _proposal.version || !_isOpen()) revert PrivateAgreement_NoProposal(version);
    }

    function _checkList(address[] memory list, uint256 least, uint256 most, uint256 others) private pure {
        if (list.length < least || list.length > most) revert PrivateAgreement_Parties(list.length, others);
        address previous;
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] <= previous) revert PrivateAgreement_NotAscending(previous, list[i]);
            previous = list[i];
        }
    }

    function _contains(address[] storage list, address account) private view returns (bool) {
        uint256 n = list.length;
        for (uint256 i = 0; i < n; ++i) {
            if (list[i] == account) return true;
        }
        return false;
    }
}
