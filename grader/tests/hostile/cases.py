"""Hostile, broken and careless submissions to the example assignment, and what each of them gets.

The example assignment gives 4 points for `class_means` and 4 for `nearest_mean`. Most cases leave the first honest and
attack from the second. Where an attack can be tried and then followed by honest work, the code answers rightly only if
the attack was stopped, so that full marks mean "contained, and graded for what it honestly does".

`@SECRET@`, `@CHECKS@`, `@CLASS@`, `@OUT@` and `@PORT@` stand for the instructor's files and for a server on the host.
Run this file to write the table in README.md.
"""

# ruff: noqa: E501  (the submissions stand here as one string a line)

from __future__ import annotations

import base64
import io
import json
import os
import stat
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ASSIGNMENT = HERE.parent / "coursework" / "00_class_means"
FULL, HALF, NONE = 8, 4, 0

MEANS = '''def class_means(features, labels, k):
    means = np.zeros((k, features.shape[1]), dtype=features.dtype)
    for c in range(k):
        if (labels == c).any():
            means[c] = features[labels == c].mean(axis=0)
    return means
'''
NEAREST = '''def nearest_mean(features, means):
    return torch.cdist(features, means).argmin(dim=1)
'''
WRONG = "torch.zeros(len(features), dtype=torch.int64)"
HONEST = "torch.cdist(features, means).argmin(dim=1)"


def body(text: str, *, before: str = "") -> str:
    """A cell that defines `nearest_mean` with this body."""
    lines = "\n".join("    " + line for line in text.strip("\n").split("\n"))
    return f"{before.strip()}\n\ndef nearest_mean(features, means):\n{lines}\n"


def attempt(attack: str, *, imports: str = "", wall: str = "(OSError, RuntimeError)") -> str:
    """A cell whose answer is right only if the attack was refused."""
    lines = "\n".join("    " + line for line in attack.strip("\n").split("\n"))
    return body(f"try:\n{lines}\nexcept {wall}:\n    return {HONEST}\nreturn {WRONG}", before=imports)


@dataclass(frozen=True)
class Case:
    """One submission: what it tries, its code by cell or its files, the points it gets, a word of the feedback."""

    name: str
    tries: str
    points: int
    cells: dict[str, str] = field(default_factory=dict)
    files: Callable[[Path, str], None] | None = None
    says: str = ""


def code(name: str, tries: str, points: int, nearest: str, *, means: str = MEANS, says: str = "") -> Case:
    return Case(name, tries, points, {"class_means": means, "nearest_mean": nearest}, says=says)


# ---------------------------------------------------------------------------------------------- time, memory, disk

CODE = [
    code("endless_loop", "loops for ever", HALF, body("while True:\n    pass"), says="did not finish within"),
    code(
        "endless_loop_that_swallows_interrupts", "ignores every signal, catches every exception, loops", HALF,
        body(
            "for s in range(1, 65):\n    try:\n        signal.signal(s, signal.SIG_IGN)\n    except (OSError, ValueError):\n"
            "        pass\nwhile True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass",
            before="import signal",
        ),
        says="did not finish within",
    ),
    code("sleeps", "sleeps for thirty years", HALF, body("time.sleep(1e9)", before="import time"), says="did not finish"),
    code("computes_in_c", "holds the interpreter in one huge power", HALF, body("return 9 ** 9 ** 9"), says="did not finish"),
    code("top_level_loop", "loops in the cell itself: the cell is lost, the others count", 3, NEAREST,
         means="while True:\n    pass\n" + MEANS, says="cell class_means: did not finish"),
    code("fork_bomb", "forks for ever", FULL, attempt("while True:\n    os.fork()", imports="import os")),
    code("spawns_programs", "starts a shell", FULL,
         attempt("subprocess.run(['/bin/sh', '-c', 'sleep 1'], check=True)", imports="import subprocess")),
    code("replaces_the_program", "execs another program", FULL, attempt("os.execv('/bin/true', ['true'])", imports="import os")),
    code("thread_bomb", "starts threads until it cannot", FULL,
         attempt("while True:\n    threading.Thread(target=time.sleep, args=(99,), daemon=True).start()",
                 imports="import threading, time")),
    code("memory_python", "fills memory with bytes", FULL,
         attempt("hoard = []\nwhile True:\n    hoard.append(bytearray(50_000_000))", wall="MemoryError")),
    code("memory_torch", "asks torch for 400 GB", FULL, attempt("torch.ones(100_000_000_000)", wall="RuntimeError")),
    code("memory_shared_map", "maps shared memory, which data limits do not count", FULL,
         attempt("hoard = []\nwhile True:\n    hoard.append(mmap.mmap(-1, 100_000_000))",
                 imports="import mmap", wall="(OSError, MemoryError)")),
    code("memory_files", "keeps memory in anonymous files", FULL,
         attempt("while True:\n    os.write(os.memfd_create('hoard'), bytes(10_000_000))", imports="import os")),
    code("disk_one_file", "writes one endless file", FULL,
         attempt("with open('/tmp/fill', 'wb') as file:\n    while True:\n        file.write(bytes(1_000_000))")),
    code("disk_many_files", "makes files until there is no room for names", FULL,
         attempt("i = 0\nwhile True:\n    i += 1\n    open(f'/tmp/{i}', 'wb').close()")),
    code("disk_elsewhere", "writes wherever it can outside /tmp", FULL,
         attempt("""
done = 0
for folder in ('/', '/dev', '/dev/shm/..', '/grader', '/usr', '/home', '/root', '/var/tmp', np.__path__[0], '/proc'):
    try:
        open(folder + '/loot', 'w').close()
        done += 1
    except OSError:
        pass
if not done:
    raise RuntimeError""")),
    code("output_flood", "prints two gigabytes, then works honestly", FULL,
         body(f"for _ in range(500):\n    os.write(1, bytes(4_000_000))\n    os.write(2, b'x')\nreturn {HONEST}", before="import os")),
    code("answer_flood", "writes without end to every open descriptor", HALF,
         body("while True:\n    for d in range(3, 64):\n        try:\n            os.write(d, bytes(1_000_000))\n"
              "        except OSError:\n            pass", before="import os"), says="agreed format"),
    code("huge_answer", "returns 40 MB", HALF, body("return torch.zeros(10_000_000)"), says="too large"),
    code("deep_answer", "returns a list nested 5,000 deep", HALF,
         body("x = []\nfor _ in range(5000):\n    x = [x]\nreturn x"), says="nested"),
    code("self_containing_answer", "returns a list that contains itself", HALF, body("x = []\nx.append(x)\nreturn x"), says="nested"),
    code("huge_error", "raises an exception with a message of 50 MB", HALF, body("raise ValueError('x' * 50_000_000)"), says="ValueError"),
    code("hogs_the_processors", "computes in 24 threads, to slow down the others and its own clock", HALF,
         body("for _ in range(24):\n    threading.Thread(target=spin, daemon=True).start()\nspin()",
              before="import threading\n\ndef spin():\n    while True:\n        pass"), says="did not finish within"),
    code("drips_its_answer", "announces an answer and sends one byte after the other", HALF,
         body("os.write(3, struct.pack('<4sII', b'XFG1', 1_000_000, 0))\nwhile True:\n    os.write(3, b' ')\n    time.sleep(0.01)",
              before="import os, struct, time"), says="did not finish within"),
    code("blank_lines", "150,000 blank lines in a cell that does not parse, against searches for magics that go back and forth", HALF,
         "def nearest_mean(" + "\n" * 150_000, says="SyntaxError"),
    code("endless_recursion", "calls itself for ever", HALF, body("return nearest_mean(features, means)"), says="RecursionError"),
]  # fmt: skip

