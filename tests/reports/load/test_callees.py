from paths import ACCEPTANCE, call_paths
from reports.harness import check_report


def test_direct_and_indirect_calls() -> None:
    check_report(
        "load/callees",
        given={"call_paths": call_paths(ACCEPTANCE)},
        params={"service": "E"},
        expect=[
            {"relation": "direct", "callee_service": "C", "calls": 200, "amplification": 20.0, "paths": 1},
            {"relation": "indirect", "callee_service": "D", "callee_operation": "call4", "calls": 40, "amplification": 4.0},
        ],
    )


def test_recursion_amplifies_per_outermost_call() -> None:
    paths = {("E:e",): 10, ("E:e", "E:e"): 10, ("E:e", "D:d"): 10, ("E:e", "E:e", "D:d"): 10}
    check_report(
        "load/callees",
        given={"call_paths": call_paths(paths)},
        params={"service": "E", "operation": "e"},
        expect=[
            {"relation": "direct", "callee_service": "D", "calls": 20, "amplification": 2.0, "paths": 2},
            {"relation": "direct", "callee_service": "E", "calls": 10, "amplification": 1.0},
        ],
    )
