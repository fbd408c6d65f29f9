// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IAccessManaged} from "@openzeppelin/contracts/access/manager/IAccessManaged.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {Enrol, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IDeviceRegistry} from "./IDeviceRegistry.sol";

abstract contract RegistryBase is Fixture {
    bytes32 internal constant ROTATION = keccak256(
        "Rotation(bytes32 deviceId,uint32 keyEpoch,bytes32 akName,uint8 keyAlg,bytes32 keyHash,bool revokeOld,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)"
    );
    bytes32 internal constant TRANSFER = keccak256(
        "Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)"
    );
    bytes32 internal constant QUOTE = keccak256(
        "Quote(bytes32 deviceId,uint32 keyEpoch,bytes32 policyId,bytes32 pcrDigest,uint32 resetCount,uint32 restartCount,bool safe,uint64 quotedAtMs,uint64 validUntilMs,bytes32 evidenceDigest,uint64 deadline)"
    );
    bytes32 internal constant ENDORSEMENT = keccak256("Endorsement(bytes32 deviceId,bytes32 ekHash,uint64 deadline)");

    function rotation(
        bytes32 id,
        uint256 key,
        bool revokeOld
    ) internal view returns (IDeviceRegistry.Rotation memory r) {
        IDeviceRegistry.DeviceView memory v = registry.device(id);
        r.deviceId = id;
        r.keyEpoch = v.keyEpoch + 1;
        r.akName = v.assurance == 1 ? bytes32(0) : keccak256("new ak");
        r.keyAlg = 1;
        r.keyHash = keyHash(key);
        r.revokeOld = revokeOld;
        r.policyId = keccak256("policy 2");
        r.nonce = registry.nonceOf(id);
        r.deadline = nowMs();
    }

    function rotate(IDeviceRegistry.Rotation memory r, uint256 key, uint256 ownerKey, bytes4 selector) internal {
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(ROTATION, r)));
        bytes memory byOwner = sign(ownerKey, digest);
        bytes[] memory byRegistrars = registrars(digest, 2);
        if (selector != 0) vm.expectPartialRevert(selector);
        registry.rotateKey(r, spki(key), byOwner, byRegistrars);
    }

    function transferOf(bytes32 id, address to) internal view returns (IDeviceRegistry.Transfer memory) {
        return IDeviceRegistry.Transfer(id, to, registry.nonceOf(id), nowMs());
    }

    function transfer(IDeviceRegistry.Transfer memory t, uint256 from, uint256 to, bytes4 selector) internal {
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(TRANSFER, t)));
        (bytes memory a, bytes memory b_) = (sign(from, digest), sign(to, digest));
        if (selector != 0) vm.expectPartialRevert(selector);
        registry.transferOwnership(t, a, b_);
    }

    function quoteOf(
        bytes32 id,
        uint32 resets,
        uint32 restarts
    ) internal view returns (IDeviceRegistry.Quote memory q) {
        IDeviceRegistry.DeviceView memory v = registry.device(id);
        q.deviceId = id;
        q.keyEpoch = v.keyEpoch;
        q.policyId = v.policyId;
        q.pcrDigest = keccak256("firmware");
        (q.resetCount, q.restartCount, q.safe) = (resets, restarts, true);
        q.quotedAtMs = nowMs();
        q.validUntilMs = nowMs() + 60_000;
        q.deadline = nowMs();
    }

    function report(IDeviceRegistry.Quote memory q, bytes4 selector) internal {
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(QUOTE, q)));
        bytes[] memory signatures = registrars(digest, 2);
        if (selector != 0) vm.expectPartialRevert(selector);
        registry.reportQuote(q, signatures);
    }

    function software(uint256 key) internal view returns (Enrol memory e) {
        e = enrolment("", key);
        e.deviceId = keccak256(abi.encodePacked("msec.device.sw", spki(key)));
        (e.akName, e.ekHash) = (0, 0);
    }

    function enrolAs(Enrol memory e, uint256 key, bytes4 selector) internal {
        bytes32 digest = enrolDigest(e);
        bytes memory byOwner = sign(OWNER_KEY, digest);
        bytes[] memory byRegistrars = registrars(digest, 2);
        if (selector != 0) vm.expectPartialRevert(selector);
        registry.enrol(e, spki(key), byOwner, byRegistrars);
    }
}

