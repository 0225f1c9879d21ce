{#-
Reads the landed files of one table that the ledger lists as accepted: all of them, or in an incremental run those
that are new. The empty file keeps a table that was never delivered a table.
-#}
{% macro landed_rows(table_name) -%}
    {%- set landed = source('shop', table_name) -%}
    {%- set paths = [var('landing_dir') ~ '/' ~ table_name ~ '/empty.parquet'] -%}
    {%- if execute -%}
        {%- set accepted_files -%}
            select
                days.event_date,
                days.file_id || case when days.part > 0 then '-' || days.part else '' end as file_part
            from {{ source('ops', 'landing_ledger_table') }} as days
            inner join {{ source('ops', 'landing_ledger') }} as files on days.file_id = files.file_id
            where days.table_name = '{{ table_name }}' and files.status = 'accepted' and days.rows_written > 0
            {%- if is_incremental() %}
            and days.file_id in (select file_id from {{ source('ops', 'touched_file') }})
            {%- endif %}
            order by days.event_date, days.file_id, days.part
        {%- endset -%}
        {%- for event_date, file_part in run_query(accepted_files).rows -%}
            {%- do paths.append(var('landing_dir') ~ '/' ~ table_name ~ '/' ~ event_date ~ '/' ~ file_part ~ '.parquet') -%}
        {%- endfor -%}
    {%- endif -%}
    {{ adapter.dispatch('read_parquet', 'shoal')(paths) }}
{%- endmacro %}

{% macro duckdb__read_parquet(paths) -%}
    read_parquet([
        {%- for path in paths %}'{{ path | replace("'", "''") }}'{{ ', ' if not loop.last }}{% endfor -%}
    ], hive_partitioning = false)
{%- endmacro %}

{% macro spark__read_parquet(paths) -%}
    (
        {%- for path in paths %}select * from parquet.`{{ path }}`{{ ' union all ' if not loop.last }}{% endfor -%}
    )
{%- endmacro %}
