// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";

import {ConsentBase} from "../data/ConsentRegistry.t.sol";
import {IConsentRegistry} from "../data/IConsentRegistry.sol";
import {Config, Deal, Enrol, Epoch, Stream} from "../data/ProtocolTypes.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {ArbitrationBase} from "../market/Arbitration.t.sol";
import {EscrowBase} from "../market/Escrow.t.sol";
import {IArbitration} from "../market/IArbitration.sol";
import {IEscrow, KeyNode, Status} from "../market/IEscrow.sol";
import {IPayer} from "../market/IPayer.sol";
import {Batch, ISubscription} from "../market/ISubscription.sol";
import {SharedPoint} from "../market/SharedPoint.sol";
import {SubscriptionBase} from "../market/SubscriptionBase.t.sol";
import {Fixture} from "../test/Fixture.t.sol";

/// @dev A "Marketplace" that opens deals for whoever once trusted the real one.
contract Taker {
    function take(IEscrow escrow, Deal calldata deal, Stream calldata stream, KeyNode[] calldata nodes) external {
        escrow.open(deal, stream, nodes);
    }

    function pay(IERC20 token, address from, uint256 amount) external {
        // solhint-disable-next-line no-empty-blocks
        try token.transferFrom(from, msg.sender, amount) {} catch {}
    }
}

/// @dev One account holds every role and the administration of the manager, and uses all of it against the users.
abstract contract Tyranny is Fixture {
    uint256 internal constant TYRANT_KEY = 0x7777;
    uint256 internal constant OWN_MARKET = 8;
    uint256 internal constant OWN_REGISTRARS = 512;
    uint256 internal constant MINTS = 1024;

    address internal tyrant = vm.addr(TYRANT_KEY);
    Taker internal taker;

    function crown() internal {
        for (uint64 role = 0; role <= MINTER; ++role) manager.grantRole(role, tyrant, 0);
        taker = new Taker();
        vm.warp(block.timestamp + 1);
    }

    /// @param acts One bit for each thing that a role can do.
    function tyrannise(uint256 acts) internal {
        (uint64 number, , , ) = anchor.latest();
        vm.startPrank(tyrant);
        if (acts & 1 != 0) escrow.pause();
        if (acts & 2 != 0) registry.pause();
        if (acts & 4 != 0) escrow.setToken(address(token), false);
        if (acts & OWN_MARKET != 0) directory.setModule("Marketplace", address(taker), 2);
        if (acts & 32 != 0) registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        if (acts & 64 != 0) directory.setOrganisation(buyer, "tyranny");
        if (acts & 128 != 0) directory.setOrganisation(deliverer, 0);
        if (acts & 256 != 0) arbitration.setPanel(_panel());
        if (acts & OWN_REGISTRARS != 0) _beTheOnlyRegistrar();
        if (acts & MINTS != 0) token.mint(tyrant, 1e6);
        if (acts & 2048 != 0) committee.setConfig(config(_sortedKeys(4, 0x7700), number + 1));
        if (acts & 4096 != 0) registry.revokeKey(deviceId, 1);
        if (acts & 16 != 0) directory.setModule("DataAnchor", address(taker), 2);
        if (acts & 8192 != 0) manager.updateAuthority(address(escrow), address(taker));
        if (acts & 16_384 != 0) {
            manager.setTargetClosed(address(escrow), true);
            manager.setTargetClosed(address(registry), true);
            manager.setTargetClosed(address(arbitration), true);
        }
        vm.stopPrank();
    }

    /// @return The tyrant's signature alone, which is what a threshold of one asks for.
    function byTyrant(bytes32 digest) internal pure returns (bytes[] memory) {
        bytes[] memory signatures = new bytes[](1);
        signatures[0] = sign(TYRANT_KEY, digest);
        return signatures;
    }

    function _beTheOnlyRegistrar() private {
        directory.setOrganisation(tyrant, "tyranny");
        registry.setRegistrar(tyrant, true);
        registry.setThreshold(1);
        for (uint256 i = 0; i < 3; ++i) registry.setRegistrar(vm.addr(registrarKeys[i]), false);
    }

    function _panel() private view returns (address[] memory panel) {
        panel = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            panel[i] = vm.addr(memberKeys[i]);
            for (uint256 j = i; j > 0 && _organisationOf(panel[j]) < _organisationOf(panel[j - 1]); --j) {
                (panel[j], panel[j - 1]) = (panel[j - 1], panel[j]);
            }
        }
    }

    function _organisationOf(address account) private view returns (bytes32) {
        return directory.organisationOf(account);
    }
}

