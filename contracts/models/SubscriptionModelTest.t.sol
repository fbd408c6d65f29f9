// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AnchoredPack, Batch, BatchKeys, ISubscription, Phase, SubscriptionState} from "../market/ISubscription.sol";
import {SharedPoint} from "../market/SharedPoint.sol";
import {SubscriptionBase} from "../market/SubscriptionBase.t.sol";
import {SubscriptionMoney, SubscriptionShares, SubscriptionTime} from "./SubscriptionModel.t.sol";

/// @dev Does the same to Subscription and to its models, under any terms, and compares every sum after each step.
contract SubscriptionModelTest is SubscriptionBase {
    uint256 private constant BONDS = 100_000;

    SubscriptionMoney private _money;
    SubscriptionTime private _time;
    SubscriptionShares private _shares;
    Batch[] private _pending;
    bool[] private _lies;
    /// @dev Of all that was delivered and neither settled nor refuted.
    uint256 private _owed;
    /// @dev Bits of the phases compared, and above them of the phases that a batch was delivered, settled and refuted in.
    uint256 private _seen;

    function setUp() external {
        prepare();
        _money = new SubscriptionMoney();
        _time = new SubscriptionTime();
        _shares = new SubscriptionShares();
    }

    function testFuzz_theModelsFollow(uint256[14] calldata seeds, uint256 terms_) external {
        _subscribe(terms_);
        for (uint256 i = 0; i < 14; ++i) {
            _step(seeds[i] % 10, seeds[i] >> 8);
            _compare();
        }
    }

    /// @dev So that the comparison can't pass on nothing.
    function test_everyStateIsComparedOnce() external {
        uint8[2][8][4] memory lines = [
            // delivered, held, delivered while held, both settled, ended
            [[0, 2], [8, 0], [7, 1], [0, 2], [3, 0], [3, 0], [5, 0], [7, 0]],
            // delivered late while ending, settled there, ended
            [[0, 2], [4, 7], [8, 0], [7, 0], [0, 2], [3, 0], [7, 0], [5, 0]],
            // a lie, refuted while held; what was right is settled after the end
            [[0, 2], [8, 0], [7, 1], [1, 2], [6, 0], [5, 0], [6, 0], [3, 0]],
            // a lie, refuted while ending
            [[0, 2], [8, 0], [7, 0], [1, 2], [6, 0], [3, 0], [5, 0], [7, 0]]
        ];
        uint256 start = vm.snapshotState();
        uint256 seen;
        for (uint256 i = 0; i < lines.length; ++i) {
            _subscribe(uint256(keccak256(abi.encode(i))));
            for (uint256 k = 0; k < 8; ++k) {
                _step(lines[i][k][0], lines[i][k][1]);
                _compare();
            }
            assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
            seen |= _seen;
            vm.revertToState(start);
        }
        assertEq(seen & 0xff, 0x1e, "phases 1 to 4");
        assertEq((seen >> 8) & 0xff, 0x0e, "a batch delivered in phases 1 to 3");
        assertTrue((seen >> 16) & 0xff != 0 && (seen >> 24) & 0xff != 0, "one settled, one refuted");
    }

    /// @param kind 0 to 2 delivers, of which 1 lies.
    function _step(uint256 kind, uint256 seed) private {
        if (kind < 3) _deliver(seed % 4 == 3 ? 1 : 0, kind == 1, seed >> 2);
        else if (kind == 3) _settle();
        else if (kind == 4) _topUp(uint32(seed));
        else if (kind == 5) _withdraw();
        else if (kind == 6) _refute();
        else if (kind == 7) _stop(seed);
        else pass(BATCH_SECONDS);
    }

    /// @dev Any price, fee, bond and deposit; what a deposit or a bond does not reach is refused by contract and model alike.
    function _subscribe(uint256 seed) private {
        t.slotPrice = uint128((seed & 0xffff) % 2000);
        t.feePerMille = uint16(((seed >> 16) & 0xffff) % 1001);
        t.bond = uint128(((seed >> 32) & 0xffff) % 20_000);
        t.nonce = bytes32(seed);
        vm.prank(owner);
        subscription.publish(stream(), offerOf(t));
        subscribed();
        _money.subscribe(DEPOSIT);
        _money.depositBond(2 * BONDS);
        _compare();
    }

    /// @param more Slots of the batch that are claimed besides the last; of its first 40, any.
    function _deliver(uint256 skip, bool lie, uint256 more) private {
        SubscriptionState memory s = subscription.stateOf(id);
        uint32 number = s.next + uint32(skip);
        if (s.phase == Phase.Ended || (s.phase != Phase.Active && number >= s.limit)) return;
        makePacks(number, nodeSecret(0));
        passBatch(number);
        uint256 slots = (uint256(1) << 40) | (more & ((1 << 40) - 1));
        _send(keysFor(number, lie ? keccak256("a lie") : nodeSecret(0), slots), lie, s);
    }

    function _send(BatchKeys memory k, bool lie, SubscriptionState memory s) private {
        AnchoredPack memory last = shown(3);
        uint256 price = _count(k.slots) * t.slotPrice;
        bool paid = price <= s.balance;
        if (!paid || subscription.bondOf(deliverer, address(token)) < t.bond) {
            vm.prank(deliverer);
            vm.expectPartialRevert(
                paid
                    ? ISubscription.Subscription_BondTooSmall.selector
                    : ISubscription.Subscription_BalanceTooSmall.selector
            );
            subscription.deliver(t, k, last);
            return;
        }
        _pending.push(delivered(deliverer, k, last));
        _lies.push(lie);
        _owed += price + t.bond;
        _money.deliver(price, t.bond);
        while (_time.over() + first <= k.number) _time.pass();
        _time.deliver(k.number - first);
        _saw(8, s.phase);
    }

    function _settle() private {
        if (_pending.length == 0) return;
        pass(1201);
        batch = _pending[_pending.length - 1];
        _drop();
        uint256 slots = _count(batch.slots);
        (uint256 toSeller, uint256 toDeliverer) = _shares.settled(t.slotPrice, slots, t.feePerMille, t.bond);
        uint256 credit = subscription.creditOf(owner, address(token));
        uint256 bond = subscription.bondOf(deliverer, address(token));
        settleOne();
        assertEq(subscription.creditOf(owner, address(token)), credit + toSeller, "the seller's share");
        assertEq(subscription.bondOf(deliverer, address(token)), bond + toDeliverer, "the deliverer's share");
        _money.settle(toSeller + toDeliverer, toSeller);
        _saw(16, subscription.stateOf(id).phase);
    }

    function _refute() private {
        if (_pending.length == 0 || !_lies[_lies.length - 1]) return;
        batch = _pending[_pending.length - 1];
        // Only the newest packs are at hand.
        if (epoch.number != batch.asOfEpoch) return;
        Phase phase = subscription.stateOf(id).phase;
        _drop();
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(batch.number));
        AnchoredPack memory p = shown(1);
        subscription.proveWrongKey(t, batch, s, p);
        assertTrue(subscription.stateOf(id).phase == Phase.Ended, "ended");
        _money.refute(_heldFor(batch));
        _saw(24, phase);
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
            _end(s);
        }
        vm.stopPrank();
    }

    function _end(SubscriptionState memory s) private {
        uint256 credit = subscription.creditOf(buyer, address(token));
        subscription.end(t);
        SubscriptionState memory now_ = subscription.stateOf(id);
        uint256 toBuyer = subscription.creditOf(buyer, address(token)) - credit;
        if (now_.phase == Phase.Ended) {
            assertEq(toBuyer, s.balance, "all that is left");
            _money.end();
        } else if (s.phase != Phase.Ending) {
            (uint256 atOnce, uint256 reserve) = _shares.left(s.balance, now_.limit - now_.next, t.slotPrice * SIZE);
            assertEq(toBuyer, atOnce, "what is the buyer's at once");
            _money.stop(reserve);
        }
    }

    function _compare() private {
        SubscriptionState memory s = subscription.stateOf(id);
        _saw(0, s.phase);
        address held = address(token);
        assertEq(token.balanceOf(address(subscription)), _money.balance(), "balance");
        uint256 credits = subscription.creditOf(buyer, held) + subscription.creditOf(owner, held);
        assertEq(credits, _money.credits(), "credits");
        uint256 bonds = subscription.bondOf(deliverer, held) + subscription.bondOf(fallbackDeliverer, held);
        assertEq(bonds, _money.bonds(), "bonds");
        assertEq(s.balance, _money.deposit(), "deposit");
        assertTrue(s.phase != Phase.Ended || s.balance == 0, "what has ended holds no deposit");
        assertEq(_owed, _money.pending(), "pending");
        assertEq(s.next - first, _time.next(), "next");
        _money.holds();
        _time.holds();
    }

    function _drop() private {
        _owed -= _heldFor(_pending[_pending.length - 1]);
        _pending.pop();
        _lies.pop();
    }

    function _heldFor(Batch memory delivered_) private view returns (uint256) {
        return _count(delivered_.slots) * t.slotPrice + t.bond;
    }

    function _saw(uint256 shift, Phase phase) private {
        _seen |= (1 << uint256(phase)) << shift;
    }

    function _count(uint256 slots) private pure returns (uint256 count) {
        for (; slots != 0; slots >>= 1) count += slots & 1;
    }
}
