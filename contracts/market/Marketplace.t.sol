// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20Metadata} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Metadata.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {Deal, Stream} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IEscrow, KeyNode} from "./IEscrow.sol";
import {IMSecToken} from "./IMSecToken.sol";
import {IMarketplace, OfferTerms, Permit} from "./IMarketplace.sol";

contract MarketplaceTest is Fixture {
    bytes32 private _offer;
    KeyNode[] private _nodes;
    Deal private _deal;

    function setUp() external {
        deployAll();
        enrolDevice();
        anchorNext("root", 1);
        KeyNode[] memory list = nodes(2, 26);
        for (uint256 i = 0; i < 2; ++i) _nodes.push(list[i]);
        _deal = deal(list);
        vm.prank(owner);
        _offer = market.publish(stream(), terms());
        token.mint(buyer, 10 * uint256(_deal.price));
    }

    /* publish, close */

    function test_publish_whenByTheOwner_itIsKept() external {
        OfferTerms memory t = terms();
        t.unitPrice = 1;
        bytes32 id = keccak256(abi.encode(hashStream(stream()), t));
        vm.expectEmit(address(market));
        emit IMarketplace.OfferPublished(id, hashStream(stream()), owner, stream(), t);
        vm.prank(owner);
        assertEq(market.publish(stream(), t), id, "id");
        (IMarketplace.OfferState state, address seller) = market.offer(id);
        assertEq(uint8(state), 1, "state");
        assertEq(seller, owner, "seller");
        assertEq(market.offerIdOf(hashStream(stream()), t), id, "id of");
    }

    function test_publish_whenTheFeeIsTheWholePrice_itIsKept() external {
        OfferTerms memory t = terms();
        t.feePerMille = 1000;
        vm.prank(owner);
        (IMarketplace.OfferState state, ) = market.offer(market.publish(stream(), t));
        assertEq(uint8(state), 1, "state");
    }

    function test_publish_whenWrong_itReverts() external {
        OfferTerms memory t = terms();
        _publishRefused(stranger, stream(), t, IMarketplace.Marketplace_NotSeller.selector);
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_OfferState.selector);
        (t.fromSlot, t.toSlot) = (2, 1);
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_WrongWindow.selector);
        t = terms();
        t.feePerMille = 1001;
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_FeePerMille.selector);
        t = terms();
        t.deliverer = address(0);
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_DelivererZero.selector);
        t = terms();
        t.deliverSeconds = 0;
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_WindowZero.selector);
        t = terms();
        t.complainSeconds = 0;
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_WindowZero.selector);
        t = terms();
        t.token = address(this);
        _publishRefused(owner, stream(), t, IMarketplace.Marketplace_TokenNotAllowed.selector);
        Stream memory s = stream();
        s.mode = 3;
        _publishRefused(owner, s, terms(), IMarketplace.Marketplace_StreamShape.selector);
        s.mode = 2;
        _publishRefused(owner, s, terms(), IMarketplace.Marketplace_StreamShape.selector);
        s.slotSeconds = 0;
        _publishRefused(owner, s, terms(), IMarketplace.Marketplace_WrongWindow.selector);
    }

    function testFuzz_publish_slotLengths(uint32 slotSeconds) external {
        Stream memory s = stream();
        s.slotSeconds = slotSeconds;
        bool ok = slotSeconds == 1 || slotSeconds == 10 || slotSeconds == 60;
        ok = ok || slotSeconds == 600 || slotSeconds == 3600 || slotSeconds == 86400;
        s.salt = "other";
        if (!ok) vm.expectPartialRevert(IMarketplace.Marketplace_StreamShape.selector);
        vm.prank(owner);
        market.publish(s, terms());
    }

    function test_publish_everySlotLengthOfTheProtocol() external {
        Stream memory s = stream();
        s.salt = "other";
        uint32[6] memory lengths = [uint32(1), 10, 60, 600, 3600, 86_400];
        for (uint256 i = 0; i < 6; ++i) {
            s.slotSeconds = lengths[i];
            vm.prank(owner);
            assertTrue(market.publish(s, terms()) != 0, "published");
        }
    }

    function test_publish_whenADataSet_itHasOneSlot() external {
        Stream memory s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
        OfferTerms memory t = terms();
        (t.fromSlot, t.toSlot) = (0, 0);
        vm.prank(owner);
        bytes32 id = market.publish(s, t);
        (IMarketplace.OfferState state, ) = market.offer(id);
        assertEq(uint8(state), 1, "open");
    }

    function test_close_isFinal() external {
        vm.prank(stranger);
        vm.expectPartialRevert(IMarketplace.Marketplace_NotSeller.selector);
        market.close(_offer);
        vm.prank(owner);
        vm.expectEmit(address(market));
        emit IMarketplace.OfferClosed(_offer);
        market.close(_offer);
        vm.prank(owner);
        vm.expectPartialRevert(IMarketplace.Marketplace_OfferState.selector);
        market.close(_offer);
        _publishRefused(owner, stream(), terms(), IMarketplace.Marketplace_OfferState.selector);
        _buyRefused(_deal, IMarketplace.Marketplace_OfferState.selector);
    }

    /* buy */

    function test_buy_whenAllowed_itPaysAndOpensInOne() external {
        _approve(_deal.price);
        vm.expectEmit(address(market));
        emit IMarketplace.Bought(_offer, hashDeal(_deal), buyer);
        vm.prank(buyer);
        assertEq(market.buy(terms(), stream(), _deal, _nodes, noPermit()), hashDeal(_deal), "id");
        assertEq(escrow.statusWord(hashDeal(_deal)), word(status(1, 0)), "funded");
        assertEq(token.balanceOf(address(escrow)), _deal.price, "escrow");
        assertEq(token.balanceOf(address(market)), 0, "the marketplace holds nothing");
    }

    function test_buy_whenItIsTheOffersWholeWindow_itIsSold() external {
        OfferTerms memory t = terms();
        (t.fromSlot, t.toSlot) = (_deal.fromSlot, _deal.toSlot);
        vm.prank(owner);
        market.publish(stream(), t);
        _approve(_deal.price);
        vm.prank(buyer);
        market.buy(t, stream(), _deal, _nodes, noPermit());
        assertEq(token.balanceOf(address(escrow)), _deal.price, "escrow");
    }

    function test_buy_whenPermitted_itNeedsNoApproval() external {
        Permit memory p = _permit(_deal.price);
        vm.prank(buyer);
        market.buy(terms(), stream(), _deal, _nodes, p);
        assertEq(token.balanceOf(address(escrow)), _deal.price, "escrow");
    }

    function test_buy_whenThePermitWasUsedUp_itStillWorks() external {
        Permit memory p = _permit(_deal.price);
        vm.prank(stranger);
        IERC20Permit(address(token)).permit(buyer, address(market), p.value, p.deadline, p.v, p.r, p.s);
        vm.prank(buyer);
        market.buy(terms(), stream(), _deal, _nodes, p);
    }

    function test_buy_whenThePermitIsBadOrShort_itReverts() external {
        Permit memory p = _permit(_deal.price);
        p.value += 1;
        vm.prank(buyer);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        market.buy(terms(), stream(), _deal, _nodes, p);
        p = _permit(_deal.price - 1);
        vm.prank(buyer);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
        market.buy(terms(), stream(), _deal, _nodes, p);
    }

    function test_buy_whenByAnyoneElse_itReverts() external {
        _approve(_deal.price);
        vm.prank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IMarketplace.Marketplace_NotBuyer.selector, buyer, stranger));
        market.buy(terms(), stream(), _deal, _nodes, noPermit());
    }

    function test_buy_whenTheEscrowIsPaused_itReverts() external {
        escrow.pause();
        _buyRefused(_deal, Pausable.EnforcedPause.selector);
    }

    function test_buy_whenTwice_itReverts() external {
        _approve(2 * uint256(_deal.price));
        vm.prank(buyer);
        market.buy(terms(), stream(), _deal, _nodes, noPermit());
        _buyRefused(_deal, IEscrow.Escrow_DealKnown.selector);
        assertEq(token.balanceOf(address(escrow)), _deal.price, "paid once");
    }

    function testFuzz_buy_everyPinnedTermIsTheOffers(uint256 field, uint128 value) external {
        Deal memory d = _deal;
        bytes32 before = hashDeal(d);
        field %= 9;
        if (field == 0) d.seller = address(uint160(value));
        if (field == 1) d.deliverer = address(uint160(value));
        if (field == 2) d.fallbackDeliverer = address(uint160(value));
        if (field == 3) d.token = address(uint160(value));
        if (field == 4) d.bond = value;
        if (field == 5) d.deliverSeconds = uint32(value);
        if (field == 6) d.complainSeconds = uint32(value);
        if (field == 7) d.price = value;
        if (field == 8) d.fee = value;
        vm.assume(hashDeal(d) != before);
        bytes4 selector = IMarketplace.Marketplace_TermsDiffer.selector;
        if (field == 7) selector = IMarketplace.Marketplace_WrongPrice.selector;
        if (field == 8) selector = IMarketplace.Marketplace_WrongFee.selector;
        _buyRefused(d, selector);
    }

    function test_buy_whenStreamIsNotTheOffers_itReverts() external {
        Stream memory s = stream();
        s.salt = "mine";
        Deal memory d = _deal;
        d.streamId = hashStream(s);
        vm.prank(buyer);
        vm.expectPartialRevert(IMarketplace.Marketplace_OfferState.selector);
        market.buy(terms(), s, d, _nodes, noPermit());
        vm.prank(buyer);
        vm.expectPartialRevert(IMarketplace.Marketplace_WrongStream.selector);
        market.buy(terms(), s, _deal, _nodes, noPermit());
        OfferTerms memory t = terms();
        t.unitPrice = 0;
        vm.prank(buyer);
        vm.expectPartialRevert(IMarketplace.Marketplace_OfferState.selector);
        market.buy(t, stream(), _deal, _nodes, noPermit());
    }

    function test_buy_whenOutsideTheOffersWindow_itReverts() external {
        Deal memory d = _deal;
        d.fromSlot = F - 1001;
        _buyRefused(d, IMarketplace.Marketplace_WrongWindow.selector);
        d = _deal;
        d.toSlot = F + 1_000_001;
        _buyRefused(d, IMarketplace.Marketplace_WrongWindow.selector);
    }

    function testFuzz_buy_priceIsByReadingOrBySealedPack(
        uint64 readings,
        uint32 packs,
        uint64 unit,
        bool sealed_
    ) external {
        Stream memory s = stream();
        s.mode = sealed_ ? 1 : 0;
        s.salt = "priced";
        grantToAnyone(s);
        OfferTerms memory t = terms();
        t.unitPrice = unit;
        vm.prank(owner);
        market.publish(s, t);
        Deal memory d = _deal;
        (d.streamId, d.readings, d.packs) = (hashStream(s), readings, packs);
        uint256 price = uint256(unit) * (sealed_ ? packs : readings);
        d.price = uint128(price);
        d.fee = uint128((price * 50) / 1000);
        if (price <= 1e18 - token.totalSupply()) {
            token.mint(buyer, price);
            _approve(price);
            vm.prank(buyer);
            market.buy(t, s, d, _nodes, noPermit());
            assertEq(token.balanceOf(address(escrow)), price, "held");
        } else {
            vm.prank(buyer);
            vm.expectPartialRevert(IERC20Errors.ERC20InsufficientAllowance.selector);
            market.buy(t, s, d, _nodes, noPermit());
        }
    }

    function test_gas_publish() external {
        OfferTerms memory t = terms();
        t.unitPrice = 1000;
        t.terms = keccak256("another licence");
        bytes memory data = abi.encodeCall(market.publish, (stream(), t));
        vm.prank(owner);
        vm.snapshotValue("Marketplace", "publish", transactionGas(address(market), data));
    }

    function _approve(uint256 amount) private {
        vm.prank(buyer);
        token.approve(address(market), amount);
    }

    function _permit(uint256 value) private view returns (Permit memory p) {
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                buyer,
                address(market),
                value,
                IERC20Permit(address(token)).nonces(buyer),
                block.timestamp
            )
        );
        (p.value, p.deadline) = (value, block.timestamp);
        (p.v, p.r, p.s) = vm.sign(BUYER_KEY, typed("M-Sec", address(token), hash));
    }

    function _publishRefused(address by, Stream memory s, OfferTerms memory t, bytes4 selector) private {
        vm.prank(by);
        vm.expectPartialRevert(selector);
        market.publish(s, t);
    }

    function _buyRefused(Deal memory d, bytes4 selector) private {
        vm.prank(d.buyer);
        vm.expectPartialRevert(selector);
        market.buy(terms(), stream(), d, _nodes, noPermit());
    }
}

contract MSecTokenTest is Fixture {
    function setUp() external {
        deployAll();
    }

    function test_token_hasSixDecimalsAndACap() external view {
        assertEq(IERC20Metadata(address(token)).decimals(), 6, "decimals");
        assertEq(token.cap(), 1e18, "cap");
    }

    function testFuzz_mint_neverExceedsTheCap(uint256 a, uint256 b_) external {
        a = bound(a, 0, 1e18);
        token.mint(stranger, a);
        bool fits = b_ <= 1e18 - a;
        if (!fits) vm.expectRevert();
        token.mint(stranger, b_);
        assertEq(token.totalSupply(), fits ? a + b_ : a, "supply");
    }

    function test_mint_whenOneAboveTheCap_itReverts() external {
        token.mint(stranger, 1e18);
        vm.expectRevert(abi.encodeWithSelector(IMSecToken.MSecToken_CapExceeded.selector, 1e18, 1e18 + 1));
        token.mint(stranger, 1);
        vm.prank(stranger);
        ERC20Burnable(address(token)).burn(1);
        token.mint(stranger, 1);
    }
}