contract DeviceRegistryTest is RegistryBase {
    function setUp() external {
        deployAll();
        enrolDevice();
    }

    /* enrol */

    function test_enrol_whenTpm_itIsActive() external view {
        IDeviceRegistry.DeviceView memory v = registry.device(deviceId);
        assertEq(v.status, 1, "status");
        assertEq(v.assurance, 2, "assurance");
        assertEq(v.owner, owner, "owner");
        assertEq(v.ownerEpoch, 1, "ownerEpoch");
        assertEq(v.organisation, organisation(0), "organisation");
        assertEq(v.keyEpoch, 1, "keyEpoch");
        assertEq(v.keyHash, keyHash(DEVICE_KEY), "keyHash");
        assertEq(v.policyId, keccak256("policy"), "policy");
        assertEq(registry.keyHashOf(deviceId, 1), v.keyHash, "keyHashOf");
        assertEq(registry.keyHashOf(deviceId, 2), 0, "no second key");
        assertEq(registry.ownerOf(deviceId, 1), owner, "ownerOf");
        assertEq(registry.currentOwnerEpoch(deviceId), 1, "currentOwnerEpoch");
        assertEq(registry.currentKeyEpoch(deviceId), 1, "currentKeyEpoch");
        assertEq(registry.statusAt(deviceId, block.number), 1, "now");
        assertEq(registry.statusAt(deviceId, block.number - 1), 0, "before");
        assertEq(registry.statusAt(deviceId, type(uint256).max), 1, "far");
        assertEq(registry.deviceOfEndorsement(keccak256("board")), deviceId, "ek");
        assertEq(registry.deviceOfKey(v.keyHash), deviceId, "key");
        assertEq(registry.nonceOf(deviceId), 1, "nonce");
    }

    function test_enrol_whenUnknown_everyViewIsZero() external view {
        IDeviceRegistry.DeviceView memory v = registry.device("nothing");
        assertEq(keccak256(abi.encode(v)), keccak256(new bytes(8 * 32)), "view");
        assertEq(registry.currentOwnerEpoch("nothing"), 0, "epoch");
    }

    function test_enrol_whenSoftware_theIdIsCheckedAndTheCapCounts() external {
        Enrol memory e = software(77);
        enrolAs(e, 77, IDeviceRegistry.DeviceRegistry_SoftwareCapReached.selector);
        registry.setSoftwareCap(e.organisation, 1);
        Enrol memory forged = software(77);
        forged.deviceId = keccak256("chosen");
        enrolAs(forged, 77, IDeviceRegistry.DeviceRegistry_WrongDeviceId.selector);
        enrolAs(e, 77, 0);
        assertEq(registry.device(e.deviceId).assurance, 1, "assurance");
        enrolAs(software(78), 78, IDeviceRegistry.DeviceRegistry_SoftwareCapReached.selector);
        vm.prank(owner);
        registry.setStatus(e.deviceId, IDeviceRegistry.Status.Retired);
        enrolAs(software(78), 78, 0);
        (uint32 live, uint32 cap) = registry.softwareElements(e.organisation);
        assertEq(live, 1, "live");
        assertEq(cap, 1, "cap");
    }

    function test_enrol_whenTwice_itReverts() external {
        enrolAs(enrolment("board", 55), 55, IDeviceRegistry.DeviceRegistry_AlreadyEnrolled.selector);
    }

    function test_enrol_whenTheEndorsementIsTaken_itReverts() external {
        Enrol memory e = enrolment("board", 55);
        e.deviceId = keccak256("a clean name");
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector);
        vm.prank(owner);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector);
    }

    function test_enrol_whenTheKeyIsTaken_itReverts() external {
        enrolAs(enrolment("other", DEVICE_KEY), DEVICE_KEY, IDeviceRegistry.DeviceRegistry_KeyTaken.selector);
    }

    function test_enrol_whenAFieldIsWrong_itReverts() external {
        Enrol memory e = enrolment("two", 55);
        e.deviceId = 0;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_ZeroDeviceId.selector);
        e = enrolment("two", 55);
        e.organisation = 0;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_OrganisationZero.selector);
        e = enrolment("two", 55);
        e.owner = address(0);
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_OwnerZero.selector);
        e = enrolment("two", 55);
        e.ekHash = 0;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_EndorsementMismatch.selector);
        e = enrolment("two", 55);
        e.akName = 0;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_EndorsementMismatch.selector);
        e = enrolment("two", 55);
        e.keyAlg = 2;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_WrongKeyAlg.selector);
        e = enrolment("two", 55);
        e.keyHash = 0;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_WrongKeyHash.selector);
        e = enrolment("two", 55);
        e.nonce = 1;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_WrongNonce.selector);
        e = enrolment("two", 55);
        e.deadline = nowMs() - 1;
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_Expired.selector);
        e.deadline = nowMs();
        enrolAs(e, 55, 0);
    }

    function test_enrol_whenTheOwnerDidNotSign_itReverts() external {
        Enrol memory e = enrolment("two", 55);
        bytes32 digest = enrolDigest(e);
        bytes memory byBuyer = sign(BUYER_KEY, digest);
        bytes[] memory two = registrars(digest, 2);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector, owner));
        registry.enrol(e, spki(55), byBuyer, two);
        bytes memory byOwner = sign(OWNER_KEY, digest);
        registry.enrol(e, spki(55), byOwner, two);
    }

    function test_enrol_whenTheKeyHasNoKnownForm_itReverts() external {
        Enrol memory e = enrolment("two", 55);
        bytes memory key = spki(55);
        _keyRefused(e, bytes.concat(key, hex"00"));
        _keyRefused(e, "");
        key[90] ^= 0x01; // off the curve
        _keyRefused(e, key);
        key[90] ^= 0x01;
        key[26] = 0x02; // no uncompressed point
        _keyRefused(e, key);
    }

    function test_enrol_whenRegistrarsAreNotKOfDifferentOrganisations_itReverts() external {
        Enrol memory e = enrolment("two", 55);
        bytes32 digest = enrolDigest(e);
        bytes[] memory all = registrars(digest, 3);
        _registrarsRefused(e, registrars(digest, 1), IDeviceRegistry.DeviceRegistry_SignatureCount.selector);
        _registrarsRefused(e, all, IDeviceRegistry.DeviceRegistry_SignatureCount.selector);
        bytes[] memory x = registrars(digest, 2);
        (x[0], x[1]) = (x[1], x[0]);
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_SignersNotAscending.selector);
        x[0] = x[1];
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_SignersNotAscending.selector);
        x = registrars(digest, 2);
        x[1] = sign(BUYER_KEY, digest);
        x[0] = sign(OWNER_KEY, digest);
        if (buyer < owner) (x[0], x[1]) = (x[1], x[0]);
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_NotRegistrar.selector);
        x = registrars(digest, 2);
        x[0] = bytes.concat(x[0], hex"00");
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_SignatureLength.selector);
        x = registrars(digest, 2);
        directory.setOrganisation(vm.addr(registrarKeys[1]), organisation(0));
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_OrganisationRepeated.selector);
        directory.setOrganisation(vm.addr(registrarKeys[1]), 0);
        _registrarsRefused(e, x, IDeviceRegistry.DeviceRegistry_NotRegistrar.selector);
    }

    function test_enrol_whenPaused_itReverts() external {
        registry.pause();
        enrolAs(enrolment("two", 55), 55, Pausable.EnforcedPause.selector);
        transfer(transferOf(deviceId, buyer), OWNER_KEY, BUYER_KEY, 0);
        registry.unpause();
        enrolAs(enrolment("two", 55), 55, 0);
    }

    function test_enrol_whenTheDomainIsAnothers_itReverts() external {
        Enrol memory e = enrolment("two", 55);
        address real = address(registry);
        registry = IDeviceRegistry(address(1));
        bytes32 digest = enrolDigest(e);
        registry = IDeviceRegistry(real);
        (bytes memory o, bytes[] memory r) = (sign(OWNER_KEY, digest), registrars(digest, 2));
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        registry.enrol(e, spki(55), o, r);
    }

    /* endorsements */

    function test_bindEndorsement_aSecondKeyCantEnrolElsewhere() external {
        IDeviceRegistry.Endorsement memory x = IDeviceRegistry.Endorsement(deviceId, keccak256("board, ECC"), nowMs());
        _bind(x, 0);
        _bind(x, 0); // idempotent
        assertEq(registry.deviceOfEndorsement(x.ekHash), deviceId, "bound");
        Enrol memory e = enrolment("board, ECC", 55);
        enrolAs(e, 55, IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector);
        x.deviceId = keccak256("other");
        _bind(x, IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector);
        x.deviceId = 0;
        _bind(x, IDeviceRegistry.DeviceRegistry_ZeroDeviceId.selector);
        x = IDeviceRegistry.Endorsement(deviceId, 0, nowMs());
        _bind(x, IDeviceRegistry.DeviceRegistry_EndorsementMismatch.selector);
        x = IDeviceRegistry.Endorsement(deviceId, "x", nowMs() - 1);
        _bind(x, IDeviceRegistry.DeviceRegistry_Expired.selector);
    }

    function test_bindEndorsement_whenBeforeEnrolment_onlyThatDeviceMayEnrol() external {
        Enrol memory e = enrolment("two", 55);
        _bind(IDeviceRegistry.Endorsement(e.deviceId, e.ekHash, nowMs()), 0);
        Enrol memory f = enrolment("two", 55);
        f.deviceId = keccak256("other");
        enrolAs(f, 55, IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector);
        enrolAs(e, 55, 0);
    }

    /* keys */

    function test_rotateKey_itRaisesTheEpochAndMayRevoke() external {
        pass(1);
        rotate(rotation(deviceId, 2, false), 2, OWNER_KEY, 0);
        assertEq(registry.keyRevokedAt(deviceId, 1), 0, "old stays good");
        assertEq(registry.device(deviceId).policyId, keccak256("policy 2"), "policy");
        pass(1);
        rotate(rotation(deviceId, 3, true), 3, OWNER_KEY, 0);
        assertEq(registry.keyRevokedAt(deviceId, 2), block.number, "old revoked");
        assertEq(registry.currentKeyEpoch(deviceId), 3, "epoch");
        assertEq(registry.keyHashOf(deviceId, 3), keyHash(3), "hash");
        assertEq(registry.keyEpochAt(deviceId, block.number - 1), 2, "before");
        assertEq(registry.keyEpochAt(deviceId, block.number - 2), 1, "before that");
        assertEq(registry.statusAt(deviceId, block.number), 1, "status as it was");
    }

    function test_rotateKey_whenTwiceInABlock_bothKeysAreKept() external {
        rotate(rotation(deviceId, 2, false), 2, OWNER_KEY, 0);
        rotate(rotation(deviceId, 3, false), 3, OWNER_KEY, 0);
        assertEq(registry.keyHashOf(deviceId, 2), keyHash(2), "2");
        assertEq(registry.keyEpochAt(deviceId, block.number), 3, "3");
    }

    function test_rotateKey_whenWrong_itReverts() external {
        IDeviceRegistry.Rotation memory r = rotation(deviceId, 2, false);
        rotate(r, 2, BUYER_KEY, IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        r.keyEpoch = 1;
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        r.keyEpoch = 3;
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        r = rotation(deviceId, 2, false);
        r.akName = 0;
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_AssuranceChanged.selector);
        r = rotation(deviceId, 2, false);
        r.nonce = 0;
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongNonce.selector);
        r = rotation(deviceId, DEVICE_KEY, false);
        rotate(r, DEVICE_KEY, OWNER_KEY, IDeviceRegistry.DeviceRegistry_KeyTaken.selector);
        r = rotation(deviceId, 2, false);
        rotate(r, 2, OWNER_KEY, 0);
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        r.deviceId = "nothing";
        rotate(r, 2, OWNER_KEY, IDeviceRegistry.DeviceRegistry_Unknown.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Quarantined);
        r = rotation(deviceId, 4, false);
        rotate(r, 4, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
    }

    function test_revokeKey_byOwnerOrOfficerOnce() external {
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IAccessManaged.AccessManagedUnauthorized.selector, stranger));
        registry.revokeKey(deviceId, 1);
        vm.prank(owner);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        registry.revokeKey(deviceId, 2);
        vm.prank(owner);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        registry.revokeKey(deviceId, 0);
        vm.prank(owner);
        registry.revokeKey(deviceId, 1);
        assertEq(registry.keyRevokedAt(deviceId, 1), block.number, "block");
        pass(1);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_KeyAlreadyRevoked.selector);
        registry.revokeKey(deviceId, 1);
        rotate(rotation(deviceId, 2, true), 2, OWNER_KEY, 0);
        assertEq(registry.keyRevokedAt(deviceId, 1), block.number - 1, "first revocation stands");
        registry.revokeKey(deviceId, 2); // this contract is an officer
    }

    /* status */

    function test_setStatus_theOwnerMaySuspendAndRetireOnly() external {
        vm.startPrank(owner);
        vm.expectPartialRevert(IAccessManaged.AccessManagedUnauthorized.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Quarantined);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Suspended);
        vm.expectPartialRevert(IAccessManaged.AccessManagedUnauthorized.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Active);
        vm.stopPrank();
        registry.setStatus(deviceId, IDeviceRegistry.Status.Quarantined);
        vm.startPrank(owner);
        vm.expectPartialRevert(IAccessManaged.AccessManagedUnauthorized.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Suspended);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        vm.stopPrank();
    }

    function testFuzz_setStatus_retiredIsFinal(uint8 to) external {
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status(bound(to, 0, 4)));
    }

    function test_setStatus_whenNoneOrTheSame_itReverts() external {
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.None);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Active);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_Unknown.selector);
        registry.setStatus("nothing", IDeviceRegistry.Status.Active);
    }

    function test_statusAt_thePastCanBeAskedForEver() external {
        uint256 start = block.number;
        for (uint8 i = 2; i < 20; ++i) {
            pass(10);
            registry.setStatus(deviceId, IDeviceRegistry.Status(i % 2 == 0 ? 2 : 1));
        }
        assertEq(registry.statusAt(deviceId, start - 1), 0, "before");
        for (uint256 i = 0; i < 18; ++i) {
            assertEq(registry.statusAt(deviceId, start + 10 * i), i % 2 == 0 ? 1 : 2, "at");
            assertEq(registry.statusAt(deviceId, start + 10 * i + 9), i % 2 == 0 ? 1 : 2, "until");
        }
    }

    /* owners */

    function test_transferOwnership_itRaisesTheEpochAndKeepsThePast() external {
        transfer(transferOf(deviceId, buyer), OWNER_KEY, BUYER_KEY, 0);
        transfer(transferOf(deviceId, owner), BUYER_KEY, OWNER_KEY, 0); // in the same block
        assertEq(registry.currentOwnerEpoch(deviceId), 3, "epoch");
        assertEq(registry.ownerOf(deviceId, 1), owner, "1");
        assertEq(registry.ownerOf(deviceId, 2), buyer, "2");
        assertEq(registry.ownerOf(deviceId, 3), owner, "3");
        assertEq(registry.ownerEpochAt(deviceId, block.number), 3, "at");
        assertEq(registry.ownerEpochAt(deviceId, block.number - 1), 0, "before");
    }

    function test_transferOwnership_whenWrong_itReverts() external {
        IDeviceRegistry.Transfer memory t = transferOf(deviceId, buyer);
        transfer(t, BUYER_KEY, BUYER_KEY, IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        transfer(t, OWNER_KEY, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        t.newOwner = address(0);
        transfer(t, OWNER_KEY, BUYER_KEY, IDeviceRegistry.DeviceRegistry_OwnerZero.selector);
        t = transferOf(deviceId, buyer);
        t.deadline -= 1;
        transfer(t, OWNER_KEY, BUYER_KEY, IDeviceRegistry.DeviceRegistry_Expired.selector);
        t = transferOf(deviceId, buyer);
        transfer(t, OWNER_KEY, BUYER_KEY, 0);
        transfer(t, OWNER_KEY, BUYER_KEY, IDeviceRegistry.DeviceRegistry_WrongNonce.selector);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Quarantined);
        t = transferOf(deviceId, owner);
        transfer(t, BUYER_KEY, OWNER_KEY, IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
    }

    /* quotes */

    function test_reportQuote_itIsFreshWithinItsValidityOnly() external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        assertTrue(!registry.isFresh(deviceId, nowMs()), "no quote yet");
        IDeviceRegistry.Quote memory q = quoteOf(deviceId, 5, 1);
        report(q, 0);
        assertTrue(registry.isFresh(deviceId, nowMs()), "now");
        assertTrue(registry.isFresh(deviceId, q.validUntilMs), "until");
        assertTrue(!registry.isFresh(deviceId, q.validUntilMs + 1), "after");
        assertTrue(!registry.isFresh(deviceId, q.quotedAtMs - 1), "before");
        assertEq(registry.freshnessOf(deviceId).resetCount, 5, "counter");
        report(q, IDeviceRegistry.DeviceRegistry_WrongQuoteTimes.selector); // once
    }

    function test_isFresh_whenThePolicyIsRevokedOrTheKeyRotated_itEndsAtOnce() external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        report(quoteOf(deviceId, 5, 1), 0);
        uint64 at_ = nowMs();
        pass(1);
        policy.revoke(keccak256("policy"), 1);
        assertTrue(!registry.isFresh(deviceId, nowMs()), "revoked");
        assertTrue(registry.isFresh(deviceId, at_), "judged by the policy of its time");
        report(quoteOf(deviceId, 5, 2), IDeviceRegistry.DeviceRegistry_BootRefused.selector);
        rotate(rotation(deviceId, 2, false), 2, OWNER_KEY, 0);
        assertTrue(!registry.isFresh(deviceId, at_), "another key");
    }

    function test_isFresh_whenTheClockIsNotSafe_itIsFalse() external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        IDeviceRegistry.Quote memory q = quoteOf(deviceId, 5, 1);
        q.safe = false;
        report(q, 0);
        assertTrue(!registry.isFresh(deviceId, nowMs()), "not safe");
    }

    function testFuzz_reportQuote_countersNeverFallUnderOneKey(uint32 a, uint32 c, uint32 e, uint32 f) external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        report(quoteOf(deviceId, a, c), 0);
        pass(1);
        bool fell = e < a || (e == a && f < c);
        report(quoteOf(deviceId, e, f), fell ? IDeviceRegistry.DeviceRegistry_CountersFell.selector : bytes4(0));
    }

    function test_reportQuote_whenTheTpmWasCleared_itTakesANewKey() external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        policy.publish(keccak256("policy 2"), keccak256("firmware"), nowMs(), 0);
        report(quoteOf(deviceId, 5, 1), 0);
        pass(1);
        report(quoteOf(deviceId, 0, 0), IDeviceRegistry.DeviceRegistry_CountersFell.selector);
        rotate(rotation(deviceId, 2, true), 2, OWNER_KEY, 0);
        report(quoteOf(deviceId, 0, 0), 0);
        assertTrue(registry.isFresh(deviceId, nowMs()), "under the new key");
    }

    function test_reportQuote_whenWrong_itReverts() external {
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        IDeviceRegistry.Quote memory q = quoteOf(deviceId, 1, 1);
        q.keyEpoch = 2;
        report(q, IDeviceRegistry.DeviceRegistry_WrongKeyEpoch.selector);
        q = quoteOf(deviceId, 1, 1);
        q.policyId = "another";
        report(q, IDeviceRegistry.DeviceRegistry_WrongPolicy.selector);
        q = quoteOf(deviceId, 1, 1);
        q.pcrDigest = "another";
        report(q, IDeviceRegistry.DeviceRegistry_BootRefused.selector);
        q = quoteOf(deviceId, 1, 1);
        q.deadline -= 1;
        report(q, IDeviceRegistry.DeviceRegistry_Expired.selector);
        q = quoteOf(deviceId, 1, 1);
        q.quotedAtMs = nowMs() + 120_001;
        report(q, IDeviceRegistry.DeviceRegistry_WrongQuoteTimes.selector);
        q = quoteOf(deviceId, 1, 1);
        q.validUntilMs = q.quotedAtMs - 1;
        report(q, IDeviceRegistry.DeviceRegistry_WrongQuoteTimes.selector);
        q.validUntilMs = q.quotedAtMs + 31 days * 1000;
        report(q, IDeviceRegistry.DeviceRegistry_WrongQuoteTimes.selector);
        q = quoteOf(deviceId, 1, 1);
        bytes[] memory one = registrars(keccak256("x"), 1);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_SignatureCount.selector);
        registry.reportQuote(q, one);
        vm.prank(owner);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        report(q, IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
        registry.setSoftwareCap(organisation(0), 1);
        Enrol memory e = software(77);
        e.policyId = 0;
        enrolAs(e, 77, 0);
        report(quoteOf(e.deviceId, 1, 1), IDeviceRegistry.DeviceRegistry_WrongPolicy.selector);
        assertTrue(!registry.isFresh(e.deviceId, nowMs()), "no measured boot");
    }

    /* settings */

    function test_setThreshold_keepsBetweenOneAndTheRegistrars() external {
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongThreshold.selector);
        registry.setThreshold(0);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongThreshold.selector);
        registry.setThreshold(4);
        registry.setThreshold(3);
        address last = vm.addr(registrarKeys[2]);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongThreshold.selector);
        registry.setRegistrar(last, false);
        registry.setThreshold(2);
        registry.setRegistrar(last, false);
        registry.setRegistrar(last, false); // no effect
        assertEq(registry.registrarCount(), 2, "count");
        assertTrue(!registry.isRegistrar(last), "out");
        assertEq(registry.threshold(), 2, "k");
    }

    function test_setThreshold_isSixteenAtMost() external {
        for (uint256 i = 0; i < 17; ++i) registry.setRegistrar(vm.addr(0x7EA + i), true);
        registry.setThreshold(16);
        vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongThreshold.selector);
        registry.setThreshold(17);
    }

    function test_enrol_whenNoThresholdIsSet_nobodyIsAdmitted() external {
        IDeviceRegistry fresh = IDeviceRegistry(create("DeviceRegistry", abi.encode(manager, directory, policy)));
        Enrol memory e = enrolment("two", 55);
        bytes32 digest = typed(
            "DeviceRegistry",
            address(fresh),
            keccak256(abi.encode(ProtocolTypes.ENROL_TYPEHASH, e))
        );
        bytes memory byOwner = sign(OWNER_KEY, digest);
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.DeviceRegistry_SignatureCount.selector, 0, 0));
        fresh.enrol(e, spki(55), byOwner, new bytes[](0));
    }

    function test_gas_enrol() external {
        Enrol memory e = enrolment("gas", 55);
        bytes32 digest = enrolDigest(e);
        bytes memory data = abi.encodeCall(
            registry.enrol,
            (e, spki(55), sign(OWNER_KEY, digest), registrars(digest, 2))
        );
        uint256 gas = transactionGas(address(registry), data);
        vm.snapshotValue("DeviceRegistry", "enrol, 2 registrars", gas);
        assertTrue(gas <= 220_000, "gas of an enrolment");
    }

    function test_gas_rotateKey() external {
        pass(1);
        IDeviceRegistry.Rotation memory r = rotation(deviceId, 2, true);
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(ROTATION, r)));
        bytes memory data = abi.encodeCall(
            registry.rotateKey,
            (r, spki(2), sign(OWNER_KEY, digest), registrars(digest, 2))
        );
        vm.snapshotValue("DeviceRegistry", "rotateKey, 2 registrars", transactionGas(address(registry), data));
    }

    function _bind(IDeviceRegistry.Endorsement memory x, bytes4 selector) private {
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(ENDORSEMENT, x)));
        bytes[] memory signatures = registrars(digest, 2);
        if (selector != 0) vm.expectPartialRevert(selector);
        registry.bindEndorsement(x, signatures);
    }

    function _registrarsRefused(Enrol memory e, bytes[] memory signatures, bytes4 selector) private {
        bytes memory byOwner = sign(OWNER_KEY, enrolDigest(e));
        vm.expectPartialRevert(selector);
        registry.enrol(e, spki(55), byOwner, signatures);
    }

    function _keyRefused(Enrol memory e, bytes memory key) private {
        e.keyHash = sha256(key);
        bytes32 digest = enrolDigest(e);
        (bytes memory byOwner, bytes[] memory byRegistrars) = (sign(OWNER_KEY, digest), registrars(digest, 2));
        vm.expectRevert(abi.encodeWithSelector(IDeviceRegistry.DeviceRegistry_WrongKeyAlg.selector, 0, 1));
        registry.enrol(e, key, byOwner, byRegistrars);
    }
}

