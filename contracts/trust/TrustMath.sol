// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title The arithmetic of reputation
/// @notice Pure functions of integers. Amounts of evidence are Q8.16 (65,536 is one), scores Q0.32 in [0, 1).
/// @dev Every rounding is to the provider's disadvantage: what speaks for it down, what speaks against it up.
/// `packages/trust` is the same in TypeScript, bit by bit.
library TrustMath {
    /// @dev One unit of evidence.
    uint256 internal constant ONE = 1 << 16;
    /// @dev The largest amount of evidence that is kept, just below 256.
    uint256 internal constant MAX_EVIDENCE = type(uint24).max;
    /// @dev Most evidence, at any moment, of one organisation about another, and of all citizens together about one.
    uint256 internal constant PAIR_CAP = ONE;
    /// @dev Most evidence, at any moment, of one citizen's account about one provider.
    uint256 internal constant ACCOUNT_CAP = ONE / 16;
    /// @dev Base units of the token that one unit of evidence costs a rater of full standing.
    uint256 internal constant FEE_UNIT = 1e6;
    /// @dev 90 days.
    uint256 internal constant HALF_LIFE_MS = 90 * 86_400_000;
    /// @dev Two units of evidence at a base rate of 0.3, rounded against the provider.
    uint256 internal constant PRIOR_FOR = 39_321;
    uint256 internal constant PRIOR_AGAINST = 91_751;
    /// @dev Faults at which the objective score is one half.
    uint256 internal constant FAULTS_HALF = 8 * ONE;

    /// @notice 2^(−elapsed/half-life) as Q0.64, exact to 2^−56; at 0 it is 2^64.
    function decayFactor(uint256 elapsedMs) internal pure returns (uint256 factor) {
        uint256 halvings = elapsedMs / HALF_LIFE_MS;
        if (halvings > 63) return 0;
        // The series of exp(−y ln 2) for 0 ≤ y < 1 by Horner's rule: 2^64 · ln(2)^n / n!, n from 16 down to 0. Each
        // coefficient is above the next one times y, so nothing wraps.
        unchecked {
            uint256 y = ((elapsedMs % HALF_LIFE_MS) << 64) / HALF_LIFE_MS;
            factor = 57_783 - ((2503 * y) >> 64);
            factor = 1_250_454 - ((factor * y) >> 64);
            factor = 25_256_339 - ((factor * y) >> 64);
            factor = 473_683_537 - ((factor * y) >> 64);
            factor = 8_200_570_677 - ((factor * y) >> 64);
            factor = 130_140_149_132 - ((factor * y) >> 64);
            factor = 1_877_525_477_726 - ((factor * y) >> 64);
            factor = 24_378_270_262_728 - ((factor * y) >> 64);
            factor = 281_363_276_907_910 - ((factor * y) >> 64);
            factor = 2_841_449_829_983_172 - ((factor * y) >> 64);
            factor = 24_596_073_471_909_060 - ((factor * y) >> 64);
            factor = 177_423_166_116_318_949 - ((factor * y) >> 64);
            factor = 1_023_870_087_579_328_454 - ((factor * y) >> 64);
            factor = 4_431_396_893_595_737_425 - ((factor * y) >> 64);
            factor = 12_786_308_645_202_655_660 - ((factor * y) >> 64);
            factor = (1 << 64) - ((factor * y) >> 64);
            factor >>= halvings;
        }
    }

    function decayDown(uint256 amount, uint256 factor) internal pure returns (uint256) {
        // amounts are below 2^64, factors at most 2^64
        unchecked {
            return (amount * factor) >> 64;
        }
    }

    function decayUp(uint256 amount, uint256 factor) internal pure returns (uint256) {
        // as above
        unchecked {
            return (amount * factor + type(uint64).max) >> 64;
        }
    }

    /// @notice Expectation of the posterior, Q0.32.
    function meanOf(uint256 inFavour, uint256 against) internal pure returns (uint256) {
        return ((inFavour + PRIOR_FOR) << 32) / (inFavour + against + PRIOR_FOR + PRIOR_AGAINST);
    }

    /// @notice Expectation less 1.28 standard deviations of the posterior, Q0.32, never below 0.
    /// @dev With a and b the two amounts with their priors and n = a + b:
    /// (a − sqrt(z² · a · b / (n + 1))) / n, where z² = 1024/625. Both terms of the numerator are scaled by 2^64.
    function lowerOf(uint256 inFavour, uint256 against) internal pure returns (uint256) {
        // a and b are below 2^25, so the radicand is below 2^172
        unchecked {
            uint256 a = inFavour + PRIOR_FOR;
            uint256 b = against + PRIOR_AGAINST;
            uint256 n = a + b;
            uint256 radicand = ((a * b) << 122) / (625 * (n + ONE)) + 1;
            uint256 root = Math.sqrt(radicand) + 1;
            uint256 scaled = a << 48;
            return root >= scaled ? 0 : (scaled - root) / (n << 16);
        }
    }

    /// @notice Evidence that a fee buys: linear in the fee, and between a quarter and all of it by the rater's own score.
    /// @param fee Base units of the token.
    /// @param standing The rater's own lower bound, Q0.32.
    function weightOf(uint256 fee, uint256 standing) internal pure returns (uint256) {
        return (fee * ((1 << 30) + (3 * standing) / 4)) / (FEE_UNIT << 16);
    }

    /// @notice Score of an amount of faults (Q16), Q0.32: all but one without faults, one half at {FAULTS_HALF}.
    function objectiveOf(uint256 faults) internal pure returns (uint256) {
        return (FAULTS_HALF * type(uint32).max) / (FAULTS_HALF + faults);
    }

    /// @notice The highest lower bound that ratings of `organisations` colluding organisations and of any number of
    /// citizens' accounts can buy, whatever they pay and in whatever order.
    function boundOf(uint256 organisations) internal pure returns (uint256) {
        return lowerOf(Math.min((Math.min(organisations, 256) + 1) * PAIR_CAP, MAX_EVIDENCE), 0);
    }
}
