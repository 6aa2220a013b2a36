"""What each command does, given its options: work by the library, words by `emdpo.telling`.

Every function takes the parsed options of its command and returns the exit code.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo.core.errors import EmdpoError
from emdpo.terminal import one_line, print_json, say, show_progress, show_stage, write_to

if TYPE_CHECKING:
    from emdpo.adapters.config import AdapterConfig
    from emdpo.core.audit import Audit
    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit
    from emdpo.head_to_head.comparison import Comparison
    from emdpo.settings import FitConfig

DONE, FAILED, BAD_INPUT = 0, 1, 2
"""Exit codes."""


def check(options: argparse.Namespace) -> int:
    """Say what is in a file and what is wrong with it."""
    from emdpo.core.checks import check

    report = check(options.file, users=options.users)
    if options.json:
        print_json(report.to_dict())
    elif report.summary is not None or len(report.errors) > 1:
        say(report.to_text())
    if report.errors:
        _refuse_foreign(options.file)
        say(f"error: {one_line(report.errors[0].error())}", sys.stderr)
        return BAD_INPUT
    return DONE


def _load(options: argparse.Namespace) -> Rankings:
    from emdpo.core.readers import load

    try:
        return load(options.file, users=options.users)
    except EmdpoError:
        _refuse_foreign(options.file)
        raise


def _refuse_foreign(file: str) -> None:
    """Raise where a file that cannot be read is in a format that `emdpo import` knows."""
    from emdpo.formats.recognition import foreign

    known = foreign(Path(file))
    if known is not None:
        name, title = known
        told = f"this is {title}: emdpo import {file} --format {name} --out rankings.jsonl"
        raise EmdpoError(f"{Path(file).name}: {told}")


def fit_config(options: argparse.Namespace) -> FitConfig:
    """Return the settings that the options of `emdpo fit` hold."""
    from emdpo.settings import FitConfig

    return FitConfig(
        n_types=options.types,
        policy=options.policy,
        base_model=options.base_model,
        adapters=_adapters(options),
        features=options.features,
        beta=options.beta,
        l2=options.l2,
        restarts=options.restarts,
        max_iter=options.max_iter,
        seed=options.seed,
    )


def _adapters(options: argparse.Namespace) -> AdapterConfig | None:
    from emdpo.settings import adapter_config

    return adapter_config(dict(options.adapter)) if options.adapter else None


def fit(options: argparse.Namespace) -> int:
    """Fit rankings into a run folder, go on with a fit, or estimate what one will take."""
    from emdpo.resuming import fit_in_folder, is_finished

    config = fit_config(options)
    if options.estimate:
        return _estimate(options, config)
    run = Path(options.out)
    already = options.resume and is_finished(run)
    found = fit_in_folder(_load(options), config, run, resume=options.resume, force=options.force)
    if already and not options.json:
        say(f"{run} is finished already; nothing to do")
    return _tell_fit(found, run, options.json)


def _estimate(options: argparse.Namespace, config: FitConfig) -> int:
    from emdpo.adapting import estimate
    from emdpo.telling import estimate_text

    found = estimate(_load(options), config)
    if options.json:
        print_json(found.to_dict())
    else:
        say(estimate_text(found))
    return DONE


def _tell_fit(found: Fit, run: Path, as_json: bool) -> int:
    from emdpo.runs import summary
    from emdpo.telling import fit_text

    if as_json:
        print_json({"run": str(run), **summary(found)})
    else:
        say(fit_text(found, run))
    return DONE


def select(options: argparse.Namespace) -> int:
    """Choose the number of types."""
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
        progress=show_progress if sys.stderr.isatty() else None,
    )
    if options.json:
        print_json(selection.to_dict())
    else:
        say(selection_text(selection))
    return DONE


def compare(options: argparse.Namespace) -> int:
    """Compare every method on held-out rankings."""
    from emdpo.head_to_head.engine import compare
    from emdpo.head_to_head.simulations import simulate, simulation_named
    from emdpo.head_to_head.telling import comparison_text

    planted = None
    if options.simulation is not None:
        planted = simulate(simulation_named(options.simulation), options.seed)
    found = compare(
        planted.panel if planted else _load(options),
        options.methods,
        planted=planted,
        adapters=_adapters(options),
        progress=show_progress if sys.stderr.isatty() else None,
        **_comparison_settings(options),
    )
    if options.out:
        _write_comparison(options, found)
    if options.json:
        print_json(found.to_dict())
    else:
        say(comparison_text(found))
    return DONE


def _comparison_settings(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "features": options.features,
        "group": options.group,
        "cut": options.cut,
        "base_model": options.base_model,
        "new_share": options.new_share,
        "n_bootstrap": options.bootstrap,
        "seed": options.seed,
    }


def _write_comparison(options: argparse.Namespace, found: Comparison) -> None:
    from emdpo.head_to_head.export import compare_command, write_comparison

    simulation = options.simulation is not None
    command = compare_command(
        options.simulation if simulation else options.file,
        None if simulation else options.users,
        simulation=simulation,
        methods=options.methods,
        adapter=dict(options.adapter or ()),
        **_comparison_settings(options),
    )
    given = () if simulation else (options.file, options.users)
    data = {name: Path(name) for name in given if name is not None}
    write_to(options.out, lambda path: write_comparison(found, path, command, data))


def audit(options: argparse.Namespace) -> int:
    """Audit a run and keep the audit in its folder."""
    from emdpo.auditing import audit, keep_audit, with_sampled
    from emdpo.chosen import chosen_settings
    from emdpo.core.sampled_regret import SamplingPlan
    from emdpo.files import write_bytes
    from emdpo.outside import read_policies
    from emdpo.refitting import with_refits
    from emdpo.report import audit_page
    from emdpo.runs import load_fit
    from emdpo.telling import audit_text

    if options.with_texts and not options.zip:
        raise EmdpoError("--with-texts says what --zip FILE holds: name the file")
    plan = None
    if options.sampled is not None:
        plan = SamplingPlan(options.sampled, options.prompts, options.max_tokens, options.seed)
    found = load_fit(options.folder)
    given = {"weights": options.weights}
    if options.weights is None:
        given = chosen_settings(options.folder, found.n_types)
    result = audit(
        found,
        options.groups,
        min_group=options.min_group,
        n_bootstrap=options.bootstrap,
        seed=options.seed,
        computed=options.computed,
        policies=None if options.policies is None else read_policies(options.policies),
        **given,
    )
    if options.refit:
        told = show_progress if sys.stderr.isatty() else None
        result = with_refits(result, found, options.refit, on_progress=told) or result
    if plan is not None:
        told = show_stage if sys.stderr.isatty() else None
        drawn = with_sampled(result, found, plan, run=options.folder, on_progress=told)
        result = drawn or result  # nobody could stop it
    result = _with_evidence(options, result, found)
    result = keep_audit(result, found, options.folder, lambda kept: audit_page(kept, found))
    if options.report:
        page = (Path(options.folder) / "audit" / "report.html").read_bytes()
        write_to(options.report, lambda path: write_bytes(path, page))
    if options.zip:
        _publish(options, result, found)
    if options.json == "-":
        say(result.to_json())
        return DONE
    if options.json:
        text = result.to_json() + "\n"
        write_to(options.json, lambda path: write_bytes(path, text.encode("utf-8", "replace")))
    say(audit_text(result, options.folder))
    return DONE


def _publish(options: argparse.Namespace, result: Audit, found: Fit) -> None:
    from emdpo.publication import publish

    run, texts = options.folder, options.with_texts
    write_to(options.zip, lambda path: publish(result, found, path, run=run, texts=texts))


def _with_evidence(options: argparse.Namespace, result: Audit, found: Fit) -> Audit:
    """Return the audit with the evidence asked for."""
    from emdpo.predicting import evidence

    settings = _evidence_settings(options)
    if options.evidence is None:
        return result
    tested = evidence(
        found,
        options.evidence,
        options.groups,
        min_group=options.min_group,
        n_bootstrap=options.bootstrap,
        seed=options.seed,
        **settings,
    )
    return replace(result, evidence=tested)


def _evidence_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the options say of evidence, beside what is held out."""
    if options.evidence is None and (options.folds or options.file or options.users):
        raise EmdpoError("--folds, --rankings and --users go with --evidence")
    folds = {} if options.folds is None else {"folds": options.folds}
    return {
        "rankings": None if options.file is None else _load(options),
        "progress": show_progress if sys.stderr.isatty() else None,
        **folds,
    }


