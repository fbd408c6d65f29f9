// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @title Point arithmetic on secp256k1 with the one precompile that every chain has
/// @dev For 0 < r < n and R the point with x = r and the parity that v says, `ecrecover(z, v, r, s)` is the address of
/// r⁻¹(s·R − z·G), or zero if there is no such R or the result is at infinity. Addresses stand for points: 160 bits.
library Secp256k1 {
    uint256 internal constant N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;

    /// @dev The address of G, that is of the private key 1.
    address internal constant ADDRESS_OF_G = 0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf;

    /// @return Whether (x, v) is a point: 0 < x < n, v 27 or 28, x on the curve. Points with n ≤ x < p don't count.
    function isPoint(uint256 x, uint8 v) internal pure returns (bool) {
        // s = 1, z = 0: x⁻¹·R
        return x != 0 && x < N && ecrecover(0, v, bytes32(x), bytes32(uint256(1))) != address(0);
    }

    /// @return Whether b is *the* private key of the point (x, v): b and no b + n, nor n − b for the other parity.
    function isKeyOf(uint256 b, uint256 x, uint8 v) internal pure returns (bool) {
        if (b == 0 || b >= N) return false;
        // s = x, z = x(b − 1): R − (b − 1)·G, which is G if and only if R = b·G
        return ecrecover(bytes32(mulmod(x, b - 1, N)), v, bytes32(x), bytes32(x)) == ADDRESS_OF_G;
    }

    /// @return Whether (sx, sy) are the coordinates of k·R, R being the point (x, v) and 0 < k < n.
    function isProduct(uint256 k, uint256 x, uint8 v, uint256 sx, uint256 sy) internal pure returns (bool) {
        // s = x·k, z = 0: k·R
        address product = ecrecover(0, v, bytes32(x), bytes32(mulmod(x, k, N)));
        return product != address(0) && product == address(uint160(uint256(keccak256(abi.encode(sx, sy)))));
    }
}
