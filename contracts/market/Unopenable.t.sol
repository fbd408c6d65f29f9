// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Epoch, Pack} from "../data/ProtocolTypes.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {EscrowBase} from "./Escrow.t.sol";
import {IEscrow, KeyNode, Status, Unopenable} from "./IEscrow.sol";

/// @dev A deal of three nodes, all delivered right. Pack 0 opens; pack 1 was anchored with a tag of another; both in node 0.
contract UnopenableTest is EscrowBase {
    uint8 private constant DEPTH = 26;
    bytes private _good;
    bytes private _bad;

    function setUp() external {
        prepare(3, DEPTH);
        _good = _sealed(packs[0], 200);
        _bad = _sealed(packs[1], 200);
        _bad[_bad.length - 5] ^= 0x01;
        packs[0].contentDigest = sha256(_good);
        packs[1].contentDigest = sha256(_bad);
        _anchorAgain();
        fund();
        serve(9);
    }

    function test_whenAPackDoesNotOpen_priceAndBondGoToTheBuyer() external {
        Unopenable memory c = _claim(1, _bad);
        vm.expectEmit(address(escrow));
        emit IEscrow.UnopenableProved(hashDeal(d), stranger, leaves[1]);
        vm.expectEmit(address(escrow));
        emit IEscrow.Refunded(hashDeal(d), IEscrow.Refund.Unopenable, uint256(d.price) + d.bond);
        vm.prank(stranger);
        escrow.proveUnopenable(d, st, c);
        assertEq(escrow.creditOf(buyer, address(token)), uint256(d.price) + d.bond, "credit");
        assertEq(escrow.statusWord(hashDeal(d)), word(status(4, st.deliveryHash)), "word");
        vm.expectPartialRevert(IEscrow.Escrow_WrongStatus.selector);
        escrow.proveUnopenable(d, st, c);
    }

    function test_whenItsContentIsTooShortOrTooLong_itIsProved() external {
        _proveWith(new bytes(27));
        _proveWith("");
        _proveWith(_sealed(packs[1], 48 * 1024 - 27));
    }

    function test_whenPaused_itIsStillProved() external {
        escrow.pause();
        escrow.proveUnopenable(d, st, _claim(1, _bad));
    }

    function test_whenThePackOpens_itReverts() external {
        Unopenable memory c = _claim(0, _good);
        vm.expectRevert(abi.encodeWithSelector(IEscrow.Escrow_PackOpens.selector, leaves[0]));
        escrow.proveUnopenable(d, st, c);
    }

    function test_whenTheContentIsAnother_itReverts() external {
        Unopenable memory c = _claim(0, _good);
        c.content[30] ^= 0x01;
        _refused(c, IEscrow.Escrow_WrongContent.selector);
        c.content = "";
        _refused(c, IEscrow.Escrow_WrongContent.selector);
    }

    function test_whenTheKeyIsAnother_itReverts() external {
        Unopenable memory c = _claim(0, _good);
        c.packKey = keccak256("another");
        _refused(c, IEscrow.Escrow_WrongPackKey.selector);
        c.packKey = _key(packs[1]);
        _refused(c, IEscrow.Escrow_WrongPackKey.selector);
    }

    function test_whenThePackIsNotTheDeals_itReverts() external {
        Unopenable memory c = _claim(1, _bad);
        c.pack.streamId = keccak256("other");
        _refused(c, IEscrow.Escrow_PackOfOtherStream.selector);
        c = _claim(1, _bad);
        c.pack.root = 0;
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
        c = _claim(1, _bad);
        c.packProof[0] = 0;
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
        c = _claim(1, _bad);
        c.epoch.root = hashPack(c.pack);
        c.packProof = new bytes32[](0);
        _refused(c, IEscrow.Escrow_PackNotAnchored.selector);
    }

    function test_whenThePackIsAnchoredAfterTheDeal_itReverts() external {
        // Anybody's accomplice might anchor one that does not open, later.
        Unopenable memory c = _claim(1, _bad);
        pass(1);
        c.epoch = anchorNext(leaves[1], 1);
        c.packProof = new bytes32[](0);
        _refused(c, IEscrow.Escrow_EpochTooLate.selector);
    }

    function test_whenTheSlotIsOutsideTheNodeOrInAHole_itReverts() external {
        Unopenable memory c = _claim(1, _bad);
        (c.index, c.node, c.nodeProof) = (1, list[1], Merkle.proof(nodeLeaves(list), 1));
        _refused(c, IEscrow.Escrow_NodeMisplaced.selector);
        c.index = 0;
        _refused(c, IEscrow.Escrow_WrongNode.selector);

        // A deal whose cover leaves the bad pack's node out, as it would for an erased range: no leaf is above its slot.
        KeyNode[] memory without = new KeyNode[](2);
        (without[0], without[1]) = (list[1], list[2]);
        d.keysRoot = Merkle.root(nodeLeaves(without));
        (d.nodes, d.nonce) = (2, keccak256("holed"));
        d.holesHash = keccak256(abi.encodePacked(list[0].firstSlot, list[1].firstSlot - 1));
        st = openDeal(d, without);
        depositBond(deliverer, d.bond);
        st = deliver(deliverer, d, st, delivery(d, secretsOf(2)));
        for (uint16 i = 0; i < 2; ++i) {
            (c.index, c.node, c.nodeProof) = (i, without[i], Merkle.proof(nodeLeaves(without), i));
            _refused(c, IEscrow.Escrow_NodeMisplaced.selector);
        }
        (c.index, c.node, c.nodeProof) = (0, list[0], Merkle.proof(nodeLeaves(list), 0));
        _refused(c, IEscrow.Escrow_WrongNode.selector);
    }

    function test_whenNotDelivered_itReverts() external {
        d.nonce = keccak256("again");
        st = openDeal(d, list);
        _refused(_claim(1, _bad), IEscrow.Escrow_WrongState.selector);
    }

    function test_whenReleased_itReverts() external {
        pass(1201);
        Unopenable memory c = _claim(1, _bad);
        escrow.release(d, st);
        _refused(c, IEscrow.Escrow_WrongStatus.selector);
    }

    /* private */

    function _proveWith(bytes memory content) private {
        pass(1);
        packs[1].contentDigest = sha256(content);
        _anchorAgain();
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        serve(9);
        Unopenable memory c = _claim(1, content);
        uint256 before = escrow.creditOf(buyer, address(token));
        escrow.proveUnopenable(d, st, c);
        assertEq(escrow.creditOf(buyer, address(token)), before + d.price + d.bond, "credit");
    }

    function _anchorAgain() private {
        for (uint256 i = 0; i < packs.length; ++i) leaves[i] = hashPack(packs[i]);
        epoch = anchorNext(Merkle.root(leaves), 4);
        d.asOfEpoch = epoch.number;
    }

    function _claim(uint256 packIndex, bytes memory content) private view returns (Unopenable memory c) {
        (c.index, c.node, c.nodeProof) = (0, list[0], Merkle.proof(nodeLeaves(list), 0));
        (c.packKey, c.content) = (_key(packs[packIndex]), content);
        (c.pack, c.packProof, c.epoch) = (packs[packIndex], Merkle.proof(leaves, packIndex), epoch);
    }

    function _refused(Unopenable memory c, bytes4 selector) private {
        vm.expectPartialRevert(selector);
        escrow.proveUnopenable(d, st, c);
    }

    function _key(Pack memory p) private pure returns (bytes32) {
        return packKey(nodeSecret(0), DEPTH, p);
    }

    function _sealed(Pack memory p, uint256 length) private pure returns (bytes memory) {
        return contentOf(p, _key(p), length);
    }
}
