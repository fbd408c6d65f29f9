// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {IERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/IERC20Permit.sol";

import {Pack} from "../data/ProtocolTypes.sol";
import {Merkle} from "../test/Merkle.t.sol";
import {EscrowBase} from "./Escrow.t.sol";
import {Unopenable} from "./IEscrow.sol";
import {Permit} from "./IMarketplace.sol";
import {Offer, Request} from "./Orders.sol";

/// @dev A city at work: everything that comes before a measured transaction is done in setUp, so that storage is charged
/// as between transactions. An hour of minutes has seven nodes.
abstract contract MarketGas is EscrowBase {
    uint8 internal constant DEPTH = 29;
    uint256 internal constant HOUR = 7;

    function sold(bytes32 nonce) internal {
        d.nonce = nonce;
        st = openDeal(d, list);
    }

    function permit(uint256 value) internal view returns (Permit memory p) {
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

    function measured(string memory what, address by, address target, bytes memory data, uint256 most) internal {
        vm.prank(by);
        uint256 gas = transactionGas(target, data);
        vm.snapshotValue("Market", what, gas);
        assertTrue(gas <= most, what);
    }
}

/// @dev Two nodes, as the first measured purchase of this project had, unless a test says an hour.
abstract contract BuyGas is MarketGas {
    function prepareSale(uint256 n, uint8 depth) internal {
        prepare(n, depth);
        vm.prank(owner);
        market.publish(stream(), terms());
        token.mint(buyer, 1e9);
    }

    function buyData() internal view returns (bytes memory) {
        return abi.encodeCall(market.buy, (terms(), stream(), d, list, permit(d.price)));
    }
}

contract BuyFirstOfAllGasTest is BuyGas {
    function setUp() external {
        prepareSale(2, 26);
    }

    /// @dev The escrow has held nothing, the buyer has never permitted: two words more than ever after.
    function test_buy_gasFirstOfAll() external {
        measured("buy with permit, the city's first", buyer, address(market), buyData(), 194_000);
    }
}

contract BuyNewBuyerGasTest is BuyGas {
    function setUp() external {
        prepareSale(2, 26);
        depositBond(deliverer, 50_000);
    }

    function test_buy_gasNewBuyer() external {
        measured("buy with permit, a buyer's first", buyer, address(market), buyData(), 177_000);
    }
}

/// @dev A buyer's second purchase and later.
abstract contract BuyAgainGas is BuyGas {
    function buyOnce() internal {
        Permit memory p = permit(d.price);
        vm.prank(buyer);
        market.buy(terms(), stream(), d, list, p);
        d.nonce = keccak256("second");
    }
}

contract BuyGasTest is BuyAgainGas {
    function setUp() external {
        prepareSale(2, 26);
        buyOnce();
    }

    function test_buy_gas() external {
        measured("buy with permit", buyer, address(market), buyData(), 160_000);
    }
}

contract BuyHourGasTest is BuyAgainGas {
    function setUp() external {
        prepareSale(HOUR, DEPTH);
        buyOnce();
    }

    /// @dev Each further node is four words of calldata, four of the event and a leaf to hash.
    function test_buy_gasOfAnHour() external {
        measured("buy with permit, an hour", buyer, address(market), buyData(), 179_000);
    }
}

abstract contract SettleGas is MarketGas {
    function prepareOrders(uint256 n, uint8 depth) internal {
        prepare(n, depth);
        token.mint(buyer, 1e9);
        vm.prank(buyer);
        token.approve(address(market), type(uint256).max);
        depositBond(deliverer, 50_000);
    }

    function settleData(bytes32 nonce) internal view returns (bytes memory) {
        (Offer memory o, Request memory r) = orders(d);
        r.nonce = nonce;
        bytes memory ofSeller = sign(OWNER_KEY, typed("Marketplace", address(market), hashOffer(o)));
        bytes memory ofBuyer = sign(BUYER_KEY, typed("Marketplace", address(market), hashRequest(r)));
        return abi.encodeCall(market.settle, (o, ofSeller, r, ofBuyer, stream(), list, noPermit()));
    }
}

contract SettleFirstGasTest is SettleGas {
    function setUp() external {
        prepareOrders(2, 26);
    }

    /// @dev The offer's first fill and the buyer's first nonce: two new words.
    function test_settle_gasFirst() external {
        measured("settle, an offer's first", stranger, address(market), settleData(keccak256("n")), 196_000);
    }
}

abstract contract SettleAgainGas is SettleGas {
    function settleOnce() internal {
        (bool ok, ) = address(market).call(settleData(bytes32(uint256(1) << 200)));
        assertTrue(ok, "first");
    }

    function secondData() internal view returns (bytes memory) {
        return settleData(bytes32((uint256(1) << 200) + 1));
    }
}

contract SettleGasTest is SettleAgainGas {
    function setUp() external {
        prepareOrders(2, 26);
        settleOnce();
    }

    function test_settle_gas() external {
        measured("settle", stranger, address(market), secondData(), 190_000);
    }
}

contract SettleHourGasTest is SettleAgainGas {
    function setUp() external {
        prepareOrders(HOUR, DEPTH);
        settleOnce();
    }

    function test_settle_gasOfAnHour() external {
        measured("settle, an hour", stranger, address(market), secondData(), 190_000);
    }
}

contract DeliverHourGasTest is MarketGas {
    function setUp() external {
        prepare(HOUR, DEPTH);
        depositBond(deliverer, 1e9);
        sold("first");
    }

    function test_deliver_gas() external {
        out = delivery(d, secretsOf(HOUR));
        bytes memory data = abi.encodeCall(escrow.deliver, (d, st, out.Ex, out.vE, out.masked));
        measured("deliver an hour", deliverer, address(escrow), data, 70_000);
    }
}

contract ReleaseGasTest is MarketGas {
    function setUp() external {
        prepare(HOUR, DEPTH);
        depositBond(deliverer, 1e9);
        sold("first");
        serve(HOUR);
        pass(1201);
        escrow.release(d, st);
        sold("second");
        serve(HOUR);
        pass(1201);
    }

    function test_release_gas() external {
        bytes memory data = abi.encodeCall(escrow.release, (d, st));
        measured("release", stranger, address(escrow), data, 60_000);
    }
}

contract UnopenableGasTest is MarketGas {
    Unopenable private _c;

    function setUp() external {
        prepare(HOUR, DEPTH);
        bytes memory content = new bytes(6500);
        for (uint256 i = 0; i < 6500; ++i) content[i] = bytes1(uint8(1 + (i % 255)));
        packs[0].contentDigest = sha256(content);
        for (uint256 i = 0; i < packs.length; ++i) leaves[i] = hashPack(packs[i]);
        epoch = anchorNext(Merkle.root(leaves), 4);
        d.asOfEpoch = epoch.number;
        depositBond(deliverer, 1e9);
        sold("first");
        serve(HOUR);
        Pack memory p = packs[0];
        _c.node = list[0];
        _c.nodeProof = Merkle.proof(nodeLeaves(list), 0);
        _c.packKey = packKey(nodeSecret(0), DEPTH, p);
        _c.content = content;
        _c.pack = p;
        _c.packProof = Merkle.proof(leaves, 0);
        _c.epoch = epoch;
    }

    function test_proveUnopenable_gas() external {
        bytes memory data = abi.encodeCall(escrow.proveUnopenable, (d, st, _c));
        measured("proveUnopenable, 6500 bytes", buyer, address(escrow), data, 330_000);
        assertEq(escrow.creditOf(buyer, address(token)), uint256(d.price) + d.bond, "price and bond to the buyer");
    }
}
