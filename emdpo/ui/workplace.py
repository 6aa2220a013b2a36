"""What a server holds for its visitors: jobs, data and results, each known by an unguessable id."""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from emdpo import files
from emdpo.bundles import pack, unpack
from emdpo.chosen import CHOSEN, Chosen, check_chosen, chosen_settings, save_chosen
from emdpo.core.errors import RunError
from emdpo.demo import demo_file
from emdpo.jobs import Jobs, folder_of, result_of, runs_home
from emdpo.jobs.children import input_file
from emdpo.jobs.folder import UPLOAD, JobStatus
from emdpo.ui.copies import Copies
from emdpo.ui.datasets import DataSet, folder_of_data, given_files, keep_files, read_data
from emdpo.ui.hosting import check_base_model, is_public
from emdpo.ui.models import Models
from emdpo.ui.talks import Talks

if TYPE_CHECKING:
    from emdpo.adapters.estimated import Estimate
    from emdpo.chatting import Cast
    from emdpo.collect.database import Database
    from emdpo.core.audit import Audit
    from emdpo.core.selection import Selection
    from emdpo.fitting import Fit
    from emdpo.head_to_head.comparison import Comparison

DEMO_NAME = "demo (simulated raters)"
OWN_DEMO_NAME = "demo (simulated raters), a copy"
CLASSROOM_NAME = "classroom example (simulated pupils)"

PUBLIC_SECONDS = 3600.0
"""Longest job where strangers wait for their turn; it is stopped then, and can go on."""

_DEMO_SECONDS = 12 * 3600.0

T = TypeVar("T")


