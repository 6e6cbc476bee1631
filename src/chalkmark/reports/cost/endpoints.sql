-- question: What does one request of each root endpoint cost in backend work, and which services do that work?
-- grain: one row a root endpoint x service, the most work first
-- param service text = null: only root endpoints of this service
-- note: Work is self time: time of a call in which it waited for none of its own calls. Everything a request causes is
--   counted, what runs in parallel or after the response too, so it may exceed the request's duration. Trees whose root
--   never arrived are left out.

with work as (
    select p.root_service, p.root_operation, p.service as worker, sum(p.calls) as calls, sum(p.self_ns) as self_ns,
        sum(p.critical_ns) as critical_ns
    from call_paths p
    where p.ts >= date_trunc('hour', $since) and p.ts < $until and not p.partial
        and ($service is null or p.root_service = $service)
    group by p.root_service, p.root_operation, p.service
),
roots as (
    select p.root_service, p.root_operation, sum(p.calls) as calls
    from call_paths p
    where p.ts >= date_trunc('hour', $since) and p.ts < $until and not p.partial and p.parent_path_id is null
        and ($service is null or p.root_service = $service)
    group by p.root_service, p.root_operation
)
select
    -- Service of the root endpoint.
    w.root_service,
    -- Operation of the root endpoint.
    w.root_operation,
    -- Service that does the work.
    w.worker,
    -- [calls] Requests: calls of the root endpoint.
    cast(r.calls as bigint) as requests,
    -- [ns] Work of this service for one request, on average.
    cast(w.self_ns as double) / r.calls as work_ns_per_request,
    -- Part of all work that the root endpoint causes.
    cast(w.self_ns as double) / nullif(sum(w.self_ns) over (partition by w.root_service, w.root_operation), 0) as share,
    -- Calls of this service for one request.
    cast(w.calls as double) / r.calls as amplification,
    -- [ns] Part of the request's duration that is this service's responsibility, on average.
    cast(w.critical_ns as double) / r.calls as critical_ns_per_request,
    -- [ns] Work of this service for all these requests.
    cast(w.self_ns as bigint) as work_ns
from work w
join roots r on r.root_service = w.root_service and r.root_operation = w.root_operation
order by w.self_ns desc, w.root_service, w.root_operation, w.worker
