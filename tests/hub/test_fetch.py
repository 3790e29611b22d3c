"""A weight's file arrives once, whole, and is then found without a request."""

import json
import os
import time
from pathlib import Path

import pytest

from .conftest import NAME, REPO
from .server import COMMIT, cut_after, slowly

THEIRS = f"""
from huggingface_hub import hf_hub_download
print(hf_hub_download({REPO!r}, "model.safetensors", revision={COMMIT!r}))
"""
posix = pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")


def fetched(result, machine) -> Path:
    path = Path(result.stdout)
    assert path.is_file(), result.stdout + result.stderr
    assert path.read_bytes() == machine.hub.files[REPO, "model.safetensors"]
    return path


def test_a_cold_cache_is_filled_with_one_request_for_the_bytes(machine):
    path = fetched(machine.run(), machine)
    assert path == machine.cache / f"models--zoo--tiny/snapshots/{COMMIT}/model.safetensors"
    assert machine.hub.counts() == {"HEAD": 1, "GET": 1}


def test_a_warm_cache_needs_no_request_and_no_hub(machine):
    fetched(machine.run(), machine)
    machine.hub.requests.clear()
    fetched(machine.run(), machine)
    assert not machine.hub.requests
    machine.hub.close()
    fetched(machine.run(), machine)
    fetched(machine.run(HF_HUB_OFFLINE="1"), machine)
    fetched(machine.run("print(fetch(offline=True))"), machine)


@pytest.mark.parametrize("revision", [COMMIT, "main", "refs/pr/1"])
def test_without_a_pinned_hash_the_hubs_own_is_used_and_remembered(machine, revision):
    machine.publish(b"weights" * 1000, sha256=None, size=None, revision=revision)
    path = fetched(machine.run(), machine)
    machine.hub.close()
    fetched(machine.run(), machine)
    path.resolve().write_bytes(b"Weights" + b"weights" * 999)
    assert machine.run().stdout.startswith("IntegrityError: ")


def test_six_processes_on_a_cold_cache_fetch_the_file_once(machine):
    machine.hub.get_faults = [slowly(0.02)]
    processes = [machine.start("print(fetch())") for _ in range(6)]
    outputs = [process.communicate(timeout=60) for process in processes]
    paths = {out.strip() for out, _ in outputs}
    assert len(paths) == 1, outputs
    assert Path(paths.pop()).read_bytes() == machine.hub.files[REPO, "model.safetensors"]
    assert machine.hub.count("GET") == 1


@pytest.mark.parametrize("links", ["1", "0"], ids=["no links", "links"])
def test_processes_on_a_file_system_whose_locks_do_not_lock_never_write_to_one_file(machine, links):
    machine.hub.always = slowly(0.1)
    code = """
        import contextlib, pathlib, time
        import huggingface_hub.utils
        import maezoo.hub.transfer
        huggingface_hub.utils.WeakFileLock = lambda path: contextlib.nullcontext()
        pathlib.Path({0!r}).touch()
        while not pathlib.Path({1!r}).exists():
            time.sleep(0.02)
        print(fetch())
    """
    ready, go = ([machine.folder / f"{word}-{number}" for number in range(3)] for word in ("ready", "go"))
    processes = [
        machine.start(code.format(str(one), str(other)), HF_HUB_DISABLE_SYMLINKS=links)
        for one, other in zip(ready, go, strict=True)
    ]
    wait_for(lambda: all(path.exists() for path in ready))
    for count, path in enumerate(go):  # each begins in the middle of the others' downloads
        path.touch()
        wait_for(lambda count=count: machine.hub.count("GET") > count)
    outputs = [process.communicate(timeout=60) for process in processes]
    assert len({out for out, _ in outputs}) == 1, outputs
    assert not any(err for _, err in outputs), outputs  # no damaged bytes, no second try
    assert Path(outputs[0][0].strip()).read_bytes() == machine.hub.files[REPO, "model.safetensors"]
    assert machine.hub.count("GET") == 3
    assert not list(machine.cache.rglob("*.incomplete"))


