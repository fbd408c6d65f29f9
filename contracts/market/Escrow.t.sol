// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Deal, Epoch, Pack, Stream} from "../data/ProtocolTypes.sol";
import {Curve} from "../test/Curve.t.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Delivery, IEscrow, KeyNode, Status, WrongKey} from "./IEscrow.sol";

/// @dev A deal of n nodes over four anchored packs, the first two in node 0, the last in the last slot of the window.
abstract contract EscrowBase is Fixture {
    Deal internal d;
    Delivery internal out;
    KeyNode[] internal list;
    Pack[] internal packs;
    bytes32[] internal leaves;
    Epoch internal epoch;
    Status internal st;

    function prepare(uint256 n, uint8 depth) internal {
        deployAll();
        enrolDevice();
        KeyNode[] memory made = nodes(n, depth);
        for (uint256 i = 0; i < n; ++i) list.push(made[i]);
        uint32 size = uint32(1) << (32 - depth);
        uint32 last = F + uint32(n) * size - 1;
        packs.push(pack(nodeSecret(0), depth, F));
        packs.push(pack(nodeSecret(0), depth, F + size / 2));
        packs.push(pack(nodeSecret(n / 2), depth, F + uint32(n / 2) * size));
        packs.push(pack(nodeSecret(n - 1), depth, last));
        for (uint256 i = 0; i < packs.length; ++i) leaves.push(hashPack(packs[i]));
        epoch = anchorNext(Merkle.root(leaves), 4);
        d = deal(list);
    }

    function fund() internal {
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        depositBond(fallbackDeliverer, d.bond);
    }

    /// @dev Delivers, with node `wrong` not the one that the packs were made with; n or more: all right.
    function serve(uint256 wrong) internal {
        bytes32[] memory secrets = secretsOf(list.length);
        if (wrong < secrets.length) secrets[wrong] = keccak256("not this one");
        Delivery memory made = delivery(d, secrets);
        (out.Ex, out.vE, out.masked) = (made.Ex, made.vE, made.masked);
        st = deliver(deliverer, d, st, out);
    }

    function claim(uint256 index, uint256 packIndex) internal view returns (WrongKey memory c) {
        c.index = uint16(index);
        c.node = list[index];
        c.nodeProof = Merkle.proof(nodeLeaves(list), index);
        c.b = b(index);
        (c.Sx, c.Sy) = point(mulmod(E_KEY, c.b, N));
        c.pack = packs[packIndex];
        c.packProof = Merkle.proof(leaves, packIndex);
        c.epoch = epoch;
    }
}

abstract contract WrongKeyGas is EscrowBase {
    function test_proveWrongKey_whenAnotherNodeIsRight_itReverts() external {
        WrongKey memory c = claim(0, 0);
        if (list.length == 1) {
            // the only node was delivered wrong: deliver once more, right
            d.nonce = keccak256("right");
            st = openDeal(d, list);
            depositBond(deliverer, d.bond);
            serve(1);
        }
        vm.expectPartialRevert(IEscrow.Escrow_KeyIsRight.selector);
        escrow.proveWrongKey(d, st, out, c);
    }

    function test_proveWrongKey_gas() external {
        bytes memory data = abi.encodeCall(escrow.proveWrongKey, (d, st, out, claim(list.length - 1, 3)));
        uint256 gas = transactionGas(address(escrow), data);
        vm.snapshotValue("Escrow", string.concat("proveWrongKey, nodes ", vm.toString(list.length)), gas);
        assertTrue(gas <= (list.length <= 19 ? 105_000 : 145_000), "gas of a wrong-key proof");
        assertEq(escrow.creditOf(buyer, address(token)), d.price + d.bond, "price and bond to the buyer");
    }
}

contract WrongKeyGas1Test is WrongKeyGas {
    function setUp() external {
        prepare(1, 26);
        fund();
        serve(0);
    }
}

/// @dev An hour of minutes has about seven nodes.
contract WrongKeyGas7Test is WrongKeyGas {
    function setUp() external {
        prepare(7, 29);
        fund();
        serve(6);
    }
}

contract WrongKeyGas19Test is WrongKeyGas {
    function setUp() external {
        prepare(19, 26);
        fund();
        serve(18);
    }
}

contract WrongKeyGas48Test is WrongKeyGas {
    function setUp() external {
        prepare(48, 27);
        fund();
        serve(47);
    }
}

