"""What the tests of reading share: a good file, and what it means to be refused."""

import json

import pytest

from emdpo.core.checks import check
from emdpo.core.errors import DataError
from emdpo.core.readers import load

GOOD = """user_id,prompt,response,rank
ann,Tea?,Yes.,1
ann,Tea?,No.,2
ann,Tea?,Coffee!,3
bob,Tea?,Yes.,2
bob,Tea?,No.,1
"""
JSON_GOOD = [
    {"user_id": "ann", "prompt": "Tea?", "response": "Yes.", "rank": 1},
    {"user_id": "ann", "prompt": "Tea?", "response": "No.", "rank": 2},
    {"user_id": "bob", "prompt": "Tea?", "response": "Yes.", "rank": None},
]


def refused(path, row=None, column=None, **options):
    """Assert that a file is refused, located, in one short line; return the error."""
    with pytest.raises(DataError) as caught:
        load(path, **options)
    message = str(caught.value)
    assert "\n" not in message and "\r" not in message and len(message) < 300, message
    assert (caught.value.row, caught.value.column) == (row, column), message
    report = check(path, **options)
    assert str(report.errors[0]) == message
    assert report.summary is None and report.to_text().startswith("error: ")
    return caught.value


def changed(line, text):
    """Return the good CSV with one line (the header is line 1) replaced."""
    lines = GOOD.splitlines()
    lines[line - 1] = text
    return "\n".join(lines) + "\n"


def jsonl(*changes):
    """Return the good JSONL, its last lines replaced by the texts given."""
    lines = [json.dumps(record) for record in JSON_GOOD]
    return "\n".join(lines[: 3 - len(changes)] + list(changes)) + "\n"


def record(**changes):
    return json.dumps(JSON_GOOD[2] | changes)


def written(frame, path):
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            lines = (json.dumps(record, ensure_ascii=False) for record in frame.to_dict("records"))
            path.write_text("\n".join(lines), encoding="utf-8")
        case ".parquet":
            frame.to_parquet(path)
    return path


def warned(rankings):
    return [str(problem) for problem in check(rankings).warnings]


def rows_of(rankings):
    """Return (user, prompt, response, rank) per candidate shown, in the panel's order."""
    candidates = rankings.candidates.iloc[rankings.candidate]
    ranking = rankings.ranking_of_row
    users = rankings.users.index.to_numpy()[rankings.user[ranking]]
    prompts = rankings.prompts["prompt"].to_numpy()[rankings.prompt[ranking]]
    responses = candidates["response"].to_numpy()
    return list(zip(users, prompts, responses, rankings.ranks.tolist(), strict=True))
