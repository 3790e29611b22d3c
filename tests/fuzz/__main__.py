"""Fuzz one front, guided by coverage: `python -m tests.fuzz TARGET [--seconds 300] [--findings FOLDER] [--seed 0]`.

It needs atheris (`pip install --group audit`; Linux). The seeds are `tests/fuzz/seeds/TARGET`; each kind of finding is
kept once, in the folder of findings, and does not end the run. A finding that is mended becomes a seed.
"""

import argparse
import hashlib
import os
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["maezoo", "tarfile", "csv"]):
    from tests.fuzz.targets import LARGEST, SEEDS, TARGETS, attempt
from tests.fuzz.mutate import mutated

_SLOW = 5.0  # seconds for one input that are a finding


class Run:
    """One run of the fuzzer over one target."""

    def __init__(self, name: str, seconds: float, findings: Path) -> None:
        self.target, self.name, self.findings = TARGETS[name], name, findings
        self.until = time.monotonic() + seconds
        self.outcomes: Counter[str] = Counter()
        self.found: dict[str, str] = {}
        self.folder = Path(tempfile.mkdtemp(prefix="maezoo-fuzz-"))

    def one(self, data: bytes) -> None:
        """Try one input; report and leave when the time is over."""
        started = time.monotonic()
        if started > self.until:
            self.report()
        try:
            error = attempt(self.target, data, self.folder)
            self.outcomes["read" if error is None else type(error).__name__] += 1
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            self.keep(_kind(error), data, traceback.format_exc())
        if time.monotonic() - started > _SLOW:
            self.keep("slow", data, f"{time.monotonic() - started:.1f} s")

    def keep(self, kind: str, data: bytes, about: str) -> None:
        """Keep the first input of each kind of finding."""
        self.outcomes["FINDING"] += 1
        if kind in self.found:
            return
        self.found[kind] = about
        self.findings.mkdir(parents=True, exist_ok=True)
        path = self.findings / f"{self.name}-{hashlib.sha256(kind.encode()).hexdigest()[:8]}"
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{kind}\n{about}", encoding="utf-8")

    def report(self) -> None:
        """Print what was done, and end the process: libFuzzer has no other end that keeps its numbers."""
        total = sum(self.outcomes.values())
        print(f"{self.name}: {total:,} executions, {len(self.found)} kinds of findings", flush=True)
        print(f"  {dict(self.outcomes.most_common())}", flush=True)
        for kind in self.found:
            print(f"  finding: {kind}", flush=True)
        sys.stderr.flush()
        os._exit(bool(self.found))


def _kind(error: BaseException) -> str:
    """Name a finding by its error and by the deepest place in maezoo that it came through."""
    places = [f for f in traceback.extract_tb(error.__traceback__) if "/maezoo/" in f.filename]
    last = places[-1] if places else traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {Path(last.filename).name}:{last.lineno} ({last.name})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run = Run(options.target, options.seconds, options.findings.resolve())
    corpus = tempfile.mkdtemp(prefix="maezoo-corpus-")

    def mutator(data: bytes, largest: int, seed: int) -> bytes:
        draw = random.Random(seed)
        return atheris.Mutate(data, largest) if draw.random() < 0.4 else mutated(data, draw, largest)

    arguments = [f"-max_len={LARGEST}", "-timeout=60", "-rss_limit_mb=4096", f"-seed={options.seed + 1}"]
    arguments += ["-len_control=0", corpus, str(SEEDS / options.target)]
    atheris.Setup([sys.argv[0], *arguments], run.one, custom_mutator=mutator)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