# ------------------------------------------------------------------------------------------- files, network, processes

CODE += [
    code("deletes_files", "deletes the grader, a package and all else it finds, then works honestly", FULL,
         body(f"for path in ('/grader', np.__path__[0] + '/linalg', '/etc', '/dev', '/tmp'):\n"
              f"    shutil.rmtree(path, ignore_errors=True)\nreturn {HONEST}", before="import shutil")),
    code("overwrites_numpy", "writes into NumPy's own file", FULL, attempt("open(np.__file__, 'a').write('boom')")),
    code("reads_the_secret", "opens the instructor's secret", FULL, attempt("open('@SECRET@').read()")),
    code("reads_the_checks", "opens the assignment's checks", FULL, attempt("open('@CHECKS@').read()")),
    code("reads_the_comparison", "imports the grader's code that compares", FULL,
         attempt("import xfergrade.compare", wall="ImportError")),
    code("reads_other_students", "lists the class's submissions", FULL,
         attempt("os.listdir('@CLASS@')", imports="import os")),
    code("writes_its_grade", "appends to the table of grades and the journal", FULL,
         attempt("open('@OUT@/grades.csv', 'a').write('me,8')\nopen('@OUT@/journal.jsonl', 'a').write('{}')")),
    code("reads_proc", "reads the memory of other processes", FULL,
         attempt("for pid in range(1, 100):\n    try:\n        open(f'/proc/{pid}/mem', 'rb').read(1)\n"
                 "        break\n    except FileNotFoundError:\n        pass\nelse:\n    raise OSError")),
    code("looks_at_the_environment", "looks for secrets in the environment", FULL,
         attempt("if not [k for k in os.environ if k.startswith('XFER') or 'SECRET' in k or 'TOKEN' in k]:\n    raise OSError",
                 imports="import os")),
    code("connects_to_the_host", "connects to a server on the host", FULL,
         attempt("socket.create_connection(('127.0.0.1', @PORT@), timeout=1)", imports="import socket")),
    code("asks_the_network", "fetches a page", FULL,
         attempt("urllib.request.urlopen('http://192.0.2.1/', timeout=1)", imports="import urllib.request")),
    code("listens", "opens a server for its friends", FULL,
         attempt("socket.socket(socket.AF_UNIX).bind('\\0friends')", imports="import socket")),
    code("binds_half_a_pair", "gives one end of a pair of sockets an address for its friends", FULL,
         attempt("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].bind('\\0friends')", imports="import socket")),
    code("dumps_core", "asks for core files, which some systems collect on the host's disk", FULL,
         attempt("libc = ctypes.CDLL(None)\nif libc.prctl(3, 0, 0, 0, 0) == 0 and libc.prctl(4, 1, 0, 0, 0) == -1:\n    raise OSError",
                 imports="import ctypes")),
    code("becomes_root", "takes user id 0 back", FULL, attempt("os.setresuid(0, 0, 0)", imports="import os")),
    code("new_user_namespace", "makes a namespace in which it is root, and mounts", FULL,
         attempt("""
libc = ctypes.CDLL(None)
results = [libc.unshare(0x10000000), libc.unshare(0x20000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, None),
           libc.umount2(b'/proc', 2), libc.umount2(b'/tmp', 2), libc.setns(0, 0), libc.chroot(b'/tmp')]
if all(r == -1 for r in results):
    raise OSError""", imports="import ctypes")),
    code("raises_its_limits", "lifts the limits on memory and files", FULL,
         attempt("resource.setrlimit(resource.RLIMIT_AS, (-1, -1))", imports="import resource", wall="(OSError, ValueError)")),
    code("traces_processes", "attaches to another process", FULL,
         attempt("if ctypes.CDLL(None).ptrace(16, 2, None, None) == -1:\n    raise OSError", imports="import ctypes")),
    code("kills_everything", "kills every process it can name", FULL,
         body(f"for pid in (-1, 2, 3, 4, 5, 6, 7, 8, 9, 10, os.getppid()):\n    try:\n        os.kill(pid, 9)\n    except OSError:\n"
              f"        pass\nreturn {HONEST}", before="import os")),
    code("a_leaves_loot", "honest, but leaves its code for the next submission wherever it can", FULL,
         body(f"""
for place in ('/tmp/loot', '/dev/shm/loot', '/var/tmp/loot', '/loot'):
    try:
        open(place, 'w').write('loot')
        os.chmod(place, 0o777)
    except OSError:
        pass
torch.loot = np.loot = True
return {HONEST}""", before="import os")),
    code("b_takes_loot", "looks for what the one before left", FULL,
         attempt("if not (os.path.exists('/tmp/loot') or os.path.exists('/dev/shm/loot') or hasattr(torch, 'loot')):\n    raise OSError",
                 imports="import os")),
]  # fmt: skip

