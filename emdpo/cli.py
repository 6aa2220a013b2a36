"""The command line: `emdpo check | fit | select | audit | distil | chat | demo | app`.

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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from emdpo.core.errors import EmdpoError
from emdpo.core.json_values import plain, visible

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit
    from emdpo.settings import FitConfig

DONE, FAILED, BAD_INPUT = 0, 1, 2

MAX_PORT = 65_535

MOST_NUMBERS = 1000
"""Numbers of types that one `select` tries."""


class _Parser(argparse.ArgumentParser):
    """Reports a usage error as one line."""

    def error(self, message: str) -> NoReturn:
        _say(f"error: {' '.join(message.split())} (see {self.prog} --help)", sys.stderr)
        sys.exit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    try:
        options = build_parser().parse_args(arguments)
        return options.run(options)
    except EmdpoError as error:
        _say(f"error: {_one_line(error)}", sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        _say("error: interrupted", sys.stderr)
        return FAILED
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - no reader
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last resort, so that users get one line
        if os.environ.get("EMDPO_DEBUG"):
            traceback.print_exc()
        hint = "set EMDPO_DEBUG=1 for the traceback"
        _say(f"error: unexpected {type(error).__name__}: {_one_line(error)} ({hint})", sys.stderr)
        return FAILED


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    parser = _Parser(
        prog="emdpo",
        description="Find the preference types behind rankings, and audit who is badly served.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_check(commands)
    _add_fit(commands)
    _add_select(commands)
    _add_audit(commands)
    _add_distil(commands)
    _add_chat(commands)
    _add_demo(commands)
    _add_app(commands)
    return parser


def _command(commands: Any, name: str, run: Any, summary: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=summary)
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


def _add_check(commands: Any) -> None:
    parser = _command(commands, "check", _check, "Say what is in a file and what is wrong with it.")
    _add_input(parser)
    _add_json(parser)


def _add_fit(commands: Any) -> None:
    from emdpo.settings import POLICY_KINDS

    parser = _command(commands, "fit", _fit, "Find the preference types behind rankings.")
    _add_input(parser)
    parser.add_argument("--types", type=int, required=True, metavar="K", help="number of types")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    parser.add_argument(
        "--policy",
        choices=POLICY_KINDS,
        default=POLICY_KINDS[0],
        help="on features, in seconds, or LoRA adapters on a language model",
    )
    parser.add_argument(
        "--base-model", metavar="ID|PATH", help="for adapters; default: the embedded model"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        type=_setting,
        metavar="NAME=VALUE",
        help="a setting of adapters such as rounds=3; may be repeated",
    )
    parser.add_argument("--beta", type=float, default=0.1, help="DPO inverse temperature")
    _add_fitting(parser)
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted fit")
    parser.add_argument("--force", action="store_true", help="fit even what cannot be identified")
    parser.add_argument(
        "--estimate", action="store_true", help="only say what fitting adapters will take here"
    )
    _add_json(parser)


def _add_select(commands: Any) -> None:
    parser = _command(commands, "select", _select, "Choose the number of types.")
    _add_input(parser)
    parser.add_argument("--types", type=_numbers, metavar="A:B", help="default 1:6")
    _add_fitting(parser)
    parser.add_argument("--force", action="store_true", help="try even what cannot be identified")
    _add_json(parser)


def _add_audit(commands: Any) -> None:
    from emdpo.core.sampled_regret import SamplingPlan

    parser = _command(commands, "audit", _audit, "Audit a run: regret by type and by group.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder")
    parser.add_argument("--groups", type=_names, metavar="A,B", help="attributes; all by default")
    parser.add_argument("--min-group", type=int, default=10, help="smaller groups are suppressed")
    parser.add_argument("--bootstrap", type=int, default=1000, help="resamples")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write audit.json to FILE or print it"
    )
    parser.add_argument("--report", metavar="FILE.html", help="write a self-contained report")
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


def _add_distil(commands: Any) -> None:
    from emdpo.adapters.distilled import DistilConfig

    default = DistilConfig()
    parser = _command(commands, "distil", _distil, "Distil a run's consensus into one adapter.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder with adapters")
    parser.add_argument("--epochs", type=int, default=default.epochs, help="most passes")
    parser.add_argument(
        "--sampled", type=int, default=default.sampled, metavar="N", help="answers drawn a prompt"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    _add_json(parser)


def _add_chat(commands: Any) -> None:
    from emdpo.adapters.answers import Sampling

    default = Sampling()
    parser = _command(commands, "chat", _chat, "Ask a policy of a run whose policies are adapters.")
    parser.add_argument("folder", metavar="RUN", help="a finished run folder")
    parser.add_argument("prompt", metavar="PROMPT", help="the question")
    parser.add_argument(
        "--as",
        dest="policy",
        required=True,
        metavar="NAME",
        help="type-1, mixture, consensus, distilled, base",
    )
    parser.add_argument("--max-tokens", type=int, default=default.max_tokens)
    parser.add_argument("--temperature", type=float, default=default.temperature)
    parser.add_argument("--seed", type=int, default=default.seed)
    _add_json(parser)


def _add_demo(commands: Any) -> None:
    parser = _command(commands, "demo", _demo, "Fit and audit the embedded, simulated demo data.")
    parser.add_argument("--out", required=True, metavar="RUN", help="run folder to write")
    _add_json(parser)


def _add_app(commands: Any) -> None:
    parser = _command(commands, "app", _app, "Serve the page.")
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


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _check(options: argparse.Namespace) -> int:
    from emdpo.core.checks import check

    report = check(options.file, users=options.users)
    if options.json:
        _print_json(report.to_dict())
    elif report.summary is not None or len(report.errors) > 1:
        _say(report.to_text())
    if report.errors:
        _say(f"error: {_one_line(report.errors[0].error())}", sys.stderr)
        return BAD_INPUT
    return DONE


def _load(options: argparse.Namespace) -> Rankings:
    from emdpo.core.readers import load

    return load(options.file, users=options.users)


def fit_config(options: argparse.Namespace) -> FitConfig:
    """Return the settings that the options of `emdpo fit` hold."""
    from emdpo.settings import FitConfig, adapter_config

    return FitConfig(
        n_types=options.types,
        policy=options.policy,
        base_model=options.base_model,
        adapters=adapter_config(dict(options.adapter)) if options.adapter else None,
        features=options.features,
        beta=options.beta,
        l2=options.l2,
        restarts=options.restarts,
        max_iter=options.max_iter,
        seed=options.seed,
    )


def _fit(options: argparse.Namespace) -> int:
    from emdpo.resuming import fit_in_folder, is_finished

    config = fit_config(options)
    if options.estimate:
        return _estimate(options, config)
    run = Path(options.out)
    already = options.resume and is_finished(run)
    found = fit_in_folder(_load(options), config, run, resume=options.resume, force=options.force)
    if already and not options.json:
        _say(f"{run} is finished already; nothing to do")
    return _tell_fit(found, run, options.json)


def _estimate(options: argparse.Namespace, config: FitConfig) -> int:
    from emdpo.adapting import estimate
    from emdpo.telling import estimate_text

    found = estimate(_load(options), config)
    if options.json:
        _print_json(found.to_dict())
    else:
        _say(estimate_text(found))
    return DONE


def _tell_fit(found: Fit, run: Path, as_json: bool) -> int:
    from emdpo.runs import summary
    from emdpo.telling import fit_text

    if as_json:
        _print_json({"run": str(run), **summary(found)})
    else:
        _say(fit_text(found, run))
    return DONE


def _select(options: argparse.Namespace) -> int:
    from emdpo.choosing import select
    from emdpo.telling import selection_text

    selection = select(
        _load(options),
        options.types,
        features=options.features,
        l2=options.l2,
        restarts=options.restarts,
        max_iter=options.max_iter,
        seed=options.seed,
        force=options.force,
        progress=_progress if sys.stderr.isatty() else None,
    )
    if options.json:
        _print_json(selection.to_dict())
    else:
        _say(selection_text(selection))
    return DONE


def _progress(done: int, steps: int) -> None:
    end = "\n" if done == steps else ""
    sys.stderr.write(f"\r{done} of {steps} fits{end}")
    sys.stderr.flush()


def _audit(options: argparse.Namespace) -> int:
    from emdpo.auditing import audit, save_audit, with_kept_sampled, with_sampled
    from emdpo.core.sampled_regret import SamplingPlan
    from emdpo.files import write_bytes
    from emdpo.report import audit_page
    from emdpo.runs import load_fit
    from emdpo.telling import audit_text

    plan = None
    if options.sampled is not None:
        plan = SamplingPlan(options.sampled, options.prompts, options.max_tokens, options.seed)
    found = load_fit(options.folder)
    result = audit(
        found,
        options.groups,
        min_group=options.min_group,
        n_bootstrap=options.bootstrap,
        seed=options.seed,
    )
    if plan is None:
        result = with_kept_sampled(result, options.folder)
    else:
        told = _stage if sys.stderr.isatty() else None
        drawn = with_sampled(result, found, plan, run=options.folder, on_progress=told)
        result = drawn or result  # nobody could stop it
    page = audit_page(result, found)
    save_audit(result, options.folder, page)
    if options.report:
        _write(options.report, lambda path: write_bytes(path, page.encode("utf-8", "replace")))
    if options.json == "-":
        _say(result.to_json())
        return DONE
    if options.json:
        text = result.to_json() + "\n"
        _write(options.json, lambda path: write_bytes(path, text.encode("utf-8", "replace")))
    _say(audit_text(result, options.folder))
    return DONE


def _distil(options: argparse.Namespace) -> int:
    from emdpo.adapters.distilled import DistilConfig
    from emdpo.distilling import distil_run
    from emdpo.telling import distil_text

    config = DistilConfig(epochs=options.epochs, sampled=options.sampled, seed=options.seed)
    told = _stage if sys.stderr.isatty() else None
    report = distil_run(options.folder, config, on_progress=told)
    assert report is not None  # noqa: S101  # nobody could stop it
    if options.json:
        _print_json(dict(report))
    else:
        _say(distil_text(report, options.folder))
    return DONE


def _stage(event: str, **facts: Any) -> None:
    """Say on the terminal's last line what goes on."""
    about = f" {facts['policy']}" if "policy" in facts else ""
    share = f" {facts['done']:.0%}" if "done" in facts else ""
    end = "\n" if event == "epoch" else ""
    sys.stderr.write(f"\r\x1b[K{event}{about}{share}{end}")
    sys.stderr.flush()


