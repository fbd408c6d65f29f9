// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {RegistryBase} from "../identity/DeviceRegistry.t.sol";
import {IDeviceRegistry} from "../identity/IDeviceRegistry.sol";
import {ArbitrationBase} from "../market/Arbitration.t.sol";
import {Unopenable} from "../market/IEscrow.sol";
import {EmptySlot, ISubscription, Phase} from "../market/ISubscription.sol";
import {SharedPoint} from "../market/SharedPoint.sol";
import {SubscriptionBase} from "../market/SubscriptionBase.t.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Roles} from "../test/Roles.t.sol";

/// @dev Tables of all ways out, each taken while everything that can be paused is paused and every restricted function is
/// closed in the manager. Held to the sources: a function is an inflow, an exit of the table, or restricted.
abstract contract Exits is Fixture {
    struct Exit {
        string name;
        function() internal leave;
    }

    /// @param other The subscriptions' contract.
    function pauseEverything(ISubscription other) internal {
        escrow.pause();
        registry.pause();
        other.pause();
        address[6] memory all = [
            address(escrow),
            address(registry),
            address(other),
            address(arbitration),
            address(directory),
            address(token)
        ];
        for (uint256 i = 0; i < all.length; ++i) manager.setTargetClosed(all[i], true);
    }

    function leaveBy(Exit[] memory exits) internal {
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < exits.length; ++i) {
            exits[i].leave();
            assertTrue(vm.revertToState(before), exits[i].name);
        }
    }

    /// @param inflows Names of the functions that a pause stops, between commas.
    function assertComplete(string memory path, Exit[] memory exits, string memory inflows) internal view {
        string[] memory parts = vm.split(vm.readFile(path), "\n    function ");
        uint256 found;
        for (uint256 i = 1; i < parts.length; ++i) {
            string memory name = vm.split(parts[i], "(")[0];
            string memory head = vm.split(parts[i], "{")[0];
            bool paused = vm.contains(head, "whenNotPaused");
            bool isInflow = vm.contains(inflows, string.concat(",", name, ","));
            assertTrue(paused == isInflow, string.concat(name, ": a pause stops inflows and nothing else"));
            assertTrue(!vm.contains(parts[i], "_requireNotPaused"), name);
            if (!vm.contains(head, " external ") || vm.contains(head, " view ") || vm.contains(head, " pure "))
                continue;
            if (paused || vm.contains(head, " restricted ")) continue;
            assertTrue(_isOneOf(exits, name), string.concat(name, ": no exit of this name is tried"));
            ++found;
        }
        assertTrue(found != 0, path);
    }

    function _isOneOf(Exit[] memory exits, string memory name) private pure returns (bool found) {
        bytes32 wanted = keccak256(bytes(name));
        for (uint256 i = 0; i < exits.length; ++i) {
            found = found || keccak256(bytes(vm.split(exits[i].name, ",")[0])) == wanted;
        }
    }
}

