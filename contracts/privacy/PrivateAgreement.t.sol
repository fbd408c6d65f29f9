// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Agreement, AgreementHash} from "./Agreement.sol";
import {AgreementFixture} from "./AgreementFixture.t.sol";
import {IAgreementDigests} from "./IAgreementDigests.sol";
import {IPrivateAgreement, Proposal} from "./IPrivateAgreement.sol";

contract PrivateAgreementTest is AgreementFixture {
    function setUp() external {
        deployAgreement();
    }

    /* PROPOSE, COUNTER, SIGN */

    function test_sign_whenByAll_itIsActive() external {
        _state(IPrivateAgreement.State.None);
        uint64 version = propose(0, proposal(2));
        _state(IPrivateAgreement.State.Proposed);
        bytes memory one = signatureOf(0, version);
        vm.prank(party(1));
        agreement.sign(version, one);
        _state(IPrivateAgreement.State.Proposed);
        bytes memory two = signatureOf(1, version);
        bytes32 digest = agreement.digestOf(version);
        vm.expectEmit(address(agreement));
        emit IPrivateAgreement.Activated(version, digest);
        vm.prank(party(1));
        agreement.sign(version, two);
        _state(IPrivateAgreement.State.Active);
        (Agreement memory a, uint64 endMs) = agreement.active();
        assertEq(digest, expectedDigest(a), "what was signed");
        assertEq(a.termsHash, keccak256(proposal(2).terms), "terms");
        assertEq(endMs, a.endMs, "end");
        assertEq(agreement.open().version, 0, "nothing open");
    }

    function test_counter_theFirstSignaturesCountNoMore() external {
        uint64 first = propose(0, proposal(2));
        bytes memory old = signatureOf(1, first);
        Proposal memory other = proposal(2);
        other.terms = "price per reading 4";
        vm.prank(party(1));
        uint64 second = agreement.counter(first, other);
        assertEq(second, first + 1, "version");
        vm.startPrank(party(0));
        vm.expectRevert(abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NoProposal.selector, first));
        agreement.sign(first, old);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotAsked.selector);
        agreement.sign(second, old);
        vm.expectRevert(abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NoProposal.selector, first));
        agreement.counter(first, other);
        vm.stopPrank();
        signAll(second, 2);
        (Agreement memory a, ) = agreement.active();
        assertEq(a.termsHash, keccak256("price per reading 4"), "the later terms");
    }

    function test_propose_whenOneIsOpen_itReverts() external {
        uint64 version = propose(0, proposal(2));
        Proposal memory p = proposal(2);
        vm.expectRevert(abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_ProposalOpen.selector, version));
        propose(1, p);
        vm.warp(block.timestamp + 3601);
        _state(IPrivateAgreement.State.None);
        assertEq(propose(1, proposal(2)), version + 1, "after its deadline");
    }

    function test_takeBack_onlyByTheProposer() external {
        uint64 version = propose(0, proposal(2));
        bytes memory signature = signatureOf(0, version);
        vm.prank(party(1));
        vm.expectRevert(
            abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NotProposer.selector, party(0), party(1))
        );
        agreement.takeBack(version);
        vm.startPrank(party(0));
        agreement.takeBack(version);
        _state(IPrivateAgreement.State.None);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NoProposal.selector);
        agreement.sign(version, signature);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NoProposal.selector);
        agreement.takeBack(version);
    }

    function test_sign_whenTwiceLateOrByAnother_itReverts() external {
        uint64 version = propose(0, proposal(2));
        bytes memory one = signatureOf(0, version);
        bytes memory foreign = signatureOf(2, version);
        bytes memory byAuditor = sign(0xAD17, agreement.digestOf(version));
        bytes memory other = sign(keys[1], keccak256("other"));
        vm.startPrank(party(0));
        agreement.sign(version, one);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_AlreadySigned.selector);
        agreement.sign(version, one);
        vm.expectRevert(
            abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NotAsked.selector, version, party(2))
        );
        agreement.sign(version, foreign);
        vm.expectRevert(abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NotAsked.selector, version, auditor));
        agreement.sign(version, byAuditor);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotAsked.selector);
        agreement.sign(version, other);
        vm.warp(block.timestamp + 3601);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NoProposal.selector);
        agreement.sign(version, one);
    }

    function test_sign_whenAnAmendmentIsNotTheirs_itReverts() external {
        signAll(propose(0, proposal(2)), 2);
        uint64 version = propose(0, proposal(2));
        bytes memory foreign = signatureOf(2, version);
        vm.prank(party(0));
        vm.expectRevert(
            abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NotAsked.selector, version, party(2))
        );
        agreement.sign(version, foreign);
    }

    function test_propose_whenWrong_itReverts() external {
        Proposal memory p = proposal(2);
        p.terms = "";
        _refused(p, IPrivateAgreement.PrivateAgreement_TermsEmpty.selector);
        p = proposal(2);
        p.salt = 0;
        _refused(p, IPrivateAgreement.PrivateAgreement_SaltZero.selector);
        p = proposal(1);
        _refused(p, IPrivateAgreement.PrivateAgreement_Parties.selector);
        p.parties = new address[](17);
        _refused(p, IPrivateAgreement.PrivateAgreement_Parties.selector);
        p = proposal(2);
        p.auditors = new address[](5);
        _refused(p, IPrivateAgreement.PrivateAgreement_Parties.selector);
        p = proposal(2);
        p.parties[0] = p.parties[1];
        _refused(p, IPrivateAgreement.PrivateAgreement_NotAscending.selector);
        p = proposal(2);
        p.auditors[0] = party(1);
        _refused(p, IPrivateAgreement.PrivateAgreement_BothPartyAndAuditor.selector);
        p = proposal(2);
        p.deadline = nowMs() - 1;
        _refused(p, IPrivateAgreement.PrivateAgreement_WrongTimes.selector);
        p.deadline = nowMs() + 91 * 86_400_000;
        p.endMs = p.deadline;
        _refused(p, IPrivateAgreement.PrivateAgreement_WrongTimes.selector);
        p = proposal(2);
        p.endMs = p.deadline - 1;
        _refused(p, IPrivateAgreement.PrivateAgreement_WrongTimes.selector);
        p.endMs = type(uint64).max;
        _refused(p, IPrivateAgreement.PrivateAgreement_WrongTimes.selector);
    }

    /* WHO MAY WRITE */

    function test_whenNotAParty_nothingCanBeWritten() external {
        signAll(propose(0, proposal(2)), 2);
        uint64 version = propose(0, proposal(3));
        bytes memory signature = signatureOf(2, version);
        Proposal memory p = proposal(2);
        address[4] memory others = [auditor, stranger, party(2), address(this)];
        for (uint256 i = 0; i < 4; ++i) {
            bytes memory e = abi.encodeWithSelector(IPrivateAgreement.PrivateAgreement_NotParty.selector, others[i]);
            vm.startPrank(others[i]);
            vm.expectRevert(e);
            agreement.propose(p);
            vm.expectRevert(e);
            agreement.counter(version, p);
            vm.expectRevert(e);
            agreement.takeBack(version);
            vm.expectRevert(e);
            agreement.sign(version, signature);
            vm.expectRevert(e);
            agreement.giveNotice();
            vm.stopPrank();
        }
    }

    /* AMEND, JOIN, LEAVE */

    function test_amend_whenANewPartyJoins_itSignsAndMayThenWrite() external {
        signAll(propose(0, proposal(2)), 2);
        uint64 version = propose(0, proposal(3));
        _state(IPrivateAgreement.State.Amending);
        signAll(version, 2);
        assertTrue(!agreement.isParty(party(2)), "not before it has signed");
        bytes memory last = signatureOf(2, version);
        vm.prank(party(0));
        agreement.sign(version, last);
        assertTrue(agreement.isParty(party(2)), "a party");
        assertEq(propose(2, proposal(3)), version + 1, "it may propose");
    }

    function test_amend_whenAPartyLeaves_itMustSignToo() external {
        signAll(propose(0, proposal(3)), 3);
        uint64 version = propose(0, proposal(2));
        signAll(version, 2);
        (Agreement memory a, ) = agreement.active();
        assertEq(a.parties.length, 3, "nobody is left out by the others");
        bytes memory last = signatureOf(2, version);
        // what was active has ended meanwhile; the signature is still needed, and enough
        vm.warp(block.timestamp + 3600);
        vm.prank(party(2));
        agreement.sign(version, last);
        (a, ) = agreement.active();
        assertEq(a.parties.length, 2, "left");
        assertTrue(!agreement.isParty(party(2)), "out");
    }

    function test_amend_whenTheActiveOneEndsMeanwhile_itCanStillBeSigned() external {
        Proposal memory p = proposal(3);
        p.endMs = p.deadline;
        signAll(propose(0, p), 3);
        vm.warp(block.timestamp + 1800);
        uint64 version = propose(0, proposal(2));
        vm.warp(block.timestamp + 1801);
        _state(IPrivateAgreement.State.Proposed);
        signAll(version, 2);
        _state(IPrivateAgreement.State.Proposed);
        bytes memory last = signatureOf(2, version);
        vm.prank(party(0));
        agreement.sign(version, last);
        _state(IPrivateAgreement.State.Active);
    }

    /* END */

    function test_giveNotice_itEndsEarlierNeverLater() external {
        vm.prank(party(0));
        vm.expectRevert(IPrivateAgreement.PrivateAgreement_NotActive.selector);
        agreement.giveNotice();
        signAll(propose(0, proposal(2)), 2);
        uint64 end = nowMs() + 7 * 86_400_000;
        vm.expectEmit(address(agreement));
        emit IPrivateAgreement.NoticeGiven(1, party(1), end);
        vm.prank(party(1));
        agreement.giveNotice();
        vm.warp(block.timestamp + 1 days);
        vm.prank(party(0));
        agreement.giveNotice();
        (, uint64 endMs) = agreement.active();
        assertEq(endMs, end, "a second notice moves nothing");
        vm.warp(end / 1000);
        _state(IPrivateAgreement.State.Active);
        vm.warp(end / 1000 + 1);
        _state(IPrivateAgreement.State.Ended);
        assertEq(propose(1, proposal(2)), 2, "its parties may begin anew");
    }

    /* DIGESTS */

    function testFuzz_digest_isEip712(Agreement memory a) external view {
        assertEq(AgreementHash.hashStruct(a), vm.eip712HashStruct(TYPE, abi.encode(a)), "struct");
        assertEq(AgreementHash.digest(a, address(digests)), expectedDigest(a), "digest");
    }

    function test_anchor_aDigestStandsOnce() external {
        bytes32 digest = keccak256("digest");
        vm.expectEmit(address(digests));
        emit IAgreementDigests.DigestAnchored(digest, stranger, nowMs());
        vm.prank(stranger);
        digests.anchor(digest);
        uint64 then = nowMs();
        vm.warp(block.timestamp + 10);
        vm.expectRevert(abi.encodeWithSelector(IAgreementDigests.AgreementDigests_Known.selector, digest, then));
        digests.anchor(digest);
        (address by, uint64 atMs) = digests.anchoredBy(digest);
        assertTrue(by == stranger && atMs == then, "kept");
        vm.expectRevert(IAgreementDigests.AgreementDigests_DigestZero.selector);
        digests.anchor(0);
    }

    function testFuzz_verify_onlyWhatAllSigned(uint256 bit) external {
        uint64 version = propose(0, proposal(2));
        signAll(version, 2);
        (Agreement memory a, ) = agreement.active();
        bytes[] memory s = new bytes[](2);
        (s[0], s[1]) = (signatureOf(0, version), signatureOf(1, version));
        digests.anchor(agreement.digestOf(version));
        (bytes32 digest, uint64 atMs) = digests.verify(a, s);
        assertTrue(digest == agreement.digestOf(version) && atMs == nowMs(), "shown");
        bytes[] memory fewer = new bytes[](1);
        fewer[0] = s[0];
        vm.expectRevert(abi.encodeWithSelector(IAgreementDigests.AgreementDigests_SignatureCount.selector, 2, 1));
        digests.verify(a, fewer);
        Agreement memory b = a;
        b.parties = new address[](0);
        vm.expectRevert(abi.encodeWithSelector(IAgreementDigests.AgreementDigests_SignatureCount.selector, 0, 0));
        digests.verify(b, new bytes[](0));
        a.parties = new address[](2);
        vm.expectPartialRevert(IAgreementDigests.AgreementDigests_WrongSigner.selector);
        digests.verify(a, s);
        (a, ) = agreement.active();
        a.termsHash ^= bytes32(1 << (bit % 256));
        vm.expectPartialRevert(IAgreementDigests.AgreementDigests_WrongSigner.selector);
        digests.verify(a, s);
    }

    function _state(IPrivateAgreement.State expected) private view {
        assertEq(uint256(agreement.state()), uint256(expected), "state");
    }

    function _refused(Proposal memory p, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        propose(0, p);
    }
}

