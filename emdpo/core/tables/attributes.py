"""Group attributes: what is constant for each user, in the table itself or in a users file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.tables.cells import Texts, column, faults_at, texts
from emdpo.core.tables.problems import Fault, listing, show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tables.source import RawTable


def attributes_of(users: pd.Series, others: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
    """Return one row per user, one column per attribute; warn of columns that are none.

    Parameters
    ----------
    users
        (rows,) categorical user ids.
    others
        (rows,) columns that may be attributes. Blank cells are "not known": they contradict
        nothing, so a user with one value and some blanks has that value. A column of blanks is
        left out.
    """
    ids = users.cat.categories
    user = np.asarray(users.cat.codes, np.int64)
    found: dict[str, NDArray[np.object_]] = {}
    faults: list[Fault] = []
    for name in others.columns:
        read = _known(column(others, name))
        if (fault := _no_attribute(name, user, read)) is not None:
            faults.append(fault)
        elif len(read.values):
            found[name] = _per_user(user, read, len(ids))
    index = pd.Index(np.asarray(ids, object), name="user_id", dtype=object)
    return pd.DataFrame(found, index=index, dtype=object), faults


def _known(cells: pd.Series) -> Texts:
    """Return a column as text in which empty cells are null."""
    read = texts(cells)
    known = read.values != ""
    codes = np.append(np.where(known, np.cumsum(known) - 1, -1), -1)[read.codes]
    return Texts(codes, read.values[known], read.strange)


def _no_attribute(name: str, user: NDArray[np.int64], read: Texts) -> Fault | None:
    """Return why a column is no group attribute, None if it is one."""
    if read.strange:
        row, reason = next(iter(read.strange.items()))
        return Fault(f"no group: {reason}", name, row)
    if not name:
        return Fault("a column without a name is no group")
    known = np.flatnonzero(read.codes >= 0)
    value_of_user = np.full(int(user.max(initial=-1)) + 1, -1, np.int64)
    value_of_user[user[known][::-1]] = read.codes[known][::-1]
    varying = known[read.codes[known] != value_of_user[user[known]]]
    if not len(varying):
        return None
    return Fault("not constant per user, so it is no group", name, int(varying[0]))


def _per_user(user: NDArray[np.int64], read: Texts, n_users: int) -> NDArray[np.object_]:
    known = np.flatnonzero(read.codes >= 0)
    codes = np.full(n_users, -1, np.int64)
    codes[user[known]] = read.codes[known]
    return Texts(codes, read.values).array()


def users_table(raw: RawTable) -> tuple[pd.DataFrame, list[Fault]]:
    """Return a users file's attributes indexed by user_id, and what makes it unusable."""
    if "user_id" not in raw.frame:
        return pd.DataFrame(), [Fault("the users file has no such column", "user_id")]
    read = texts(column(raw.frame, "user_id"))
    empty = np.append(read.values == "", True)[read.codes]
    faults = faults_at(np.flatnonzero(empty), "user_id", lambda _: "an empty user_id")
    again = pd.Series(read.codes).duplicated().to_numpy() & ~empty
    ids = read.array()
    faults += faults_at(
        np.flatnonzero(again), "user_id", lambda row: f"user {show(ids[row])} appears twice"
    )
    index = pd.Index(ids, name="user_id", dtype=object)
    names = [name for name in raw.frame.columns if name and name != "user_id"]
    known = {name: _known(column(raw.frame, name)) for name in names}
    for name, cells in known.items():
        faults += cells.faults(name)
    values = {name: cells.array() for name, cells in known.items() if len(cells.values)}
    return pd.DataFrame(values, index=index, dtype=object), faults


def joined(
    own: pd.DataFrame, users: pd.DataFrame, file: str | None
) -> tuple[pd.DataFrame, list[Fault]]:
    """Return attributes of the rankings' users from both tables; the users file wins.

    Parameters
    ----------
    own
        Attributes found beside the rankings, indexed by all their users.
    users
        Attributes from the users file.
    file
        Its name.
    """
    warnings = []
    file = file or "the users table"
    absent = own.index[~own.index.isin(users.index)]
    unused = users.index[~users.index.isin(own.index)]
    if len(absent):
        message = f"{len(absent):,} of {len(own):,} users have no row in {file}"
        warnings.append(Fault(f"{message}: {listing(absent, 3)}", "user_id"))
    if len(unused):
        message = f"{len(unused):,} users of {file} ranked nothing"
        warnings.append(Fault(f"{message}: {listing(unused, 3)}", "user_id"))
    found = users.reindex(own.index)
    found = found.where(found.notna(), None)
    for name in own.columns:
        if name in found:
            mine, theirs = column(own, name).to_numpy(), column(found, name).to_numpy()
            conflict = (mine != theirs) & pd.notna(mine) & pd.notna(theirs)
            if conflict.any():
                message = "differs between the two files; the users file's values are used"
                warnings.append(Fault(message, name))
            found[name] = np.where(pd.notna(theirs), theirs, mine)
        else:
            found[name] = own[name]
    return found.astype(object), warnings
