"""A job in words: its state, its own settings, and the runs of a browser."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from emdpo.jobs import JobState
from emdpo.jobs.folder import COMPARISON, ESTIMATE, EVIDENCE, REFITS, SELECTION
from emdpo.jobs.progress import rounds_done
from emdpo.settings import flat_settings
from emdpo.telling import duration, empty_types_text, estimate_text, shortfalls
from emdpo.ui.data_report import theorems_html
from emdpo.ui.markup import facts, fold, line, pill, text

if TYPE_CHECKING:
    import pandas as pd

    from emdpo.core.selection import Selection
    from emdpo.fitting import Fit
    from emdpo.jobs import JobStatus
    from emdpo.jobs.progress import Progress
    from emdpo.ui.workplace import Workplace

HISTORY_COLUMNS = ["started (UTC)", "data", "types", "state", "log-likelihood", "run id"]

_SHOWN_SETTINGS = (
    *("policy", "base_model", "features", "beta", "l2", "restarts", "max_iter", "seed"),
    *("adapters.rounds", "adapters.top_layers", "adapters.learning_rate"),
)


_STEPS = {REFITS: "draws", COMPARISON: "methods"}
"""What is counted while a job runs, by kind; fits otherwise."""

ROUNDING = 1e-6
"""Eigenvalues below this cannot be told from 0."""


def state_html(status: JobStatus | None) -> str:
    """Return the state line of a job."""
    if status is None:
        return line("No run yet. Choose the settings and press Start the fit.")
    words = [pill(status.state), text(_doing(status))]
    body = " ".join(word for word in words if word)
    role = "alert" if status.state is JobState.FAILED else "status"
    return f'<p class="state" role="{role}">{body}</p>{_bar(status)}'


def _doing(status: JobStatus) -> str:
    progress = status.progress
    match status.state:
        case JobState.QUEUED:
            return f"{status.message}. It starts by itself."
        case JobState.STOPPING if status.kind == REFITS:
            return "after the draw under way"
        case JobState.STOPPING if status.kind == COMPARISON:
            return "in a moment; nothing is kept"
        case JobState.STOPPING:
            return "after this iteration or step; the best so far is kept"
        case JobState.DONE if progress.ended:
            seconds = progress.ended.get("seconds", 0)
            return f"in {seconds:.0f} s: {_result(progress.ended)}. Next: 3 Types and 5 Audit."
        case JobState.RUNNING if status.kind == ESTIMATE:
            return f"trying a few steps on this machine, {_elapsed(status)}"
        case JobState.RUNNING if progress.steps:
            what = _STEPS.get(status.kind, "fits")
            done, steps = progress.steps
            return f"{done} of {steps} {what}, {_elapsed(status)}{_pace(progress)}"
        case JobState.RUNNING if progress.training:
            return f"{_training(progress.training)}, {_elapsed(status)}{_pace(progress)}"
        case JobState.RUNNING if progress.started is None:
            return f"reading the data, {_elapsed(status)}"
        case JobState.RUNNING if not progress.iterations:
            return f"preparing features, {_elapsed(status)}"
        case JobState.RUNNING:
            return _iterating(status)
        case _:
            return status.message


def _result(ended: dict[str, Any]) -> str:
    return f"log-likelihood {ended['log_likelihood']:,.2f} ({ended['stop_reason']})"


def _iterating(status: JobStatus) -> str:
    last = status.progress.iterations[-1]
    return (
        f"start {last['restart'] + 1} of {status.config['restarts']}, iteration "
        f"{last['iteration']}, log-likelihood {last['log_likelihood']:,.2f}, {_elapsed(status)}"
    )


_STAGES = {
    "loading": "loading the base model",
    "tokenising": "reading the answers into tokens",
    "trunk": "computing what all adapters share",
    "reference": "scoring the answers with the base model",
    "held_out": "scoring the answers that only held-out rankings show",
}
"""What the training of adapters does before its first round and after its last, by event."""


def _training(event: dict[str, Any]) -> str:
    share = f", {min(event['done'], 1):.0%} of it" if "done" in event else ""
    number = f"training the adapters, round {event.get('round')}"
    match event["event"]:
        case "step" if event["round"] > event["rounds"]:
            return f"training the final adapters on all rankings{share}"
        case "step":
            return f"{number} of at most {event['rounds']}{share}"
        case "scoring":
            return f"{number}, scoring the answers{share}"
        case "round" if event["round"] == 0:
            return "about to train the adapters"
        case "round":
            return f"{number} done"
        case stage:
            return f"{_STAGES[stage]}{share}"


def _pace(progress: Progress) -> str:
    """Return the speed, and the time left if no round is spared."""
    speed, left = progress.tokens_per_second, progress.seconds_left
    told = "" if speed is None else f", {speed:,.0f} tokens/s"
    most = "at most " if progress.training else ""
    return told if left is None else f"{told}, {most}about {duration(left)} left"


def estimate_html(place: Workplace, status: JobStatus) -> str:
    """Return where an estimate stands, or what it says."""
    if not status.has_result:
        return state_html(status)
    return line(estimate_text(place.estimate(status.job_id)))


def _elapsed(status: JobStatus) -> str:
    started = status.progress.started or {}
    return f"{max(time.time() - started.get('time', status.created), 0):.0f} s"


def _bar(status: JobStatus) -> str:
    """Return how far the job is; starts that ended say more than iterations do."""
    if not status.state.is_active or status.kind == ESTIMATE:
        return ""
    progress = status.progress
    if status.kind in (SELECTION, EVIDENCE, REFITS, COMPARISON):
        done, steps = progress.steps or (0, 1)
    elif progress.training:
        done, steps = rounds_done(progress.training), status.config["adapters"]["rounds"]
    else:
        done, steps = progress.restarts_done, status.config["restarts"]
    share = min(done / max(steps, 1), 1.0)
    return (
        '<div class="bar" role="progressbar" aria-label="progress" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
        f'<i style="width:{share:.0%}"></i></div>'
    )


def certainty_html(fit: Fit) -> str:
    """Return how sure a fit is of its types: its starts, the curvature, what theory promises."""
    starts, information = fit.restarts, fit.information
    smallest = information.smallest_eigenvalue
    shown = [
        ("starts at the best optimum", f"{starts.n_reached_best} of {starts.n_starts}"),
        ("agreement of the best starts", _or_dash(starts.agreement, ".2f")),
        (
            "smallest eigenvalue of the information",
            "-" if smallest is None else _near_zero(smallest),
        ),
    ]
    parts = [line(f"Warning: {empty_types_text(fit)}.", "warning")] if fit.empty_types else []
    parts += [line(f"Warning: {warning}.", "warning") for warning in fit.warnings]
    if fit.features.kind == "items":
        parts += [
            line(f"Warning: {theorem.name}: {theorem.conclusion}", "warning")
            for theorem in shortfalls(fit)
            if theorem.applies
        ]
    parts += [facts(shown), f'<p class="caveat">{text(_how_to_read(fit))}</p>']
    verdict = fit.identifiability.verdict
    question = "Can these rankings tell types apart, by which theorem, on which premises?"
    parts.append(fold(question, f"<p>{text(verdict)}</p>{theorems_html(fit.identifiability)}"))
    return f'<h4 class="runhead">How sure is this?</h4>{"".join(parts)}'


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _near_zero(eigenvalue: float) -> str:
    return f"{eigenvalue:.3g}" if abs(eigenvalue) >= ROUNDING else "0 (to rounding)"


def _how_to_read(fit: Fit) -> str:
    information = fit.information
    told = ["Many starts at one optimum: hardly a better one was missed."]
    if fit.restarts.agreement is not None:
        told.append(
            "Agreement 1: those starts put the same users together; 0: no more than chance."
        )
    if information.smallest_eigenvalue is not None:
        told.append(
            f"Eigenvalue near 0: some of the {information.n_parameters:,} parameters are not "
            "pinned down by these rankings."
        )
    elif information.note:
        told.append(f"Eigenvalue: {information.note}.")
    return " ".join(told)


def config_html(status: JobStatus | None) -> str:
    """Return the run's own saved settings, never those that the form shows now."""
    if status is None:
        return ""
    config = status.config
    shown = [("data", status.name), ("types", config.get("n_types", "?"))]
    settings = flat_settings(config)
    shown += [
        (name.removeprefix("adapters."), "all" if settings[name] is None else settings[name])
        for name in _SHOWN_SETTINGS
        if name in settings
    ]
    if config.get("force"):
        shown.append(("force", "yes"))
    address = f"?run={text(status.job_id)}"
    link = f'<p class="runlink">Run id <code>{text(status.job_id)}</code>: '
    link += f'<a href="{address}">a link that opens it again</a></p>'
    return f'<h4 class="runhead">Settings of this run</h4>{facts(shown)}{link}'


