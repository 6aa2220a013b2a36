"""The errors that a person may see: each is one clear line."""

from __future__ import annotations


class EmdpoError(ValueError):
    """Base of every error whose message is written for the person who uses emdpo."""


class DataError(EmdpoError):
    """A file or table cannot be read as rankings; names file, row and column where it can."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        row: int | None = None,
        column: str | None = None,
    ) -> None:
        self.file, self.row, self.column = file, row, column
        where = [part for part in (file, f"row {row}" if row is not None else None) if part]
        if column is not None:
            where.append(f"column {column!r}")
        super().__init__(": ".join([", ".join(where), message]) if where else message)


class NotIdentifiableError(EmdpoError):
    """The rankings cannot tell the requested number of types apart (DESIGN section 3)."""


class RunError(EmdpoError):
    """A run folder is missing, unfinished, damaged, or belongs to other data or settings."""


class ModelError(EmdpoError):
    """A base model is missing, damaged, of the wrong kind, or would need code of its own."""
