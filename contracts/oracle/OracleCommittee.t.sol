// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Config, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Roles} from "../test/Roles.t.sol";
import {IOracleCommittee} from "./IOracleCommittee.sol";

contract OracleCommitteeTest is Fixture {
    bytes32 private constant DIGEST = keccak256("digest");

    function setUp() external {
        deployAll();
    }

    function test_setConfig_itIsInForceFromItsEpochOn() external {
        uint256[] memory keys = _sortedKeys(7, 0x7000);
        Config memory c = config(keys, 50);
        vm.expectEmit(address(committee));
        emit IOracleCommittee.ConfigSet(1, 50, ProtocolTypes.hashConfig(c), c);
        committee.setConfig(c);
        assertEq(committee.configCount(), 2, "count");
        assertEq(committee.configDigestAt(49), ProtocolTypes.hashConfig(committee.config(0)), "before");
        assertEq(committee.configDigestAt(50), ProtocolTypes.hashConfig(c), "from");
        assertEq(committee.configDigestAt(type(uint64).max), ProtocolTypes.hashConfig(c), "far");
        assertEq(keccak256(abi.encode(committee.configAt(50))), keccak256(abi.encode(c)), "preimage");
        assertTrue(committee.isMember(50, c.members[6]) && !committee.isMember(49, c.members[6]), "member");
        vm.expectRevert(abi.encodeWithSelector(IOracleCommittee.OracleCommittee_NoConfig.selector, uint64(0)));
        committee.configDigestAt(0);
    }

    function testFuzz_setConfig_quorumIsNMinusF(uint8 n, uint16 q) external {
        uint256[] memory keys = _sortedKeys(bound(n, 1, 64), 0x7000);
        Config memory c = config(keys, 50);
        uint256 f;
        while (3 * (f + 1) < keys.length) ++f; // the largest with n > 3f
        assertEq(c.q, keys.length - f, "q");
        assertTrue(2 * uint256(c.q) > keys.length + f, "two quorums share an honest member");
        if (q != c.q) {
            Config memory bad = abi.decode(abi.encode(c), (Config));
            bad.q = q;
            vm.expectRevert(abi.encodeWithSelector(IOracleCommittee.OracleCommittee_WrongQuorum.selector, c.q, q));
            committee.setConfig(bad);
        }
        committee.setConfig(c);
    }

    function test_setConfig_whenMembersAreWrong_itReverts() external {
        uint256[] memory keys = _sortedKeys(4, 0x7000);
        Config memory c = config(keys, 50);
        (c.members[0], c.members[1]) = (c.members[1], c.members[0]);
        (c.organisations[0], c.organisations[1]) = (c.organisations[1], c.organisations[0]);
        _refused(c, IOracleCommittee.OracleCommittee_MembersNotAscending.selector);
        c = config(keys, 50);
        c.members[1] = c.members[0];
        _refused(c, IOracleCommittee.OracleCommittee_MembersNotAscending.selector);
        c = config(keys, 50);
        c.organisations[2] = keccak256("claimed");
        _refused(c, IOracleCommittee.OracleCommittee_WrongOrganisation.selector);
        c = config(keys, 50);
        (c.organisations[3]) = 0;
        directory.setOrganisation(c.members[3], 0);
        _refused(c, IOracleCommittee.OracleCommittee_WrongOrganisation.selector);
        c = config(keys, 50);
        directory.setOrganisation(c.members[3], c.organisations[0]);
        c.organisations[3] = c.organisations[0];
        _refused(c, IOracleCommittee.OracleCommittee_OrganisationRepeated.selector);
        c = config(keys, 50);
        c.organisations = new bytes32[](3);
        _refused(c, IOracleCommittee.OracleCommittee_MemberCount.selector);
        c.members = new address[](0);
        c.organisations = new bytes32[](0);
        _refused(c, IOracleCommittee.OracleCommittee_MemberCount.selector);
        c.members = new address[](65);
        c.organisations = new bytes32[](65);
        _refused(c, IOracleCommittee.OracleCommittee_MemberCount.selector);
    }

    function test_setConfig_whenTheEpochIsNotFuture_itReverts() external {
        Config memory c = config(_sortedKeys(4, 0x7000), 1);
        _refused(c, IOracleCommittee.OracleCommittee_EpochNotFuture.selector);
        anchorNext("a", 1);
        anchorNext("b", 1);
        c.fromEpoch = 2;
        _refused(c, IOracleCommittee.OracleCommittee_EpochNotFuture.selector);
        c.fromEpoch = 3;
        committee.setConfig(c);
        _refused(c, IOracleCommittee.OracleCommittee_EpochNotFuture.selector);
        c.fromEpoch = 4;
        committee.setConfig(c);
    }

    function test_verify_needsExactlyQAscendingMembers() external {
        bytes memory s = membersSignatures(DIGEST, 3);
        committee.verify(5, _config(), DIGEST, s);
        bytes32 unknown = keccak256("unknown");
        vm.expectPartialRevert(IOracleCommittee.OracleCommittee_NotInForce.selector);
        committee.verify(5, unknown, DIGEST, s);
        bytes32 current = _config();
        vm.expectPartialRevert(IOracleCommittee.OracleCommittee_NotInForce.selector);
        committee.verify(0, current, DIGEST, s);
        _lengthRefused(membersSignatures(DIGEST, 2));
        _lengthRefused(membersSignatures(DIGEST, 4));
        _lengthRefused(bytes.concat(s, hex"00"));
        _lengthRefused("");
        _verifyRefused(_of(1, 0, 2), IOracleCommittee.OracleCommittee_SignersNotAscending.selector);
        _verifyRefused(_of(0, 0, 2), IOracleCommittee.OracleCommittee_SignersNotAscending.selector);
        _verifyRefused(_of(0, 2, 1), IOracleCommittee.OracleCommittee_SignersNotAscending.selector);
        _verifyRefused(_of(0, 2, 2), IOracleCommittee.OracleCommittee_SignersNotAscending.selector);
    }

    function test_verify_whenTheNextConfigHolds_theOneBeforeDoesNot() external {
        bytes32 before = _config();
        uint256[] memory keys = _sortedKeys(1, 0x7000);
        Config memory c = config(keys, 50);
        committee.setConfig(c);
        bytes memory s = membersSignatures(DIGEST, 3);
        committee.verify(49, before, DIGEST, s);
        vm.expectRevert(
            abi.encodeWithSelector(IOracleCommittee.OracleCommittee_NotInForce.selector, uint64(50), before)
        );
        committee.verify(50, before, DIGEST, s);
        committee.verify(50, ProtocolTypes.hashConfig(c), DIGEST, sign(keys[0], DIGEST));
    }

    function test_setConfig_whenThereAreSixtyFourMembers_theyAreTaken() external {
        Config memory c = config(_sortedKeys(64, 0x7000), 50);
        committee.setConfig(c);
        assertTrue(committee.isMember(50, c.members[63]), "the last one");
    }

    function test_setConfig_whenTheFirst_itMayHoldFromEpochOneOn() external {
        vm.mockCall(address(directory), abi.encodeCall(directory.addressOf, ("DataAnchor")), abi.encode(address(0)));
        committee = IOracleCommittee(create("OracleCommittee", abi.encode(manager, directory)));
        Roles.apply_(manager, Roles.table(), "OracleCommittee", address(committee));
        Config memory c = config(_sortedKeys(4, 0x7000), 0);
        _refused(c, IOracleCommittee.OracleCommittee_EpochNotFuture.selector);
        c.fromEpoch = 1;
        committee.setConfig(c);
        assertEq(committee.configDigestAt(1), ProtocolTypes.hashConfig(c), "from the first epoch on");
    }

    function test_configDigestAt_whenTheEpochIsFarAway_itIsTheLast() external view {
        bytes32 last = committee.configDigestAt(1);
        assertEq(committee.configDigestAt(uint64(1) << 48), last, "beyond 48 bits");
        assertEq(committee.configDigestAt((uint64(1) << 48) - 1), last, "the last of 48 bits");
    }

    function testFuzz_verify_whenASignerIsNoMember_itReverts(uint256 key) external {
        key = bound(key, 1, type(uint128).max);
        for (uint256 i = 0; i < 4; ++i) vm.assume(key != memberKeys[i]);
        bytes memory s = bytes.concat(sign(key, DIGEST), sign(memberKeys[1], DIGEST), sign(memberKeys[2], DIGEST));
        bytes32 current = _config();
        vm.expectRevert();
        committee.verify(5, current, DIGEST, s);
    }

    function _config() private view returns (bytes32) {
        return committee.configDigestAt(5);
    }

    function _of(uint256 a, uint256 b, uint256 c) private view returns (bytes memory) {
        return bytes.concat(sign(memberKeys[a], DIGEST), sign(memberKeys[b], DIGEST), sign(memberKeys[c], DIGEST));
    }

    function _lengthRefused(bytes memory s) private {
        bytes32 current = _config();
        vm.expectRevert(
            abi.encodeWithSelector(IOracleCommittee.OracleCommittee_SignaturesLength.selector, 195, s.length)
        );
        committee.verify(5, current, DIGEST, s);
    }

    function _verifyRefused(bytes memory s, bytes4 selector) private {
        bytes32 current = _config();
        vm.expectPartialRevert(selector);
        committee.verify(5, current, DIGEST, s);
    }

    function _refused(Config memory c, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        committee.setConfig(c);
    }
}
