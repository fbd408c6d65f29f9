// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal} from "contracts/data/ProtocolTypes.sol";
import {IEscrow, Status} from "contracts/market/IEscrow.sol";
import {Built} from "./Built.sol";
import {Symbolic, Token} from "./Symbolic.t.sol";

/// @dev Says how long it takes, and never rules.
contract Panel {
    function caseSeconds() external pure returns (uint32) {
        return 1000;
    }
}

/// @dev All storage of escrow and token is symbolic, so whatever state there may be; deals, statuses and callers are free.
contract EscrowCheck is Symbolic {
    IEscrow private escrow;
    Token private token;

    function setUp() public {
        token = new Token();
        bytes memory arguments = abi.encode(address(0xa), address(0xb), address(0xc), address(0xd), new Panel());
        escrow = IEscrow(deploy(Built.ESCROW, arguments));
        svm.enableSymbolicStorage(address(escrow));
        svm.enableSymbolicStorage(address(token));
    }

    function check_withdraw(address caller, address other) public {
        vm.assume(caller != address(escrow) && other != caller);
        uint256 credit = escrow.creditOf(caller, address(token));
        uint256 others = escrow.creditOf(other, address(token));
        uint256 bond = escrow.bondOf(caller, address(token));
        uint256 held = token.balanceOf(address(escrow));
        vm.prank(caller);
        uint256 amount = escrow.withdraw(address(token));
        assert(amount == credit);
        assert(escrow.creditOf(caller, address(token)) == 0);
        assert(escrow.creditOf(other, address(token)) == others);
        assert(escrow.bondOf(caller, address(token)) == bond);
        assert(token.balanceOf(address(escrow)) == held - credit);
    }

    function check_withdrawBond(address caller, address other, uint256 amount) public {
        vm.assume(caller != address(escrow) && other != caller);
        uint256 bond = escrow.bondOf(caller, address(token));
        uint256 others = escrow.bondOf(other, address(token));
        uint256 held = token.balanceOf(address(escrow));
        vm.prank(caller);
        escrow.withdrawBond(address(token), amount);
        assert(amount <= bond);
        assert(escrow.bondOf(caller, address(token)) == bond - amount);
        assert(escrow.bondOf(other, address(token)) == others);
        assert(token.balanceOf(address(escrow)) == held - amount);
    }

    /// @dev Seller, deliverer and the rest share price and bond to the unit; nobody else's sums change; no token moves.
    function check_release(Deal calldata deal, Status calldata status, address caller, address other) public {
        vm.assume(deal.fallbackDeliverer != deal.deliverer);
        address deliverer = status.state & 0x80 == 0 ? deal.deliverer : deal.fallbackDeliverer;
        vm.assume(other != deal.seller && other != deliverer);
        uint256 credit = escrow.creditOf(deal.seller, deal.token);
        uint256 bond = escrow.bondOf(deliverer, deal.token);
        uint256 otherCredit = escrow.creditOf(other, deal.token);
        uint256 otherBond = escrow.bondOf(other, deal.token);
        vm.prank(caller);
        escrow.release(deal, status);
        assert(escrow.creditOf(deal.seller, deal.token) == credit + deal.price - deal.fee);
        assert(escrow.bondOf(deliverer, deal.token) == bond + deal.bond + deal.fee);
        assert(escrow.creditOf(other, deal.token) == otherCredit);
        assert(escrow.bondOf(other, deal.token) == otherBond);
        assert(status.state & 0x7f == 2);
    }

    function check_refund(Deal calldata deal, Status calldata status, address caller, address other) public {
        vm.assume(other != deal.buyer);
        uint256 credit = escrow.creditOf(deal.buyer, deal.token);
        uint256 otherCredit = escrow.creditOf(other, deal.token);
        uint256 otherBond = escrow.bondOf(other, deal.token);
        vm.prank(caller);
        escrow.refund(deal, status);
        assert(escrow.creditOf(deal.buyer, deal.token) == credit + deal.price);
        assert(escrow.creditOf(other, deal.token) == otherCredit);
        assert(escrow.bondOf(other, deal.token) == otherBond);
        assert(status.state & 0x7f == 1);
    }

    /// @dev No ruling in time: seller and deliverer get theirs, the buyer the complaint's stake. What a ruling shares out is
    /// proved on a model, since the division is more than the solvers decide on bytecode.
    function check_resolveByTime(Deal calldata deal, Status calldata status, address caller, address other) public {
        address deliverer = status.state & 0x80 == 0 ? deal.deliverer : deal.fallbackDeliverer;
        vm.assume(deal.buyer != deal.seller && other != deal.buyer && other != deal.seller && other != deliverer);
        vm.assume(status.at == 0 && status.atBlock == 0);
        vm.warp(1e9);
        vm.roll(1e8);
        uint256 toBuyer = escrow.creditOf(deal.buyer, deal.token);
        uint256 toSeller = escrow.creditOf(deal.seller, deal.token);
        uint256 bond = escrow.bondOf(deliverer, deal.token);
        uint256 otherCredit = escrow.creditOf(other, deal.token);
        uint256 otherBond = escrow.bondOf(other, deal.token);
        vm.prank(caller);
        escrow.resolve(deal, status);
        assert(escrow.creditOf(deal.buyer, deal.token) == toBuyer + escrow.complaintBondOf(deal));
        assert(escrow.creditOf(deal.seller, deal.token) == toSeller + deal.price - deal.fee);
        assert(escrow.bondOf(deliverer, deal.token) == bond + deal.bond + deal.fee);
        assert(escrow.creditOf(other, deal.token) == otherCredit);
        assert(escrow.bondOf(other, deal.token) == otherBond);
        assert(status.state & 0x7f == 5);
    }

    function check_decline(Deal calldata deal, Status calldata status, address caller, address other) public {
        vm.assume(other != deal.buyer);
        uint256 credit = escrow.creditOf(deal.buyer, deal.token);
        uint256 otherCredit = escrow.creditOf(other, deal.token);
        uint256 otherBond = escrow.bondOf(other, deal.token);
        vm.prank(caller);
        escrow.decline(deal, status);
        uint256 now_ = escrow.creditOf(deal.buyer, deal.token);
        assert(now_ == credit || now_ == credit + deal.price);
        assert(escrow.creditOf(other, deal.token) == otherCredit);
        assert(escrow.bondOf(other, deal.token) == otherBond);
        assert(caller == deal.deliverer || caller == deal.fallbackDeliverer);
    }

    /* Each of these must be refuted: the way to the end of the call is open, so nothing above is proved of nothing. */

    function check_reachable_withdraw(address caller) public {
        vm.prank(caller);
        escrow.withdraw(address(token));
        assert(false);
    }

    function check_reachable_withdrawBond(address caller, uint256 amount) public {
        vm.assume(amount != 0);
        vm.prank(caller);
        escrow.withdrawBond(address(token), amount);
        assert(false);
    }

    function check_reachable_release(Deal calldata deal, Status calldata status, address caller) public {
        vm.prank(caller);
        escrow.release(deal, status);
        assert(false);
    }

    function check_reachable_refund(Deal calldata deal, Status calldata status, address caller) public {
        vm.prank(caller);
        escrow.refund(deal, status);
        assert(false);
    }

    function check_reachable_decline(Deal calldata deal, Status calldata status, address caller) public {
        vm.prank(caller);
        escrow.decline(deal, status);
        assert(false);
    }

    function check_reachable_resolveByTime(Deal calldata deal, Status calldata status, address caller) public {
        vm.assume(status.at == 0 && status.atBlock == 0);
        vm.warp(1e9);
        vm.roll(1e8);
        vm.prank(caller);
        escrow.resolve(deal, status);
        assert(false);
    }
}
