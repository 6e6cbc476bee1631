-- question: Who sends data that is not as it should be, how much of it, and of what kind?
-- grain: one row a service x SDK x reason, the most spans first
-- param service text = null: only this service
-- note: A reason that concerns a whole trace (several roots, say) is laid at the door of the service that began it, and
--   counts all spans of the trace. `docs/quality.md` says what each reason means and what becomes of the data.

with seen as (
    select s.service as sender, s.sdk, s.quality, s.trace_id, s.ts
    from spans s
    where s.ts >= $since and s.ts < $until and ($service is null or s.service = $service)
),
begun as (
    select t.root_service as sender, t.quality, t.spans, t.trace_id, t.ts
    from traces t
    where t.ts >= $since and t.ts < $until and ($service is null or t.root_service = $service)
),
refused as (
    select r.service as sender, r.sdk, r.reason, r.spans, r.example, r.ts
    from rejections r
    where r.ts >= $since and r.ts < $until and ($service is null or r.service = $service)
),
span_reasons as (select x.sender, x.sdk, unnest(x.quality) as reason, x.trace_id, x.ts from seen x),
trace_reasons as (select x.sender, unnest(x.quality) as reason, x.spans, x.trace_id, x.ts from begun x),
counted as (
    select x.sender, x.sdk, x.reason, 'span' as scope, count(*) as spans, min(x.ts) as first_seen, max(x.ts) as last_seen,
        min(x.trace_id) as example, max(x.trace_id) as other_example, cast(null as varchar) as message
    from span_reasons x
    where x.reason not in ('trace_id_mixed', 'root_missing', 'several_roots')
    group by x.sender, x.sdk, x.reason
    union all
    select x.sender, '', x.reason, 'trace', sum(x.spans), min(x.ts), max(x.ts), min(x.trace_id), max(x.trace_id), null
    from trace_reasons x
    where x.reason in ('trace_id_mixed', 'root_missing', 'several_roots')
    group by x.sender, x.reason
    union all
    select x.sender, x.sdk, x.reason, 'rejected', sum(x.spans), min(x.ts), max(x.ts), null, null, min(x.example)
    from refused x
    group by x.sender, x.sdk, x.reason
),
sent as (
    select x.sender, x.sdk, sum(x.spans) as spans
    from (
        select k.sender, k.sdk, count(*) as spans from seen k group by k.sender, k.sdk
        union all
        select f.sender, f.sdk, sum(f.spans) from refused f group by f.sender, f.sdk
        union all
        select b.sender, '', sum(b.spans) from begun b group by b.sender
    ) x
    group by x.sender, x.sdk
)
select
    -- `service.name` of the sender.
    c.sender as service,
    -- Who made the spans: SDK name, language and version; empty for reasons that concern a whole trace.
    c.sdk,
    -- Name of the rule.
    c.reason,
    -- `span`, `trace`, or `rejected` where the data was refused.
    c.scope,
    -- [spans] Spans with this reason.
    cast(c.spans as bigint) as spans,
    -- Part of all spans that came from this service and SDK, refused ones included.
    cast(c.spans as double) / a.spans as share,
    -- When the first trace with it began.
    c.first_seen,
    -- When the last trace with it began.
    c.last_seen,
    -- Two traces to look at, or the one there is; null where the data was refused.
    case when c.example = c.other_example then [c.example] when c.example is not null then [c.example, c.other_example] end
        as example_trace_ids,
    -- The first refusal in words: which field, what it held.
    c.message
from counted c
join sent a on a.sender = c.sender and a.sdk = c.sdk
order by c.spans desc, c.sender, c.sdk, c.reason, c.scope
