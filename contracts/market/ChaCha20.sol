// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title What the Poly1305 key of a message needs of ChaCha20 (RFC 8439, sections 2.3 and 2.6)
library ChaCha20 {
    /// @dev Half of the block with counter 0: its first 16 bytes, clamped, are r, the next 16 are s, both little-endian.
    ///
    /// A row of the state is one word of four 64-bit lanes, each with 32 bits of value, lane 0 the lowest: so one quarter
    /// round does a whole row, and a rotated lane's spill lands in its own upper half.
    /// @return r Multiplier of Poly1305.
    /// @return s What Poly1305 adds at the end.
    function polyKey(bytes32 key, bytes12 nonce) internal pure returns (uint256 r, uint256 s) {
        assembly ("memory-safe") {
            function reversed(x) -> y {
                y := or(
                    shl(8, and(x, 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff)),
                    and(shr(8, x), 0x00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff)
                )
                y := or(
                    shl(16, and(y, 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff)),
                    and(shr(16, y), 0x0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff0000ffff)
                )
                y := or(
                    shl(32, and(y, 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)),
                    and(shr(32, y), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
                )
                y := or(
                    shl(64, and(y, 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)),
                    and(shr(64, y), 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)
                )
                y := or(shl(128, y), shr(128, y))
            }
            // Four 32-bit values side by side, low 128 bits of x, into lanes.
            function spread(x) -> y {
                y := and(or(x, shl(64, x)), 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)
                y := and(or(y, shl(32, y)), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
            }
            function gathered(x) -> y {
                y := and(or(x, shr(32, x)), 0x0000000000000000ffffffffffffffff0000000000000000ffffffffffffffff)
                y := and(or(y, shr(64, y)), 0xffffffffffffffffffffffffffffffff)
            }
            function plus(x, y) -> z {
                z := and(add(x, y), 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff)
            }
            function quarterRound(a, b, c, d) -> a1, b1, c1, d1 {
                let m := 0x00000000ffffffff00000000ffffffff00000000ffffffff00000000ffffffff
                a1 := and(add(a, b), m)
                d1 := shl(16, xor(d, a1))
                d1 := and(or(d1, shr(32, d1)), m)
                c1 := and(add(c, d1), m)
                b1 := shl(12, xor(b, c1))
                b1 := and(or(b1, shr(32, b1)), m)
                a1 := and(add(a1, b1), m)
                d1 := shl(8, xor(d1, a1))
                d1 := and(or(d1, shr(32, d1)), m)
                c1 := and(add(c1, d1), m)
                b1 := shl(7, xor(b1, c1))
                b1 := and(or(b1, shr(32, b1)), m)
            }

            // "expand 32-byte k"
            let constants := 0x000000006b2065740000000079622d32000000003320646e0000000061707865
            let words := reversed(key)
            let a := constants
            let b := spread(and(words, 0xffffffffffffffffffffffffffffffff))
            let c := spread(shr(128, words))
            let d := spread(shl(32, reversed(nonce)))
            for {
                let i := 0
            } lt(i, 10) {
                i := add(i, 1)
            } {
                a, b, c, d := quarterRound(a, b, c, d)
                // The diagonals: lane i takes b from lane i + 1, c from i + 2, d from i + 3; and back.
                b := or(shr(64, b), shl(192, b))
                c := or(shr(128, c), shl(128, c))
                d := or(shr(192, d), shl(64, d))
                a, b, c, d := quarterRound(a, b, c, d)
                b := or(shl(64, b), shr(192, b))
                c := or(shr(128, c), shl(128, c))
                d := or(shl(192, d), shr(64, d))
            }
            r := and(gathered(plus(a, constants)), 0x0ffffffc0ffffffc0ffffffc0fffffff)
            s := gathered(plus(b, spread(and(words, 0xffffffffffffffffffffffffffffffff))))
        }
    }
}
