// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @title The money of a subscription in five sums
/// @notice One subscription; callers and amounts are free. solc's model checker proves the assertions for any sequence of
/// calls; `SubscriptionModelTest` holds the models to Subscription.
/// @dev Subscriptions of the contract meet only in sums of credits and bonds, so one is enough.
contract SubscriptionMoney {
    uint8 public constant ACTIVE = 1;
    uint8 public constant ENDING = 2;
    uint8 public constant ENDED = 3;

    /// @dev Money in less money out.
    uint256 public balance;
    uint256 public credits;
    uint256 public bonds;
    /// @dev What no batch has taken yet.
    uint256 public deposit;
    /// @dev Price and bond of delivered batches.
    uint256 public pending;
    /// @dev Active, held or not, counts as one: both keep the deposit.
    uint8 public phase;

    /// @notice In every state that calls can reach: money in = money out + money owed + money held. That what has ended holds
    /// no deposit is more than the solver decides beside it; the differential test asks that.
    function holds() external view {
        assert(balance == credits + bonds + deposit + pending);
    }

    function subscribe(uint256 amount) external {
        require(phase == 0);
        balance += amount;
        deposit = amount;
        phase = ACTIVE;
    }

    function topUp(uint256 amount) external {
        require(phase == ACTIVE);
        balance += amount;
        deposit += amount;
    }

    function deliver(uint256 price, uint256 bond) external {
        require(phase == ACTIVE || phase == ENDING);
        deposit -= price;
        bonds -= bond;
        pending += price + bond;
    }

    /// @param credit The seller's part; the rest is whoever's who delivered.
    function settle(uint256 amount, uint256 credit) external {
        pending -= amount;
        bonds += amount - credit;
        credits += credit;
    }

    /// @dev A proof against a batch: all of it to the buyer, and the end.
    function refute(uint256 amount) external {
        require(phase != 0);
        pending -= amount;
        credits += amount;
        _end();
    }

    /// @param reserve What batches that are over may still cost.
    function stop(uint256 reserve) external {
        require(phase == ACTIVE);
        credits += deposit - reserve;
        deposit = reserve;
        phase = ENDING;
    }

    function end() external {
        require(phase == ACTIVE || phase == ENDING);
        _end();
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

    function _end() private {
        credits += deposit;
        deposit = 0;
        phase = ENDED;
    }
}

/// @title The batches of a subscription
/// @notice Time is counted in batches from the first on, which is 0: `over` are over. Callers and times are free.
contract SubscriptionTime {
    uint256 public next;
    uint256 public over;
    uint256 public delivered;

    /// @notice No batch is delivered twice, and no more than are over.
    function holds() external view {
        assert(delivered <= next);
        assert(delivered <= over);
    }

    /// @dev A batch later.
    function pass() external {
        over += 1;
    }

    /// @param number From `next` on, and over; what lies between is passed over.
    function deliver(uint256 number) external {
        require(number >= next && number < over);
        next = number + 1;
        delivered += 1;
    }

    /// @param from The first batch that begins from now on.
    function resume(uint256 from) external {
        require(from >= next);
        next = from;
    }
}

/// @title What is due to whom of a batch
contract SubscriptionShares {
    uint256 private constant MOST_SLOTS = 256;

    function settled(
        uint128 slotPrice,
        uint256 slots,
        uint16 feePerMille,
        uint128 bond
    ) public pure returns (uint256 toSeller, uint256 toDeliverer) {
        require(slots <= MOST_SLOTS && feePerMille <= 1000);
        uint256 price = slots * slotPrice;
        uint256 fee = (price * feePerMille) / 1000;
        toSeller = price - fee;
        toDeliverer = bond + fee;
        assert(toSeller + toDeliverer == price + bond);
    }

    /// @param over How many batches are over and not delivered.
    function left(uint96 deposit, uint32 over, uint256 batchPrice) public pure returns (uint256 now_, uint256 reserve) {
        require(batchPrice <= uint256(type(uint128).max) * MOST_SLOTS);
        uint256 most = over * batchPrice;
        now_ = most < deposit ? deposit - most : 0;
        reserve = deposit - now_;
        assert(now_ + reserve == deposit);
        assert(reserve <= most);
        assert(reserve == most || now_ == 0);
    }
}
