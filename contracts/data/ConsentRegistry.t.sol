// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Nonces} from "@openzeppelin/contracts/utils/Nonces.sol";

import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IConsentRegistry} from "./IConsentRegistry.sol";
import {Stream} from "./ProtocolTypes.sol";

abstract contract ConsentBase is Fixture {
    bytes32 internal constant GRANT = keccak256(
        "Grant(bytes32 streamId,bytes32 purpose,address grantee,uint64 fromMs,uint64 untilMs,uint64 epoch,uint64 nonce,uint64 deadline)"
    );
    bytes32 internal constant REVOCATION = keccak256(
        "Revocation(bytes32 streamId,bytes32 purpose,address grantee,uint64 nonce,uint64 deadline)"
    );
    bytes32 internal constant REVOCATION_OF_ALL = keccak256(
        "RevocationOfAll(bytes32 streamId,uint64 epoch,uint64 deadline)"
    );
    bytes32 internal constant REQUEST = keccak256(
        "ErasureRequest(bytes32 streamId,uint32 fromSlot,uint32 toSlot,uint256 nonce,uint64 deadline)"
    );
    bytes32 internal constant SUBJECT_ERASURE = keccak256("SubjectErasure(address subject,uint64 deadline)");
    bytes32 internal constant HOLDERS = keccak256("Holders(bytes32 streamId,uint64 version,address[] holders)");
    bytes32 internal constant ERASED = keccak256(
        "Erased(bytes32 streamId,uint64 number,uint32 fromSlot,uint32 toSlot,uint64 keysDestroyedAt,uint64 backupsExpireAt)"
    );

    uint256 internal constant SUBJECT_KEY = 0x5B1EC7;

    address internal subject = vm.addr(SUBJECT_KEY);

    /// @dev A second stream of the device, with personal data.
    function sealedStream() internal view returns (Stream memory s) {
        s = stream();
        s.mode = 1;
        s.salt = keccak256("home");
    }

    function signed(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        return sign(key, typed("ConsentRegistry", address(consent), structHash));
    }

    function grantOf(Stream memory s, address grantee) internal view returns (IConsentRegistry.Grant memory g) {
        g.streamId = hashStream(s);
        g.purpose = PURPOSE;
        g.grantee = grantee;
        g.untilMs = nowMs() + 1000;
        g.epoch = consent.epochOf(g.streamId);
        g.nonce = consent.grantOf(g.streamId, PURPOSE, grantee).changes;
        g.deadline = nowMs();
    }

    function grantSigned(
        Stream memory s,
        IConsentRegistry.Grant memory g,
        uint256 byOwner,
        uint256 bySubject,
        bytes4 selector
    ) internal {
        bytes32 structHash = keccak256(abi.encode(GRANT, g));
        bytes memory first = signed(byOwner, structHash);
        bytes memory second = bySubject == 0 ? bytes("") : signed(bySubject, structHash);
        if (selector != 0) vm.expectPartialRevert(selector);
        consent.grantBySignature(s, g, first, second);
    }

    function holdersOf(
        Stream memory s,
        uint64 version,
        uint256 n
    ) internal view returns (IConsentRegistry.Holders memory h) {
        h.streamId = hashStream(s);
        h.version = version;
        h.holders = new address[](n);
        for (uint256 i = 0; i < n; ++i) h.holders[i] = vm.addr(memberKeys[i % 4] + 4 * (i / 4));
    }

    function hashHolders(IConsentRegistry.Holders memory h) internal pure returns (bytes32) {
        return keccak256(abi.encode(HOLDERS, h.streamId, h.version, keccak256(abi.encodePacked(h.holders))));
    }

    function setHolders(
        Stream memory s,
        IConsentRegistry.Holders memory h,
        IConsentRegistry.Holders memory previous,
        uint256 key,
        bytes4 selector
    ) internal {
        bytes memory signature = signed(key, hashHolders(h));
        if (selector != 0) vm.expectPartialRevert(selector);
        consent.setHolders(s, h, previous, signature);
    }

    function erasedOf(bytes32 streamId, uint64 number) internal view returns (IConsentRegistry.Erased memory e) {
        IConsentRegistry.Erasure memory tombstone = consent.erasureAt(streamId, number);
        (e.streamId, e.number, e.fromSlot, e.toSlot) = (streamId, number, tombstone.fromSlot, tombstone.toSlot);
        e.keysDestroyedAt = nowMs();
        e.backupsExpireAt = nowMs() + 7 days * 1000;
    }

    function submit(
        IConsentRegistry.Erased memory e,
        IConsentRegistry.Holders memory h,
        uint256 key,
        bytes4 selector
    ) internal {
        bytes memory signature = signed(key, keccak256(abi.encode(ERASED, e)));
        if (selector != 0) vm.expectPartialRevert(selector);
        consent.submitErased(e, h, signature);
    }
}