def test_what_a_failed_download_left_is_resumed_and_not_kept_twice(machine):
    machine.hub.always = cut_after(700_000)
    code = """
        import maezoo.hub.transfer
        maezoo.hub.transfer._retry = lambda action, progressed, attempts=1: action()
        try:
            print(fetch())
        except Exception as error:
            print(type(error).__name__)
    """
    for _ in range(2):
        assert machine.run(code).stdout == "TransientError"
        assert len(list(machine.cache.rglob("*.incomplete"))) == 1
    machine.hub.always = None
    fetched(machine.run(), machine)
    ranges = [int(asked.strip("bytes=-")) for verb, _, asked in machine.hub.requests if verb == "GET" and asked]
    assert ranges[0] > 600_000
    assert ranges[1] > 1_300_000
    assert not list(machine.cache.rglob("*.incomplete"))


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_without_links_the_file_itself_stands_in_the_snapshot(machine):
    path = fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    assert not path.is_symlink()
    machine.hub.requests.clear()
    fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    assert not machine.hub.requests


def test_without_links_and_pins_a_flipped_file_is_noticed(machine):
    machine.publish(b"weights" * 1000, sha256=None, size=None)
    path = fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    path.write_bytes(b"Weights" * 1000)
    fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    assert machine.hub.count("GET") == 2


def test_huggingface_hub_finds_what_we_fetched_and_we_find_what_it_fetched(machine):
    code = THEIRS
    fetched(machine.run(code), machine)
    fetched(machine.run(), machine)
    assert machine.hub.count("GET") == 1
    ours = str(machine.folder / "ours")
    fetched(machine.run(HF_HUB_CACHE=ours), machine)
    machine.hub.requests.clear()
    fetched(machine.run(code, HF_HUB_CACHE=ours), machine)
    assert not machine.hub.requests


def test_a_cached_file_of_unknown_hash_is_compared_with_the_hubs_once(machine):
    machine.publish(b"weights" * 1000, sha256=None, size=None)
    code = THEIRS
    theirs = fetched(machine.run(code, HF_HUB_DISABLE_SYMLINKS="1"), machine)
    if theirs.is_symlink():
        pytest.skip("this huggingface_hub links in any case: the name of what it links to is the hash")
    machine.hub.requests.clear()
    fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    assert machine.hub.counts() == {"HEAD": 1}
    fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine)
    assert machine.hub.counts() == {"HEAD": 1}


def test_the_cache_is_where_the_caller_or_the_environment_says(machine, tmp_path):
    for place, code, environment in (
        ("argument", f"print(fetch(cache_dir={str(tmp_path / 'argument')!r}))", {}),
        ("variable", "print(fetch())", {"HF_HUB_CACHE": str(tmp_path / "variable")}),
        ("home/hub", "print(fetch())", {}),
    ):
        assert tmp_path / place in fetched(machine.run(code, **environment), machine).parents


def test_a_file_of_another_revision_is_linked_and_not_fetched_again(machine):
    fetched(machine.run(), machine)
    data = machine.hub.files[REPO, "model.safetensors"]
    machine.publish(data, revision="main", sha256=None, size=None)
    fetched(machine.run(), machine)
    assert machine.hub.count("GET") == 1


def test_a_revision_keeps_its_file_when_another_gets_it_without_links(machine):
    first = fetched(machine.run(), machine)
    machine.publish(machine.hub.files[REPO, "model.safetensors"], revision="b" * 40)
    machine.hub.commit = "b" * 40
    machine.hub.revisions.add(machine.hub.commit)
    assert fetched(machine.run(HF_HUB_DISABLE_SYMLINKS="1"), machine) != first
    assert first.is_file()


@posix
def test_a_read_only_cache_works_and_its_check_is_remembered_at_home(machine, tmp_path):
    fetched(machine.run(), machine)
    for folder in [machine.cache, *machine.cache.rglob("*")]:
        if not folder.is_symlink():
            folder.chmod(0o555 if folder.is_dir() else 0o444)
    try:
        shared = {"HF_HUB_CACHE": str(machine.cache), "HF_HOME": str(tmp_path / "other")}
        fetched(machine.run(**shared), machine)
        fetched(machine.run(MAEZOO_VERIFY="always", **shared), machine)
    finally:
        for folder in machine.cache.rglob("*"):
            if folder.is_dir():
                folder.chmod(0o755)
    assert machine.hub.count("GET") == 1


