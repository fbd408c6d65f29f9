// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.36;

import {Base} from "../test/Base.t.sol";
import {Given} from "./Given.sol";
import {ITrustGraph} from "./ITrustGraph.sol";
import {TrustFixture} from "./TrustFixture.t.sol";
import {TrustGraph} from "./TrustGraph.sol";

/// @dev The graph over ratings that a test writes down; an account's organisation is the account.
contract Graph is TrustGraph {
    mapping(bytes32 from => mapping(bytes32 to => uint256)) public edge;

    constructor(bytes32[] memory founders) TrustGraph(founders) {}

    function set(bytes32 from, bytes32 to, uint256 value) external {
        edge[from][to] = value;
    }

    function _organisationOf(address account) internal pure override returns (bytes32) {
        return bytes32(uint256(uint160(account)));
    }

    function _netRating(bytes32 from, bytes32 to) internal view override returns (uint256) {
        return edge[from][to];
    }
}

contract TrustGraphTest is Base {
    uint256 private constant ALL = type(uint32).max;

    function test_vectors_theScoresArePackagesTrusts() external {
        string memory json = vm.readFile("packages/trust/vectors/trust.json");
        for (uint256 v = 0; v < 3; ++v) {
            string memory at = string.concat("$.graph[", vm.toString(v), "].");
            uint256 n = vm.parseJsonUint(json, string.concat(at, "size"));
            uint256[] memory edges = vm.parseJsonUintArray(json, string.concat(at, "edges"));
            uint256[] memory scores = vm.parseJsonUintArray(json, string.concat(at, "scores"));
            Graph graph = _graph(vm.parseJsonUint(json, string.concat(at, "founders")), n);
            for (uint256 i = 0; i < n * n; ++i) graph.set(_id(i / n), _id(i % n), edges[i]);
            _run(graph, 20);
            for (uint256 i = 0; i < n; ++i) assertEq(_score(graph, i), scores[i], "score");
        }
    }

    function testFuzz_compute_theSlicesDoNotMatter(uint8[8] memory slices, uint256 seed) external {
        Graph one = _random(seed, 9, 2);
        Graph two = _random(seed, 9, 2);
        _run(one, 20);
        two.begin();
        for (uint256 i = 0; i < 8; ++i) {
            (, uint256 rounds) = two.progress();
            if (rounds == 20) break;
            two.compute(slices[i] % 12);
            // what is rated meanwhile is tomorrow's
            two.set(_id(i), _id(0), 65_536);
        }
        (, uint256 done) = two.progress();
        if (done < 20) two.compute(type(uint256).max);
        for (uint256 i = 0; i < 9; ++i) assertEq(_score(one, i), _score(two, i), "the same");
    }

    function testFuzz_scores_addUpToNoMoreThanOne(uint256 seed, uint8 n, uint8 founders) external {
        n = uint8(bound(n, 1, 20));
        Graph graph = _random(seed, n, bound(founders, 1, n));
        _run(graph, 20);
        uint256 sum;
        for (uint256 i = 0; i < n; ++i) sum += _score(graph, i);
        assertTrue(sum <= ALL && sum > (ALL / 1000) * 999, "one, but for rounding");
    }

    /// @dev Organisations 6 to 8 collude: whatever they say of one another, they hold no more than honest ones gave.
    function testFuzz_colluders_areUnderThePublishedBound(uint256 seed, uint16 share) external {
        Graph graph = _random(seed, 9, 2);
        uint256 x = bound(share, 0, 1000); // per mille of each honest row
        for (uint256 i = 0; i < 6; ++i) {
            for (uint256 j = 0; j < 6; ++j) graph.set(_id(i), _id(j), i == j ? 0 : 1000 - x);
            for (uint256 j = 6; j < 9; ++j) graph.set(_id(i), _id(j), 0);
            graph.set(_id(i), _id(6), 5 * x);
        }
        for (uint256 i = 6; i < 9; ++i) {
            for (uint256 j = 0; j < 9; ++j) graph.set(_id(i), _id(j), j >= 6 && j != i ? 65_536 : 0);
        }
        _run(graph, 20);
        uint256 theirs = _score(graph, 6) + _score(graph, 7) + _score(graph, 8);
        // 0.85x / (0.15 + 0.85x)
        assertTrue(theirs <= (ALL * 85 * x) / (15_000 + 85 * x), "bound");
        if (x == 0) assertEq(theirs, 0, "nothing given, nothing held");
    }

    function test_begin_whenTwiceADay_itReverts() external {
        Graph graph = _random(1, 4, 1);
        graph.begin();
        uint64 day = uint64(block.timestamp / 1 days);
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_BegunToday.selector, day));
        graph.begin();
        graph.compute(7);
        vm.warp(block.timestamp + 1 days);
        graph.begin();
        (uint64 begun, uint256 rounds) = graph.progress();
        assertTrue(begun == day + 1 && rounds == 0, "an unfinished day is given up");
        (uint32 score, uint64 resultDay) = graph.graphScoreOf(_id(0));
        assertTrue(score == 0 && resultDay == 0, "no result yet");
    }

    function test_result_staysUntilTheNextIsComplete() external {
        Graph graph = _random(3, 4, 1);
        uint64 day = uint64(block.timestamp / 1 days);
        vm.expectEmit(address(graph));
        emit ITrustGraph.GraphBegun(day, 4);
        graph.begin();
        vm.expectEmit(address(graph));
        emit ITrustGraph.GraphComputed(day);
        graph.compute(20);
        (uint32 before, ) = graph.graphScoreOf(_id(1));
        vm.warp(block.timestamp + 1 days);
        for (uint256 j = 1; j < 4; ++j) graph.set(_id(0), _id(j), j == 1 ? 65_536 : 0);
        graph.begin();
        graph.compute(19);
        (uint32 score, uint64 resultDay) = graph.graphScoreOf(_id(1));
        assertTrue(score == before && resultDay == day, "yesterday's");
        (score, ) = graph.graphScoreOf(keccak256("unknown"));
        assertEq(score, 0, "an organisation that is in no run");
        graph.compute(1);
        (score, resultDay) = graph.graphScoreOf(_id(1));
        assertTrue(score != before && resultDay == day + 1, "today's");
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_NothingToCompute.selector, day + 1));
        graph.compute(1);
    }

    function test_compute_whenNothingWasBegun_itReverts() external {
        Graph graph = _graph(1, 2);
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_NothingToCompute.selector, uint64(0)));
        graph.compute(1);
    }

    function test_enter_whenKnownOrFullOrNone_itReverts() external {
        Graph graph = _graph(1, 64);
        assertEq(graph.organisations().length, 64, "all");
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_Full.selector, 64));
        graph.enter(address(0xffff));
        graph = _graph(2, 3);
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_Known.selector, _id(1)));
        graph.enter(address(2));
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_NoOrganisation.selector, address(0)));
        graph.enter(address(0));
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_Founders.selector, 0));
        new Graph(new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(ITrustGraph.TrustGraph_Founders.selector, 65));
        new Graph(new bytes32[](65));
    }

    function _graph(uint256 founders, uint256 n) private returns (Graph graph) {
        vm.warp(1_800_000_000);
        bytes32[] memory ids = new bytes32[](founders);
        for (uint256 i = 0; i < founders; ++i) ids[i] = _id(i);
        graph = new Graph(ids);
        for (uint256 i = founders; i < n; ++i) graph.enter(address(uint160(i + 1)));
    }

    function _random(uint256 seed, uint256 n, uint256 founders) private returns (Graph graph) {
        graph = _graph(founders, n);
        for (uint256 i = 0; i < n * n; ++i) {
            uint256 edge = uint256(keccak256(abi.encode(seed, i)));
            if (edge % 3 != 0) graph.set(_id(i / n), _id(i % n), edge % 65_537);
        }
    }

    function _run(Graph graph, uint256 rounds) private {
        graph.begin();
        graph.compute(rounds);
    }

    function _score(Graph graph, uint256 i) private view returns (uint256 score) {
        (score, ) = graph.graphScoreOf(_id(i));
    }

    function _id(uint256 i) private pure returns (bytes32) {
        return bytes32(i + 1);
    }
}