contract EscrowTest is EscrowBase {
    function setUp() external {
        prepare(3, 26);
    }

    /* open */

    function test_open_whenAllHolds_itFunds() external {
        allow(buyer, d.price);
        vm.expectEmit(address(escrow));
        emit IEscrow.DealOpened(hashDeal(d), buyer, deliverer, d, list);
        vm.prank(address(market));
        assertEq(escrow.open(d, stream(), list), hashDeal(d), "returns the id");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(1, 0)), "word");
        assertEq(token.balanceOf(address(escrow)), d.price, "paid");
        assertEq(escrow.dealIdOf(d), hashDeal(d), "id");
    }

    function test_open_whenCalledByAnyoneElse_itReverts() external {
        allow(buyer, d.price);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotMarketplace.selector, address(market), stranger));
        escrow.open(d, stream(), list);
    }

    function test_open_whenPaused_itReverts() external {
        escrow.pause();
        _refused(d, Pausable.EnforcedPause.selector);
        escrow.unpause();
        openDeal(d, list);
    }

    function test_open_whenKnown_itReverts() external {
        openDeal(d, list);
        _refused(d, IEscrow.Escrow_DealKnown.selector);
    }

    function test_open_whenFinishedBefore_itReverts() external {
        st = openDeal(d, list);
        pass(700);
        escrow.refund(d, st);
        _refused(d, IEscrow.Escrow_DealKnown.selector);
    }

    function test_open_whenStreamIsAnother_itReverts() external {
        Stream memory s = stream();
        s.salt = 0;
        _refused(d, s, list, IEscrow.Escrow_WrongStream.selector);
    }

    function test_open_whenSellerIsNotTheOwnerOfThatEpoch_itReverts() external {
        Deal memory x = d;
        x.seller = stranger;
        _refused(x, IEscrow.Escrow_WrongSeller.selector);
        Stream memory s = stream();
        s.ownerEpoch = 2;
        x.seller = address(0);
        x.streamId = hashStream(s);
        _refused(x, s, list, IEscrow.Escrow_WrongSeller.selector);
    }

    function test_open_whenWindowIsEmpty_itReverts() external {
        Deal memory x = d;
        (x.fromSlot, x.toSlot) = (x.toSlot, x.fromSlot);
        _refused(x, IEscrow.Escrow_WrongWindow.selector);
    }

    function test_open_whenEndIsNotTheWindows_itReverts() external {
        Deal memory x = d;
        x.endMs += 1;
        _refused(x, IEscrow.Escrow_WrongEnd.selector);
    }

    function test_open_whenDataset_itHasSlotAndEndZero() external {
        Stream memory s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
        grantToAnyone(s);
        Deal memory x = d;
        x.streamId = hashStream(s);
        _refused(x, s, list, IEscrow.Escrow_WrongWindow.selector);
        (x.fromSlot, x.toSlot) = (0, 0);
        _refused(x, s, list, IEscrow.Escrow_WrongEnd.selector);
        x.endMs = 0;
        allow(x.buyer, x.price);
        vm.prank(address(market));
        escrow.open(x, s, list);
    }

    function test_open_whenSlotIsTheLastOfAll_endDoesNotOverflow() external {
        Stream memory s = stream();
        s.slotSeconds = 86400;
        grantToAnyone(s);
        Deal memory x = d;
        (x.streamId, x.toSlot) = (hashStream(s), type(uint32).max);
        x.endMs = uint64(86_400_000 * (uint256(1) << 32) - 1);
        allow(x.buyer, x.price);
        vm.prank(address(market));
        escrow.open(x, s, list);
    }

    function test_open_whenNodeCountIsWrong_itReverts() external {
        Deal memory x = d;
        x.nodes = 2;
        _refused(x, IEscrow.Escrow_WrongNodeCount.selector);
        x.nodes = 0;
        _refused(x, stream(), new KeyNode[](0), IEscrow.Escrow_WrongNodeCount.selector);
        x.nodes = 49;
        _refused(x, stream(), new KeyNode[](49), IEscrow.Escrow_WrongNodeCount.selector);
    }

    function test_open_whenKeysRootIsWrong_itReverts() external {
        KeyNode[] memory x = list;
        x[1].v = x[1].v == 27 ? 28 : 27;
        _refused(d, stream(), x, IEscrow.Escrow_WrongKeysRoot.selector);
    }

    function test_open_whenAnchorIsNotTheCurrentOne_itReverts() external {
        Deal memory x = d;
        x.anchor = address(this);
        _refused(x, IEscrow.Escrow_UnknownAnchor.selector);
    }

    function test_open_whenTheCityHasNoAnchor_itReverts() external {
        vm.mockCall(
            address(directory),
            abi.encodeCall(directory.addressesOf, ("Marketplace", "DataAnchor")),
            abi.encode(address(market), address(0))
        );
        Deal memory x = d;
        x.anchor = address(0);
        _refused(x, IEscrow.Escrow_UnknownAnchor.selector);
    }

    function test_open_whenEpochIsNotAnchored_itReverts() external {
        Deal memory x = d;
        x.asOfEpoch = 2;
        _refused(x, IEscrow.Escrow_EpochNotAnchored.selector);
        x.asOfEpoch = 0;
        _refused(x, IEscrow.Escrow_EpochNotAnchored.selector);
    }

    function test_open_whenTokenIsNotAllowed_itReverts() external {
        escrow.setToken(address(token), false);
        _refused(d, IEscrow.Escrow_TokenNotAllowed.selector);
    }

    function test_open_whenTheFeeIsTheWholePrice_itIsOpened() external {
        Deal memory x = d;
        x.fee = x.price;
        openDeal(x, list);
        assertEq(escrow.statusWord(hashDeal(x)), word(status(1, 0)), "funded");
    }

    function test_open_whenFeeIsAbovePrice_itReverts() external {
        Deal memory x = d;
        x.fee = x.price + 1;
        _refused(x, IEscrow.Escrow_FeeAbovePrice.selector);
    }

    function test_open_whenAWindowOrPartyIsZero_itReverts() external {
        Deal memory x = d;
        x.deliverSeconds = 0;
        _refused(x, IEscrow.Escrow_WindowZero.selector);
        x = d;
        x.complainSeconds = 0;
        _refused(x, IEscrow.Escrow_WindowZero.selector);
        x = d;
        x.deliverer = address(0);
        _refused(x, IEscrow.Escrow_PartyZero.selector);
        x = d;
        x.buyer = address(0);
        _refused(x, IEscrow.Escrow_PartyZero.selector);
    }

    function test_open_whenErasuresAreNotTheStreams_itReverts() external {
        Deal memory x = d;
        x.erasures = type(uint64).max;
        _refused(x, IEscrow.Escrow_WrongErasures.selector);
        _erase();
        _refused(d, IEscrow.Escrow_WrongErasures.selector);
    }

    function test_open_whenConsentIsMissing_itReverts() external {
        _withdrawConsent();
        _refused(d, IEscrow.Escrow_NotAuthorised.selector);
    }

    function test_open_whenNotPaidInFull_itReverts() external {
        depositBond(deliverer, 10 * d.price);
        ShortPayer payer = new ShortPayer();
        directory.setModule("Marketplace", address(payer), 2);
        allow(address(payer), d.price - 1);
        vm.prank(address(payer));
        vm.expectRevert(
            abi.encodeWithSelector(IEscrow.Escrow_NotFunded.selector, address(token), d.price, d.price - 1)
        );
        escrow.open(d, stream(), list);
    }

    function test_open_whenTheBuyerAllowsTooLittle_itReverts() external {
        allow(buyer, d.price - 1);
        vm.prank(address(market));
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        escrow.open(d, stream(), list);
        assertEq(escrow.statusWord(hashDeal(d)), 0, "nothing is opened");
    }

    function testFuzz_keysRoot_isThePackagesTree(uint8 n, bytes32 seed) external view {
        KeyNode[] memory x = new KeyNode[](bound(n, 1, 48));
        for (uint256 i = 0; i < x.length; ++i) {
            seed = keccak256(abi.encode(seed));
            x[i] = KeyNode(uint8(seed[0]), uint32(bytes4(seed)), uint256(seed), uint8(seed[1]));
        }
        assertEq(escrow.keysRootOf(x), Merkle.root(nodeLeaves(x)), "root");
    }

    /* deliver */

    function test_deliver_whenByDeliverer_itLocksTheBond() external {
        fund();
        out = delivery(d, secretsOf(3));
        vm.expectEmit(address(escrow));
        emit IEscrow.StatusChanged(hashDeal(d), status(2, deliveryHash(out)));
        vm.expectEmit(address(escrow));
        emit IEscrow.Delivered(hashDeal(d), deliverer, out.Ex, out.vE, out.masked);
        st = deliver(deliverer, d, st, out);
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "word");
        assertEq(escrow.bondOf(deliverer, address(token)), 0, "bond");
    }

    function test_deliver_whenTwice_itReverts() external {
        fund();
        serve(9);
        _deliverRefused(deliverer, IEscrow.Escrow_WrongState.selector);
    }

    function test_deliver_whenByAForeigner_itReverts() external {
        fund();
        _deliverRefused(stranger, IEscrow.Escrow_NotYourTurn.selector);
        pass(400);
        _deliverRefused(stranger, IEscrow.Escrow_NotYourTurn.selector);
    }

    function test_deliver_whenByFallback_itNeedsHalfTheSecondsAndBlocks() external {
        fund();
        _deliverRefused(fallbackDeliverer, IEscrow.Escrow_NotYourTurn.selector);
        uint256 at_ = block.timestamp;
        vm.warp(at_ + 300);
        vm.roll(block.number + 15);
        _deliverRefused(fallbackDeliverer, IEscrow.Escrow_NotYourTurn.selector);
        vm.warp(at_ + 301);
        vm.roll(block.number - 1);
        _deliverRefused(fallbackDeliverer, IEscrow.Escrow_NotYourTurn.selector);
        vm.roll(block.number + 1);
        out = delivery(d, secretsOf(3));
        st = deliver(fallbackDeliverer, d, st, out);
        assertEq(st.state, 0x82, "state");
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "word");
        assertEq(escrow.bondOf(fallbackDeliverer, address(token)), 0, "bond of the fallback");
        assertEq(escrow.bondOf(deliverer, address(token)), d.bond, "bond of the deliverer");
    }

    function test_deliver_whenWindowHasClosed_itReverts() external {
        fund();
        pass(600);
        _deliverRefused(stranger, IEscrow.Escrow_NotYourTurn.selector);
        pass(1);
        _deliverRefused(deliverer, IEscrow.Escrow_WindowClosed.selector);
    }

    function test_deliver_whenTheChainStoodStill_theWindowStaysOpen() external {
        fund();
        vm.warp(block.timestamp + 1 days);
        vm.roll(block.number + 29);
        out = delivery(d, secretsOf(3));
        deliver(deliverer, d, st, out);
    }

    function test_deliver_whenBeforeTheEnd_itReverts() external {
        d.toSlot = F + 1668; // ends 140 s from now
        d.endMs = 60_000 * (uint64(d.toSlot) + 1) - 1;
        fund();
        pass(139);
        _deliverRefused(deliverer, IEscrow.Escrow_BeforeEnd.selector);
        pass(1);
        deliver(deliverer, d, st, delivery(d, secretsOf(3)));
    }

    function test_deliver_whenErased_itRefundsWithoutFault() external {
        fund();
        _erase();
        _deliverRefunds(IEscrow.Refund.Erased);
    }

    function test_deliver_whenConsentIsGone_itRefundsWithoutFault() external {
        fund();
        _withdrawConsent();
        _deliverRefunds(IEscrow.Refund.ConsentGone);
    }

    function test_deliver_whenTooFewOrTooManyNodes_itReverts() external {
        fund();
        (uint256 x, uint8 v) = (_e(), 27);
        vm.startPrank(deliverer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WrongMaskedCount.selector, 3, 2));
        escrow.deliver(d, st, x, v, new bytes32[](2));
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WrongMaskedCount.selector, 3, 4));
        escrow.deliver(d, st, x, v, new bytes32[](4));
    }

    function test_deliver_whenEIsNoPoint_itReverts() external {
        fund();
        uint256 off = 5;
        assertTrue(!Curve.onCurve(off), "5 is no x");
        _deliverNoPoint(off, 27);
        _deliverNoPoint(0, 27);
        _deliverNoPoint(N, 27);
        _deliverNoPoint(N + 1, 28);
        _deliverNoPoint(type(uint256).max, 28);
        uint256 x = _e();
        _deliverNoPoint(x, 0);
        _deliverNoPoint(x, 26);
        _deliverNoPoint(x, 29);
    }

    function test_deliver_whenBondIsMissing_itReverts() external {
        fund();
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), 1);
        _deliverRefused(deliverer, IEscrow.Escrow_BondTooSmall.selector);
    }

    function test_deliver_whenStatusIsForged_itReverts() external {
        fund();
        Status memory forged = st;
        forged.at += 1;
        bytes32[] memory masked = new bytes32[](3);
        vm.prank(deliverer);
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.deliver(d, forged, 1, 27, masked);
        Deal memory x = d;
        x.price = 0;
        vm.prank(deliverer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WrongStatus.selector, hashDeal(x), bytes32(0)));
        escrow.deliver(x, st, 1, 27, masked);
    }

    /* decline */

    function test_decline_whenByDeliverer_theFallbackMayAtOnce() external {
        fund();
        vm.prank(deliverer);
        escrow.decline(d, st);
        st.state = 0x81;
        assertEq(escrow.statusWord(hashDeal(d)), word(st), "clock runs on");
        _deliverRefused(deliverer, IEscrow.Escrow_NotYourTurn.selector);
        out = delivery(d, secretsOf(3));
        st = deliver(fallbackDeliverer, d, st, out);
        pass(1201);
        escrow.release(d, st);
        assertEq(escrow.bondOf(fallbackDeliverer, address(token)), uint256(d.bond) + d.fee, "bond and fee");
    }

    function test_decline_whenByBoth_itRefunds() external {
        fund();
        vm.prank(deliverer);
        escrow.decline(d, st);
        st.state = 0x81;
        vm.prank(fallbackDeliverer);
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(hashDeal(d), IEscrow.Refund.Declined, d.price);
        escrow.decline(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "credit");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(0x84, 0)), "word");
    }

    function test_decline_whenByFallbackBeforeItsTurn_itReverts() external {
        fund();
        vm.prank(fallbackDeliverer);
        vm.expectPartialRevert(IEscrow.Escrow_NotYourTurn.selector);
        escrow.decline(d, st);
        pass(301);
        vm.prank(fallbackDeliverer);
        escrow.decline(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "credit");
    }

    function test_decline_whenThereIsNoFallback_itRefunds() external {
        d.fallbackDeliverer = address(0);
        fund();
        vm.prank(deliverer);
        escrow.decline(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "no fallback");
        d.fallbackDeliverer = deliverer;
        st = openDeal(d, list);
        vm.prank(deliverer);
        escrow.decline(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), 2 * d.price, "its own fallback");
    }

    function test_decline_whenNotFunded_itReverts() external {
        fund();
        serve(9);
        vm.prank(deliverer);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.decline(d, st);
    }

    function test_decline_whenByStranger_itReverts() external {
        fund();
        vm.prank(stranger);
        vm.expectPartialRevert(IEscrow.Escrow_NotYourTurn.selector);
        escrow.decline(d, st);
    }

    /* refund, release */

    function test_refund_whenDelivered_itReverts() external {
        fund();
        serve(9);
        pass(10_000);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.refund(d, st);
    }

    function test_release_whenFunded_itReverts() external {
        fund();
        pass(10_000);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.release(d, st);
    }

    function testFuzz_refund_opensAfterSecondsAndBlocks(uint32 secs, uint32 blocks) external {
        fund();
        (secs, blocks) = (uint32(bound(secs, 0, 1200)), uint32(bound(blocks, 0, 60)));
        vm.warp(block.timestamp + secs);
        vm.roll(block.number + blocks);
        bool closed = secs > 600 && blocks >= 30;
        if (!closed) vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WindowOpen.selector, hashDeal(d)));
        vm.prank(stranger);
        escrow.refund(d, st);
        assertEq(escrow.creditOf(buyer, address(token)), closed ? d.price : 0, "credit");
    }

    function testFuzz_release_opensAfterSecondsAndBlocks(uint32 secs, uint32 blocks) external {
        fund();
        bytes32[] memory masked = new bytes32[](3);
        (uint256 x, uint8 v) = (Curve.GX, 27);
        vm.prank(deliverer);
        escrow.deliver(d, st, x, v, masked);
        st = status(2, keccak256(abi.encode(x, v, masked)));
        (secs, blocks) = (uint32(bound(secs, 0, 2400)), uint32(bound(blocks, 0, 120)));
        vm.warp(block.timestamp + secs);
        vm.roll(block.number + blocks);
        bool closed = secs > 1200 && blocks >= 60;
        if (!closed) vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_WindowOpen.selector, hashDeal(d)));
        vm.prank(stranger);
        escrow.release(d, st);
        assertEq(escrow.creditOf(owner, address(token)), closed ? d.price - d.fee : 0, "seller");
        assertEq(escrow.bondOf(deliverer, address(token)), closed ? uint256(d.bond) + d.fee : 0, "bond and fee");
    }

    function test_finished_whenTriedAgain_itReverts() external {
        fund();
        serve(0);
        WrongKey memory c = claim(0, 0);
        pass(1201);
        escrow.release(d, st);
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.release(d, st);
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.proveWrongKey(d, st, out, c);
        Status memory released = Status(3, nowMs(), uint64(block.number), st.deliveryHash);
        assertEq(escrow.statusWord(hashDeal(d)), word(released), "word");
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.proveWrongKey(d, released, out, c);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.release(d, released);
    }

    /* balances */

    function test_balances_whenPaused_theExitsStayOpen() external {
        fund();
        serve(9);
        escrow.pause();
        token.mint(deliverer, 1);
        vm.startPrank(deliverer);
        token.approve(address(escrow), 1);
        vm.expectRevert(Pausable.EnforcedPause.selector);
        escrow.depositBond(address(token), 1);
        vm.stopPrank();
        pass(1201);
        escrow.release(d, st);
        vm.prank(owner);
        assertEq(escrow.withdraw(address(token)), d.price - d.fee, "seller");
        vm.startPrank(deliverer);
        escrow.withdrawBond(address(token), uint256(d.bond) + d.fee);
        vm.stopPrank();
        assertEq(token.balanceOf(deliverer), uint256(d.fee) + d.bond + 1, "deliverer");
        assertEq(token.balanceOf(address(escrow)), d.bond, "only the fallback's bond is left");
    }

    function test_balances_ofSeveralDeals_addUp() external {
        fund();
        serve(9);
        pass(1201);
        escrow.release(d, st);
        d.nonce = keccak256("the next");
        st = openDeal(d, list);
        serve(9);
        pass(1201);
        escrow.release(d, st);
        assertEq(escrow.creditOf(owner, address(token)), 2 * (d.price - d.fee), "seller");
        assertEq(escrow.bondOf(deliverer, address(token)), uint256(d.bond) + 2 * d.fee, "deliverer");
        vm.prank(owner);
        escrow.withdraw(address(token));
        assertEq(escrow.creditOf(owner, address(token)), 0, "all of it, once");
    }

    function test_setToken_whatIsAllowedCanBeAsked() external {
        assertTrue(escrow.isTokenAllowed(address(token)), "in");
        escrow.setToken(address(token), false);
        assertTrue(!escrow.isTokenAllowed(address(token)), "out");
    }

    function test_withdraw_whenNothing_itReverts() external {
        vm.expectPartialRevert(IEscrow.Escrow_NothingToWithdraw.selector);
        escrow.withdraw(address(token));
        vm.expectPartialRevert(IEscrow.Escrow_BondTooSmall.selector);
        escrow.withdrawBond(address(token), 1);
    }

    function test_depositBond_whenTokenIsNotAllowed_itReverts() external {
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_TokenNotAllowed.selector, address(this)));
        escrow.depositBond(address(this), 1);
    }

    function test_depositBond_whenTokenTakesAFee_itReverts() external {
        OddToken odd = new OddToken(escrow, true);
        escrow.setToken(address(odd), true);
        vm.expectPartialRevert(IEscrow.Escrow_NotFunded.selector);
        escrow.depositBond(address(odd), 100);
    }

    function test_depositBond_whenTheBalanceShrinks_itReverts() external {
        ShrinkingToken odd = new ShrinkingToken();
        escrow.setToken(address(odd), true);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotFunded.selector, address(odd), 1, 0));
        escrow.depositBond(address(odd), 1);
    }

    function test_withdrawBond_whenTokenReenters_itReverts() external {
        OddToken odd = new OddToken(escrow, false);
        escrow.setToken(address(odd), true);
        odd.depositFor(100);
        vm.expectRevert(ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
        odd.attack();
    }

    /* private */

    function _e() private view returns (uint256 x) {
        (x, ) = point(E_KEY);
    }

    function _erase() private {
        vm.prank(owner);
        consent.requestErasure(stream(), F, F);
    }

    function _withdrawConsent() private {
        vm.mockCall(
            address(consent),
            abi.encodeWithSelector(consent.consentOf.selector, d.streamId, d.purpose, buyer),
            abi.encode(uint64(0), false)
        );
    }

    function _refused(Deal memory x, bytes4 selector) private {
        _refused(x, stream(), list, selector);
    }

    function _refused(Deal memory x, Stream memory s, KeyNode[] memory k, bytes4 selector) private {
        if (x.buyer != address(0)) allow(x.buyer, x.price);
        vm.prank(address(market));
        vm.expectPartialRevert(selector);
        escrow.open(x, s, k);
    }

    function _deliverRefused(address by, bytes4 selector) private {
        bytes32[] memory masked = new bytes32[](3);
        vm.prank(by);
        vm.expectPartialRevert(selector);
        escrow.deliver(d, st, Curve.GX, 27, masked);
    }

    function _deliverNoPoint(uint256 x, uint8 v) private {
        vm.prank(deliverer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotAPoint.selector, x, v));
        escrow.deliver(d, st, x, v, new bytes32[](3));
    }

    function _deliverRefunds(IEscrow.Refund reason) private {
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(hashDeal(d), reason, d.price);
        vm.prank(deliverer);
        escrow.deliver(d, st, 0, 0, new bytes32[](0));
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "credit");
        assertEq(escrow.bondOf(deliverer, address(token)), d.bond, "bond stays");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(4, 0)), "word");
    }
}