def test_an_unchanged_file_is_hashed_once(machine):
    fetched(machine.run(), machine)
    code = """
        from maezoo.hub import verification
        hashed = []
        original = verification.digest_of
        verification.digest_of = lambda *args, **kwargs: hashed.append(args) or original(*args, **kwargs)
        fetch()
        print(len(hashed))
    """
    assert machine.run(code).stdout == "0"
    assert machine.run(code, MAEZOO_VERIFY="always").stdout == "1"
    os.utime(machine.blob())
    assert machine.run(code).stdout == "1"
    assert machine.run(code).stdout == "0"
    os.utime(machine.blob())
    assert machine.run(code, MAEZOO_VERIFY="never").stdout == "0"


def test_the_check_of_the_packaged_file_is_remembered_too(machine):
    code = """
        from maezoo.hub import verification
        hashed = []
        original = verification.digest_of
        verification.digest_of = lambda *args, **kwargs: hashed.append(args) or original(*args, **kwargs)
        entry = load_manifest().find("mae_vit_tiny")
        _fetch(entry), _fetch(entry)
        print(len(hashed))
    """
    assert machine.run(code, MAEZOO_MANIFEST="").stdout == "1"
    assert machine.run(code, MAEZOO_MANIFEST="").stdout == "0"


def test_a_non_commercial_licence_is_shown_once_and_can_be_refused(machine):
    machine.publish(license="cc-by-nc-4.0", noncommercial=True, license_note="A note.")
    assert machine.run(MAEZOO_ALLOW_NONCOMMERCIAL="0").stdout.startswith(f"LicenseError: {NAME}: licence cc-by-nc-4.0")
    assert not machine.hub.requests
    first = machine.run("import logging; logging.basicConfig()\nprint(fetch())")
    assert "cc-by-nc-4.0" in first.stderr
    assert "A note." in first.stderr
    assert "licence" not in machine.run("import logging; logging.basicConfig()\nprint(fetch())").stderr


def test_a_token_is_sent_to_the_hub(machine):
    seen = []
    original = machine.hub._server.RequestHandlerClass.serve
    machine.hub._server.RequestHandlerClass.serve = lambda self, **kwargs: (
        seen.append(self.headers["Authorization"]),
        original(self, **kwargs),
    )
    fetched(machine.run(HF_TOKEN="hf_secret"), machine)
    assert seen == ["Bearer hf_secret"] * 2


def test_offline_says_what_is_needed_and_where(machine):
    sha256 = machine.publish()
    message = machine.run(HF_HUB_OFFLINE="1").stdout
    assert message.startswith("OfflineError: ")
    for part in (f"{machine.hub.url}/{REPO}/resolve/{COMMIT}", str(machine.cache), sha256, f"maezoo download {NAME}"):
        assert part in message
    assert not machine.hub.requests


def test_a_wrong_mode_of_verification_is_named(machine):
    fetched(machine.run(), machine)
    said = machine.run(MAEZOO_VERIFY="sometimes").stdout
    assert said.startswith("SettingError")
    assert "always, changed, never" in said


def test_records_are_plain_json(machine):
    fetched(machine.run(), machine)
    record = next(machine.cache.glob("models--zoo--tiny/.maezoo/*/*.json"))
    assert json.loads(record.read_text())["found"] == machine.blob().name


@pytest.mark.parametrize("change", [{"expected": 5}, {"found": 5}, {"checked_at": "now"}, {"state": {}}])
def test_a_broken_record_costs_no_more_than_a_hash(machine, change):
    machine.publish(b"weights" * 1000, sha256=None, size=None)
    fetched(machine.run(), machine)
    for record in machine.folder.rglob("*.json"):
        if "found" in (data := json.loads(record.read_text())):
            record.write_text(json.dumps({**data, **change}))
    fetched(machine.run(), machine)


@posix
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_says_so(machine):
    machine.cache.mkdir(parents=True)
    machine.cache.chmod(0o555)
    message = machine.run().stdout
    machine.cache.chmod(0o755)
    assert message.startswith("WeightsNotFoundError: ")
    assert "HF_HUB_CACHE" in message


def test_a_cache_below_a_file_says_so(machine):
    (machine.folder / "file").touch()
    result = machine.run(
        "try: print(fetch())\nexcept OSError as error: print('OSError', error)",
        HF_HUB_CACHE=str(machine.folder / "file"),
    )
    assert "Error" in result.stdout
