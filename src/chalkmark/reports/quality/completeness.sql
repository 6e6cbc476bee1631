-- question: How many of the traces of each endpoint arrived whole, and what do the others lack?
-- grain: one row a root endpoint, the most broken traces first
-- param service text = null: only endpoints of this service

select
    -- Service that began the traces (of the earliest tree where the root is missing).
    t.root_service,
    -- Operation that began them.
    t.root_operation,
    -- [traces] Traces.
    count(*) as traces,
    -- [traces] Those with one root of which every named parent arrived.
    count(*) filter (where t.complete) as complete,
    -- Part of the traces that is complete.
    avg(case when t.complete then 1.0 else 0.0 end) as complete_share,
    -- [traces] Traces with a span whose parent did not arrive.
    count(*) filter (where list_contains(t.quality, 'parent_missing')) as parent_missing,
    -- [traces] Traces without any root.
    count(*) filter (where list_contains(t.quality, 'root_missing')) as root_missing,
    -- [traces] Traces with more than one root.
    count(*) filter (where list_contains(t.quality, 'several_roots')) as several_roots,
    -- [traces] Traces with spans whose times contradict each other, clocks corrected.
    count(*) filter (where list_contains(t.quality, 'starts_before_parent') or list_contains(t.quality, 'outlives_parent'))
        as out_of_order,
    -- An incomplete trace to look at; null where there is none.
    min(t.trace_id) filter (where not t.complete) as example_trace_id
from traces t
where t.ts >= $since and t.ts < $until and ($service is null or t.root_service = $service)
group by t.root_service, t.root_operation
order by count(*) filter (where not t.complete) desc, count(*) desc, t.root_service, t.root_operation