# ------------------------------------------------------------------------------------------------------------- forging

CODE += [
    code("forges_eq", "returns a tensor that says it equals everything", HALF,
         body("return torch.zeros(len(features), dtype=torch.int64).as_subclass(Yes)", before="""
class Yes(torch.Tensor):
    def __eq__(self, other): return torch.ones((), dtype=torch.bool)
    def __ne__(self, other): return torch.zeros((), dtype=torch.bool)
    def all(self, *a, **k): return torch.ones((), dtype=torch.bool)
    def __bool__(self): return True
    __hash__ = None"""), says="values are wrong"),
    code("forges_comparisons", "returns an object with __eq__, __lt__, __float__, __array__", HALF,
         body("return Yes()", before="""
class Yes:
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    def __float__(self): return 1.0
    def __len__(self): return 1
    def __array__(self, *a, **k): return np.zeros(1)
    dtype, shape = torch.int64, (1,)"""), says="cannot be handed back"),
    code("forges_an_int", "returns an int whose __eq__ is always true", HALF,
         body("return Yes(3)", before="class Yes(int):\n    def __eq__(self, other): return True\n    __hash__ = None")),
    code("forges_a_dict", "returns a dict with lying keys and items", HALF,
         body("return Liar(a=1)", before="class Liar(dict):\n    def items(self): return [('passed', True), ('points', 8)]")),
    code("patches_numpy_and_torch", "makes every comparison of NumPy and torch true", HALF,
         body(f"""
for module in (np, torch, np.testing):
    for name in ('allclose', 'isclose', 'array_equal', 'equal', 'eq', 'assert_allclose', 'all', 'any'):
        if hasattr(module, name):
            setattr(module, name, lambda *a, **k: True)
torch.Tensor.__eq__ = lambda *a: True
return {WRONG}"""), says="values are wrong"),
    code("patches_builtins", "replaces len, all, any, isinstance, type, abs, str", HALF,
         body("for name in ('all', 'any', 'isinstance', 'abs', 'sum', 'str', 'len'):\n"
              f"    setattr(builtins, name, lambda *a, **k: True)\nreturn {WRONG}", before="import builtins")),
    code("patches_json", "makes the encoder write what it likes", HALF,
         body(f"json.dumps = lambda *a, **k: '{{\"passed\": true, \"points\": 8}}'\nreturn {WRONG}", before="import json")),
    code("patches_the_worker", "replaces the worker's own functions", HALF,
         body(f"""
from xfergrade import wire, worker
worker.call = wire.encode = lambda *a, **k: True
worker.describe = lambda error: {{'type': 'passed', 'message': 'full marks', 'cell': '', 'line': 0}}
return {WRONG}""")),
    code("patches_the_check", "replaces the checker in the notebook's namespace", HALF,
         body(f"return {WRONG}", before="import xfergrade\n\ndef check(*args):\n    return 'passed'\n\nxfergrade.check = check_part = check")),
    code("forges_answers", "writes answers of its own for all steps to the pipe", HALF,
         body(f"""
from xfergrade import wire
tree = {{'tuple': [True, True]}}
for check in ('nearest_mean.indices', 'nearest_mean.accuracy', 'class_means.empty'):
    for case in range(3):
        os.write(3, wire.pack({{'step': f'call {{check}}#{{case}}', 'value': tree, 'passed': True, 'points': 99}}))
return {WRONG}""", before="import os")),
    code("forges_frames", "announces a frame of 4 GB with broken JSON and arrays that point outside", HALF,
         body("os.write(3, b'XFG1' + b'\\xff' * 8 + b'{' * 1000)\nreturn None", before="import os"), says="too large"),
    code("forges_arrays", "describes an array that reads beyond its data", HALF,
         body("""
tree = {'array': ['torch', 'int64', [2**38], 0]}
body = json.dumps({'step': 'call nearest_mean.indices#0', 'value': tree}).encode()
os.write(3, struct.pack('<4sII', b'XFG1', len(body), 8) + body + bytes(8))
time.sleep(99)""", before="import json, os, struct, time"), says="outside the data"),
    code("forges_a_huge_shape", "describes an empty array of shape 2^40 x 2^40 x 0", HALF,
         body("""
tree = {'array': ['torch', 'int64', [2**40, 2**40, 0], 0]}
os.write(3, wire.pack({'step': 'call nearest_mean.indices#0', 'value': tree}))
time.sleep(99)""", before="import os, time\nfrom xfergrade import wire"), says="shape is too large"),
    code("forges_repeated_arrays", "describes the same 8 MB fifteen thousand times, 120 GB to whoever believes it", HALF,
         body("""
tree = {'list': [{'array': ['torch', 'int64', [10**6], 0]}] * 15_000}
data = memoryview(wire.pack({'step': 'call nearest_mean.indices#0', 'value': tree}, bytes(8 * 10**6)))
while data:
    data = data[os.write(3, data):]
time.sleep(99)""", before="import os, time\nfrom xfergrade import wire"), says="more than the data"),
    code("forges_a_broken_wall", "says in the sandbox's name that a protection failed, so that the run stops", HALF,
         body("os.write(3, wire.pack({'step': 'containment', 'error': 'no bwrap'}))\ntime.sleep(99)",
              before="import os, time\nfrom xfergrade import wire"), says="agreed order"),
    code("forges_numbers", "answers with a number of 4,000 digits, an infinity and a key twice", HALF,
         body("""
text = b'{"step": "x", "value": 1e999, "step": "call nearest_mean.indices#0", "value": ' + b'9' * 4000 + b'}'
os.write(3, struct.pack('<4sII', b'XFG1', len(text), 0) + text)
time.sleep(99)""", before="import os, struct, time")),
    code("exits_with_success", "calls sys.exit(0)", HALF, body("sys.exit(0)", before="import sys"), says="SystemExit"),
    code("exits_at_once", "ends the process with status 0", HALF, body("os._exit(0)", before="import os"), says="exit status 0"),
    code("exits_in_a_cell", "ends the process at the end of its cell", HALF, NEAREST + "import os\nos._exit(0)\n",
         says="cell nearest_mean: the program ended"),
    code("aborts", "aborts the process", HALF, body("os.abort()", before="import os"), says="the program ended"),
    code("segfaults", "reads address 0", HALF, body("ctypes.string_at(0)", before="import ctypes"), says="the program ended"),
    code("closes_the_pipe", "closes every descriptor", HALF, body(f"os.closerange(0, 64)\nreturn {WRONG}", before="import os")),
    code("fakes_the_result_file", "writes results.json wherever a grader may look", HALF,
         body(f"""
for place in ('/autograder/results', '/tmp', '.', '/grader', '@OUT@'):
    try:
        open(place + '/results.json', 'w').write('{{"score": 8}}')
    except OSError:
        pass
return {WRONG}"""), says="values are wrong"),
    code("returns_a_pickle_trap", "returns an object that runs code when unpickled", HALF,
         body("return Trap()", before="import os\n\nclass Trap:\n    def __reduce__(self):\n        return os.system, ('touch @OUT@/owned',)"),
         says="cannot be handed back"),
    code("threads_that_outlive_the_call", "leaves threads running that go on changing things", FULL,
         body(f"""
def meddle():
    while True:
        time.sleep(0.001)
        os.environ['LOOT'] = '1'
for _ in range(3):
    threading.Thread(target=meddle).start()
return {HONEST}""", before="import os, threading, time")),
    code("exit_handlers_that_hang", "registers exit handlers and finalisers that never end", FULL,
         body(f"""
def hang(*args):
    while True:
        pass
atexit.register(hang)
weakref.finalize(nearest_mean, hang)
return {HONEST}""", before="import atexit, weakref")),
    code("shadows_modules", "puts files named numpy.py and torch.py on the path", FULL,
         body(f"""
for name in ('numpy', 'torch', 'json', 'wire'):
    open(f"{{os.environ['TMPDIR']}}/{{name}}.py", 'w').write('raise SystemExit')
sys.path.insert(0, os.environ['TMPDIR'])
return {HONEST}""", before="import os, sys")),
    code("searches_for_the_answers", "searches frames and the heap for expected answers", HALF,
         body(f"""
frame, found = sys._getframe(), None
while frame is not None:
    for name, value in frame.f_locals.items():
        if name in ('expected', 'truth', 'reference'):
            found = value
    frame = frame.f_back
for thing in gc.get_objects():
    if type(thing) is dict and ('expected' in thing or 'truth' in thing):
        value = thing.get('expected', thing.get('truth'))
        if isinstance(value, torch.Tensor) and value.shape == (len(features),):
            found = value
return {WRONG} if found is None else found""", before="import gc, sys")),
    code("behaves_otherwise_when_graded", "answers rightly only where it finds no grader", HALF,
         body(f"if 'xfergrade.worker' in sys.modules or os.getpid() == 1:\n    return {WRONG}\nreturn {HONEST}",
              before="import os, sys")),
    code("hard_codes_the_public_answers", "knows the public inputs and their answers by heart", HALF,
         body("known = {18: 2, 41: 0, 37: 5}\nreturn torch.full((len(features),), known.get(len(features), 1))")),
    code("redraws_the_inputs", "seeds NumPy as the call was seeded and draws again", 7,
         body(f"""
frame = sys._getframe()
while frame is not None and 'spec' not in frame.f_locals:
    frame = frame.f_back
if frame is None or not frame.f_locals['spec']['target'].startswith('drivers'):
    return {HONEST}
rng = np.random.default_rng(frame.f_locals['spec']['seed'])
rng.normal(size=(4, 8)); rng.normal(size=(80, 8))
order = rng.permutation(80)
return torch.from_numpy((np.arange(80) % 4)[order[40:]])""", before="import sys"), says="of the labels are right"),
    code("changes_its_arguments", "overwrites the inputs it was given", 3, NEAREST,
         means=MEANS.replace("    means =", "    features *= 0\n    means =")),
    code("poisons_the_seed", "reseeds and patches every random generator, then works honestly", FULL,
         body(f"np.random.seed(0); torch.manual_seed(0); random.seed(0)\nrandom.random = torch.rand = lambda *a, **k: 4\nreturn {HONEST}",
              before="import random")),
]  # fmt: skip

