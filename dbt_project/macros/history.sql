{#-
What was published about a day is a fact: it is read from `history/bi/<as_of_date>/`, never computed again and kept
nowhere else. So a rerun can't change the past, and a lost warehouse loses nothing. Only a restatement
(`is_restating`) computes its as_of_date anew, to be published in its place.
-#}

{#- The rows of a published table, of all days, in the columns that this model's contract names; a column that no day was
published with is empty. No row where nothing was published. -#}
{% macro published_rows(table_name) -%}
    {#- Not '*': a day that is being written lies in a folder that begins with a dot. -#}
    {%- set pattern = history_dir() ~ '/[0-9]*-*-*/' ~ table_name ~ '.parquet' -%}
    {%- if has_files(pattern) -%}
    {%- set rows -%}
        read_parquet('{{ pattern | replace("'", "''") }}', union_by_name = true, hive_partitioning = false)
    {%- endset -%}
    {%- set known = run_query('describe select * from ' ~ rows).columns[0].values() -%}
    (
        select
            {%- for column in model.columns.values() %}
            {% if column.name not in known %}cast(null as {{ column.data_type }}) as {% endif -%}
            {{ column.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        from {{ rows }}
        {%- if var('is_restating') %}
        where as_of_date <> {{ as_of_date() }}
        {%- endif %}
    )
    {%- else -%}
    {{ no_rows() }}
    {%- endif -%}
{%- endmacro %}

{#- A fact of all days: what was published of a day, or else what the model `computed` says of it. -#}
{% macro facts_of_all_days(table_name, computed) -%}
with
recall_published as (
    select * from {{ published_rows(table_name) }}
),

take_unpublished as (
    select unpublished.*
    from {{ computed }} as unpublished
    where unpublished.as_of_date not in (select recall_published.as_of_date from recall_published)
),

unite_days as (
    select {{ contracted_columns() }} from recall_published
    union all
    select {{ contracted_columns() }} from take_unpublished
)

select * from unite_days
{%- endmacro %}

{#- The columns that the contract of this model names, in its order. -#}
{% macro contracted_columns() -%}
    {{ model.columns.values() | map(attribute='name') | join(', ') }}
{%- endmacro %}

{#- The same columns without rows. -#}
{% macro no_rows() -%}
    (
        select
            {%- for column in model.columns.values() %}
            cast(null as {{ column.data_type }}) as {{ column.name }}{{ ',' if not loop.last }}
            {%- endfor %}
        where false
    )
{%- endmacro %}

{#- Whether the as_of_date has been published with this table, and is not to be told anew. -#}
{% macro is_published(table_name) -%}
    {%- set file = history_dir() ~ '/' ~ var('as_of_date') ~ '/' ~ table_name ~ '.parquet' -%}
    {{ return(has_files(file) and not var('is_restating')) }}
{%- endmacro %}

{#- What was told of a day that is told anew is wrong from now on; the next build tells it. -#}
{% macro forget_restated_day() %}
    {%- if is_incremental() and var('is_restating') -%}
        delete from {{ this }} where as_of_date = {{ as_of_date() }}
    {%- endif -%}
{% endmacro %}

{% macro history_dir() -%}
    {{ return(var('landing_dir') ~ '/../history/bi') }}
{%- endmacro %}

{% macro has_files(pattern) -%}
    {%- if not execute -%}{{ return(false) }}{%- endif -%}
    {%- set found = run_query("select count(*) from glob('" ~ pattern | replace("'", "''") ~ "')") -%}
    {{ return(found.rows[0][0] > 0) }}
{%- endmacro %}

{% macro as_of_date() -%}
    cast('{{ var("as_of_date") }}' as date)
{%- endmacro %}

{#- An amount summed within groups and rounded to cents so that the groups add up to the rounded total: each group gets
the rounded running total after it, less the one before it. Never off by more than a cent. -#}
{% macro cents_that_add_up(amount, order_by, partition_by=none) -%}
    {%- set share_window -%}
        {% if partition_by %}partition by {{ partition_by }} {% endif %}order by {{ order_by }} rows between unbounded preceding and
    {%- endset -%}
    cast(
        round(sum({{ amount }}) over ({{ share_window }} current row), 2)
        - round(coalesce(sum({{ amount }}) over ({{ share_window }} 1 preceding), 0), 2)
        as decimal(18, 2)
    )
{%- endmacro %}
