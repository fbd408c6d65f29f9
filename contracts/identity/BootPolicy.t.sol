// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";

import {Fixture} from "../test/Fixture.t.sol";
import {IBootPolicy} from "./IBootPolicy.sol";

contract BootPolicyTest is Fixture {
    bytes32 private constant ID = keccak256("gateway firmware");
    bytes32 private constant OLD = keccak256("firmware 1");
    bytes32 private constant NEW = keccak256("firmware 2");
    uint64 private constant GRACE = 100_000;

    function setUp() external {
        deployAll();
        policy.publish(ID, OLD, nowMs(), 0);
    }

    function test_accepts_whenNothingIsPublished_itIsFalse() external view {
        assertTrue(!policy.accepts("other", OLD, nowMs()), "policy");
        assertTrue(!policy.accepts(ID, NEW, nowMs()), "digest");
        assertTrue(!policy.accepts(ID, OLD, nowMs() - 1), "before");
        assertTrue(policy.accepts(ID, OLD, nowMs()), "from now");
        assertTrue(policy.accepts(ID, OLD, type(uint64).max), "on");
    }

    function testFuzz_publish_whenAFirmwareIsRolledOut_bothAreAcceptedDuringTheGrace(
        uint32 ahead,
        uint32 grace,
        uint64 at_
    ) external {
        uint64 start = nowMs();
        uint64 from = start + 1 + ahead;
        policy.publish(ID, NEW, from, grace);
        assertTrue(policy.accepts(ID, NEW, at_) == (at_ >= from), "the new one");
        assertTrue(policy.accepts(ID, OLD, at_) == (at_ >= start && at_ <= from + grace), "the old one");
    }

    function test_revoke_itEndsAtOnceAndThePastStands() external {
        uint64 start = nowMs();
        pass(10);
        vm.expectEmit(address(policy));
        emit IBootPolicy.VersionRevoked(ID, 1, nowMs() - 1);
        policy.revoke(ID, 1);
        assertTrue(!policy.accepts(ID, OLD, nowMs()), "now");
        assertTrue(policy.accepts(ID, OLD, start), "a quote is judged by the policy of its time");
        policy.publish(ID, NEW, nowMs(), GRACE);
        assertTrue(!policy.accepts(ID, OLD, nowMs()), "a grace brings nothing back");
        vm.expectPartialRevert(IBootPolicy.BootPolicy_Ended.selector);
        policy.revoke(ID, 1);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_NoVersion.selector);
        policy.revoke(ID, 3);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_NoVersion.selector);
        policy.revoke(ID, 0);
    }

    function test_revoke_whenItHasNotBegun_itNeverDoes() external {
        uint64 from = nowMs() + 5000;
        policy.publish(ID, NEW, from, GRACE);
        policy.revoke(ID, 2);
        assertTrue(!policy.accepts(ID, NEW, from), "never");
        assertTrue(policy.accepts(ID, OLD, from + GRACE), "the old one as long as it was to be");
    }

    function test_publish_whenADigestComesBack_bothTimesCount() external {
        uint64 start = nowMs();
        pass(10);
        policy.publish(ID, NEW, nowMs(), 0);
        uint64 between = nowMs() + 5000;
        pass(10);
        policy.publish(ID, OLD, nowMs(), 0);
        assertTrue(policy.accepts(ID, OLD, start), "first");
        assertTrue(!policy.accepts(ID, OLD, between), "between");
        assertTrue(policy.accepts(ID, OLD, nowMs()), "again");
        assertEq(policy.versions(ID), 3, "versions");
        assertEq(policy.versionAt(ID, 3).before, 1, "linked");
    }

    function test_publish_whenWrong_itReverts() external {
        uint64 now_ = nowMs();
        vm.expectPartialRevert(IBootPolicy.BootPolicy_PolicyZero.selector);
        policy.publish(0, NEW, now_, 0);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_DigestZero.selector);
        policy.publish(ID, 0, now_ + 1, 0);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_InThePast.selector);
        policy.publish(ID, NEW, now_ - 1, 0);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_NotAfter.selector);
        policy.publish(ID, NEW, now_, 0);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_TooLate.selector);
        policy.publish(ID, NEW, now_ + 366 days * 1000, 0);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_TooLate.selector);
        policy.publish(ID, NEW, now_ + 1, type(uint64).max);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_NoVersion.selector);
        policy.versionAt(ID, 2);
        vm.expectPartialRevert(IBootPolicy.BootPolicy_NoVersion.selector);
        policy.versionAt(ID, 0);
    }

    function test_publish_whenByAStranger_itReverts() external {
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger));
        policy.publish(ID, NEW, nowMs() + 1, 0);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger));
        policy.revoke(ID, 1);
        vm.stopPrank();
    }

    function test_publishEkProfile_rootsAndTemplatesAreJudgedTogether() external {
        bytes32[] memory templates = new bytes32[](2);
        (templates[0], templates[1]) = (keccak256("L-1"), keccak256("L-2"));
        bytes32 roots = keccak256("roots");
        policy.publishEkProfile("maker", roots, templates, nowMs(), 0);
        assertTrue(policy.acceptsEkProfile("maker", roots, templates, nowMs()), "as published");
        assertTrue(!policy.acceptsEkProfile("other", roots, templates, nowMs()), "maker");
        assertTrue(!policy.acceptsEkProfile("maker", "x", templates, nowMs()), "roots");
        assertTrue(!policy.acceptsEkProfile("maker", roots, new bytes32[](2), nowMs()), "templates");
        assertTrue(!policy.accepts("maker", roots, nowMs()), "no boot policy");
        policy.revoke(policy.ekPolicyId("maker"), 1);
        assertTrue(!policy.acceptsEkProfile("maker", roots, templates, nowMs()), "revoked");
    }
}

