// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AnchoredPack, Batch, BatchKeys, Phase, SubscriptionState} from "../market/ISubscription.sol";
import {SharedPoint} from "../market/SharedPoint.sol";
import {SubscriptionBase} from "../market/SubscriptionBase.t.sol";
import {SubscriptionMoney, SubscriptionShares, SubscriptionTime} from "./SubscriptionModel.t.sol";

/// @dev Does the same to Subscription and to its models, and compares every sum after each step.
contract SubscriptionModelTest is SubscriptionBase {
    SubscriptionMoney private _money;
    SubscriptionTime private _time;
    SubscriptionShares private _shares;
    Batch[] private _pending;
    bool[] private _lies;

    function setUp() external {
        prepare();
        _money = new SubscriptionMoney();
        _time = new SubscriptionTime();
        _shares = new SubscriptionShares();
        subscribed();
        _money.subscribe(DEPOSIT);
        _money.depositBond(200_000);
    }

    function testFuzz_theModelsFollow(uint8[14] calldata steps, uint32[14] calldata amounts) external {
        for (uint256 i = 0; i < 14; ++i) {
            uint256 step = steps[i] % 8;
            if (step < 3) _deliver(amounts[i] % 4, amounts[i] % 5 == 0);
            else if (step == 3) _settle();
            else if (step == 4) _topUp(amounts[i]);
            else if (step == 5) _withdraw();
            else if (step == 6 && amounts[i] % 3 == 0) _refute();
            else if (step == 7) _stop(amounts[i]);
            _compare();
        }
    }

    function _deliver(uint256 skip, bool lie) private {
        SubscriptionState memory s = subscription.stateOf(id);
        if (s.phase != Phase.Active && s.phase != Phase.Held) return;
        uint32 number = s.next + uint32(skip);
        if (s.phase == Phase.Held && number >= s.limit) return;
        makePacks(number, nodeSecret(0));
        passBatch(number);
        BatchKeys memory k = keysFor(number, lie ? keccak256("a lie") : nodeSecret(0), bits());
        AnchoredPack memory last = shown(3);
        _pending.push(delivered(deliverer, k, last));
        _lies.push(lie);
        _money.deliver(3000, 7000);
        while (_time.over() + first <= number) _time.pass();
        _time.deliver(number - first);
    }

    function _settle() private {
        if (_pending.length == 0) return;
        pass(1201);
        batch = _pending[_pending.length - 1];
        _drop();
        settleOne();
        (uint256 toSeller, uint256 toDeliverer) = _shares.settled(1000, 3, 50, 7000);
        _money.settle(toSeller + toDeliverer, toSeller);
    }

    function _refute() private {
        if (_pending.length == 0 || !_lies[_lies.length - 1]) return;
        batch = _pending[_pending.length - 1];
        // Only the newest packs are at hand.
        if (epoch.number != batch.asOfEpoch) return;
        _drop();
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(batch.number));
        AnchoredPack memory p = shown(1);
        subscription.proveWrongKey(t, batch, s, p);
        assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
        _money.refute(10_000);
    }

    function _topUp(uint32 amount) private {
        if (subscription.stateOf(id).phase > Phase.Held) return;
        vm.prank(buyer);
        subscription.topUp(t, amount, noPermit());
        _money.topUp(amount);
    }

    function _withdraw() private {
        address[2] memory who = [buyer, owner];
        for (uint256 i = 0; i < 2; ++i) {
            uint256 owed = subscription.creditOf(who[i], address(token));
            if (owed == 0) continue;
            vm.prank(who[i]);
            subscription.withdraw(address(token));
            _money.withdraw(owed);
        }
    }

    /// @dev Holds, resumes, or ends with what is over reserved.
    function _stop(uint256 how) private {
        SubscriptionState memory s = subscription.stateOf(id);
        if (s.phase == Phase.Ended) return;
        vm.startPrank(buyer);
        if (s.phase == Phase.Active && how % 3 != 0) {
            subscription.hold(t);
        } else if (s.phase == Phase.Held && how % 3 != 0) {
            pass(1201);
            subscription.resume(t);
            _time.resume(subscription.stateOf(id).next - first);
        } else {
            if (s.phase == Phase.Ending) pass(1201);
            subscription.end(t);
            SubscriptionState memory now_ = subscription.stateOf(id);
            if (now_.phase == Phase.Ended) _money.end();
            else if (s.phase != Phase.Ending) {
                (, uint256 reserve) = _shares.left(s.balance, now_.limit - now_.next, 64_000);
                _money.stop(reserve);
            }
        }
        vm.stopPrank();
    }

    function _compare() private view {
        SubscriptionState memory s = subscription.stateOf(id);
        address held = address(token);
        assertEq(token.balanceOf(address(subscription)), _money.balance(), "balance");
        uint256 credits = subscription.creditOf(buyer, held) + subscription.creditOf(owner, held);
        assertEq(credits, _money.credits(), "credits");
        uint256 bonds = subscription.bondOf(deliverer, held) + subscription.bondOf(fallbackDeliverer, held);
        assertEq(bonds, _money.bonds(), "bonds");
        assertEq(s.balance, _money.deposit(), "deposit");
        assertTrue(s.phase != Phase.Ended || s.balance == 0, "what has ended holds no deposit");
        assertEq(_pending.length * 10_000, _money.pending(), "pending");
        assertEq(s.next - first, _time.next(), "next");
        _money.holds();
        _time.holds();
    }

    function _drop() private {
        _pending.pop();
        _lies.pop();
    }
}