contract TyrantTest is EscrowBase, Tyranny {
    uint256 private constant WALLET = 1e9;

    Deal private _delivered;
    Status private _deliveredStatus;
    Status private _funded;

    function setUp() external {
        prepare(2, 26);
        _delivered = d;
        _deliveredStatus = openDeal(_delivered, list);
        depositBond(deliverer, 2 * uint256(d.bond));
        if (nowMs() < d.endMs) pass(d.endMs / 1000 + 1 - block.timestamp);
        _deliveredStatus = deliver(deliverer, d, _deliveredStatus, delivery(d, secretsOf(2)));
        d.nonce = keccak256("another");
        _funded = openDeal(d, list);
        token.mint(buyer, WALLET);
        vm.startPrank(buyer);
        token.approve(address(market), type(uint256).max);
        token.approve(address(escrow), type(uint256).max);
        vm.stopPrank();
        crown();
    }

    function testFuzz_everyRole_cannotTakeAUsersMoney(uint256 acts) external {
        bytes32 anchored = anchor.epochHash(1);
        tyrannise(acts);
        _steal();

        assertEq(token.balanceOf(buyer), WALLET, "the buyer's wallet");
        assertEq(anchor.epochHash(1), anchored, "what was anchored");
        assertTrue(nowMs() < _deliveredStatus.at + 600_000, "all of it within the windows");
        pass(uint256(d.complainSeconds) + 1);
        escrow.refund(d, _funded);
        escrow.release(_delivered, _deliveredStatus);
        vm.prank(buyer);
        assertEq(escrow.withdraw(address(token)), d.price, "the price of what was not delivered");
        vm.prank(owner);
        assertEq(escrow.withdraw(address(token)), d.price - d.fee, "the price of what was");
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), 2 * uint256(d.bond) + d.fee);
        assertEq(token.balanceOf(address(escrow)), 0, "nothing is left behind");
    }

    /// @dev A committee of its own anchors what comes; what was sold is judged by what was there before.
    function test_everyRole_cannotRewriteWhatWasAnchored() external {
        uint256[] memory keys = _sortedKeys(4, 0x7700);
        Config memory own = config(keys, 2);
        vm.startPrank(tyrant);
        for (uint256 i = 0; i < 4; ++i) directory.setOrganisation(vm.addr(keys[i]), own.organisations[i]);
        committee.setConfig(own);
        vm.stopPrank();
        bytes32 before = anchor.epochHash(1);
        memberKeys = keys;
        anchorNext("lies", 1);
        assertEq(anchor.epochHash(1), before, "the past");
        Epoch memory again = epoch;
        again.root = "lies";
        bytes memory s = committeeSignatures(again);
        vm.expectRevert();
        anchor.anchor(again, s);
    }

    function _steal() private {
        Deal memory forged = d;
        (forged.nonce, forged.seller, forged.price, forged.fee) = ("forged", tyrant, uint128(WALLET), 0);
        vm.startPrank(tyrant);
        vm.expectRevert();
        taker.take(escrow, forged, stream(), list);
        vm.expectRevert();
        IPayer(address(market)).pay(IERC20(address(token)), buyer, WALLET);
        bytes memory transfer = abi.encodeCall(IERC20.transferFrom, (buyer, tyrant, WALLET));
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = IERC20.transferFrom.selector;
        manager.setTargetFunctionRole(address(token), selectors, 1);
        vm.expectRevert();
        manager.execute(address(token), transfer);
        vm.expectRevert();
        escrow.withdrawBond(address(token), 1);
        vm.expectRevert();
        escrow.withdraw(address(token));
        vm.stopPrank();
    }
}

