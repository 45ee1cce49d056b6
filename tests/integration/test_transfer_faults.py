"""The fault table at a size for every day: 60 downloads and 10 kills (the full one: docs)."""

import time

import pytest

from benchmarks import fault_table

LARGEST = 4 * fault_table.MIB


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faults")
    trials = fault_table.plan(seed=11, count=60, largest=LARGEST)
    return fault_table.run_trials(trials, folder, largest=LARGEST, processes=1, threads=12)


def test_what_can_be_verified_is_bit_exact(outcomes):
    strong = [o for o in outcomes if o.accepted and o.verified != "size"]
    assert len(strong) > 30
    assert all(o.exact for o in strong)
    assert {"manifest", "crc"} < {o.verified for o in strong}


def test_escapes_need_a_fault_that_leaves_no_trace(outcomes):
    escaped = [o for o in outcomes if o.accepted and not o.exact]
    assert {o.fault for o in escaped} <= {"wrong", "always", "truncated"}
    assert {o.check for o in escaped} <= {"size", "none"}


def test_only_what_is_wrong_each_time_is_refused(outcomes):
    refused = [o for o in outcomes if not o.accepted]
    assert {o.fault for o in refused} <= {"always", "truncated"}
    assert all(o.error.startswith("QuarantinedError") for o in refused if o.fault == "always")
    assert not any(o.left_behind for o in outcomes)


def test_cuts_cost_at_most_8_mib_and_nothing_hangs(outcomes):
    assert sum(o.cuts for o in outcomes) > 20
    _, most = fault_table.sent_again_per_cut(outcomes)
    assert most <= 8.0
    assert sum(o.sent for o in outcomes) >= sum(o.size for o in outcomes if o.accepted)
    assert max(o.seconds for o in outcomes) < fault_table.OPTIONS.wall_s


def test_the_same_seed_plans_the_same_faults():
    first, second = (fault_table.plan(seed=3, count=30, largest=LARGEST) for _ in range(2))
    assert first == second


def test_killed_processes_leave_nothing_that_passes(tmp_path):
    start = time.monotonic()
    kills = fault_table.run_kills(10, seed=5, folder=tmp_path, size=8 * fault_table.MIB)
    assert kills.kills == 10
    assert kills.with_part > 0
    assert kills.finished > 0
    assert kills.passing_incomplete == kills.wrong_after_resume == 0
    assert time.monotonic() - start < 120
