// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {Epoch} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {AnchoredPack, Batch, BatchKeys, EmptySlot, ISubscription, Phase, SubscriptionState} from "./ISubscription.sol";
import {SharedPoint} from "./SharedPoint.sol";
import {SubscriptionBase} from "./SubscriptionBase.t.sol";

/// @dev Random subscriptions to one stream, deliverers of whom some lie about keys or slots, buyers who hold, end and prove,
/// pauses that last, and random time; a model of who is owed what, of what time has passed and what was paid. Pack 1 of a
/// batch opens, pack 2 of every third does not.
contract SubscriptionHandler is SubscriptionBase {
    struct Known {
        bytes32 nonce;
        uint64 erasures;
        uint32 first;
        /// Seconds of pauses that are over, and since when it is held.
        uint256 paused;
        uint256 heldAt;
        uint256 startedAt;
        uint256 slotsPaid;
    }

    struct Job {
        uint256 which;
        Batch batch;
        bool lied;
        bool overclaimed;
        bool done;
    }

    Known[] private _known;
    Job[] private _jobs;
    mapping(uint32 number => Epoch) private _epochs;
    mapping(bytes32 batchId => bool) private _delivered;
    uint256 public minted;
    uint256 public paidOut;
    bool private _paused;

    constructor() {
        prepare();
        // Everything that is in the contract comes through this handler's books.
        minted = 0;
    }

    /* actions */

    function subscribe(uint32 deposit) external {
        if (_known.length == 5) return;
        _known.push();
        Known storage k = _known[_known.length - 1];
        k.nonce = bytes32(_known.length);
        k.first = uint32((block.timestamp + BATCH_SECONDS - 1) / BATCH_SECONDS);
        k.startedAt = block.timestamp;
        k.erasures = consent.erasures(hashStream(stream()));
        _use(_known.length - 1);
        vm.prank(buyer);
        if (_paused) vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.subscribe(t, deposit, noPermit());
        if (_paused) _known.pop();
        else minted += deposit;
    }

    function topUp(uint256 which, uint32 amount) external {
        if (!_pick(which)) return;
        bool open_ = _state().phase <= Phase.Held && !_paused;
        vm.prank(buyer);
        if (_paused) vm.expectRevert(Pausable.EnforcedPause.selector);
        else if (!open_) vm.expectPartialRevert(ISubscription.Subscription_WrongPhase.selector);
        subscription.topUp(t, amount, noPermit());
        if (open_) minted += amount;
    }

    function addBond(bool ofFallback, uint32 amount) external {
        vm.prank(ofFallback ? fallbackDeliverer : deliverer);
        if (_paused) vm.expectRevert(Pausable.EnforcedPause.selector);
        subscription.depositBond(address(token), amount);
        if (!_paused) minted += amount;
    }

    function takeBond(bool ofFallback, uint256 amount) external {
        address who = ofFallback ? fallbackDeliverer : deliverer;
        amount = bound(amount, 0, subscription.bondOf(who, address(token)));
        paidOut += amount;
        vm.prank(who);
        subscription.withdrawBond(address(token), amount);
    }

    function takeCredit(bool ofBuyer) external {
        address who = ofBuyer ? buyer : owner;
        uint256 owed = subscription.creditOf(who, address(token));
        if (owed == 0) return;
        paidOut += owed;
        vm.prank(who);
        subscription.withdraw(address(token));
    }

    /// @dev Waits for the batch where `patient`, and tries to deliver it, honestly or not.
    function deliver(uint256 which, uint8 skip, bool ofFallback, bool lie, bool over, bool patient) external {
        if (!_pick(which)) return;
        SubscriptionState memory s = _state();
        uint32 number = s.next + (skip % 3);
        if (patient) passBatch(number);
        if (patient && ofFallback) pass(601);
        if (block.timestamp < (uint256(number) + 1) * BATCH_SECONDS) return;
        _load(number);
        uint256 slots = over ? bits() | (1 << 20) : bits();
        BatchKeys memory keys = keysFor(number, lie ? keccak256("a lie") : nodeSecret(0), slots);
        AnchoredPack memory last = shown(3);
        address by = ofFallback ? fallbackDeliverer : deliverer;
        bool early = ofFallback && block.timestamp * 1000 <= (uint256(number) + 1) * BATCH_SECONDS * 1000 - 1 + 600_000;
        bool gone = consent.erasures(t.streamId) > t.erasures;
        uint256 price = (over ? 4 : 3) * uint256(t.slotPrice);
        bytes4 reason;
        if (s.phase == Phase.Ended) reason = ISubscription.Subscription_WrongPhase.selector;
        else if (s.phase != Phase.Active && number >= s.limit) {
            reason = ISubscription.Subscription_BatchOfPause.selector;
        } else if (early) reason = ISubscription.Subscription_NotYourTurn.selector;
        else if (gone) reason = 0;
        else if (price > s.balance) reason = ISubscription.Subscription_BalanceTooSmall.selector;
        else if (subscription.bondOf(by, address(token)) < t.bond) {
            reason = ISubscription.Subscription_BondTooSmall.selector;
        }
        vm.prank(by);
        if (reason != 0) vm.expectPartialRevert(reason);
        subscription.deliver(t, keys, last);
        if (reason != 0 || gone) return;
        assertTrue(!_delivered[batchId(number)], "a batch is delivered once");
        _delivered[batchId(number)] = true;
        Known storage k = _known[_index];
        k.slotsPaid += over ? 4 : 3;
        _jobs.push();
        Job storage job = _jobs[_jobs.length - 1];
        (job.which, job.lied, job.overclaimed) = (_index, lie, over);
        job.batch = Batch(
            number,
            by,
            nowMs(),
            uint64(block.number),
            last.epoch.number,
            slots,
            keys.Ex,
            keys.vE,
            keys.masked
        );
    }

    function settle(uint256 which) external {
        if (!_pickJob(which)) return;
        bool open_ = !_closed(_jobs[_job].batch.at, _jobs[_job].batch.atBlock, t.complainSeconds);
        Batch[] memory list = new Batch[](1);
        list[0] = _jobs[_job].batch;
        if (open_) vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.settle(t, list);
        if (!open_) _jobs[_job].done = true;
    }

    /// @dev A lie is always proved, the truth never.
    function proveKey(uint256 which) external {
        if (!_pickJob(which)) return;
        Job storage job = _jobs[_job];
        _load(job.batch.number);
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(job.batch.number));
        AnchoredPack memory p = shown(2);
        if (!job.lied) vm.expectPartialRevert(ISubscription.Subscription_KeyIsRight.selector);
        subscription.proveWrongKey(t, job.batch, s, p);
        if (job.lied) _refuted(job);
    }

    function proveEmpty(uint256 which) external {
        if (!_pickJob(which)) return;
        Job storage job = _jobs[_job];
        _load(job.batch.number);
        EmptySlot memory c = emptyClaim(job.batch.number * uint32(SIZE) + 20, 3);
        if (!job.overclaimed) vm.expectPartialRevert(ISubscription.Subscription_SlotNotPaid.selector);
        subscription.proveEmpty(t, job.batch, c);
        if (job.overclaimed) _refuted(job);
    }

    /// @dev A pack that does not open is always proved, one that opens never.
    function proveUnopenable(uint256 which, bool ofBroken) external {
        if (!_pickJob(which)) return;
        Job storage job = _jobs[_job];
        _load(job.batch.number);
        uint256 i = ofBroken && _isBroken(job.batch.number) ? 2 : 1;
        bytes32 key = packKey(nodeSecret(0), DEPTH, packs[i]);
        if (i == 1) vm.expectPartialRevert(ISubscription.Subscription_PackOpens.selector);
        subscription.proveUnopenable(
            t,
            job.batch,
            key,
            i == 1 ? contentOf(packs[1], key, 20) : bytes("short"),
            shown(i)
        );
        if (i == 2) _refuted(job);
    }

    function hold(uint256 which) external {
        if (!_pick(which) || _state().phase != Phase.Active) return;
        vm.prank(buyer);
        subscription.hold(t);
        _known[_index].heldAt = block.timestamp;
    }

    function resume(uint256 which) external {
        if (!_pick(which)) return;
        SubscriptionState memory s = _state();
        if (s.phase != Phase.Held) return;
        bool waits = s.limit > s.next && !_closed(uint256(s.at) * 1000, s.atBlock, 1200);
        vm.prank(buyer);
        if (waits) vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
        subscription.resume(t);
        if (waits) return;
        _known[_index].paused += block.timestamp - _known[_index].heldAt;
    }

    function end(uint256 which, uint8 who) external {
        if (!_pick(which)) return;
        SubscriptionState memory s = _state();
        if (s.phase == Phase.Ended) return;
        address by = [buyer, owner, stranger][who % 3];
        bool gone = consent.erasures(t.streamId) > t.erasures;
        bool silent = s.phase != Phase.Ending && _closed(uint256(s.at) * 1000, s.atBlock, t.silenceSeconds);
        vm.prank(by);
        if (!gone && !silent) {
            if (s.phase == Phase.Ending) {
                bool waits = s.limit > s.next && !_closed(uint256(s.at) * 1000, s.atBlock, 1200);
                if (waits) vm.expectPartialRevert(ISubscription.Subscription_WindowOpen.selector);
            } else if (by == stranger) vm.expectPartialRevert(ISubscription.Subscription_NotYours.selector);
        }
        subscription.end(t);
    }

    function erase(uint8 seldom) external {
        if (seldom % 8 != 0) return;
        vm.prank(owner);
        consent.requestErasure(stream(), F, F);
    }

    /// @dev What is paused stays so for the actions that follow, and for the ways out that are tried at the end.
    function pauseOrNot(uint8 seldom) external {
        if (_paused) subscription.unpause();
        else if (seldom % 4 == 0) subscription.pause();
        else return;
        _paused = !_paused;
    }

    function passTime(uint16 secs, uint8 blocks) external {
        vm.warp(block.timestamp + (secs % 5000));
        vm.roll(block.number + blocks);
    }

    /* checks */

    function checkMoney() external {
        address[4] memory who = [buyer, owner, deliverer, fallbackDeliverer];
        uint256 owed;
        for (uint256 i = 0; i < 4; ++i) {
            owed += subscription.bondOf(who[i], address(token)) + subscription.creditOf(who[i], address(token));
        }
        for (uint256 i = 0; i < _known.length; ++i) {
            _use(i);
            owed += _state().balance;
        }
        for (uint256 i = 0; i < _jobs.length; ++i) {
            if (_jobs[i].done) continue;
            owed += (_jobs[i].overclaimed ? 4 : 3) * uint256(t.slotPrice) + t.bond;
        }
        assertEq(token.balanceOf(address(subscription)), owed, "balance = bonds + credits + deposits + delivered");
        assertEq(minted - paidOut, owed, "deposits = withdrawals + held");
    }

    function checkTime() external {
        for (uint256 i = 0; i < _known.length; ++i) {
            _use(i);
            Known storage k = _known[i];
            uint256 paused = k.paused;
            if (_state().phase == Phase.Held) paused += block.timestamp - k.heldAt;
            assertTrue(k.slotsPaid * 60 <= block.timestamp - k.startedAt - paused, "no more slots than time");
        }
    }

    /// @dev Enough time alone, and anyone, ends everything; then everybody takes all of it.
    function checkExits() external {
        vm.warp(block.timestamp + BATCH_SECONDS + 20_001);
        vm.roll(block.number + 1001);
        _leaveWhatTimeLetsLeave();
        for (uint256 i = 0; i < _known.length; ++i) {
            _use(i);
            assertTrue(_state().phase == Phase.Ended, "ended");
        }
        address[4] memory who = [buyer, owner, deliverer, fallbackDeliverer];
        for (uint256 i = 0; i < 4; ++i) {
            uint256 bond = subscription.bondOf(who[i], address(token));
            uint256 credit = subscription.creditOf(who[i], address(token));
            vm.startPrank(who[i]);
            subscription.withdrawBond(address(token), bond);
            if (credit != 0) subscription.withdraw(address(token));
            vm.stopPrank();
        }
        assertEq(token.balanceOf(address(subscription)), 0, "all of it");
    }

    /* private */

    uint256 private _index;
    uint256 private _job;

    function _leaveWhatTimeLetsLeave() private {
        for (uint256 i = 0; i < _jobs.length; ++i) {
            Job storage job = _jobs[i];
            _use(job.which);
            if (job.done || !_closed(job.batch.at, job.batch.atBlock, t.complainSeconds)) continue;
            Batch[] memory list = new Batch[](1);
            list[0] = job.batch;
            vm.prank(stranger);
            subscription.settle(t, list);
            job.done = true;
        }
        for (uint256 i = 0; i < _known.length; ++i) {
            _use(i);
            SubscriptionState memory s = _state();
            uint256 window = s.phase == Phase.Ending ? 1200 : uint256(t.silenceSeconds);
            if (s.phase == Phase.Ended || !_closed(uint256(s.at) * 1000, s.atBlock, window)) continue;
            vm.prank(stranger);
            subscription.end(t);
        }
    }

    function _refuted(Job storage job) private {
        job.done = true;
        _known[job.which].slotsPaid -= job.overclaimed ? 4 : 3;
        assertTrue(_state().phase == Phase.Ended, "a proof ends it");
    }

    function _load(uint32 number) private {
        buildPacks(number, nodeSecret(0));
        _contents(number);
        epoch = _epochs[number];
        if (epoch.number != 0) return;
        epoch = anchorNext(Merkle.root(leaves), 5);
        _epochs[number] = epoch;
    }

    function _contents(uint32 number) private {
        packs[1].contentDigest = sha256(contentOf(packs[1], packKey(nodeSecret(0), DEPTH, packs[1]), 20));
        if (_isBroken(number)) packs[2].contentDigest = sha256("short");
        for (uint256 i = 1; i < 3; ++i) leaves[i] = hashPack(packs[i]);
    }

    function _isBroken(uint32 number) private pure returns (bool) {
        return number % 3 == 0;
    }

    function _use(uint256 i) private {
        _index = i;
        Known storage k = _known[i];
        (t.nonce, t.fromBatch, t.erasures) = (k.nonce, k.first, k.erasures);
        id = hashTerms(t);
    }

    function _pick(uint256 which) private returns (bool) {
        if (_known.length == 0) return false;
        _use(which % _known.length);
        return true;
    }

    function _pickJob(uint256 which) private returns (bool) {
        for (uint256 k = 0; k < _jobs.length; ++k) {
            _job = ((which % _jobs.length) + k) % _jobs.length;
            if (_jobs[_job].done) continue;
            _use(_jobs[_job].which);
            return true;
        }
        return false;
    }

    function _state() private view returns (SubscriptionState memory) {
        return subscription.stateOf(id);
    }

    function _closed(uint256 atMs, uint256 atBlock, uint256 secs) private view returns (bool) {
        return nowMs() > atMs + secs * 1000 && (block.number - atBlock) * 20 >= secs;
    }
}

