// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @title Escrow in four sums
/// @notice One deal after the other; callers, amounts, times and rulings are free. solc's model checker proves the
/// assertions for any sequence of calls; `EscrowModelTest` holds the model to Escrow.
/// @dev Deals of the contract meet only in sums of credits and bonds, so one at a time is enough. What is due to whom at
/// the end of a deal is {EscrowShares}; here any part of what is held may become credit, the rest free bond.
contract EscrowModel {
    uint8 public constant FUNDED = 1;
    uint8 public constant DELIVERED = 2;
    uint8 public constant RELEASED = 3;
    uint8 public constant REFUNDED = 4;
    uint8 public constant DISPUTED = 5;
    uint8 public constant RESOLVED = 6;

    /// @dev Money in less money out.
    uint256 public balance;
    uint256 public credits;
    uint256 public bonds;
    /// @dev For the deal: its price, and once delivered the bond, and once disputed the complaint bond.
    uint256 public held;
    uint8 public state;

    /// @notice In every state that calls can reach: money in = money out + money owed + money held, and a deal that has
    /// ended holds nothing, so it can't pay twice.
    function holds() external view {
        assert(balance == credits + bonds + held);
        assert(state == FUNDED || state == DELIVERED || state == DISPUTED || held == 0);
    }

    function open(uint256 price) external {
        require(state != FUNDED && state != DELIVERED && state != DISPUTED);
        balance += price;
        held = price;
        state = FUNDED;
    }

    function deliver(uint256 bond) external {
        require(state == FUNDED);
        bonds -= bond;
        held += bond;
        state = DELIVERED;
    }

    /// @dev Not delivered, declined, erased or without consent; or a proof.
    function refund() external {
        require(state == FUNDED || state == DELIVERED);
        credits += held;
        held = 0;
        state = REFUNDED;
    }

    function release(uint256 toSeller) external {
        require(state == DELIVERED);
        _finish(toSeller);
        state = RELEASED;
    }

    function dispute(uint256 stake) external {
        require(state == DELIVERED);
        balance += stake;
        held += stake;
        state = DISPUTED;
    }

    /// @param credit To buyer, seller and judges.
    function resolve(uint256 credit) external {
        require(state == DISPUTED);
        _finish(credit);
        state = RESOLVED;
    }

    function depositBond(uint256 amount) external {
        balance += amount;
        bonds += amount;
    }

    function withdrawBond(uint256 amount) external {
        bonds -= amount;
        balance -= amount;
    }

    function withdraw(uint256 amount) external {
        credits -= amount;
        balance -= amount;
    }

    function _finish(uint256 credit) private {
        credits += credit;
        bonds += held - credit;
        held = 0;
    }
}

/// @title What is due to whom at the end of a deal
/// @notice Each sums up to what was held, and rounding costs nobody but the judges, less than a unit each.
contract EscrowShares {
    uint256 private constant MAX_JUDGES = 64;

    function released(
        uint128 price,
        uint128 fee,
        uint128 bond
    ) public pure returns (uint256 toSeller, uint256 toDeliverer) {
        require(fee <= price);
        toSeller = price - fee;
        toDeliverer = uint256(bond) + fee;
        assert(toSeller + toDeliverer == uint256(price) + bond);
    }

    function refunded(uint128 price, uint128 bond, bool proved) public pure returns (uint256 toBuyer) {
        toBuyer = proved ? uint256(price) + bond : price;
        assert(toBuyer >= price);
    }

    /// @return back Part of `amount` that a ruling gives back.
    function partOf(uint128 amount, uint16 perMille) public pure returns (uint256 back) {
        require(perMille <= 1000);
        back = (uint256(amount) * perMille) / 1000;
        assert(back <= amount);
        assert(perMille != 0 || back == 0);
        assert(perMille != 1000 || back == amount);
    }

    /// @param back From {partOf}.
    /// @param shared What the judges take of the complaint bond.
    function resolved(
        uint128 price,
        uint128 fee,
        uint128 bond,
        uint256 back,
        uint256 shared
    ) public pure returns (uint256 toBuyer, uint256 toSeller, uint256 toDeliverer) {
        uint256 stake = stakeOf(price);
        require(fee <= price && back <= price - fee && shared <= stake);
        toBuyer = back + stake - shared;
        toSeller = price - fee - back;
        toDeliverer = uint256(bond) + fee;
        assert(toBuyer + toSeller + toDeliverer + shared == uint256(price) + bond + stake);
    }

    /// @return stake The complaint bond.
    function stakeOf(uint128 price) public pure returns (uint256 stake) {
        stake = (uint256(price) + 9) / 10;
        assert(stake <= price);
        assert(stake * 10 >= price);
    }

    /// @return share What each judge gets.
    function shareOf(uint128 price, uint256 judges) public pure returns (uint256 share) {
        require(judges != 0 && judges <= MAX_JUDGES);
        uint256 stake = stakeOf(price);
        share = stake / judges;
        assert(share * judges <= stake);
        assert(stake - share * judges < judges);
    }
}
