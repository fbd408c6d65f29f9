// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

import {ProtocolTypes} from "../data/ProtocolTypes.sol";
import {Agreement, AgreementHash} from "./Agreement.sol";
import {IAgreementDigests} from "./IAgreementDigests.sol";

/// @title AgreementDigests
contract AgreementDigests is IAgreementDigests {
    struct Anchoring {
        address by;
        uint64 atMs;
    }

    mapping(bytes32 digest => Anchoring) private _anchorings;

    /// @inheritdoc IAgreementDigests
    function anchor(bytes32 digest) external {
        if (digest == 0) revert AgreementDigests_DigestZero();
        uint64 atMs = _anchorings[digest].atMs;
        if (atMs != 0) revert AgreementDigests_Known(digest, atMs);
        atMs = ProtocolTypes.nowMs();
        _anchorings[digest] = Anchoring(msg.sender, atMs);
        emit DigestAnchored(digest, msg.sender, atMs);
    }

    /// @inheritdoc IAgreementDigests
    function anchoredBy(bytes32 digest) external view returns (address by, uint64 atMs) {
        return (_anchorings[digest].by, _anchorings[digest].atMs);
    }

    /// @inheritdoc IAgreementDigests
    function verify(
        Agreement calldata agreement,
        bytes[] calldata signatures
    ) external view returns (bytes32 digest, uint64 atMs) {
        uint256 n = agreement.parties.length;
        if (n == 0 || signatures.length != n) revert AgreementDigests_SignatureCount(n, signatures.length);
        digest = AgreementHash.digest(agreement, address(this));
        for (uint256 i = 0; i < n; ++i) {
            (address signer, , ) = ECDSA.tryRecover(digest, signatures[i]);
            address party = agreement.parties[i];
            if (party == address(0) || signer != party) revert AgreementDigests_WrongSigner(party, signer);
        }
        atMs = _anchorings[digest].atMs;
    }
}
