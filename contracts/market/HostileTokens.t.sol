// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Deal} from "../data/ProtocolTypes.sol";
import {HostileToken} from "../test/HostileToken.t.sol";
import {EscrowBase} from "./Escrow.t.sol";
import {IEscrow, Status} from "./IEscrow.sol";
import {IMarketplace, OfferTerms, Permit} from "./IMarketplace.sol";
import {Offer, Request} from "./Orders.sol";

/// @dev Tokens that should never have been let in: each costs at most those who use it, and no other token's money.
contract HostileTokensTest is EscrowBase {
    HostileToken private _odd;
    OfferTerms private _terms;

    function setUp() external {
        prepare(1, 26);
        _odd = new HostileToken();
        escrow.setToken(address(_odd), true);
        d.token = address(_odd);
        _terms = terms();
        _terms.token = address(_odd);
        (d.readings, d.price, d.fee) = (4, 4000, 200);
        vm.prank(owner);
        market.publish(stream(), _terms);
        depositBond(deliverer, 77);
        address[3] memory who = [buyer, deliverer, address(this)];
        for (uint256 i = 0; i < 3; ++i) {
            _odd.mint(who[i], 1e6);
            vm.startPrank(who[i]);
            _odd.approve(address(market), type(uint256).max);
            _odd.approve(address(escrow), type(uint256).max);
            vm.stopPrank();
        }
    }

    function test_whenItTakesAFee_nothingGoesIn() external {
        _odd.behave(HostileToken.Habit.TakesAFee);
        vm.prank(buyer);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotFunded.selector, address(_odd), 4000, 3960));
        market.buy(_terms, stream(), d, list, noPermit());
        vm.prank(deliverer);
        vm.expectPartialRevert(IEscrow.Escrow_NotFunded.selector);
        escrow.depositBond(address(_odd), 1000);
    }

    function test_whenItReturnsFalse_nothingGoesInOrOut() external {
        vm.prank(deliverer);
        escrow.depositBond(address(_odd), 1000);
        _odd.behave(HostileToken.Habit.ReturnsFalse);
        vm.prank(buyer);
        vm.expectPartialRevert(SafeERC20.SafeERC20FailedOperation.selector);
        market.buy(_terms, stream(), d, list, noPermit());
        vm.startPrank(deliverer);
        vm.expectPartialRevert(SafeERC20.SafeERC20FailedOperation.selector);
        escrow.depositBond(address(_odd), 1000);
        vm.expectPartialRevert(SafeERC20.SafeERC20FailedOperation.selector);
        escrow.withdrawBond(address(_odd), 1000);
        assertEq(escrow.bondOf(deliverer, address(_odd)), 1000, "still owed");
    }

    function test_whenItReturnsNothing_allGoesOn() external {
        _odd.behave(HostileToken.Habit.ReturnsNothing);
        _sellAndRelease();
        vm.prank(owner);
        escrow.withdraw(address(_odd));
        assertEq(_odd.balanceOf(owner), 3800, "seller");
        vm.prank(deliverer);
        escrow.withdrawBond(address(_odd), uint256(d.bond) + 200);
        assertEq(_odd.balanceOf(address(escrow)), 0, "all of it");
    }

    function test_whenItReverts_theDealStillEndsAndOtherTokensGoOut() external {
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        st = status(1, 0);
        _odd.behave(HostileToken.Habit.Reverts);
        pass(601);
        escrow.refund(d, st);
        vm.prank(buyer);
        vm.expectRevert();
        escrow.withdraw(address(_odd));
        assertEq(escrow.creditOf(buyer, address(_odd)), 4000, "still owed");
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), 77);
        _odd.behave(HostileToken.Habit.Plain);
        vm.prank(buyer);
        escrow.withdraw(address(_odd));
    }

    /// @dev From inside each call that an escrow makes to a token, by a purchase, by a settlement or of its own, into each
    /// function that moves tokens.
    function test_whenItCallsBack_theEscrowIsLocked() external {
        escrow.depositBond(address(_odd), 1000);
        bytes[] memory inward = _inward();
        for (uint256 i = 0; i < 4; ++i) {
            _odd.callBack(address(escrow), inward[i]);
            escrow.depositBond(address(_odd), 1);
            _locked();
            escrow.withdrawBond(address(_odd), 1);
            _locked();
            d.nonce = keccak256(abi.encode("open", i));
            vm.prank(buyer);
            market.buy(_terms, stream(), d, list, noPermit());
            _locked();
            st = status(1, 0);
            _settle(bytes32(i), noPermit());
            _locked();
            pass(601);
            escrow.refund(d, st);
            vm.prank(buyer);
            assertEq(escrow.withdraw(address(_odd)), 4000, "the refund");
            _locked();
        }
        assertEq(escrow.bondOf(address(this), address(_odd)), 1000, "bond");
        assertEq(_odd.balanceOf(address(escrow)), 1000 + 4 * 4000, "the bond, and what was settled");
    }

    /// @dev What only books goes on inside a withdrawal, and is owed once.
    function test_whenItCallsBackFromAWithdrawalToBook_eachCreditIsPaidOnce() external {
        (Deal memory first, Status memory ofFirst) = _bought("first");
        (Deal memory second, Status memory ofSecond) = _bought("second");
        pass(601);
        escrow.refund(first, ofFirst);
        _odd.callBack(address(escrow), abi.encodeCall(escrow.refund, (second, ofSecond)));
        vm.prank(buyer);
        assertEq(escrow.withdraw(address(_odd)), 4000, "the first");
        assertEq(_odd.answer().length, 0, "the second was refunded inside");
        assertEq(escrow.creditOf(buyer, address(_odd)), 4000, "and is owed");
        _odd.behave(HostileToken.Habit.Plain);
        vm.prank(buyer);
        assertEq(escrow.withdraw(address(_odd)), 4000, "the second");
        assertEq(_odd.balanceOf(address(escrow)), 0, "all of it");
    }

    function test_whenItCallsBackIntoASettlement_theFillIsBookedAndTheEscrowLocked() external {
        _odd.callBack(address(market), _settlement("one", noPermit()));
        _settle("one", noPermit());
        _answered(IMarketplace.Marketplace_RequestUsed.selector);
        _odd.callBack(address(market), _settlement("three", noPermit()));
        _settle("two", noPermit());
        _locked();
        assertEq(market.filledOf(owner, keccak256("offer")), 8, "two fills");
        assertTrue(!market.isUsed(buyer, "three"), "what was refused is free");
        assertEq(_odd.balanceOf(address(escrow)), 2 * 4000, "paid for twice, sold twice");
    }

    /// @dev Inside the permit of a settlement nothing is under way in the escrow, but the fill is booked.
    function test_whenItCallsBackFromThePermitOfASettlement_theSameRequestIsUsed() external {
        Permit memory p;
        p.deadline = 1;
        _odd.callBack(address(market), _settlement("one", noPermit()));
        _settle("one", p);
        assertEq(market.filledOf(owner, keccak256("offer")), 4, "filled once");
        assertEq(_odd.balanceOf(address(escrow)), 4000, "paid once");
        // Another request there is a purchase of its own; the one around it goes on.
        _odd.callBack(address(market), _settlement("three", noPermit()));
        _settle("two", p);
        assertTrue(market.isUsed(buyer, "two") && market.isUsed(buyer, "three"), "both");
        assertEq(market.filledOf(owner, keccak256("offer")), 12, "three fills");
        assertEq(_odd.balanceOf(address(escrow)), 3 * 4000, "paid for thrice, sold thrice");
    }

    function test_whenItCallsBackIntoTheMarket_theEscrowIsLocked() external {
        // Inside `pay` the token buys for itself.
        d.buyer = address(_odd);
        _odd.mint(address(_odd), 1e6);
        _odd.callBack(address(market), abi.encodeCall(market.buy, (_terms, stream(), d, list, noPermit())));
        d.buyer = buyer;
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        _locked();
        // Inside `permit` nothing is under way yet, so a purchase there is one of its own.
        d.nonce = keccak256("permitted");
        Permit memory p;
        p.deadline = 1;
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, p);
        assertEq(_odd.balanceOf(address(escrow)), 2 * 4000, "paid for twice, sold twice");
    }

    function test_whenItCallsBackToEndTheDealBeingOpened_itCantBeEndedUnpaid() external {
        pass(1);
        st = status(1, 0);
        _odd.callBack(address(escrow), abi.encodeCall(escrow.refund, (d, st)));
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        assertEq(
            bytes32(bytes4(_odd.answer())),
            bytes32(IEscrow.Escrow_WindowOpen.selector),
            "not in its first second"
        );
    }

    function test_whenItCallsBackWithinAComplaint_theEscrowIsLocked() external {
        address[] memory judges = new address[](3);
        for (uint256 i = 0; i < 3; ++i) {
            judges[i] = vm.addr(0x10D6E + i);
            directory.setOrganisation(judges[i], bytes32((i + 1) << 200));
        }
        arbitration.setPanel(judges);
        pass(1000);
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        st = status(1, 0);
        vm.startPrank(deliverer);
        escrow.depositBond(address(_odd), d.bond);
        vm.stopPrank();
        serve(9);
        vm.prank(buyer);
        _odd.approve(address(escrow), type(uint256).max);
        uint256 snapshot = _odd.balanceOf(address(escrow));
        _odd.behave(HostileToken.Habit.TakesAFee);
        vm.prank(buyer);
        vm.expectPartialRevert(IEscrow.Escrow_NotFunded.selector);
        escrow.dispute(d, st, 0);
        _odd.callBack(address(escrow), abi.encodeCall(escrow.withdraw, (address(_odd))));
        vm.prank(buyer);
        escrow.dispute(d, st, 0);
        _locked();
        assertEq(_odd.balanceOf(address(escrow)), snapshot + escrow.complaintBondOf(d), "the complaint's bond");
    }

    function _inward() private view returns (bytes[] memory inward) {
        inward = new bytes[](4);
        inward[0] = abi.encodeCall(escrow.depositBond, (address(_odd), 1));
        inward[1] = abi.encodeCall(escrow.withdrawBond, (address(_odd), 1));
        inward[2] = abi.encodeCall(escrow.withdraw, (address(_odd)));
        inward[3] = abi.encodeCall(escrow.open, (d, stream(), list));
    }

    function _bought(bytes32 nonce) private returns (Deal memory, Status memory) {
        d.nonce = nonce;
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        return (d, status(1, 0));
    }

    function _settle(bytes32 nonce, Permit memory p) private {
        bytes memory data = _settlement(nonce, p);
        vm.prank(stranger);
        (bool ok, ) = address(market).call(data);
        assertTrue(ok, "settled");
    }

    function _settlement(bytes32 nonce, Permit memory p) private view returns (bytes memory) {
        (Offer memory o, Request memory r) = orders(d);
        (o.token, r.token, r.nonce) = (address(_odd), address(_odd), nonce);
        bytes memory ofSeller = sign(OWNER_KEY, typed("Marketplace", address(market), hashOffer(o)));
        bytes memory ofBuyer = sign(BUYER_KEY, typed("Marketplace", address(market), hashRequest(r)));
        return abi.encodeCall(market.settle, (o, ofSeller, r, ofBuyer, stream(), list, p));
    }

    function _sellAndRelease() private {
        vm.prank(buyer);
        market.buy(_terms, stream(), d, list, noPermit());
        st = status(1, 0);
        vm.prank(deliverer);
        escrow.depositBond(address(_odd), d.bond);
        serve(9);
        pass(1201);
        escrow.release(d, st);
    }

    function _locked() private view {
        _answered(ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
    }

    function _answered(bytes4 selector) private view {
        assertTrue(_odd.calls() != 0, "it called");
        assertEq(bytes32(bytes4(_odd.answer())), bytes32(selector), "the answer");
    }
}
