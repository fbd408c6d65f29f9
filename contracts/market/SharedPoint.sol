// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Secp256k1} from "./Secp256k1.sol";

/// @dev S = b·E of the private key b behind a public key B, shown without showing b: c is the challenge and z the answer
/// of a proof that log_G B = log_E S. P = z·E and Q = c·S are given with both coordinates, and 1/(P.x − Q.x) modulo p, so
/// that no multiplication and no inversion is left to do on chain.
struct SharedPoint {
    uint256 x;
    /// 27 if y of S is even, 28 if it is odd.
    uint8 v;
    uint256 c;
    uint256 z;
    uint256 Px;
    uint256 Py;
    uint256 Qx;
    uint256 Qy;
    uint256 inverse;
}

/// @title Whether a point is the shared one of two keys
/// @dev Chaum and Pedersen's proof of equal logarithms (CRYPTO '92), made non-interactive by hashing (Fiat and Shamir):
/// c = H(H(tag ‖ context ‖ B ‖ E ‖ S) ‖ address(A) ‖ A') mod n with A = z·G − c·B and A' = z·E − c·S. The one who proves
/// chooses k, so A = k·G, A' = k·E, z = k + c·b. It says nothing of b beyond S.
library SharedPointProof {
    uint256 private constant P = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEFFFFFC2F;
    bytes32 private constant TAG = keccak256("msec.shared");

    /// @param context What the proof is for; it holds for nothing else.
    /// @param bx x of B; (bx, bv) must be a point with x < n.
    /// @param ex x of E; the same.
    function holds(
        SharedPoint calldata s,
        bytes32 context,
        uint256 bx,
        uint8 bv,
        uint256 ex,
        uint8 ev
    ) internal pure returns (bool) {
        if (s.c == 0 || s.c >= Secp256k1.N || s.z == 0 || s.z >= Secp256k1.N) return false;
        if (!Secp256k1.isPoint(s.x, s.v)) return false;
        if (!Secp256k1.isProduct(s.z, ex, ev, s.Px, s.Py)) return false;
        if (!Secp256k1.isProduct(s.c, s.x, s.v, s.Qx, s.Qy)) return false;
        if (mulmod(addmod(s.Px, P - s.Qx, P), s.inverse, P) != 1) return false;
        bytes32 statement = keccak256(abi.encode(TAG, context, bx, bv, ex, ev, s.x, s.v));
        (uint256 x, uint256 y) = _difference(s);
        return uint256(keccak256(abi.encode(statement, _commitment(s.c, s.z, bx, bv), x, y))) % Secp256k1.N == s.c;
    }

    /// @dev P − Q, both on the curve with coordinates below p and different x.
    function _difference(SharedPoint calldata s) private pure returns (uint256 x, uint256 y) {
        uint256 slope = mulmod(addmod(s.Py, s.Qy, P), s.inverse, P);
        x = addmod(addmod(mulmod(slope, slope, P), P - s.Px, P), P - s.Qx, P);
        y = addmod(mulmod(slope, addmod(s.Px, P - x, P), P), P - s.Py, P);
    }

    /// @dev address(z·G − c·B), or zero where that is at infinity.
    function _commitment(uint256 c, uint256 z, uint256 bx, uint8 bv) private pure returns (address) {
        uint256 n = Secp256k1.N;
        return ecrecover(bytes32(n - mulmod(z, bx, n)), bv, bytes32(bx), bytes32(n - mulmod(c, bx, n)));
    }
}
