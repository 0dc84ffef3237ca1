"""The long form: ``make fuzz ARGS="--minutes 5 [TARGET …]"``. Each target gets an equal share of the time.

With atheris in the environment each target runs in a process of its own, guided by coverage of ``gateway``; what it learns stays
in ``build/fuzz/``. Without it the corpus is mutated blindly. A find is written to ``build/fuzz/`` and shown; exit code 1.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import time
import traceback
from pathlib import Path
from random import Random

from fuzz.mutation import CORPUS, strangers

BUILD = Path("build/fuzz")


def _blind(target: str, seconds: float, seed: int) -> bool:
    from fuzz.targets import TARGETS

    end, tried = time.monotonic() + seconds, 0
    for data in strangers(target, Random(seed)):
        try:
            TARGETS[target](data)
        except Exception:  # noqa: BLE001 - whatever it is, it is a find
            BUILD.mkdir(parents=True, exist_ok=True)
            find = BUILD / f"{target}-{hashlib.sha256(data).hexdigest()[:12]}"
            find.write_bytes(data)
            print(f"{target}: {find}\n{traceback.format_exc()}")
            return False
        tried += 1
        if time.monotonic() > end:
            break
    print(f"{target}: {tried} inputs, nothing found", flush=True)
    return True


def _guided(target: str, seconds: float) -> bool:
    learnt = BUILD / "corpus" / target
    learnt.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fuzz", "--guided", target, str(learnt), str(CORPUS / target)]
    options = [f"-max_total_time={max(1, round(seconds))}", "-max_len=20000", f"-artifact_prefix={BUILD}/{target}-"]
    done = subprocess.run([*command, *options, "-print_final_stats=1"], capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    tried = next((line.split()[-1] for line in lines if "number_of_executed_units" in line), "?")
    print("\n".join(lines[-60:]) if done.returncode else f"{target}: {tried} inputs, nothing found", flush=True)
    return done.returncode == 0


def _run_guided(target: str, arguments: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["gateway"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *arguments], TARGETS[target])
    atheris.Fuzz()


def main() -> int:
    if sys.argv[1:2] == ["--guided"]:
        _run_guided(sys.argv[2], sys.argv[3:])
        return 0
    known = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("target", nargs="*", help=f"one or more of {', '.join(known)}; all by default")
    asked = parser.parse_args()
    if unknown := set(asked.target) - set(known):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    chosen = asked.target or known
    share = asked.minutes * 60 / len(chosen)
    guided = importlib.util.find_spec("atheris") is not None
    print(f"{'guided by coverage' if guided else f'blind, seed {asked.seed}'}, {share:.0f} s a target", flush=True)
    clean = [_guided(one, share) if guided else _blind(one, share, asked.seed) for one in chosen]
    return 0 if all(clean) else 1


if __name__ == "__main__":
    sys.exit(main())
