"""Another state of what has landed: what following has to follow."""

from ps_qb_pipeline.orchestration.landing import raw_tables
from ps_qb_pipeline.warehouse import incremental


def land(con, table, which, what):
    """Appends another state of what a table holds now, as a landing does."""
    newest = f"landing_id not in (select landing_id from raw.superseded where source = 'raw.{table}')"
    con.execute(
        f"insert into raw.{table} by name select * replace ({what},"
        f" (select max(landing_id) from raw.{table}) + row_number() over () as landing_id)"
        f" from (select * from raw.{table} where {newest} and not deleted_at_source and {which})"
    )
    incremental.follow(con, f"raw.{table}", keeps_deleted="origin" in raw_tables()[f"raw.{table}"])
