"""What sqlfluff's templater lacks of dbt's ``model``; dbt itself never reads this."""

columns = {"as_of_date": {"name": "as_of_date", "data_type": "date"}}
