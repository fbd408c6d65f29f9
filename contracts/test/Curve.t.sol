// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @dev secp256k1 the slow way, so that the ecrecover tricks under test are checked against school arithmetic.
library Curve {
    uint256 internal constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    uint256 internal constant GX = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798;
    uint256 internal constant GY = 0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8;

    /// @dev k·(x, y) in affine coordinates; 0 < k < n.
    function multiply(uint256 k, uint256 x, uint256 y) internal view returns (uint256, uint256) {
        (uint256 X, uint256 Y, uint256 Z) = (0, 1, 0);
        unchecked {
            for (uint256 bit = 256; bit-- > 0;) {
                if (Z != 0) (X, Y, Z) = _double(X, Y, Z);
                if ((k >> bit) & 1 == 1) (X, Y, Z) = Z == 0 ? (x, y, 1) : _add(X, Y, Z, x, y);
            }
        }
        uint256 inverse = _power(Z, P - 2);
        uint256 square = mulmod(inverse, inverse, P);
        return (mulmod(X, square, P), mulmod(Y, mulmod(square, inverse, P), P));
    }

    function onCurve(uint256 x) internal view returns (bool) {
        uint256 right = addmod(mulmod(x, mulmod(x, x, P), P), 7, P);
        uint256 y = _power(right, (P + 1) / 4);
        return mulmod(y, y, P) == right;
    }

    function _double(uint256 X, uint256 Y, uint256 Z) private pure returns (uint256 X3, uint256 Y3, uint256 Z3) {
        unchecked {
            uint256 yy = mulmod(Y, Y, P);
            uint256 s = mulmod(4, mulmod(X, yy, P), P);
            uint256 m = mulmod(3, mulmod(X, X, P), P);
            X3 = addmod(mulmod(m, m, P), P - mulmod(2, s, P), P);
            Y3 = addmod(mulmod(m, addmod(s, P - X3, P), P), P - mulmod(8, mulmod(yy, yy, P), P), P);
            Z3 = mulmod(2, mulmod(Y, Z, P), P);
        }
    }

    /// @dev Plus an affine point that is not the same nor its negative (never so in double-and-add below n).
    function _add(
        uint256 X,
        uint256 Y,
        uint256 Z,
        uint256 x,
        uint256 y
    ) private pure returns (uint256 X3, uint256 Y3, uint256 Z3) {
        unchecked {
            uint256 zz = mulmod(Z, Z, P);
            uint256 h = addmod(mulmod(x, zz, P), P - X, P);
            uint256 r = addmod(mulmod(y, mulmod(zz, Z, P), P), P - Y, P);
            uint256 hh = mulmod(h, h, P);
            uint256 hhh = mulmod(h, hh, P);
            uint256 v = mulmod(X, hh, P);
            X3 = addmod(addmod(mulmod(r, r, P), P - hhh, P), P - mulmod(2, v, P), P);
            Y3 = addmod(mulmod(r, addmod(v, P - X3, P), P), P - mulmod(Y, hhh, P), P);
            Z3 = mulmod(Z, h, P);
        }
    }

    function _power(uint256 base, uint256 exponent) private view returns (uint256) {
        (, bytes memory result) = address(5).staticcall(
            abi.encodePacked(uint256(32), uint256(32), uint256(32), base, exponent, P)
        );
        return abi.decode(result, (uint256));
    }
}
