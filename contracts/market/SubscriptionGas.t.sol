// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AnchoredPack, Batch, BatchKeys, EmptySlot} from "./ISubscription.sol";
import {SharedPoint} from "./SharedPoint.sol";
import {SubscriptionBase} from "./SubscriptionBase.t.sol";

/// @dev A subscription at work: everything that comes before a measured transaction is done in setUp, so that storage is
/// charged as between transactions. A batch is 64 one-minute slots, of which the last is shown.
abstract contract SubscriptionGas is SubscriptionBase {
    function measured(string memory what, address by, bytes memory data, uint256 most) internal {
        vm.prank(by);
        uint256 gas = transactionGas(address(subscription), data);
        vm.snapshotValue("Subscription", what, gas);
        assertTrue(gas <= most, what);
    }
}

contract SubscribeGasTest is SubscriptionGas {
    function setUp() external {
        prepare();
        subscribed();
        t.nonce = keccak256("second");
    }

    function test_subscribe_gas() external {
        bytes memory data = abi.encodeCall(subscription.subscribe, (t, DEPOSIT, noPermit()));
        measured("subscribe, allowance given", buyer, data, 105_000);
    }
}

contract DeliverBatchGasTest is SubscriptionGas {
    function setUp() external {
        prepare();
        subscribed();
        passBatch(first);
    }

    function test_deliver_gas() external {
        BatchKeys memory k = keysFor(first, nodeSecret(0), type(uint256).max >> (256 - 41));
        bytes memory data = abi.encodeCall(subscription.deliver, (t, k, shown(3)));
        measured("deliver a batch", deliverer, data, 105_000);
    }
}

contract SettleBatchGasTest is SubscriptionGas {
    Batch[] private _batches;

    function setUp() external {
        prepare();
        subscribed();
        serve(nodeSecret(0));
        pass(1201);
        settleOne();
        for (uint32 number = first + 1; number < first + 3; ++number) {
            makePacks(number, nodeSecret(0));
            passBatch(number);
            BatchKeys memory k = keysFor(number, nodeSecret(0), bits());
            AnchoredPack memory last = shown(3);
            _batches.push(delivered(deliverer, k, last));
        }
        pass(1201);
    }

    function test_settle_gas() external {
        measured("settle two batches", stranger, abi.encodeCall(subscription.settle, (t, _batches)), 65_000);
    }
}

contract ProveBatchGasTest is SubscriptionGas {
    function setUp() external {
        prepare();
        subscribed();
        passBatch(first);
        BatchKeys memory k = keysFor(first, keccak256("not this one"), bits() | (1 << 20));
        batch = delivered(deliverer, k, shown(3));
    }

    function test_proveWrongKey_gas() external {
        SharedPoint memory s = sharedPoint(B_KEY, E_KEY, batchId(first));
        bytes memory data = abi.encodeCall(subscription.proveWrongKey, (t, batch, s, shown(3)));
        measured("proveWrongKey", buyer, data, 112_000);
    }

    function test_proveEmpty_gas() external {
        EmptySlot memory c = emptyClaim(first * 64 + 20, 3);
        measured("proveEmpty", buyer, abi.encodeCall(subscription.proveEmpty, (t, batch, c)), 115_000);
    }
}
