{{ config(materialized='table') }}

with
number_snapshots as (
    select
        as_of_date,
        row_number() over (order by as_of_date) as snapshot_number,
        lead(as_of_date) over (order by as_of_date) as next_as_of_date
    from (select distinct as_of_date from {{ ref('int_segment_definitions_kept') }}) as snapshots
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
    inner join number_snapshots on definitions.as_of_date = number_snapshots.as_of_date
),

-- Born: the snapshot before did not have the segment. Kept: it did, from another model or in other words.
mark_changes as (
    select
        *,
        case
            when snapshot_number - lag(snapshot_number) over same_segment = 1
                then case when wording <> lag(wording) over same_segment then 'kept' end
            else 'born'
        end as event
    from spell_definitions
    window same_segment as (partition by scheme, segment_code order by as_of_date)
),

number_intervals as (
    select
        *,
        count(event) over (
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
        event,
        cast(null as varchar) as parent_code,
        valid_to,
        run_id
    from close_intervals
    where event is not null
)

select * from keep_first_of_each
