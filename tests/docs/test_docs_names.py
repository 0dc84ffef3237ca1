"""What the documents name exists: links and their anchors, files, functions, commands and options, log events, workers, profiles."""

import argparse
import importlib.util
import io
import re
import shlex
from types import SimpleNamespace

import pytest

from gateway.app.check import check
from gateway.app.compound import BUILTIN, worker_names
from gateway.cli import _parser
from gateway.nodes import Faults
from gateway.site.shapes import FORMATS
from gateway.words import CATALOGUE, columns

_COMMAND = re.compile(r"^\s*(?:\$ )?(?:\S*bin/)?loudong +(?P<rest>[a-z][^`\n|#]*)")
_LINK = re.compile(r"\]\((?P<target>[^)\s#]*)(?:#(?P<anchor>[^)\s]+))?\)")
_TARGET = re.compile(r"(?:`|\$ |sudo |^)make (?:-C \S+ )?([a-z]+)\b(?! a)", re.MULTILINE)
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)\(", re.MULTILINE)
_WITNESS = re.compile(r"`(test_\w+)`")
_FILE = re.compile(r"`(?P<path>(?:gateway|tests|docs|tools|systemd|examples|requirements)/[\w./-]+)`")


def test_every_test_that_a_page_calls_as_a_witness_is_there(pages):
    there = {
        name
        for file in (pages.root / "tests").rglob("test_*.py")
        for name in _TEST.findall(file.read_text(encoding="utf-8"))
    }
    named = {(page, name) for page in pages.all() for name in _WITNESS.findall(pages.text(page))}
    assert named
    assert [one for one in sorted(named) if one[1] not in there] == []


def test_every_door_has_a_witness_or_a_reason_in_each_column(pages):
    """docs/security.md: the table of what shows it."""
    text = pages.text("docs/security.md")
    rows = [
        line.strip("|").split("|")
        for line in text[text.index("| door | who may | size |") :].split("\n\n")[0].splitlines()
    ]
    columns, doors = rows[0], rows[2:]
    assert len(doors) >= 5
    for door in doors:
        assert len(door) == len(columns)
        for cell in door[1:]:
            assert _WITNESS.search(cell) or cell.startswith(" – "), (door[0], cell)


def _subcommands():
    return _nested(_parser())


def _nested(parser):
    """The commands of a parser; one that has commands of its own knows their options, too."""
    found = [action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for choices in found:
        for sub in choices.values():
            for inner in _nested(sub).values():
                sub._option_string_actions = inner._option_string_actions | sub._option_string_actions
    return {name: sub for choices in found for name, sub in choices.items()}


def _called(pages):
    """Every ``loudong …`` in code: the page, the command and what follows it."""
    for page in pages.all():
        text = pages.text(page)
        inline = re.findall(r"`([^`\n]*loudong [^`\n]*)`", text)
        fenced = [
            line
            for block in pages.blocks(page)
            for line in block.text.splitlines()
            if block.info in {"", "sh", "text", "console"}
        ]
        for line in (*inline, *fenced):
            for match in _COMMAND.finditer(line):
                yield page, match["rest"].split(";")[0].split("&&")[0].strip()


def test_every_command_named_is_one_with_these_options(pages):
    known = _subcommands()
    found = list(_called(pages))
    assert len(found) > 25
    for page, rest in found:
        command, *words = shlex.split(rest.replace("…", ""))
        assert command in known, f"{page}: loudong {rest}"
        for word in words:
            if word.startswith("--"):
                assert word.split("=")[0] in known[command]._option_string_actions, f"{page}: loudong {rest}"


def test_options_in_the_table_of_commands_are_those_of_the_command(pages):
    rows = re.findall(r"^\| `loudong ([a-z-]+)[^|]*\|.*$", pages.text("docs/operations.md"), re.MULTILINE)
    assert len(rows) == len(_subcommands())
    for row in re.finditer(r"^\| `loudong ([a-z-]+).*$", pages.text("docs/operations.md"), re.MULTILINE):
        options = re.findall(r"(?<![\w-])--[a-z-]+", row[0])
        assert set(options) <= set(_subcommands()[row[1]]._option_string_actions), row[0]


def test_every_command_there_is_stands_in_operations(pages):
    text = pages.text("docs/operations.md")
    assert [name for name in _subcommands() if f"`loudong {name}" not in text] == []
    rows = {row[1]: row[0] for row in re.finditer(r"^\| `loudong ([a-z-]+).*$", text, re.MULTILINE)}
    below = [(name, deed) for name, parser in _subcommands().items() for deed in _nested(parser)]
    assert len(below) >= 7
    assert [(name, deed) for name, deed in below if not re.search(rf"\b{deed}\b", rows[name])] == []


def test_what_setup_says_on_the_page_is_what_it_says(pages):
    """docs/install.md: `…` and names stand for what differs."""
    said = pages.text("tools/bootstrap.py") + pages.text("Makefile")
    table = pages.text("docs/install.md").split("## 2. ", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(rows) == 7
    parts = [part.strip() for row in rows for part in re.split(r"…|\.venv|python3", row)]
    assert [part for part in parts if part not in said] == []


def test_every_target_of_make_named_exists_and_each_is_named(pages):
    makefile = (pages.root / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    texts = [pages.text(page) for page in pages.all()] + [(pages.root / "CONTRIBUTING.md").read_text(encoding="utf-8")]
    named = {target for text in texts for target in _TARGET.findall(text)}
    assert named - targets == set()
    assert targets - named == {"clean", "format"}  # `make help` tells of these


def _anchors(text):
    """Anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere(pages):
    for page in pages.all():
        here = pages.root / page
        for link in _LINK.finditer(pages.text(page)):
            if "://" in link["target"]:
                continue
            target = here.parent / link["target"] if link["target"] else here
            assert target.exists(), f"{page}: {link['target']}"
            if link["anchor"]:
                assert link["anchor"] in _anchors(target.read_text(encoding="utf-8")), f"{page}: {link[0]}"


def test_every_file_named_exists(pages):
    missing = [
        f"{page}: {path}"
        for page in pages.all()
        for path in _FILE.findall(pages.text(page))
        if not (pages.root / path).exists()
    ]
    assert missing == []


def test_the_link_checker_agrees(pages):
    spec = importlib.util.spec_from_file_location("check_links", pages.root / "tools/check_links.py")
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    assert [fault for page in checker.pages() for fault in checker.faults_of(page)] == []


@pytest.fixture(scope="module")
def source(pages):
    return "\n".join(path.read_text(encoding="utf-8") for path in (pages.root / "gateway").rglob("*.py"))


def test_every_function_named_in_the_walks_exists(pages, source):
    """``Class.method`` and plain names in the tables of docs/architecture.md."""
    rows = [line for line in pages.text("docs/architecture.md").splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) >= 20
    named = {name for row in rows for name in re.findall(r"`([A-Z]\w+\.\w+|_\w+|[a-z]+_[a-z_]+)`", row)}
    assert len(named) > 15
    for name in named:
        owner, _, method = name.rpartition(".")
        assert re.search(rf"\bdef {method}\b", source), name
        if owner:
            assert re.search(rf"\bclass {owner}\b", source), name


def test_every_decision_is_reached_from_the_architecture(pages):
    decisions = sorted((pages.root / "docs/decisions").glob("*.md"))
    assert len(decisions) >= 8
    text = pages.text("docs/architecture.md")
    assert [page.name for page in decisions if f"decisions/{page.name}" not in text] == []


def test_every_decision_says_why_and_what_it_costs(pages):
    for page in sorted((pages.root / "docs/decisions").glob("*.md")):
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.name[:4]} ")
        parts = re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE)
        assert parts == ["Context", "Decision", "Why", "Cost"], page.name


def test_every_log_event_named_is_one_that_is_logged(pages, source):
    text = pages.text("docs/operations.md").split("## Logs\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    events = [event for row in rows for event in re.findall(r"`(\w+)`", row)]
    assert len(events) > 20
    assert [
        event for event in events if not re.search(rf'(log\.\w+|_complain)\(\s*"{event}"|"event": "{event}"', source)
    ] == []


def test_every_worker_is_in_the_table(pages):
    site, _ = check(pages.root / "examples/fukang-garden/site.yaml", Faults())
    text = pages.text("docs/operations.md")
    for worker in worker_names(site):
        generic = re.sub(r"^(bus|uplink|history|stream)-.*", r"\1-NAME", worker)
        assert f"| `{generic}` |" in text


@pytest.mark.parametrize(("page", "spoken"), [("docs/site.md", "en_US.UTF-8"), ("docs/zh/site.md", "zh_CN.UTF-8")])
def test_what_check_says_of_the_example_is_what_it_says(pages, monkeypatch, capsys, page, spoken):
    from gateway.cli import main

    monkeypatch.chdir(pages.root)
    monkeypatch.setenv("LC_ALL", spoken)
    (shown,) = [block.text for block in pages.blocks(page) if block.info == "console"]
    assert main(["check", "examples/one-stairwell/site.yaml"]) == 0
    assert capsys.readouterr().out == shown.split("\n", 1)[1]


@pytest.mark.parametrize(
    ("page", "spoken"), [("docs/profiles.md", "en_US.UTF-8"), ("docs/zh/profiles.md", "zh_CN.UTF-8")]
)
def test_what_a_new_profile_is_told_on_the_page_is_what_it_is_told(pages, tmp_path, monkeypatch, capsys, page, spoken):
    from gateway.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LC_ALL", spoken)
    (shown,) = [block.text.split("\n", 2) for block in pages.blocks(page) if block.info == "console"]
    new, file = shown[0].removeprefix("$ loudong ").split(" > ")
    assert main(new.split()) == 0
    (tmp_path / file).parent.mkdir()
    (tmp_path / file).write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(shown[1].removeprefix("$ loudong ").split()) == 0
    assert capsys.readouterr().out == shown[2]


def test_pages_do_not_run_wide(pages):
    """A line of prose is read in a terminal, too, where a Chinese character takes two columns; tables may be wide."""
    for page in pages.all():
        prose = re.sub(r"^```.*?^```$", "", pages.text(page), flags=re.MULTILINE | re.DOTALL)
        wide = [line for line in prose.splitlines() if columns(line) > 140 and not line.startswith("|")]
        assert wide == [], page


def test_what_the_readme_counts_is_that_many(pages):
    site, _ = check(pages.root / "examples/fukang-garden/site.yaml", Faults())
    text = pages.text("README.md").replace("\n", " ")
    profiles = list((pages.root / "gateway/drivers/profiles").glob("*.yaml"))
    builtin = re.findall(r"^- rule: ", BUILTIN.read_text(encoding="utf-8"), re.MULTILINE)
    under_care = [person for person in site.people.values() if person.care]
    devices = [device for bus in site.buses.values() for device in bus.devices]
    assert f"{len(devices)} Modbus devices on four buses, {len(site.buttons)} buttons" in text
    assert f"{len(site.doors)} doors and {len(under_care)} people under care" in text
    assert f"[{len(profiles)} profiles]" in text
    assert f"{len(builtin)} are built in" in text
    assert (len(site.buses), len(FORMATS), "[Seven formats]" in text) == (4, 7, True)


@pytest.mark.parametrize("page", ["docs/operations.md", "docs/zh/operations.md"])
def test_what_decode_answers_on_the_page_is_what_it_answers(pages, monkeypatch, capsys, page):
    from gateway.cli import main

    (shown,) = [block.text.splitlines() for block in pages.blocks(page) if block.info == "json decode"]
    asked, answered = shown[::2], shown[1::2]
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("\n".join(asked).encode())))
    assert main(["decode"]) == 0
    assert capsys.readouterr().out.splitlines() == answered


@pytest.mark.parametrize(
    ("page", "spoken", "heading"),
    [("operations.md", 1, "Why did it not ring"), ("zh/operations.md", 0, "为什么没有响")],
)
def test_why_it_did_not_ring_is_asked_of_a_command_and_told_in_words_that_are_said(pages, page, spoken, heading):
    """docs/operations.md: what stands in “ ” is what a person sees there, in each language."""
    section = pages.text(f"docs/{page}").split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 20
    assert [row for row in rows if len(row) != 4 or not re.fullmatch(r"`loudong [^`]+`", row[1])] == []
    said = "\n".join(sentences[spoken] for sentences in CATALOGUE.values()) + "—"
    told = [words for row in rows for words in re.findall(r"“([^”]+)”", f"{row[2]} {row[3]}")]
    assert len(told) >= 15
    assert [words for words in told if words not in said] == []
