// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Epoch, Pack, Stream} from "../data/ProtocolTypes.sol";
import {Curve} from "../test/Curve.t.sol";
import {HostileToken} from "../test/HostileToken.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Permit} from "./IMarketplace.sol";
import {
    AnchoredPack,
    Batch,
    BatchKeys,
    EmptySlot,
    ISubscription,
    Phase,
    SubscriptionOffer,
    SubscriptionState,
    SubscriptionTerms
} from "./ISubscription.sol";
import {SharedPoint} from "./SharedPoint.sol";
import {SubscriptionBase} from "./SubscriptionBase.t.sol";

contract SubscriptionTest is SubscriptionBase {
    function setUp() external {
        prepare();
    }

    /* publish, close */

    function test_publish_whenAllHolds_itIsOpenUntilClosed() external {
        SubscriptionOffer memory o = offerOf(t);
        o.licence = keccak256("another");
        bytes32 offerId = subscription.offerIdOf(o);
        assertTrue(!subscription.isOpen(offerId), "not yet");
        vm.expectEmit(address(subscription));
        emit ISubscription.OfferPublished(offerId, o.streamId, owner, stream(), o);
        vm.prank(owner);
        subscription.publish(stream(), o);
        assertTrue(subscription.isOpen(offerId), "open");
        vm.expectRevert(abi.encodeWithSelector(ISubscription.Subscription_NotTheSeller.selector, owner, address(this)));
        subscription.close(o);
        vm.prank(owner);
        subscription.close(o);
        assertTrue(!subscription.isOpen(offerId), "closed");
        vm.prank(owner);
        vm.expectPartialRevert(ISubscription.Subscription_OfferNotOpen.selector);
        subscription.close(o);
    }

    function test_publish_whenNotByTheOwnerOfThatEpoch_itReverts() external {
        SubscriptionOffer memory o = offerOf(t);
        vm.expectPartialRevert(ISubscription.Subscription_NotTheSeller.selector);
        subscription.publish(stream(), o);
        o.seller = stranger;
        _unpublishable(stream(), o, ISubscription.Subscription_NotTheSeller.selector);
    }

    function test_publish_whenTheStreamIsAnotherOrADataSet_itReverts() external {
        SubscriptionOffer memory o = offerOf(t);
        Stream memory s = stream();
        s.salt = 0;
        _unpublishable(s, o, ISubscription.Subscription_WrongStream.selector);
        s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
        (o.streamId, o.slotSeconds) = (hashStream(s), 0);
        _unpublishable(s, o, ISubscription.Subscription_StreamShape.selector);
        s.mode = 0;
        o.streamId = hashStream(s);
        _unpublishable(s, o, ISubscription.Subscription_StreamShape.selector);
        o = offerOf(t);
        o.slotSeconds = 61;
        _unpublishable(stream(), o, ISubscription.Subscription_StreamShape.selector);
    }

    function test_publish_whenTheTermsCantBeKept_itReverts() external {
        SubscriptionOffer memory o = offerOf(t);
        o.depth = 23;
        _unpublishable(stream(), o, ISubscription.Subscription_WrongDepth.selector);
        o.depth = 33;
        _unpublishable(stream(), o, ISubscription.Subscription_WrongDepth.selector);
        o = offerOf(t);
        o.feePerMille = 1001;
        _unpublishable(stream(), o, ISubscription.Subscription_FeePerMille.selector);
        o = offerOf(t);
        o.deliverer = address(0);
        _unpublishable(stream(), o, ISubscription.Subscription_PartyZero.selector);
        o = offerOf(t);
        o.token = stranger;
        _unpublishable(stream(), o, ISubscription.Subscription_TokenNotAllowed.selector);
        o = offerOf(t);
        o.complainSeconds = 0;
        _unpublishable(stream(), o, ISubscription.Subscription_WrongWindows.selector);
        o = offerOf(t);
        o.deliverSeconds = 0;
        _unpublishable(stream(), o, ISubscription.Subscription_WrongWindows.selector);
        o = offerOf(t);
        o.silenceSeconds = uint32(BATCH_SECONDS) + 2 * o.deliverSeconds - 1;
        _unpublishable(stream(), o, ISubscription.Subscription_WrongWindows.selector);
        o.silenceSeconds += 1;
        vm.prank(owner);
        subscription.publish(stream(), o);
    }

    /* subscribe */

    function test_subscribe_whenAllHolds_itDeposits() external {
        vm.expectEmit(address(subscription));
        emit ISubscription.Subscribed(hashTerms(t), buyer, deliverer, t, DEPOSIT);
        vm.prank(buyer);
        id = subscription.subscribe(t, DEPOSIT, noPermit());
        assertEq(id, hashTerms(t), "id");
        assertEq(subscription.subscriptionIdOf(t), id, "view");
        SubscriptionState memory s = subscription.stateOf(id);
        assertEq(s.balance, DEPOSIT, "balance");
        assertEq(s.next, first, "next");
        assertEq(s.at, uint256(first) * BATCH_SECONDS, "silence counts from the first batch");
        assertTrue(s.phase == Phase.Active, "active");
        assertEq(token.balanceOf(address(subscription)), DEPOSIT, "paid");
        assertTrue(subscription.isSolvent(t), "solvent");
        assertEq(subscription.solventUntil(t), (uint256(first) + 15) * BATCH_SECONDS * 1000, "fifteen full batches");
    }

    function test_subscribe_withPermit_itTakesOneTransaction() external {
        vm.prank(buyer);
        token.approve(address(subscription), 0);
        Permit memory p;
        (p.value, p.deadline) = (DEPOSIT, block.timestamp);
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                buyer,
                address(subscription),
                p.value,
                IERC20Permit(address(token)).nonces(buyer),
                p.deadline
            )
        );
        (p.v, p.r, p.s) = vm.sign(BUYER_KEY, typed("M-Sec", address(token), hash));
        // Somebody sends the permit alone before.
        IERC20Permit(address(token)).permit(buyer, address(subscription), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(buyer);
        subscription.subscribe(t, DEPOSIT, p);
    }

    function testFuzz_subscribe_everyTermOfTheOfferIsTheSellers(uint256 field, uint256 bit) external {
        field = bound(field, 0, 13);
        bytes memory data = abi.encodeCall(subscription.subscribe, (t, DEPOSIT, noPermit()));
        // Inside the narrowest field, so that the calldata still decodes.
        data[4 + 32 * field + 31] ^= bytes1(uint8(1 << (bit % 5)));
        vm.prank(buyer);
        (bool ok, bytes memory result) = address(subscription).call(data);
        assertTrue(!ok && bytes4(result) == ISubscription.Subscription_OfferNotOpen.selector, "another offer");
    }

    function test_subscribe_whenTheBuyersPartIsWrong_itReverts() external {
        SubscriptionTerms memory x = t;
        x.buyer = stranger;
        _unsubscribable(x, ISubscription.Subscription_NotTheBuyer.selector);
        x = t;
        x.anchor = stranger;
        _unsubscribable(x, ISubscription.Subscription_UnknownAnchor.selector);
        vm.mockCall(address(directory), abi.encodeCall(directory.addressOf, ("DataAnchor")), abi.encode(address(0)));
        x.anchor = address(0);
        _unsubscribable(x, ISubscription.Subscription_UnknownAnchor.selector);
        vm.mockCall(address(directory), abi.encodeCall(directory.addressOf, ("DataAnchor")), abi.encode(anchor));
        x = t;
        x.keyX = Curve.P - 1;
        _unsubscribable(x, ISubscription.Subscription_NotAPoint.selector);
        x = t;
        x.keyV = 29;
        _unsubscribable(x, ISubscription.Subscription_NotAPoint.selector);
        x = t;
        x.purpose = keccak256("advertising");
        _unsubscribable(x, ISubscription.Subscription_NotAuthorised.selector);
        x = t;
        x.erasures = 1;
        _unsubscribable(x, ISubscription.Subscription_WrongErasures.selector);
    }

    function test_subscribe_whenTheFirstBatchHasBegunOrIsFarAway_itReverts() external {
        SubscriptionTerms memory x = t;
        x.fromBatch = first - 1;
        _unsubscribable(x, ISubscription.Subscription_WrongStart.selector);
        x.fromBatch = first + 6;
        _unsubscribable(x, ISubscription.Subscription_WrongStart.selector);
        x.fromBatch = type(uint32).max;
        _unsubscribable(x, ISubscription.Subscription_WrongStart.selector);
    }

    function test_subscribe_whenTheTokenIsNotAllowedAnyMore_itReverts() external {
        escrow.setToken(address(token), false);
        _unsubscribable(t, ISubscription.Subscription_TokenNotAllowed.selector);
        vm.prank(deliverer);
        vm.expectPartialRevert(ISubscription.Subscription_TokenNotAllowed.selector);
        subscription.depositBond(address(token), 1);
    }

    function test_topUp_whenTheTokenIsNotAllowedAnyMore_itReverts_andExitsGoOn() external {
        subscribed();
        escrow.setToken(address(token), false);
        vm.startPrank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_TokenNotAllowed.selector);
        subscription.topUp(t, 1, noPermit());
        subscription.end(t);
        assertEq(subscription.withdraw(address(token)), DEPOSIT, "all of it");
        vm.stopPrank();
    }

    function test_subscribe_whenKnown_itReverts_alsoOnceEnded() external {
        subscribed();
        _unsubscribable(t, ISubscription.Subscription_Known.selector);
        vm.prank(buyer);
        subscription.end(t);
        _unsubscribable(t, ISubscription.Subscription_Known.selector);
    }

    /* topUp */

    function test_topUp_byAnyone_addsToTheBalance() external {
        subscribed();
        give(stranger, 500);
        vm.prank(stranger);
        subscription.topUp(t, 500, noPermit());
        assertEq(subscription.stateOf(id).balance, DEPOSIT + 500, "balance");
        assertEq(token.balanceOf(stranger), 0, "theirs");
    }

    function test_topUp_whenUnknownEndingOrEnded_itReverts() external {
        vm.startPrank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.topUp(t, 1, noPermit());
        vm.stopPrank();
        subscribed();
        passBatch(first);
        vm.startPrank(buyer);
        subscription.end(t);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.topUp(t, 1, noPermit());
        pass(1201);
        subscription.end(t);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.topUp(t, 1, noPermit());
        vm.stopPrank();
    }

    /* deliver */

    function test_deliver_whenAllHolds_itTakesThePriceOfTheSlotsWithData() external {
        subscribed();
        passBatch(first);
        BatchKeys memory k = keysFor(first, nodeSecret(0), bits());
        Batch memory expected = Batch(
            first,
            deliverer,
            nowMs(),
            uint64(block.number),
            epoch.number,
            k.slots,
            k.Ex,
            k.vE,
            k.masked
        );
        vm.expectEmit(address(subscription));
        emit ISubscription.BatchDelivered(id, first, deliverer, expected);
        delivered(deliverer, k, shown(3));
        SubscriptionState memory s = subscription.stateOf(id);
        assertEq(s.balance, DEPOSIT - 3000, "three slots");
        assertEq(s.next, first + 1, "next");
        assertEq(s.at, block.timestamp, "a sign of life");
        assertEq(subscription.bondOf(deliverer, address(token)), 100_000 - 7000, "bond");
        assertEq(subscription.batchWord(id, first), keccak256(abi.encode(expected)), "word");
    }

    function test_deliver_whenTheBatchIsNotOver_itReverts() external {
        subscribed();
        passBatch(first);
        vm.warp(block.timestamp - 1);
        _undeliverable(deliverer, first, bits(), 3, ISubscription.Subscription_BatchNotOver.selector);
        vm.warp(block.timestamp + 1);
        delivered(deliverer, keysFor(first, 0, bits()), shown(3));
    }

    function test_deliver_whenTwiceOrOneBefore_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        _undeliverable(deliverer, first, bits(), 3, ISubscription.Subscription_BatchPast.selector);
        _undeliverable(deliverer, first - 1, bits(), 3, ISubscription.Subscription_BatchPast.selector);
    }

    function test_deliver_byTheFallback_onlyOnceTheDeliverersTimeIsOver() external {
        subscribed();
        passBatch(first);
        pass(599);
        _undeliverable(fallbackDeliverer, first, bits(), 3, ISubscription.Subscription_NotYourTurn.selector);
        pass(1);
        delivered(fallbackDeliverer, keysFor(first, 0, bits()), shown(3));
        assertEq(subscription.bondOf(fallbackDeliverer, address(token)), 93_000, "its own bond");
        passBatch(first + 1);
        pass(700);
        _undeliverable(stranger, first + 1, 1 << 3, 4, ISubscription.Subscription_NotYourTurn.selector);
        _undeliverable(buyer, first + 1, 1 << 3, 4, ISubscription.Subscription_NotYourTurn.selector);
    }

    function test_deliver_whenTheLastSlotIsNotShown_itReverts() external {
        subscribed();
        passBatch(first + 1);
        _undeliverable(deliverer, first, bits(), 2, ISubscription.Subscription_WrongSlots.selector);
        _undeliverable(deliverer, first, bits() | (1 << 41), 3, ISubscription.Subscription_WrongSlots.selector);
        _undeliverable(deliverer, first, 0, 3, ISubscription.Subscription_WrongSlots.selector);
        _undeliverable(deliverer, first, bits(), 4, ISubscription.Subscription_PackOfOtherSlot.selector);
        _undeliverable(deliverer, first, type(uint256).max, 3, ISubscription.Subscription_WrongSlots.selector);
        BatchKeys memory k = keysFor(first, 0, bits());
        AnchoredPack memory x = shown(3);
        x.pack.slot = first * 64 + 63;
        k.slots = uint256(1) << 63;
        vm.prank(deliverer);
        vm.expectPartialRevert(ISubscription.Subscription_PackNotAnchored.selector);
        subscription.deliver(t, k, x);
        k.slots = bits();
        x = shown(3);
        x.epoch.number += 1;
        vm.prank(deliverer);
        vm.expectPartialRevert(ISubscription.Subscription_PackNotAnchored.selector);
        subscription.deliver(t, k, x);
        x = shown(3);
        x.pack.streamId = keccak256("another");
        vm.prank(deliverer);
        vm.expectPartialRevert(ISubscription.Subscription_PackOfOtherStream.selector);
        subscription.deliver(t, k, x);
    }

    function test_deliver_whenEIsNoPoint_itReverts() external {
        subscribed();
        passBatch(first);
        BatchKeys memory k = keysFor(first, 0, bits());
        k.Ex = 0;
        vm.startPrank(deliverer);
        vm.expectPartialRevert(ISubscription.Subscription_NotAPoint.selector);
        subscription.deliver(t, k, shown(3));
        k = keysFor(first, 0, bits());
        k.vE = 29;
        vm.expectPartialRevert(ISubscription.Subscription_NotAPoint.selector);
        subscription.deliver(t, k, shown(3));
        vm.stopPrank();
    }

    function test_deliver_whenBalanceOrBondDoesNotReach_itReverts() external {
        vm.prank(buyer);
        id = subscription.subscribe(t, 2999, noPermit());
        passBatch(first);
        _undeliverable(deliverer, first, bits(), 3, ISubscription.Subscription_BalanceTooSmall.selector);
        vm.prank(buyer);
        subscription.topUp(t, 1, noPermit());
        _undeliverable(deliverer, first, bits(), 3, ISubscription.Subscription_BondTooSmall.selector);
        vm.prank(deliverer);
        subscription.depositBond(address(token), 7000);
        assertTrue(!subscription.isSolvent(t), "not for a full batch");
        delivered(deliverer, keysFor(first, 0, bits()), shown(3));
        assertEq(subscription.stateOf(id).balance, 0, "all");
    }

    function test_deliver_whenConsentIsGoneOrATombstoneCame_itEndsWithRefund() external {
        subscribed();
        passBatch(first);
        vm.prank(owner);
        consent.revokeAll(stream());
        BatchKeys memory k = keysFor(first, nodeSecret(0), bits());
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.ConsentGone, DEPOSIT);
        vm.prank(deliverer);
        subscription.deliver(t, k, shown(3));
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT, "all of it");
        assertEq(subscription.bondOf(deliverer, address(token)), 100_000, "nobody's fault");
        assertEq(subscription.batchWord(id, first), 0, "nothing delivered");
    }

    function test_end_whenATombstoneCame_anyoneMay() external {
        subscribed();
        vm.prank(stranger);
        vm.expectPartialRevert(ISubscription.Subscription_NotYours.selector);
        subscription.end(t);
        vm.prank(owner);
        consent.requestErasure(stream(), 0, 1);
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.Erased, DEPOSIT);
        vm.prank(stranger);
        subscription.end(t);
    }

    /* settle */

    function test_settle_whenTheWindowIsOver_itPaysSellerAndDeliverer() external {
        subscribed();
        serve(nodeSecret(0));
        pass(1200);
        Batch[] memory list = new Batch[](1);
        list[0] = batch;
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.settle(t, list);
        pass(1);
        subscription.settle(t, list);
        assertEq(subscription.creditOf(owner, address(token)), 2850, "seller");
        assertEq(subscription.bondOf(deliverer, address(token)), 100_150, "bond and fee");
        assertEq(subscription.batchWord(id, first), 0, "once");
        vm.expectPartialRevert(ISubscription.Subscription_WrongBatch.selector);
        subscription.settle(t, list);
    }

    function test_settle_whenTheChainStoodStill_theWindowStaysOpen() external {
        subscribed();
        serve(nodeSecret(0));
        vm.warp(block.timestamp + 100_000);
        vm.roll(block.number + 59);
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        settleOne();
        vm.roll(block.number + 1);
        settleOne();
    }

    function testFuzz_settle_whenAnyBitOfTheBatchIsAnother_itReverts(uint256 word, uint256 bit) external {
        subscribed();
        serve(nodeSecret(0));
        pass(1201);
        Batch[] memory list = new Batch[](1);
        list[0] = batch;
        bytes memory data = abi.encodeCall(subscription.settle, (t, list));
        uint256 at_ = data.length - 32 * 9 + 32 * bound(word, 0, 8) + 31 - (bit % 32) / 8;
        data[at_] ^= bytes1(uint8(1 << (bit % 8)));
        (bool ok, ) = address(subscription).call(data);
        assertTrue(!ok, "refused");
    }

    function test_settle_whenOfAnotherSubscription_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        pass(1201);
        t.nonce = keccak256("another");
        vm.expectPartialRevert(ISubscription.Subscription_WrongBatch.selector);
        settleOne();
    }

    /* hold, resume, end: nobody gets a key and keeps the money */

    function test_hold_whatWasOverStaysDeliverable_whatWasNotIsNot() external {
        subscribed();
        passBatch(first);
        vm.prank(buyer);
        subscription.hold(t);
        serve(nodeSecret(0));
        assertEq(subscription.stateOf(id).balance, DEPOSIT - 3000, "paid");
        passBatch(first + 1);
        _undeliverable(deliverer, first + 1, 1 << 3, 4, ISubscription.Subscription_BatchOfPause.selector);
    }

    function test_hold_isTheBuyersAlone_once() external {
        subscribed();
        vm.prank(owner);
        vm.expectPartialRevert(ISubscription.Subscription_NotTheBuyer.selector);
        subscription.hold(t);
        vm.startPrank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.resume(t);
        subscription.hold(t);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.hold(t);
        vm.stopPrank();
        assertTrue(!subscription.isSolvent(t), "no right to the next batch");
        vm.prank(owner);
        vm.expectPartialRevert(ISubscription.Subscription_NotTheBuyer.selector);
        subscription.resume(t);
    }

    function test_resume_whatBeganInThePauseIsNeverPaid() external {
        subscribed();
        vm.startPrank(buyer);
        subscription.hold(t);
        passBatch(first);
        pass(60);
        subscription.resume(t);
        vm.stopPrank();
        SubscriptionState memory s = subscription.stateOf(id);
        assertEq(s.next, first + 2, "the first batch that begins from now on");
        assertEq(s.at, block.timestamp, "silence counts anew");
        _undeliverable(deliverer, first, bits(), 3, ISubscription.Subscription_BatchPast.selector);
        passBatch(first + 1);
        _undeliverable(deliverer, first + 1, 1 << 3, 4, ISubscription.Subscription_BatchPast.selector);
    }

    function test_resume_whileADeliveryMayBeOnItsWay_itReverts() external {
        subscribed();
        passBatch(first);
        vm.startPrank(buyer);
        subscription.hold(t);
        pass(1200);
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.resume(t);
        pass(1);
        subscription.resume(t);
        vm.stopPrank();
    }

    function test_resume_onceAllThatWasOverIsDelivered_itNeedsNoTime() external {
        subscribed();
        passBatch(first);
        vm.prank(buyer);
        subscription.hold(t);
        serve(nodeSecret(0));
        pass(1);
        vm.prank(buyer);
        subscription.resume(t);
        assertEq(subscription.stateOf(id).next, first + 2, "next");
    }

    function test_end_whenNothingIsOver_itRefundsAtOnce() external {
        subscribed();
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.ByParty, DEPOSIT);
        vm.prank(buyer);
        subscription.end(t);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT, "credit");
        vm.prank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.end(t);
    }

    function test_end_whenABatchIsOver_itsPriceIsReservedUntilItCameOrTimeIsUp() external {
        subscribed();
        passBatch(first);
        vm.expectEmit(address(subscription));
        emit ISubscription.Ending(id, buyer, first + 1, DEPOSIT - 64_000);
        vm.prank(buyer);
        subscription.end(t);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT - 64_000, "at once");
        // The delivery that the buyer saw coming still counts.
        serve(nodeSecret(0));
        assertEq(subscription.stateOf(id).balance, 61_000, "paid from what was reserved");
        vm.prank(stranger);
        subscription.end(t);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT - 3000, "the rest");
        pass(1201);
        settleOne();
        assertEq(subscription.creditOf(owner, address(token)), 2850, "settled after the end");
    }

    function test_end_whenTheReservedIsNotDelivered_anyoneEndsItAfterTheTime() external {
        subscribed();
        passBatch(first);
        vm.prank(owner);
        subscription.end(t);
        pass(1200);
        vm.prank(stranger);
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.end(t);
        vm.prank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.end(t);
        pass(1);
        vm.prank(stranger);
        subscription.end(t);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT, "all of it");
    }

    function test_end_whenHeld_theTimeOfThePauseCounts() external {
        subscribed();
        passBatch(first);
        vm.startPrank(buyer);
        subscription.hold(t);
        pass(600);
        subscription.end(t);
        assertTrue(subscription.stateOf(id).phase == Phase.Ending, "reserved");
        pass(601);
        subscription.end(t);
        vm.stopPrank();
        assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
    }

    function test_end_afterSilence_anyoneMay() external {
        subscribed();
        serve(nodeSecret(0));
        pass(20_000);
        vm.prank(stranger);
        vm.expectPartialRevert(ISubscription.Subscription_NotYours.selector);
        subscription.end(t);
        pass(1);
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.Silence, DEPOSIT - 3000);
        vm.prank(stranger);
        subscription.end(t);
    }

    function test_end_whenHeldForEver_anyoneMayAfterSilence() external {
        subscribed();
        vm.prank(buyer);
        subscription.hold(t);
        pass(20_001);
        vm.prank(stranger);
        subscription.end(t);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT, "the buyer's");
    }

    /* proofs */

    function test_proveWrongKey_whenTheKeyIsWrong_batchAndBondAndRestAreTheBuyers() external {
        subscribed();
        serve(keccak256("not this one"));
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        vm.expectEmit(address(subscription));
        emit ISubscription.BatchRefunded(id, first, stranger, 10_000);
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.WrongKey, DEPOSIT - 3000);
        vm.prank(stranger);
        subscription.proveWrongKey(t, batch, s, shown(1));
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT + 7000, "price, bond, rest");
        pass(1201);
        vm.expectPartialRevert(ISubscription.Subscription_WrongBatch.selector);
        settleOne();
    }

    function test_proveWrongKey_whenItHasEndedByAnother_eachBatchIsRefunded() external {
        subscribed();
        serve(keccak256("not this one"));
        Batch memory one = batch;
        AnchoredPack memory ofOne = shown(1);
        makePacks(first + 1, keccak256("its node"));
        passBatch(first + 1);
        Batch memory two = delivered(deliverer, keysFor(first + 1, "nor this", bits()), shown(3));
        AnchoredPack memory ofTwo = shown(1);
        subscription.proveWrongKey(t, one, sharedPoint(B_KEY, E_KEY, batchId(first)), ofOne);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT - 3000 + 7000, "ended; the other is held");
        subscription.proveWrongKey(t, two, sharedPoint(B_KEY, E_KEY, batchId(first + 1)), ofTwo);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT + 14_000, "all prices, both bonds");
    }

    function test_proveWrongKey_whenTheKeyIsRight_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        for (uint256 i = 1; i < 4; ++i) {
            vm.expectPartialRevert(ISubscription.Subscription_KeyIsRight.selector);
            subscription.proveWrongKey(t, batch, s, shown(i));
        }
    }

    function testFuzz_proveWrongKey_whenTheSharedPointIsAnother_itReverts(
        uint256 key,
        uint256 field,
        uint256 x
    ) external {
        subscribed();
        serve(nodeSecret(0));
        key = bound(key, 1, N - 1);
        if (key == B_KEY) return;
        SharedPoint memory s = sharedPoint(key, E_KEY, batchId(first));
        vm.expectPartialRevert(ISubscription.Subscription_WrongSharedPoint.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
        // The right proof with one number changed.
        s = sharedPoint(B_KEY, E_KEY, batchId(first));
        bytes32 before = keccak256(abi.encode(s));
        _change(s, field % 9, x);
        if (before == keccak256(abi.encode(s))) return;
        vm.expectPartialRevert(ISubscription.Subscription_WrongSharedPoint.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
    }

    function test_proveWrongKey_whenTheProofIsOfAnotherBatchOrE_itReverts() external {
        subscribed();
        serve(keccak256("not this one"));
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first + 1));
        vm.expectPartialRevert(ISubscription.Subscription_WrongSharedPoint.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
        s = sharedPoint(B_KEY, E_KEY + 1, batchId(first));
        vm.expectPartialRevert(ISubscription.Subscription_WrongSharedPoint.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
    }

    /// @dev A forger who knows no b makes the second half for a point of its own: the first half gives it away.
    function test_proveWrongKey_whenOnlyOneHalfHolds_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        SharedPoint memory s = sharedPoint(B_KEY + 1, E_KEY, batchId(first));
        SharedPoint memory right = sharedPoint(B_KEY, E_KEY, batchId(first));
        (s.c, s.z, s.Px, s.Py) = (right.c, right.z, right.Px, right.Py);
        vm.expectPartialRevert(ISubscription.Subscription_WrongSharedPoint.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
    }

    function test_proveWrongKey_whenThePackIsNotTheBatchs_itReverts() external {
        subscribed();
        serve(keccak256("not this one"));
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        vm.expectPartialRevert(ISubscription.Subscription_PackOfOtherSlot.selector);
        subscription.proveWrongKey(t, batch, s, shown(0));
        vm.expectPartialRevert(ISubscription.Subscription_PackOfOtherSlot.selector);
        subscription.proveWrongKey(t, batch, s, shown(4));
        AnchoredPack memory x = shown(1);
        x.pack.streamId = keccak256("another");
        vm.expectPartialRevert(ISubscription.Subscription_PackOfOtherStream.selector);
        subscription.proveWrongKey(t, batch, s, x);
        x = shown(1);
        x.pack.keyCommitment = 0;
        vm.expectPartialRevert(ISubscription.Subscription_PackNotAnchored.selector);
        subscription.proveWrongKey(t, batch, s, x);
    }

    /// @dev A device and a buyer who collude anchor a pack of another key into a batch that was delivered.
    function test_proveWrongKey_whenThePackIsAnchoredAfterTheDelivery_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        Pack memory p = pack(keccak256("trap"), DEPTH, first * 64 + 41);
        Epoch memory later = anchorNext(hashPack(p), 1);
        AnchoredPack memory x = AnchoredPack(p, new bytes32[](0), later);
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        vm.expectPartialRevert(ISubscription.Subscription_EpochTooLate.selector);
        subscription.proveWrongKey(t, batch, s, x);
        vm.expectPartialRevert(ISubscription.Subscription_EpochTooLate.selector);
        subscription.proveUnopenable(t, batch, 0, "", x);
    }

    function test_proveWrongKey_whenSettledOrProved_itReverts() external {
        subscribed();
        serve(keccak256("not this one"));
        pass(1201);
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        settleOne();
        vm.expectPartialRevert(ISubscription.Subscription_WrongBatch.selector);
        subscription.proveWrongKey(t, batch, s, shown(1));
    }

    function test_proveEmpty_whenASlotIsEmpty_itRefundsAndEnds() external {
        subscribed();
        passBatch(first);
        batch = delivered(deliverer, keysFor(first, nodeSecret(0), bits() | (1 << 20)), shown(3));
        EmptySlot memory c = emptyClaim(first * 64 + 20, 3);
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.EmptySlot, DEPOSIT - 4000);
        vm.prank(stranger);
        subscription.proveEmpty(t, batch, c);
        assertEq(subscription.creditOf(buyer, address(token)), DEPOSIT + 7000, "price, bond, rest");
    }

    function test_proveEmpty_whenTheLineBeginsAfterTheSlot_itIsEmpty() external {
        // A stream whose first pack lies in slot 5 of the batch.
        Pack memory p = pack(nodeSecret(0), DEPTH, first * 64 + 5);
        bytes memory header = headerOf(p, 0);
        (p.headerDigest, , ) = anchor.verifyHeader(header, spki(DEVICE_KEY), "");
        subscribed();
        passBatch(first);
        Epoch memory e = anchorNext(hashPack(p), 1);
        AnchoredPack memory only = AnchoredPack(p, new bytes32[](0), e);
        batch = delivered(deliverer, keysFor(first, nodeSecret(0), (1 << 5) | 1), only);
        EmptySlot memory c;
        (c.slot, c.next, c.header, c.spki) = (first * 64, only, header, spki(DEVICE_KEY));
        subscription.proveEmpty(t, batch, c);
        assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
    }

    function test_proveEmpty_whenTheSlotHoldsDataOrIsNotPaid_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        // Slots with data, by the pairs on either side.
        for (uint256 next = 1; next < 5; ++next) {
            for (uint256 i = 1; i < 4; ++i) {
                EmptySlot memory c = emptyClaim(packs[i].slot, next);
                vm.expectPartialRevert(ISubscription.Subscription_SlotNotBetween.selector);
                subscription.proveEmpty(t, batch, c);
            }
        }
        EmptySlot memory empty = emptyClaim(first * 64 + 20, 3);
        vm.expectPartialRevert(ISubscription.Subscription_SlotNotPaid.selector);
        subscription.proveEmpty(t, batch, empty);
        empty = emptyClaim(first * 64 + 66, 4);
        vm.expectPartialRevert(ISubscription.Subscription_SlotNotPaid.selector);
        subscription.proveEmpty(t, batch, empty);
    }

    /// @dev Over a slot with data: a pair that is not one after the other.
    function test_proveEmpty_whenThePairIsNotInLine_itReverts() external {
        subscribed();
        serve(nodeSecret(0));
        EmptySlot memory c = emptyClaim(packs[2].slot, 3);
        c.previous = shown(1);
        vm.expectPartialRevert(ISubscription.Subscription_NotInLine.selector);
        subscription.proveEmpty(t, batch, c);
        c.header = headers[2];
        vm.expectPartialRevert(ISubscription.Subscription_WrongHeader.selector);
        subscription.proveEmpty(t, batch, c);
        c = emptyClaim(packs[2].slot, 3);
        c.spki = spki(DEVICE_KEY + 1);
        vm.expectPartialRevert(ISubscription.Subscription_WrongHeader.selector);
        subscription.proveEmpty(t, batch, c);
        c = emptyClaim(packs[2].slot, 3);
        c.previous.pack.slot = first * 64;
        vm.expectPartialRevert(ISubscription.Subscription_PackNotAnchored.selector);
        subscription.proveEmpty(t, batch, c);
        c = emptyClaim(packs[1].slot, 3);
        c.next.pack.slot += 1;
        vm.expectPartialRevert(ISubscription.Subscription_PackNotAnchored.selector);
        subscription.proveEmpty(t, batch, c);
    }

    function test_proveUnopenable_whenAPackDoesNotOpen_itRefundsAndEnds() external {
        (bytes memory content, bytes32 key) = _withContent(1, true);
        subscribed();
        serve(nodeSecret(0));
        vm.expectEmit(address(subscription));
        emit ISubscription.Ended(id, ISubscription.End.Unopenable, DEPOSIT - 3000);
        subscription.proveUnopenable(t, batch, key, content, shown(1));
    }

    function test_proveUnopenable_whenItOpensOrIsAnother_itReverts() external {
        (bytes memory content, bytes32 key) = _withContent(1, false);
        subscribed();
        serve(nodeSecret(0));
        vm.expectPartialRevert(ISubscription.Subscription_PackOpens.selector);
        subscription.proveUnopenable(t, batch, key, content, shown(1));
        vm.expectPartialRevert(ISubscription.Subscription_WrongPackKey.selector);
        subscription.proveUnopenable(t, batch, keccak256("another"), content, shown(1));
        content[0] ^= 0x01;
        vm.expectPartialRevert(ISubscription.Subscription_WrongContent.selector);
        subscription.proveUnopenable(t, batch, key, content, shown(1));
        vm.expectPartialRevert(ISubscription.Subscription_PackOfOtherSlot.selector);
        subscription.proveUnopenable(t, batch, key, content, shown(4));
    }

    /* balances, pause */

    function test_whenPaused_inflowsStopAndEveryExitIsOpen() external {
        subscribed();
        serve(nodeSecret(0));
        subscription.pause();
        _unsubscribable(t, Pausable.EnforcedPause.selector);
        vm.startPrank(buyer);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.topUp(t, 1, noPermit());
        vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.depositBond(address(token), 1);
        subscription.hold(t);
        subscription.resume(t);
        subscription.end(t);
        vm.stopPrank();
        pass(1201);
        settleOne();
        vm.prank(deliverer);
        subscription.withdrawBond(address(token), 100_150);
        vm.prank(owner);
        subscription.withdraw(address(token));
        vm.prank(buyer);
        subscription.withdraw(address(token));
        assertEq(token.balanceOf(address(subscription)), 100_000, "the fallback's bond alone is left");
        subscription.unpause();
    }

    function test_whenPaused_aWrongKeyIsStillProved() external {
        subscribed();
        serve(keccak256("not this one"));
        subscription.pause();
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        subscription.proveWrongKey(t, batch, s, shown(1));
    }

    function test_withdraw_whenNothingIsThere_itReverts() external {
        subscribed();
        vm.prank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_NothingToWithdraw.selector);
        subscription.withdraw(address(token));
        vm.prank(buyer);
        vm.expectPartialRevert(ISubscription.Subscription_BondTooSmall.selector);
        subscription.withdrawBond(address(token), 1);
    }

    function test_solventUntil_whenSlotsCostNothing_itIsForEver() external {
        t.slotPrice = 0;
        vm.prank(owner);
        subscription.publish(stream(), offerOf(t));
        vm.prank(buyer);
        id = subscription.subscribe(t, 0, noPermit());
        assertEq(subscription.solventUntil(t), type(uint256).max, "ever");
        assertTrue(subscription.isSolvent(t), "solvent");
    }

    /* hostile tokens */

    function test_hostileToken_costsOnlyThoseWhoUseIt() external {
        subscribed();
        uint256 held = token.balanceOf(address(subscription));
        HostileToken odd = _withHostileToken();
        odd.behave(HostileToken.Habit.TakesAFee);
        _unsubscribable(t, ISubscription.Subscription_NotReceived.selector);
        odd.mint(address(subscription), 1);
        odd.behave(HostileToken.Habit.Shrinks);
        _unsubscribable(t, ISubscription.Subscription_NotReceived.selector);
        odd.behave(HostileToken.Habit.ReturnsFalse);
        vm.prank(buyer);
        vm.expectRevert();
        subscription.subscribe(t, DEPOSIT, noPermit());
        odd.behave(HostileToken.Habit.Reverts);
        vm.prank(buyer);
        vm.expectRevert();
        subscription.subscribe(t, DEPOSIT, noPermit());
        odd.behave(HostileToken.Habit.ReturnsNothing);
        vm.startPrank(buyer);
        subscription.subscribe(t, DEPOSIT, noPermit());
        subscription.topUp(t, 5, noPermit());
        subscription.end(t);
        odd.behave(HostileToken.Habit.Reverts);
        vm.expectRevert();
        subscription.withdraw(address(odd));
        odd.behave(HostileToken.Habit.Plain);
        assertEq(subscription.withdraw(address(odd)), DEPOSIT + 5, "still owed");
        vm.stopPrank();
        assertEq(token.balanceOf(address(subscription)), held, "the other token's money");
    }

    function test_hostileToken_whenItCallsBack_noWayLeadsIn() external {
        HostileToken odd = _withHostileToken();
        bytes32 refusal = keccak256(abi.encodeWithSelector(ReentrancyGuard.ReentrancyGuardReentrantCall.selector));
        bytes[5] memory calls = [
            abi.encodeCall(subscription.subscribe, (t, 1, noPermit())),
            abi.encodeCall(subscription.topUp, (t, 1, noPermit())),
            abi.encodeCall(subscription.depositBond, (address(odd), 1)),
            abi.encodeCall(subscription.withdrawBond, (address(odd), 0)),
            abi.encodeCall(subscription.withdraw, (address(odd)))
        ];
        for (uint256 i = 0; i < 5; ++i) {
            odd.callBack(address(subscription), calls[i]);
            t.nonce = bytes32(i);
            vm.startPrank(buyer);
            subscription.subscribe(t, DEPOSIT, noPermit());
            assertEq(keccak256(odd.answer()), refusal, "inside subscribe");
            subscription.topUp(t, 5, noPermit());
            assertEq(keccak256(odd.answer()), refusal, "inside topUp");
            subscription.depositBond(address(odd), 10);
            assertEq(keccak256(odd.answer()), refusal, "inside depositBond");
            subscription.withdrawBond(address(odd), 10);
            assertEq(keccak256(odd.answer()), refusal, "inside withdrawBond");
            subscription.end(t);
            subscription.withdraw(address(odd));
            assertEq(keccak256(odd.answer()), refusal, "inside withdraw");
            vm.stopPrank();
            assertEq(odd.balanceOf(address(subscription)), 0, "all is out");
        }
    }

    /// @dev Ending from inside the deposit pays back at most what came in.
    function test_hostileToken_whenItEndsFromInsideTheDeposit_nothingIsLost() external {
        HostileToken odd = _withHostileToken();
        t.buyer = address(odd);
        odd.mint(address(odd), DEPOSIT);
        vm.prank(address(odd));
        odd.approve(address(subscription), DEPOSIT);
        odd.callBack(address(subscription), abi.encodeCall(subscription.end, (t)));
        vm.prank(address(odd));
        id = subscription.subscribe(t, DEPOSIT, noPermit());
        assertEq(odd.answer().length, 0, "it ended");
        assertEq(subscription.creditOf(address(odd), address(odd)), DEPOSIT, "credit");
        assertEq(odd.balanceOf(address(subscription)), DEPOSIT, "is covered");
    }

    /* types */

    function testFuzz_types_areEip712(SubscriptionTerms calldata x) external view {
        assertEq(subscription.subscriptionIdOf(x), vm.eip712HashStruct(TERMS, abi.encode(x)), "terms");
        SubscriptionOffer memory o = offerOf(x);
        assertEq(subscription.offerIdOf(o), vm.eip712HashStruct(OFFER, abi.encode(o)), "offer");
    }

    string private constant FIELDS =
        "bytes32 streamId,address seller,address deliverer,address fallbackDeliverer,address token,uint128 slotPrice,uint16 feePerMille,uint128 bond,uint8 depth,uint32 slotSeconds,uint32 deliverSeconds,uint32 complainSeconds,uint32 silenceSeconds,bytes32 licence";
    string private constant OFFER = string.concat("SubscriptionOffer(", FIELDS, ")");
    string private constant TERMS = string.concat(
        "SubscriptionTerms(",
        FIELDS,
        ",address anchor,address buyer,uint256 keyX,uint8 keyV,uint32 fromBatch,bytes32 purpose,uint64 erasures,bytes32 nonce)"
    );

    /* private */

    function _unpublishable(Stream memory s, SubscriptionOffer memory o, bytes4 reason) private {
        vm.prank(owner);
        vm.expectPartialRevert(reason);
        subscription.publish(s, o);
    }

    function _unsubscribable(SubscriptionTerms memory x, bytes4 reason) private {
        vm.prank(buyer);
        vm.expectPartialRevert(reason);
        subscription.subscribe(x, DEPOSIT, noPermit());
    }

    function _undeliverable(address by, uint32 number, uint256 slots, uint256 last, bytes4 reason) private {
        BatchKeys memory k = keysFor(number, nodeSecret(0), slots);
        AnchoredPack memory x = shown(last);
        vm.prank(by);
        vm.expectPartialRevert(reason);
        subscription.deliver(t, k, x);
    }

    /// @dev Gives pack i a sealed content, with a tag of another message where it is broken, and anchors all again.
    function _withContent(uint256 i, bool broken) private returns (bytes memory content, bytes32 key) {
        Pack memory p = packs[i];
        key = packKey(nodeSecret(0), DEPTH, p);
        content = contentOf(p, key, 100);
        if (broken) content[50] ^= 0x01;
        packs[i].contentDigest = sha256(content);
        for (uint256 j = 0; j < packs.length; ++j) leaves[j] = hashPack(packs[j]);
        epoch = anchorNext(Merkle.root(leaves), 5);
    }

    function _withHostileToken() private returns (HostileToken odd) {
        odd = new HostileToken();
        escrow.setToken(address(odd), true);
        t.token = address(odd);
        vm.prank(owner);
        subscription.publish(stream(), offerOf(t));
        odd.mint(buyer, 1e12);
        vm.prank(buyer);
        odd.approve(address(subscription), type(uint256).max);
    }

    function _change(SharedPoint memory s, uint256 field, uint256 x) private pure {
        if (field == 0) s.x = x;
        else if (field == 1) s.v = uint8(x);
        else if (field == 2) s.c = x;
        else if (field == 3) s.z = x;
        else if (field == 4) s.Px = x;
        else if (field == 5) s.Py = x;
        else if (field == 6) s.Qx = x;
        else if (field == 7) s.Qy = x;
        else s.inverse = x;
    }
}
