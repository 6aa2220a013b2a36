"""The one base model of a server and the adapters it carries, for one answer at a time.

Adapters are swapped on the shared model, so a lock is held from the loading to the last token. The
loading itself is done by a thread of its own, so that a visitor sees that it goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from dataclasses import replace
from typing import TYPE_CHECKING

from emdpo.adapters.answers import Message, Partial, Sampling
from emdpo.core.em import StopTest, never

if TYPE_CHECKING:
    from emdpo.chatting import Cast, Talkable

POLL_SECONDS = 0.25


def _same_voices(one: Cast, other: Cast) -> bool:
    """Return whether two casts blend the same adapters, if with other weights."""

    def voices(cast: Cast) -> set[str]:
        return {voice for speaker in cast.speakers.values() for voice in speaker.voices}

    return one.run == other.run and voices(one) == voices(other)


class Models:
    """Loads, holds and swaps what answers; knows nothing of visitors."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="emdpo-model")
        self._held: Talkable | None = None

    def warm(self, cast: Cast) -> None:
        """Begin to load a run's model, unless the model is at work; return at once."""
        if self._is_held(cast) or not self._lock.acquire(blocking=False):
            return
        loading = self._loader.submit(self._load, cast)
        loading.add_done_callback(lambda _: self._lock.release())

    def answers(
        self,
        cast: Cast,
        histories: Sequence[Sequence[Message]],
        names: Sequence[str],
        sampling: Sampling,
        should_stop: StopTest = never,
    ) -> Generator[list[Partial] | None, None, None]:
        """Yield the growing answers, and None now and then while the model is not ready.

        Raises what `chatting.open_run` and `generation.answers` raise.
        """
        while not self._lock.acquire(timeout=POLL_SECONDS):
            if should_stop():
                return
            yield None
        try:
            loading = self._loader.submit(self._load, cast)
            while not wait_for([loading], POLL_SECONDS).done:
                yield None
            yield from loading.result().answers(histories, names, sampling, should_stop)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Let go of the model; nothing answers after that."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._held = None

    def _is_held(self, cast: Cast) -> bool:
        return self._held is not None and self._held.cast == cast

    def _load(self, cast: Cast) -> Talkable:
        """Return the run's model; only ever called by the loader's one thread."""
        from emdpo.chatting import open_run

        held = self._held
        if held is not None and _same_voices(held.cast, cast):
            self._held = replace(held, cast=cast)
            return self._held
        self._held, base = None, None
        if held is not None and held.cast.base_name == cast.base_name:
            base = held.adapted.release()
        self._held = open_run(cast, base)
        return self._held
