import pyarrow as pa

from paths import ACCEPTANCE, call_paths
from reports.harness import check_report


def test_paths_that_lead_to_a_service() -> None:
    check_report(
        "load/causes",
        given={"call_paths": call_paths(ACCEPTANCE)},
        params={"service": "D"},
        expect=[
            {
                "root_service": "A",
                "path": "A:a > B:b > D:call3",
                "calls": 50,
                "share": 50 / 110,
                "amplification": 5.0,
                "traces": 10,
            },
            {"path": "A:a > B:b > E:e > C:c > D:call4", "calls": 40, "share": 40 / 110, "amplification": 4.0},
            {"path": "A:a > B:b > D:call5", "calls": 20, "share": 20 / 110, "amplification": 2.0, "traces_share": 1.0},
        ],
    )


def test_hours_add_up_and_an_operation_selects() -> None:
    check_report(
        "load/causes",
        given={"call_paths": pa.concat_tables([call_paths(ACCEPTANCE)] * 2)},
        params={"service": "D", "operation": "call4"},
        expect=[{"path": "A:a > B:b > E:e > C:c > D:call4", "calls": 80, "share": 1.0, "amplification": 4.0}],
    )


def test_unknown_callers_are_marked() -> None:
    rows = pa.concat_tables([call_paths({("A:a",): 3}), call_paths({("A:a",): 1}, partial=True)])
    check_report(
        "load/causes",
        given={"call_paths": rows},
        params={"service": "A"},
        expect=[{"path": "A:a", "partial": False, "calls": 3}, {"path": "A:a", "partial": True, "calls": 1}],
    )
