// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal} from "../data/ProtocolTypes.sol";
import {Status} from "../market/IEscrow.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {IReputation} from "./IReputation.sol";

/// @dev Says of any deal what the test wants; Escrow's own words are tested with Escrow.
contract Words {
    mapping(bytes32 dealId => bytes32) public statusWord;

    function set(bytes32 dealId, bytes32 word) external {
        statusWord[dealId] = word;
    }
}

/// @dev The small city with a Reputation over made-up finished deals. Organisations 0 to 2 are its founders.
abstract contract TrustFixture is Fixture {
    uint8 internal constant NONE = 255;
    uint64 internal constant DAY = 86_400_000;

    IReputation internal reputation;
    Words internal words;

    function deployTrust() internal {
        deployAll();
        words = new Words();
        reputation = deployReputation(address(words));
    }

    function deployReputation(address escrow_) internal returns (IReputation) {
        bytes32[] memory founders = new bytes32[](3);
        for (uint256 i = 0; i < 3; ++i) founders[i] = organisation(i);
        return IReputation(create("Reputation", abi.encode(directory, escrow_, committee, token, founders)));
    }

    /// @dev An account of organisation i, with tokens that the Reputation may burn.
    function member(uint256 i) internal returns (address account) {
        account = citizen(i);
        directory.setOrganisation(account, organisation(i));
    }

    function citizen(uint256 i) internal returns (address account) {
        account = vm.addr(0xC0FFEE00 + i);
        if (token.balanceOf(account) == 0) token.mint(account, 1e12);
        vm.prank(account);
        token.approve(address(reputation), type(uint256).max);
    }

    /// @dev A deal between these two that ended in `state` just now.
    function finished(
        address buyer_,
        address seller_,
        uint8 state,
        bytes32 nonce
    ) internal returns (Deal memory d, Status memory s) {
        d.buyer = buyer_;
        d.seller = seller_;
        d.deliverer = deliverer;
        d.fallbackDeliverer = fallbackDeliverer;
        d.price = 1e6;
        d.nonce = nonce;
        s = status(state, keccak256("delivery"));
        words.set(hashDeal(d), word(s));
    }

    function values(uint8 delivery_, uint8 quality, uint8 conduct) internal pure returns (bytes3) {
        return bytes3(abi.encodePacked(delivery_, quality, conduct));
    }

    function all(uint8 value) internal pure returns (bytes3) {
        return values(value, value, value);
    }

    function rate(address buyer_, address seller_, bytes3 values_, uint64 fee) internal {
        pass(1);
        (Deal memory d, Status memory s) = finished(buyer_, seller_, 3, bytes32(block.number));
        vm.prank(buyer_);
        reputation.rate(d, s, values_, fee);
    }
}
