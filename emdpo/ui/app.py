"""The pages: a workbench with tabs in the order of the work; Learn; Collect; Compare."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import gradio as gr
from gradio.components import Navbar
from starlette.routing import Mount

from emdpo.collect.routes import MOUNTED_AT, collect_app
from emdpo.ui import audit_tab, chat_tab, data_tab, fit_tab, types_tab
from emdpo.ui.api import add_endpoints
from emdpo.ui.collect import page as collect_page
from emdpo.ui.collect.runs import forget_stale
from emdpo.ui.collect.told import told
from emdpo.ui.data_tab import load_demo
from emdpo.ui.figures import FIT_FIGURES
from emdpo.ui.head_to_head import page as compare_page
from emdpo.ui.learn import page as learn_page
from emdpo.ui.session import SHOW_RUN_IN_ADDRESS, Session, attach, new_session, remember
from emdpo.ui.strip import strip_html
from emdpo.ui.theme import theme
from emdpo.ui.workplace import Workplace

TITLE = "emdpo"

INTRODUCTION = (
    "# emdpo\nPeople disagree about which answer is best, and not at random. Find the "
    "**preference types** behind rankings, and see **who is badly served** by a model for all."
)

STYLES = ("style.css", "collect.css", "head_to_head.css")

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build_app(place: Workplace) -> gr.Blocks:
    """Return the pages over a workplace; the workbench is the one without a path."""
    with gr.Blocks(title=TITLE, delete_cache=(3600, 21600), analytics_enabled=False) as app:
        Navbar(main_page_name="Workbench")
        session = new_session()
        gr.Markdown(INTRODUCTION, elem_id="introduction")
        strip = gr.HTML(strip_html(place, "", ""), elem_id="strip")
        with gr.Tabs(elem_id="tabs") as tabs:
            with gr.Tab("1 Data", id="data"):
                data = data_tab.build(place, session.data_id)
            with gr.Tab("2 Fit", id="fit"):
                fit = fit_tab.build(place, session)
            with gr.Tab("3 Types", id="types"):
                types_tab.build(place, session, tabs)
            with gr.Tab("4 Chat", id="chat") as chat:
                chat_tab.build(place, session, chat)
            with gr.Tab("5 Audit", id="audit"):
                audit_tab.build(place, session)
        fit.demo.click(partial(load_demo, place), outputs=[session.data_id, data.status], **PRIVATE)
        _remember(app, place, session, strip)
        gr.on([tabs.change, session.milestone.change], None, js=FIT_FIGURES, **PRIVATE)
        add_endpoints(place)
    with app.route("Learn", "/learn"):
        Navbar(main_page_name="Workbench")
        learn_page.build(app)
    with app.route("Collect", "/collect"):
        Navbar(main_page_name="Workbench")
        collect_page.build(app, place)
    with app.route("Compare", "/compare"):
        Navbar(main_page_name="Workbench")
        compare_page.build(app, place)
    return app.queue(default_concurrency_limit=4, max_size=32, api_open=False)


def _remember(app: gr.Blocks, place: Workplace, session: Session, strip: gr.HTML) -> None:
    """Connect the ids of the page with its browser, its address and the strip on top."""
    ids = [session.data_id, session.run_id, session.choice_id]

    def begin(mine: Any, data: str, run: str, choice: str, request: gr.Request) -> list[Any]:
        return attach(place, mine, (data, run, choice), request.query_params.get("run"))

    app.load(begin, [session.mine, *ids], ids, **PRIVATE)
    changes = [state.change for state in ids]
    gr.on(changes, remember, [session.mine, *ids], session.mine, **PRIVATE)
    session.mine.change(None, session.mine, js=SHOW_RUN_IN_ADDRESS, **PRIVATE)
    gr.on(
        [session.data_id.change, session.milestone.change],
        partial(strip_html, place),
        [session.data_id, session.run_id],
        strip,
        **PRIVATE,
    )


def launch_settings(place: Workplace) -> dict[str, Any]:
    """Return the settings of every launch: what visitors may reach, and how the page looks.

    The page of people in rooms is served beside this one.
    """
    people = collect_app(place.rooms, partial(told, place), partial(forget_stale, place))
    return {
        "app_kwargs": {"routes": [Mount(MOUNTED_AT, people)]},
        "max_file_size": "50mb",
        "allowed_paths": [],
        "ssr_mode": False,
        "run_history": False,
        "footer_links": ["api", "settings"],
        "theme": theme(),
        "css_paths": [Path(__file__).with_name(name) for name in STYLES],
    }


def launch(host: str | None = None, port: int | None = None) -> None:
    """Serve the page until the process is told to end; then end its jobs.

    Parameters
    ----------
    host
        Address to listen on; by default this machine only, or $GRADIO_SERVER_NAME.
    port
        By default $GRADIO_SERVER_PORT or the first free one from 7860.
    """
    place = Workplace()
    atexit.register(place.close)
    os.environ.setdefault("GRADIO_TEMP_DIR", str(place.copies / "gradio"))
    forget_stale(place)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    build_app(place).launch(server_name=host, server_port=port, **launch_settings(place))
