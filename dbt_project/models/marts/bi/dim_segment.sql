{{ config(materialized='table') }}

-- A scheme without a snapshot for a while goes on with its next one, as users' stays do.
with
number_snapshots as (
    select
        scheme,
        as_of_date,
        row_number() over (partition by scheme order by as_of_date) as snapshot_number,
        lead(as_of_date) over (partition by scheme order by as_of_date) as next_as_of_date
    from (
        select distinct
            scheme,
            as_of_date
        from {{ ref('int_segment_definitions_kept') }}
    ) as snapshots
),

spell_definitions as (
    select
        definitions.*,
        number_snapshots.snapshot_number,
        number_snapshots.next_as_of_date,
        {{ surrogate_key([
            'segment_name_en', 'segment_name_zh', 'description_en', 'description_zh', 'kind', 'model_version'
        ]) }} as wording
    from {{ ref('int_segment_definitions_kept') }} as definitions
    inner join number_snapshots
        on definitions.scheme = number_snapshots.scheme and definitions.as_of_date = number_snapshots.as_of_date
),

-- Kept: the snapshot before had the segment, from another model or in other words. Where it did not, the model may know
-- what the segment was.
mark_changes as (
    select
        *,
        case
            when snapshot_number - lag(snapshot_number) over same_segment = 1
                then case when wording <> lag(wording) over same_segment then 'kept' end
            when event in ('split', 'merged') then event
            else 'born'
        end as change
    from spell_definitions
    window same_segment as (partition by scheme, segment_code order by as_of_date)
),

number_intervals as (
    select
        *,
        count(change) over (
            partition by scheme, segment_code order by as_of_date rows between unbounded preceding and current row
        ) as interval_number
    from mark_changes
),

close_intervals as (
    select
        *,
        last_value(next_as_of_date) over (
            partition by scheme, segment_code, interval_number order by as_of_date
            rows between unbounded preceding and unbounded following
        ) as valid_to
    from number_intervals
),

keep_first_of_each as (
    select
        scheme,
        segment_code,
        as_of_date as valid_from,
        segment_name_en,
        segment_name_zh,
        description_en,
        description_zh,
        kind,
        model_version,
        change as event,
        case when change in ('split', 'merged') then parent_code end as parent_code,
        valid_to,
        run_id
    from close_intervals
    where change is not null
),

-- Retired: its scheme goes on without it. The row holds on no day.
retire_segments as (
    select
        ended.scheme,
        ended.segment_code,
        ended.valid_to as valid_from,
        ended.segment_name_en,
        ended.segment_name_zh,
        ended.description_en,
        ended.description_zh,
        ended.kind,
        ended.model_version,
        'retired' as event,
        cast(null as varchar) as parent_code,
        ended.valid_to,
        ended.run_id
    from keep_first_of_each as ended
    where
        ended.valid_to is not null
        and not exists (
            select 1 from keep_first_of_each as following
            where
                following.scheme = ended.scheme
                and following.segment_code = ended.segment_code
                and following.valid_from = ended.valid_to
        )
),

unite_intervals as (
    select * from keep_first_of_each
    union all
    select * from retire_segments
)

select * from unite_intervals
