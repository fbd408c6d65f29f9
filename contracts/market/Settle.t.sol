// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";
import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";

import {Deal, Stream} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IEscrow, KeyNode} from "./IEscrow.sol";
import {IMarketplace, Permit} from "./IMarketplace.sol";
import {Offer, Orders, Request} from "./Orders.sol";

/// @dev An offer of 1,000 readings at 1,000 each, and a request for a window of 400 at no more than that.
contract SettleTest is Fixture {
    string private constant OFFER =
        "Offer(address seller,bytes32 streamId,uint32 fromSlot,uint32 toSlot,address deliverer,address fallbackDeliverer,address token,uint128 unitPrice,uint16 feePerMille,uint128 bond,uint32 deliverSeconds,uint32 complainSeconds,bytes32 terms,uint64 amount,bytes32 salt,uint64 counter,uint64 deadline)";
    string private constant REQUEST =
        "Request(address buyer,address anchor,bytes32 streamId,uint32 fromSlot,uint32 toSlot,bytes32 holesHash,uint64 asOfEpoch,uint32 packs,uint64 readings,uint64 erasures,uint16 nodes,bytes32 keysRoot,bytes32 purpose,address deliverer,address fallbackDeliverer,address token,uint128 maxPrice,uint128 minBond,uint32 maxDeliverSeconds,uint32 minComplainSeconds,bytes32 terms,bytes32 nonce,uint64 counter,uint64 deadline)";

    KeyNode[] private _nodes;
    Deal private _deal;
    Offer private _o;
    Request private _r;

    function setUp() external {
        deployAll();
        enrolDevice();
        anchorNext("root", 1);
        KeyNode[] memory list = nodes(2, 26);
        for (uint256 i = 0; i < 2; ++i) _nodes.push(list[i]);
        _deal = deal(list);
        (_o, _r) = orders(_deal);
        token.mint(buyer, 1e9);
        vm.prank(buyer);
        token.approve(address(market), 1e9);
    }

    function hashesOf(Offer calldata o, Request calldata r) external pure returns (bytes32, bytes32) {
        return (Orders.hashOffer(o), Orders.hashRequest(r));
    }

    function testFuzz_orders_hashAsEip712(Offer calldata o, Request calldata r) external view {
        (bytes32 ofOffer, bytes32 ofRequest) = this.hashesOf(o, r);
        assertEq(ofOffer, vm.eip712HashStruct(OFFER, abi.encode(o)), "Offer");
        assertEq(ofRequest, vm.eip712HashStruct(REQUEST, abi.encode(r)), "Request");
    }

    /// @dev The type strings are those of packages/core.
    function test_orders_hashAsTheVectorsSay() external view {
        string memory json = vm.readFile("packages/core/vectors/struct.json");
        uint256 found;
        for (uint256 i = 0; vm.keyExistsJson(json, string.concat("$.cases[", vm.toString(i), "]")); ++i) {
            string memory path = string.concat("$.cases[", vm.toString(i), "]");
            bytes32 what = keccak256(bytes(vm.parseJsonString(json, string.concat(path, ".what"))));
            bytes32 typeHash = vm.parseJsonBytes32(json, string.concat(path, ".out.typeHash"));
            if (what == keccak256("Offer")) assertEq(typeHash, Orders.OFFER_TYPEHASH, "Offer");
            else if (what == keccak256("Request")) assertEq(typeHash, Orders.REQUEST_TYPEHASH, "Request");
            else continue;
            ++found;
        }
        assertEq(found, 2, "both are there");
    }

    function test_settle_whenTheyMatch_anyoneMakesTheDeal() external {
        _deal.nonce = _r.nonce;
        vm.expectEmit(address(escrow));
        emit IEscrow.DealOpened(hashDeal(_deal), buyer, deliverer, _deal, _nodes);
        vm.expectEmit(address(market));
        emit IMarketplace.Settled(hashDeal(_deal), hashOffer(_o), hashRequest(_r), 400);
        assertEq(_settle(), hashDeal(_deal), "id");
        assertEq(escrow.statusWord(hashDeal(_deal)), word(status(1, 0)), "funded");
        assertEq(token.balanceOf(address(escrow)), 400_000, "paid");
        assertEq(token.balanceOf(address(market)), 0, "the marketplace holds nothing");
        assertEq(market.filledOf(owner, _o.salt), 400, "filled");
        assertTrue(market.isUsed(buyer, _r.nonce), "used");
    }

    function test_settle_whenTheBuyerWouldPayMore_theSurplusIsItsOwn() external {
        _r.maxPrice = 1e9;
        _settle();
        assertEq(token.balanceOf(address(escrow)), 400_000, "the offer's price");
    }

    function test_settle_whenThePriceIsAboveTheLimit_itReverts() external {
        _r.maxPrice = 399_999;
        _refused(abi.encodeWithSelector(IMarketplace.Marketplace_PriceTooHigh.selector, 399_999, 400_000));
    }

    function test_settle_whenPermitted_itNeedsNoApproval() external {
        vm.prank(buyer);
        token.approve(address(market), 0);
        bytes32 hash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                buyer,
                address(market),
                uint256(400_000),
                IERC20Permit(address(token)).nonces(buyer),
                block.timestamp
            )
        );
        Permit memory p;
        (p.value, p.deadline) = (400_000, block.timestamp);
        (p.v, p.r, p.s) = vm.sign(BUYER_KEY, typed("M-Sec", address(token), hash));
        _settle(stream(), p);
        assertEq(token.balanceOf(address(escrow)), 400_000, "paid");
    }

    function test_settle_whenTheBuyerHasTooLittle_itRevertsAndNothingIsUsed() external {
        vm.prank(buyer);
        token.approve(address(market), 399_999);
        _refusedWith(IERC20Errors.ERC20InsufficientAllowance.selector);
        assertEq(market.filledOf(owner, _o.salt), 0, "filled");
        assertTrue(!market.isUsed(buyer, _r.nonce), "used");
    }

    function test_settle_whenFilledInParts_neverAboveTheAmount() external {
        _settle();
        _r.nonce = keccak256("second");
        _settle();
        _r.nonce = keccak256("third");
        _refused(abi.encodeWithSelector(IMarketplace.Marketplace_OfferFilled.selector, hashOffer(_o), 1000, 1200));
        // Another offer under the same salt shares what is left; under another it has its own.
        _o.unitPrice = 999;
        _refusedWith(IMarketplace.Marketplace_OfferFilled.selector);
        _o.salt = keccak256("fresh");
        _settle();
    }

    function test_settle_whenItFillsTheOfferExactly_itIsTaken() external {
        _o.amount = 400;
        _settle();
        assertEq(market.filledOf(owner, _o.salt), 400, "filled to the last reading");
    }

    function test_settle_whenARequestOrAnAlternativeWasFilled_itReverts() external {
        _settle();
        bytes memory used = abi.encodeWithSelector(IMarketplace.Marketplace_RequestUsed.selector, buyer, _r.nonce);
        _refused(used);
        _r.toSlot -= 1;
        _refused(used);
    }

    /// @dev Bait and switch: whatever the buyer relies on is in its signature.
    function testFuzz_settle_whenTheOfferIsNotWhatTheBuyerSigned_itReverts(uint256 field, uint256 value) external {
        bytes32 before = hashOffer(_o);
        field %= 8;
        if (field == 0) _o.streamId = bytes32(value);
        if (field == 1) _o.deliverer = address(uint160(value));
        if (field == 2) _o.fallbackDeliverer = address(uint160(value));
        if (field == 3) _o.token = address(uint160(value));
        if (field == 4) _o.terms = bytes32(value);
        if (field == 5) _o.bond = uint128(value % _r.minBond);
        if (field == 6) _o.deliverSeconds = uint32(bound(value, _r.maxDeliverSeconds + 1, type(uint32).max));
        if (field == 7) _o.complainSeconds = uint32(value % _r.minComplainSeconds);
        vm.assume(hashOffer(_o) != before);
        _refused(abi.encodeWithSelector(IMarketplace.Marketplace_NoMatch.selector, hashOffer(_o), hashRequest(_r)));
    }

    function test_settle_whenTheOfferIsBetter_itsTermsHold() external {
        (_o.bond, _o.deliverSeconds, _o.complainSeconds, _o.unitPrice) = (60_000, 500, 1300, 900);
        (_deal.bond, _deal.deliverSeconds, _deal.complainSeconds) = (60_000, 500, 1300);
        (_deal.price, _deal.fee, _deal.nonce) = (360_000, 18_000, _r.nonce);
        assertEq(_settle(), hashDeal(_deal), "the offer's terms");
    }

    function test_settle_whenTheWindowIsOutsideTheOffers_itReverts() external {
        _o.fromSlot = F + 1;
        _refusedWith(IMarketplace.Marketplace_WrongWindow.selector);
        (_o.fromSlot, _o.toSlot) = (F, _r.toSlot - 1);
        _refusedWith(IMarketplace.Marketplace_WrongWindow.selector);
    }

    /// @dev Each bit of either order is signed.
    function testFuzz_settle_whenAnOrderWasChangedAfterSigning_itReverts(uint16 bit, bool ofOffer) external {
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        bytes memory data = abi.encodeCall(market.settle, (_o, ofSeller, _r, ofBuyer, stream(), _nodes, noPermit()));
        // 4 bytes of selector, 17 words of the offer, the place of a signature, 24 words of the request
        uint256 at_ = ofOffer ? 4 + ((bit / 8) % (17 * 32)) : 4 + 18 * 32 + ((bit / 8) % (24 * 32));
        data[at_] ^= bytes1(uint8(1) << uint8(bit % 8));
        (bool ok, ) = address(market).call(data);
        assertTrue(!ok, "changed");
    }

    function test_settle_whenSignedByAnother_itReverts() external {
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.expectPartialRevert(IMarketplace.Marketplace_BadSignature.selector);
        market.settle(_o, ofBuyer, _r, ofBuyer, stream(), _nodes, noPermit());
        vm.expectPartialRevert(IMarketplace.Marketplace_BadSignature.selector);
        market.settle(_o, ofSeller, _r, ofSeller, stream(), _nodes, noPermit());
        vm.expectPartialRevert(IMarketplace.Marketplace_BadSignature.selector);
        market.settle(_o, ofSeller, _r, "", stream(), _nodes, noPermit());
    }

    function test_settle_whenTheSellerDoesNotOwnTheStream_itReverts() external {
        _o.seller = vm.addr(0xBAD);
        bytes memory ofSeller = _sign(0xBAD, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.expectPartialRevert(IEscrow.Escrow_WrongSeller.selector);
        market.settle(_o, ofSeller, _r, ofBuyer, stream(), _nodes, noPermit());
    }

    function test_settle_whenAContractSigns_itIsAsked() external {
        SmartWallet wallet = new SmartWallet(buyer);
        token.mint(address(wallet), 400_000);
        wallet.approve(address(token), address(market));
        _r.buyer = address(wallet);
        _settle();
        assertTrue(market.isUsed(address(wallet), _r.nonce), "used");
    }

    function test_settle_whenExpired_itReverts() external {
        vm.warp(block.timestamp + 60);
        uint256 snapshot = _r.deadline;
        assertEq(nowMs(), snapshot, "the last millisecond counts");
        _o.deadline -= 1;
        _refusedWith(IMarketplace.Marketplace_Expired.selector);
        _o.deadline += 1;
        _r.deadline -= 1;
        _refusedWith(IMarketplace.Marketplace_Expired.selector);
        _r.deadline += 1;
        _settle();
    }

    function test_settle_whenTheEscrowIsPaused_itReverts() external {
        escrow.pause();
        _refusedWith(Pausable.EnforcedPause.selector);
    }

    function test_cancel_whenTheEscrowIsPaused_itStillWorks() external {
        escrow.pause();
        vm.startPrank(owner);
        market.cancelOffer(_o.salt);
        vm.stopPrank();
        vm.prank(buyer);
        market.cancelRequest(_r.nonce);
        vm.prank(stranger);
        market.cancelAll();
        escrow.unpause();
        _refusedWith(IMarketplace.Marketplace_OfferFilled.selector);
        _o.salt = keccak256("another");
        _refusedWith(IMarketplace.Marketplace_RequestUsed.selector);
        _r.nonce = bytes32(uint256(_r.nonce) ^ 1);
        _settle();
    }

    function test_cancelAll_endsWhatWasSignedBefore() external {
        vm.prank(owner);
        vm.expectEmit(address(market));
        emit IMarketplace.CounterRaised(owner, 1);
        market.cancelAll();
        _refused(abi.encodeWithSelector(IMarketplace.Marketplace_WrongCounter.selector, hashOffer(_o), 1, 0));
        _o.counter = 1;
        vm.prank(buyer);
        market.cancelAll();
        _refused(abi.encodeWithSelector(IMarketplace.Marketplace_WrongCounter.selector, hashRequest(_r), 1, 0));
        _r.counter = 1;
        assertEq(market.counterOf(buyer), 1, "counter");
        _settle();
    }

    function test_settle_whenADataSet_itHasNoSlots() external {
        Stream memory s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
        (_o.streamId, _o.fromSlot, _o.toSlot) = (hashStream(s), 0, 0);
        (_r.streamId, _r.fromSlot, _r.toSlot) = (hashStream(s), 0, 0);
        grantToAnyone(s);
        bytes32 id = _settle(s, noPermit());
        assertTrue(escrow.statusWord(id) != 0, "funded");
    }

    function test_settle_whenSealed_itIsPricedByThePack() external {
        Stream memory s = stream();
        s.mode = 1;
        (_o.streamId, _r.streamId) = (hashStream(s), hashStream(s));
        grantToAnyone(s);
        _settle(s, noPermit());
        assertEq(token.balanceOf(address(escrow)), 4000, "four packs");
    }

    function test_settle_whenTheStreamHasNoShape_itReverts() external {
        Stream memory s = stream();
        s.slotSeconds = 61;
        (_o.streamId, _r.streamId) = (hashStream(s), hashStream(s));
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.expectPartialRevert(IMarketplace.Marketplace_StreamShape.selector);
        market.settle(_o, ofSeller, _r, ofBuyer, s, _nodes, noPermit());
    }

    function test_settle_whenFeeIsAboveThePrice_itReverts() external {
        _o.feePerMille = 1001;
        _refusedWith(IMarketplace.Marketplace_FeePerMille.selector);
    }

    function test_settle_whenTheFeeIsTheWholePrice_itIsTaken() external {
        _o.feePerMille = 1000;
        _settle();
        assertEq(token.balanceOf(address(escrow)), _deal.price, "escrow");
    }

    function test_pay_whenNotCalledByTheEscrow_itReverts() external {
        vm.prank(stranger);
        (bool ok, bytes memory why) = address(market).call(
            abi.encodeWithSignature("pay(address,address,uint256)", token, buyer, 1)
        );
        assertTrue(!ok && bytes4(why) == IMarketplace.Marketplace_NotEscrow.selector, "refused");
    }

    /* private */

    function _settle() private returns (bytes32) {
        return _settle(stream(), noPermit());
    }

    function _settle(Stream memory s, Permit memory p) private returns (bytes32) {
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.prank(stranger);
        return market.settle(_o, ofSeller, _r, ofBuyer, s, _nodes, p);
    }

    function _refusedWith(bytes4 selector) private {
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.expectPartialRevert(selector);
        market.settle(_o, ofSeller, _r, ofBuyer, stream(), _nodes, noPermit());
    }

    function _refused(bytes memory why) private {
        bytes memory ofSeller = _sign(OWNER_KEY, hashOffer(_o));
        bytes memory ofBuyer = _sign(BUYER_KEY, hashRequest(_r));
        vm.expectRevert(why);
        market.settle(_o, ofSeller, _r, ofBuyer, stream(), _nodes, noPermit());
    }

    function _sign(uint256 key, bytes32 hash) private view returns (bytes memory) {
        return sign(key, typed("Marketplace", address(market), hash));
    }
}

/// @dev A wallet whose owner signs for it (ERC-1271).
contract SmartWallet {
    address private immutable _owner;

    constructor(address owner) {
        _owner = owner;
    }

    function approve(address token, address spender) external {
        (bool ok, ) = token.call(abi.encodeWithSignature("approve(address,uint256)", spender, type(uint256).max));
        assert(ok);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = (bytes32(signature[:32]), bytes32(signature[32:64]), uint8(signature[64]));
        return ecrecover(hash, v, r, s) == _owner ? bytes4(0x1626ba7e) : bytes4(0);
    }
}
