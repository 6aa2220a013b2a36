"""Files that are refused whole: no text, damaged, too large, or no plain local file."""

import bz2
import gzip
import io
import lzma
import os
import zipfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import GOOD, changed, jsonl, record, refused

from emdpo.core.errors import DataError
from emdpo.core.readers import load
from emdpo.core.tables import source

pytestmark = pytest.mark.usefixtures("no_network")


def zipped():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("good.csv", GOOD)
    return buffer.getvalue()


BAD_BYTES = {
    "nothing": (b"", None),
    "only a byte order mark": (b"\xef\xbb\xbf", None),
    "gzip": (gzip.compress(GOOD.encode()), None),
    "gzip bomb": (gzip.compress(b"0" * 10_000_000), None),
    "zip": (zipped(), None),
    "bzip2": (bz2.compress(GOOD.encode()), None),
    "xz": (lzma.compress(GOOD.encode()), None),
    "lzma": (lzma.compress(GOOD.encode(), format=lzma.FORMAT_ALONE), None),
    "zstd": (b"\x28\xb5\x2f\xfd" + b"x" * 50, None),
    "UTF-16": (GOOD.encode("utf-16"), None),
    "UTF-16 without mark": (GOOD.encode("utf-16-le"), 1),
    "UTF-32": (GOOD.encode("utf-32"), None),
    "Latin-1": (GOOD.replace("Coffee", "Café").encode("latin-1"), 4),
    "cut UTF-8": (GOOD.encode() + "é".encode()[:1], 7),
    "surrogate bytes": (GOOD.replace("Coffee", "\ud800").encode("utf-8", "surrogatepass"), 4),
    "NUL": (GOOD.replace("Coffee", "Cof\0fee").encode(), 4),
    "Parquet under another name": (b"PAR1 and so on", None),
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("name", BAD_BYTES)
def test_bytes_that_are_no_utf8_text_are_refused(name, ending, tmp_path):
    data, row = BAD_BYTES[name]
    path = tmp_path / f"bad.{ending}"
    path.write_bytes(data)
    refused(path, row)


def test_utf8_is_checked_across_pieces(tmp_path, monkeypatch):
    """A character cut between two pieces is fine; a bad byte in the second names its line."""
    monkeypatch.setattr(source, "_CHUNK", 7)
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD.replace("Tea?", "ТЕЕ🫖?").encode())
    assert load(path).n_users == 2
    path.write_bytes(GOOD.replace("Tea?", "ТЕЕ🫖?").encode()[:-3] + b"\xff1\n")
    refused(path, 6)


def parquet_bytes(table, **options):
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def test_damaged_parquet_is_refused(tmp_path):
    good = parquet_bytes(pa.table({"user_id": ["ann"] * 100, "rank": list(range(100))}))
    path = tmp_path / "bad.parquet"
    for data in (b"", b"PAR1", b"PAR1PAR1", good[:-10], good[:50] + good[-50:], GOOD.encode()):
        path.write_bytes(data)
        refused(path)


def test_parquet_with_flipped_bytes_is_read_or_refused_but_never_crashes(tmp_path):
    frame = pd.read_csv(io.StringIO(GOOD))
    good = parquet_bytes(pa.Table.from_pandas(frame, preserve_index=False), compression="none")
    path = tmp_path / "bad.parquet"
    rng = np.random.default_rng(0)
    for _ in range(200):
        data = bytearray(good)
        for at in rng.integers(4, len(data) - 4, 3):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            load(path)
        except DataError as error:
            assert "\n" not in str(error)


def test_parquet_with_repeated_columns_is_refused(tmp_path):
    path = tmp_path / "bad.parquet"
    arrays = [pa.array(["ann"]), pa.array(["bob"])]
    pq.write_table(pa.Table.from_arrays(arrays, names=["user_id", "user_id"]), path)
    refused(path)


