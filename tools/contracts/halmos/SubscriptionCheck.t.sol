// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {ISubscription, Phase, SubscriptionState, SubscriptionTerms} from "contracts/market/ISubscription.sol";
import {Built} from "./Built.sol";
import {Symbolic, Token} from "./Symbolic.t.sol";

/// @dev Answers as its storage says, which is symbolic.
contract Consent {
    uint64 private _erasures;
    bool private _authorised;

    function consentOf(bytes32, bytes32, address) external view returns (uint64, bool) {
        return (_erasures, _authorised);
    }
}

/// @dev All storage of subscription, token and consent is symbolic; terms and callers are free.
contract SubscriptionCheck is Symbolic {
    ISubscription private subscription;
    Token private token;

    function setUp() public {
        token = new Token();
        Consent consent = new Consent();
        bytes memory arguments = abi.encode(address(0xa), address(0xb), address(0xc), consent, address(0xd));
        subscription = ISubscription(deploy(Built.SUBSCRIPTION, arguments));
        svm.enableSymbolicStorage(address(subscription));
        svm.enableSymbolicStorage(address(token));
        svm.enableSymbolicStorage(address(consent));
    }

    function check_withdraw(address caller, address other) public {
        vm.assume(caller != address(subscription) && other != caller);
        uint256 credit = subscription.creditOf(caller, address(token));
        uint256 others = subscription.creditOf(other, address(token));
        uint256 held = token.balanceOf(address(subscription));
        vm.prank(caller);
        uint256 amount = subscription.withdraw(address(token));
        assert(amount == credit);
        assert(subscription.creditOf(caller, address(token)) == 0);
        assert(subscription.creditOf(other, address(token)) == others);
        assert(token.balanceOf(address(subscription)) == held - credit);
    }

    function check_withdrawBond(address caller, address other, uint256 amount) public {
        vm.assume(caller != address(subscription) && other != caller);
        uint256 bond = subscription.bondOf(caller, address(token));
        uint256 others = subscription.bondOf(other, address(token));
        uint256 held = token.balanceOf(address(subscription));
        vm.prank(caller);
        subscription.withdrawBond(address(token), amount);
        assert(amount <= bond);
        assert(subscription.bondOf(caller, address(token)) == bond - amount);
        assert(subscription.bondOf(other, address(token)) == others);
        assert(token.balanceOf(address(subscription)) == held - amount);
    }

    /// @dev What leaves the deposit is the buyer's credit, to the unit; nobody else's sums change; no token moves.
    function check_end(SubscriptionTerms calldata terms, address caller, address other) public {
        vm.assume(other != terms.buyer);
        bytes32 id = subscription.subscriptionIdOf(terms);
        uint256 deposit = subscription.stateOf(id).balance;
        uint256 credit = subscription.creditOf(terms.buyer, terms.token);
        uint256 otherCredit = subscription.creditOf(other, terms.token);
        uint256 otherBond = subscription.bondOf(other, terms.token);
        vm.prank(caller);
        subscription.end(terms);
        SubscriptionState memory state = subscription.stateOf(id);
        assert(subscription.creditOf(terms.buyer, terms.token) == credit + deposit - state.balance);
        assert(state.phase == Phase.Ending || state.phase == Phase.Ended);
        assert(state.phase == Phase.Ending || state.balance == 0);
        assert(subscription.creditOf(other, terms.token) == otherCredit);
        assert(subscription.bondOf(other, terms.token) == otherBond);
    }

    /* Each of these must be refuted: the way to the end of the call is open. */

    function check_reachable_withdraw(address caller) public {
        vm.prank(caller);
        subscription.withdraw(address(token));
        assert(false);
    }

    function check_reachable_withdrawBond(address caller, uint256 amount) public {
        vm.assume(amount != 0);
        vm.prank(caller);
        subscription.withdrawBond(address(token), amount);
        assert(false);
    }

    function check_reachable_end(SubscriptionTerms calldata terms, address caller) public {
        vm.prank(caller);
        subscription.end(terms);
        assert(false);
    }
}
