-- question: What causes the load on a service or one of its operations: which root endpoints, along which paths?
-- grain: one row a call path that ends at the service, the most calls first
-- param service text: service whose load is explained
-- param operation text = null: only calls of this operation
-- note: A path that begins at a call whose caller never arrived is marked partial: its true root is not known.

with recursive totals as (
    select p.path_id, min(p.parent_path_id) as parent_path_id, min(p.root_service) as root_service,
        min(p.root_operation) as root_operation, min(p.service) as callee, min(p.operation) as callee_operation,
        bool_or(p.partial) as partial, sum(p.calls) as calls, sum(p.errors) as errors, sum(p.traces) as traces,
        sum(p.self_ns) as self_ns
    from call_paths p
    where p.ts >= date_trunc('hour', $since) and p.ts < $until
    group by p.path_id
),
wanted as (
    select t.* from totals t where t.callee = $service and ($operation is null or t.callee_operation = $operation)
),
climb as (
    select w.path_id, w.path_id as top_path_id, w.parent_path_id as next_path_id,
        concat(w.callee, ':', w.callee_operation) as path
    from wanted w
    union all
    select c.path_id, t.path_id, t.parent_path_id, concat(t.callee, ':', t.callee_operation, ' > ', c.path)
    from climb c
    join totals t on t.path_id = c.next_path_id
)
select
    -- Service of the root endpoint.
    w.root_service,
    -- Operation of the root endpoint.
    w.root_operation,
    -- The calls from the root to the service.
    c.path,
    -- True where the path begins at a call whose caller never arrived.
    w.partial,
    -- [calls] Calls of the service along this path.
    cast(w.calls as bigint) as calls,
    -- Part of all calls of the service (or operation) in this time range.
    cast(w.calls as double) / sum(w.calls) over () as share,
    -- Calls along this path for each call of the root endpoint.
    cast(w.calls as double) / r.calls as amplification,
    -- [traces] Traces in which the path occurs.
    cast(w.traces as bigint) as traces,
    -- Part of the root's traces in which the path occurs.
    cast(w.traces as double) / r.traces as traces_share,
    -- [calls] Calls that failed.
    cast(w.errors as bigint) as errors,
    -- [ns] Time that the service worked for this path, waiting for none of its own calls.
    cast(w.self_ns as bigint) as self_ns,
    -- The path; joins `call_paths`.
    w.path_id
from wanted w
join climb c on c.path_id = w.path_id and c.next_path_id is null
join totals r on r.path_id = c.top_path_id
order by w.calls desc, c.path, w.path_id
