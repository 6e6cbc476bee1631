"""The column `resource`, computed from `sender`."""

from __future__ import annotations

import duckdb
import orjson
import pyarrow as pa

from chalkmark.tables.functions import define
from chalkmark.tables.resource import resource_map

TEXTS = ['{"resource":{"host.name":"h","zone":"z"}}', '{"resource":{}}', "{}"]


def test_values_are_told_as_text() -> None:
    resource = {"a": "text", "b": 1, "c": 0.25, "d": True, "e": ["x", 1], "f": {"g": None}, "h": None}
    (row,) = resource_map(pa.array([orjson.dumps({"resource": resource}).decode()])).to_pylist()
    assert dict(row) == {"a": "text", "b": "1", "c": "0.25", "d": "true", "e": '["x",1]', "f": '{"g":null}', "h": "null"}


def test_codes_and_texts_give_the_same() -> None:
    coded = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 1, 0], pa.int32()), pa.array(TEXTS)).slice(1)
    expected = [[("host.name", "h"), ("zone", "z")], None, [], [("host.name", "h"), ("zone", "z")]]
    assert resource_map(coded).to_pylist() == expected
    assert resource_map(coded.cast(pa.string())).to_pylist() == expected


def test_sql_has_it_as_a_function() -> None:
    with duckdb.connect() as db:
        define(db)
        spans = pa.table({"sender": [*TEXTS, None] * 3000})
        db.register("spans", spans)
        query = "select sender_resource(sender)['zone'] as zone, count(*) from spans group by all order by all"
        assert db.execute(query).fetchall() == [("z", 3000), (None, 9000)]
