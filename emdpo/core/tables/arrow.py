"""Arrow columns as pandas columns, one by one, so that a large file is never held twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as arrow_compute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    """Return a dictionary column with the texts as Python strings, made once for each.

    Arrow could unify the chunks' dictionaries itself, at the price of another copy of all texts.
    """
    position: dict[str, int] = {}
    pieces = [np.zeros(0, np.int32)]
    for chunk in column.chunks:
        found = [position.setdefault(text, len(position)) for text in chunk.dictionary.to_pylist()]
        of_code = np.array([*found, -1], np.int32)  # code -1, null, stays -1
        pieces.append(of_code[chunk.indices.fill_null(-1).to_numpy()])
    categories = pd.Index(list(position), dtype=object)
    return pd.Categorical.from_codes(np.concatenate(pieces), categories=categories)  # type: ignore[arg-type]


def text_bytes(column: pa.ChunkedArray) -> int:
    """Return the bytes of the texts inside a column's lists and objects, each repeat counted.

    A dictionary of one long text makes a small file of many lists; pandas writes them all out.
    """
    if not pa.types.is_nested(column.type):
        return 0
    return sum(_text_bytes(leaf) for chunk in column.chunks for leaf in _leaves(chunk))


def _leaves(array: pa.Array) -> Iterator[pa.Array]:
    if pa.types.is_struct(array.type):
        for field in array.flatten():
            yield from _leaves(field)
    elif pa.types.is_nested(array.type):
        yield from _leaves(array.flatten())
    else:
        yield array


def _text_bytes(leaf: pa.Array) -> int:
    if not isinstance(leaf, pa.DictionaryArray):
        return leaf.nbytes
    lengths = arrow_compute.call_function("binary_length", [leaf.dictionary]).cast(pa.int64())
    return arrow_compute.call_function("sum", [lengths.take(leaf.indices)]).as_py() or 0
