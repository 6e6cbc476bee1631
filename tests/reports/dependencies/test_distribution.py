from paths import call_paths, path_id
from reports.harness import check_report

PATHS = {("A:a",): 1000, ("A:a", "B:b"): 1000, ("A:a", "C:c"): 15, ("A:a", "B:b", "C:c"): 30, ("A:a", "D:d"): 1}
# 985 traces call B once, 14 call B once and C twice and once more by B, one calls B twice and all the rest.
SHAPES = {
    1: {("A:a",): 1, ("A:a", "B:b"): 1},
    2: {("A:a",): 1, ("A:a", "B:b"): 1, ("A:a", "C:c"): 1, ("A:a", "B:b", "C:c"): 2},
    3: {("A:a",): 1, ("A:a", "B:b"): 2, ("A:a", "C:c"): 1, ("A:a", "B:b", "C:c"): 2, ("A:a", "D:d"): 1},
}
TRACES = [(1, 985), (2, 14), (3, 1)]


def tables(weight: float = 1.0) -> dict[str, object]:
    traces = [
        {
            "trace_id": bytes([shape]) * 8 + n.to_bytes(8),
            "root_service": "A",
            "root_operation": "a",
            "shape_id": shape,
            "weight": weight,
        }
        for shape, count in TRACES
        for n in range(count)
    ]
    other = {"trace_id": b"z" * 16, "root_service": "Z", "root_operation": "z", "shape_id": 3}
    return {
        "traces": [*traces, other],
        "call_paths": call_paths(PATHS),
        "shape_paths": [
            {"shape_id": shape, "path_id": path_id(path), "multiplicity": n}
            for shape, paths in SHAPES.items()
            for path, n in paths.items()
        ],
    }


def test_always_sometimes_and_once_in_a_thousand() -> None:
    check_report(
        "dependencies/distribution",
        given=tables(),
        params={"service": "A", "operation": "a"},
        expect=[
            {"callee_service": "B", "touched": 1.0, "calls_per_request": 1.001, "p50_calls": 1, "p99_calls": 1, "max_calls": 2},
            {"callee_service": "C", "touched": 0.015, "calls_per_request": 0.045, "p50_calls": 0, "p99_calls": 3, "max_calls": 3},
            {"callee_service": "D", "touched": 0.001, "p50_calls": 0, "p99_calls": 0, "max_calls": 1, "traces": 1},
        ],
    )


def test_equal_sampling_changes_nothing_but_the_weight() -> None:
    expect = [{"touched": 1.0, "traces": 1000}, {"touched": 0.015, "p99_calls": 3}, {"touched": 0.001, "p99_calls": 0}]
    check_report("dependencies/distribution", given=tables(100.0), params={"service": "A", "operation": "a"}, expect=expect)
