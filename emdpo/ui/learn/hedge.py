"""Part of figure 3: Hedge played round by round beside the linear programme."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.core.aggregation import min_max_regret_mixture
from emdpo.core.hedge import HedgeRounds, hedge_rounds
from emdpo.learn.triangle import EXAMPLE, ThreeTypes
from emdpo.plots.learning_hedge import hedge_gap_figure, hedge_path_figure
from emdpo.plots.theme import type_name
from emdpo.ui.learn.parts import LIVE
from emdpo.ui.markup import facts

LENGTHS = (20, 100, 500)
"""Rounds that a game can have; the learning rate is chosen for them."""

PLAY = "(length, shown) => Math.min(Math.max(shown + %d, 1), length)"
"""Counted by the browser, so that of fast clicks none is lost."""


def build(sizes: list[gr.Slider]) -> None:
    """Lay the part out and connect it; the types' sizes are those of the triangle."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            length = gr.Radio(
                list(LENGTHS),
                value=100,
                label="Rounds of the game",
                info="More rounds: smaller steps, and nearer in the end.",
                elem_id="hedge-length",
            )
            shown = gr.Slider(
                1,
                100,
                value=1,
                step=1,
                label="Rounds played",
                info="Play on with the buttons, or move this.",
                elem_id="hedge-shown",
                buttons=[],
            )
            with gr.Row():
                one = gr.Button("One round", min_width=90, elem_id="hedge-one")
                ten = gr.Button("Ten rounds", min_width=90, elem_id="hedge-ten")
                every = gr.Button("To the end", min_width=90, elem_id="hedge-all")
                again = gr.Button("Start again", min_width=90, elem_id="hedge-again")
            state = gr.HTML(elem_id="hedge-state")
        path = gr.Plot(label="The path", show_label=False, scale=1, min_width=300)
        gap = gr.Plot(label="The gap", show_label=False, scale=1, min_width=300)
    gr.on(None, _show, [*sizes, length, shown], [state, path, gap], **LIVE)
    length.input(lambda n: gr.Slider(value=1, maximum=n), length, shown, **LIVE)
    for button, step in ((one, 1), (ten, 10), (every, max(LENGTHS)), (again, -max(LENGTHS))):
        button.click(None, [length, shown], shown, js=PLAY % step, api_visibility="private")


def _show(*settings: Any) -> list[Any]:
    *sizes, length, shown = settings
    types = EXAMPLE.sized(sizes)
    rounds = hedge_rounds(types.regret_matrix, int(length))
    shown = min(max(int(shown), 1), int(length))
    return [
        _state_html(types, rounds, shown),
        hedge_path_figure(types, rounds, shown),
        hedge_gap_figure(types, rounds, shown),
    ]


def _state_html(types: ThreeTypes, rounds: HedgeRounds, shown: int) -> str:
    """Return where the game stands, beside the linear programme."""
    last, exact = shown - 1, min_max_regret_mixture(types.regret_matrix, types.shares)

    def shares(weights: Any) -> str:
        return " / ".join(f"{share:.1%}" for share in weights)

    return facts(
        [
            ("Round", f"{shown:,}"),
            ("Played in it", shares(rounds.played[last])),
            ("Worst off then", type_name(int(rounds.picked[last]))),
            ("Mean so far", shares(rounds.average[last])),
            ("Its worst regret", f"{rounds.worst[last]:.3f}"),
            ("Gap, at most off by", f"{rounds.gap[last]:.3f}"),
            ("Gap proven beforehand", f"{rounds.bound[last]:.3f}"),
            ("Linear programme", shares(exact.weights)),
            ("Its worst regret, LP", f"{exact.value:.3f}"),
        ]
    )
