// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal, Epoch, Pack} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {Delivery, IEscrow, KeyNode, Status, WrongKey} from "./IEscrow.sol";

/// @dev A deal of n nodes over four anchored packs, the first two in node 0, the last in the last slot of the window.
abstract contract EscrowBase is Fixture {
    Deal internal d;
    Delivery internal out;
    KeyNode[] internal list;
    Pack[] internal packs;
    bytes32[] internal leaves;
    Epoch internal epoch;
    Status internal st;

    function prepare(uint256 n, uint8 depth) internal {
        deployAll();
        enrolDevice();
        KeyNode[] memory made = nodes(n, depth);
        for (uint256 i = 0; i < n; ++i) list.push(made[i]);
        uint32 size = uint32(1) << (32 - depth);
        uint32 last = F + uint32(n) * size - 1;
        packs.push(pack(nodeSecret(0), depth, F));
        packs.push(pack(nodeSecret(0), depth, F + size / 2));
        packs.push(pack(nodeSecret(n / 2), depth, F + uint32(n / 2) * size));
        packs.push(pack(nodeSecret(n - 1), depth, last));
        for (uint256 i = 0; i < packs.length; ++i) leaves.push(hashPack(packs[i]));
        epoch = anchorNext(Merkle.root(leaves), 4);
        d = deal(list);
    }

    function fund() internal {
        st = openDeal(d, list);
        depositBond(deliverer, d.bond);
        depositBond(fallbackDeliverer, d.bond);
    }

    /// @dev Delivers, with node `wrong` not the one that the packs were made with; n or more: all right.
    function serve(uint256 wrong) internal {
        bytes32[] memory secrets = secretsOf(list.length);
        if (wrong < secrets.length) secrets[wrong] = keccak256("not this one");
        Delivery memory made = delivery(d, secrets);
        (out.Ex, out.vE, out.masked) = (made.Ex, made.vE, made.masked);
        st = deliver(deliverer, d, st, out);
    }

    function claim(uint256 index, uint256 packIndex) internal view returns (WrongKey memory c) {
        c.index = uint16(index);
        c.node = list[index];
        c.nodeProof = Merkle.proof(nodeLeaves(list), index);
        c.b = b(index);
        (c.Sx, c.Sy) = point(mulmod(E_KEY, c.b, N));
        c.pack = packs[packIndex];
        c.packProof = Merkle.proof(leaves, packIndex);
        c.epoch = epoch;
    }
}

abstract contract WrongKeyGas is EscrowBase {
    function test_proveWrongKey_gas() external {
        bytes memory data = abi.encodeCall(escrow.proveWrongKey, (d, st, out, claim(list.length - 1, 3)));
        uint256 gas = transactionGas(address(escrow), data);
        vm.snapshotValue("Escrow", string.concat("proveWrongKey, nodes ", vm.toString(list.length)), gas);
        assertTrue(gas < (list.length < 19 ? 105_000 : 145_000), "gas of a wrong-key proof");
        assertEq(escrow.creditOf(buyer, address(token)), d.price + d.bond, "price and bond to the buyer");
    }
}

contract WrongKeyGas1Test is WrongKeyGas {
    function setUp() external {
        prepare(1, 26);
        fund();
        serve(0);
    }
}

contract WrongKeyGas19Test is WrongKeyGas {
    function setUp() external {
        prepare(19, 26);
        fund();
        serve(18);
    }
}

contract WrongKeyGas48Test is WrongKeyGas {
    function setUp() external {
        prepare(48, 27);
        fund();
        serve(47);
    }
}