/// @dev Three nodes, node 1 delivered wrong; every way in which a claim could be bent.
contract WrongKeyTest is EscrowBase {
    function setUp() external {
        prepare(3, 26);
        fund();
        serve(1);
    }

    function test_whenTheKeyIsWrong_priceAndBondGoToTheBuyer() external {
        WrongKey memory c = claim(1, 2);
        vm.expectEmit(address(escrow));
        emit IEscrow.WrongKeyProved(hashDeal(d), stranger, 1, leaves[2]);
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(hashDeal(d), IEscrow.Refund.WrongKey, d.price + d.bond);
        vm.prank(stranger);
        escrow.proveWrongKey(d, st, out, c);
        assertEq(escrow.creditOf(buyer, address(token)), d.price + d.bond, "credit");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(4, st.deliveryHash)), "word");
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.proveWrongKey(d, st, out, c);
    }

    function test_whenTheWindowIsOverButNobodyReleased_itStillHolds() external {
        WrongKey memory c = claim(1, 2);
        pass(5000);
        escrow.proveWrongKey(d, st, out, c);
    }

    function test_whenTheKeyIsRight_itReverts() external {
        _refused(claim(0, 0), IEscrow.Escrow_KeyIsRight.selector);
        _refused(claim(0, 1), IEscrow.Escrow_KeyIsRight.selector);
        _refused(claim(2, 3), IEscrow.Escrow_KeyIsRight.selector);
    }

    function test_whenTheScalarIsPlusN_itReverts() external {
        // b + n fits a word only for b below 2^256 − n, so this node's key is small.
        uint256 small = 7;
        (uint256 x, uint256 y) = point(small);
        list[0] = KeyNode(26, F, x, parity(y));
        d.keysRoot = Merkle.root(nodeLeaves(list));
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        serve(9);
        WrongKey memory c = claim(0, 0);
        c.b = N + small;
        (c.Sx, c.Sy) = point(mulmod(E_KEY, small, N));
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
        c.b = N;
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
        c.b = type(uint256).max;
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
        c.b = 0;
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
        c.b = small; // the one that fits: no error about the key, and the masked node was made for another
        escrow.proveWrongKey(d, st, out, c);
    }

    function test_whenTheScalarIsTheSecondOne_itReverts() external {
        // (n − b)·G has the same x: with its S and the other parity the unmasking would be the same, so both are refused.
        WrongKey memory c = claim(0, 0);
        c.b = N - c.b;
        (c.Sx, c.Sy) = point(mulmod(E_KEY, c.b, N));
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
        c.node.v = c.node.v == 27 ? 28 : 27;
        _refused(c, IEscrow.Escrow_WrongNode.selector);
    }

    function testFuzz_whenTheScalarIsAnyOther_itReverts(uint256 other) external {
        WrongKey memory c = claim(0, 0);
        vm.assume(other != c.b);
        c.b = other;
        _refused(c, IEscrow.Escrow_WrongPrivateKey.selector);
    }

    function testFuzz_whenTheSharedPointIsAnother_itReverts(uint256 sx, uint256 sy) external {
        WrongKey memory c = claim(0, 0);
        vm.assume(sx != c.Sx || sy != c.Sy);
        (c.Sx, c.Sy) = (sx, sy);
        _refused(c, IEscrow.Escrow_WrongSharedPoint.selector);
    }

    function test_whenTheSharedPointIsOfTheOtherParity_itReverts() external {
        WrongKey memory c = claim(0, 0);
        c.Sy = Curve.P - c.Sy;
        _refused(c, IEscrow.Escrow_WrongSharedPoint.selector);
        c = claim(0, 0);
        unchecked {
            c.Sx += Curve.P; // the same residue where it fits a word
        }
        _refused(c, IEscrow.Escrow_WrongSharedPoint.selector);
    }

    function test_whenTheDeliveryIsAnother_itReverts() external {
        WrongKey memory c = claim(0, 0);
        Delivery memory x = out;
        x.masked[0] = 0;
        vm.expectPartialRevert(IEscrow.Escrow_WrongDelivery.selector);
        escrow.proveWrongKey(d, st, x, c);
        x = out;
        x.vE = x.vE == 27 ? 28 : 27;
        vm.expectPartialRevert(IEscrow.Escrow_WrongDelivery.selector);
        escrow.proveWrongKey(d, st, x, c);
    }

    function test_whenTheIndexIsAnother_itReverts() external {
        WrongKey memory c = claim(0, 0);
        c.index = 1;
        _refused(c, IEscrow.Escrow_WrongNode.selector);
        c.index = 3;
        _refused(c, IEscrow.Escrow_WrongNode.selector);
    }

    function test_whenTheNodeIsAnother_itReverts() external {
        WrongKey memory c = claim(0, 0);
        c.node.depth = 27;
        _refused(c, IEscrow.Escrow_WrongNode.selector);
        c = claim(0, 0);
        c.node.firstSlot += 64;
        _refused(c, IEscrow.Escrow_WrongNode.selector);
        c = claim(0, 0);
        c.nodeProof = new bytes32[](0);
        _refused(c, IEscrow.Escrow_WrongNode.selector);
    }

    function test_whenTheSlotIsOutsideTheNode_itReverts() external {
        _refused(claim(0, 2), IEscrow.Escrow_NodeMisplaced.selector); // after it
        _refused(claim(2, 2), IEscrow.Escrow_NodeMisplaced.selector); // before it
        _refused(claim(1, 3), IEscrow.Escrow_NodeMisplaced.selector);
    }

    /// @dev A deal whose cover leaves node 1 out, as it would for an erased range: no leaf is above the slot of pack 2.
    function test_whenTheSlotIsInAHole_itReverts() external {
        WrongKey memory c = claim(1, 2);
        KeyNode[] memory without = new KeyNode[](2);
        (without[0], without[1]) = (list[0], list[2]);
        d.keysRoot = Merkle.root(nodeLeaves(without));
        (d.nodes, d.nonce) = (2, keccak256("holed"));
        d.holesHash = keccak256(abi.encodePacked(list[1].firstSlot, list[2].firstSlot - 1));
        st = openDeal(d, without);
        depositBond(deliverer, d.bond);
        bytes32[] memory secrets = new bytes32[](2);
        (secrets[0], secrets[1]) = (keccak256("wrong"), keccak256("wrong too"));
        Delivery memory made = delivery(d, secrets);
        (out.Ex, out.vE, out.masked) = (made.Ex, made.vE, made.masked);
        st = deliver(deliverer, d, st, out);
        for (uint16 i = 0; i < 2; ++i) {
            (c.index, c.node, c.nodeProof) = (i, without[i], Merkle.proof(nodeLeaves(without), i));
            _refused(c, IEscrow.Escrow_NodeMisplaced.selector);
        }
        (c.index, c.node, c.nodeProof) = (1, list[1], Merkle.proof(nodeLeaves(list), 1));
        _refused(c, IEscrow.Escrow_WrongNode.selector);
    }

    function test_whenThePackIsOfAnotherStream_itReverts() external {
        WrongKey memory c = claim(1, 2);
        c.pack.streamId = keccak256("other");
        _refused(c, IEscrow.Escrow_PackOfOtherStream.selector);
    }

    function test_whenThePackIsNotInTheEpoch_itReverts() external {
        WrongKey memory c = claim(0, 0);
        c.pack.keyCommitment = 0;
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
        c = claim(0, 0);
        c.packProof[0] = 0;
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
    }

    function test_whenTheEpochIsMadeUp_itReverts() external {
        WrongKey memory c = claim(0, 0);
        c.pack.keyCommitment = 0;
        c.packProof = new bytes32[](0);
        c.epoch.root = hashPack(c.pack);
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
        c.epoch.number = 0;
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
    }

    function test_whenThePackIsAnchoredAfterTheDeal_itReverts() external {
        // The seller's accomplices, or anybody's, may anchor a pack under another key later: it proves nothing.
        Pack memory p = packs[0];
        p.keyCommitment = keccak256("another key");
        WrongKey memory c = claim(0, 0);
        c.pack = p;
        c.packProof = new bytes32[](0);
        pass(1);
        c.epoch = anchorNext(hashPack(p), 1);
        _refused(c, IEscrow.Escrow_EpochTooLate.selector);
    }

    function test_whenNotDelivered_itReverts() external {
        d.nonce = keccak256("again");
        st = openDeal(d, list);
        WrongKey memory c = claim(0, 0);
        vm.expectPartialRevert(IEscrow.Escrow_WrongState.selector);
        escrow.proveWrongKey(d, st, out, c);
    }

    function test_whenTheFallbackDeliveredWrong_itsBondGoes() external {
        d.nonce = keccak256("again");
        st = openDeal(d, list);
        pass(301);
        bytes32[] memory secrets = secretsOf(3);
        secrets[1] = 0;
        out = delivery(d, secrets);
        st = deliver(fallbackDeliverer, d, st, out);
        escrow.proveWrongKey(d, st, out, claim(1, 2));
        assertEq(escrow.bondOf(fallbackDeliverer, address(token)), 0, "bond");
        assertEq(escrow.creditOf(buyer, address(token)), d.price + d.bond, "credit");
    }

    /// @dev Nodes that are no nodes: the list is the buyer's, so the proof must not trust it.
    function test_whenTheListIsNotCanonical_itReverts() external {
        (uint256 x, uint8 v) = (list[0].x, list[0].v);
        _withNode(KeyNode(26, F + 1, x, v), IEscrow.Escrow_NodeMisplaced.selector); // not aligned
        _withNode(KeyNode(33, F, x, v), IEscrow.Escrow_NodeMisplaced.selector); // no such depth
        _withNode(KeyNode(255, F, x, v), IEscrow.Escrow_NodeMisplaced.selector);
        _withNode(KeyNode(23, F - (F % 512), x, v), IEscrow.Escrow_NodeMisplaced.selector); // beyond the window
        _withNode(KeyNode(0, 0, x, v), IEscrow.Escrow_NodeMisplaced.selector); // the whole stream
        _withNode(KeyNode(26, F, 5, 27), IEscrow.Escrow_WrongPrivateKey.selector); // off the curve
        _withNode(KeyNode(26, F, N, 27), IEscrow.Escrow_WrongPrivateKey.selector); // x ≥ n
        _withNode(KeyNode(26, F, type(uint256).max, 27), IEscrow.Escrow_WrongPrivateKey.selector);
        _withNode(KeyNode(26, F, 0, 27), IEscrow.Escrow_WrongPrivateKey.selector);
        _withNode(KeyNode(26, F, x, 29), IEscrow.Escrow_WrongPrivateKey.selector);
    }

    function _withNode(KeyNode memory node, bytes4 selector) private {
        pass(1);
        list[0] = node;
        d.keysRoot = Merkle.root(nodeLeaves(list));
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        serve(9);
        _refused(claim(0, 0), selector);
    }

    function _refused(WrongKey memory c, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        escrow.proveWrongKey(d, st, out, c);
    }
}

