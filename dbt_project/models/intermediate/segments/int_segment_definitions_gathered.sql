-- What each segment meant on the as_of_date: rule segments as the vocabulary words them, model segments as the model
-- that assigned them described them.
with
find_rule_schemes as (
    select distinct scheme
    from {{ ref('int_user_rule_segments') }}
    where as_of_date = {{ as_of_date() }}
),

define_rules as (
    select
        segment_names.scheme,
        segment_names.segment_code,
        'rule' as kind,
        cast(null as varchar) as model_version,
        segment_names.description_en,
        segment_names.description_zh,
        cast(null as varchar) as event,
        cast(null as varchar) as parent_code,
        '{{ var("run_id") }}' as run_id
    from {{ ref('segment_names') }} as segment_names
    inner join find_rule_schemes on segment_names.scheme = find_rule_schemes.scheme
),

find_models_in_force as (
    select distinct
        scheme,
        model_version
    from {{ source('ml', 'user_segments') }}
    where as_of_date = {{ as_of_date() }}
),

-- A definition holds from its date on; of a model trained later, for a day before it, the nearest.
define_models as (
    select
        definitions.scheme,
        definitions.segment_code,
        definitions.kind,
        definitions.model_version,
        definitions.description_en,
        definitions.description_zh,
        definitions.event,
        definitions.parent_code,
        definitions.run_id
    from {{ source('ml', 'segment_definitions') }} as definitions
    inner join find_models_in_force as models
        on definitions.scheme = models.scheme and definitions.model_version = models.model_version
    qualify row_number() over (
        partition by definitions.scheme, definitions.segment_code
        order by
            case when definitions.as_of_date <= {{ as_of_date() }} then 0 else 1 end,
            abs({{ days_between('definitions.as_of_date', as_of_date()) }})
    ) = 1
),

unite_definitions as (
    select * from define_rules
    union all
    select * from define_models
),

-- A code that was given up may come back for somebody else, with the model that first says so.
date_births as (
    select
        scheme,
        segment_code,
        model_version,
        min(as_of_date) as born_on
    from {{ source('ml', 'segment_definitions') }}
    where event <> 'kept' and as_of_date <= {{ as_of_date() }}
    group by scheme, segment_code, model_version
),

find_births as (
    select
        scheme,
        segment_code,
        max(born_on) as born_on
    from date_births
    group by scheme, segment_code
),

-- A person's word stands until the next one, whatever is trained in between, as long as it is the same segment.
find_renames as (
    select
        renames.scheme,
        renames.segment_code,
        renames.segment_name_en,
        renames.segment_name_zh
    from {{ source('ops', 'segment_rename') }} as renames
    left join find_births as births
        on renames.scheme = births.scheme and renames.segment_code = births.segment_code
    where
        renames.valid_from <= {{ as_of_date() }}
        and (births.born_on is null or renames.valid_from >= births.born_on)
    qualify row_number() over (partition by renames.scheme, renames.segment_code order by renames.renamed_at desc) = 1
),

-- A code outside the vocabulary stays, without a name, so that the tests see it.
add_names as (
    select
        {{ as_of_date() }} as as_of_date,
        unite_definitions.scheme,
        unite_definitions.segment_code,
        coalesce(find_renames.segment_name_en, segment_names.name_en) as segment_name_en,
        coalesce(find_renames.segment_name_zh, segment_names.name_zh) as segment_name_zh,
        coalesce(unite_definitions.description_en, segment_names.description_en) as description_en,
        coalesce(unite_definitions.description_zh, segment_names.description_zh) as description_zh,
        unite_definitions.kind,
        unite_definitions.model_version,
        unite_definitions.event,
        unite_definitions.parent_code,
        unite_definitions.run_id
    from unite_definitions
    left join find_renames
        on
            unite_definitions.scheme = find_renames.scheme
            and unite_definitions.segment_code = find_renames.segment_code
    left join {{ ref('segment_names') }} as segment_names
        on
            unite_definitions.scheme = segment_names.scheme
            and unite_definitions.segment_code = segment_names.segment_code
)

select * from add_names
