"""Arrow columns as pandas columns, one by one, so that a large file is never held twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Sequence


def frame_of(columns: list[pa.ChunkedArray], names: Sequence[str]) -> pd.DataFrame:
    """Return a table of Arrow columns, which are taken off the list to free them early."""
    cells = {name: _series(columns.pop(0)) for name in names}
    return pd.DataFrame(cells, copy=False)


def _series(column: pa.ChunkedArray) -> pd.Series:
    """Return text as a categorical column or, if all of it is, as finite numbers."""
    if pa.types.is_string(column.type):
        numbers = _finite_numbers(column)
        if numbers is not None:
            return pd.Series(numbers)
        column = column.dictionary_encode()
    if pa.types.is_dictionary(column.type):
        return pd.Series(_categorical(column))
    return column.unify_dictionaries().to_pandas(integer_object_nulls=True)


def _finite_numbers(column: pa.ChunkedArray) -> np.ndarray | None:
    try:
        numbers = column.cast(pa.float64()).to_numpy()
    except pa.ArrowException:
        return None
    return numbers if np.isfinite(numbers).all() else None


def _categorical(column: pa.ChunkedArray) -> pd.Categorical:
    """Return a dictionary column with the texts as Python strings, made once for each."""
    chunks = column.unify_dictionaries().chunks
    codes = [chunk.indices.fill_null(-1).to_numpy() for chunk in chunks]
    values = chunks[0].dictionary.to_pylist() if chunks else []
    whole = np.concatenate([np.zeros(0, np.int32), *codes])
    return pd.Categorical.from_codes(whole, categories=pd.Index(values, dtype=object))  # type: ignore[arg-type]