contract ConsentRegistryTest is ConsentBase {
    bytes32 private _id;

    function setUp() external {
        deployAll();
        enrolDevice();
        vm.prank(owner);
        consent.revokeAll(stream());
        _id = hashStream(stream());
    }

    /* grant */

    function testFuzz_authorised_whenNothingIsGranted_nobodyMay(
        bytes32 id,
        bytes32 purpose,
        address who
    ) external view {
        assertTrue(!consent.authorised(id, purpose, who), "a stream");
        assertTrue(!consent.authorised(_id, purpose, who), "this stream, after all was withdrawn");
    }

    function testFuzz_grant_holdsForItsPurposeGranteeAndTime(
        uint64 from,
        uint64 until,
        uint64 at_,
        address other
    ) external {
        uint64 now_ = uint64(block.timestamp);
        (from, until) = (uint64(bound(from, 0, now_ * 2)), uint64(bound(until, now_, now_ * 2)));
        if (from > until) (from, until) = (until, from);
        if (until < now_) until = now_;
        vm.prank(owner);
        consent.grant(stream(), PURPOSE, buyer, from * 1000, until * 1000);
        vm.warp(bound(at_, now_, now_ * 3));
        bool in_ = from <= block.timestamp && block.timestamp <= until;
        assertTrue(consent.authorised(_id, PURPOSE, buyer) == in_, "buyer");
        assertTrue(!consent.authorised(_id, keccak256("advertising"), buyer), "another purpose");
        assertTrue(other == buyer || !consent.authorised(_id, PURPOSE, other), "another grantee");
        assertTrue(!consent.authorised(hashStream(sealedStream()), PURPOSE, buyer), "another stream");
    }

    function test_grant_holdsUpToAndWithItsLastMillisecond() external {
        uint64 until = nowMs();
        vm.prank(owner);
        consent.grant(stream(), PURPOSE, buyer, until, until);
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "the only millisecond");
        pass(1);
        assertTrue(!consent.authorised(_id, PURPOSE, buyer), "over");
    }

    function test_grantOf_saysWhatWasGrantedAndWithdrawn() external {
        vm.startPrank(owner);
        consent.grant(stream(), PURPOSE, buyer, 1, type(uint64).max);
        IConsentRegistry.GrantState memory g = consent.grantOf(_id, PURPOSE, buyer);
        assertTrue(g.fromMs == 1 && g.untilMs == type(uint64).max && g.changes == 1 && !g.revoked, "granted");
        consent.revoke(stream(), PURPOSE, buyer);
        vm.stopPrank();
        g = consent.grantOf(_id, PURPOSE, buyer);
        assertTrue(g.fromMs == 0 && g.untilMs == 0 && g.epoch == 0 && g.changes == 2 && g.revoked, "withdrawn");
    }

    function testFuzz_grant_whenToAnyone_itHoldsForEverybody(address who) external {
        grantToAnyone(stream());
        assertTrue(consent.authorised(_id, PURPOSE, who), "anyone");
    }

    function test_grant_whenNotByTheOwner_itReverts() external {
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IConsentRegistry.ConsentRegistry_NotOwner.selector, _id, owner, stranger)
        );
        consent.grant(stream(), PURPOSE, stranger, 0, type(uint64).max);
        Stream memory later = stream();
        later.ownerEpoch = 2;
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.grant(later, PURPOSE, buyer, 0, type(uint64).max);
    }

    function test_grant_whenAFieldIsWrong_itReverts() external {
        vm.startPrank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_PurposeZero.selector);
        consent.grant(stream(), 0, buyer, 0, type(uint64).max);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_EmptyPeriod.selector);
        consent.grant(stream(), PURPOSE, buyer, nowMs() + 2, nowMs() + 1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_EmptyPeriod.selector);
        consent.grant(stream(), PURPOSE, buyer, 0, nowMs() - 1);
        consent.grant(stream(), PURPOSE, buyer, 0, nowMs());
        vm.stopPrank();
    }

    function test_grantBySignature_itWorksOnce() external {
        IConsentRegistry.Grant memory g = grantOf(stream(), buyer);
        vm.prank(stranger);
        grantSigned(stream(), g, OWNER_KEY, 0, 0);
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "granted");
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongNonce.selector);
        vm.prank(owner);
        consent.revoke(stream(), PURPOSE, buyer);
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongNonce.selector);
    }

    function test_grantBySignature_whenWithdrawnBeforeItIsSent_itReverts() external {
        IConsentRegistry.Grant memory g = grantOf(stream(), buyer);
        vm.prank(owner);
        consent.revokeAll(stream());
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongEpoch.selector);
        g = grantOf(stream(), buyer);
        vm.prank(owner);
        consent.revoke(stream(), PURPOSE, buyer);
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongNonce.selector);
    }

    function test_grantBySignature_whenWrong_itReverts() external {
        IConsentRegistry.Grant memory g = grantOf(stream(), buyer);
        grantSigned(stream(), g, BUYER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        bytes memory s = signed(OWNER_KEY, keccak256(abi.encode(GRANT, g)));
        g.untilMs += 1;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.grantBySignature(stream(), g, s, "");
        g.deadline -= 1;
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_Expired.selector);
        g = grantOf(stream(), buyer);
        g.streamId = "x";
        grantSigned(stream(), g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongStream.selector);
    }

    /* withdrawal */

    function test_revoke_whenAnyoneMay_thisGranteeMayNot() external {
        grantToAnyone(stream());
        vm.prank(owner);
        consent.revoke(stream(), PURPOSE, buyer);
        assertTrue(!consent.authorised(_id, PURPOSE, buyer), "refused");
        assertTrue(consent.authorised(_id, PURPOSE, stranger), "the others");
        vm.prank(owner);
        consent.revokeAll(stream());
        grantToAnyone(stream());
        assertTrue(!consent.authorised(_id, PURPOSE, buyer), "a refusal outlives what was granted");
        vm.prank(owner);
        consent.grant(stream(), PURPOSE, buyer, 0, type(uint64).max);
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "granted by name");
    }

    function test_revoke_whenOfAnyone_singleGranteesKeepTheirs() external {
        grantToAnyone(stream());
        vm.startPrank(owner);
        consent.grant(stream(), PURPOSE, buyer, 0, type(uint64).max);
        consent.revoke(stream(), PURPOSE, address(0));
        vm.stopPrank();
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "by name");
        assertTrue(!consent.authorised(_id, PURPOSE, stranger), "anyone");
        assertTrue(!consent.authorised(_id, PURPOSE, address(0)), "nobody");
    }

    function test_revoke_whenByAnyoneElse_itReverts() external {
        vm.startPrank(stranger);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.revoke(stream(), PURPOSE, buyer);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.revokeAll(stream());
        vm.stopPrank();
        Stream memory nobodys = stream();
        nobodys.deviceId = "nothing";
        vm.prank(address(0));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.revokeBySignature(
            nobodys,
            IConsentRegistry.Revocation(hashStream(nobodys), PURPOSE, buyer, 0, nowMs()),
            new bytes(65)
        );
    }

    function test_revokeBySignature_itWorksOnce() external {
        grantToAnyone(stream());
        IConsentRegistry.Revocation memory r = IConsentRegistry.Revocation(_id, PURPOSE, buyer, 0, nowMs());
        bytes memory s = signed(OWNER_KEY, keccak256(abi.encode(REVOCATION, r)));
        bytes memory byBuyer = signed(BUYER_KEY, keccak256(abi.encode(REVOCATION, r)));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.revokeBySignature(stream(), r, byBuyer);
        consent.revokeBySignature(stream(), r, s);
        assertTrue(!consent.authorised(_id, PURPOSE, buyer), "withdrawn");
        vm.prank(owner);
        consent.grant(stream(), PURPOSE, buyer, 0, type(uint64).max);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongNonce.selector);
        consent.revokeBySignature(stream(), r, s);
        pass(1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.revokeBySignature(stream(), r, s);
    }

    function test_revokeAll_whenBySignature_itWorksOnce() external {
        grantToAnyone(stream());
        uint64 epoch = consent.epochOf(_id);
        IConsentRegistry.RevocationOfAll memory r = IConsentRegistry.RevocationOfAll(_id, epoch, nowMs());
        bytes memory s = signed(OWNER_KEY, keccak256(abi.encode(REVOCATION_OF_ALL, r)));
        bytes memory byBuyer = signed(BUYER_KEY, keccak256(abi.encode(REVOCATION_OF_ALL, r)));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.revokeAllBySignature(stream(), r, byBuyer);
        consent.revokeAllBySignature(stream(), r, s);
        assertEq(consent.epochOf(_id), epoch + 1, "epoch");
        assertTrue(!consent.authorised(_id, PURPOSE, stranger), "withdrawn");
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongEpoch.selector);
        consent.revokeAllBySignature(stream(), r, s);
        r.deadline -= 1;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.revokeAllBySignature(stream(), r, s);
    }

    /* the person measured */

    function test_grantBySignature_whenSealedAndNoSubjectIsBound_itReverts() external {
        Stream memory s = sealedStream();
        IConsentRegistry.Grant memory g = grantOf(s, buyer);
        bytes memory signature = signed(OWNER_KEY, keccak256(abi.encode(GRANT, g)));
        vm.expectRevert(
            abi.encodeWithSelector(IConsentRegistry.ConsentRegistry_SubjectMustSign.selector, g.streamId, address(0))
        );
        consent.grantBySignature(s, g, signature, "");
    }

    function test_grant_whenSealed_itTakesOwnerAndSubject() external {
        Stream memory s = sealedStream();
        bytes32 id = hashStream(s);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectMustSign.selector);
        consent.grant(s, PURPOSE, buyer, 0, type(uint64).max);
        IConsentRegistry.Grant memory g = grantOf(s, buyer);
        grantSigned(s, g, OWNER_KEY, SUBJECT_KEY, IConsentRegistry.ConsentRegistry_SubjectMustSign.selector);
        bindSubject(s, SUBJECT_KEY);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectMustSign.selector);
        consent.grant(s, PURPOSE, buyer, 0, type(uint64).max);
        grantSigned(s, g, OWNER_KEY, 0, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        grantSigned(s, g, OWNER_KEY, OWNER_KEY, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        grantSigned(s, g, SUBJECT_KEY, SUBJECT_KEY, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        grantSigned(s, g, OWNER_KEY, SUBJECT_KEY, 0);
        assertTrue(consent.authorised(id, PURPOSE, buyer), "both");
    }

    function test_grantBySignature_whenTheOwnerIsTheSubject_oneSignatureDoes() external {
        Stream memory s = sealedStream();
        bindSubject(s, OWNER_KEY);
        grantSigned(s, grantOf(s, buyer), OWNER_KEY, 0, 0);
        assertTrue(consent.authorised(hashStream(s), PURPOSE, buyer), "granted");
    }

    function test_subject_mayWithdrawAndEraseAlone() external {
        Stream memory s = sealedStream();
        bytes32 id = hashStream(s);
        bindSubject(s, SUBJECT_KEY);
        grantSigned(s, grantOf(s, buyer), OWNER_KEY, SUBJECT_KEY, 0);
        vm.prank(subject);
        consent.revoke(s, PURPOSE, buyer);
        assertTrue(!consent.authorised(id, PURPOSE, buyer), "withdrawn");
        grantSigned(s, grantOf(s, buyer), OWNER_KEY, SUBJECT_KEY, 0);
        vm.prank(subject);
        consent.revokeAll(s);
        assertTrue(!consent.authorised(id, PURPOSE, buyer), "all withdrawn");
        vm.prank(subject);
        consent.requestErasure(s, 1, 2);
        assertEq(consent.erasures(id), 1, "erased");
        vm.prank(subject);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.requestErasure(stream(), 1, 2);
        IConsentRegistry.RevocationOfAll memory r = IConsentRegistry.RevocationOfAll(id, 1, nowMs());
        consent.revokeAllBySignature(s, r, signed(SUBJECT_KEY, keccak256(abi.encode(REVOCATION_OF_ALL, r))));
        assertEq(consent.epochOf(id), 2, "by signature");
    }

    function test_bindSubject_whenWrong_itReverts() external {
        Stream memory s = sealedStream();
        _bindRefused(stream(), SUBJECT_KEY, OWNER_KEY, IConsentRegistry.ConsentRegistry_NotSealed.selector);
        _bindRefused(s, SUBJECT_KEY, BUYER_KEY, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        IConsentRegistry.Binding memory x = IConsentRegistry.Binding(hashStream(s), subject, nowMs());
        bytes memory byOwner = signed(OWNER_KEY, keccak256(abi.encode(BINDING, x)));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.bindSubject(s, x, byOwner, byOwner);
        x.deadline -= 1;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.bindSubject(s, x, byOwner, byOwner);
        x = IConsentRegistry.Binding(hashStream(s), address(0), nowMs());
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectZero.selector);
        consent.bindSubject(s, x, byOwner, byOwner);
        x.streamId = "x";
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongStream.selector);
        consent.bindSubject(s, x, byOwner, byOwner);
        bindSubject(s, SUBJECT_KEY);
        assertEq(consent.subjectOf(hashStream(s)), subject, "bound");
        _bindRefused(s, 99, OWNER_KEY, IConsentRegistry.ConsentRegistry_SubjectBound.selector);
    }

    function test_bindSubject_isOneAccountADevice() external {
        bindSubject(sealedStream(), SUBJECT_KEY);
        Stream memory second = sealedStream();
        second.salt = "second";
        bindSubject(second, SUBJECT_KEY);
        enrol(enrolment("another board", 55), 55);
        Stream memory elsewhere = sealedStream();
        elsewhere.deviceId = enrolment("another board", 55).deviceId;
        _bindRefused(elsewhere, SUBJECT_KEY, OWNER_KEY, IConsentRegistry.ConsentRegistry_SubjectOfOtherDevice.selector);
        bindSubject(elsewhere, 99);
    }

    function test_eraseSubject_itErasesEveryStreamOfTheSubject() external {
        Stream memory s = sealedStream();
        Stream memory second = sealedStream();
        second.salt = "second";
        (bytes32 a, bytes32 c) = (hashStream(s), hashStream(second));
        bindSubject(s, SUBJECT_KEY);
        bindSubject(second, SUBJECT_KEY);
        vm.prank(owner);
        consent.requestErasure(s, 5, 6);
        grantSigned(second, grantOf(second, buyer), OWNER_KEY, SUBJECT_KEY, 0);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectUnknown.selector);
        consent.eraseSubject();
        vm.prank(subject);
        vm.expectEmit(address(consent));
        emit IConsentRegistry.SubjectErased(subject, nowMs());
        consent.eraseSubject();
        assertEq(consent.erasures(a), 2, "of the first");
        assertEq(consent.erasures(c), 1, "of the second");
        assertEq(consent.erasures(_id), 0, "not of another");
        assertTrue(!consent.authorised(c, PURPOSE, buyer), "no more");
        IConsentRegistry.Erasure memory e = consent.erasureAt(a, 2);
        assertTrue(e.fromSlot == 0 && e.toSlot == type(uint32).max && e.at == nowMs(), "whole");
        assertEq(consent.erasureAt(a, 1).fromSlot, 5, "the one before stands");
        vm.prank(subject);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectErased.selector);
        consent.eraseSubject();
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_StreamErased.selector);
        consent.requestErasure(s, 7, 7);
        grantSigned(
            second,
            grantOf(second, buyer),
            OWNER_KEY,
            SUBJECT_KEY,
            IConsentRegistry.ConsentRegistry_StreamErased.selector
        );
        second.salt = "third";
        _bindRefused(second, SUBJECT_KEY, OWNER_KEY, IConsentRegistry.ConsentRegistry_SubjectErased.selector);
    }

    function test_eraseSubjectBySignature_onlyItsOwn() external {
        bindSubject(sealedStream(), SUBJECT_KEY);
        IConsentRegistry.SubjectErasure memory x = IConsentRegistry.SubjectErasure(subject, nowMs());
        bytes memory byOwner = signed(OWNER_KEY, keccak256(abi.encode(SUBJECT_ERASURE, x)));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.eraseSubjectBySignature(x, byOwner);
        bytes memory s = signed(SUBJECT_KEY, keccak256(abi.encode(SUBJECT_ERASURE, x)));
        pass(1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.eraseSubjectBySignature(x, s);
        x.deadline = nowMs();
        s = signed(SUBJECT_KEY, keccak256(abi.encode(SUBJECT_ERASURE, x)));
        consent.eraseSubjectBySignature(x, s);
        assertEq(consent.subjectErasedAt(subject), nowMs(), "at");
    }

    /* erasure */

    function test_requestErasure_whenByTheOwner_itIsCounted() external {
        vm.startPrank(owner);
        vm.expectEmit(address(consent));
        emit IConsentRegistry.ErasureRequested(_id, 1, 5, 9, nowMs());
        assertEq(consent.requestErasure(stream(), 5, 9), 1, "first");
        pass(1);
        assertEq(consent.requestErasure(stream(), 9, 9), 2, "second");
        vm.stopPrank();
        assertEq(consent.erasures(_id), 2, "count");
        IConsentRegistry.Erasure memory e = consent.erasureAt(_id, 1);
        assertEq(e.fromSlot, 5, "from");
        assertEq(e.toSlot, 9, "to");
        assertEq(e.at, nowMs() - 1000, "at");
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NoErasure.selector);
        consent.erasureAt(_id, 0);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NoErasure.selector);
        consent.erasureAt(_id, 3);
    }

    function test_requestErasure_whenByAnyoneElse_itReverts() external {
        vm.prank(stranger);
        vm.expectRevert(
            abi.encodeWithSelector(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector, _id, stranger)
        );
        consent.requestErasure(stream(), 5, 9);
        vm.prank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_EmptyWindow.selector);
        consent.requestErasure(stream(), 6, 5);
    }

    function test_requestErasure_whenWhole_nobodyIsAuthorisedAndNothingFollows() external {
        grantToAnyone(stream());
        vm.startPrank(owner);
        consent.requestErasure(stream(), 0, type(uint32).max);
        assertTrue(!consent.authorised(_id, PURPOSE, buyer), "erased");
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_StreamErased.selector);
        consent.requestErasure(stream(), 1, 1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_StreamErased.selector);
        consent.grant(stream(), PURPOSE, buyer, 0, type(uint64).max);
        vm.stopPrank();
    }

    function test_requestErasure_whenItReachesOneEndOnly_itIsNotWhole() external {
        grantToAnyone(stream());
        vm.startPrank(owner);
        consent.requestErasure(stream(), 0, 5);
        consent.requestErasure(stream(), 7, type(uint32).max);
        vm.stopPrank();
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "the rest is for sale");
    }

    function test_requestErasure_whenDataset_itIsWhole() external {
        Stream memory s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
        grantToAnyone(s);
        vm.startPrank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_DatasetIsWhole.selector);
        consent.requestErasure(s, 0, 5);
        consent.requestErasure(s, 0, 0);
        vm.stopPrank();
        assertTrue(!consent.authorised(hashStream(s), PURPOSE, buyer), "erased");
    }

    function test_whenTheDeviceWasSold_eachOwnerHasItsOwn() external {
        grantToAnyone(stream());
        Stream memory later = _sold();
        assertTrue(!consent.authorised(hashStream(later), PURPOSE, stranger), "grants end with the owner epoch");
        vm.startPrank(buyer);
        consent.requestErasure(later, 1, 1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.requestErasure(stream(), 1, 1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.grant(stream(), PURPOSE, buyer, 0, type(uint64).max);
        vm.stopPrank();
        vm.startPrank(owner);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.requestErasure(later, 1, 1);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.grant(later, PURPOSE, buyer, 0, type(uint64).max);
        consent.requestErasure(stream(), 1, 1);
        vm.stopPrank();
    }

    /// @dev A new owner is a new stream: operators take no further header into the old one, so what was granted there opens
    /// nothing that is measured after the sale. Its past stays for sale by who owned the device then, and the new owner, who
    /// never had the right to it, can't void it.
    function test_whenTheDeviceWasSold_grantsOfTheOldStreamGoOnUntilItsOwnerEndsThem() external {
        grantToAnyone(stream());
        Stream memory later = _sold();
        assertTrue(consent.authorised(_id, PURPOSE, stranger), "what was measured before");
        assertTrue(!consent.authorised(hashStream(later), PURPOSE, stranger), "what is measured after");
        vm.prank(buyer);
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.revokeAll(stream());
        vm.prank(owner);
        consent.revokeAll(stream());
        assertTrue(!consent.authorised(_id, PURPOSE, stranger), "until its own owner withdraws it");
    }

    function test_requestErasureBySignature_itWorksOnce() external {
        IConsentRegistry.ErasureRequest memory r = IConsentRegistry.ErasureRequest(_id, 5, 9, 0, nowMs());
        bytes memory s = signed(OWNER_KEY, keccak256(abi.encode(REQUEST, r)));
        vm.prank(stranger);
        consent.requestErasureBySignature(stream(), r, s);
        assertEq(consent.erasures(_id), 1, "count");
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, owner, 1));
        consent.requestErasureBySignature(stream(), r, s);
    }

    function test_requestErasureBySignature_whenWrong_itReverts() external {
        IConsentRegistry.ErasureRequest memory r = IConsentRegistry.ErasureRequest(_id, 5, 9, 0, nowMs());
        bytes memory s = signed(BUYER_KEY, keccak256(abi.encode(REQUEST, r)));
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.requestErasureBySignature(stream(), r, s);
        s = signed(OWNER_KEY, keccak256(abi.encode(REQUEST, r)));
        r.toSlot = 10;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.requestErasureBySignature(stream(), r, s);
        r.deadline -= 1;
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_Expired.selector);
        consent.requestErasureBySignature(stream(), r, s);
        r = IConsentRegistry.ErasureRequest("x", 5, 9, 0, nowMs());
        vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_WrongStream.selector);
        consent.requestErasureBySignature(stream(), r, s);
    }

    /* holders and receipts */

    function test_setHolders_onlyGrows() external {
        IConsentRegistry.Holders memory first = holdersOf(stream(), 1, 2);
        setHolders(stream(), first, first, BUYER_KEY, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        setHolders(stream(), first, first, OWNER_KEY, 0);
        assertEq(consent.holdersHash(_id), hashHolders(first), "recorded");
        setHolders(stream(), first, first, BUYER_KEY, 0); // the same again has no effect
        IConsentRegistry.Holders memory next = holdersOf(stream(), 1, 3);
        setHolders(stream(), next, first, OWNER_KEY, IConsentRegistry.ConsentRegistry_VersionNotRising.selector);
        next = holdersOf(stream(), 2, 1);
        setHolders(stream(), next, first, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderLeftOut.selector);
        next = holdersOf(stream(), 2, 3);
        next.holders[1] = stranger;
        setHolders(stream(), next, first, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderLeftOut.selector);
        setHolders(stream(), next, next, OWNER_KEY, IConsentRegistry.ConsentRegistry_WrongHolders.selector);
        next = holdersOf(stream(), 2, 3);
        setHolders(stream(), next, first, OWNER_KEY, 0);
        assertEq(consent.holdersHash(_id), hashHolders(next), "grown");
    }

    function test_setHolders_whenTheListIsWrong_itReverts() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 0);
        setHolders(stream(), h, h, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderCount.selector);
        h = holdersOf(stream(), 1, 65);
        setHolders(stream(), h, h, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderCount.selector);
        h = holdersOf(stream(), 1, 3);
        h.holders[2] = h.holders[0];
        setHolders(stream(), h, h, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderRepeated.selector);
        h.streamId = "x";
        setHolders(stream(), h, h, OWNER_KEY, IConsentRegistry.ConsentRegistry_WrongStream.selector);
    }

    function test_completeAt_itTakesEveryHoldersReceipt() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 3);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        vm.prank(owner);
        consent.requestErasure(stream(), 5, 9);
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        submit(e, h, memberKeys[1], 0);
        uint64 latest = e.backupsExpireAt + 5000;
        e.backupsExpireAt = latest;
        submit(e, h, memberKeys[0], 0);
        submit(e, h, memberKeys[0], 0); // again: no effect
        assertEq(consent.completeAt(_id, 1), 0, "one is missing");
        assertEq(consent.receiptsOf(_id, 1).received, 3, "two are here");
        e.backupsExpireAt -= 1000;
        submit(e, h, memberKeys[2], 0);
        assertEq(consent.completeAt(_id, 1), latest, "the last backup of all");
        assertEq(consent.completeAt(_id, 2), 0, "of no other");
        IConsentRegistry.Holders memory grown = holdersOf(stream(), 2, 4);
        setHolders(stream(), grown, h, OWNER_KEY, 0);
        assertEq(consent.completeAt(_id, 1), latest, "stays complete");
        e.backupsExpireAt = latest + 1000;
        submit(e, grown, memberKeys[3], 0);
        assertEq(consent.completeAt(_id, 1), latest + 1000, "a holder that came later is waited for too");
    }

    function test_receiptsOf_keepTheLatestTimesAndTheFirstWordOfEachHolder() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 3);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        vm.prank(owner);
        consent.requestErasure(stream(), 5, 9);
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        // the clocks of holders may be two minutes ahead, and there may be no backups at all
        e.keysDestroyedAt = nowMs() + 120_000;
        e.backupsExpireAt = e.keysDestroyedAt;
        submit(e, h, memberKeys[0], 0);
        uint64 first = e.keysDestroyedAt;
        e.keysDestroyedAt -= 60_000;
        submit(e, h, memberKeys[1], 0);
        assertEq(consent.receiptsOf(_id, 1).keysDestroyedAt, first, "not the earlier one");
        e.backupsExpireAt += 1000;
        submit(e, h, memberKeys[0], 0);
        assertEq(consent.receiptsOf(_id, 1).backupsExpireAt, first, "a second word of one holder counts for nothing");
        pass(60);
        e.keysDestroyedAt = first + 60_000;
        e.backupsExpireAt = e.keysDestroyedAt;
        submit(e, h, memberKeys[2], 0);
        assertEq(consent.receiptsOf(_id, 1).keysDestroyedAt, first + 60_000, "the later one");
        assertEq(consent.completeAt(_id, 1), first + 60_000, "complete");
    }

    function test_setHolders_theFirstOfTheListStaysToo() external {
        IConsentRegistry.Holders memory first = holdersOf(stream(), 1, 2);
        setHolders(stream(), first, first, OWNER_KEY, 0);
        IConsentRegistry.Holders memory next = holdersOf(stream(), 2, 3);
        next.holders[0] = stranger;
        setHolders(stream(), next, first, OWNER_KEY, IConsentRegistry.ConsentRegistry_HolderLeftOut.selector);
    }

    function test_completeAt_whenAHolderIsAddedBefore_itTakesThatOneToo() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 1);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        vm.prank(owner);
        consent.requestErasure(stream(), 5, 9);
        IConsentRegistry.Holders memory grown = holdersOf(stream(), 2, 2);
        setHolders(stream(), grown, h, OWNER_KEY, 0);
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongHolders.selector);
        submit(e, grown, memberKeys[0], 0);
        assertEq(consent.completeAt(_id, 1), 0, "the new one is missing");
        submit(e, grown, memberKeys[1], 0);
        assertTrue(consent.completeAt(_id, 1) != 0, "both");
    }

    function test_completeAt_ofASubjectsTombstone() external {
        Stream memory s = sealedStream();
        bindSubject(s, SUBJECT_KEY);
        IConsentRegistry.Holders memory h = holdersOf(s, 1, 2);
        setHolders(s, h, h, OWNER_KEY, 0);
        vm.prank(subject);
        consent.eraseSubject();
        IConsentRegistry.Erased memory e = erasedOf(h.streamId, 1);
        submit(e, h, memberKeys[0], 0);
        submit(e, h, memberKeys[1], 0);
        assertEq(consent.completeAt(h.streamId, 1), e.backupsExpireAt, "complete");
    }

    function test_submitErased_whenWrong_itReverts() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 2);
        vm.prank(owner);
        consent.requestErasure(stream(), 5, 9);
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongHolders.selector);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        submit(e, h, memberKeys[2], IConsentRegistry.ConsentRegistry_NotHolder.selector);
        submit(e, h, OWNER_KEY, IConsentRegistry.ConsentRegistry_NotHolder.selector);
        e.number = 2;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_NoErasure.selector);
        e = erasedOf(_id, 1);
        e.toSlot = 8;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongSlots.selector);
        e = erasedOf(_id, 1);
        e.fromSlot = 6;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongSlots.selector);
        e = erasedOf(_id, 1);
        e.keysDestroyedAt = nowMs() + 120_001;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongTimes.selector);
        e.keysDestroyedAt = type(uint64).max;
        e.backupsExpireAt = type(uint64).max;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongTimes.selector);
        e = erasedOf(_id, 1);
        e.backupsExpireAt = e.keysDestroyedAt - 1;
        submit(e, h, memberKeys[0], IConsentRegistry.ConsentRegistry_WrongTimes.selector);
    }

    function test_completeAt_whenThereAreSixtyFourHolders() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 64);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        vm.prank(owner);
        consent.requestErasure(stream(), 5, 9);
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        for (uint256 i = 0; i < 64; ++i) {
            assertEq(consent.completeAt(_id, 1), 0, "not yet");
            submit(e, h, memberKeys[i % 4] + 4 * (i / 4), 0);
        }
        assertEq(consent.completeAt(_id, 1), e.backupsExpireAt, "all");
    }

    /* gas */

    function test_gas() external {
        IConsentRegistry.Holders memory h = holdersOf(stream(), 1, 4);
        setHolders(stream(), h, h, OWNER_KEY, 0);
        _measure(
            "grant, new grantee",
            60_000,
            abi.encodeCall(consent.grant, (stream(), PURPOSE, buyer, nowMs(), nowMs() + 30 days * 1000))
        );
        _measure("revoke", 60_000, abi.encodeCall(consent.revoke, (stream(), PURPOSE, buyer)));
        _measure("revokeAll", 35_000, abi.encodeCall(consent.revokeAll, (stream())));
        IConsentRegistry.Grant memory g = grantOf(stream(), stranger);
        g.fromMs = nowMs();
        bytes memory signature = signed(OWNER_KEY, keccak256(abi.encode(GRANT, g)));
        _measure(
            "grant by signature, new grantee",
            70_000,
            abi.encodeCall(consent.grantBySignature, (stream(), g, signature, ""))
        );
        _measure("requestErasure", 70_000, abi.encodeCall(consent.requestErasure, (stream(), F, F + 60)));
        IConsentRegistry.Erased memory e = erasedOf(_id, 1);
        signature = signed(memberKeys[0], keccak256(abi.encode(ERASED, e)));
        _measure("receipt of one of 4 holders", 80_000, abi.encodeCall(consent.submitErased, (e, h, signature)));
    }

    /// @return later The stream of the device's new owner, the buyer.
    function _sold() private returns (Stream memory later) {
        IDeviceRegistry.Transfer memory t = IDeviceRegistry.Transfer(deviceId, buyer, 1, nowMs());
        bytes32 digest = typed(
            "DeviceRegistry",
            address(registry),
            keccak256(
                abi.encode(keccak256("Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)"), t)
            )
        );
        registry.transferOwnership(t, sign(OWNER_KEY, digest), sign(BUYER_KEY, digest));
        later = stream();
        later.ownerEpoch = 2;
    }

    function _measure(string memory name, uint256 most, bytes memory data) private {
        vm.prank(owner);
        uint256 gas = transactionGas(address(consent), data);
        vm.snapshotValue("ConsentRegistry", name, gas);
        assertTrue(gas <= most, name);
    }

    function _bindRefused(Stream memory s, uint256 subjectKey, uint256 ownerKey, bytes4 selector) private {
        IConsentRegistry.Binding memory x = IConsentRegistry.Binding(hashStream(s), vm.addr(subjectKey), nowMs());
        bytes32 structHash = keccak256(abi.encode(BINDING, x));
        (bytes memory a, bytes memory c) = (signed(ownerKey, structHash), signed(subjectKey, structHash));
        vm.expectPartialRevert(selector);
        consent.bindSubject(s, x, a, c);
    }
}

