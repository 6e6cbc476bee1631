import pyarrow as pa

from paths import call_paths
from reports.harness import check_report

PATHS = {("A:a",): 10, ("A:a", "B:x"): 20, ("A:a", "B:x", "C:c"): 20, ("A:a", "B:y"): 10}


def test_work_is_the_sum_of_self_time_per_request() -> None:
    rows = call_paths(PATHS, latency={("A:a",): 2_000})  # self time of the others: 1 ms a call
    check_report(
        "cost/endpoints",
        given={"call_paths": pa.concat_tables([rows, rows, call_paths({("A:a",): 5}, partial=True)])},
        expect=[
            {
                "root_service": "A",
                "worker": "B",
                "requests": 20,
                "work_ns_per_request": 3e6,
                "amplification": 3.0,
                "work_ns": 60_000_000,
                "share": 3_000_000 / 5_002_000,
            },
            {"worker": "C", "work_ns_per_request": 2e6, "share": 2_000_000 / 5_002_000},
            {"worker": "A", "work_ns_per_request": 2e3, "share": 2_000 / 5_002_000},
        ],
    )


def test_parameters_select() -> None:
    rows = call_paths(PATHS | {("Z:z",): 1})
    check_report("cost/endpoints", given={"call_paths": rows}, params={"service": "Z"}, expect=[{"worker": "Z", "share": 1.0}])