class Recent:
    """The results made last, by key; the longest unused is forgotten."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return what is held under `key`, made now if need be."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        made = make()
        with self._lock:
            self._held[key] = made
            while len(self._held) > self._size:
                self._held.popitem(last=False)
        return made


class Workplace:
    """Everything that outlives a single event, for all visitors of one server."""

    def __init__(self, home: Path | None = None) -> None:
        self.home = home or runs_home()
        self.jobs = Jobs(self.home, time_limit=PUBLIC_SECONDS if is_public() else math.inf)
        self._uploads = self.home / "uploads"
        self.models, self.talks = Models(), Talks()
        self._data, self._results = Recent(6), Recent(48)
        self._copies = Copies(self.home)

    @property
    def copies(self) -> Path:
        """Folder of this server alone for what it copies for visitors; removed with it."""
        return self._copies.folder

    @cached_property
    def rooms(self) -> Database:
        """Where rooms and their answers are kept; opened when first asked for."""
        from emdpo.collect.database import Database

        return Database.at(self.home)

    def remove_run(self, run_id: str) -> bool:
        """Delete a run with all its files, also those for downloads; whether they are gone."""
        shutil.rmtree(self.downloads(run_id), ignore_errors=True)
        return self.jobs.remove(run_id)

    def add_data(
        self,
        rankings: Path,
        users: Path | None = None,
        columns: Mapping[str, str | None] | None = None,
        name: str | None = None,
    ) -> str:
        """Take in a visitor's files and return the id of the data."""
        return keep_files(self._uploads, rankings, users, columns, name or rankings.name)

    def add_demo(self, file: str = "rankings.csv", name: str = DEMO_NAME) -> str:
        """Take in one of our own files and return the id of the data, the same for half a day."""
        key = ("demo", file, time.time() // _DEMO_SECONDS)
        return self._results.get(key, lambda: self.add_data(demo_file(file), name=name))

    def correct_columns(self, data_id: str, columns: Mapping[str, str | None]) -> str:
        """Read the same files with other columns; return the id of what comes out."""
        folder = folder_of_data(self._uploads, data_id)
        rankings, users = given_files(folder)
        return self.add_data(rankings, users, columns, self.data(data_id).name)

    def data(self, data_id: str) -> DataSet:
        """Return what was read of the data; RunError where they are gone."""
        folder = folder_of_data(self._uploads, data_id)
        return self._data.get(data_id, lambda: read_data(folder))

    def has_data(self, data_id: object) -> bool:
        """Return whether data of this id, which may come from anybody, are still here."""
        try:
            return bool(folder_of_data(self._uploads, data_id))
        except RunError:
            return False

    def status(self, run_id: str) -> JobStatus:
        """Return where a job stands; RunError where there is none."""
        return self.jobs.status(run_id)

    def version(self, run_id: str) -> str:
        """Return a text that changes whenever the run has another result."""
        return str(result_of(self.home, run_id).stat().st_mtime_ns)

    def chosen_version(self, run_id: str) -> str:
        """Return a text that changes whenever another policy is saved for the run."""
        path = folder_of(self.home, run_id) / "audit" / CHOSEN
        return str(path.stat().st_mtime_ns) if path.exists() else ""

    def audited_version(self, run_id: str) -> str:
        """Return a text that changes whenever the run's audit was written again."""
        path = folder_of(self.home, run_id) / "audit" / "audit.json"
        return str(path.stat().st_mtime_ns) if path.exists() else ""

    def choose(self, run_id: str, chosen: Chosen) -> str:
        """Save a policy for a run, and return the run's id; EmdpoError where it does not fit.

        The shipped run is everybody's: a visitor who saves there gets a copy.
        """
        from emdpo.runs import finished_summary

        about = finished_summary(folder_of(self.home, run_id))
        check_chosen(chosen, about["weights"], about["n_users"])
        status = self.status(run_id)
        if status.kind == UPLOAD and status.name == DEMO_NAME:
            run_id = self._copy(folder_of(self.home, run_id), OWN_DEMO_NAME)
        save_chosen(folder_of(self.home, run_id), chosen)
        return run_id

    def derived(self, run_id: str, what: Hashable, make: Callable[[Fit], T]) -> T:
        """Return what `make` says of a run's fit, remembered under `what`."""
        key = (run_id, self.version(run_id), what)
        return self._results.get(key, lambda: make(self.fit(run_id)))

    def fit(self, run_id: str) -> Fit:
        """Return the fit of a finished run; RunError where it has none."""
        from emdpo.runs import load_fit

        key = (run_id, self.version(run_id), "fit")
        return self._results.get(key, lambda: load_fit(folder_of(self.home, run_id)))

    def audit(self, run_id: str) -> Audit:
        """Return the audit of a run by every attribute, also written into its folder.

        With what takes long and was computed before or since, as by `emdpo audit --sampled`, and
        the policy that was saved, also while this page was open.
        """
        from emdpo.auditing import audit, keep_audit, with_kept

        folder = folder_of(self.home, run_id)

        def make(fit: Fit) -> Audit:
            try:
                given = chosen_settings(folder, fit.n_types)
            except RunError as error:
                raise RunError(str(error).replace(f"{folder}", "this run")) from None
            result = audit(fit, **given)
            keep_audit(result, fit, folder)
            return result

        what = ("audit", self.chosen_version(run_id))
        result = self.derived(run_id, what, make)
        written = (folder / "audit" / "audit.json").stat().st_mtime_ns
        key = (run_id, self.version(run_id), *what, written)
        return self._results.get(key, lambda: with_kept(result, self.fit(run_id), folder))

    def cast(self, run_id: str) -> Cast:
        """Return who can answer for a run; RunError where nobody can.

        A run that came as a file may name any base model, and so make the server load or fetch it:
        only what this server offers is taken.
        """
        from emdpo.chatting import cast_of

        folder = folder_of(self.home, run_id)

        def make() -> Cast:
            try:
                return cast_of(folder)
            except RunError as error:
                raise RunError(str(error).replace(f"{folder}", "this run")) from None

        key = (run_id, self.version(run_id), "cast", self.chosen_version(run_id))
        cast = self._results.get(key, make)
        check_base_model(cast.base_name, from_file=self.status(run_id).kind == UPLOAD)
        return cast

    def selection(self, job_id: str) -> Selection:
        """Return what a finished choice of the number of types says."""
        import pandas as pd

        from emdpo.core.selection import Selection

        held = files.read_json(result_of(self.home, job_id))
        table = pd.DataFrame(held["table"])
        return Selection(table, held["recommended"], held["reason"], held["held_out"])

    def estimate(self, job_id: str) -> Estimate:
        """Return what a finished estimate says."""
        from emdpo.adapters.estimated import Estimate

        return Estimate(**files.read_json(result_of(self.home, job_id)))

    def comparison(self, job_id: str) -> Comparison:
        """Return what a finished comparison of methods found."""
        from emdpo.head_to_head.comparison import Comparison

        path = result_of(self.home, job_id)
        return self._results.get(
            (job_id, "comparison"), lambda: Comparison.from_dict(files.read_json(path))
        )

    def comparison_bundle(self, job_id: str) -> Path:
        """Return a zip of everything about a comparison, written for this download."""
        from emdpo.head_to_head.export import compare_command, write_comparison

        found, config = self.comparison(job_id), dict(self.status(job_id).config)
        simulation, names = config.pop("simulation", None), config.pop("files", {})
        command = compare_command(
            simulation or names["rankings"],
            names.get("users"),
            simulation=simulation is not None,
            **{**config, "methods": found.methods},
        )
        copies = {role: input_file(folder_of(self.home, job_id), role) for role in names}
        data = {name: copy for role, name in names.items() if (copy := copies[role])}
        path = self.downloads(job_id) / f"emdpo-comparison-{job_id[:6]}.zip"
        return write_comparison(found, path, command, data)

    def bundle(self, run_id: str) -> Path:
        """Return a zip of the run, written for this download."""
        path = self.downloads(run_id) / f"emdpo-run-{run_id[:6]}.zip"
        files.write_with(path, partial(pack, folder_of(self.home, run_id)))
        return path

    def add_bundle(self, bundle: Path, name: str) -> str:
        """Take in a run that was downloaded before and return its new id."""
        with tempfile.TemporaryDirectory(dir=self.copies) as work:
            folder = Path(work) / "run"
            fit = unpack(bundle, folder)
            return self.jobs.add_upload(folder, name, fit.config.to_dict())

    def add_demo_run(self) -> str:
        """Take in a copy of the shipped run with adapters; its id, the same for half a day."""
        key = ("demo run", time.time() // _DEMO_SECONDS)
        return self._results.get(key, self._copy_demo_run)

    def _copy_demo_run(self) -> str:
        from emdpo.demo import demo_run

        shipped = demo_run()
        if shipped is None:
            raise RunError("this installation comes without the run whose types answer")
        return self._copy(shipped, DEMO_NAME)

    def _copy(self, run: Path, name: str) -> str:
        """Take in a copy of a finished run and return its id."""
        from emdpo.runs import finished_summary

        with tempfile.TemporaryDirectory(dir=self.copies) as work:
            folder = Path(work) / "run"
            shutil.copytree(run, folder, ignore=shutil.ignore_patterns("job"))
            return self.jobs.add_upload(folder, name, finished_summary(folder)["config"])

    def downloads(self, run_id: str) -> Path:
        """Return a folder of our own for the files that visitors of this run download."""
        folder = self.copies / folder_of(self.home, run_id).name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def talk_downloads(self, talk_id: str) -> Path:
        """Return a folder of our own for the files of one conversation."""
        digest = hashlib.sha256(talk_id.encode()).hexdigest()[:20]
        folder = self.copies / "talks" / digest
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def room_downloads(self) -> Path:
        """Return a folder of our own for the tables that owners of rooms download, by room."""
        folder = self.copies / "rooms"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def close(self) -> None:
        """End the jobs and remove what was copied for visitors."""
        self.models.close()
        self.jobs.close()
        if "rooms" in vars(self):
            self.rooms.close()
        self._copies.close()
