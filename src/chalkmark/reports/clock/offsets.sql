-- question: Whose clock is off, by how much, and was that corrected?
-- grain: one row a host, the largest correction first
-- param host text = null: only this host

select
    -- Host the spans ran on.
    s.host,
    -- [spans] Spans of the host.
    count(*) as spans,
    -- [spans] Spans whose times were corrected.
    count(*) filter (where list_contains(s.quality, 'clock_corrected')) as corrected,
    -- [spans] Spans that contradict their parents while the evidence for an offset is thin; their times stand as sent.
    count(*) filter (where list_contains(s.quality, 'clock_uncertain')) as uncertain,
    -- [ns] Mean offset that was taken off: positive where the host's clock is fast.
    avg(s.start_ns - s.adj_start_ns) as mean_offset_ns,
    -- [ns] Least offset that was taken off.
    min(s.start_ns - s.adj_start_ns) as least_offset_ns,
    -- [ns] Greatest offset that was taken off; far from the least where the clock drifts or was set.
    max(s.start_ns - s.adj_start_ns) as greatest_offset_ns,
    -- When the first trace with a corrected span began; null where there is none.
    min(s.ts) filter (where list_contains(s.quality, 'clock_corrected')) as first_corrected,
    -- When the last one began.
    max(s.ts) filter (where list_contains(s.quality, 'clock_corrected')) as last_corrected
from spans s
where s.ts >= $since and s.ts < $until and s.host is not null and ($host is null or s.host = $host)
group by s.host
order by abs(mean_offset_ns) desc, s.host