def diff(options: argparse.Namespace) -> int:
    """Compare two runs."""
    from emdpo.comparing import compare_runs
    from emdpo.comparison_text import comparison_text
    from emdpo.files import write_bytes

    found = compare_runs(
        options.run_a,
        options.run_b,
        options.groups,
        evidence=options.evidence,
        min_group=options.min_group,
        n_bootstrap=options.bootstrap,
        seed=options.seed,
        **_evidence_settings(options),
    )
    if options.json == "-":
        say(found.to_json())
        return DONE
    if options.json:
        text = found.to_json() + "\n"
        write_to(options.json, lambda path: write_bytes(path, text.encode("utf-8", "replace")))
    say(comparison_text(found))
    return DONE


def distil(options: argparse.Namespace) -> int:
    """Distil a run's consensus into one adapter."""
    from emdpo.adapters.distilled import DistilConfig
    from emdpo.distilling import distil_run
    from emdpo.telling import distil_text

    config = DistilConfig(epochs=options.epochs, sampled=options.sampled, seed=options.seed)
    told = show_stage if sys.stderr.isatty() else None
    report = distil_run(options.folder, config, on_progress=told)
    assert report is not None  # noqa: S101  # nobody could stop it
    if options.json:
        print_json(dict(report))
    else:
        say(distil_text(report, options.folder))
    return DONE


def chat(options: argparse.Namespace) -> int:
    """Stream one answer of a policy."""
    from emdpo.adapters.answers import Sampling
    from emdpo.chatting import ask, cast_of, open_run, told

    sampling = Sampling(options.max_tokens, options.temperature, options.seed)
    cast = cast_of(options.folder)
    cast.speaker(options.policy)  # refused before the model is loaded
    last = None
    for partial in ask(open_run(cast), options.policy, options.prompt, sampling):
        if not options.json:
            say(partial.text[len(last.text) if last else 0 :], end="")
        last = partial
    if options.json and last:
        print_json(told(cast, options.policy, options.prompt, last, sampling))
    else:
        say("")
    return DONE


def demo(options: argparse.Namespace) -> int:
    """Fit and audit the demo."""
    from emdpo.audit_files import save_audit
    from emdpo.auditing import audit
    from emdpo.core.readers import load
    from emdpo.demo import DEMO_TYPES, demo_file
    from emdpo.fitting import FitConfig
    from emdpo.report import audit_page
    from emdpo.resuming import fit_in_folder

    run = Path(options.out)
    config = FitConfig(n_types=DEMO_TYPES)
    found = fit_in_folder(load(demo_file()), config, run, resume=True)
    result = audit(found)
    save_audit(result, run, audit_page(result, found), fit=found)
    return _tell_fit(found, run, options.json)


def app(options: argparse.Namespace) -> int:
    """Serve the page until stopped."""
    try:
        from emdpo.ui.app import launch
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise EmdpoError("the page needs gradio: pip install 'emdpo[app]'") from None
    launch(options.host, options.port)
    return DONE
