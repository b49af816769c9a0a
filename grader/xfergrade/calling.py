"""Running a notebook's cells and calling its functions: in the sandbox, and in a student's own process.

Stands alone: the sandbox sees this file, `wire.py`, `contain.py` and `worker.py`, and nothing else of the grader.
"""

from __future__ import annotations

import builtins
import contextlib
import inspect
import linecache
import random
import re
import sys
import types
from ast import PyCF_ALLOW_TOP_LEVEL_AWAIT
from collections.abc import Callable, Iterator
from typing import Any

from xfergrade import wire

MAX_TEXT, MAX_SKIPPED = 600, 10
Send = Callable[[dict[str, Any], bytes], None]
# Magics that only set up a notebook's looks or show something: nothing is lost where they do nothing.
_LOOKS = {"autoreload", "config", "load_ext", "matplotlib", "pinfo", "pinfo2", "precision", "reload_ext", "who", "whos"}


class Student:
    """What a driver sees of the submission: `student.f` is the student's `f`."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        if name not in self._namespace:
            raise NameError(f"`{name}` is not defined: its cell is missing or failed")
        return self._namespace[name]

    @contextlib.contextmanager
    def stand_in(self, **functions: Any) -> Iterator[None]:
        """Functions under the student's names, for code of the student's that calls them; afterwards all is as before.

        Whatever stands in can be read by the student's code, so it must hold no answer that earns points. For right
        versions of earlier parts there is `Check.given`.
        """
        own = {name: self._namespace[name] for name in functions if name in self._namespace}
        self._namespace.update(functions)
        try:
            yield
        finally:
            for name in functions:
                self._namespace.pop(name, None)
            self._namespace.update(own)


def seed_everything(seed: int) -> None:
    """Seed what is imported, so that student and reference draw the same numbers."""
    random.seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def call(namespace: dict[str, Any], drivers: dict[str, Any], target: str, args: tuple[Any, ...], seed: int) -> Any:
    """Call the student's function `target`, or the driver `drivers.NAME` with the student's functions.

    Raises:
        NameError: there is no such function. Whatever the function raises comes through.
    """
    seed_everything(seed)
    if target.startswith("drivers."):
        return drivers[target.removeprefix("drivers.")](Student(namespace), *args)
    return getattr(Student(namespace), target)(*args)


def load_drivers(source: str | None) -> dict[str, Any]:
    """The functions of an assignment's drivers.py."""
    namespace: dict[str, Any] = {"__name__": "drivers"}
    if source:
        exec(compile(source, "<drivers.py>", "exec", dont_inherit=True), namespace)
    return namespace


# -------------------------------------------------------------------------------------------------- cells as in Jupyter


class Shell:
    """What `get_ipython()` gives here: magics that measure run their code, commands of the system are left out."""

    def __init__(self, namespace: dict[str, Any]) -> None:
        self.user_ns, self.skipped = namespace, list[str]()

    def _skip(self, what: str) -> None:
        if len(self.skipped) < MAX_SKIPPED:
            self.skipped.append(f"`{what.strip()[:80]}` was not run: programs and IPython's commands are not here")

    def run_line_magic(self, name: str, line: str, *_: object, **__: object) -> None:
        if name in ("time", "prun"):
            exec(compile(line, "<magic>", "exec", dont_inherit=True), self.user_ns)
        elif name not in (*_LOOKS, "timeit"):
            self._skip(f"%{name} {line}")

    def run_cell_magic(self, name: str, line: str, cell: str) -> None:
        if name in ("time", "prun", "capture"):
            run_code(compile_cell(f"%%{name}", cell), self.user_ns)
        elif name != "timeit":
            self._skip(f"%%{name} {line}")

    def system(self, line: str) -> None:
        self._skip(f"!{line}")

    def getoutput(self, line: str, *_: object, **__: object) -> list[str]:
        self._skip(f"!{line}")
        return []