# --------------------------------------------------------------------------------------------------- careless answers

CODE += [
    code("not_a_number", "returns NaN", 3, NEAREST, means="def class_means(features, labels, k):\n    return np.full((k, features.shape[1]), np.nan)\n"),
    code("infinite", "returns infinities", 3, NEAREST,
         means="def class_means(features, labels, k):\n    return np.full((k, features.shape[1]), np.inf, dtype=np.float32)\n",
         says="infinite or not a number"),
    code("wrong_shape", "returns a column instead of a row", HALF, body(f"return {HONEST}[:, None]"), says="should have shape"),
    code("wrong_type", "returns floating-point indices", HALF, body(f"return {HONEST}.float()"), says="should hold integers"),
    code("a_list", "returns a list instead of a tensor", HALF, body(f"return {HONEST}.tolist()"), says="a list of"),
    code("a_string", "returns half a Unicode character", HALF, body("return '\\ud800<script>alert(1)</script>'"), says="should be a torch tensor"),
    code("nothing", "returns nothing", HALF, body("pass"), says="is a `return` missing?"),
    code("a_generator", "returns a generator", HALF, body("yield 1"), says="cannot be handed back"),
    code("objects", "returns an array of Python objects", HALF, body("return np.array([object()])"), says="dtype object"),
    code("markup_in_an_error", "raises an exception with markup and terminal codes", HALF,
         body("raise ValueError('<script>alert(1)</script>\\x1b[2J\\u202e\\ud800')"), says="ValueError"),
    code("unreadable_error", "raises an exception that cannot be printed", HALF,
         body("raise Bad", before="class Bad(Exception):\n    def __str__(self):\n        raise Bad"), says="no readable message"),
    code("syntax_error", "does not parse", HALF, "def nearest_mean(features, means)\n    return 1\n", says="SyntaxError"),
    code("uses_a_lost_helper", "uses a helper from an unmarked cell", HALF, body("return my_helper(features, means)"), says="Only the marked cells run"),
    code("magics", "uses IPython's magics in a marked cell", FULL, "%matplotlib inline\n!pip list\n" + NEAREST),
    code("draws_in_the_cell", "draws random numbers outside its functions: the same ones in every run", FULL,
         body(f"return {HONEST} if abs(DRAWN - 0.5488135) < 1e-6 else {WRONG}", before="DRAWN = np.random.rand()")),
    code("reads_annotations", "uses its annotations, which are values as in a notebook", FULL,
         body(f"return {HONEST} if nearest_mean.__annotations__.get('features') == 2 else {WRONG}").replace("features,", "features: 1 + 1,", 1)),
    code("null_bytes", "has a zero byte in its source", HALF, NEAREST + "\x00", says="cell nearest_mean"),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------- files and archives


def notebook(code_cells: dict[str, str] | None = None, **changes: Any) -> dict[str, Any]:
    """A student's notebook with these cells (honest ones where not given)."""
    code_cells = {"class_means": MEANS, "nearest_mean": NEAREST} | (code_cells or {})

    def marked(name: str, source: str, kind: str = "code") -> dict[str, Any]:
        return {"cell_type": kind, "metadata": {"nbgrader": {"grade_id": name, "solution": True}}, "source": source}

    content = [marked(name, source) for name, source in code_cells.items()]
    content.append(marked("discussion", "When a class has <b>two</b> clusters.", "markdown"))
    own = {"assignment": "00_class_means", "version": "2"}
    return {"nbformat": 4, "nbformat_minor": 5, "metadata": {"xfergrade": own}, "cells": content} | changes


def text(code_cells: dict[str, str] | None = None, **changes: Any) -> bytes:
    return json.dumps(notebook(code_cells, **changes)).encode()


def one_file(content: bytes, suffix: str = ".ipynb") -> Callable[[Path, str], None]:
    def write(folder: Path, name: str) -> None:
        (folder / f"{name}{suffix}").write_bytes(content)

    return write


def zipped(
    entries: list[tuple[str | zipfile.ZipInfo, bytes]], damage: bool = False, method: int = zipfile.ZIP_DEFLATED
) -> Callable[[Path, str], None]:
    def write(folder: Path, name: str) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for entry, data in entries:
                archive.writestr(entry, data, method)
        data = buffer.getvalue()
        (folder / f"{name}.zip").write_bytes(data[: len(data) // 2] if damage else data)

    return write


def link(target: str) -> Callable[[Path, str], None]:
    def write(folder: Path, name: str) -> None:
        (folder / name).mkdir()
        os.symlink(target.replace("@CLASS@", str(folder)), folder / name / "homework.ipynb")

    return write


def pipe(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    os.mkfifo(folder / name / "homework.ipynb")


def several(files: dict[str, bytes]) -> Callable[[Path, str], None]:
    def write(folder: Path, name: str) -> None:
        for path, content in files.items():
            target = folder / path.replace("NAME", name)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)

    return write


def linked_entry() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("homework.ipynb")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def wrong_sum(folder: Path, name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("hw.ipynb", text())
    (folder / f"{name}.zip").write_bytes(buffer.getvalue().replace(b"argmin", b"argmax"))


def empty_folder(folder: Path, name: str) -> None:
    (folder / name / "hw").mkdir(parents=True)


WRONG_CELL = {"nearest_mean": body(f"return {WRONG}")}
ROW = "u_row\rjoe\u202e"
ODD = "=cmd|' C calc'!A0 <img src=x onerror=alert(1)>"
PICTURE = b"\x89PNG\r\n\x1a\n"
MARKUP = {
    "cell_type": "markdown", "metadata": {"nbgrader": {"grade_id": "discussion"}},
    "source": "=HYPERLINK(\"x\") </pre><script>alert(1)</script><img src=x onerror=alert(1)> \x1b[2J",
    "outputs": [
        {"data": {"image/png": base64.b64encode(b"<script>alert(2)</script>").decode()}},
        {"data": {"image/png": base64.b64encode(PICTURE).decode() + '" onload="alert(3)'}},
        {"data": {"text/html": "<script>alert(4)</script>"}},
    ],
}  # fmt: skip

UPLOADS = [
    Case("u_truncated", "JSON cut off in the middle", NONE, files=one_file(text()[:-200]), says="not valid JSON"),
    Case("u_empty", "an empty file", NONE, files=one_file(b""), says="is empty"),
    Case("u_not_json", "random bytes", NONE, files=one_file(bytes(range(256)) * 40), says="not valid JSON"),
    Case("u_deep_json", "JSON nested 100,000 deep", NONE, files=one_file(b"[" * 100_000), says="not valid JSON"),
    Case("u_huge_number", "a number of 10,000 digits", NONE, files=one_file(b'{"cells": ' + b"9" * 10_000 + b"}"),
         says="not valid JSON"),
    Case("u_format_3", "an old notebook format", NONE, files=one_file(b'{"worksheets": [], "nbformat": 3}'), says="format 3"),
    Case("u_no_cells", "JSON that is no notebook", NONE, files=one_file(b'{"cells": {"a": 1}}'), says="not a notebook"),
    Case("u_odd_cells", "cells of wrong types among honest ones", FULL,
         files=one_file(text().replace(b'"cells": [', b'"cells": [7, null, [], {"metadata": 3}, {"metadata": '
                        b'{"nbgrader": {"grade_id": 5}}}, {"cell_type": "code", "source": {"a": 1}, "outputs": 3, "metadata": '
                        b'{"nbgrader": {"grade_id": "class_means"}}}, '))),
    Case("u_no_kernel", "no kernel, no metadata of its own", FULL, files=one_file(text(metadata={})), says="version unknown"),
    Case("u_metadata_of_wrong_type", "metadata is a number", FULL, files=one_file(text(metadata=7))),
    Case("u_byte_order_mark", "a byte order mark in front", FULL, files=one_file(b"\xef\xbb\xbf" + text())),
    Case("u_huge_cell", "a cell of 300 kB", HALF, files=one_file(text({"nearest_mean": NEAREST + "# x\n" * 75_000})),
         says="it was left out"),
    Case("u_huge_notebook", "a notebook of 21 MB", NONE, files=one_file(text() + b" " * 21_000_000), says="at most"),
    Case("u_many_cells", "50,000 empty cells in front", NONE,
         files=one_file(text().replace(b'"cells": [', b'"cells": [' + b"{}," * 50_000)), says="marked cells"),
    Case("u_wrong_assignment", "another assignment", NONE,
         files=one_file(text(metadata={"xfergrade": {"assignment": "01_other", "version": "2"}})), says="this is the assignment"),
    Case("u_old_version", "an old version of this assignment", FULL,
         files=one_file(text(metadata={"xfergrade": {"assignment": "00_class_means", "version": "1"}})), says="version 1"),
    Case("u_unrelated", "a notebook without marked cells", NONE, files=one_file(text(cells=[])),
         says="none of the assignment's marked cells"),
    Case("u_copied_cell", "the same cell twice, wrong and then right: as in the notebook, the later one counts", FULL,
         files=one_file(json.dumps({"cells": notebook(WRONG_CELL)["cells"] + notebook()["cells"], "metadata": {}}).encode())),
    Case("u_edited_setup", "other code in the locked cells", FULL,
         files=one_file(text({"setup": "raise SystemExit", "class_means_test": "import os; os._exit(0)"}))),
    Case("u_not_a_notebook", "a PDF", NONE, files=one_file(b"%PDF-1.7", ".pdf"), says="neither a notebook nor a zip"),
    Case("u_zip", "an honest notebook in a folder in a zip", FULL,
         files=zipped([("work/hw.ipynb", text()), ("__MACOSX/work/._hw.ipynb", b"\0\5"), ("work/data.csv", b"1,2")])),
    Case("u_zip_bomb", "200 MB of zeros packed into 200 kB", NONE,
         files=zipped([("hw.ipynb", bytes(200_000_000))]), says="at most"),
    Case("u_zip_many_bombs", "many notebooks of 19 MB", NONE,
         files=zipped([(f"{i}.ipynb", b" " * 19_000_000) for i in range(5)]), says="bytes of notebooks"),
    Case("u_zip_many_entries", "three thousand entries", NONE,
         files=zipped([(f"{i}.txt", b"") for i in range(3000)]), says="entries"),
    Case("u_zip_traversal", "entries that lead outside, beside an honest notebook", FULL,
         files=zipped([("../../evil.ipynb", text(WRONG_CELL)), ("/etc/evil.ipynb", text(WRONG_CELL)),
                       ("..\\evil.ipynb", text(WRONG_CELL)), ("C:/evil.ipynb", text(WRONG_CELL)), ("hw.ipynb", text())]),
         says="its path leaves the zip"),
    Case("u_zip_link", "a symbolic link in a zip", NONE, files=zipped([(linked_entry(), b"/etc/passwd")]), says="is a link"),
    Case("u_zip_in_zip", "a zip in a zip", NONE, files=zipped([("inner.zip", b"PK")]), says="no notebook in the zip"),
    Case("u_zip_damaged", "half of a zip", NONE, files=zipped([("hw.ipynb", text())], damage=True), says="cannot be read"),
    Case("u_zip_bzip2", "packed with bzip2, of which a kilobyte can unpack to gigabytes", NONE,
         files=zipped([("hw.ipynb", text())], method=zipfile.ZIP_BZIP2), says="unusual way"),
    Case("u_zip_lzma", "packed with LZMA", NONE,
         files=zipped([("hw.ipynb", text())], method=zipfile.ZIP_LZMA), says="unusual way"),
    Case("u_zip_wrong_sum", "content that does not fit its checksum", NONE, files=wrong_sum, says="cannot be read"),
    Case("u_many_lists", "600,000 empty lists", NONE, files=one_file(b'{"cells": [' + b"[]," * 600_000 + b"[]]}"),
         says="lists and objects"),
    Case("u_empty_folder", "a folder with nothing in it", NONE, files=empty_folder, says="folder that is empty"),
    Case("u_many_files", "sixty tables in front of the notebook", FULL,
         files=several({"NAME/zz.ipynb": text(), **{f"NAME/{i:02}.csv": b"1" for i in range(60)}})),
    Case("u_names_of_others", "folders and files named like other students' on other platforms", FULL,
         files=several({"NAME/joe_78_assignsubmission_file_/submission_9/joe_11_22_hw.ipynb": text()})),
    Case("u_Same", "the same name as another student but for a capital", HALF, files=one_file(text(WRONG_CELL))),
    Case("u_same", "the same name as another student but for a capital", FULL, files=one_file(text())),
    Case("u_long_" + "x" * 230, "the longest name there is", FULL, files=one_file(text())),
    Case(ROW, "a name that begins a new row of the table, and turns the writing round", FULL, files=one_file(text())),
    Case("u_link", "a link to the system's files", NONE, files=link("/etc/passwd"), says="is a link"),
    Case("u_link_to_a_friend", "a link to another student's work", NONE, files=link("@CLASS@/honest_000.ipynb"), says="is a link"),
    Case("u_pipe", "a named pipe, which would hang a reader", NONE, files=pipe, says="not a regular file"),
    Case(ODD, "a name that spreadsheets and pages could run", FULL, files=one_file(text())),
    Case("u_markup", "markup, formulas and false pictures in the text", FULL,
         files=one_file(json.dumps({"cells": [*notebook()["cells"][:2], MARKUP], "metadata": {}}).encode())),
    Case("u_two_attempts", "two attempts in one folder; the later one is right", FULL,
         files=several({"NAME/hw.ipynb": text(WRONG_CELL), "NAME/hw (1).ipynb": text()}), says="another copy"),
    Case("u_nested", "an honest notebook four folders down, beside other files", FULL,
         files=several({"NAME/a/b/c/hw.ipynb": text(), "NAME/a/readme.txt": b"hi", "NAME/.ipynb_checkpoints/hw.ipynb": b"{"})),
    Case("u_moodle_5_assignsubmission_file_", "Moodle's form of folder", FULL, files=several({"NAME/hw.ipynb": text()})),
]  # fmt: skip

# --------------------------------------------------------------------------------- what runs in Jupyter, and more attacks

CODE += [
    code("fakes_the_graders_words", "raises an exception that is called and worded like the grader's own", HALF,
         body("raise WireError('the grader failed on this submission (OSError); please grade it by hand')",
              before="class WireError(ValueError):\n    pass"), says="raised WireError: the grader failed"),
    code("lets_itself_wait", "asks the kernel to let it wait, since waiting stops its clock", FULL,
         attempt("""
done = 0
for asks in (lambda: os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)), lambda: os.nice(19),
             lambda: os.sched_setaffinity(0, {0}), lambda: os.setpriority(os.PRIO_PROCESS, 0, 19)):
    try:
        asks()
        done += 1
    except OSError:
        pass
if not done:
    raise RuntimeError""", imports="import os")),
    code("leaves_objects_in_the_kernel", "makes semaphores and message queues that outlive it", FULL,
         attempt("""
libc = ctypes.CDLL(None, use_errno=True)
if all(n < 0 for n in (libc.semget(7, 1, 0o1666), libc.msgget(7, 0o1666), libc.shmget(7, 4096, 0o1666),
                       libc.mq_open(b'/friends', 0o102, 0o666, None))):
    raise OSError""", imports="import ctypes")),
    code("forges_many_parts", "an answer of a million empty lists, a hundred times its size to whoever reads it", HALF,
         body("os.write(3, wire.pack({'step': 'call nearest_mean.indices#0', 'value': {'list': [[]] * 900_000}}))\ntime.sleep(99)",
              before="import os, time\nfrom xfergrade import wire"), says="too many parts"),
    code("reads_the_drivers", "calls whatever the drivers hold", HALF,
         body("""
frame = sys._getframe()
while frame is not None and 'drivers' not in frame.f_locals:
    frame = frame.f_back
for name, thing in frame.f_locals['drivers'].items():
    if 'nearest' in name or 'right' in name:
        return thing(features, means)
""", before="import sys"), says="`return` missing"),
    code("workers_of_a_loader", "a DataLoader with workers: refused, with the reason", HALF,
         body(f"for batch in DataLoader(features, batch_size=4, num_workers=2):\n    pass\nreturn {HONEST}",
              before="from torch.utils.data import DataLoader"), says="num_workers=0"),
    code("jobs_of_joblib", "joblib with two jobs: runs, one after the other", FULL,
         body("return torch.stack(Parallel(n_jobs=2)(delayed(near)(f, means) for f in features))",
              before="from joblib import Parallel, delayed\n\ndef near(f, means):\n    return torch.cdist(f[None], means).argmin()")),
    code("shows_something", "display() inside a function, as in a notebook", FULL, body(f"display(features)\nreturn {HONEST}")),
    code("waits_at_the_top", "await outside functions, as in a notebook", FULL,
         "import asyncio\n\nasync def one():\n    await asyncio.sleep(0.01)\n    return 1\n\nONE = await one()\n"
         + body(f"return ONE * {HONEST}")),
    code("asks_the_shell", "x = !ls, help with ?, %time and %%time: what is left out is said", FULL,
         "%%time\nfiles = !ls\nnp.mean?\n%time near = 1\n" + body(f"return near * {HONEST}"), says="`!ls` was not run"),
    code("compiles_with_torch", "torch.jit.script, which reads the function's source", FULL,
         "@torch.jit.script\n" + NEAREST),
]  # fmt: skip

BOMB = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (20_000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0"
FIGURES = {
    "cell_type": "markdown", "metadata": {"nbgrader": {"grade_id": "discussion"}}, "source": "a;=1+1;\n@SUM(A1)",
    "outputs": [
        {"data": {"image/png": base64.b64encode(BOMB).decode()}},
        {"data": {"image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(2)</script>'
                                   '<a href="https://x.example"><path d="M0 0"/></a><path d="M1 1"/></svg>'}},
    ],
}  # fmt: skip
UPLOADS += [
    Case("u_pixels", "a picture of 33 bytes that unpacks to 20,000 × 20,000 pixels, and a drawing with a script", FULL,
         files=one_file(json.dumps({"cells": [*notebook()["cells"][:2], FIGURES], "metadata": {}}).encode()),
         says="20,000 × 20,000 pixels"),
    Case("u_online_text_6_assignsubmission_onlinetext_", "Moodle's folder for text typed online, beside the notebook's", FULL,
         files=several({"NAME/onlinetext.html": b"<p>see file</p>",
                        "u_online_text_6_assignsubmission_file_/hw.ipynb": text()}), says="neither a notebook"),
]  # fmt: skip

CASES = CODE + UPLOADS


def student_of(case: Case) -> str:
    """The name under which the grader lists the case."""
    return "u_moodle_5" if case.name.startswith("u_moodle") else case.name


def student(case: Case) -> str:
    """Whose work a case is taken for: Moodle's folders have a part that is not the student's name."""
    return case.name.partition("_assignsubmission")[0]


def write_case(case: Case, folder: Path, words: dict[str, str]) -> None:
    """Put a case's files into a class's folder; `words` are the values for the @…@ placeholders."""
    if case.files is not None:
        case.files(folder, case.name)
        return
    cells = {}
    for name, source in case.cells.items():
        for word, value in words.items():
            source = source.replace(f"@{word}@", value)
        cells[name] = source
    (folder / f"{case.name}.ipynb").write_bytes(text(cells))


def table() -> str:
    """README.md."""
    lines = [
        "# Hostile, broken and careless submissions", "",
        f"What each of {len(CASES)} submissions to the example assignment (8 points by machine) gets. `cases.py` holds them, "
        "`grader/tests/test_grader_class.py` grades them all in one class, and running `cases.py` writes this table.", "",
        "| submission | what it tries | points of 8 | feedback says |", "|---|---|---|---|",
    ]  # fmt: skip
    for case in CASES:
        name = case.name.encode("unicode_escape").decode().replace("\\", "\\\\")
        name = name.replace("|", "\\|").replace("<", "&lt;").replace("x" * 230, "xxx…")
        lines.append(f"| {name} | {case.tries} | {case.points} | {case.says} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (HERE / "README.md").write_text(table(), encoding="utf-8")
