"""The long differential run: `python -m tests.native.differential [PARSER...] [--accepted N]`.

Each parser gets changed seeds until native has taken N of them; `connections` plays N scripts of
whole connections on both data planes, and is run only when it is named. A difference ends the run
with exit status 1 and prints the input. At the end a table says what was run.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from random import Random

from tests.native.inputs import ALL_RECIPES, RECIPES, Recipe


def run(recipe: Recipe, accepted: int, seed: int) -> bool:
    """Print the parser's row; False if there was a difference."""
    random = Random(seed)
    made = taken = 0
    start = time.process_time()
    while taken < accepted:
        data = recipe.make(random)
        made += 1
        try:
            taken += recipe.check(data)
        except AssertionError as error:
            print(f"{recipe.name}: {data!r}: {error}", file=sys.stderr)
            return False
    seconds = time.process_time() - start
    print(f"| {recipe.name} | {made:,} | {taken:,} | {seconds:,.0f} | none |", flush=True)
    return True


def main() -> int:
    """Run the parsers named on the command line, or all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    names = [recipe.name for recipe in RECIPES]
    choices = [[], *(recipe.name for recipe in ALL_RECIPES)]
    parser.add_argument("parser", nargs="*", choices=choices, metavar="PARSER")
    parser.add_argument("--accepted", type=int, default=10_000_000, metavar="N")
    parser.add_argument("--seed", type=int, default=0, help="of the random changes")
    options = parser.parse_args()
    print("| parser | inputs | taken by native | CPU seconds | difference |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    logging.disable(logging.WARNING)  # refused responses are what it is about
    chosen = [recipe for recipe in ALL_RECIPES if recipe.name in (options.parser or names)]
    return int(not all(run(recipe, options.accepted, options.seed) for recipe in chosen))


if __name__ == "__main__":
    sys.exit(main())
