// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.24;

/// @dev What every party of a private agreement signs. Who may read it is part of it.
struct Agreement {
    /// The private contract.
    address agreement;
    /// 1, 2, 3 … in that contract.
    uint64 version;
    /// keccak-256 of the terms' exact bytes.
    bytes32 termsHash;
    /// Ascending, 2 to 16.
    address[] parties;
    /// Ascending, at most 4. They read and never write.
    address[] auditors;
    /// Unix milliseconds at which it ends by itself.
    uint64 endMs;
    /// Milliseconds from a party's notice to the end.
    uint64 noticeMs;
    /// Unix milliseconds until which it may be signed.
    uint64 deadline;
    /// Random, so that nobody can guess the digest from terms that many have.
    bytes32 salt;
}

/// @title EIP-712 of private agreements
/// @dev Domain ("AgreementDigests", "1", chainId, the public contract), also for the private one: one signature serves
/// both.
library AgreementHash {
    bytes32 internal constant AGREEMENT_TYPEHASH = keccak256(
        "Agreement(address agreement,uint64 version,bytes32 termsHash,address[] parties,address[] auditors,uint64 endMs,uint64 noticeMs,uint64 deadline,bytes32 salt)"
    );
    bytes32 private constant DOMAIN_TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    );

    function hashStruct(Agreement memory a) internal pure returns (bytes32) {
        return
            keccak256(
                abi.encode(
                    AGREEMENT_TYPEHASH,
                    a.agreement,
                    a.version,
                    a.termsHash,
                    keccak256(abi.encodePacked(a.parties)),
                    keccak256(abi.encodePacked(a.auditors)),
                    a.endMs,
                    a.noticeMs,
                    a.deadline,
                    a.salt
                )
            );
    }

    /// @notice What the parties sign, and what is anchored.
    /// @param digests The public contract.
    function digest(Agreement memory a, address digests) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(DOMAIN_TYPEHASH, keccak256("AgreementDigests"), keccak256("1"), block.chainid, digests)
        );
        return keccak256(abi.encodePacked(hex"1901", domain, hashStruct(a)));
    }
}