/// @dev The dearest day: 64 organisations that all rated one another yesterday, and nothing copied before.
contract TrustGraphGasTest is TrustFixture {
    /// @dev Slot of Reputation's ratings by rater and provider.
    uint256 private constant GIVEN = 278;

    function setUp() external {
        deployTrust();
        for (uint256 i = 0; i < 64; ++i) {
            address account = member(i);
            if (i > 2) reputation.enter(account);
        }
        // Written straight into storage: 4,032 deals would take minutes.
        for (uint256 i = 0; i < 64; ++i) {
            for (uint256 j = 0; j < 64; ++j) {
                bytes32 slot = keccak256(abi.encode(organisation(j), keccak256(abi.encode(organisation(i), GIVEN))));
                if (i != j) vm.store(address(reputation), slot, bytes32(Given.pack(40_000 + i, j, nowMs(), 1)));
            }
        }
        assertEq(reputation.roomOf(member(9), organisation(8)), 65_536 - 40_009 - 8, "the slot is right");
        vm.warp(block.timestamp + 1 days);
    }

    function test_gas_begin() external {
        bytes memory data = abi.encodeCall(ITrustGraph.begin, ());
        vm.snapshotValue("Reputation", "graph, begin, 64 organisations", transactionGas(address(reputation), data));
    }

    function test_gas_compute() external {
        reputation.begin();
        bytes memory data = abi.encodeCall(ITrustGraph.compute, (20));
        vm.snapshotValue("Reputation", "graph, 20 rounds", transactionGas(address(reputation), data));
        (uint32 score, ) = reputation.graphScoreOf(organisation(2));
        (uint32 other, ) = reputation.graphScoreOf(organisation(60));
        assertTrue(score > other && other != 0, "scores");
    }
}
