// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {ProtocolTypes} from "../data/ProtocolTypes.sol";
import {ITrustGraph} from "./ITrustGraph.sol";

/// @title TrustGraph
/// @dev The matrix is kept as 16-bit shares, 16 a word and four words a row. A slice spreads it to 64-bit lanes, so that
/// one multiplication adds a row's trust to four columns: 64 rows · 2^32 · 2^16 < 2^64.
abstract contract TrustGraph is ITrustGraph {
    struct Run {
        uint32 day;
        uint8 size;
        uint8 rounds;
        uint32 resultDay;
    }

    uint256 private constant LIMIT = 64;
    uint256 private constant ROUNDS = 20;
    uint64 private constant DAY_MS = 86_400_000;
    uint256 private constant SHARE = type(uint16).max;
    uint256 private constant TRUST = type(uint32).max;

    uint256 private immutable _founders;

    Run private _run;
    bytes32[] private _organisations;
    mapping(bytes32 organisation => uint256) private _places;
    uint256[256] private _matrix;
    uint256[8] private _trust;
    uint256[8] private _result;

    constructor(bytes32[] memory founders) {
        _founders = founders.length;
        if (founders.length == 0 || founders.length > LIMIT) revert TrustGraph_Founders(founders.length);
        for (uint256 i = 0; i < founders.length; ++i) _enter(founders[i]);
    }

    /// @inheritdoc ITrustGraph
    function enter(address account) external {
        bytes32 organisation = _organisationOf(account);
        if (organisation == 0) revert TrustGraph_NoOrganisation(account);
        if (_organisations.length == LIMIT) revert TrustGraph_Full(LIMIT);
        _enter(organisation);
    }

    /// @inheritdoc ITrustGraph
    function begin() external {
        uint64 day = ProtocolTypes.nowMs() / DAY_MS;
        if (_run.day == day) revert TrustGraph_BegunToday(day);
        bytes32[] memory organisations_ = _organisations;
        uint256 n = organisations_.length;
        uint256[] memory edges = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) {
            uint256 sum;
            for (uint256 j = 0; j < n; ++j) {
                edges[j] = i == j ? 0 : _netRating(organisations_[i], organisations_[j]);
                sum += edges[j];
            }
            _storeRow(i, edges, sum);
        }
        _storeTrust(_trust, _preTrust(n));
        (_run.day, _run.size, _run.rounds) = (uint32(day), uint8(n), 0);
        emit GraphBegun(day, n);
    }

    /// @inheritdoc ITrustGraph
    function compute(uint256 rounds) external {
        Run memory run = _run;
        uint256 done = run.rounds;
        if (run.day == 0 || done == ROUNDS) revert TrustGraph_NothingToCompute(run.day);
        if (rounds > ROUNDS - done) rounds = ROUNDS - done;
        uint256 n = run.size;
        uint256[] memory matrix = _spreadMatrix(n);
        uint256[] memory trust = _loadTrust(n);
        uint256[] memory preTrust = _preTrust(n);
        for (uint256 i = 0; i < rounds; ++i) trust = _round(matrix, trust, preTrust);
        _run.rounds = uint8(done + rounds);
        if (done + rounds < ROUNDS) return _storeTrust(_trust, trust);
        _storeTrust(_result, trust);
        _run.resultDay = run.day;
        emit GraphComputed(run.day);
    }

    /// @inheritdoc ITrustGraph
    function graphScoreOf(bytes32 organisation) external view returns (uint32 score, uint64 day) {
        day = _run.resultDay;
        uint256 place = _places[organisation];
        if (place != 0) score = uint32(_result[(place - 1) / 8] >> (32 * ((place - 1) % 8)));
    }

    /// @inheritdoc ITrustGraph
    function progress() external view returns (uint64 day, uint256 rounds) {
        return (_run.day, _run.rounds);
    }

    /// @inheritdoc ITrustGraph
    function organisations() external view returns (bytes32[] memory) {
        return _organisations;
    }

    function _organisationOf(address account) internal view virtual returns (bytes32);

    /// @dev Good less bad evidence of one organisation about another now, never below zero; at most 2^24.
    function _netRating(bytes32 from, bytes32 to) internal view virtual returns (uint256);

    function _enter(bytes32 organisation) private {
        if (_places[organisation] != 0) revert TrustGraph_Known(organisation);
        _organisations.push(organisation);
        _places[organisation] = _organisations.length;
        emit OrganisationEntered(organisation, _organisations.length - 1);
    }

    function _storeRow(uint256 row, uint256[] memory edges, uint256 sum) private {
        for (uint256 w = 0; 16 * w < edges.length; ++w) {
            uint256 word;
            for (uint256 k = 0; k < 16; ++k) {
                uint256 j = 16 * w + k;
                if (j == edges.length) break;
                uint256 share =
                    sum != 0
                        ? (edges[j] * SHARE) / sum
                        : j < _founders
                            ? SHARE / _founders
                            : 0;
                word |= share << (16 * k);
            }
            _matrix[4 * row + w] = word;
        }
    }

    function _spreadMatrix(uint256 n) private view returns (uint256[] memory matrix) {
        matrix = new uint256[](16 * n);
        for (uint256 i = 0; i < n; ++i) {
            for (uint256 w = 0; 16 * w < n; ++w) {
                uint256 word = _matrix[4 * i + w];
                for (uint256 k = 0; word != 0; ++k) {
                    uint256 four = word & SHARE;
                    four |= (word & (SHARE << 16)) << 48;
                    four |= (word & (SHARE << 32)) << 96;
                    four |= (word & (SHARE << 48)) << 144;
                    matrix[16 * i + 4 * w + k] = four;
                    word >>= 64;
                }
            }
        }
    }

    function _round(
        uint256[] memory matrix,
        uint256[] memory trust,
        uint256[] memory preTrust
    ) private pure returns (uint256[] memory next) {
        uint256 n = trust.length;
        uint256[16] memory sums;
        // 64 · 2^32 · 2^16 < 2^64: no lane runs over into the next; indices stay below 16 · 64.
        unchecked {
            for (uint256 i = 0; i < n; ++i) {
                uint256 t = trust[i];
                if (t == 0) continue;
                for (uint256 w = 0; 4 * w < n; ++w) sums[w] += t * matrix[16 * i + w];
            }
        }
        next = new uint256[](n);
        for (uint256 j = 0; j < n; ++j) {
            uint256 sum = (sums[j / 4] >> (64 * (j % 4))) & type(uint64).max;
            next[j] = (17 * sum) / (20 * SHARE) + (3 * preTrust[j]) / 20;
        }
    }

    function _preTrust(uint256 n) private view returns (uint256[] memory trust) {
        trust = new uint256[](n);
        for (uint256 i = 0; i < _founders; ++i) trust[i] = TRUST / _founders;
    }

    function _loadTrust(uint256 n) private view returns (uint256[] memory trust) {
        trust = new uint256[](n);
        for (uint256 i = 0; i < n; ++i) trust[i] = (_trust[i / 8] >> (32 * (i % 8))) & TRUST;
    }

    function _storeTrust(uint256[8] storage words, uint256[] memory trust) private {
        for (uint256 w = 0; 8 * w < trust.length; ++w) {
            uint256 word;
            for (uint256 k = 0; k < 8 && 8 * w + k < trust.length; ++k) word |= trust[8 * w + k] << (32 * k);
            words[w] = word;
        }
    }
}