/// @dev Owner, subject, holders and strangers act on three streams; what must hold is kept in plain sets beside.
contract ConsentHandler is ConsentBase {
    uint256 private constant STREAMS = 3;
    uint256 private constant WHO = 3;

    struct Granted {
        uint64 fromMs;
        uint64 untilMs;
        bool live;
    }

    mapping(uint256 stream => mapping(uint256 who => Granted)) private _granted;
    mapping(uint256 stream => mapping(uint256 who => bool)) private _refused;
    mapping(uint256 stream => bool) private _whole;
    mapping(uint256 stream => uint64) private _seen;
    mapping(uint256 stream => mapping(uint64 number => bytes32)) private _tombstones;
    mapping(uint256 stream => mapping(uint64 number => uint256)) private _receipts;
    bool private _forgotten;

    constructor() {
        deployAll();
        enrolDevice();
        vm.prank(owner);
        consent.revokeAll(stream());
        bindSubject(streamOf(1), SUBJECT_KEY);
        bindSubject(streamOf(2), SUBJECT_KEY);
        for (uint256 i = 0; i < STREAMS; ++i) {
            IConsentRegistry.Holders memory h = holdersOf(streamOf(i), 1, 2);
            setHolders(streamOf(i), h, h, OWNER_KEY, 0);
        }
    }

    /// @dev 0 is open; 1 and 2 are sealed and bound to one subject.
    function streamOf(uint256 i) internal view returns (Stream memory s) {
        if (i == 0) return stream();
        s = sealedStream();
        s.salt = bytes32(i);
    }

    /// @dev 0 is anyone.
    function grantee(uint256 who) internal view returns (address) {
        return
            who == 0
                ? address(0)
                : who == 1
                    ? buyer
                    : stranger;
    }

    function grantAny(uint256 i, uint256 who, uint64 from, uint64 length, uint8 signers) external {
        (i, who) = (i % STREAMS, who % WHO);
        Stream memory s = streamOf(i);
        IConsentRegistry.Grant memory g = grantOf(s, grantee(who));
        g.fromMs = nowMs() + uint64(bound(from, 0, 100)) * 1000;
        g.untilMs = g.fromMs + uint64(bound(length, 0, 500)) * 1000;
        (uint256 byOwner, uint256 bySubject) = (
            signers & 1 == 0 ? OWNER_KEY : BUYER_KEY,
            signers & 2 == 0 ? SUBJECT_KEY : OWNER_KEY
        );
        bytes4 selector;
        if (byOwner != OWNER_KEY || (i != 0 && bySubject != SUBJECT_KEY)) {
            selector = IConsentRegistry.ConsentRegistry_WrongSignature.selector;
        } else if (_isErased(i)) {
            selector = IConsentRegistry.ConsentRegistry_StreamErased.selector;
        } else {
            _granted[i][who] = Granted(g.fromMs, g.untilMs, true);
            _refused[i][who] = false;
        }
        grantSigned(s, g, byOwner, bySubject, selector);
    }

    function revokeAny(uint256 i, uint256 who, uint8 by) external {
        (i, who) = (i % STREAMS, who % WHO);
        if (!_prank(i, by)) {
            vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        } else {
            (_granted[i][who].live, _refused[i][who]) = (false, true);
        }
        consent.revoke(streamOf(i), PURPOSE, grantee(who));
    }

    function revokeAllOf(uint256 i, uint8 by) external {
        i = i % STREAMS;
        if (!_prank(i, by)) {
            vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        } else {
            for (uint256 who = 0; who < WHO; ++who) _granted[i][who].live = false;
        }
        consent.revokeAll(streamOf(i));
    }

    function eraseAny(uint256 i, uint32 slot, bool whole, uint8 by) external {
        i = i % STREAMS;
        whole = whole && slot % 8 == 0;
        if (!_prank(i, by)) {
            vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        } else if (_isErased(i)) {
            vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_StreamErased.selector);
        } else {
            _whole[i] = whole;
        }
        consent.requestErasure(streamOf(i), whole ? 0 : slot, whole ? type(uint32).max : slot);
    }

    function forget(uint8 by) external {
        if (by % 8 != 0) return;
        vm.prank(subject);
        if (_forgotten) vm.expectPartialRevert(IConsentRegistry.ConsentRegistry_SubjectErased.selector);
        consent.eraseSubject();
        _forgotten = true;
    }

    function receipt(uint256 i, uint64 number, uint8 holder) external {
        i = i % STREAMS;
        bytes32 id = hashStream(streamOf(i));
        uint64 count = consent.erasures(id);
        if (count == 0) return;
        number = 1 + (number % count);
        holder = holder % 3;
        IConsentRegistry.Erased memory e = erasedOf(id, number);
        bytes4 selector = holder < 2 ? bytes4(0) : IConsentRegistry.ConsentRegistry_NotHolder.selector;
        submit(e, holdersOf(streamOf(i), 1, 2), memberKeys[holder], selector);
        if (holder < 2) _receipts[i][number] |= uint256(1) << holder;
    }

    function passTime(uint8 secs) external {
        pass(secs);
    }

    function check() external {
        for (uint256 i = 0; i < STREAMS; ++i) {
            bytes32 id = hashStream(streamOf(i));
            for (uint256 who = 1; who < WHO; ++who) {
                bool may = !_isErased(i) && !_refused[i][who] && (_isLive(i, who) || _isLive(i, 0));
                assertTrue(consent.authorised(id, PURPOSE, grantee(who)) == may, "who may");
                assertTrue(!consent.authorised(id, keccak256("another"), grantee(who)), "for nothing else");
            }
            uint64 count = consent.erasures(id);
            assertTrue(count >= _seen[i], "tombstones only rise");
            for (uint64 n = 1; n <= count; ++n) {
                bytes32 now_ = keccak256(abi.encode(consent.erasureAt(id, n)));
                if (n <= _seen[i]) assertEq(now_, _tombstones[i][n], "a tombstone never changes");
                _tombstones[i][n] = now_;
                assertTrue((consent.completeAt(id, n) != 0) == (_receipts[i][n] == 3), "complete with all receipts");
            }
            _seen[i] = count;
        }
    }

    function _isErased(uint256 i) private view returns (bool) {
        return _whole[i] || (_forgotten && i != 0);
    }

    function _isLive(uint256 i, uint256 who) private view returns (bool) {
        Granted memory g = _granted[i][who];
        return g.live && g.fromMs <= nowMs() && nowMs() <= g.untilMs;
    }

    /// @return Whether whoever acts next may.
    function _prank(uint256 i, uint8 by) private returns (bool) {
        address who =
            by % 3 == 0
                ? owner
                : by % 3 == 1
                    ? subject
                    : stranger;
        vm.prank(who);
        return who == owner || (i != 0 && who == subject);
    }
}

contract ConsentInvariants is ConsentBase {
    ConsentHandler private _handler;

    function setUp() external {
        _handler = new ConsentHandler();
        targetContract(address(_handler));
    }

    function invariant_withdrawnExpiredOrErasedNeverAuthorises() external {
        _handler.check();
    }
}
