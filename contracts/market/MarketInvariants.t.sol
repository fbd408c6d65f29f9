// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {KeyNode} from "./IEscrow.sol";
import {IMarketplace} from "./IMarketplace.sol";
import {Offer, Request} from "./Orders.sol";

/// @dev Signed orders in random pairs: small and large, some cancelled, some beyond the limit; a model of who may still
/// fill what.
contract MarketHandler is Fixture {
    uint256 private constant SALTS = 3;
    uint256 private constant NONCES = 16;

    KeyNode[] private _nodes;
    Deal private _deal;
    uint256[SALTS] private _filled;
    uint64[SALTS] private _amounts = [uint64(100), 1000, 5000];
    bool[SALTS] private _cancelled;
    uint256[NONCES] private _deals;
    bool[NONCES] private _dead;
    /// @dev Counters of seller and buyer, as far as the model knows.
    uint64[2] private _counters;
    uint256 private _paid;

    constructor() {
        deployAll();
        enrolDevice();
        anchorNext("root", 1);
        _nodes.push(nodes(1, 26)[0]);
        _deal = deal(_nodes);
        token.mint(buyer, 1e15);
        vm.prank(buyer);
        token.approve(address(market), type(uint256).max);
    }

    /* actions */

    function settle(uint8 salt, uint8 nonce, uint64 readings, uint32 unitPrice, uint64 maxPrice, bool stale) external {
        (salt, nonce) = (uint8(salt % SALTS), uint8(nonce % NONCES));
        (Offer memory o, Request memory r) = orders(_deal);
        (o.salt, o.amount, o.unitPrice) = (bytes32(uint256(salt)), _amounts[salt], unitPrice);
        o.counter = _counters[0];
        (r.nonce, r.readings, r.maxPrice) = (bytes32(uint256(nonce)), uint64(bound(readings, 0, 800)), maxPrice);
        r.counter = stale && _counters[1] > 0 ? _counters[1] - 1 : _counters[1];
        bytes memory ofSeller = sign(OWNER_KEY, typed("Marketplace", address(market), hashOffer(o)));
        bytes memory ofBuyer = sign(BUYER_KEY, typed("Marketplace", address(market), hashRequest(r)));

        uint256 price = uint256(unitPrice) * r.readings;
        bytes4 refusal;
        if (r.counter != _counters[1]) refusal = IMarketplace.Marketplace_WrongCounter.selector;
        else if (price > maxPrice) refusal = IMarketplace.Marketplace_PriceTooHigh.selector;
        else if (_cancelled[salt] || _filled[salt] + r.readings > o.amount) {
            refusal = IMarketplace.Marketplace_OfferFilled.selector;
        } else if (_dead[nonce]) refusal = IMarketplace.Marketplace_RequestUsed.selector;

        if (refusal != 0) vm.expectPartialRevert(refusal);
        vm.prank(stranger);
        market.settle(o, ofSeller, r, ofBuyer, stream(), _nodes, noPermit());
        if (refusal != 0) return;
        _filled[salt] += r.readings;
        _paid += price;
        (_dead[nonce], _deals[nonce]) = (true, _deals[nonce] + 1);
    }

    /// @dev Only what is used up anyway, so that the others go on: the last of each.
    function cancel(bool offer_) external {
        if (offer_) {
            vm.prank(owner);
            market.cancelOffer(bytes32(SALTS - 1));
            _cancelled[SALTS - 1] = true;
        } else {
            vm.prank(buyer);
            market.cancelRequest(bytes32(NONCES - 1));
            _dead[NONCES - 1] = true;
        }
    }

    function cancelAll(bool seller) external {
        escrow.pause();
        vm.prank(seller ? owner : buyer);
        market.cancelAll();
        ++_counters[seller ? 0 : 1];
        escrow.unpause();
    }

    /// @dev Somebody else cancels: it is of its own orders.
    function cancelAsAStranger(uint8 salt, uint8 nonce) external {
        vm.startPrank(stranger);
        market.cancelOffer(bytes32(uint256(salt % SALTS)));
        market.cancelRequest(bytes32(uint256(nonce % NONCES)));
        market.cancelAll();
        vm.stopPrank();
    }

    /* checks */

    function check() external view {
        for (uint256 i = 0; i < SALTS; ++i) {
            assertTrue(_filled[i] <= _amounts[i], "no fill above the signed amount");
            if (!_cancelled[i]) assertEq(market.filledOf(owner, bytes32(i)), _filled[i], "filled");
        }
        for (uint256 i = 0; i < NONCES; ++i) {
            assertTrue(_deals[i] <= 1, "at most one deal a nonce");
            assertTrue(market.isUsed(buyer, bytes32(i)) == _dead[i], "used");
        }
        assertEq(token.balanceOf(address(escrow)), _paid, "the escrow has what was paid");
        assertEq(token.balanceOf(buyer), 1e15 - _paid, "the buyer paid that and no more");
        assertEq(token.balanceOf(address(market)), 0, "the marketplace holds nothing");
    }
}

contract MarketInvariants is Fixture {
    MarketHandler private _handler;
    bytes4[] private _actions;

    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    function setUp() external {
        _handler = new MarketHandler();
        targetContract(address(_handler));
        _actions = [
            MarketHandler.settle.selector,
            MarketHandler.settle.selector,
            MarketHandler.settle.selector,
            MarketHandler.cancel.selector,
            MarketHandler.cancelAll.selector,
            MarketHandler.cancelAsAStranger.selector
        ];
    }

    function targetSelectors() external view returns (FuzzSelector[] memory selectors) {
        selectors = new FuzzSelector[](1);
        selectors[0] = FuzzSelector(address(_handler), _actions);
    }

    function invariant_ordersFillAtMostWhatWasSigned() external view {
        _handler.check();
    }
}
