# SPDX-License-Identifier: Apache-2.0
"""Long calls, so that they can be stopped.

Python runs the handlers of signals in the main thread only, between instructions of Python. So what may take long runs
in a thread of its own, and the caller waits where Ctrl-C, or whatever else a handler raises, reaches it at once. The
library asks callbacks every few milliseconds to seconds whether to go on; they run in that thread."""

from __future__ import annotations

import threading
from typing import Callable, Optional, TypeVar

from ._errors import CancelledError

T = TypeVar("T")


class Watch:
    """Whether a call is to go on, and what a callback of the user raised."""

    def __init__(self) -> None:
        self.stopped = False
        self.error: Optional[BaseException] = None

    def ask(self, function: Callable[..., object], *arguments: object) -> bool:
        """Calls the user's function, unless the call is to stop. What comes out is the answer to the library."""
        if self.stopped:
            return False
        try:
            function(*arguments)
        except BaseException as e:  # nothing may pass through the library
            self.error = e
            self.stopped = True
        return not self.stopped

    def go_on(self) -> bool:
        return not self.stopped


def run(watch: Watch, work: Callable[[], T]) -> T:
    """The result of work(), or what it or a callback raised."""
    finished = threading.Event()
    outcome: list = []

    def compute() -> None:
        try:
            outcome.append((work(), None))
        except BaseException as e:
            outcome.append((None, e))
        finished.set()

    thread = threading.Thread(target=compute, name="gptjt")
    try:
        thread.start()
        finished.wait()
    except BaseException:
        watch.stopped = True
        if thread.ident is not None:  # it has begun
            finished.wait()
        raise
    result, error = outcome.pop()
    if error is None:
        return result
    if watch.error is not None and isinstance(error, CancelledError):
        raise watch.error
    raise error
