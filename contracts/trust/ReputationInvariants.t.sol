// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal} from "../data/ProtocolTypes.sol";
import {Status} from "../market/IEscrow.sol";
import {Facet, IReputation, Score} from "./IReputation.sol";
import {TrustFixture} from "./TrustFixture.t.sol";
import {TrustMath} from "./TrustMath.sol";

/// @dev Three colluding organisations of two accounts each and eight citizens' accounts, with all the money there is, make
/// deals with one provider and rate it, in any order and at any time. Nobody else rates it. One honest organisation
/// is rated by them too.
contract ReputationHandler is TrustFixture {
    uint256 public constant COLLUDERS = 3;

    address[] private _raters;
    address[2] private _sellers;
    bytes32[2] private _providers;
    uint256 public burnt;
    uint256 public weights;
    uint256 private _deals;

    constructor() {
        deployTrust();
        for (uint256 i = 0; i < 6; ++i) {
            _raters.push(citizen(i));
            directory.setOrganisation(_raters[i], organisation(20 + i / 2));
        }
        for (uint256 i = 6; i < 14; ++i) _raters.push(citizen(i));
        _sellers = [member(40), member(41)];
        _providers = [organisation(40), organisation(41)];
    }

    /* actions */

    function rateAny(uint256 who, bool honest, uint8[3] calldata opinions, uint256 fee) external {
        address rater = _raters[who % _raters.length];
        uint256 p = honest ? 1 : 0;
        fee = bound(fee, 0, 5e6);
        (Deal memory d, Status memory s) = _deal(rater, _sellers[p]);
        uint256 weight = reputation.weightOf(rater, uint64(fee));
        uint256 room = reputation.roomOf(rater, _providers[p]);
        bool fits = weight != 0 && weight <= room;
        if (weight == 0) vm.expectPartialRevert(IReputation.Reputation_FeeTooSmall.selector);
        else if (!fits) vm.expectPartialRevert(IReputation.Reputation_CapReached.selector);
        _send(rater, d, s, opinions, uint64(fee));
        if (!fits) return;
        burnt += fee;
        weights += weight;
    }

    /// @dev All that there is room for, to the last unit.
    function fill(uint256 who, uint8[3] calldata opinions) external {
        address rater = _raters[who % _raters.length];
        (Deal memory d, Status memory s) = _deal(rater, _sellers[0]);
        uint256 room = reputation.roomOf(rater, _providers[0]);
        uint64 fee = 4e6;
        for (uint64 step = 2e6; step > 0; step /= 2) {
            if (reputation.weightOf(rater, fee) > room) fee -= step;
            else fee += step;
        }
        while (fee > 0 && reputation.weightOf(rater, fee) > room) --fee;
        uint256 weight = reputation.weightOf(rater, fee);
        if (weight == 0) return;
        _send(rater, d, s, opinions, fee);
        burnt += fee;
        weights += weight;
    }

    /// @dev Colluders raise one another, so that their fees weigh more.
    function raiseOneAnother(uint256 who, uint256 whom) external {
        address rater = _raters[who % 6];
        address seller = _raters[whom % 6];
        (bytes32 a, ) = reputation.providerOf(rater);
        (bytes32 b, ) = reputation.providerOf(seller);
        (Deal memory d, Status memory s) = _deal(rater, seller);
        uint256 weight = reputation.weightOf(rater, 1e5);
        bool fits = weight <= reputation.roomOf(rater, b);
        if (a == b) vm.expectPartialRevert(IReputation.Reputation_OwnProvider.selector);
        else if (!fits) vm.expectPartialRevert(IReputation.Reputation_CapReached.selector);
        vm.prank(rater);
        reputation.rate(d, s, all(100), 1e5);
        if (a == b || !fits) return;
        burnt += 1e5;
        weights += weight;
    }

    /// @dev An account leaves its organisation for another of the colluders'.
    function move(uint256 who, uint256 to) external {
        directory.setOrganisation(_raters[who % 6], organisation(20 + (to % 3)));
    }

    function rateWithoutADeal(uint256 who, bytes32 nonce, uint8 state) external {
        address rater = _raters[who % _raters.length];
        Deal memory d;
        (d.buyer, d.seller, d.nonce) = (rater, _sellers[0], nonce);
        Status memory s = status(state, "x");
        vm.expectPartialRevert(IReputation.Reputation_WrongStatus.selector);
        vm.prank(rater);
        reputation.rate(d, s, all(100), 1e5);
    }

    function passTime(uint32 secs) external {
        pass(secs % 40 days);
    }

    /* checks */

    function checkBound() external view {
        (bytes32 p, uint256 k) = (_providers[0], COLLUDERS);
        for (uint8 f = 0; f < 3; ++f) {
            Score memory score = reputation.scoreOf(p, Facet(f));
            assertTrue(score.lower <= reputation.boundOf(k), "under what three organisations can buy");
            assertTrue(score.lower <= score.mean, "lower");
            uint256 most = TrustMath.meanOf((k + 1) * TrustMath.PAIR_CAP, 0);
            // evidence against is rounded up, a unit in 65,536 a rating
            uint256 least = TrustMath.meanOf(0, (k + 1) * TrustMath.PAIR_CAP + _deals);
            assertTrue(score.mean <= most && score.mean >= least, "nor can they move the mean further, up or down");
        }
    }

    function checkMoney() external view {
        assertTrue(weights * 1e6 <= burnt << 16, "a unit of evidence costs at least a token");
        assertEq(token.totalSupply(), 16 * 1e12 - burnt, "what was paid is gone");
        assertEq(token.balanceOf(address(reputation)), 0, "nothing is held");
    }

    /* private */

    /// @dev A new deal, later than all before.
    function _deal(address rater, address seller) private returns (Deal memory, Status memory) {
        pass(1);
        return finished(rater, seller, 3, bytes32(++_deals));
    }

    function _send(address rater, Deal memory d, Status memory s, uint8[3] calldata x, uint64 fee) private {
        vm.prank(rater);
        reputation.rate(d, s, values(x[0] % 101, x[1] % 101, x[2] % 101), fee);
    }
}

contract ReputationInvariants is TrustFixture {
    ReputationHandler private _handler;
    bytes4[] private _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        _handler = new ReputationHandler();
        targetContract(address(_handler));
        _actions = [
            ReputationHandler.rateAny.selector,
            ReputationHandler.fill.selector,
            ReputationHandler.raiseOneAnother.selector,
            ReputationHandler.move.selector,
            ReputationHandler.rateWithoutADeal.selector,
            ReputationHandler.passTime.selector
        ];
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(_handler), _actions);
    }

    function invariant_colludersStayUnderThePublishedBound() external view {
        _handler.checkBound();
    }

    function invariant_everyUnitOfEvidenceWasPaidFor() external view {
        _handler.checkMoney();
    }
}
