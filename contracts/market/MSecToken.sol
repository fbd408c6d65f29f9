// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {AccessManaged} from "@openzeppelin/contracts/access/manager/AccessManaged.sol";
import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Burnable} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Burnable.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";

import {IMSecToken} from "./IMSecToken.sol";

/// @title MSecToken
contract MSecToken is IMSecToken, ERC20Burnable, ERC20Permit, AccessManaged {
    uint256 private immutable _cap;

    constructor(address authority, uint256 cap_) ERC20("M-Sec", "MSEC") ERC20Permit("M-Sec") AccessManaged(authority) {
        _cap = cap_;
    }

    /// @inheritdoc IMSecToken
    function mint(address to, uint256 amount) external restricted {
        _mint(to, amount);
        if (totalSupply() > _cap) revert MSecToken_CapExceeded(_cap, totalSupply());
    }

    /// @inheritdoc IMSecToken
    function cap() external view returns (uint256) {
        return _cap;
    }

    /// @inheritdoc ERC20
    function decimals() public pure override returns (uint8) {
        return 6;
    }
}
