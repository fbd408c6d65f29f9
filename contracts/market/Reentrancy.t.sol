// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";

import {Deal} from "../data/ProtocolTypes.sol";
import {ArbitrationBase} from "./Arbitration.t.sol";
import {IEscrow, KeyNode, Status} from "./IEscrow.sol";
import {IPayer} from "./IPayer.sol";

/// @dev What an escrow calls beside tokens: a marketplace that pays, and an arbitration that takes a case. Each calls back in.
contract ReentrancyTest is ArbitrationBase {
    Caller private _caller;

    function setUp() external {
        prepare(1, 26);
        _caller = new Caller();
        escrowWith(address(_caller));
        directory.setModule("Marketplace", address(_caller), 3);
        _caller.serve(escrow);
        token.mint(address(_caller), 1e9);
        vm.prank(address(_caller));
        token.approve(address(escrow), type(uint256).max);
        depositBond(deliverer, d.bond);
        depositBond(stranger, 1e6);
    }

    function test_open_whenThePayerCallsBack_theEscrowIsLocked() external {
        bytes[] memory inward = _inward();
        uint256 held = token.balanceOf(address(escrow));
        for (uint256 i = 0; i < inward.length; ++i) {
            _caller.callBack(inward[i]);
            _open(keccak256(abi.encode(i)));
            _locked();
        }
        assertEq(token.balanceOf(address(escrow)), held + inward.length * d.price, "each deal is paid");
        assertEq(escrow.bondOf(address(_caller), address(token)), 0, "no bond out of a price");
    }

    /// @dev Its deposit would be counted twice: as a bond and as the price.
    function test_open_whenThePayerPaysByABond_itReverts() external {
        _caller.callBack(abi.encodeCall(escrow.depositBond, (address(token), d.price)));
        _caller.payNothing();
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_NotFunded.selector, address(token), d.price, 0));
        _open("unpaid");
    }

    /// @dev What only books is open inside: a deal that is ended there is paid all the same, or not opened.
    function test_open_whenThePayerEndsTheDealInside_itIsPaidOrNotOpened() external {
        (d.deliverer, d.fallbackDeliverer, d.nonce) = (address(_caller), address(0), "ended inside");
        st = status(1, 0);
        _caller.callBack(abi.encodeCall(escrow.decline, (d, st)));
        uint256 held = token.balanceOf(address(escrow));
        _open(d.nonce);
        assertEq(_caller.answer().length, 0, "declined inside");
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "refunded");
        assertEq(token.balanceOf(address(escrow)), held + d.price, "and paid");

        d.nonce = "ended inside, unpaid";
        _caller.callBack(abi.encodeCall(escrow.decline, (d, st)));
        _caller.payNothing();
        vm.expectPartialRevert(IEscrow.Escrow_NotFunded.selector);
        _open(d.nonce);
        assertEq(escrow.statusWord(hashDeal(d)), 0, "not opened");
        assertEq(escrow.creditOf(buyer, address(token)), d.price, "nothing more is owed");
    }

    function test_dispute_whenTheArbitrationCallsBack_theEscrowIsLocked() external {
        bytes[] memory inward = _inward();
        for (uint256 i = 0; i < inward.length; ++i) {
            _delivered(keccak256(abi.encode(i)));
            _caller.callBack(inward[i]);
            complain();
            _locked();
            assertEq(escrow.statusWord(hashDeal(d)), word(st), "disputed");
        }
        _delivered("twice");
        Status memory disputed = status(5, st.deliveryHash);
        _caller.callBack(abi.encodeCall(escrow.dispute, (d, disputed, "again")));
        complain();
        _locked();
    }

    /// @dev The case is booked and its bond is in before the arbitration is asked, so no other end is open there.
    function test_dispute_whenTheArbitrationWouldEndTheDealInside_onlyItsRulingDoes() external {
        _delivered("to be released");
        _caller.callBack(abi.encodeCall(escrow.release, (d, st)));
        complain();
        _answered(IEscrow.Escrow_WrongStatus.selector);

        _delivered("to be resolved");
        uint256 held = token.balanceOf(address(escrow));
        _caller.callBack(abi.encodeCall(escrow.resolve, (d, status(5, st.deliveryHash))));
        complain();
        assertEq(_caller.answer().length, 0, "ruled at once");
        assertEq(escrow.creditOf(buyer, address(token)), d.price / 10, "nobody judged: the bond goes back");
        assertEq(escrow.creditOf(owner, address(token)), d.price - d.fee, "the sale stands");
        assertEq(token.balanceOf(address(escrow)), held + d.price / 10, "all of it is there");
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.resolve(d, st);
    }

    /* private */

    /// @dev Each function that moves tokens.
    function _inward() private view returns (bytes[] memory inward) {
        Deal memory other = d;
        other.nonce = "inside";
        KeyNode[] memory made = list;
        inward = new bytes[](4);
        inward[0] = abi.encodeCall(escrow.depositBond, (address(token), 1));
        inward[1] = abi.encodeCall(escrow.withdrawBond, (address(token), 0));
        inward[2] = abi.encodeCall(escrow.withdraw, (address(token)));
        inward[3] = abi.encodeCall(escrow.open, (other, stream(), made));
    }

    function _open(bytes32 nonce) private {
        d.nonce = nonce;
        KeyNode[] memory made = list;
        Deal memory opened = d;
        vm.prank(address(_caller));
        escrow.open(opened, stream(), made);
        st = status(1, 0);
    }

    function _delivered(bytes32 nonce) private {
        _caller.callBack("");
        _open(nonce);
        depositBond(deliverer, d.bond);
        serve(9);
        stake();
    }

    function _locked() private view {
        _answered(ReentrancyGuard.ReentrancyGuardReentrantCall.selector);
    }

    function _answered(bytes4 selector) private view {
        assertTrue(_caller.calls() != 0, "it called");
        assertEq(bytes32(bytes4(_caller.answer())), bytes32(selector), "the answer");
    }
}

/// @dev Marketplace and arbitration in one, that calls the escrow back from inside both.
contract Caller is IPayer {
    IEscrow private _escrow;
    bytes private _data;
    bool private _pays;
    /// @dev What the call back in answered: empty if it succeeded.
    bytes public answer;
    uint256 public calls;

    function serve(IEscrow escrow) external {
        _escrow = escrow;
    }

    function callBack(bytes calldata data) external {
        (_data, _pays, calls) = (data, true, 0);
    }

    function payNothing() external {
        _pays = false;
    }

    function pay(IERC20 token, address, uint256 amount) external {
        _callBack();
        // solhint-disable-next-line gas-custom-errors
        require(!_pays || token.transfer(msg.sender, amount), "pay");
    }

    function open(bytes32, address[4] calldata, uint64) external {
        _callBack();
    }

    function caseSeconds() external pure returns (uint32) {
        return 100;
    }

    function ruling(address, bytes32) external pure returns (uint16, address[] memory) {
        return (0, new address[](0));
    }

    function _callBack() private {
        if (_data.length == 0) return;
        ++calls;
        (bool ok, bytes memory result) = address(_escrow).call(_data);
        answer = ok ? bytes("") : result;
    }
}