/// @dev A case that five judges were to hear when the tyrant came.
contract TyrantDisputeTest is ArbitrationBase, Tyranny {
    function setUp() external {
        prepareCase();
        complain();
        crown();
    }

    function testFuzz_everyRole_cannotTakeWhatIsDisputed(uint256 acts, bool judged) external {
        bytes32 id = hashDeal(d);
        tyrannise(acts);
        vm.startPrank(tyrant);
        if (acts & 32_768 != 0) {
            for (uint256 i = 0; i < 5; ++i) directory.setOrganisation(judges[i], "tyranny");
        }
        vm.expectRevert(abi.encodeWithSelector(IArbitration.Arbitration_NotYourSeat.selector, 0, tyrant));
        arbitration.commit(address(escrow), id, 0, "c");
        vm.expectPartialRevert(IArbitration.Arbitration_NotRuled.selector);
        escrow.resolve(d, st);
        vm.stopPrank();

        if (judged) rule(three(250, 250, 250));
        else pass(escrow.rulingSeconds() + 1);
        escrow.resolve(d, st);
        uint256 back = judged ? (d.price - d.fee) / 4 : 0;
        uint256 share = judged ? d.price / 30 : 0;
        assertEq(_taken(buyer), back + d.price / 10 - 3 * share, "buyer");
        assertEq(_taken(owner), d.price - d.fee - back, "seller");
        for (uint256 i = 0; i < 3 && judged; ++i) assertEq(_taken(judges[i]), share, "judge");
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), uint256(d.bond) + d.fee);
        vm.prank(fallbackDeliverer);
        escrow.withdrawBond(address(token), d.bond);
        assertEq(token.balanceOf(address(escrow)), 0, "nothing is left behind");
        assertEq(token.balanceOf(tyrant), acts & MINTS != 0 ? 1e6 : 0, "what the tyrant made itself");
    }

    function _taken(address who) private returns (uint256) {
        vm.prank(who);
        return escrow.withdraw(address(token));
    }
}

