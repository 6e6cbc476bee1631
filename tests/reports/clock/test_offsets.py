from datetime import timedelta

from reports.harness import HOUR, check_report

LATER = HOUR + timedelta(hours=1)
SPANS = [
    {"host": "a", "start_ns": 1_000, "adj_start_ns": 1_000},
    {"host": "b", "start_ns": 1_000, "adj_start_ns": 1_300, "quality": ["clock_corrected"]},
    {"host": "b", "start_ns": 2_000, "adj_start_ns": 2_500, "quality": ["clock_corrected"], "ts": LATER},
    {"host": "c", "start_ns": 1_000, "adj_start_ns": 1_000, "quality": ["clock_uncertain"]},
    {"host": None},
]


def test_hosts_by_the_size_of_their_correction() -> None:
    check_report(
        "clock/offsets",
        given={"spans": SPANS},
        expect=[
            {
                "host": "b",
                "spans": 2,
                "corrected": 2,
                "mean_offset_ns": -400.0,
                "least_offset_ns": -500,
                "greatest_offset_ns": -300,
                "first_corrected": HOUR,
                "last_corrected": LATER,
            },
            {"host": "a", "corrected": 0, "mean_offset_ns": 0.0, "first_corrected": None},
            {"host": "c", "uncertain": 1},
        ],
    )


def test_parameters_select() -> None:
    check_report(
        "clock/offsets", given={"spans": SPANS}, params={"host": "b", "since": LATER}, expect=[{"host": "b", "spans": 1}]
    )