contract SubscriptionInvariants is Fixture {
    SubscriptionHandler private _handler;
    bytes4[] private _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        _handler = new SubscriptionHandler();
        targetContract(address(_handler));
        _actions = [
            SubscriptionHandler.subscribe.selector,
            SubscriptionHandler.topUp.selector,
            SubscriptionHandler.addBond.selector,
            SubscriptionHandler.takeBond.selector,
            SubscriptionHandler.takeCredit.selector,
            SubscriptionHandler.deliver.selector,
            SubscriptionHandler.settle.selector,
            SubscriptionHandler.proveKey.selector,
            SubscriptionHandler.proveEmpty.selector,
            SubscriptionHandler.proveUnopenable.selector,
            SubscriptionHandler.hold.selector,
            SubscriptionHandler.resume.selector,
            SubscriptionHandler.end.selector,
            SubscriptionHandler.erase.selector,
            SubscriptionHandler.pauseOrNot.selector,
            SubscriptionHandler.passTime.selector
        ];
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(_handler), _actions);
    }

    function invariant_depositsAreWithdrawalsAndWhatIsHeld() external {
        _handler.checkMoney();
    }

    function invariant_noMoreSlotsArePaidThanTimeHasPassed() external {
        _handler.checkTime();
    }

    function invariant_everyStateHasAnExitByTime() external {
        _handler.checkExits();
    }
}
