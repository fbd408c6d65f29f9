// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Deal} from "../data/ProtocolTypes.sol";
import {Status} from "../market/IEscrow.sol";
import {TrustFixture} from "../trust/TrustFixture.t.sol";
import {TrustMath} from "../trust/TrustMath.sol";
import {CitizensModel, DecayDown, DecayUp, Mean, Objective, PairModel, Weight} from "./ReputationModel.t.sol";

/// @dev What Reputation does, the models can do too, and leave the same room; their formulas are TrustMath's.
contract ReputationModelTest is TrustFixture {
    struct Given {
        uint256 inFavour;
        uint256 against;
        uint256 atMs;
    }

    PairModel private _pair;
    CitizensModel private _citizens;
    DecayUp private _up;
    /// @dev A member of an organisation, and two citizens.
    address[3] private _raters;
    address private _seller;
    Given[3] private _given;
    Given private _pool;

    function setUp() external {
        deployTrust();
        _pair = new PairModel();
        _citizens = new CitizensModel();
        _up = new DecayUp();
        _raters = [member(20), citizen(1), citizen(2)];
        _seller = member(40);
    }

    function testFuzz_reputation_everyRatingIsOneOfTheModel(uint256[24] calldata seeds) external {
        assertTrue(_rate(0, 1e6, 50, "first"), "something is compared");
        for (uint256 i = 0; i < seeds.length; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(seeds[i])));
            // up to four minutes, or up to 255 days
            pass(1 + (seed & 0xff) * (seed & 0x100 == 0 ? 1 : 86_400));
            uint256 who = (seed >> 9) % 3;
            uint64 fee = uint64((seed >> 16) % (who == 0 ? 3_000_000 : 400_000));
            _rate(who, fee, uint8((seed >> 80) % 101), bytes32(i));
        }
    }

    function testFuzz_arithmetic_isTrustMath(uint64 amount, uint256 factor, uint24 r, uint24 s, uint32 score) external {
        factor = bound(factor, 0, 1 << 64);
        assertEq(new DecayDown().value(amount, factor), TrustMath.decayDown(amount, factor), "down");
        assertEq(_up.value(amount, factor), TrustMath.decayUp(amount, factor), "up");
        assertEq(new Mean().value(r, s), TrustMath.meanOf(r, s), "mean");
        assertEq(new Objective().value(amount), TrustMath.objectiveOf(amount), "objective");
        assertEq(new Weight().value(amount, score), TrustMath.weightOf(amount, score), "weight");
    }

    function testFuzz_decayFactor_isAtMostOne(uint64 elapsedMs) external pure {
        assertTrue(TrustMath.decayFactor(elapsedMs) <= 1 << 64, "what the models take for granted");
    }

    function _rate(uint256 who, uint64 fee, uint8 value, bytes32 nonce) private returns (bool ok) {
        Given memory now_ = _decayed(_given[who]);
        uint256 used = now_.inFavour + now_.against;
        Given memory pool = _decayed(_pool);
        assertEq(_room(who), _roomLeft(who, used, pool.inFavour), "room before");

        uint256 weight = reputation.weightOf(_raters[who], fee);
        (Deal memory d, Status memory s) = finished(_raters[who], _seller, 3, nonce);
        vm.prank(_raters[who]);
        try reputation.rate(d, s, all(value), fee) {
            ok = true;
        } catch {
            assertTrue(weight == 0 || weight > _roomLeft(who, used, pool.inFavour), "refused for no other reason");
            return false;
        }
        uint256 good = (weight * value) / 100;
        _given[who] = Given(now_.inFavour + good, now_.against + weight - good, nowMs());
        _pool = Given(who == 0 ? pool.inFavour : pool.inFavour + weight, 0, nowMs());

        _citizens.decay(who == 1 ? used : _citizens.account(), pool.inFavour);
        if (who == 0) _pair.rate(used, weight);
        else if (who == 1) _citizens.rate(weight);
        else _citizens.rateAsAnother(weight);
        if (who == 0) assertEq(_room(0), 65_536 - _pair.given(), "room after");
        if (who == 1) assertEq(_room(1), _roomLeft(1, _citizens.account(), _citizens.pool()), "room after");
        assertEq(_citizens.pool(), _pool.inFavour, "pool");
    }

    function _decayed(Given memory g) private view returns (Given memory) {
        if (g.atMs == 0) return g;
        uint256 factor = TrustMath.decayFactor(nowMs() - g.atMs);
        return Given(_up.value(uint64(g.inFavour), factor), _up.value(uint64(g.against), factor), g.atMs);
    }

    function _room(uint256 who) private view returns (uint256) {
        return reputation.roomOf(_raters[who], organisation(40));
    }

    function _roomLeft(uint256 who, uint256 used, uint256 pool) private pure returns (uint256) {
        if (who == 0) return 65_536 - used;
        return 4096 - used < 65_536 - pool ? 4096 - used : 65_536 - pool;
    }
}