/// @dev Publishes and revokes at random, and remembers what was answered for times that are past.
contract PolicyHandler is Fixture {
    struct Answer {
        bytes32 digest;
        uint64 at;
        bool accepted;
    }

    Answer[] private _answers;

    constructor() {
        deployAll();
    }

    function publish(uint8 digest, uint32 ahead, uint32 grace) external {
        bytes32 d = bytes32(uint256(1 + (digest % 3)));
        uint32 n = policy.versions("p");
        uint64 from = nowMs() + (ahead % 20_000);
        if (n != 0 && from <= policy.versionAt("p", n).fromMs) {
            vm.expectPartialRevert(IBootPolicy.BootPolicy_NotAfter.selector);
        }
        policy.publish("p", d, from, grace % 50_000);
    }

    function revoke(uint32 version) external {
        uint32 n = policy.versions("p");
        if (n == 0) return;
        version = 1 + (version % n);
        if (policy.versionAt("p", version).untilMs < nowMs()) {
            vm.expectPartialRevert(IBootPolicy.BootPolicy_Ended.selector);
        }
        policy.revoke("p", version);
    }

    function passTime(uint8 secs) external {
        for (uint256 i = 1; i <= 3; ++i) {
            // The millisecond before now is past: nothing may change it.
            uint64 at_ = nowMs() - 1;
            _answers.push(Answer(bytes32(i), at_, policy.accepts("p", bytes32(i), at_)));
        }
        pass(1 + uint256(secs));
    }

    function check() external view {
        for (uint256 i = 0; i < _answers.length; ++i) {
            Answer memory a = _answers[i];
            assertTrue(policy.accepts("p", a.digest, a.at) == a.accepted, "the past never changes");
        }
    }
}

contract BootPolicyInvariants is Fixture {
    PolicyHandler private _handler;

    function setUp() external {
        _handler = new PolicyHandler();
        targetContract(address(_handler));
    }

    function invariant_theAnswerForAPastTimeNeverChanges() external view {
        _handler.check();
    }
}
