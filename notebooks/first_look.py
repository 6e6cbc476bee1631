"""A first look at a system through its traces: a marimo notebook.

marimo edit notebooks/first_look.py, or `python notebooks/first_look.py` for the numbers alone. It reads the folder that
CHALKMARK_DATA names, else the user's data folder; `make demo` says where it keeps its data.
"""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import altair as alt
    import marimo as mo

    import chalkmark

    return alt, chalkmark, mo


@app.cell
def _(chalkmark, mo):
    lake = chalkmark.open()
    endpoints = lake.sql("""
        select root_service, root_operation, count(*) as requests, count(*) filter (where complete) as complete,
            median(duration_ns) / 1e6 as median_ms, quantile_disc(duration_ns, 0.99) / 1e6 as p99_ms, max(spans) as most_spans
        from traces group by all order by requests desc
    """)
    mo.stop(
        not len(endpoints),
        mo.md(f"There are no traces in `{lake.settings.data}` yet. `make demo` or `chalkmark up` brings some."),
    )
    mo.vstack([mo.md("# A first look\n\nWhat do people ask of this system, and how long do they wait?"), endpoints.arrow()])
    return endpoints, lake


@app.cell
def _(lake, mo):
    services = lake.sql("""
        select service, sum(calls)::bigint as calls,
            sum(calls) / (select sum(calls) from call_paths where depth = 0) as per_request
        from call_paths where depth > 0 group by all order by calls desc, service
    """)
    busiest = next(iter(services))["service"]
    mo.vstack(
        [mo.md("## Load amplification\n\nOne request becomes many calls. Which services are called most?"), services.arrow()]
    )
    return busiest, services


@app.cell
def _(alt, busiest, lake, mo):
    found = lake.deps(busiest)
    who = found.neighbours.to_pandas()
    who["endpoint"] = who.service.fillna("outside") + ":" + who.operation.fillna("")
    neighbours = (
        alt.Chart(who)
        .mark_bar()
        .encode(
            x="calls:Q",
            y=alt.Y("endpoint:N", sort="-x"),
            color="relation:N",
            tooltip=["hops", "amplification", "share", "errors"],
        )
    )
    mo.vstack(
        [
            mo.md(
                f"## Who calls `{busiest}`, and whom does it call?\n\n{found.calls:,} calls along {found.paths} call paths; each "
                f"causes {found.calls_beneath / found.entries:.3g} more. At least {found.requests_at_least:,} of "
                f"{found.requests:,} requests reach it."
            ),
            neighbours,
        ]
    )
    return (found,)


@app.cell
def _(alt, busiest, lake, mo):
    causes = lake.reports["load/causes"](service=busiest)
    paths = (
        alt.Chart(causes.pandas().head(15))
        .mark_bar()
        .encode(
            x="calls:Q", y=alt.Y("path:N", sort="-x", axis=alt.Axis(labelLimit=500)), tooltip=["amplification", "traces_share"]
        )
    )
    mo.vstack([mo.md(f"## What causes the load on `{busiest}`?\n\nCalls by the path that led to them."), paths])
    return (causes,)


@app.cell
def _(alt, lake, mo):
    cost = lake.reports["cost/endpoints"]()
    work = cost.pandas()
    work["endpoint"] = work.root_service + ":" + work.root_operation
    work["ms_per_request"] = work.work_ns_per_request / 1e6
    bars = (
        alt.Chart(work)
        .mark_bar()
        .encode(
            x="ms_per_request:Q", y=alt.Y("endpoint:N", sort="-x"), color="worker:N", tooltip=["worker", "amplification", "share"]
        )
    )
    mo.vstack([mo.md("## What does one request cost?\n\nTime that services work for it, whoever waits meanwhile."), bars])
    return (cost,)


@app.cell
def _(endpoints, lake, mo):
    first = next(iter(endpoints))
    distribution = lake.reports["dependencies/distribution"](service=first["root_service"], operation=first["root_operation"])
    mo.vstack(
        [
            mo.md(f"## `{first['root_service']}:{first['root_operation']}`: always, sometimes, once in a thousand requests?"),
            distribution.arrow(),
        ]
    )
    return (distribution,)


@app.cell
def _(lake, mo):
    quality = lake.reports["quality/by_sender"]()
    clocks = lake.reports["clock/offsets"]()
    mo.vstack(
        [
            mo.md("## Can this be trusted?\n\nWho sends data that is not as it should be:"),
            quality.arrow(),
            mo.md("Whose clock is off. Raw times are kept; corrected ones stand beside them:"),
            clocks.arrow(),
        ]
    )
    return clocks, quality


if __name__ == "__main__":
    app.run()
