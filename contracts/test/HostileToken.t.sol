// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

/// @dev An ERC-20 that does one thing wrong.
contract HostileToken {
    enum Habit {
        Plain,
        TakesAFee,
        Shrinks,
        ReturnsNothing,
        ReturnsFalse,
        Reverts,
        CallsBack
    }

    Habit public habit;
    address private _target;
    bytes private _data;
    /// @dev What the call back in answered: empty if it succeeded.
    bytes public answer;
    uint256 public calls;

    mapping(address account => uint256) public balanceOf;
    mapping(address owner => mapping(address spender => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function behave(Habit habit_) external {
        habit = habit_;
    }

    /// @dev Calls this from inside every transfer and permit.
    function callBack(address target, bytes calldata data) external {
        (habit, _target, _data) = (Habit.CallsBack, target, data);
        calls = 0;
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {
        _behave();
    }

    function transfer(address to, uint256 amount) external returns (bool) {
        _move(msg.sender, to, amount);
        return _answer();
    }

    function transferFrom(address from, address to, uint256 amount) external returns (bool) {
        allowance[from][msg.sender] -= amount;
        _move(from, to, amount);
        return _answer();
    }

    function _move(address from, address to, uint256 amount) private {
        _behave();
        if (habit == Habit.ReturnsFalse) return;
        if (habit == Habit.Shrinks) {
            balanceOf[to] = 0;
            return;
        }
        balanceOf[from] -= amount;
        balanceOf[to] += habit == Habit.TakesAFee ? amount - amount / 100 : amount;
    }

    function _behave() private {
        // solhint-disable-next-line gas-custom-errors
        require(habit != Habit.Reverts, "no");
        if (habit != Habit.CallsBack) return;
        ++calls;
        (bool ok, bytes memory result) = _target.call(_data);
        answer = ok ? bytes("") : result;
    }

    function _answer() private view returns (bool) {
        if (habit == Habit.ReturnsNothing) {
            assembly ("memory-safe") {
                return(0, 0)
            }
        }
        return habit != Habit.ReturnsFalse;
    }
}
