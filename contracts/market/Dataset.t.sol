// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal, Epoch, Pack, Stream} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Delivery, IEscrow, KeyNode, Status, Unopenable, WrongKey} from "./IEscrow.sol";
import {IMarketplace, OfferTerms} from "./IMarketplace.sol";

/// @dev A data set, or a media file cut into packs: everything lies in slot 0, under one leaf of the key tree. Four packs are
/// anchored in two epochs; the last does not open.
contract DatasetTest is Fixture {
    uint8 private constant LEAF = 32;

    Deal private _d;
    OfferTerms private _terms;
    KeyNode[] private _list;
    Pack[] private _packs;
    bytes32[] private _leaves;
    Epoch[] private _epochs;
    Delivery private _out;
    Status private _st;

    function setUp() external {
        deployAll();
        enrolDevice();
        grantToAnyone(_stream());
        for (uint64 seq = 1; seq <= 3; ++seq) _addPack(seq);
        _epochs.push(anchorNext(Merkle.root(_leaves), 3));
        pass(1);
        _addPack(4);
        _packs[3].contentDigest = sha256("not sealed");
        _epochs.push(anchorNext(hashPack(_packs[3]), 1));

        (uint256 x, uint256 y) = point(b(0));
        _list.push(KeyNode(LEAF, 0, x, parity(y)));
        _terms = terms();
        (_terms.fromSlot, _terms.toSlot) = (0, 0);
        Deal memory d = deal(_list);
        d.streamId = hashStream(_stream());
        (d.fromSlot, d.toSlot, d.endMs) = (0, 0, 0);
        (d.packs, d.readings, d.price, d.fee) = (4, 400, 400_000, 20_000);
        _d = d;
        vm.prank(owner);
        market.publish(_stream(), _terms);
        depositBond(deliverer, d.bond);
    }

    function test_buy_whenDelivered_sellerAndDelivererArePaid() external {
        _buy();
        _deliver(nodeSecret(0));
        pass(1201);
        vm.prank(stranger);
        escrow.release(_d, _st);
        vm.prank(owner);
        assertEq(escrow.withdraw(address(token)), 380_000, "seller");
        vm.prank(deliverer);
        escrow.withdrawBond(address(token), uint256(_d.bond) + 20_000);
        assertEq(token.balanceOf(address(escrow)), 0, "all of it");
    }

    function test_buy_whenNotOfSlotZero_itReverts() external {
        _d.toSlot = 1;
        allow(buyer, _d.price);
        vm.prank(buyer);
        vm.expectPartialRevert(IMarketplace.Marketplace_WrongWindow.selector);
        market.buy(_terms, _stream(), _d, _list, noPermit());
    }

    function test_deliver_whenErased_itRefunds() external {
        _buy();
        vm.prank(owner);
        consent.requestErasure(_stream(), 0, 0);
        vm.prank(deliverer);
        escrow.deliver(_d, _st, 0, 0, new bytes32[](0));
        assertEq(escrow.creditOf(buyer, address(token)), _d.price, "the price");
    }

    /// @dev One leaf, and a key for each pack by its number.
    function test_proveWrongKey_whenTheLeafIsWrong_anyPackShowsIt() external {
        _buy();
        _deliver(keccak256("another leaf"));
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < 4; ++i) {
            escrow.proveWrongKey(_d, _st, _out, _wrongKey(i));
            assertEq(escrow.creditOf(buyer, address(token)), uint256(_d.price) + _d.bond, "price and bond");
            vm.revertToState(before);
        }
    }

    function test_proveWrongKey_whenTheLeafIsRight_noPackShowsAnother() external {
        _buy();
        _deliver(nodeSecret(0));
        for (uint256 i = 0; i < 4; ++i) {
            WrongKey memory c = _wrongKey(i);
            vm.expectPartialRevert(IEscrow.Escrow_KeyIsRight.selector);
            escrow.proveWrongKey(_d, _st, _out, c);
        }
    }

    function test_proveWrongKey_whenThePackSaysAnotherSlot_itReverts() external {
        _buy();
        _deliver(keccak256("another leaf"));
        Pack memory p = _packs[0];
        p.slot = 1;
        WrongKey memory c = _wrongKey(0);
        c.pack = p;
        vm.expectPartialRevert(IEscrow.Escrow_NodeMisplaced.selector);
        escrow.proveWrongKey(_d, _st, _out, c);
    }

    function test_proveUnopenable_whenAPackDoesNotOpen_priceAndBondGoToTheBuyer() external {
        _buy();
        _deliver(nodeSecret(0));
        for (uint256 i = 0; i < 3; ++i) {
            Unopenable memory good = _unopenable(i, _content(i));
            vm.expectPartialRevert(IEscrow.Escrow_PackOpens.selector);
            escrow.proveUnopenable(_d, _st, good);
        }
        escrow.proveUnopenable(_d, _st, _unopenable(3, "not sealed"));
        assertEq(escrow.creditOf(buyer, address(token)), uint256(_d.price) + _d.bond, "price and bond");
    }

    /* private */

    function _stream() private view returns (Stream memory s) {
        s = stream();
        (s.mode, s.slotSeconds) = (2, 0);
    }

    function _addPack(uint64 seq) private {
        Pack memory p;
        (p.streamId, p.keyEpoch, p.seq, p.count) = (hashStream(_stream()), 1, seq, 100);
        p.headerDigest = keccak256(abi.encode("header", seq));
        p.root = keccak256(abi.encode("readings", seq));
        // Times and their order are free.
        (p.fromMs, p.toMs) = (1000 * (10 - seq), 1000 * (10 - seq) + 1);
        bytes32 key = packKey(nodeSecret(0), LEAF, p);
        p.keyCommitment = commitmentTo(key);
        p.contentDigest = sha256(contentOf(p, key, 60));
        _packs.push(p);
        _leaves.push(hashPack(p));
    }

    function _content(uint256 i) private view returns (bytes memory) {
        return contentOf(_packs[i], packKey(nodeSecret(0), LEAF, _packs[i]), 60);
    }

    function _buy() private {
        allow(buyer, _d.price);
        vm.prank(buyer);
        market.buy(_terms, _stream(), _d, _list, noPermit());
        _st = status(1, 0);
    }

    /// @dev At once: a data set has ended when it is sold.
    function _deliver(bytes32 leaf) private {
        bytes32[] memory secrets = new bytes32[](1);
        secrets[0] = leaf;
        _out = delivery(_d, secrets);
        _st = deliver(deliverer, _d, _st, _out);
    }

    function _wrongKey(uint256 i) private view returns (WrongKey memory c) {
        (c.node, c.b) = (_list[0], b(0));
        (c.Sx, c.Sy) = point(mulmod(E_KEY, c.b, N));
        (c.pack, c.packProof, c.epoch) = _shown(i);
    }

    function _unopenable(uint256 i, bytes memory content) private view returns (Unopenable memory c) {
        (c.node, c.packKey, c.content) = (_list[0], packKey(nodeSecret(0), LEAF, _packs[i]), content);
        (c.pack, c.packProof, c.epoch) = _shown(i);
    }

    function _shown(uint256 i) private view returns (Pack memory p, bytes32[] memory proof, Epoch memory e) {
        p = _packs[i];
        if (i == 3) return (p, new bytes32[](0), _epochs[1]);
        bytes32[] memory leaves = new bytes32[](3);
        for (uint256 k = 0; k < 3; ++k) leaves[k] = _leaves[k];
        return (p, Merkle.proof(leaves, i), _epochs[0]);
    }
}
