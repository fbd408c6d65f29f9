// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

// solc's model checker proves the assertions here for any sequence of calls and any arguments; `ReputationModelTest` holds
// the models to Reputation and TrustMath. One formula a contract and numbers spelt out: the checker loses its way in more.

/// @title What one organisation gave one provider
/// @dev In Q16, for and against. Callers, weights and decay are free; that decay never raises is {DecayUp}.
contract PairModel {
    uint256 public given;

    function holds() external view {
        assert(given <= 65_536);
    }

    /// @param decayed What was given, as it is worth now.
    function rate(uint256 decayed, uint256 weight) external {
        require(decayed <= given);
        require(decayed + weight <= 65_536);
        given = decayed + weight;
    }
}

/// @title What citizens gave one provider: one account, and all of them together
contract CitizensModel {
    uint256 public account;
    uint256 public pool;

    function holds() external view {
        assert(account <= 4096);
        assert(pool <= 65_536);
    }

    /// @dev The two decay at different times: what all gave with each rating of the provider, whoever gives it.
    function decay(uint256 account_, uint256 pool_) external {
        require(account_ <= account);
        require(pool_ <= pool);
        account = account_;
        pool = pool_;
    }

    function rate(uint256 weight) external {
        require(account + weight <= 4096);
        require(pool + weight <= 65_536);
        account += weight;
        pool += weight;
    }

    /// @dev From another account.
    function rateAsAnother(uint256 weight) external {
        require(pool + weight <= 65_536);
        pool += weight;
    }
}

/// @dev What speaks for a provider never grows by waiting.
contract DecayDown {
    function value(uint64 amount, uint256 factor) public pure returns (uint256 result) {
        require(factor <= 18_446_744_073_709_551_616);
        result = (amount * factor) / 18_446_744_073_709_551_616;
        assert(result <= amount);
    }
}

/// @dev What speaks against a provider, or uses up a cap, never grows by waiting.
contract DecayUp {
    function value(uint64 amount, uint256 factor) public pure returns (uint256 result) {
        require(factor <= 18_446_744_073_709_551_616);
        result = (amount * factor + 18_446_744_073_709_551_615) / 18_446_744_073_709_551_616;
        assert(result <= amount);
    }
}

/// @dev A mean is below one, Q0.32.
contract Mean {
    function value(uint24 inFavour, uint24 against) public pure returns (uint256 result) {
        uint256 a = uint256(inFavour) + 39_321;
        uint256 b = uint256(against) + 91_751;
        result = (a * 4_294_967_296) / (a + b);
        assert(result < 4_294_967_296);
    }
}

/// @dev The objective score fits its 32 bits, whatever the faults.
contract Objective {
    function value(uint64 faults) public pure returns (uint256 result) {
        uint256 all = uint256(faults) + 524_288;
        result = 2_251_799_813_160_960 / all;
        assert(result <= 4_294_967_295);
    }
}

/// @dev A rater of any standing gets at most the full weight for its fee.
contract Weight {
    function value(uint64 fee, uint32 standing) public pure returns (uint256 result) {
        uint256 part = 1_073_741_824 + (3 * uint256(standing)) / 4;
        assert(part <= 4_294_967_296);
        result = (fee * part) / 65_536_000_000;
    }
}