def history_rows(statuses: Sequence[JobStatus]) -> list[list[str]]:
    """Return one row per run, as text."""
    return [
        [
            datetime.fromtimestamp(status.created, UTC).strftime("%Y-%m-%d %H:%M"),
            status.name,
            str(status.config.get("n_types", "")),
            status.state.value,
            _likelihood(status),
            status.job_id,
        ]
        for status in statuses
    ]


def _likelihood(status: JobStatus) -> str:
    ended = status.progress.ended or {}
    value = ended.get("log_likelihood")
    return "" if value is None else f"{value:,.2f}"


def history_choices(statuses: Sequence[JobStatus]) -> list[tuple[str, str]]:
    """Return the runs as choices: a label for people and the id."""
    rows = history_rows(statuses)
    return [(f"{row[0]}: {row[2]} types, {row[1]}, {row[3]}", row[5]) for row in rows]


def selection_rows(selection: Selection) -> pd.DataFrame:
    """Return the table of a choice of K with names and figures for people."""
    table = selection.table
    return table.assign(
        **{
            "types": table["n_types"].astype(str),
            "held-out (nats a ranking)": table["held_out"].map("{:.4f}".format),
            "s.e. of the gap": table["held_out_se"].map("{:.4f}".format),
            "BIC": table["bic"].map("{:,.1f}".format),
            "starts at the best": table["n_reached_best"].astype(str)
            + " of "
            + table["n_starts"].astype(str),
            "suggested": table["recommended"].map(lambda chosen: "yes" if chosen else ""),
        }
    ).iloc[:, -6:]