def as_python(source: str) -> str:
    """A cell with IPython's own syntax (`%time`, `!ls`, `x = !ls`, `f?`) as Python, by IPython itself where it is."""
    try:
        from IPython.core.inputtransformer2 import TransformerManager

        return str(TransformerManager().transform_cell(source))
    except (ImportError, SyntaxError):
        return re.sub(r"^([ \t]*)[%!].*$", r"\1pass", source, flags=re.MULTILINE)


def compile_cell(name: str, source: str) -> types.CodeType:
    """A cell's code. `await` may stand outside functions, and what is no Python may be IPython.

    Only ever called in the student's process: a crafted source keeps the compiler busy for minutes.
    """
    filename = f"<cell {name}>"
    try:
        code = compile(source, filename, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except SyntaxError:
        source = as_python(source)
        code = compile(source, filename, "exec", PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    # So that what reads a function's own source (torch.jit.script) finds it, as in a notebook.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    return code


def run_code(code: types.CodeType, namespace: dict[str, Any]) -> None:
    """Execute a compiled cell; one that awaits gets an event loop."""
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, namespace)
        return
    import asyncio

    class Loop(asyncio.SelectorEventLoop):
        """Without the pair of sockets by which other threads wake a loop: the sandbox has no sockets."""

        def _make_self_pipe(self) -> None:
            self._ssock = self._csock = None

        def _close_self_pipe(self) -> None:
            pass

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(eval(code, namespace))


def describe(error: BaseException) -> dict[str, Any]:
    """What a student needs to know of an exception: type, message, cell, line. Short, and text only."""
    where, line = "", 0
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if name.startswith("<cell "):
            where, line = name[6:-1], trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and str(error.filename).startswith("<cell "):
        where, line = str(error.filename)[6:-1], error.lineno or 0
    try:
        message = str(error)
        message = message[:MAX_TEXT] + "…" * (len(message) > MAX_TEXT)
    except BaseException:
        message = "(the exception has no readable message)"
    return {"type": type(error).__name__[:80], "message": message, "cell": where, "line": line}


def run_cells(cells: list[tuple[str, str]], send: Send) -> dict[str, Any]:
    """Run cells (id, code) from top to bottom in a fresh `__main__`, a frame after each; the namespace they leave.

    A cell that raises is reported and the next one runs: in a submission everything counts by itself.
    """
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    namespace = vars(main)
    shell = Shell(namespace)
    # In Jupyter both are there without an import.
    vars(builtins).update(display=lambda *_, **__: None, get_ipython=lambda: shell)
    seed_everything(0)  # what a cell draws is the same in every run
    for name, source in cells:
        shell.skipped = []
        try:
            run_code(compile_cell(name, source), namespace)
        except BaseException as error:
            send({"step": f"cell {name}", "error": describe(error)}, b"")
        else:
            send({"step": f"cell {name}", "skipped": shell.skipped}, b"")
    return namespace


def given_functions(cells: list[str], names: list[str]) -> dict[str, Any]:
    """The source's own functions: its cells, run in a namespace of their own."""
    namespace: dict[str, Any] = {"__name__": "given"}
    for number, source in enumerate(cells):
        exec(compile(source, f"<given {number}>", "exec", dont_inherit=True), namespace)
    return {name: namespace[name] for name in names}


def run(job: dict[str, Any], inputs: dict[str, Any], blob: bytes, send: Send) -> None:
    """Run the cells, then the calls, and send a frame after each of them."""
    namespace = run_cells(job["cells"], send)
    drivers = load_drivers(inputs["drivers"])
    given = given_functions(job["given_cells"], job["given"])
    for name in job["calls"]:
        spec, answer = inputs["calls"][name], bytearray()
        try:
            args = wire.decode(spec["args"], blob, tensors=True)
            with Student(namespace).stand_in(**given):
                value = call(namespace, drivers, spec["target"], args, spec["seed"])
        except BaseException as error:
            send({"step": f"call {name}", "error": describe(error)}, b"")
            continue
        try:
            tree = wire.encode(value, answer)
        except BaseException as error:
            # A field of its own: the grader's word about an answer is not told from the text of an exception.
            send({"step": f"call {name}", "unsendable": describe(error)["message"]}, b"")
        else:
            send({"step": f"call {name}", "value": tree}, bytes(answer))
