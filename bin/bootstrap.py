"""Make .venv hold exactly what a lock file pins, and do nothing when it already does.

Standard library only, because nothing is installed yet. Packages come from wherever this machine's pip is told to
get them (index, extra index, find-links, certificates): pip's answer is handed to uv by environment, never written
into a file of ours. Every download is checked against the hashes of the lock.
"""

# ruff: noqa: INP001, T201, S603, S607 - a script, not a package; it prints; it starts programs it names itself

from __future__ import annotations

import argparse
import ast
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.sha256"
INSTALLER_LOCK = ROOT / "bin" / "installer.lock"
BUILD_LOCK = ROOT / "bin" / "build.lock"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
OLDEST = (3, 11)

#: pip's word for it -> uv's variables.
FROM_PIP = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
    "no-index": "UV_NO_INDEX",
    "cert": "SSL_CERT_FILE",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "timeout": "UV_HTTP_TIMEOUT",
    "proxy": "HTTPS_PROXY",
}


def say(words: str) -> None:
    """Say what is going on, at once."""
    print(words, flush=True)


def stop(sentence: str) -> None:
    """End with one sentence and exit code 1."""
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(1)


def run(*command: str | Path, environment: dict[str, str] | None = None, quiet: bool = False) -> int:
    """Run a command to its end and return its exit code; `quiet` drops what it says."""
    silence = subprocess.DEVNULL if quiet else None
    done = subprocess.run([str(word) for word in command], env=environment, check=False, stdout=silence, stderr=silence)
    return done.returncode


def on_debian() -> str:
    """Return `debian` or `ubuntu` (or a relative's id) where apt-get is, else an empty string."""
    release = Path("/etc/os-release")
    if not shutil.which("apt-get") or not release.exists():
        return ""
    fields = dict(line.split("=", 1) for line in release.read_text(encoding="utf-8").splitlines() if "=" in line)
    return fields.get("ID", "").strip('"') or "debian"


def may_install() -> bool:
    """Tell whether we are root on a machine with apt-get."""
    return os.geteuid() == 0 and bool(on_debian())


def apt_install(*packages: str) -> bool:
    """Install packages of Debian or Ubuntu; False when that did not work."""
    say(f"Installing {' '.join(packages)} with apt-get …")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    if run(*install, environment=environment, quiet=True) == 0:
        return True
    run("apt-get", "update", "-qq", environment=environment)
    return run(*install, environment=environment) == 0