/// @dev Two nodes of one slot each: the smallest there are.
contract WrongKeySmallestNodeTest is EscrowBase {
    function setUp() external {
        prepare(2, 32);
    }

    function test_whenTheNodeIsOneSlot_itCanBeProvedWrong() external {
        fund();
        serve(0);
        escrow.proveWrongKey(d, st, out, claim(0, 0));
        assertEq(escrow.creditOf(buyer, address(token)), d.price + d.bond, "price and bond to the buyer");
    }

    function test_whenTheNodeIsTheSlotAfterTheWindow_itReverts() external {
        d.toSlot = F;
        d.endMs = 60_000 * (uint64(F) + 1) - 1;
        fund();
        serve(1);
        WrongKey memory c = claim(1, 2);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NodeMisplaced.selector, uint8(32), F + 1, F + 1));
        escrow.proveWrongKey(d, st, out, c);
    }
}

/// @dev A marketplace that pays what it has.
contract ShortPayer {
    function pay(IERC20 token, address, uint256) external {
        // solhint-disable-next-line reentrancy
        token.transfer(msg.sender, token.balanceOf(address(this)));
    }
}

/// @dev Takes from whom it pays.
contract ShrinkingToken {
    uint256 private _balance = 100;

    function transferFrom(address, address, uint256) external returns (bool) {
        _balance -= 50;
        return true;
    }

    function balanceOf(address) external view returns (uint256) {
        return _balance;
    }
}

/// @dev What tokens must not be: takes a fee, or calls back.
contract OddToken {
    IEscrow private immutable _escrow;
    bool private immutable _fee;
    bool private _attacking;
    mapping(address account => uint256) public balanceOf;

    constructor(IEscrow escrow, bool fee) {
        (_escrow, _fee) = (escrow, fee);
    }

    function depositFor(uint256 amount) external {
        _escrow.depositBond(address(this), amount);
    }

    function attack() external {
        _attacking = true;
        _escrow.withdrawBond(address(this), 50);
    }

    function transferFrom(address, address to, uint256 amount) external returns (bool) {
        balanceOf[to] += _fee ? amount - 1 : amount;
        return true;
    }

    function transfer(address, uint256) external returns (bool) {
        if (_attacking) _escrow.withdrawBond(address(this), 50);
        return true;
    }
}
