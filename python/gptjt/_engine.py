# SPDX-License-Identifier: Apache-2.0
"""The library's engines and sessions as Python objects own them.

Weights are in memory once, however many objects refer to them: an engine is found again by its directory and settings
as long as any object uses it. Sessions are kept by their engine between calls; a call takes one that nobody else has,
so calls from several threads run side by side."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from typing import Callable, Iterator, Optional

from ._calls import Watch
from ._errors import ClosedError, FormatError
from ._library import EngineOptions, Info, ProgressFn, lib, take_text


def find_model(name: Optional[bytes]) -> bytes:
    """The directory of a model, as the program finds it; None: the default."""
    found = ctypes.c_void_p()
    lib.find_model(ctypes.byref(found), name)
    return take_text(found)


class Engine:
    """Owns a gptjt_engine. Use open_engine()."""

    def __init__(self, directory: bytes, options: EngineOptions) -> None:
        self._handle = ctypes.c_void_p()
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[tuple[int, ctypes.c_void_p]] = []  # sessions with their tokens
        self._classifiers: set[Optional[int]] = set()
        lib.engine_open(ctypes.byref(self._handle), directory, ctypes.byref(options))
        self.info = Info()
        lib.engine_info(self._handle, ctypes.byref(self.info))

    def __del__(self, lib=lib, getpid=os.getpid) -> None:  # names that are still there when Python ends
        # In a process that was forked from the owner there are no threads to be ended, only copies of their handles.
        if not getattr(self, "_handle", None) or self._pid != getpid():
            return
        for classifier in self._classifiers:
            lib.classifier_close(classifier)
        for _, session in self._idle:
            lib.session_close(session)
        lib.engine_close(self._handle)

    @property
    def handle(self) -> ctypes.c_void_p:
        if self._pid != os.getpid():
            raise ClosedError("the model was opened in another process, whose threads a fork does not copy: open it "
                              "after the fork")
        return self._handle

    @contextlib.contextmanager
    def session(self, tokens: int, watch: Watch,
                progress: Optional[Callable[[int, int], object]] = None) -> Iterator[ctypes.c_void_p]:
        """A session with room for so many tokens, which is the caller's alone until the end of the block."""
        size, session = self._take(tokens)
        told = ProgressFn(lambda user, done, total: watch.ask(progress, done, total) if progress else watch.go_on())
        lib.session_set_progress(session, told, None)
        try:
            yield session
        finally:
            lib.session_set_progress(session, ProgressFn(), None)
            with self._lock:
                self._idle.append((size, session))

    def _take(self, tokens: int) -> tuple[int, ctypes.c_void_p]:
        handle = self.handle
        with self._lock:
            for i in reversed(range(len(self._idle))):
                if self._idle[i][0] >= tokens:
                    return self._idle.pop(i)
            small = self._idle.pop()[1] if self._idle else None
        if small:
            lib.session_close(small)
        session = ctypes.c_void_p()
        size = max(tokens, self.info.n_positions)
        lib.session_create(ctypes.byref(session), handle, size)
        return size, session

    def add_classifier(self, classifier: ctypes.c_void_p) -> None:
        with self._lock:
            self._classifiers.add(classifier.value)

    def close_classifier(self, classifier: ctypes.c_void_p) -> None:
        with self._lock:
            self._classifiers.discard(classifier.value)
        if self._pid == os.getpid():
            lib.classifier_close(classifier)


_engines: weakref.WeakValueDictionary = weakref.WeakValueDictionary()
_opening = threading.Lock()


def _options_of(settings: dict, mask: int) -> EngineOptions:
    options = EngineOptions()
    lib.engine_options_init(ctypes.byref(options))
    options.prompt_mask = mask
    for name, value in settings.items():
        setattr(options, name, value)
    return options


def open_engine(directory: bytes, settings: dict, mask: int) -> Engine:
    """The engine of a directory with settings of struct gptjt_engine_options, without its prompt_mask: objects with
    different masks share weights, since each request names its own. mask is for a checkpoint that has none that the
    library knows."""
    key = (os.getpid(), os.path.realpath(directory), tuple(sorted(settings.items())))
    with _opening:
        engine = _engines.get(key)
        if engine is None:
            try:
                engine = Engine(directory, _options_of(settings, 0))
            except FormatError:
                if not mask:
                    raise
                engine = Engine(directory, _options_of(settings, mask))
            _engines[key] = engine
        return engine
