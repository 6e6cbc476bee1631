from reports.harness import check_report

A, B, C, D = (bytes([n]) * 16 for n in (1, 2, 3, 4))


def trace(trace_id: bytes, service: str, *quality: str, complete: bool = True) -> dict[str, object]:
    return {
        "trace_id": trace_id,
        "root_service": service,
        "root_operation": "GET",
        "complete": complete,
        "quality": list(quality),
    }


def test_incomplete_traces_are_counted_by_endpoint_and_reason() -> None:
    check_report(
        "quality/completeness",
        given={
            "traces": [
                trace(A, "cart"),
                trace(B, "cart", "outlives_parent", "starts_before_parent"),
                trace(C, "cart", "parent_missing", "root_missing", complete=False),
                trace(D, "mail", "several_roots", complete=False),
            ]
        },
        expect=[
            {
                "root_service": "cart",
                "traces": 3,
                "complete": 2,
                "complete_share": 2 / 3,
                "parent_missing": 1,
                "root_missing": 1,
                "several_roots": 0,
                "out_of_order": 1,
                "example_trace_id": C,
            },
            {
                "root_service": "mail",
                "traces": 1,
                "complete": 0,
                "complete_share": 0.0,
                "several_roots": 1,
                "example_trace_id": D,
            },
        ],
    )


def test_parameters_select() -> None:
    given = {"traces": [trace(A, "cart"), trace(B, "mail")]}
    check_report("quality/completeness", given=given, params={"service": "mail"}, expect=[{"root_service": "mail", "traces": 1}])
