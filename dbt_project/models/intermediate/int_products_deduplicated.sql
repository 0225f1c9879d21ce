with
read_touched_rows as (
    select * from {{ ref('stg_shop__products') }}
),

{% if 'products' in var('snapshot_tables') %}
{{ version_by_delivery(ref('stg_shop__products'), key=['product_id'], version='updated_at') }}
{% else %}
{{ version_by_key(ref('stg_shop__products'), key=['product_id'], version='updated_at') }}
{% endif %}

select * from close_versions
