"""Every fault of hub, network or disk ends soon in the right bytes or the right error, and passes with the fault."""

import os
import time
from pathlib import Path
from textwrap import dedent

import pytest

from .conftest import NAME, REPO, Machine
from .server import (
    COMMIT,
    cut_after,
    flipped,
    hang,
    ignoring_range,
    login_page,
    other_bytes,
    slowly,
    status,
)


def outcome(machine: Machine, **environment: str) -> str:
    """Fetch; return "right" if the right bytes came, else the error; nothing wrong may be in the cache."""
    started = time.monotonic()
    out = machine.run(**environment).stdout
    assert time.monotonic() - started < 40
    for path in machine.cache.glob("models--*/snapshots/*/*"):
        assert path.read_bytes() == machine.hub.files[REPO, "model.safetensors"]
    return "right" if Path(out).is_file() else out


def recovers(machine: Machine) -> None:
    """With a healthy hub the next run succeeds."""
    machine.hub.head_faults.clear()
    machine.hub.get_faults.clear()
    machine.hub.always = None
    assert outcome(machine) == "right"


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([cut_after(700_000), cut_after(700_000)], id="cut twice"),
        pytest.param([cut_after(700_000, reset=True)], id="reset"),
        pytest.param([cut_after(700_000), ignoring_range], id="cut, then no ranges"),
        pytest.param([status(503), status(503)], id="503 twice"),
        pytest.param([status(429, {"Retry-After": "1"})], id="429"),
        pytest.param([flipped], id="flipped once"),
        pytest.param([login_page], id="log-in page once"),
        pytest.param([hang(3)], id="hangs once"),
    ],
)
def test_what_passes_is_survived(machine, faults):
    machine.hub.get_faults = list(faults)
    assert outcome(machine) == "right"
    assert not machine.hub.get_faults


def test_questions_are_repeated_too(machine):
    machine.hub.head_faults = [status(503), status(429, {"Retry-After": "0"})]
    assert outcome(machine) == "right"


def test_a_cut_download_is_resumed_where_it_stopped(machine):
    machine.hub.get_faults = [cut_after(700_000)]
    assert outcome(machine) == "right"
    ranges = [asked for verb, _, asked in machine.hub.requests if verb == "GET"]
    assert ranges[0] is None
    assert 600_000 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= 700_000


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(flipped, "IntegrityError", id="flipped byte"),
        pytest.param(other_bytes, "IntegrityError", id="right size, wrong bytes"),
        pytest.param(login_page, "IntegrityError", id="log-in page"),
        pytest.param(status(503), "OfflineError", id="503"),
        pytest.param(cut_after(0), "OfflineError", id="cut at once"),
    ],
)
def test_what_does_not_pass_is_named(machine, fault, error):
    machine.hub.always = fault
    assert outcome(machine).startswith(f"{error}: ")
    assert machine.hub.count("GET") == {"IntegrityError": 2}.get(error, machine.hub.count("GET"))
    recovers(machine)


def test_a_hub_that_hangs_is_given_up(machine):
    machine.hub.head_faults = [hang(9)] * 9
    assert outcome(machine, HF_HUB_ETAG_TIMEOUT="1").startswith("OfflineError: ")
    recovers(machine)


def test_a_wait_beyond_reason_is_not_waited(machine):
    machine.hub.always = status(429, {"Retry-After": "3600"})
    assert "wait 3600 s" in outcome(machine)


def test_a_log_in_page_in_place_of_the_hub_is_named(machine):
    machine.hub.head_faults = [login_page]
    message = outcome(machine)
    assert message.startswith("OfflineError: ")
    assert "log-in page" in message


def test_no_hub_at_all_is_offline(machine):
    machine.hub.close()
    message = outcome(machine)
    assert message.startswith("OfflineError: ")
    assert "maezoo download" in message


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"sha256": "0" * 64}, "IntegrityError", id="wrong sha256"),
        pytest.param({"size": 17}, "IntegrityError", id="wrong size"),
        pytest.param({"revision": "f" * 40}, "WeightsNotFoundError", id="no such revision"),
        pytest.param({"filename": "other.safetensors"}, "WeightsNotFoundError", id="no such file"),
        pytest.param({"repo_id": "zoo/other"}, "WeightsNotFoundError", id="no such repository"),
    ],
)
def test_a_wrong_manifest_is_noticed_before_a_byte_is_fetched(machine, changes, error):
    machine.publish(b"weights" * 1000, **changes)
    machine.hub.files.pop((REPO, "other.safetensors"), None)
    message = outcome(machine)
    assert message.startswith(f"{error}: ")
    assert machine.hub.count("GET") == 0
    machine.publish(b"weights" * 1000)
    recovers(machine)