/// @dev A deal that was paid before the pause, with a panel to complain to; pack 1 was anchored without a content that opens.
contract EscrowExitsTest is ArbitrationBase, Exits {
    uint256 private _held;

    function setUp() external {
        prepare(3, 26);
        packs[1].contentDigest = sha256("");
        leaves[1] = hashPack(packs[1]);
        epoch = anchorNext(Merkle.root(leaves), 4);
        d.asOfEpoch = epoch.number;
        seatPanel(3);
        pass(1000);
        fund();
        stake();
        ISubscription other = ISubscription(
            create("Subscription", abi.encode(manager, directory, registry, consent, escrow))
        );
        Roles.apply_(manager, Roles.table(), "Subscription", address(other));
        pauseEverything(other);
        _held = token.balanceOf(address(escrow));
    }

    function test_whenEverythingIsPaused_everyExitIsOpen() external {
        leaveBy(_exits());
    }

    function test_whenAFunctionIsAdded_itIsAnInflowOrAnExitThatIsTried() external view {
        assertComplete("contracts/market/Escrow.sol", _exits(), ",open,depositBond,");
    }

    function test_whenEverythingIsPaused_inflowsAreClosed() external {
        vm.prank(address(market));
        vm.expectRevert(Pausable.EnforcedPause.selector);
        escrow.open(d, stream(), list);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        escrow.depositBond(address(token), 1);
    }

    function _exits() private pure returns (Exit[] memory exits) {
        exits = new Exit[](12);
        exits[0] = Exit("deliver", _deliver);
        exits[1] = Exit("decline", _decline);
        exits[2] = Exit("refund", _refund);
        exits[3] = Exit("release", _release);
        exits[4] = Exit("proveWrongKey", _proveWrongKey);
        exits[5] = Exit("proveUnopenable", _proveUnopenable);
        exits[6] = Exit("dispute", _dispute);
        exits[7] = Exit("resolve", _resolve);
        exits[8] = Exit("resolve, not ruled", _resolveByTime);
        exits[9] = Exit("withdrawBond", _withdrawBond);
        exits[10] = Exit("withdraw", _withdraw);
        exits[11] = Exit("decline, then by the fallback", _deliverByFallback);
    }

    function _deliver() private {
        serve(9);
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "delivered");
    }

    function _deliverByFallback() private {
        vm.prank(deliverer);
        escrow.decline(d, st);
        st.state = 0x81;
        out = delivery(d, secretsOf(3));
        st = deliver(fallbackDeliverer, d, st, out);
        pass(1201);
        escrow.release(d, st);
        _ends(0, d.price - d.fee, d.bond, uint256(d.bond) + d.fee);
    }

    function _decline() private {
        vm.prank(deliverer);
        escrow.decline(d, st);
        st.state = 0x81;
        vm.prank(fallbackDeliverer);
        escrow.decline(d, st);
        _ends(d.price, 0, d.bond, d.bond);
    }

    function _refund() private {
        pass(601);
        vm.prank(stranger);
        escrow.refund(d, st);
        _ends(d.price, 0, d.bond, d.bond);
    }

    function _release() private {
        serve(9);
        pass(1201);
        vm.prank(stranger);
        escrow.release(d, st);
        _ends(0, d.price - d.fee, uint256(d.bond) + d.fee, d.bond);
    }

    function _proveWrongKey() private {
        serve(1);
        escrow.proveWrongKey(d, st, out, claim(1, 2));
        _ends(uint256(d.price) + d.bond, 0, 0, d.bond);
    }

    function _proveUnopenable() private {
        serve(9);
        Unopenable memory c;
        (c.index, c.node, c.nodeProof) = (0, list[0], Merkle.proof(nodeLeaves(list), 0));
        (c.packKey, c.content) = (packKey(nodeSecret(0), 26, packs[1]), "");
        (c.pack, c.packProof, c.epoch) = (packs[1], Merkle.proof(leaves, 1), epoch);
        escrow.proveUnopenable(d, st, c);
        _ends(uint256(d.price) + d.bond, 0, 0, d.bond);
    }

    function _dispute() private {
        serve(9);
        complain();
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "disputed");
    }

    function _resolve() private {
        _dispute();
        rule(three(1000, 1000, 1000));
        escrow.resolve(d, st);
        uint256 share = d.price / 30;
        for (uint256 i = 0; i < 3; ++i) {
            vm.prank(judges[i]);
            assertEq(escrow.withdraw(address(token)), share, "judge");
        }
        _ends(d.price - d.fee + d.price / 10 - 3 * share, 0, uint256(d.bond) + d.fee, d.bond);
    }

    function _resolveByTime() private {
        _dispute();
        pass(escrow.rulingSeconds() + 1);
        vm.prank(stranger);
        escrow.resolve(d, st);
        _ends(d.price / 10, d.price - d.fee, uint256(d.bond) + d.fee, d.bond);
    }

    function _withdrawBond() private {
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), d.bond);
        assertEq(token.balanceOf(address(escrow)), _held - d.bond, "bond");
    }

    function _withdraw() private {
        _release();
    }

    /// @dev Everybody takes what is due, and nothing is left.
    function _ends(uint256 toBuyer, uint256 toSeller, uint256 toDeliverer, uint256 toFallback) private {
        _take(buyer, toBuyer);
        _take(owner, toSeller);
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), toDeliverer);
        vm.prank(fallbackDeliverer);
        escrow.withdrawBond(address(token), toFallback);
        assertEq(token.balanceOf(address(escrow)), 0, "all of it");
    }

    function _take(address who, uint256 due) private {
        if (due == 0) return;
        vm.prank(who);
        assertEq(escrow.withdraw(address(token)), due, "what is due");
    }
}

