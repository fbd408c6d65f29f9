// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Base} from "../test/Base.t.sol";
import {Given} from "./Given.sol";
import {Standing} from "./Standing.sol";
import {TrustMath} from "./TrustMath.sol";

contract TrustMathTest is Base {
    using Standing for uint256;

    uint256 private constant MAX = TrustMath.MAX_EVIDENCE;
    uint256 private constant YEARS = 20 * 365 days * 1000;

    string private _vectors;

    function setUp() external {
        _vectors = vm.readFile("packages/trust/vectors/trust.json");
    }

    /* AGAINST packages/trust */

    function test_vectors_decay() external view {
        uint256[] memory elapsed = _read(".decay.elapsedMs");
        (uint256[] memory factor, uint256[] memory down) = (_read(".decay.factor"), _read(".decay.down"));
        uint256[] memory up = _read(".decay.up");
        for (uint256 i = 0; i < elapsed.length; ++i) {
            uint256 found = TrustMath.decayFactor(elapsed[i]);
            assertEq(found, factor[i], "factor");
            assertEq(TrustMath.decayDown(MAX, found), down[i], "down");
            assertEq(TrustMath.decayUp(MAX, found), up[i], "up");
        }
    }

    function test_vectors_scores() external view {
        (uint256[] memory a, uint256[] memory b) = (_read(".score.inFavour"), _read(".score.against"));
        (uint256[] memory mean, uint256[] memory lower) = (_read(".score.mean"), _read(".score.lower"));
        for (uint256 i = 0; i < a.length; ++i) {
            assertEq(TrustMath.meanOf(a[i], b[i]), mean[i], "mean");
            assertEq(TrustMath.lowerOf(a[i], b[i]), lower[i], "lower");
        }
        (a, b) = (_read(".weight.fee"), _read(".weight.standing"));
        uint256[] memory weight = _read(".weight.weight");
        for (uint256 i = 0; i < a.length; ++i) assertEq(TrustMath.weightOf(a[i], b[i]), weight[i], "weight");
        (a, b) = (_read(".objective.faults"), _read(".objective.score"));
        for (uint256 i = 0; i < a.length; ++i) assertEq(TrustMath.objectiveOf(a[i]), b[i], "objective");
        b = _read(".bound.score");
        for (uint256 k = 0; k < b.length; ++k) assertEq(TrustMath.boundOf(k), b[k], "bound");
    }

    /* DECAY */

    function testFuzz_decay_inTwoStepsIsInOneWithinOneUlp(uint256 a, uint256 b, uint24 amount) external pure {
        (a, b) = (bound(a, 0, YEARS), bound(b, 0, YEARS));
        (uint256 fa, uint256 fb) = (TrustMath.decayFactor(a), TrustMath.decayFactor(b));
        uint256 whole = TrustMath.decayFactor(a + b);
        uint256 one = TrustMath.decayDown(amount, whole);
        uint256 two = TrustMath.decayDown(TrustMath.decayDown(amount, fa), fb);
        assertTrue(two <= one + 1 && one <= two + 1, "down");
        one = TrustMath.decayUp(amount, whole);
        two = TrustMath.decayUp(TrustMath.decayUp(amount, fa), fb);
        assertTrue(two <= one + 1 && one <= two + 1, "up");
    }

    function testFuzz_decay_onlyFallsAndHalves(uint256 a, uint256 b, uint24 amount) external pure {
        (a, b) = (bound(a, 0, YEARS), bound(b, 0, YEARS));
        if (a > b) (a, b) = (b, a);
        (uint256 fa, uint256 fb) = (TrustMath.decayFactor(a), TrustMath.decayFactor(b));
        assertTrue(fb <= fa && fa <= 1 << 64, "falls");
        uint256 later = TrustMath.decayFactor(a + TrustMath.HALF_LIFE_MS);
        assertTrue(later == fa / 2, "halves");
        assertTrue(TrustMath.decayDown(amount, fa) <= TrustMath.decayUp(amount, fa), "down is below up");
        assertTrue(TrustMath.decayUp(amount, fa) <= amount, "never grows");
    }

    /// @dev The factor of a sum is the product, to 2^−53: the series is that good everywhere.
    function testFuzz_decay_isAnExponential(uint256 a, uint256 b) external pure {
        (a, b) = (bound(a, 0, TrustMath.HALF_LIFE_MS), bound(b, 0, TrustMath.HALF_LIFE_MS));
        uint256 product = (TrustMath.decayFactor(a) * TrustMath.decayFactor(b)) >> 64;
        uint256 sum = TrustMath.decayFactor(a + b);
        assertTrue(product <= sum + 2048 && sum <= product + 2048, "product");
    }

    /* SCORES */

    function testFuzz_lower_isAShareBelowTheMean(uint24 a, uint24 b) external pure {
        uint256 lower = TrustMath.lowerOf(a, b);
        assertTrue(lower <= TrustMath.meanOf(a, b) && TrustMath.meanOf(a, b) < 1 << 32, "range");
    }

    function testFuzz_lower_goodNeverLowersBadNeverRaises(uint24 a, uint24 b, uint256 more) external pure {
        uint256 lower = TrustMath.lowerOf(a, b);
        uint256 better = TrustMath.lowerOf(a + bound(more, 0, MAX - a), b);
        uint256 worse = TrustMath.lowerOf(a, b + bound(more, 0, MAX - b));
        assertTrue(better >= lower, "good");
        assertTrue(worse <= lower, "bad");
    }

    /// @dev Where one step of the smallest size matters most: close amounts.
    function testFuzz_lower_whenByOneUlp_itIsMonotoneToo(uint24 a, uint24 b, uint8 scale) external pure {
        (uint256 x, uint256 y) = (uint256(a) >> (scale % 24), uint256(b) >> ((scale / 24) % 24));
        uint256 lower = TrustMath.lowerOf(x, y);
        assertTrue(TrustMath.lowerOf(x + 1, y) >= lower && TrustMath.lowerOf(x, y + 1) <= lower, "monotone");
    }

    /// @dev lower = (a − z·sqrt(ab/(n+1)))/n, put the other way round: (a − lower·n)² ≥ z²·ab/(n+1), with little to spare.
    function testFuzz_lower_isTheBoundOfTheBeta(uint24 inFavour, uint24 against) external pure {
        uint256 a = uint256(inFavour) + TrustMath.PRIOR_FOR;
        uint256 b = uint256(against) + TrustMath.PRIOR_AGAINST;
        uint256 n = a + b;
        uint256 lower = TrustMath.lowerOf(inFavour, against);
        uint256 gap = (a << 32) - lower * n; // Q48
        uint256 right = (1024 * a * b) << 64; // z²·ab, Q32 more
        assertTrue(lower == 0 || gap * gap * 625 * (n + TrustMath.ONE) >= right << 16, "not above the bound");
        if ((lower + 2) * n > a << 32) return;
        gap = (a << 32) - (lower + 2) * n;
        assertTrue(gap * gap * 625 * (n + TrustMath.ONE) <= right << 16, "not two ulps below it");
    }

    function testFuzz_weight_halvesAddUpWithinOneUlp(uint64 fee, uint32 standing) external pure {
        uint256 whole = TrustMath.weightOf(2 * uint256(fee), standing);
        uint256 halves = 2 * TrustMath.weightOf(fee, standing);
        assertTrue(halves <= whole && whole <= halves + 1, "halves");
        assertTrue(TrustMath.weightOf(fee, standing) * 1e6 <= uint256(fee) << 16, "at most a unit a token");
    }

    function testFuzz_bound_moreOrganisationsBuyMoreButNeverOne(uint256 k) external pure {
        k = bound(k, 0, 1000);
        assertTrue(TrustMath.boundOf(k) <= TrustMath.boundOf(k + 1) && TrustMath.boundOf(k) < 1 << 32, "rises");
    }

    /* WORDS */

    function testFuzz_standing_eachAmountIsInItsPlace(uint24[7] memory x, uint48 at, uint32 n) external pure {
        uint256 word = _word(x, at, n);
        for (uint256 f = 0; f < 3; ++f) {
            (uint256 a, uint256 b) = word.evidence(f);
            assertTrue(a == x[2 * f] && b == x[2 * f + 1], "facet");
        }
        assertTrue(word.citizens() == x[6] && word.lastMs() == at && word.count() == n, "rest");
        for (uint256 f = 0; f < 3; ++f) {
            uint256 more = word.add(f, x[(f + 3) % 7], x[(f + 5) % 7]);
            (uint256 a, uint256 b) = more.evidence(f);
            assertEq(a, _min(uint256(x[2 * f]) + x[(f + 3) % 7]), "added or full");
            assertEq(b, _min(uint256(x[2 * f + 1]) + x[(f + 5) % 7]), "added or full");
            assertEq(
                more & ~(uint256(type(uint48).max) << (48 * f)),
                word & ~(uint256(type(uint48).max) << (48 * f)),
                "others stay"
            );
        }
    }

    function testFuzz_standing_countsUpToItsLargest(uint24[7] memory x, uint48 at, uint16 weight) external pure {
        x[6] = uint24(bound(x[6], 0, type(uint24).max - uint256(weight)));
        uint256 few = _word(x, at, 5).counted(weight);
        assertTrue(few.count() == 6 && few.citizens() == x[6] + uint256(weight) && few.lastMs() == at, "one more");
        uint256 full = _word(x, at, type(uint32).max).counted(weight);
        assertEq(full, _word(x, at, type(uint32).max) + (uint256(weight) << 144), "no more ratings, and no overflow");
    }

    function testFuzz_standing_decaysEachByItsRounding(uint24[7] memory x, uint48 at, uint40 elapsed) external pure {
        at = uint48(bound(at, 1, type(uint40).max));
        uint256 word = _word(x, at, 7);
        uint256 nowMs = uint256(at) + elapsed;
        uint256 later = word.decayed(nowMs);
        uint256 factor = TrustMath.decayFactor(elapsed);
        for (uint256 f = 0; f < 3; ++f) {
            (uint256 a, uint256 b) = later.evidence(f);
            assertEq(a, TrustMath.decayDown(x[2 * f], factor), "for: down");
            assertEq(b, TrustMath.decayUp(x[2 * f + 1], factor), "against: up");
            (uint256 a2, uint256 b2) = word.evidenceAt(f, nowMs);
            assertTrue(a == a2 && b == b2, "one facet alone");
        }
        assertEq(later.citizens(), TrustMath.decayUp(x[6], factor), "citizens: up");
        assertTrue(later.lastMs() == nowMs && later.count() == 7, "time and count");
    }

    function testFuzz_given_whatIsPackedComesOut(uint24 a, uint24 b, uint48 at, uint64 ms, bytes32 id) external pure {
        uint256 word = Given.pack(a, b, at, Given.cursorOf(ms, id));
        (uint256 x, uint256 y) = Given.decayed(word, at);
        assertTrue(x == a && y == b, "evidence");
        assertEq(Given.cursor(word), (uint256(uint48(ms)) << 64) | (uint256(id) >> 192), "cursor");
    }

    function _word(uint24[7] memory x, uint48 at, uint32 n) private pure returns (uint256 word) {
        for (uint256 i = 0; i < 7; ++i) word |= uint256(x[i]) << (24 * i);
        word |= (uint256(at) << 168) | (uint256(n) << 216);
    }

    function _min(uint256 x) private pure returns (uint256) {
        return x > MAX ? MAX : x;
    }

    function _read(string memory key) private view returns (uint256[] memory) {
        return vm.parseJsonUintArray(_vectors, string.concat("$", key));
    }
}
