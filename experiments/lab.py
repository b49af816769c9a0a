"""The harness of the experiments: jobs are dataclasses, each outcome is kept under a key, results have one schema.

    lab = Lab(__file__, run, depends=(xk.fit, LR), data={"mnist": domain}, smoke=options.smoke)
    records = lab.run(Job(seed=seed) for seed in range(3))      # calls run(job, lab) for those that are not there yet
    lab.weights(job)                                            # what run returned beside its figures
    lab.publish(question=…, settings=…, selection=…, test=…)    # results/NAME.json, checked

A key is the hash of the job's settings, of the code that runs it and of the pictures, so nothing old is taken for new:
change one of them, and the job is done again. `run` must depend on nothing else: a constant of the script that it uses
goes into the job, or into `depends`. Comments and docstrings do not count as code. A finished job is written in one
piece to data/experiments/ (which git ignores); a script that is stopped, or runs twice at once, loses nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from provenance import code_version, environment, fingerprint
from torch import Tensor
from tqdm import tqdm

import xferkit as xk
from xferkit._files import write_whole
from xferkit._schema import NOT_RECORDED, canonical, parse, run_key, save

ROOT = Path(__file__).resolve().parent.parent
Outcome = dict[str, Any] | tuple[dict[str, Any], Mapping[str, Tensor]]


def options(doc: str, arguments: list[str] | None = None, **flags: str) -> argparse.Namespace:
    """The command line: `--smoke`, and a flag for each keyword, whose value is its help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="a few steps of everything, in seconds; keeps nothing")
    for name, text in flags.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser.parse_args(arguments)


def taste(domain: xk.Domain, per_class: int = 6) -> xk.Domain:
    """A few pictures of each class in every part, for `--smoke`."""
    generator = torch.Generator().manual_seed(0)
    parts = (domain.train, domain.val, domain.test)
    train, val, test = (xk.few_labels(split, per_class, generator) for split in parts)
    return replace(domain, train=train, val=val, test=test)


