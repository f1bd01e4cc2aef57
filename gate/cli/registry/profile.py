"""The registry that somebody has logged in to: one file of their own, 0600."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from gate.cli.errors import CliError
from gate.files import PRIVATE, replace_file


class ProfileError(CliError):
    """The profile can't be used."""


@dataclass(slots=True, frozen=True)
class Profile:
    """How to reach a registry, and with which token."""

    url: str
    token: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def profile_path() -> Path:
    """Return where the profile is: GATE_REGISTRY_PROFILE, or in the user's folder of settings."""
    named = os.environ.get("GATE_REGISTRY_PROFILE")
    return Path(named) if named else Path(click.get_app_dir("gate")) / "registry.json"


def read_profile() -> Profile | None:
    """Return the profile; None where nobody has logged in.

    Raises ProfileError for a file that others may read, or that is no profile.
    """
    path = profile_path()
    try:
        with path.open(encoding="utf-8") as file:
            if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise ProfileError(
                    f"{path} holds a token, and others may read it: chmod 600 {path}, and have "
                    "the token replaced if somebody has"
                )
            found = json.load(file)
        files = {
            name: Path(found[name]) if found.get(name) else None
            for name in ("ca", "certificate", "key")
        }
        return Profile(str(found["url"]), str(found["token"]), **files)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProfileError(
            f"{path} can't be used: {error}; log in again with `gate registry login`"
        ) from error


def keep_profile(profile: Profile) -> Path:
    """Write the profile, for its owner alone; return where. Raises OSError."""
    path = profile_path()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fields = {key: str(value) for key, value in asdict(profile).items() if value is not None}
    replace_file(path, json.dumps(fields, indent=2), mode=PRIVATE)
    return path


def forget_profile() -> bool:
    """Remove the profile; return whether there was one. Raises OSError."""
    try:
        profile_path().unlink()
    except FileNotFoundError:
        return False
    return True