def fingerprint(lock: Path) -> str:
    """Say in one line what has to be installed for this lock by this interpreter in this place."""
    parts = [lock.read_bytes(), INSTALLER_LOCK.read_bytes(), BUILD_LOCK.read_bytes(), str(ROOT).encode()]
    parts.append(Path(__file__).read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def stamped() -> set[str]:
    """Return the fingerprints that are already installed."""
    return set(STAMP.read_text(encoding="utf-8").split()) if STAMP.exists() and works(PYTHON) else set()


def works(python: Path) -> bool:
    """Tell whether an interpreter starts and is new enough (an upgraded machine breaks old environments)."""
    question = f"import sys; sys.exit(sys.version_info < {OLDEST})"
    return python.exists() and run(python, "-I", "-c", question, quiet=True) == 0


def make_environment() -> None:
    """Make .venv with pip in it, or say which package of the machine is missing for that."""
    if works(PYTHON) and run(PYTHON, "-I", "-m", "pip", "--version", quiet=True) == 0:
        return
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    if works(PYTHON) and run(PYTHON, "-I", "-m", "ensurepip", quiet=True) == 0:
        return
    say(f"Making .venv with Python {version} …")
    if run(sys.executable, "-I", "-c", "import venv, ensurepip", quiet=True) != 0:
        missing = f"python{version}-venv"
        if not (may_install() and (apt_install(missing) or apt_install("python3-venv"))):
            stop(
                f"This Python {version} cannot make virtual environments: install the package {missing} "
                f"(Debian, Ubuntu: apt-get install {missing}). / 缺少软件包 {missing}，请先安装。"
            )
    shutil.rmtree(VENV, ignore_errors=True)
    if run(sys.executable, "-I", "-m", "venv", VENV) != 0 or not works(PYTHON):
        stop(f"{sys.executable} could not make a virtual environment in {VENV}; see above.")


def pip_settings() -> dict[str, str]:
    """Return pip's settings for downloads; the environment wins over `install`, that over `global`."""
    answer = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    found: dict[str, tuple[int, str]] = {}
    for line in answer.splitlines():
        place, _, value = line.partition("=")
        section, _, key = place.rpartition(".")
        rank = {"global": 1, "install": 2, ":env:": 3}.get(section, 0)
        if rank and key in FROM_PIP and rank >= found.get(key, (0, ""))[0]:
            found[key] = (rank, str(ast.literal_eval(value)))
    return {key: value for key, (_rank, value) in found.items()}


def uv_environment(settings: dict[str, str]) -> dict[str, str]:
    """Return our environment with pip's settings in uv's words; what the person set for uv stays."""
    environment = {
        # pip looks for the best version on all indexes; the hashes say which file is the right one.
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "VIRTUAL_ENV": str(VENV),
        "UV_PYTHON_DOWNLOADS": "never",
    }
    for key, value in settings.items():
        words = value.split()
        separator = "," if key == "find-links" else " "
        environment.setdefault(FROM_PIP[key], separator.join(words))
    environment |= os.environ
    # A bytecode-free environment starts in seconds instead of tenths.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def install(lock: Path) -> None:
    """Install the lock with uv, or with pip where uv cannot be had."""
    say(f"Installing what {lock.name} pins …")
    settings = pip_settings()
    quietly = ("--disable-pip-version-check", "--no-input", "-q")
    pip = (PYTHON, "-m", "pip", "install", *quietly, "--require-hashes")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    uv = VENV / "bin" / "uv"
    if run(*pip, "--only-binary", ":all:", "-r", INSTALLER_LOCK, environment=environment) == 0 and uv.exists():
        wanted = ("--require-hashes", "--compile-bytecode", "--build-constraints", BUILD_LOCK, "-r", lock)
        if run(uv, "pip", "install", "--python", PYTHON, *wanted, environment=uv_environment(settings)) == 0:
            return
        say("uv did not succeed; trying pip, which takes longer …")
    else:
        say("uv cannot be had here; using pip, which takes longer …")
    if run(*pip, "-r", lock, environment=environment) != 0:
        stop(f"The packages of {lock.name} could not be installed; see above. / 依赖安装失败，原因见上。")


def relock() -> None:
    """Pin the newest versions that pyproject.toml allows: one lock to run, one to develop, for every Python."""
    environment = uv_environment(pip_settings())
    bare = ("--no-emit-index-url", "--no-emit-find-links", "--no-header", "--no-annotate")
    general = ("--universal", "--python-version", ".".join(map(str, OLDEST)), "--generate-hashes", "--upgrade", "-q")
    for name, extras in (("requirements-dev.lock", ("private", "dev")), ("requirements.lock", ("private",))):
        wanted = [word for extra in extras for word in ("--extra", extra)]
        # What runs is pinned to what was tested: the smaller lock is cut out of the larger one.
        limits: tuple[str | Path, ...] = ("-c", ROOT / "requirements-dev.lock") if name == "requirements.lock" else ()
        command: tuple[str | Path, ...] = (
            VENV / "bin" / "uv",
            "pip",
            "compile",
            ROOT / "pyproject.toml",
            *wanted,
            *general,
            *bare,
            *limits,
        )
        if run(*command, "-o", ROOT / name, environment=environment, quiet=True) != 0:
            stop(f"{name} could not be resolved: run {' '.join(map(str, command))}")


def link_checkout() -> None:
    """Make the checkout importable and give it its command, as an editable installation would."""
    site = next((VENV / "lib").glob("python*/site-packages"))
    (site / "hotline-checkout.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    command = VENV / "bin" / "hotline"
    command.write_text(
        f'#!/bin/sh\nexec "{PYTHON}" -m hotline.cli "$@"\n',
        encoding="utf-8",
    )
    command.chmod(0o755)
    packages = [str(path.parent) for path in ROOT.glob("*/__init__.py")]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run(PYTHON, "-m", "compileall", "-q", *packages, environment=environment, quiet=True)


def has_chinese_font() -> bool:
    """Tell whether a screenshot would show Chinese and not little boxes."""
    if not shutil.which("fc-list"):
        return False
    answer = subprocess.run(["fc-list", ":lang=zh", "family"], capture_output=True, text=True, check=False)
    return bool(answer.stdout.strip())


def has_browser() -> bool:
    """Tell whether a Chromium is on the path or among playwright's own."""
    own = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    return any(shutil.which(name) for name in BROWSERS) or any(own.glob("chromium*"))


def prepare_browser() -> None:
    """See to it that the browser tests find a Chromium and a Chinese font, or say what to install."""
    if not has_browser():
        # Ubuntu's `chromium` is a snap, which does not run in containers.
        own: list[str | Path] = [PYTHON, "-m", "playwright", "install", "--with-deps", "chromium"]
        installed = may_install() and (run(*own) == 0 if on_debian() == "ubuntu" else apt_install("chromium"))
        if not (installed and has_browser()):
            stop(
                "The browser tests need Chromium: apt-get install chromium fonts-noto-cjk (Debian), "
                "or .venv/bin/playwright install --with-deps chromium; `make test BROWSER=no` leaves them out. "
                "/ 浏览器测试需要 Chromium 和中文字体。"
            )
    if not has_chinese_font() and not (
        may_install() and apt_install("fontconfig", "fonts-noto-cjk") and has_chinese_font()
    ):
        stop("The browser tests need a Chinese font: apt-get install fontconfig fonts-noto-cjk. / 需要中文字体。")


def main() -> None:
    """Install what is asked for, one process at a time."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("lock", nargs="?", default="requirements.lock", help="lock file to install")
    options.add_argument("--relock", action="store_true", help="write both lock files anew and install nothing")
    options.add_argument("--browser", action="store_true", help="also see to Chromium and a Chinese font")
    wanted = options.parse_args()
    lock = ROOT / wanted.lock
    folder = os.open(ROOT, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)  # Two makes at once: the second waits and then finds everything done.
    if wanted.relock:
        relock()
        return
    before = stamped()
    if fingerprint(lock) not in before:
        make_environment()
        install(lock)
        link_checkout()
        new = {fingerprint(lock)}
        if lock.name == "requirements-dev.lock":
            new.add(fingerprint(ROOT / "requirements.lock"))  # Which it holds; tests/house checks that.
        STAMP.write_text("\n".join(sorted(before | new)) + "\n", encoding="utf-8")
    if wanted.browser:
        prepare_browser()


if __name__ == "__main__":
    main()