/// @dev Four accounts, an auditor and an outsider do anything in any order.
contract AgreementHandler is AgreementFixture {
    mapping(uint64 version => mapping(address account => bytes)) private _signatures;
    uint64 private _last;
    uint64 private _activated;

    constructor() {
        deployAgreement();
    }

    function proposeAny(uint256 who, uint256 n, uint32 signingSecs, uint32 termSecs, bytes32 salt) external {
        Proposal memory p = _proposal(n, signingSecs, termSecs, salt);
        bool may = agreement.isParty(party(who % 4));
        bool isOpen = agreement.open().version != 0;
        if (!may) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        else if (isOpen) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_ProposalOpen.selector);
        vm.prank(party(who % 4));
        uint64 version = agreement.propose(p);
        if (may && !isOpen) _rises(version);
    }

    function counterAny(uint256 who, uint256 n, uint32 signingSecs, uint32 termSecs, bytes32 salt) external {
        uint64 version = agreement.open().version;
        Proposal memory p = _proposal(n, signingSecs, termSecs, salt);
        bool may = agreement.isParty(party(who % 4));
        if (!may) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        else if (version == 0) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NoProposal.selector);
        vm.prank(party(who % 4));
        uint64 next = agreement.counter(version, p);
        if (may && version != 0) _rises(next);
    }

    /// @dev Everybody who is asked signs, but for one in three times.
    function signMost(uint256 skip) external {
        uint64 version = agreement.open().version;
        if (version == 0) return;
        address sender = agreement.isParty(party(0)) ? party(0) : party(1);
        for (uint256 i = 0; i < 4; ++i) {
            if (agreement.open().version != version) return;
            if (i == skip % 12 || agreement.hasSigned(version, party(i)) || !_isAsked(i)) continue;
            bytes memory signature = signatureOf(i, version);
            vm.prank(sender);
            agreement.sign(version, signature);
            _signatures[version][party(i)] = signature;
        }
    }

    function notice(uint256 who) external {
        IPrivateAgreement.State now_ = agreement.state();
        bool active = now_ == IPrivateAgreement.State.Active || now_ == IPrivateAgreement.State.Amending;
        bool may = agreement.isParty(party(who % 4));
        if (!may) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        else if (!active) vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotActive.selector);
        vm.prank(party(who % 4));
        agreement.giveNotice();
    }

    function intrude(bool asAuditor, bytes32 salt) external {
        Proposal memory p = _proposal(2, 100, 100, salt);
        uint64 version = agreement.open().version;
        vm.startPrank(asAuditor ? auditor : stranger);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        agreement.propose(p);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        agreement.counter(version, p);
        vm.expectPartialRevert(IPrivateAgreement.PrivateAgreement_NotParty.selector);
        agreement.giveNotice();
        vm.stopPrank();
    }

    function passTime(uint32 secs) external {
        vm.warp(block.timestamp + (secs % 20 days));
    }

    /* checks */

    function checkActive() external {
        (Agreement memory a, uint64 endMs) = agreement.active();
        if (a.version == 0) return;
        assertTrue(a.version >= _activated, "never back to an older one");
        _activated = a.version;
        assertTrue(endMs <= a.endMs, "never longer than signed");
        assertEq(agreement.digestOf(a.version), expectedDigest(a), "the digest is of what is in force");
        bytes[] memory s = new bytes[](a.parties.length);
        for (uint256 i = 0; i < s.length; ++i) s[i] = _signatures[a.version][a.parties[i]];
        (bytes32 digest, ) = digests.verify(a, s);
        assertEq(digest, agreement.digestOf(a.version), "every party signed it, as anyone can be shown");
    }

    function checkTimeAlone() external {
        vm.warp(block.timestamp + 36_525 days + 90 days);
        IPrivateAgreement.State now_ = agreement.state();
        assertTrue(now_ == IPrivateAgreement.State.None || now_ == IPrivateAgreement.State.Ended, "left by time alone");
    }

    function _proposal(
        uint256 n,
        uint32 signingSecs,
        uint32 termSecs,
        bytes32 salt
    ) private view returns (Proposal memory p) {
        p = proposal(bound(n, 2, 4));
        p.deadline = nowMs() + uint64(signingSecs % 80 days) * 1000;
        p.endMs = p.deadline + uint64(termSecs % 1000 days) * 1000;
        p.salt = salt | bytes32(uint256(1));
    }

    function _isAsked(uint256 i) private view returns (bool) {
        address[] memory list = agreement.open().parties;
        for (uint256 k = 0; k < list.length; ++k) {
            if (list[k] == party(i)) return true;
        }
        IPrivateAgreement.State now_ = agreement.state();
        return now_ == IPrivateAgreement.State.Amending && agreement.isParty(party(i));
    }

    function _rises(uint64 version) private {
        assertTrue(version == _last + 1, "versions rise by one");
        _last = version;
    }
}

contract AgreementInvariants is AgreementFixture {
    AgreementHandler private _handler;
    bytes4[] private _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        _handler = new AgreementHandler();
        targetContract(address(_handler));
        _actions = [
            AgreementHandler.proposeAny.selector,
            AgreementHandler.counterAny.selector,
            AgreementHandler.signMost.selector,
            AgreementHandler.notice.selector,
            AgreementHandler.intrude.selector,
            AgreementHandler.passTime.selector
        ];
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(_handler), _actions);
    }

    function invariant_whatIsInForceWasSignedByAll() external {
        _handler.checkActive();
    }

    function invariant_everyStateIsLeftByTimeAlone() external {
        _handler.checkTimeAlone();
    }
}