def test_parquet_bombs_are_refused_by_their_metadata(tmp_path):
    """A hundred million equal values are a few kilobytes on disk."""
    path = tmp_path / "bomb.parquet"
    run = pa.repeat(pa.scalar(1, pa.int64()), 4_000_000)
    pq.write_table(pa.table({"user_id": run}), path)
    refused(path)
    for n_items, text in ((9_000_000, "x"), (1_000_000, "x" * 1000)):
        codes = pa.array(np.zeros(n_items, np.int32))
        elements = pa.DictionaryArray.from_arrays(codes, [text])
        nested = pa.ListArray.from_arrays(pa.array([0, n_items], pa.int32()), elements)
        pq.write_table(pa.table({"responses": nested}), path)
        assert path.stat().st_size < 1_000_000
        refused(path)


def test_jsonl_of_countless_items_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "MAX_ITEMS", 10)
    path = tmp_path / "big.jsonl"
    path.write_text(jsonl(record(tags=[1, 2, 3, 4, {"a": [5, 6, 7, 8, 9]}])))
    refused(path)


def test_a_huge_cell_is_refused(tmp_path):
    path = tmp_path / "big.csv"
    path.write_text(changed(4, f"ann,Tea?,{'x' * 50_000_000},3"))
    refused(path, 4)
    path.write_text(changed(4, f'ann,Tea?,"{"x" * 50_000_000}",3'))
    refused(path, 4)
    path.write_text(changed(4, f'ann,Tea?,"{"x" * 50_000_000}'))
    refused(path, 4)
    path = tmp_path / "big.jsonl"
    path.write_text(jsonl(record(response="x" * 50_000_000)))
    refused(path, 3)


def test_files_over_the_limits_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "big.csv"
    with path.open("wb") as file:
        file.truncate(source.MAX_FILE_BYTES + 1)  # sparse: takes no room on the disk
    refused(path)
    monkeypatch.setattr(source, "MAX_ROWS", 4)
    path.write_text(GOOD)
    refused(path)
    path = tmp_path / "big.jsonl"
    path.write_text(jsonl() * 2)
    refused(path)


ADDRESSES = [
    "http://127.0.0.1:1/rankings.csv",
    "https://example.org/rankings.parquet",
    "HTTPS://example.org/rankings.csv",
    "ftp://example.org/rankings.csv",
    "s3://bucket/rankings.parquet",
    "file:///etc/passwd.csv",
    "hf://datasets/a/b.csv",
    "http:/example.org/rankings.csv",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_addresses_are_refused_without_a_request(address):
    refused(address)


def test_only_regular_files_with_known_endings_are_opened(tmp_path):
    for name in ("a.txt", "a.xlsx", "a.csv.gz", "a.json", "csv", ".csv.zip", "a.pkl"):
        (tmp_path / name).write_text(GOOD)
        refused(tmp_path / name)
    (tmp_path / "folder.csv").mkdir()
    refused(tmp_path / "folder.csv")
    refused(tmp_path / "absent.csv")
    (tmp_path / "broken.csv").symlink_to(tmp_path / "absent.csv")
    refused(tmp_path / "broken.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    refused(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    refused(tmp_path / "device.csv")
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    refused(tmp_path / "loop.csv")
    refused(str(tmp_path / "a\0b.csv"))
    refused(tmp_path / ("long" * 100 + ".csv"))
    refused("")


def test_names_cannot_break_the_line(tmp_path):
    path = tmp_path / "two\nlines.csv"
    path.write_text(GOOD.replace("rank", '"ra\nnk\t' + "x" * 5000 + '"'))
    refused(path, None, "rank")
    long_name = "x_" + "long" * 1000
    path.write_text(GOOD.replace("rank", f"rank,{long_name}").replace(",1\n", ",1,a\n"))
    path.write_text(path.read_text().replace(",2\n", ",2,0\n").replace(",3\n", ",3,0\n"))
    refused(path, 2, long_name[:80] + "...")


def test_a_nan_rank_in_jsonl_is_no_blank(tmp_path):
    """Python's own writer makes it of a number that went wrong; not ranked is null."""
    path = tmp_path / "bad.jsonl"
    path.write_text(jsonl(record()) + jsonl(record(rank=float("nan"))))
    with pytest.raises(DataError, match="a rank that is not known is null") as caught:
        load(path)
    assert caught.value.column == "rank"
