"""The command line: `emdpo COMMAND`; `emdpo --help` lists the commands.

argparse rather than typer: `audit --json` takes a file or nothing, and a usage error must be one
`error:` line with exit code 2. Both are plain argparse; each needs a trick with typer.

Exit codes: 0 done, 2 bad input or usage (one `error: ...` line on stderr), 1 anything else.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from emdpo import commands
from emdpo.commands import BAD_INPUT, FAILED
from emdpo.core.errors import EmdpoError
from emdpo.formats import commands as format_commands
from emdpo.terminal import one_line, say

MAX_PORT = 65_535

MOST_NUMBERS = 1000
"""Numbers of types that one `select` tries."""


class _Parser(argparse.ArgumentParser):
    """Reports a usage error as one line."""

    def error(self, message: str) -> NoReturn:
        say(f"error: {' '.join(message.split())} (see {self.prog} --help)", sys.stderr)
        sys.exit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        options = build_parser().parse_args(arguments)
        return options.run(options)
    except EmdpoError as error:
        say(f"error: {one_line(error)}", sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        say("error: interrupted", sys.stderr)
        return FAILED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - no reader
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort, so that users get one line
        if os.environ.get("EMDPO_DEBUG"):
            traceback.print_exc()
        hint = "set EMDPO_DEBUG=1 for the traceback"
        say(f"error: unexpected {type(error).__name__}: {one_line(error)} ({hint})", sys.stderr)
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="emdpo",
        description="Find the preference types behind rankings, and audit who is badly served.",
    )
    parsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(parsers)
    _add_fit(parsers)
    _add_select(parsers)
    _add_audit(parsers)
    _add_diff(parsers)
    _add_compare(parsers)
    _add_distil(parsers)
    _add_chat(parsers)
    _add_demo(parsers)
    _add_import(parsers)
    _add_export(parsers)
    _add_app(parsers)
    return parser


def _command(
    parsers: Any, run: Callable[[argparse.Namespace], int], summary: str
) -> argparse.ArgumentParser:
    """Add the command of a function of `emdpo.commands`, by its name."""
    parser = parsers.add_parser(run.__name__.rstrip("_"), help=summary, description=summary)
    parser.set_defaults(run=run)
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="rankings: .csv, .tsv, .jsonl or .parquet")
    parser.add_argument("--users", metavar="FILE", help="second file: user_id and attributes")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def _add_fitting(parser: argparse.ArgumentParser) -> None:
    from emdpo.fitting import FitConfig

    default = FitConfig(n_types=1)
    kinds = ["auto", "items", "text", "columns"]
    parser.add_argument("--features", choices=kinds, default=default.features)
    parser.add_argument("--l2", type=float, default=default.l2, help="prior precision of theta")
    parser.add_argument("--restarts", type=int, default=default.restarts, help="starts of EM")
    parser.add_argument("--max-iter", type=int, default=default.max_iter, help="per start")
    parser.add_argument("--seed", type=int, default=default.seed)


def _add_check(parsers: Any) -> None:
    parser = _command(parsers, commands.check, "Say what is in a file and what is wrong with it.")
    _add_input(parser)
    _add_json(parser)


def _add_fit(parsers: Any) -> None:
    from emdpo.settings import POLICY_KINDS

    parser = _command(parsers, commands.fit, "Find the preference types behind rankings.")
    _add_input(parser)
    parser.add_argument("--types", type=int, required=True, metavar="K", help="number of types")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--policy",
        choices=POLICY_KINDS,
        default=POLICY_KINDS[0],
        help="on features, in seconds, or LoRA adapters on a language model",
    )
    _add_adapters(parser)
    parser.add_argument("--beta", type=float, default=0.1, help="DPO inverse temperature")
    _add_fitting(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted fit")
    parser.add_argument("--force", action="store_true", help="fit even what cannot be identified")
    parser.add_argument(
        "--estimate", action="store_true", help="only say what fitting adapters will take here"
    )
    _add_json(parser)


def _add_adapters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--base-model", metavar="ID|PATH", help="for adapters; default: the embedded model"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        type=_setting,
        metavar="NAME=VALUE",
        help="a setting of adapters such as rounds=3 or preset=quick; may be repeated",
    )


def _add_select(parsers: Any) -> None:
    parser = _command(parsers, commands.select, "Choose the number of types.")
    _add_input(parser)
    parser.add_argument("--types", type=_numbers, metavar="A:B", help="default 1:6")
    _add_fitting(parser)
    parser.add_argument("--force", action="store_true", help="try even what cannot be identified")
    _add_json(parser)


def _add_audit(parsers: Any) -> None:
    from emdpo.core.sampled_regret import SamplingPlan

    parser = _command(parsers, commands.audit, "Audit a run: regret by type and by group.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder")
    parser.add_argument("--groups", type=_names, metavar="A,B", help="attributes; all by default")
    parser.add_argument("--min-group", type=int, default=10, help="smaller groups are suppressed")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples")
    parser.add_argument(
        "--refit",
        type=int,
        nargs="?",
        const=200,
        default=0,
        metavar="N",
        help="also fit N draws of users anew (200), so that intervals count how sure types are",
    )
    parser.add_argument(
        "--computed", type=_names, default=(), metavar="A,B", help="attributes made from rankings"
    )
    parser.add_argument(
        "--weights",
        type=_weights,
        metavar="A,B",
        help="audit this mixture of types, too; by default the policy saved on the page",
    )
    parser.add_argument(
        "--policies",
        metavar="FILE",
        help="audit other models, too: prompt_id, response_id, a column of probabilities for each",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write audit.json to FILE or print it"
    )
    parser.add_argument("--report", metavar="FILE.html", help="write a self-contained report")
    parser.add_argument(
        "--zip", metavar="FILE.zip", help="write all but the rankings, for publication"
    )
    parser.add_argument(
        "--with-texts", action="store_true", help="with --zip: prompts and answers, too"
    )
    plan = SamplingPlan()
    parser.add_argument(
        "--sampled", type=int, metavar="S", help="also judge S answers that each policy writes"
    )
    parser.add_argument(
        "--prompts", type=int, default=plan.max_prompts, help="most prompts so answered"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=plan.max_tokens, help="such answers are cut there"
    )

    _add_evidence(parser)


def _add_evidence(parser: argparse.ArgumentParser) -> None:
    from emdpo.core.tested import RANKING, WAYS, EvidenceConfig

    parser.add_argument(
        "--evidence",
        nargs="?",
        const=RANKING,
        choices=WAYS,
        metavar="|".join(WAYS),
        help="also test every rule on rankings that nobody fitted; what is held out",
    )
    folds = EvidenceConfig().folds
    parser.add_argument(
        "--folds", type=int, metavar="N", help=f"parts held out in turn, {folds} by default"
    )
    parser.add_argument(
        "--rankings", dest="file", metavar="FILE", help="with --evidence split: the file fitted"
    )
    parser.add_argument("--users", metavar="FILE", help="its second file")


def _add_diff(parsers: Any) -> None:
    parser = _command(parsers, commands.diff, "Compare two runs: types, users, regret.")
    parser.add_argument("run_a", metavar="RUN_A", help="a finished run folder")
    parser.add_argument("run_b", metavar="RUN_B", help="another, of the same users or some of them")
    parser.add_argument("--groups", type=_names, metavar="A,B", help="attributes; all by default")
    parser.add_argument("--min-group", type=int, default=10, help="smaller groups are suppressed")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write all of it to FILE or print it"
    )
    _add_evidence(parser)


def _add_compare(parsers: Any) -> None:
    from emdpo.head_to_head.simulations import PRESETS

    summary = "Compare every method of the field on held-out rankings."
    parser = _command(parsers, commands.compare, summary)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("file", metavar="FILE", nargs="?", help="rankings, as for the others")
    source.add_argument(
        "--simulation", choices=PRESETS, metavar="NAME", help=f"instead: {', '.join(PRESETS)}"
    )
    parser.add_argument("--users", metavar="FILE", help="second file: user_id and attributes")
    parser.add_argument(
        "--methods",
        type=_names,
        metavar="A,B",
        help="by default all that apply, but for adapters, which take minutes: adapter_dpo, "
        "adapter_cluster_dpo, adapter_em_dpo, adapter_mixdpo",
    )
    _add_adapters(parser)
    kinds = ["auto", "items", "text", "columns"]
    parser.add_argument("--features", choices=kinds, default="auto")
    parser.add_argument("--group", metavar="NAME", help="attribute that group_dpo protects")
    parser.add_argument(
        "--cut", type=int, metavar="N", help="cut long rankings into disjoint ones of N answers"
    )
    parser.add_argument(
        "--new-share", type=float, default=0.25, help="of users that none is fitted to"
    )
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples of users")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", metavar="FILE.zip", help="write everything to a zip file, too")
    _add_json(parser)


def _add_distil(parsers: Any) -> None:
    from emdpo.adapters.distilled import DistilConfig

    default = DistilConfig()
    parser = _command(parsers, commands.distil, "Distil a run's consensus into one adapter.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder with adapters")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="most passes")
    parser.add_argument(
        "--sampled", type=int, default=default.sampled, metavar="N", help="answers drawn a prompt"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    _add_json(parser)


def _add_chat(parsers: Any) -> None:
    from emdpo.adapters.answers import Sampling

    default = Sampling()
    parser = _command(parsers, commands.chat, "Ask a policy of a run whose policies are adapters.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder")
    parser.add_argument("prompt", metavar="PROMPT", help="the question")
    parser.add_argument(
        "--as",
        dest="policy",
        required=True,
        metavar="NAME",
        help="type-1, mixture, consensus, given (saved on the page), distilled, base",
    )
    parser.add_argument("--max-tokens", type=int, default=default.max_tokens)
    parser.add_argument("--temperature", type=float, default=default.temperature)
    parser.add_argument("--seed", type=int, default=default.seed)
    _add_json(parser)


def _add_demo(parsers: Any) -> None:
    parser = _command(parsers, commands.demo, "Fit and audit the embedded, simulated demo data.")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    _add_json(parser)


def _add_import(parsers: Any) -> None:
    run = format_commands.import_
    parser = _command(parsers, run, "Read a public data set or another tool's rankings.")
    parser.add_argument(
        "source",
        metavar="FILE|HUB_ID",
        help=".csv, .tsv, .jsonl, .parquet, .soc, .soi, .toc, .toi, or owner/name on the hub",
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="canonical table to write")
    parser.add_argument("--format", metavar="NAME", help="see docs/formats.md; told by the columns")
    parser.add_argument("--users", metavar="FILE", help="second file about the people")
    parser.add_argument("--user", metavar="COLUMN", help="who ranked, where the format has no one")
    parser.add_argument("--config", metavar="NAME", help="configuration of a data set of the hub")
    parser.add_argument("--split", default="train", metavar="NAME", help="its split")
    parser.add_argument("--limit", type=int, metavar="N", help="read at most N rows")
    _add_json(parser)


def _add_export(parsers: Any) -> None:
    run = format_commands.export
    parser = _command(parsers, run, "Write a run or rankings for another tool.")
    parser.add_argument("source", metavar="RUN|FILE", help="a finished run folder or rankings")
    parser.add_argument(
        "--format", required=True, metavar="NAME", help="canonical, trl, preflib, llm-comparator"
    )
    parser.add_argument("--out", required=True, metavar="FILE", help="file to write")
    parser.add_argument("--types", type=_numbers, metavar="A,B", help="only these types")
    parser.add_argument(
        "--soft", action="store_true", help="trl: each pair for every type, weighted"
    )
    parser.add_argument("--prompt", metavar="ID", help="preflib: which prompt")
    _add_json(parser)


def _add_app(parsers: Any) -> None:
    parser = _command(parsers, commands.app, "Serve the page.")
    parser.add_argument("--host", default=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"))
    parser.add_argument("--port", type=_port, help="default: the first free port from 7860")
    _add_json(parser)


def _numbers(text: str) -> list[int]:
    """Read 1:6, 3 or 1,2,4; a range includes both ends."""
    try:
        if ":" in text:
            first, last = map(int, text.split(":"))
            numbers = list(range(first, min(last + 1, first + MOST_NUMBERS + 1)))
        else:
            numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"expected A:B with 1 <= A <= B, got {text!r}")
    if len(numbers) > MOST_NUMBERS:
        raise argparse.ArgumentTypeError(f"expected at most {MOST_NUMBERS} numbers, got {text!r}")
    return numbers


def _setting(text: str) -> tuple[str, Any]:
    """Read NAME=VALUE; what is no JSON value is text."""
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"expected a port from 0 to {MAX_PORT}, got {text!r}")
    return int(text)


def _weights(text: str) -> tuple[float, ...]:
    """Read 0.5,0.3,0.2."""
    try:
        return tuple(map(float, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers like 0.5,0.5, got {text!r}") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