/// @dev Random lives of a few boards.
contract RegistryHandler is RegistryBase {
    bytes32[] public ids;
    mapping(bytes32 id => uint256) public ownerKeyOf;
    mapping(bytes32 id => uint32) public keyEpochSeen;
    mapping(bytes32 id => uint32) public ownerEpochSeen;
    mapping(bytes32 id => bool) public retired;
    mapping(bytes32 id => bytes32) public ekOf;
    uint256 private _nextKey = 1000;

    constructor() {
        deployAll();
        registry.setSoftwareCap(organisation(0), 3);
    }

    function enrolBoard(uint8 which) external {
        string memory ek = vm.toString(uint256(which) % 4);
        Enrol memory e = enrolment(ek, _nextKey);
        bool known = registry.deviceOfEndorsement(e.ekHash) != 0;
        if (known) e.deviceId = keccak256(abi.encode("clean name", _nextKey));
        enrolAs(e, _nextKey, known ? IDeviceRegistry.DeviceRegistry_EndorsementTaken.selector : bytes4(0));
        if (!known) _add(e.deviceId, e.ekHash);
        ++_nextKey;
    }

    function enrolSoftware() external {
        (uint32 live, uint32 cap) = registry.softwareElements(organisation(0));
        Enrol memory e = software(_nextKey);
        enrolAs(e, _nextKey, live < cap ? bytes4(0) : IDeviceRegistry.DeviceRegistry_SoftwareCapReached.selector);
        if (live < cap) _add(e.deviceId, 0);
        ++_nextKey;
    }

    function rotateAny(uint256 which, bool revokeOld) external {
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        uint8 status_ = registry.device(id).status;
        bool may = status_ == 1 || status_ == 2;
        rotate(
            rotation(id, _nextKey, revokeOld),
            _nextKey,
            ownerKeyOf[id],
            may ? bytes4(0) : IDeviceRegistry.DeviceRegistry_WrongStatus.selector
        );
        ++_nextKey;
    }

    function transferAny(uint256 which, uint8 to) external {
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        uint8 status_ = registry.device(id).status;
        bool may = status_ == 1 || status_ == 2;
        uint256 toKey = 500 + (to % 5);
        transfer(
            transferOf(id, vm.addr(toKey)),
            ownerKeyOf[id],
            toKey,
            may ? bytes4(0) : IDeviceRegistry.DeviceRegistry_WrongStatus.selector
        );
        if (may) ownerKeyOf[id] = toKey;
    }

    function setStatusAny(uint256 which, uint8 to) external {
        if (ids.length == 0) return;
        bytes32 id = ids[which % ids.length];
        IDeviceRegistry.Status next = IDeviceRegistry.Status(1 + (to % 4));
        uint8 status_ = registry.device(id).status;
        if (status_ == 4 || status_ == uint8(next)) {
            vm.expectPartialRevert(IDeviceRegistry.DeviceRegistry_WrongStatus.selector);
        }
        registry.setStatus(id, next);
    }

    function passTime(uint8 secs) external {
        pass(secs);
    }

    /// @dev Epochs only rise, the current key and owner are those of their epochs, retired is final.
    function check() external {
        uint256 live;
        for (uint256 i = 0; i < ids.length; ++i) {
            bytes32 id = ids[i];
            IDeviceRegistry.DeviceView memory v = registry.device(id);
            assertTrue(v.keyEpoch >= keyEpochSeen[id] && v.keyEpoch >= 1, "key epoch only rises");
            assertTrue(v.ownerEpoch >= ownerEpochSeen[id] && v.ownerEpoch >= 1, "owner epoch only rises");
            (keyEpochSeen[id], ownerEpochSeen[id]) = (v.keyEpoch, v.ownerEpoch);
            for (uint32 k = 1; k <= v.keyEpoch; ++k) {
                assertEq(registry.deviceOfKey(registry.keyHashOf(id, k)), id, "a key speaks for one device");
            }
            assertEq(registry.keyHashOf(id, v.keyEpoch + 1), 0, "no key beyond the epoch");
            assertEq(registry.ownerOf(id, v.ownerEpoch), vm.addr(ownerKeyOf[id]), "owner");
            if (retired[id]) assertEq(v.status, 4, "retired is final");
            retired[id] = v.status == 4;
            if (v.assurance == 1 && v.status != 4) ++live;
            if (v.assurance == 2) assertEq(registry.deviceOfEndorsement(ekOf[id]), id, "one device an EK");
        }
        (uint32 counted, uint32 cap) = registry.softwareElements(organisation(0));
        assertEq(counted, live, "software elements");
        assertTrue(counted <= cap, "cap");
    }

    function _add(bytes32 id, bytes32 ekHash) private {
        ids.push(id);
        ekOf[id] = ekHash;
        ownerKeyOf[id] = OWNER_KEY;
    }
}

contract DeviceRegistryInvariants is RegistryBase {
    RegistryHandler private _handler;

    function setUp() external {
        _handler = new RegistryHandler();
        targetContract(address(_handler));
    }

    function invariant_oneDeviceAnEkAndEpochsOnlyRise() external {
        _handler.check();
    }
}