/// @dev A subscription with a deposit, two bonds and a batch that was delivered.
contract TyrantSubscriptionTest is SubscriptionBase, Tyranny {
    function setUp() external {
        prepare();
        subscribed();
        serve(nodeSecret(0));
        crown();
    }

    function testFuzz_everyRole_cannotTakeWhatIsSubscribed(uint256 acts) external {
        tyrannise(acts);
        vm.startPrank(tyrant);
        if (acts & 32_768 != 0) subscription.pause();
        if (acts & 65_536 != 0) manager.updateAuthority(address(subscription), address(taker));
        vm.stopPrank();
        _steal();

        pass(1201);
        settleOne();
        vm.startPrank(buyer);
        subscription.end(t);
        assertEq(subscription.withdraw(address(token)), DEPOSIT - 3000, "all that no batch took");
        vm.stopPrank();
        vm.prank(owner);
        assertEq(subscription.withdraw(address(token)), 2850, "seller");
        vm.prank(deliverer);
        subscription.withdrawBond(address(token), 100_150);
        vm.prank(fallbackDeliverer);
        subscription.withdrawBond(address(token), 100_000);
        assertEq(token.balanceOf(address(subscription)), 0, "nothing is left behind");
        assertEq(token.balanceOf(tyrant), acts & MINTS != 0 ? 1e6 : 0, "what the tyrant made itself");
    }

    function _steal() private {
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        Batch[] memory early = new Batch[](1);
        early[0] = batch;
        vm.startPrank(tyrant);
        vm.expectPartialRevert(ISubscription.Subscription_NotYours.selector);
        subscription.end(t);
        vm.expectPartialRevert(ISubscription.Subscription_NotTheBuyer.selector);
        subscription.hold(t);
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.settle(t, early);
        vm.expectPartialRevert(ISubscription.Subscription_KeyIsRight.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
        vm.expectPartialRevert(ISubscription.Subscription_NothingToWithdraw.selector);
        subscription.withdraw(address(token));
        vm.expectPartialRevert(ISubscription.Subscription_BondTooSmall.selector);
        subscription.withdrawBond(address(token), 1);
        vm.expectRevert();
        manager.execute(address(subscription), abi.encodeCall(subscription.end, (t)));
        vm.stopPrank();
    }
}

/// @dev A sealed stream of somebody who granted it to one buyer; two holders have its seed. Who may have the data is said by
/// owner and subject alone: grants, holders, ownership and keys are what deliverers and holders go by.
contract TyrantDataTest is ConsentBase, Tyranny {
    bytes32 private constant ROTATION = keccak256(
        "Rotation(bytes32 deviceId,uint32 keyEpoch,bytes32 akName,uint8 keyAlg,bytes32 keyHash,bool revokeOld,bytes32 policyId,bytes32 evidenceDigest,uint256 nonce,uint64 deadline)"
    );
    bytes32 private constant TRANSFER = keccak256(
        "Transfer(bytes32 deviceId,address newOwner,uint256 nonce,uint64 deadline)"
    );
    uint256 private constant KEY = 0x70FF;

    bytes32 private _id;
    IConsentRegistry.Holders private _holders;

    function setUp() external {
        deployAll();
        enrolDevice();
        anchorNext("root", 1);
        _id = hashStream(sealedStream());
        bindSubject(sealedStream(), SUBJECT_KEY);
        IConsentRegistry.Grant memory g = grantOf(sealedStream(), buyer);
        g.untilMs = type(uint64).max;
        grantSigned(sealedStream(), g, OWNER_KEY, SUBJECT_KEY, 0);
        _holders = holdersOf(sealedStream(), 1, 2);
        setHolders(sealedStream(), _holders, _holders, OWNER_KEY, 0);
        crown();
    }

    function testFuzz_everyRole_cannotReadAUsersData(uint256 acts) external {
        bytes32 before = _whoMay();
        tyrannise(acts);
        _pry(false);
        assertEq(_whoMay(), before, "grants, subject, holders, owner and keys");
        assertTrue(!consent.authorised(_id, PURPOSE, tyrant), "the tyrant");
        assertTrue(consent.authorised(_id, PURPOSE, buyer), "the buyer, still");
    }

    /// @dev Nothing that it did stands in the way but the users' own signatures.
    function test_everyRole_whenItsRegistrarsAndMarketplaceAreItsOwn_itIsRefusedForWantOfTheOwner() external {
        bytes32 before = _whoMay();
        tyrannise(OWN_MARKET | OWN_REGISTRARS);
        _pry(true);
        assertEq(_whoMay(), before, "grants, subject, holders, owner and keys");
    }

    function _whoMay() private view returns (bytes32) {
        (uint64 erasures, bool ofBuyer) = consent.consentOf(_id, PURPOSE, buyer);
        bytes memory grants = abi.encode(
            erasures,
            ofBuyer,
            consent.authorised(_id, PURPOSE, tyrant),
            consent.grantOf(_id, PURPOSE, buyer),
            consent.grantOf(_id, PURPOSE, tyrant),
            consent.grantOf(_id, PURPOSE, address(0)),
            consent.epochOf(_id),
            consent.subjectOf(_id),
            consent.holdersHash(_id)
        );
        bytes memory device = abi.encode(
            registry.ownerOf(deviceId, 1),
            registry.ownerOf(deviceId, 2),
            registry.currentOwnerEpoch(deviceId),
            registry.currentKeyEpoch(deviceId),
            registry.keyHashOf(deviceId, 1),
            registry.keyHashOf(deviceId, 2),
            registry.deviceOfKey(keyHash(KEY))
        );
        return keccak256(bytes.concat(grants, device));
    }

    /// @param exact Whether each refusal must be for want of the owner's word; else any refusal will do.
    function _pry(bool exact) private {
        _pryConsent(exact);
        _pryIdentity(exact);
        KeyNode[] memory list = nodes(1, 26);
        Deal memory d = deal(list);
        (d.streamId, d.buyer, d.price, d.fee) = (_id, tyrant, 0, 0);
        _refused(exact, IEscrow.Escrow_NotAuthorised.selector);
        taker.take(escrow, d, sealedStream(), list);
    }

    function _pryConsent(bool exact) private {
        Stream memory s = sealedStream();
        bytes memory granting = abi.encodeCall(consent.grant, (s, PURPOSE, tyrant, 0, type(uint64).max));
        IConsentRegistry.Grant memory g = grantOf(s, tyrant);
        bytes memory signature = signed(TYRANT_KEY, keccak256(abi.encode(GRANT, g)));
        IConsentRegistry.Holders memory more = holdersOf(s, 2, 3);
        more.holders[2] = tyrant;
        bytes memory naming = signed(TYRANT_KEY, hashHolders(more));
        Stream memory other = s;
        other.salt = keccak256("another of the home");
        IConsentRegistry.Binding memory x = IConsentRegistry.Binding(hashStream(other), tyrant, nowMs());
        bytes memory binding = signed(TYRANT_KEY, keccak256(abi.encode(BINDING, x)));

        vm.startPrank(tyrant);
        _refused(exact, IConsentRegistry.ConsentRegistry_NotOwner.selector);
        consent.grant(sealedStream(), PURPOSE, tyrant, 0, type(uint64).max);
        _refused(exact, IConsentRegistry.ConsentRegistry_NotOwner.selector);
        manager.execute(address(consent), granting);
        _refused(exact, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.grantBySignature(sealedStream(), g, signature, signature);
        _refused(exact, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.setHolders(sealedStream(), more, _holders, naming);
        _refused(exact, IConsentRegistry.ConsentRegistry_WrongSignature.selector);
        consent.bindSubject(other, x, binding, binding);
        _refused(exact, IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.revokeAll(sealedStream());
        _refused(exact, IConsentRegistry.ConsentRegistry_NotOwnerOrSubject.selector);
        consent.requestErasure(sealedStream(), 0, 1);
        vm.stopPrank();
    }

    function _pryIdentity(bool exact) private {
        IDeviceRegistry.Transfer memory move = IDeviceRegistry.Transfer(
            deviceId,
            tyrant,
            registry.nonceOf(deviceId),
            nowMs()
        );
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(TRANSFER, move)));
        bytes memory signature = sign(TYRANT_KEY, digest);
        _refused(exact, IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        registry.transferOwnership(move, signature, signature);

        IDeviceRegistry.Rotation memory r;
        (r.deviceId, r.keyEpoch, r.akName, r.keyAlg) = (deviceId, 2, "ak", 1);
        (r.keyHash, r.nonce, r.deadline) = (keyHash(KEY), registry.nonceOf(deviceId), nowMs());
        digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(ROTATION, r)));
        signature = sign(TYRANT_KEY, digest);
        _refused(exact, IDeviceRegistry.DeviceRegistry_WrongOwnerSignature.selector);
        registry.rotateKey(r, spki(KEY), signature, byTyrant(digest));

        Enrol memory e = enrolment("board", KEY);
        e.owner = tyrant;
        digest = enrolDigest(e);
        signature = sign(TYRANT_KEY, digest);
        _refused(exact, IDeviceRegistry.DeviceRegistry_AlreadyEnrolled.selector);
        registry.enrol(e, spki(KEY), signature, byTyrant(digest));
    }

    function _refused(bool exact, bytes4 selector) private {
        if (exact) vm.expectPartialRevert(selector);
        else vm.expectRevert();
    }
}
