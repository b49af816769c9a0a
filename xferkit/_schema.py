"""The one schema of `results/`: what a file must hold, how its runs are named, how it is written in one piece."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from xferkit._files import write_whole

FIELDS = ("question", "script", "settings", "data_sha256", "environment", "runs", "selection", "test", "sha256")
RUN_FIELDS = ("key", "job", "result", "seconds")
ENVIRONMENT = ("python", "torch", "xferkit", "device", "processor", "threads", "code_sha256")
NOT_RECORDED = "not recorded"


def parse(data: bytes | str) -> Any:
    """What strict JSON says.

    Raises:
        ValueError: it is no JSON, or holds NaN or infinity, which JSON has not.
    """
    return json.loads(data, parse_constant=_no_constant)


def save(record: Mapping[str, Any], path: Path) -> None:
    """Check a record and write it in one piece: a reader finds the old file or the new one.

    Raises:
        ValueError: it does not follow the schema, or holds NaN or infinity.
        OSError: the folder cannot be written to.
    """
    record = sealed(json.loads(canonical(record, indent=1)))  # as it will read: lists, not tuples
    validate(record, path.name)
    write_whole(path, (canonical({field: record[field] for field in FIELDS}, indent=1) + "\n").encode())


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the checksum of everything else in it: a figure that is changed later, by a slip or by hand, is
    noticed when the file is read. (Who means to deceive can make a new one; the runs can be done again.)
    """
    rest = {field: value for field, value in record.items() if field != "sha256"}
    return {**rest, "sha256": hashlib.sha256(canonical(rest).encode()).hexdigest()}


def seal(path: Path | str) -> None:
    """Give a file from before there were checksums its own.

    Raises:
        ValueError: it does not follow the schema, or has a checksum already.
    """
    record = parse(Path(path).read_bytes())
    if "sha256" in record:
        raise ValueError(f"{path} has its checksum: a changed file comes back by git checkout, or by its script.")
    save(record, Path(path))


def canonical(value: Any, *, indent: int | None = None) -> str:
    """JSON of a value; without indent with sorted keys, so that equal values give equal text.

    Raises:
        ValueError: NaN, infinity, or a value that JSON does not know.
    """
    try:
        return json.dumps(value, indent=indent, sort_keys=indent is None, allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"results must be plain JSON, without NaN and infinity: {error}.") from None


def run_key(job: Mapping[str, Any], code_sha256: str, data_sha256: str) -> str:
    """The name of a run: what its outcome depends on, hashed."""
    return hashlib.sha256(canonical([job, code_sha256, data_sha256]).encode()).hexdigest()[:24]


# ------------------------------------------------------------------------------------------------------- the schema


def validate(record: Any, name: str = "record") -> None:
    """Compare a record, as JSON reads it, with the schema.

    Raises:
        ValueError: names the field, what it holds and what it should hold.
    """

    def fail(field: str, value: Any, wanted: str) -> NoReturn:
        raise ValueError(f"{name}: {field} is {str(value)[:60]!r}, but must be {wanted}.")

    if isinstance(record, dict) and set(FIELDS) - set(record) == {"sha256"}:
        raise ValueError(
            f"{name} has no checksum of its own: its script writes one, or, for a file from before there were any, "
            f"python -c \"from xferkit._schema import seal; seal('results/{name}')\"."
        )
    if not isinstance(record, dict) or set(record) != set(FIELDS):
        fail("its fields", sorted(record) if isinstance(record, dict) else record, f"exactly {', '.join(FIELDS)}")
    if not isinstance(record["question"], str) or not record["question"].endswith("?"):
        fail("question", record["question"], "a question")
    if not isinstance(record["script"], str) or not record["script"].startswith("experiments/"):
        fail("script", record["script"], "the script's path, experiments/….py")
    if not _is_hash(record["data_sha256"], 64):
        fail("data_sha256", record["data_sha256"], "64 hexadecimal digits")
    if not isinstance(record["settings"], dict) or not record["settings"]:
        fail("settings", record["settings"], "a dict that is not empty")
    if record["selection"] is not None and not isinstance(record["selection"], dict):
        fail("selection", record["selection"], "a dict or null")

    environment = record["environment"]
    if not isinstance(environment, dict) or not set(ENVIRONMENT) <= set(environment):
        fail("environment", environment, f"a dict with {', '.join(ENVIRONMENT)}")
    for field, value in environment.items():
        if not value or isinstance(value, bool) or not isinstance(value, str | int):
            fail(f"environment.{field}", value, f"a text or a number ({NOT_RECORDED!r} where it was not)")

    if not isinstance(record["runs"], list) or not record["runs"]:
        fail("runs", record["runs"], "a list that is not empty")
    seen: set[str] = set()
    for i, run in enumerate(record["runs"]):
        if not isinstance(run, dict) or set(run) != set(RUN_FIELDS):
            fail(f"runs[{i}]", run, f"a dict with exactly {', '.join(RUN_FIELDS)}")
        job, result, seconds = run["job"], run["result"], run["seconds"]
        if not isinstance(job, dict) or not isinstance(result, dict):
            fail(f"runs[{i}]", run, "settings (job) and outcome (result), a dict each")
        if twice := (set(job) & set(result)) | ({*job, *result} & {"key", "seconds"}):
            fail(f"runs[{i}]", sorted(twice), "named once: in job or in result")
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0):
            fail(f"runs[{i}].seconds", seconds, "the seconds of computing, or null where they were not recorded")
        if run["key"] != (expected := run_key(job, environment["code_sha256"], record["data_sha256"])):
            fail(f"runs[{i}].key", run["key"], f"{expected}, the hash of its settings, code and data")
        if run["key"] in seen:
            fail(f"runs[{i}]", job, "there once")
        seen.add(run["key"])
    _check_test(record["test"], fail)
    if record["sha256"] != (digest := sealed(record)["sha256"]):
        raise ValueError(f"{name}: sha256 is not {digest}: something in the file was changed since it was written.")


def _check_test(test: Any, fail: Callable[[str, Any, str], NoReturn]) -> None:
    if test is None:
        return
    if not isinstance(test, dict) or not test:
        fail("test", test, "domain ↦ name ↦ accuracies, or null")
    for domain, table in test.items():
        if not isinstance(table, dict) or not table:
            fail(f"test.{domain}", table, "name ↦ accuracies")
        for label, values in table.items():
            numbers = isinstance(values, list) and all(type(v) in (int, float) for v in values)
            if not numbers or not values or not all(math.isfinite(v) and 0 <= v <= 1 for v in values):
                fail(f"test.{domain}.{label}", values, "accuracies in [0, 1], one a seed")


def _is_hash(value: Any, length: int) -> bool:
    return isinstance(value, str) and len(value) == length and set(value) <= set("0123456789abcdef")


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
