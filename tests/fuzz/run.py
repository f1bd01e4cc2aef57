"""Fuzz the parsers with atheris: `python -m tests.fuzz.run [TARGET...] [--executions N]`.

Each target runs in a process of its own, one after another, from its seeds in `corpus/` and from
what earlier runs found (kept in `tests/artefacts/fuzz/`, which is not in the repository). A
finding ends the run with exit status 1 and names a file; `--reproduce FILE` gives it to the target
alone, without a fuzzer. At the end a table says what was run.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.targets import TARGETS, load

HERE = Path(__file__).parent
SEEDS = HERE / "corpus"
ARTEFACTS = HERE.parent / "artefacts" / "fuzz"

MAX_INPUT = 4096
"""Bytes of the longest input that is made up, where its target does not say less."""
HANG_SECONDS = 120
"""Longest wall-clock time for one input, on a busy machine, before it counts as a hang."""


@dataclass(slots=True, frozen=True)
class Result:
    """What one target's run came to."""

    target: str
    executions: int
    seconds: float
    corpus: int
    features: int
    finding: str

    def row(self) -> str:
        """One line of the table."""
        rate = self.executions / self.seconds if self.seconds else 0
        return (
            f"| {self.target} | {self.executions:,} | {self.seconds:,.0f} | {rate:,.0f} "
            f"| {self.corpus} | {self.features} | {self.finding or 'none'} |"
        )


def fuzz(
    target: str, *, executions: int, seconds: int, seed: int, hang: int = HANG_SECONDS
) -> Result:
    """Run one target; 0 for `executions` or `seconds` sets no such bound."""
    folder = ARTEFACTS / target
    grown = folder / "corpus"
    grown.mkdir(parents=True, exist_ok=True)
    dictionary = folder / "tokens.dict"
    module = load(target)
    dictionary.write_text("\n".join(quoted(token) for token in module.TOKENS) + "\n")
    longest = getattr(module, "MAX_INPUT", MAX_INPUT)
    command = [
        *(sys.executable, "-m", "tests.fuzz.one", target, str(grown), str(SEEDS / target)),
        *(f"-runs={executions or -1}", f"-max_total_time={seconds}", f"-seed={seed}"),
        *(f"-max_len={longest}", f"-timeout={hang}", f"-dict={dictionary}"),
        *("-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={folder}/"),
    ]
    start = time.monotonic()
    with (folder / "log").open("w+") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
        log.seek(0)
        text = log.read()
    return Result(
        target,
        int(last(r"stat::number_of_executed_units: (\d+)", text) or 0),
        time.monotonic() - start,
        len(list(grown.iterdir())) + len(list((SEEDS / target).iterdir())),
        int(last(r" ft: (\d+)", text) or 0),
        "" if done.returncode == 0 else finding(text, folder),
    )


def quoted(token: bytes) -> str:
    """A word in libFuzzer's dictionary syntax."""
    return '"' + "".join(f"\\x{byte:02x}" for byte in token) + '"'


def last(pattern: str, text: str) -> str | None:
    """The last thing that the pattern's group matched."""
    found = re.findall(pattern, text)
    return found[-1] if found else None


def finding(text: str, folder: Path) -> str:
    """Where the input that broke the target is."""
    return last(r"Test unit written to (\S+)", text) or f"it did not run, see {folder / 'log'}"


def reproduce(target: str, file: Path) -> None:
    """Give one input to a target."""
    load(target).check(file.read_bytes())
    print(f"{target}: nothing wrong with {file}")


def main() -> int:
    """Run the targets named on the command line, or all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("target", nargs="*", choices=[[], *TARGETS], metavar="TARGET")
    parser.add_argument("--executions", type=int, default=0, help="of each target; 0: no bound")
    parser.add_argument("--seconds", type=int, default=60, help="of each target; 0: no bound")
    parser.add_argument("--seed", type=int, default=0, help="of the fuzzer's random numbers")
    parser.add_argument(
        "--hang",
        type=int,
        default=HANG_SECONDS,
        metavar="SECONDS",
        help="longest wall-clock time for one input; more if the run may be paused",
    )
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="check one input")
    options = parser.parse_args()
    targets: list[str] = options.target or list(TARGETS)
    if options.reproduce:
        for target in targets:
            reproduce(target, options.reproduce)
        return 0
    print("| target | executions | seconds | per second | corpus | features | finding |")
    print("| --- | --- | --- | --- | --- | --- | --- |", flush=True)
    results = []
    for target in targets:
        results.append(
            fuzz(
                target,
                executions=options.executions,
                seconds=options.seconds,
                seed=options.seed,
                hang=options.hang,
            )
        )
        print(results[-1].row(), flush=True)
    return int(any(result.finding for result in results))


if __name__ == "__main__":
    sys.exit(main())
