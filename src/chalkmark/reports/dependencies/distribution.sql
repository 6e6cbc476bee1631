-- question: How often does a request of an endpoint call each dependency: always, or once in a thousand requests?
-- grain: one row an operation that requests of the endpoint call, the rarest last
-- param service text: service of the root endpoint
-- param operation text: operation of the root endpoint
-- note: Exact: each trace's structure says how many calls of which path it made. Quantiles are over all requests, those
--   without any call included; they and the fraction count a sampled trace 1 / probability times.

with shaped as (
    select t.shape_id, count(*) as traces, sum(t.weight) as requests
    from traces t
    where t.ts >= $since and t.ts < $until and t.root_service = $service and t.root_operation = $operation
    group by t.shape_id
),
named as (
    select p.path_id, min(p.service) as callee, min(p.operation) as callee_operation
    from call_paths p
    where p.ts >= date_trunc('hour', $since) and p.ts < $until and p.parent_path_id is not null
    group by p.path_id
),
of_shape as (
    select n.callee, n.callee_operation, h.shape_id, min(h.traces) as traces, min(h.requests) as requests,
        sum(s.multiplicity) as calls, count(*) as paths
    from shaped h
    join shape_paths s on s.shape_id = h.shape_id
    join named n on n.path_id = s.path_id
    group by n.callee, n.callee_operation, h.shape_id
),
of_number as (
    select o.callee, o.callee_operation, o.calls, sum(o.traces) as traces, sum(o.requests) as requests, max(o.paths) as paths
    from of_shape o
    group by o.callee, o.callee_operation, o.calls
),
ranked as (
    select o.*, sum(o.requests) over (partition by o.callee, o.callee_operation order by o.calls desc) - o.requests as above,
        sum(o.requests) over (partition by o.callee, o.callee_operation) as touching,
        (select sum(h.requests) from shaped h) as total
    from of_number o
)
select
    -- Service that is called.
    k.callee as callee_service,
    -- Operation that is called.
    k.callee_operation,
    -- Part of the requests that call it at all.
    min(k.touching) / min(k.total) as touched,
    -- [calls] Calls for one request, over all requests.
    sum(k.calls * k.requests) / min(k.total) as calls_per_request,
    -- [calls] Calls that half of the requests do not exceed.
    case when min(k.total - k.touching) >= 0.5 * min(k.total) then 0
        else min(k.calls) filter (where k.total - k.above >= 0.5 * k.total) end as p50_calls,
    -- [calls] Calls that 99 of 100 requests do not exceed.
    case when min(k.total - k.touching) >= 0.99 * min(k.total) then 0
        else min(k.calls) filter (where k.total - k.above >= 0.99 * k.total) end as p99_calls,
    -- [calls] Most calls that one request made.
    max(k.calls) as max_calls,
    -- [traces] Traces that call it, as stored.
    cast(sum(k.traces) as bigint) as traces
from ranked k
group by k.callee, k.callee_operation
order by touched desc, calls_per_request desc, callee_service, k.callee_operation
