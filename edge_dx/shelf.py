"""Bundles by name: those shipped inside the package, and those installed on this device."""

from __future__ import annotations

from pathlib import Path

from edge_dx import device
from edge_dx.bundle import SUFFIX
from edge_dx.errors import NotFound


def installed_directory() -> Path:
    """Put an `.edx` file here and its name finds it."""
    return device.data_directory() / "bundles"


def shipped_directory() -> Path:
    """The bundles that come with the package."""
    return Path(__file__).parent / "zoo"


def names() -> dict[str, Path]:
    """Every bundle that a bare name finds; an installed one hides a shipped one."""
    found: dict[str, Path] = {}
    for directory in (shipped_directory(), installed_directory()):
        if directory.is_dir():
            found.update({path.stem: path for path in sorted(directory.glob(f"*{SUFFIX}"))})
    return found


def find(name: str | Path) -> Path:
    """The path of a bundle given by path or by bare name.

    Raises:
        NotFound: neither a path nor a known name; the message lists the names.
    """
    path = Path(name)
    try:
        if path.exists():
            return path
    except OSError as error:  # a name too long, a parent that may not be entered
        raise NotFound(f"{name}: cannot be reached ({error.strerror})") from error
    known = names()
    if str(name) in known:
        return known[str(name)]
    raise NotFound(
        f"{name}: no such bundle file, and no bundle of that name is shipped or installed "
        f"(there are: {', '.join(known) or 'none'}; put .edx files into {installed_directory()})"
    )