class Lab:
    """One script's jobs. `name` is that of its results file (default: the script's)."""

    def __init__(
        self,
        script: str,
        execute: Callable[[Any, Lab], Outcome],
        *,
        depends: Iterable[Any] = (),
        data: Mapping[str, Any],
        smoke: bool = False,
        name: str = "",
        home: Path = ROOT,
    ) -> None:
        self.execute, self.data = execute, data
        self.script, self.name = Path(script), name or Path(script).stem
        self._temporary = tempfile.TemporaryDirectory(prefix="smoke-") if smoke else None
        home = Path(self._temporary.name) if self._temporary else home
        self.kept, self.out = home / "data" / "experiments" / self.name, home / "results" / f"{self.name}.json"
        for folder in (self.kept, self.out.parent):
            try:  # now, and not after an hour of computing
                folder.mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                raise OSError(f"{folder} must be writable, for what this script finds: {error}") from None
        self.code, self.data_sha256 = code_version(execute, *depends), fingerprint(data)
        self.records: dict[str, dict[str, Any]] = {}  # of this call, in order
        self._environments: list[dict[str, Any]] = []

    def key(self, job: Any) -> str:
        return run_key(json.loads(canonical(asdict(job))), self.code, self.data_sha256)

    def run(self, jobs: Iterable[Any]) -> list[dict[str, Any]]:
        """A flat record of settings and outcome for each job, from what is kept where it is there."""
        done = []
        for job in tqdm(list(jobs), desc=self.name, unit="run"):
            stored = self._stored(job) or self._execute(job)
            if (key := self.key(job)) not in self.records:
                self.records[key] = stored["run"]
                self._environments.append(stored["environment"])
            run = self.records[key]
            done.append({**run["job"], **run["result"], "seconds": run["seconds"]})
        return done

    def weights(self, job: Any) -> dict[str, Tensor]:
        """The tensors that `run` returned for this job."""
        return safetensors.torch.load((self.kept / f"{self.key(job)}.safetensors").read_bytes())

    def note(self, job: Any, **values: Any) -> None:
        """Add to a job's outcome what is only known at the end, such as its test accuracy: published, not kept."""
        self.records[self.key(job)]["result"] |= values

    def save_draft(self, job: Any, state: Any) -> None:
        """Keep the state of a long job on its way, under its key."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        write_whole(self.kept / f"{self.key(job)}.draft", buffer.getvalue())

    def load_draft(self, job: Any) -> Any:
        """The last draft of this very job, or None."""
        path = self.kept / f"{self.key(job)}.draft"
        try:
            return torch.load(path, weights_only=True) if path.is_file() else None
        except Exception as error:  # torch names a damaged file in many ways, and at length
            warnings.warn(f"{path} is damaged ({type(error).__name__}): this job starts anew.", stacklevel=2)
            return None

    def publish(
        self,
        *,
        question: str,
        settings: Mapping[str, Any],
        selection: Mapping[str, Any] | None = None,
        test: Mapping[str, Any] | None = None,
        environment: Mapping[str, str | int] | None = None,
    ) -> Path:
        """Write the results file from the jobs of this call, and say how long they took, all sessions together.

        Args:
            environment: what else the figures depend on, beside what every file names.
        """
        together: dict[str, Any] = {}
        for field in dict.fromkeys(f for found in self._environments for f in found):
            values = list(dict.fromkeys(found.get(field, NOT_RECORDED) for found in self._environments))
            together[field] = values[0] if len(values) == 1 else " and ".join(map(str, values))
        together |= dict(environment or {}) | {"code_sha256": self.code}
        record = {
            "question": question, "script": f"experiments/{self.script.name}", "settings": settings,
            "data_sha256": self.data_sha256, "environment": together,
            "runs": list(self.records.values()), "selection": selection, "test": test,
        }  # fmt: skip
        save(record, self.out)
        minutes = sum(run["seconds"] for run in self.records.values()) / 60
        print(f"{len(self.records)} runs, {minutes:.1f} minutes of computing, in {self.out.name}")
        return self.out

    def _execute(self, job: Any) -> dict[str, Any]:
        began = time.perf_counter()
        outcome = self.execute(job, self)
        result, tensors = outcome if isinstance(outcome, tuple) else (outcome, None)
        seconds = round(result.pop("seconds", time.perf_counter() - began), 2)  # a job with drafts counts for itself
        digest = None
        key = self.key(job)
        if tensors is not None:
            plain = {name: t.detach().cpu().clone(memory_format=torch.contiguous_format) for name, t in tensors.items()}
            data = safetensors.torch.save(plain)
            digest = hashlib.sha256(data).hexdigest()
            write_whole(self.kept / f"{key}.safetensors", data)
        run = {"key": key, "job": asdict(job), "result": result, "seconds": seconds}
        text = canonical({"run": run, "environment": environment(), "weights_sha256": digest}, indent=1)
        write_whole(self.kept / f"{key}.json", text.encode())
        (self.kept / f"{key}.draft").unlink(missing_ok=True)
        return parse(text)

    def _stored(self, job: Any) -> dict[str, Any] | None:
        """What is kept of this job, if it is whole."""
        key = self.key(job)
        path = self.kept / f"{key}.json"
        if not path.is_file():
            return None
        try:
            stored = parse(path.read_bytes())
            run, digest = stored["run"], stored["weights_sha256"]
            if run["key"] != key or not {"job", "result", "seconds"} <= set(run) or "environment" not in stored:
                raise ValueError("it is not the record of this job")
            if digest and hashlib.sha256((self.kept / f"{key}.safetensors").read_bytes()).hexdigest() != digest:
                raise ValueError("its weights are others")
        except (OSError, ValueError, KeyError, TypeError) as error:
            warnings.warn(f"{path} is damaged ({error}): this job is done again.", stacklevel=3)
            return None
        return stored
