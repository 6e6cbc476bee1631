-- question: What does one call of a service cause: which calls, directly and through others, how many of each?
-- grain: one row a relation (direct or indirect) x endpoint that is called, the most calls first
-- param service text: service whose calls are followed
-- param operation text = null: only this operation of it
-- note: Amplification is per call of the service that is not itself beneath another call of it: what a recursive call
--   causes was caused by the outermost one. `chalkmark deps` gives the same numbers, with callers and latency.

with recursive totals as (
    select p.path_id, min(p.parent_path_id) as parent_path_id, min(p.service) as callee, min(p.operation) as callee_operation,
        sum(p.calls) as calls, sum(p.errors) as errors, sum(p.self_ns) as self_ns
    from call_paths p
    where p.ts >= date_trunc('hour', $since) and p.ts < $until
    group by p.path_id
),
marked as (
    select t.*, t.callee = $service and ($operation is null or t.callee_operation = $operation) as is_focus from totals t
),
descend as (
    select m.path_id, 0 as hops from marked m where m.is_focus
    union all
    select m.path_id, d.hops + 1
    from descend d
    join marked m on m.parent_path_id = d.path_id
),
reached as (
    select d.path_id, min(case when d.hops > 0 then d.hops end) as hops from descend d group by d.path_id
),
entries as (
    select sum(m.calls) as calls from reached r join marked m on m.path_id = r.path_id where m.is_focus and r.hops is null
)
select
    -- `direct` where the service makes the calls itself, `indirect` where those that it calls do.
    case when r.hops = 1 then 'direct' else 'indirect' end as relation,
    -- Service that is called.
    m.callee as callee_service,
    -- Operation that is called.
    m.callee_operation,
    -- [calls] Calls beneath the service.
    cast(sum(m.calls) as bigint) as calls,
    -- Calls for each outermost call of the service.
    cast(sum(m.calls) as double) / min(e.calls) as amplification,
    -- [calls] Calls that failed.
    cast(sum(m.errors) as bigint) as errors,
    -- [ns] Time that the callee worked in these calls, waiting for none of its own calls.
    cast(sum(m.self_ns) as bigint) as self_ns,
    -- [paths] Call paths along which the calls are made.
    count(*) as paths
from reached r
join marked m on m.path_id = r.path_id
cross join entries e
where r.hops is not null
group by relation, m.callee, m.callee_operation
order by calls desc, relation, callee_service, m.callee_operation
