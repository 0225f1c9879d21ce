-- Stretches of snapshots in which a user stayed in one segment, what brought the user in and what ended it.
with
number_snapshots as (
    select
        scheme,
        as_of_date,
        run_id,
        row_number() over (partition by scheme order by as_of_date) as snapshot_number,
        lead(as_of_date) over (partition by scheme order by as_of_date) as next_as_of_date,
        lead(run_id) over (partition by scheme order by as_of_date) as next_run_id
    from (
        select
            scheme,
            as_of_date,
            max(run_id) as run_id
        from {{ ref('user_segment_daily') }}
        group by scheme, as_of_date
    ) as snapshots
),

look_back as (
    select
        daily.as_of_date,
        daily.user_key,
        daily.scheme,
        daily.segment_code,
        daily.segment_name_en,
        daily.segment_name_zh,
        daily.model_version,
        daily.code_by_previous_model,
        daily.run_id,
        lag(daily.model_version) over same_user as version_before,
        case
            when snapshots.snapshot_number - lag(snapshots.snapshot_number) over same_user = 1
                then lag(daily.segment_code) over same_user
        end as code_before
    from {{ ref('user_segment_daily') }} as daily
    inner join number_snapshots as snapshots
        on daily.scheme = snapshots.scheme and daily.as_of_date = snapshots.as_of_date
    window same_user as (partition by daily.user_key, daily.scheme order by daily.as_of_date)
),

-- The model moved whom the model before would have left in place; where nobody asked it, a new model did.
mark_entries as (
    select
        *,
        case
            when segment_code = code_before then null
            when
                code_before is not null
                and model_version <> version_before
                and coalesce(code_by_previous_model, code_before) = code_before
                then 'model'
            else 'behaviour'
        end as entry_cause
    from look_back
),

number_spells as (
    select
        *,
        count(entry_cause) over (
            partition by user_key, scheme order by as_of_date rows between unbounded preceding and current row
        ) as spell_number
    from mark_entries
),

gather_spells as (
    select
        user_key,
        scheme,
        min(as_of_date) as valid_from,
        max(as_of_date) as last_as_of_date,
        max(segment_code) as segment_code,
        min_by(segment_name_en, as_of_date) as segment_name_en,
        min_by(segment_name_zh, as_of_date) as segment_name_zh,
        max(entry_cause) as entry_cause,
        min_by(run_id, as_of_date) as run_id
    from number_spells
    group by user_key, scheme, spell_number
),

end_spells as (
    select
        spells.*,
        snapshots.next_as_of_date as valid_to,
        snapshots.next_run_id as exit_run_id
    from gather_spells as spells
    inner join number_snapshots as snapshots
        on spells.scheme = snapshots.scheme and spells.last_as_of_date = snapshots.as_of_date
),

look_around as (
    select
        *,
        lag(segment_code) over same_user as previous_code,
        lead(valid_from) over same_user as next_valid_from,
        lead(entry_cause) over same_user as next_entry_cause
    from end_spells
    window same_user as (partition by user_key, scheme order by valid_from)
),

-- Who is missing from the next snapshot although the scheme has one.
find_leavers as (
    select distinct
        user_key,
        valid_to
    from look_around
    where valid_to is not null and coalesce(valid_to <> next_valid_from, true)
),

-- A device that was linked to a customer by then goes on as that customer; a public one does not.
find_identified as (
    select
        find_leavers.user_key,
        find_leavers.valid_to
    from find_leavers
    inner join {{ ref('int_identities') }} as links
        on
            find_leavers.user_key = links.device_key
            and find_leavers.valid_to >= links.event_date
            and {{ is_known_as_of('links', 'find_leavers.valid_to') }}
    group by find_leavers.user_key, find_leavers.valid_to
    having count(distinct links.user_key) <= {{ var('max_customers_per_device') }}
),

find_erased as (
    select distinct
        find_leavers.user_key,
        find_leavers.valid_to
    from find_leavers
    inner join {{ source('ops', 'erasure_ledger') }} as erasures
        on find_leavers.user_key = erasures.user_key and find_leavers.valid_to >= erasures.erased_on
),

explain_exits as (
    select
        spells.user_key,
        spells.scheme,
        spells.valid_from,
        spells.valid_to,
        spells.segment_code,
        spells.segment_name_en,
        spells.segment_name_zh,
        spells.previous_code,
        spells.entry_cause,
        case
            when spells.valid_to is null then null
            when spells.valid_to = spells.next_valid_from then spells.next_entry_cause
            when find_erased.user_key is not null then 'erased'
            when find_identified.user_key is not null then 'identified'
            else 'behaviour'
        end as exit_reason,
        spells.run_id,
        spells.exit_run_id
    from look_around as spells
    left join find_identified
        on spells.user_key = find_identified.user_key and spells.valid_to = find_identified.valid_to
    left join find_erased
        on spells.user_key = find_erased.user_key and spells.valid_to = find_erased.valid_to
)

select * from explain_exits
