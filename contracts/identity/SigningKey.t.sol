// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Base} from "../test/Base.t.sol";
import {SigningKey} from "./SigningKey.sol";

contract SigningKeyTest is Base {
    /// @dev The file that packages/core makes and checks itself against: the two can't judge a signature differently.
    function test_verify_judgesEverySignatureAsTheProtocolLibraryDoes() external view {
        string memory json = vm.readFile("packages/core/vectors/signature.json");
        uint256 right;
        uint256 n;
        for (; vm.keyExistsJson(json, _key(n, "")); ++n) {
            bytes memory spki = vm.parseJsonBytes(json, _key(n, ".in.spki"));
            bytes32 digest = sha256(vm.parseJsonBytes(json, _key(n, ".in.message")));
            bytes memory signature = vm.parseJsonBytes(json, _key(n, ".in.signature"));
            string memory what = vm.parseJsonString(json, _key(n, ".what"));
            bool known = !vm.keyExistsJson(json, _key(n, ".out.refused"));
            bool valid = known && vm.parseJsonBool(json, _key(n, ".out.valid"));
            if (known) assertEq(sha256(spki), bytes32(vm.parseJsonBytes(json, _key(n, ".out.keyHash"))), what);
            assertTrue(this.verify(spki, digest, signature) == valid, what);
            if (valid) ++right;
        }
        assertTrue(n > 60 && right == 3, "right ones and wrong ones");
    }

    function testFuzz_verify_whenP256_itTakesTheKeysSignatureOnly(
        uint256 key,
        bytes32 digest,
        uint16 bit
    ) external view {
        key = bound(key, 1, type(uint128).max);
        (uint256 x, uint256 y) = vm.publicKeyP256(key);
        bytes memory spki = abi.encodePacked(hex"3059301306072a8648ce3d020106082a8648ce3d03010703420004", x, y);
        (bytes32 r, bytes32 s) = vm.signP256(key, digest);
        bytes memory signature = abi.encodePacked(r, s);
        assertEq(this.algorithmOf(spki), 1, "ES256");
        assertTrue(this.verify(spki, digest, signature), "right");
        signature[(bit / 8) % 64] ^= bytes1(uint8(1 << (bit % 8)));
        assertTrue(!this.verify(spki, digest, signature), "changed");
    }

    function test_algorithmOf_whenTheModulusIsNegative_itIsZero() external view {
        bytes memory spki = _firstRsaKey();
        assertEq(this.algorithmOf(spki), 2, "RS256");
        spki[32] = 0x01;
        assertEq(this.algorithmOf(spki), 0, "no leading zero");
    }

    function _firstRsaKey() private view returns (bytes memory spki) {
        string memory json = vm.readFile("packages/core/vectors/signature.json");
        for (uint256 i = 0; vm.keyExistsJson(json, _key(i, "")); ++i) {
            spki = vm.parseJsonBytes(json, _key(i, ".in.spki"));
            if (spki.length == 294 && this.algorithmOf(spki) != 0) return spki;
        }
        revert("no RSA key in the vectors");
    }

    function testFuzz_algorithmOf_whenItIsNoKey_itIsZero(bytes calldata anything) external view {
        assertEq(this.algorithmOf(anything), 0, "unknown");
        assertTrue(!this.verify(anything, keccak256(anything), anything), "nothing is signed");
    }

    function algorithmOf(bytes calldata spki) external pure returns (uint8) {
        return SigningKey.algorithmOf(spki);
    }

    function verify(bytes calldata spki, bytes32 digest, bytes calldata signature) external view returns (bool) {
        return SigningKey.verify(spki, digest, signature);
    }

    function _key(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat("$.cases[", vm.toString(i), "]", field);
    }
}