def _chat(options: argparse.Namespace) -> int:
    from emdpo.adapters.answers import Sampling
    from emdpo.chatting import ask, cast_of, open_run, told

    sampling = Sampling(options.max_tokens, options.temperature, options.seed)
    cast = cast_of(options.folder)
    cast.speaker(options.policy)  # refused before the model is loaded
    last = None
    for partial in ask(open_run(cast), options.policy, options.prompt, sampling):
        if not options.json:
            _say(partial.text[len(last.text) if last else 0 :], end="")
        last = partial
    if options.json and last:
        _print_json(told(cast, options.policy, options.prompt, last, sampling))
    else:
        _say("")
    return DONE


def _write(target: str, write: Any) -> None:
    try:
        path = Path(os.path.realpath(target))  # through a link, to what it stands for
        if not path.parent.is_dir() or (path.exists() and not path.is_file()):
            raise EmdpoError(f"{target}: not a regular file in an existing folder")
        write(path)
    except OSError as error:
        raise EmdpoError(f"{target}: cannot be written ({error.strerror})") from None


def _demo(options: argparse.Namespace) -> int:
    from emdpo.auditing import audit, save_audit
    from emdpo.core.readers import load
    from emdpo.demo import DEMO_TYPES, demo_file
    from emdpo.fitting import FitConfig
    from emdpo.report import audit_page
    from emdpo.resuming import fit_in_folder

    run = Path(options.out)
    config = FitConfig(n_types=DEMO_TYPES)
    found = fit_in_folder(load(demo_file()), config, run, resume=True)
    result = audit(found)
    save_audit(result, run, audit_page(result, found))
    return _tell_fit(found, run, options.json)


def _app(options: argparse.Namespace) -> int:
    try:
        from emdpo.ui.app import launch
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise EmdpoError("the page needs gradio: pip install 'emdpo[app]'") from None
    launch(options.host, options.port)
    return DONE


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _print_json(value: dict[str, Any]) -> None:
    _say(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _say(text: str, stream: Any = None, end: str = "\n") -> None:
    """Write a line; what the terminal's encoding lacks is replaced, never an error."""
    stream = stream or sys.stdout
    if stream is None:  # closed by whoever started the command
        return
    encoding = stream.encoding or "utf-8"
    text = visible(text)
    stream.write(text.encode(encoding, "replace").decode(encoding) + end)
    stream.flush()
