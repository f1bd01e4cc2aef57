"""Real names: 110,769 lines of names served from mainland China, imported, judged, compared.

`tests/data/filed-domains.txt` stands in for the filed set (felixonmars/dnsmasq-china-list, WTFPL).
The reference is a plain set of the lines that are no public suffix, asked label by label.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from publicsuffixlist import PublicSuffixList

from gate.policy import Decider
from gate.replica import Replica
from tests.harness import hello
from tests.harness.client import Client, get
from tests.harness.gate_process import Gate, listener, run_gate
from tests.harness.swarm import Fanout

LIST = Path(__file__).parent.parent / "data" / "filed-domains.txt"
JUDGED = 200_000
ON_THE_WIRE = 5_000


@functools.cache
def suffixes() -> dict[int, str]:
    """Return the lines that are public suffixes, by number: six whole TLDs.

    Names that are suffixes by their owners' wish are registered, and filed.
    """
    psl = PublicSuffixList(only_icann=True)
    lines = enumerate(LIST.read_text().splitlines(), 1)
    return {number: line for number, line in lines if psl.privatesuffix(line) is None}


@functools.cache
def filed() -> frozenset[str]:
    return frozenset(LIST.read_text().splitlines()) - frozenset(suffixes().values())


def is_filed(name: str) -> bool:
    """The reference: the name or a parent of it is in the set."""
    name = name.lower().removesuffix(".")
    while name:
        if name in filed():
            return True
        _, _, name = name.partition(".")
    return False


def mix(rng: random.Random, count: int) -> Iterator[str]:
    """Filed names, names below them, look-alikes, and names that nobody has filed."""
    names = sorted(filed())
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    for _ in range(count):
        name = rng.choice(names)
        label, dot, rest = name.partition(".")
        kind = rng.randrange(10)
        if kind == 0:
            yield name
        elif kind == 1:
            yield f"www.{name}"
        elif kind == 2:
            yield f"a.b-c.{rng.choice(letters)}1.{name}"
        elif kind == 3:
            yield name.upper() + rng.choice(("", "."))
        elif kind == 4:
            yield f"{rng.choice(letters)}{name}"  # a string suffix, not a label suffix
        elif kind == 5:
            yield f"{name}.{rng.choice(('com', 'net', 'top', 'com.cn'))}"
        elif kind == 6 and not label.startswith("xn--"):
            at = rng.randrange(len(label))
            yield label[:at] + rng.choice(letters) + label[at + 1 :] + dot + rest
        elif kind == 7 and not label.startswith("xn--"):
            yield f"{label}{rng.choice(letters)}{dot}{rest}"
        elif kind == 8:
            yield rest if "." in rest else f"{label}.{rng.choice(('org', 'io', 'example'))}"
        else:
            yield "".join(rng.choices(letters, k=12)) + rng.choice((".com", ".cn", ".com.cn"))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gate, str]]:
    """A gate on the imported list (not started), and what the import said of refused lines."""
    origin = Fanout(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    gate = Gate(
        tmp_path_factory.mktemp("real-names"),
        {
            "workers": 1,
            "process": {"drain_seconds": 0},
            "listeners": [listener("http", "http"), listener("tls", "tls")],
            "upstreams": {"default": {"http": [origin.address], "tls": [origin.address]}},
        },
    )
    done = run_gate("import", str(LIST), "--config", str(gate.config), check=False)
    assert done.returncode == 1  # taken, but for the refused lines
    try:
        yield gate, done.stderr
    finally:
        gate.stop()
        origin.close()


def test_lines_that_are_whole_suffixes_are_refused_by_number(
    imported: tuple[Gate, str],
) -> None:
    _, said = imported
    assert len([line for line in suffixes().values() if "." not in line]) == 6
    refused = dict(re.findall(r"(?<!note: )line (\d+): '([^']*)'", said))
    assert {int(number): name for number, name in refused.items()} == suffixes()


def test_200000_names_are_judged_as_the_reference_does(imported: tuple[Gate, str]) -> None:
    gate, _ = imported
    rng = random.Random(1)
    with closing(Replica.open(gate.directory / "replica", writable=False)) as replica:
        assert replica.count() == len(filed())
        decider = Decider(replica)
        wrong = [
            name
            for name in mix(rng, JUDGED)
            if decider.decide(name.encode()).allowed != is_filed(name)
        ]
    assert wrong == []


def test_names_on_the_wire_are_judged_as_the_reference_does(imported: tuple[Gate, str]) -> None:
    gate, _ = imported
    gate.start()
    rng = random.Random(2)
    wrong = []
    client = Client(gate.ports["http"])
    for name in mix(rng, ON_THE_WIRE):
        response = client.ask(get(name, "/"))
        if (response.status == 200) != is_filed(name):
            wrong.append((name, response.status))
        if response.status != 200:
            client.close()
            client = Client(gate.ports["http"])
    client.close()
    for name in mix(rng, ON_THE_WIRE):
        with Client(gate.ports["tls"]) as one:
            one.send(hello.hello(name.encode()))
            try:
                passed = bool(one.read_some())
            except ConnectionResetError:
                passed = False
        if passed != is_filed(name):
            wrong.append((name, passed))
    assert wrong == []