/// @dev A subscription whose first batch is over when everything is paused; pack 1 was anchored without a content that opens.
contract SubscriptionExitsTest is SubscriptionBase, Exits {
    function setUp() external {
        prepare();
        packs[1].contentDigest = sha256("");
        leaves[1] = hashPack(packs[1]);
        epoch = anchorNext(Merkle.root(leaves), 5);
        subscribed();
        passBatch(first);
        pauseEverything(subscription);
    }

    function test_whenEverythingIsPaused_everyExitIsOpen() external {
        leaveBy(_exits());
    }

    function test_whenAFunctionIsAdded_itIsAnInflowOrAnExitThatIsTried() external view {
        // Publishing an offer moves nothing in.
        Exit[] memory exits = _exits();
        assertComplete("contracts/market/Subscription.sol", exits, ",subscribe,topUp,depositBond,");
    }

    function test_whenEverythingIsPaused_inflowsAreClosed() external {
        t.nonce = keccak256("another");
        vm.startPrank(buyer);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.subscribe(t, 1, noPermit());
        vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.topUp(t, 1, noPermit());
        vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.depositBond(address(token), 1);
        vm.stopPrank();
    }

    function _exits() private pure returns (Exit[] memory exits) {
        exits = new Exit[](13);
        exits[0] = Exit("publish", _publishAndClose);
        exits[1] = Exit("close", _publishAndClose);
        exits[2] = Exit("hold", _holdAndResume);
        exits[3] = Exit("resume", _holdAndResume);
        exits[4] = Exit("end", _end);
        exits[5] = Exit("end, by silence", _endBySilence);
        exits[6] = Exit("deliver", _deliverAndSettle);
        exits[7] = Exit("settle", _deliverAndSettle);
        exits[8] = Exit("proveWrongKey", _proveWrongKey);
        exits[9] = Exit("proveUnopenable", _proveUnopenable);
        exits[10] = Exit("proveEmpty", _proveEmpty);
        exits[11] = Exit("withdrawBond", _deliverAndSettle);
        exits[12] = Exit("withdraw", _end);
    }

    function _publishAndClose() private {
        vm.startPrank(owner);
        subscription.close(offerOf(t));
        subscription.publish(stream(), offerOf(t));
        vm.stopPrank();
    }

    function _holdAndResume() private {
        vm.startPrank(buyer);
        subscription.hold(t);
        pass(1201);
        subscription.resume(t);
        vm.stopPrank();
        assertTrue(subscription.stateOf(id).phase == Phase.Active, "active");
    }

    function _end() private {
        vm.prank(buyer);
        subscription.end(t);
        pass(1201);
        vm.prank(stranger);
        subscription.end(t);
        _ends(DEPOSIT, 0, 100_000);
    }

    function _endBySilence() private {
        pass(20_001);
        vm.prank(stranger);
        subscription.end(t);
        _ends(DEPOSIT, 0, 100_000);
    }

    function _deliverAndSettle() private {
        serve(nodeSecret(0));
        pass(1201);
        vm.prank(stranger);
        settleOne();
        vm.prank(owner);
        subscription.end(t);
        _ends(DEPOSIT - 3000, 2850, 100_150);
    }

    function _proveWrongKey() private {
        serve(keccak256("not this one"));
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        subscription.proveWrongKey(t, batch, s, shown(2));
        _ends(DEPOSIT + 7000, 0, 93_000);
    }

    function _proveUnopenable() private {
        serve(nodeSecret(0));
        subscription.proveUnopenable(t, batch, packKey(nodeSecret(0), DEPTH, packs[1]), "", shown(1));
        _ends(DEPOSIT + 7000, 0, 93_000);
    }

    function _proveEmpty() private {
        batch = delivered(deliverer, keysFor(first, nodeSecret(0), bits() | (1 << 20)), shown(3));
        EmptySlot memory c = emptyClaim(first * 64 + 20, 3);
        subscription.proveEmpty(t, batch, c);
        _ends(DEPOSIT + 7000, 0, 93_000);
    }

    function _ends(uint256 toBuyer, uint256 toSeller, uint256 toDeliverer) private {
        assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
        vm.prank(buyer);
        assertEq(subscription.withdraw(address(token)), toBuyer, "buyer");
        if (toSeller != 0) {
            vm.prank(owner);
            assertEq(subscription.withdraw(address(token)), toSeller, "seller");
        }
        vm.prank(deliverer);
        subscription.withdrawBond(address(token), toDeliverer);
        vm.prank(fallbackDeliverer);
        subscription.withdrawBond(address(token), 100_000);
        assertEq(token.balanceOf(address(subscription)), 0, "all of it");
    }
}

