{#-
Turn landed rows into versions. A version is seen as of D when delivered_on <= D and superseded_on is null or > D.
What is delivered again unchanged keeps its first delivered_on; what is replaced within one day was never seen. The
rows that fall out are repeats and corrections, and none other. A row with op = 'delete' ends what its key said before
and is itself never seen.

Each macro writes a chain of CTEs that starts from `read_touched_rows` and ends with `close_versions`.
-#}

{% macro columns_of(relation) -%}
    {%- set names = adapter.get_columns_in_relation(relation) | map(attribute='name') | list if execute else [] -%}
    {{ return(names or ['file_id']) }}
{%- endmacro %}

{#- The columns that say something, as opposed to where the row came from. -#}
{% macro content_columns(relation) -%}
    {%- set provenance = ['op', 'event_date', 'is_repeated_hour', 'delivered_on', 'file_id', 'row_number'] -%}
    {{ return(columns_of(relation) | reject('in', provenance) | list or ['file_id']) }}
{%- endmacro %}

{#- The columns that a version shows: a deletion is not one, so nobody has to ask. -#}
{% macro shown_columns(relation) -%}
    {{ return(columns_of(relation) | reject('equalto', 'op') | join(', ')) }}
{%- endmacro %}

{% macro is_deletion(relation) -%}
    {{ return("coalesce(op = 'delete', false)" if 'op' in columns_of(relation) else 'false') }}
{%- endmacro %}

{#- What has no version of its own comes after all that was delivered by then. -#}
{% macro version_or_arrival(version) -%}
    coalesce({{ version }}, cast(delivered_on as timestamp) + interval 1 day)
{%- endmacro %}

{#- Of two files of one day the one that counts is named later: `_10` after `_9`. Their order of landing says nothing. -#}
{% macro order_files() -%}
    select
        file_id,
        row_number() over (order by max(name_order), file_id) as file_order
    from {{ source('ops', 'landing_ledger') }}
    group by file_id
{%- endmacro %}

{#- Versions of a key: the newest has the highest version, else the latest delivery, else the lowest row of its file.
Nearly every key has one row, which is its one version; only the others are sorted. They are found by a hash: keys that
share one are sorted in vain. -#}
{% macro version_by_key(relation, key, version=none) -%}
{%- set by_key = key | join(', ') -%}
{%- set arrival = 'delivered_on, file_order, file_id, row_number' -%}
{#- What is read three times is materialised where it is a CTE: fine for the touched rows, not for all. -#}
{%- set rows = 'read_touched_rows' if is_incremental() else relation -%}
find_crowded_hashes as (
    select {{ row_hash(key) }} as key_hash
    from {{ rows }}
    group by {{ row_hash(key) }}
    having count(*) > 1
),
order_files_by_name as (
    {{ order_files() }}
),
rank_by_version as (
    select
        *,
        {{ is_deletion(relation) }} as is_deletion,
        {{ row_hash(content_columns(relation)) }} as content_hash,
        row_number() over (
            partition by {{ by_key }}
            order by {% if version %}{{ version_or_arrival(version) }}, {% endif %}{{ arrival }}
        ) as newness
    from {{ rows }}
    left join order_files_by_name using (file_id)
    where {{ row_hash(key) }} in (select key_hash from find_crowded_hashes)
),
drop_late_old_versions as (
    select *
    from rank_by_version
    qualify newness = max(newness) over (
        partition by {{ by_key }} order by {{ arrival }} rows between unbounded preceding and current row
    )
),
keep_last_of_each_day as (
    select *
    from drop_late_old_versions
    qualify newness = max(newness) over (partition by {{ by_key }}, delivered_on)
),
drop_repeats as (
    select *
    from keep_last_of_each_day
    qualify coalesce(
        content_hash <> lag(content_hash) over (partition by {{ by_key }} order by delivered_on)
        or is_deletion <> lag(is_deletion) over (partition by {{ by_key }} order by delivered_on),
        true
    )
),
end_versions as (
    select
        *,
        lead(delivered_on) over (partition by {{ by_key }} order by delivered_on) as superseded_on
    from drop_repeats
),
close_versions as (
    select {{ shown_columns(relation) }}, superseded_on
    from end_versions
    where not is_deletion
    union all
    select {{ shown_columns(relation) }}, cast(null as date) as superseded_on
    from {{ rows }}
    where
        {{ row_hash(key) }} not in (select key_hash from find_crowded_hashes)
        and not {{ is_deletion(relation) }}
)
{%- endmacro %}

{#-
Versions of rows that are replaced together: an order's lines by the next delivery of the order (a delivery is one
file; of a day the one that is named last counts), or a whole snapshot (all files of a day) when `unit` is empty. A row
ends with the first delivery of its unit that lacks it, deletes it or says something else. What one file tells of an
order on several days, as a history does and rows that waited for their day, is one delivery, known bit by bit. Where a delivery tells a key
twice, the highest version counts, else the lowest row. A snapshot of which rows lie in the quarantine is not whole:
what it lacks may be among them, and goes on.
-#}
{% macro version_by_delivery(relation, key, unit=[], version=none) -%}
{%- set by_key = key | join(', ') -%}
{%- set unit_and_day = (unit + ['delivered_on']) | join(', ') -%}
order_files_by_name as (
    {{ order_files() }}
),
read_named_rows as (
    select *
    from read_touched_rows
    left join order_files_by_name using (file_id)
),
find_deliveries as (
    select
        {{ unit_and_day }},
        max(file_order) as last_file_order,
        {% if unit %}false{% else %}max(file_id in (
            select file_id from {{ source('ops', 'quarantine') }}
            where table_name = '{{ relation.identifier | replace('stg_shop__', '') }}'
        )){% endif %} as is_partial
    from read_named_rows
    group by {{ unit_and_day }}
),
find_what_replaces as (
    select
        *,
        {% if unit -%}
        case
            when last_file_order is distinct from lag(last_file_order) over (
                partition by {{ unit | join(', ') }} order by delivered_on
            ) then delivered_on
        end as replaces_on
        {%- else -%}
        case when not is_partial then delivered_on end as replaces_on
        {%- endif %}
    from find_deliveries
),
rank_deliveries as (
    select
        *,
        min(replaces_on) over (
            {%- if unit %}partition by {{ unit | join(', ') }} {% endif %}order by delivered_on
            rows between 1 following and unbounded following
        ) as next_whole_on
    from find_what_replaces
),
keep_last_of_each_day as (
    select
        landed_rows.*,
        rank_deliveries.next_whole_on,
        {{ row_hash(content_columns(relation)) }} as content_hash
    from read_named_rows as landed_rows
    inner join rank_deliveries using ({{ unit_and_day }})
    {%- if unit %}
    where landed_rows.file_order is not distinct from rank_deliveries.last_file_order
    {%- endif %}
    qualify row_number() over (
        partition by {{ by_key }}, delivered_on
        order by
            {% if version %}{{ version_or_arrival(version) }} desc, {% endif -%}
            landed_rows.file_order desc, landed_rows.file_id desc, landed_rows.row_number desc
    ) = 1
),
find_ends as (
    select
        *,
        least(
            next_whole_on, lead(delivered_on) over (partition by {{ by_key }} order by delivered_on)
        ) as ends_on
    from keep_last_of_each_day
),
keep_what_is_not_deleted as (
    select * from find_ends where not {{ is_deletion(relation) }}
),
mark_changes as (
    select
        *,
        coalesce(
            content_hash <> lag(content_hash) over (partition by {{ by_key }} order by delivered_on)
            or delivered_on <> lag(ends_on) over (partition by {{ by_key }} order by delivered_on),
            true
        ) as is_changed
    from keep_what_is_not_deleted
),
number_versions as (
    select
        *,
        sum(case when is_changed then 1 else 0 end) over (
            partition by {{ by_key }} order by delivered_on rows between unbounded preceding and current row
        ) as version_number
    from mark_changes
),
take_last_end as (
    select
        *,
        last_value(ends_on) over (
            partition by {{ by_key }}, version_number order by delivered_on
            rows between unbounded preceding and unbounded following
        ) as superseded_on
    from number_versions
),
close_versions as (
    select {{ shown_columns(relation) }}, superseded_on
    from take_last_end
    where is_changed
)
{%- endmacro %}
