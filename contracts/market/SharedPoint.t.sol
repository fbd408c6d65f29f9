// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Base} from "../test/Base.t.sol";
import {SharedPoint, SharedPointProof} from "./SharedPoint.sol";
import {SubscriptionTypes} from "./SubscriptionTypes.sol";

/// @dev The proof of a shared point and the types of subscriptions, held to packages/core's vectors.
contract SharedPointTest is Base {
    function holds(SharedPoint calldata s, bytes32 context, uint256[4] calldata keys) external pure returns (bool) {
        return SharedPointProof.holds(s, context, keys[0], uint8(keys[1]), keys[2], uint8(keys[3]));
    }

    function test_holds_whateverTheVectorsSay() external view {
        string memory json = vm.readFile("packages/core/vectors/subscription.json");
        uint256 right;
        uint256 wrong;
        for (uint256 i = 0; vm.keyExistsJson(json, _path(i, "")); ++i) {
            if (!vm.keyExistsJson(json, _path(i, ".out.holds"))) continue;
            SharedPoint memory s;
            s.x = _number(json, i, ".in.proof.x");
            s.v = uint8(vm.parseJsonUint(json, _path(i, ".in.proof.v")));
            (s.c, s.z) = (_number(json, i, ".in.proof.c"), _number(json, i, ".in.proof.z"));
            (s.Px, s.Py) = (_number(json, i, ".in.proof.Px"), _number(json, i, ".in.proof.Py"));
            (s.Qx, s.Qy) = (_number(json, i, ".in.proof.Qx"), _number(json, i, ".in.proof.Qy"));
            s.inverse = _number(json, i, ".in.proof.inverse");
            uint256[4] memory keys = [
                _number(json, i, ".in.B.x"),
                vm.parseJsonUint(json, _path(i, ".in.B.v")),
                _number(json, i, ".in.E.x"),
                vm.parseJsonUint(json, _path(i, ".in.E.v"))
            ];
            bool expected = vm.parseJsonBool(json, _path(i, ".out.holds"));
            bool found = this.holds(s, vm.parseJsonBytes32(json, _path(i, ".in.context")), keys);
            assertTrue(found == expected, vm.parseJsonString(json, _path(i, ".what")));
            if (found) ++right;
            else ++wrong;
        }
        assertTrue(right >= 2 && wrong >= 14, "the vectors hold both kinds");
    }

    function test_types_hashAsTheVectorsSay() external view {
        string memory json = vm.readFile("packages/core/vectors/struct.json");
        uint256 found;
        for (uint256 i = 0; vm.keyExistsJson(json, _path(i, "")); ++i) {
            bytes32 what = keccak256(bytes(vm.parseJsonString(json, _path(i, ".what"))));
            bytes32 expected;
            if (what == keccak256("SubscriptionOffer")) expected = SubscriptionTypes.OFFER_TYPEHASH;
            else if (what == keccak256("SubscriptionTerms")) expected = SubscriptionTypes.TERMS_TYPEHASH;
            else continue;
            assertEq(vm.parseJsonBytes32(json, _path(i, ".out.typeHash")), expected, "type");
            ++found;
        }
        assertEq(found, 2, "both are there");
    }

    function _number(string memory json, uint256 i, string memory field) private pure returns (uint256) {
        return uint256(vm.parseJsonBytes32(json, _path(i, field)));
    }

    function _path(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat("$.cases[", vm.toString(i), "]", field);
    }
}
