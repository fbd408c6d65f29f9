// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Pack} from "../data/ProtocolTypes.sol";
import {Fixture} from "../test/Fixture.t.sol";
import {Rfc8439} from "../test/Rfc8439.t.sol";
import {ChaCha20} from "./ChaCha20.sol";
import {PackCipher} from "./PackCipher.sol";
import {Poly1305} from "./Poly1305.sol";

contract PackCipherTest is Fixture {
    bytes32 private constant KEY = 0x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f;

    function opens(bytes32 key, Pack calldata p, bytes calldata content) external pure returns (bool) {
        return PackCipher.opens(key, p, content);
    }

    /* the RFC's own vectors */

    /// @dev Section 2.3.2, with counter 1; the reference that the rest is compared with.
    function test_rfc_theReferenceBlock() external pure {
        assertEq(
            Rfc8439.block_(KEY, 1, hex"000000090000004a00000000"),
            0x10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e,
            "block"
        );
    }

    /// @dev Section 2.6.2.
    function test_rfc_polyKey() external pure {
        bytes32 key = 0x808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f;
        (uint256 r, uint256 s) = ChaCha20.polyKey(key, hex"000000000001020304050607");
        bytes16 half = 0x8ad5a08b905f81cc815040274ab29471;
        assertEq(r, Poly1305.littleEndian(half) & 0x0ffffffc0ffffffc0ffffffc0fffffff, "r");
        assertEq(s, Poly1305.littleEndian(0xa833b637e3fd0da508dbb8e2fdd1a646), "s");
    }

    /// @dev Section 2.5.2: the reference over a message of no whole blocks.
    function test_rfc_theReferencePoly1305() external pure {
        bytes16 made = Rfc8439.poly1305(
            0x85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b,
            "Cryptographic Forum Research Group"
        );
        assertEq(made, bytes16(0xa8061dc1305136c6c22b8baf0c0127a9), "tag");
    }

    /// @dev Appendix A.3, 7 to 11: sums that wrap around 2^130 − 5, 2^128 and s.
    function test_rfc_poly1305AtTheEdges() external pure {
        bytes32 two = bytes32(uint256(2) << 248);
        bytes32 one = bytes32(uint256(1) << 248);
        bytes32 oneFour = bytes32((uint256(1) << 248) | (uint256(4) << 184));
        _poly(two, hex"ffffffffffffffffffffffffffffffff", hex"03000000000000000000000000000000");
        _poly(
            0x02000000000000000000000000000000ffffffffffffffffffffffffffffffff,
            hex"02000000000000000000000000000000",
            hex"03000000000000000000000000000000"
        );
        _poly(
            one,
            hex"fffffffffffffffffffffffffffffffff0ffffffffffffffffffffffffffffff11000000000000000000000000000000",
            hex"05000000000000000000000000000000"
        );
        _poly(
            one,
            hex"fffffffffffffffffffffffffffffffffbfefefefefefefefefefefefefefefe01010101010101010101010101010101",
            hex"00000000000000000000000000000000"
        );
        _poly(two, hex"fdffffffffffffffffffffffffffffff", hex"faffffffffffffffffffffffffffffff");
        _poly(
            oneFour,
            hex"e33594d7505e43b900000000000000003394d7505e4379cd01000000000000000000000000000000000000000000000001000000000000000000000000000000",
            hex"14000000000000005500000000000000"
        );
        _poly(
            oneFour,
            hex"e33594d7505e43b900000000000000003394d7505e4379cd010000000000000000000000000000000000000000000000",
            hex"13000000000000000000000000000000"
        );
    }

    /* packages/core */

    function test_opens_whateverTheVectorsSay() external view {
        string memory json = vm.readFile("packages/core/vectors/cipher.json");
        uint256 n;
        uint256 right;
        for (; vm.keyExistsJson(json, _path(n, "")); ++n) {
            Pack memory p;
            p.streamId = vm.parseJsonBytes32(json, _path(n, ".in.streamId"));
            p.keyEpoch = uint32(vm.parseJsonUint(json, _path(n, ".in.keyEpoch")));
            p.seq = uint64(vm.parseJsonUint(json, _path(n, ".in.seq")));
            bytes memory content = vm.parseJsonBytes(json, _path(n, ".in.content"));
            bool expected = vm.parseJsonBool(json, _path(n, ".out.opens"));
            bool found = this.opens(vm.parseJsonBytes32(json, _path(n, ".in.packKey")), p, content);
            assertTrue(found == expected, vm.parseJsonString(json, _path(n, ".what")));
            if (found) ++right;
        }
        assertTrue(right >= 15 && n >= right + 14, "the vectors hold both kinds");
    }

    /* the reference, over everything */

    function testFuzz_polyKey_isTheBlocksFirstHalf(bytes32 key, bytes12 nonce) external pure {
        (uint256 r, uint256 s) = ChaCha20.polyKey(key, nonce);
        bytes32 expected = Rfc8439.block_(key, 0, nonce);
        assertEq(r, Poly1305.littleEndian(bytes16(expected)) & 0x0ffffffc0ffffffc0ffffffc0fffffff, "r");
        assertEq(s, Poly1305.littleEndian(bytes16(expected << 128)), "s");
    }

    function testFuzz_opens_onlyUnderTheRightTag(
        bytes32 key,
        Pack memory p,
        bytes memory text,
        uint256 bit
    ) external view {
        bytes memory content = _content(key, p, text);
        assertTrue(this.opens(key, p, content), "right");
        bit %= content.length * 8;
        content[bit / 8] ^= bytes1(uint8(1) << uint8(bit % 8));
        assertTrue(!this.opens(key, p, content), "one bit");
    }

    function testFuzz_opens_onlyWithItsPacksNumbers(
        bytes32 key,
        Pack memory p,
        bytes memory text,
        uint64 other
    ) external view {
        bytes memory content = _content(key, p, text);
        Pack memory x = p;
        (x.seq, x.keyEpoch) = (p.seq ^ (other | 1), p.keyEpoch);
        assertTrue(!this.opens(key, x, content), "seq");
        x.seq ^= other | 1;
        x.keyEpoch ^= uint32(other | 1);
        assertTrue(!this.opens(key, x, content), "key epoch");
        x.keyEpoch ^= uint32(other | 1);
        x.streamId ^= bytes32(uint256(other | 1));
        assertTrue(!this.opens(key, x, content), "stream");
    }

    /// @dev Every length around a block, and the largest content that there is.
    function test_opens_atEveryLength() external view {
        Pack memory p;
        p.streamId = keccak256("stream");
        for (uint256 length = 0; length <= 66; ++length) _atLength(p, length);
        _atLength(p, 6472);
        _atLength(p, 48 * 1024 - 28);
    }

    function test_opens_whenTooShortOrTooLong_itDoesNot() external view {
        Pack memory p;
        for (uint256 length = 0; length < 28; ++length) {
            assertTrue(!this.opens(0, p, new bytes(length)), "short");
        }
        assertTrue(!this.opens(0, p, _content(0, p, new bytes(48 * 1024 - 27))), "a right tag, one byte too long");
    }

    /* private */

    function _atLength(Pack memory p, uint256 length) private view {
        bytes32 key = keccak256(abi.encode(length));
        bytes memory text = new bytes(length);
        for (uint256 i = 0; i < length; i += 7) text[i] = bytes1(uint8(i + length));
        bytes memory content = _content(key, p, text);
        assertTrue(this.opens(key, p, content), vm.toString(length));
        content[content.length - 1] ^= 0x01;
        assertTrue(!this.opens(key, p, content), vm.toString(length));
    }

    function _content(bytes32 key, Pack memory p, bytes memory text) private pure returns (bytes memory) {
        bytes12 nonce = bytes12(keccak256(abi.encode(key)));
        bytes memory aad = bytes.concat(p.streamId, bytes4(p.keyEpoch), bytes8(p.seq));
        return bytes.concat(nonce, text, Rfc8439.tag(key, nonce, aad, text));
    }

    function _poly(bytes32 key, bytes memory message, bytes memory expected) private pure {
        assertEq(Rfc8439.poly1305(key, message), bytes16(expected), "the reference");
        uint256 r = Poly1305.littleEndian(bytes16(key)) & 0x0ffffffc0ffffffc0ffffffc0fffffff;
        uint256 s = Poly1305.littleEndian(bytes16(key << 128));
        uint256 pointer;
        assembly ("memory-safe") {
            pointer := add(message, 32)
        }
        uint256 sum = Poly1305.absorb(0, r, pointer, message.length);
        assertEq(Poly1305.tag(sum, s), Poly1305.littleEndian(bytes16(expected)), "tag");
    }

    function _path(uint256 i, string memory field) private pure returns (string memory) {
        return string.concat("$.cases[", vm.toString(i), "]", field);
    }
}
