"""A generation: one PostgreSQL schema with every read model in it."""

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable, SetTableComment

from projector.projections import PROJECTIONS
from shared.read_models import schema_name
from shared.runtime.database import Role


def metadata(generation: int) -> sa.MetaData:
    """Return the tables of a generation, qualified with its schema."""
    whole = sa.MetaData(schema=schema_name(generation))
    for projection in PROJECTIONS:
        for table in projection.tables:
            table.to_metadata(whole, schema=schema_name(generation))
    return whole


def create_generation_sql(generation: int) -> Iterator[str]:
    """Yield the statements that make a generation, empty; whoever runs them owns it, the query side may read it."""
    schema = schema_name(generation)
    yield f"CREATE SCHEMA {schema}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {Role.QUERY}"
    yield f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT ON TABLES TO {Role.QUERY}"
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata(generation).sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect))
        if table.comment:
            yield str(SetTableComment(table).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index).compile(dialect=dialect))
