// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal, Facts, ProtocolTypes} from "../data/ProtocolTypes.sol";
import {KeyNode, Status} from "../market/IEscrow.sol";
import {IReputation} from "./IReputation.sol";
import {TrustFixture} from "./TrustFixture.t.sol";

/// @dev Everything before the measured transaction lies in setUp: a slot written twice in one transaction is cheap, and a
/// whole test is one.
contract ReputationGasTest is TrustFixture {
    Deal private _deal;
    Status private _status;
    Facts private _facts;
    bytes private _signatures;

    function setUp() external {
        deployAll();
        reputation = deployReputation(address(escrow));
        enrolDevice();
        depositBond(deliverer, 200_000);
        anchorNext("r", 1);
        token.mint(buyer, 9e6);
        vm.prank(buyer);
        token.approve(address(reputation), type(uint256).max);

        // The buyer's organisation was rated itself, and has rated this seller before.
        directory.setOrganisation(owner, organisation(11));
        directory.setOrganisation(buyer, organisation(12));
        _rate("first");
        directory.setOrganisation(owner, organisation(12));
        directory.setOrganisation(buyer, organisation(11));
        _rate("second");
        (_deal, _status) = _released("third");

        _facts = Facts(organisation(12), 1, 1, 1, 1, 2, 3, 4, 5, 6, 7, committee.configDigestAt(1));
        _report();
        anchorNext("s", 1);
        (_facts.number, _facts.fromEpoch, _facts.toEpoch) = (2, 2, 2);
        _sign();
    }

    function test_gas_rate() external {
        _measure("rate", 70_000, abi.encodeCall(IReputation.rate, (_deal, _status, values(100, 80, 90), 1e6)));
    }

    function test_gas_rate_whenFirstOfAPairAndProvider() external {
        directory.setOrganisation(owner, organisation(13));
        bytes memory data = abi.encodeCall(IReputation.rate, (_deal, _status, values(100, 80, 90), 1e6));
        _measure("rate, first of a pair and provider", 103_000, data);
    }

    function test_gas_report() external {
        _measure("report, 3 signatures", 79_000, abi.encodeCall(IReputation.report, (_facts, _signatures)));
    }

    function _measure(string memory what, uint256 most, bytes memory data) private {
        vm.prank(buyer);
        uint256 gas = transactionGas(address(reputation), data);
        vm.snapshotValue("Reputation", what, gas);
        assertTrue(gas <= most, what);
    }

    function _rate(bytes32 nonce) private {
        (Deal memory d, Status memory s) = _released(nonce);
        vm.prank(buyer);
        reputation.rate(d, s, values(100, 80, 90), 1e6);
    }

    function _report() private {
        _sign();
        reputation.report(_facts, _signatures);
    }

    function _sign() private {
        bytes32 hash = keccak256(abi.encode(ProtocolTypes.FACTS_TYPEHASH, _facts));
        _signatures = membersSignatures(typed("Reputation", address(reputation), hash), 3);
    }

    function _released(bytes32 nonce) private returns (Deal memory d, Status memory s) {
        KeyNode[] memory list = nodes(1, 26);
        d = deal(list);
        (d.nonce, d.seller) = (nonce, owner);
        s = openDeal(d, list);
        if (nowMs() < d.endMs) pass(d.endMs / 1000 + 1 - block.timestamp);
        s = deliver(deliverer, d, s, delivery(d, secretsOf(1)));
        pass(1201);
        escrow.release(d, s);
        s = status(3, s.deliveryHash);
    }
}