def test_a_pin_holds_against_a_hub_that_names_files_otherwise(machine):
    machine.hub.etags[REPO, "model.safetensors"] = "v1-of-a-mirror"
    assert outcome(machine) == "right"
    machine.publish(sha256="0" * 64, size=None)
    assert machine.run(HF_HUB_CACHE=str(machine.folder / "new")).stdout.startswith("IntegrityError: ")


@pytest.mark.parametrize("code", [401, 403])
def test_a_gated_repository_says_how_to_get_in(machine, code):
    machine.hub.head_faults = [status(code, error_code="GatedRepo")]
    message = outcome(machine)
    assert message.startswith("WeightsNotFoundError: ")
    assert "HF_TOKEN" in message
    recovers(machine)


def test_a_hostile_etag_leaves_the_cache_alone(machine):
    machine.hub.etags[REPO, "model.safetensors"] = "../../../../evil"
    assert "malformed" in outcome(machine)


def test_killed_in_the_middle_the_next_run_resumes(machine):
    machine.hub.get_faults = [slowly(0.1)]
    process = machine.start("print(fetch())")
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size > 300_000 for path in machine.cache.rglob("*.incomplete")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not list(machine.cache.glob("models--*/snapshots/*/*"))
    recovers(machine)
    assert any(asked is not None for _, _, asked in machine.hub.requests)
    assert not list(machine.cache.rglob("*.incomplete"))


def test_a_disk_without_room_is_noticed_beforehand(machine):
    code = """
        import shutil
        from collections import namedtuple
        shutil.disk_usage = lambda path: namedtuple("usage", "total used free")(10**7, 0, 10**6)
        print(fetch())
    """
    assert machine.run(code).stdout.startswith("DiskFullError: ")
    assert machine.hub.count("GET") == 0


@pytest.mark.skipif(os.name != "posix", reason="POSIX limits")
def test_a_disk_that_fills_up_keeps_nothing(machine):
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))
        print(fetch())
    """
    message = machine.run(code).stdout
    assert message.startswith("DiskFullError: ")
    assert sum(path.stat().st_size for path in machine.cache.rglob("*.incomplete")) == 0
    recovers(machine)


@pytest.mark.parametrize(
    "damage", [lambda data: data[:1000], lambda data: b"x" + data[1:]], ids=["truncated", "flipped"]
)
@pytest.mark.parametrize("pins", [{}, {"sha256": None, "size": None}], ids=["pinned", "unpinned"])
def test_a_file_damaged_in_the_cache_is_fetched_again_or_refused(machine, damage, pins):
    data = machine.hub.files[REPO, "model.safetensors"]
    machine.publish(data, **pins)
    assert outcome(machine) == "right"
    machine.blob().write_bytes(damage(data))
    offline = machine.run(HF_HUB_OFFLINE="1").stdout
    assert offline.startswith("IntegrityError: ")
    assert str(machine.cache) in offline
    assert outcome(machine) == "right"
    assert machine.hub.count("GET") == 2


def test_the_commit_is_asked_for_and_not_the_moving_branch(machine):
    machine.publish(b"weights" * 1000, revision="main")
    assert outcome(machine) == "right"
    assert [path for verb, path, _ in machine.hub.requests if verb == "GET"] == [
        f"/{REPO}/resolve/{COMMIT}/model.safetensors"
    ]


def test_errors_say_the_facts_as_fields(machine):
    code = f"""
        for expected, options in ((OfflineError, {{"offline": True}}), (IntegrityError, {{}})):
            try:
                _fetch(load_manifest().find({NAME!r}), **options)
            except expected as error:
                print(error.url, error.command, error.expected, error.found, bool(error.path))
    """
    published = machine.publish(machine.hub.files[REPO, "model.safetensors"], sha256="0" * 64)
    offline, damaged = machine.run(
        "from maezoo.errors import IntegrityError, OfflineError\n" + dedent(code)
    ).stdout.split("\n")
    assert offline.startswith(machine.hub.url)
    assert offline.endswith(f"maezoo download {NAME} {'0' * 64} None True")
    assert damaged.endswith(f"None {'0' * 64} {published} False")
