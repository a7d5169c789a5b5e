"""One V8 isolate by the C functions of mini-racer: a thread of its own, a time and a memory limit.

mini-racer's own classes go through an event loop in a further thread, which takes three quarters of the time
of a small expression.
"""

import ctypes
from queue import Empty, SimpleQueue
from typing import Any

from py_mini_racer import JSOOMException, JSTimeoutException, init_mini_racer
from py_mini_racer._dll import mr_callback_func
from py_mini_racer._objects import _ERRORS, _MiniRacerTypes

# What V8 may take to notice that it shall stop.
STOPPING = 5.0
ONLY_TASK = 1


def start() -> Any:
    """The library, V8 ready: reads its files, starts no thread; calling twice is harmless."""
    return init_mini_racer(ignore_duplicate_init=True)


class Context:
    """Evaluates scripts, one after the other; their globals stay."""

    def __init__(self, max_memory: int) -> None:
        self._library = start()
        self._done: SimpleQueue[Any] = SimpleQueue()

        @mr_callback_func
        def done(callback_id: int, raw_val_handle: Any) -> None:
            self._done.put(raw_val_handle)

        # The library calls it as long as the context lives.
        self._callback = done
        self._context = self._library.mr_init_context(done)
        self._library.mr_set_hard_memory_limit(self._context, max_memory)

    def run(self, code: str, seconds: float) -> str | None:
        """The text that a script gives; None for another value.

        Raises JSTimeoutException, after which the context is of no use any more, JSOOMException and
        JSEvalException.
        """
        text = code.encode(errors="surrogatepass")
        script = self._library.mr_alloc_string_val(self._context, text, len(text), _MiniRacerTypes.str_utf8)
        task = self._library.mr_eval(self._context, script, ONLY_TASK)
        try:
            found = self._done.get(timeout=seconds)
        except Empty:
            self._stop(task)
            raise JSTimeoutException from None
        self._library.mr_free_value(self._context, script)
        try:
            return _text(found.contents)
        finally:
            self._library.mr_free_value(self._context, found)

    def close(self) -> None:
        """End its thread."""
        if self._context is not None:
            self._library.mr_free_context(self._context)
            self._context = None

    def _stop(self, task: int) -> None:
        self._library.mr_cancel_task(self._context, task)
        try:
            self._done.get(timeout=STOPPING)
        except Empty:
            raise JSOOMException("V8 does not stop") from None


def _text(raw: Any) -> str | None:
    kind = raw.type
    if kind == _MiniRacerTypes.str_utf8:
        return ctypes.string_at(raw.value.bytes_val, raw.len).decode()
    if kind in _ERRORS:
        error, words = _ERRORS[kind]
        raise error(ctypes.string_at(raw.value.bytes_val, raw.len).decode(errors="replace") or words)
    return None
