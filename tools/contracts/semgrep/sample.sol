// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

// Never compiled: what each rule must find, so that a rule that has gone blind is seen.
contract Sample {
    mapping(address => uint256) private _credits;

    function leave(address token) external whenNotPaused {
        IERC20(token).safeTransfer(msg.sender, _credits[msg.sender]);
        _credits[msg.sender] -= 1;
    }

    function origin(address to) external payable {
        require(tx.origin == msg.sender);
        to.call{value: msg.value}("");
        to.delegatecall("");
        selfdestruct(payable(to));
    }
}
