// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

interface Svm {
    function enableSymbolicStorage(address) external;
}

interface Vm {
    function prank(address sender) external;
    function assume(bool condition) external;
    function warp(uint256 timestamp) external;
    function roll(uint256 number) external;
}

/// @dev Balances and nothing else.
contract Token {
    mapping(address account => uint256) public balanceOf;

    function transfer(address to, uint256 amount) external returns (bool) {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
        return true;
    }
}

abstract contract Symbolic {
    Svm internal constant svm = Svm(address(uint160(uint256(keccak256("svm cheat code")))));
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    /// @param creation What the build made, which a city deploys: what is proved is proved of that very code.
    function deploy(bytes memory creation, bytes memory arguments) internal returns (address at) {
        bytes memory code = bytes.concat(creation, arguments);
        assembly ("memory-safe") {
            at := create(0, add(code, 32), mload(code))
        }
        require(at != address(0));
    }
}