/// @dev A device whose owner acts while everything is paused: keys, ownership and an end are its own.
contract RegistryExitsTest is RegistryBase, Exits {
    uint256 private constant NEW_KEY = 0x4E17;

    function setUp() external {
        deployAll();
        enrolDevice();
        policy.publish(keccak256("policy"), keccak256("firmware"), nowMs(), 0);
        ISubscription other = ISubscription(
            create("Subscription", abi.encode(manager, directory, registry, consent, escrow))
        );
        Roles.apply_(manager, Roles.table(), "Subscription", address(other));
        pauseEverything(other);
    }

    function test_whenEverythingIsPaused_everyExitIsOpen() external {
        leaveBy(_exits());
    }

    function test_whenAFunctionIsAdded_itIsAnInflowOrAnExitThatIsTried() external view {
        assertComplete("contracts/identity/DeviceRegistry.sol", _exits(), ",enrol,bindEndorsement,");
    }

    function test_whenEverythingIsPaused_inflowsAreClosed() external {
        enrolAs(enrolment("another", NEW_KEY), NEW_KEY, Pausable.EnforcedPause.selector);
        IDeviceRegistry.Endorsement memory x = IDeviceRegistry.Endorsement(deviceId, "ek", nowMs());
        bytes32 digest = typed("DeviceRegistry", address(registry), keccak256(abi.encode(ENDORSEMENT, x)));
        bytes[] memory signatures = registrars(digest, 2);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        registry.bindEndorsement(x, signatures);
    }

    function _exits() private pure returns (Exit[] memory exits) {
        exits = new Exit[](6);
        exits[0] = Exit("rotateKey", _rotate);
        exits[1] = Exit("transferOwnership", _transfer);
        exits[2] = Exit("reportQuote", _report);
        exits[3] = Exit("revokeKey", _revoke);
        exits[4] = Exit("setStatus", _retire);
        exits[5] = Exit("setStatus, suspended first", _suspendAndRetire);
    }

    function _rotate() private {
        rotate(rotation(deviceId, NEW_KEY, true), NEW_KEY, OWNER_KEY, 0);
        assertEq(registry.currentKeyEpoch(deviceId), 2, "the new key");
    }

    function _transfer() private {
        transfer(transferOf(deviceId, buyer), OWNER_KEY, BUYER_KEY, 0);
        assertEq(registry.ownerOf(deviceId, 2), buyer, "the new owner");
    }

    function _report() private {
        report(quoteOf(deviceId, 1, 1), 0);
        assertTrue(registry.isFresh(deviceId, nowMs()), "fresh");
    }

    function _revoke() private {
        vm.prank(owner);
        registry.revokeKey(deviceId, 1);
        assertEq(registry.keyRevokedAt(deviceId, 1), block.number, "revoked");
    }

    function _retire() private {
        vm.prank(owner);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        assertEq(registry.device(deviceId).status, 4, "retired");
    }

    function _suspendAndRetire() private {
        vm.startPrank(owner);
        registry.setStatus(deviceId, IDeviceRegistry.Status.Suspended);
        assertEq(registry.device(deviceId).status, 2, "suspended");
        registry.setStatus(deviceId, IDeviceRegistry.Status.Retired);
        vm.stopPrank();
        assertEq(registry.device(deviceId).status, 4, "retired");
    }
}
