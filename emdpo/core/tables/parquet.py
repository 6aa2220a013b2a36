"""Parquet files as a table, measured by their metadata before anything is unpacked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from emdpo.core.errors import DataError
from emdpo.core.tables.arrow import frame_of, text_bytes
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import (
    MAX_FILE_BYTES,
    RawTable,
    check_items,
    check_size,
    display_name,
    numbered_from,
    read_bytes,
)

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"PAR1"


def read_parquet(path: Path) -> RawTable:
    """Return the table of a Parquet file; texts stay dictionaries, as most files store them."""
    file, data = display_name(str(path)), read_bytes(path)
    if not (data.startswith(_MAGIC) and data.endswith(_MAGIC)):
        raise DataError("not a Parquet file (or an encrypted or cut one)", file=file)
    try:
        table = _read(data, file)
        names, columns = table.column_names, table.columns
        del data, table  # large, and not needed twice
        frame = frame_of(columns, names)
    except (pa.ArrowException, OSError, ValueError, OverflowError, NotImplementedError) as error:
        if isinstance(error, DataError):
            raise
        reason = show(str(error).split("\n")[0], 120)[1:-1]
        raise DataError(f"damaged Parquet data ({reason})", file=file) from None
    return RawTable(frame, file, numbered_from(1))


def _read(data: bytes, file: str) -> pa.Table:
    metadata = pq.read_metadata(pa.BufferReader(data))
    _check_metadata(metadata, file)
    leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
    texts = [leaf.path for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
    parquet = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
    names = parquet.schema_arrow.names
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"column name {show(name)} appears twice", file=file)
    table = parquet.read(use_pandas_metadata=False).replace_schema_metadata()
    table.validate(full=True)  # text that is not UTF-8, offsets that point outside
    _check_bytes(sum(map(text_bytes, table.columns)), file)
    return table


def _check_metadata(metadata: pq.FileMetaData, file: str) -> None:
    """Raise where the file would unpack to more than is read."""
    check_size(metadata.num_rows, metadata.num_columns, file)
    repeats = [metadata.schema.column(i).max_repetition_level for i in range(metadata.num_columns)]
    n_bytes = n_items = 0
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk, level in zip(map(group.column, range(group.num_columns)), repeats, strict=True):
            n_bytes += chunk.total_uncompressed_size
            n_items += chunk.num_values if level else 0
    _check_bytes(n_bytes, file)
    check_items(n_items, file)


def _check_bytes(n_bytes: int, file: str) -> None:
    if n_bytes > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1_000_000
        message = f"unpacks to {n_bytes // 1_000_000:,} MB, more than the {limit} MB allowed"
        raise DataError(message, file=file)
