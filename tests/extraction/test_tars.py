"""Tar shards: what is in them is found, and what they claim is believed only within bounds."""

import io
import logging
import tarfile

import pytest

from maezoo.errors import DataError
from maezoo.extraction.item import fetch
from maezoo.extraction.sources import find_items

BLOCK = 512


def _add(tar, name, data=b"x", **fields):
    member = tarfile.TarInfo(name)
    member.size = len(data)
    for field, value in fields.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(data))


def _shard(path, *names, tail=b""):
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            _add(tar, name)
    path.write_bytes(path.read_bytes() + tail)
    return path


def _header(name, size, kind=tarfile.REGTYPE):
    """A header with any number in its field of twelve bytes, negative ones included."""
    member = tarfile.TarInfo(name)
    member.type = kind
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = tarfile.itn(size, 12, tarfile.GNU_FORMAT)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def _pax(**records):
    lines = b"".join(
        next(line for n in range(99) if len(line := f"{n} {key}={value}\n".encode()) == n)
        for key, value in records.items()
    )
    padding = bytes(-len(lines) % BLOCK)
    return _header("pax", len(lines), tarfile.XHDTYPE) + lines + padding


def _refused(path, *parts, labels=True):
    path.write_bytes(b"".join(parts) + bytes(2 * BLOCK))
    with pytest.raises(DataError, match=path.name) as caught:
        list(find_items(path, labels=labels))
    return str(caught.value)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", [-1, -512, -513, -1024, -(2**40), 2**40, 2**62, 2**70])
def test_no_size_that_a_member_claims_is_believed(tmp_path, size):
    good = _header("a.jpg", 1) + b"x" + bytes(BLOCK - 1)
    for name in ("b.jpg", "b.cls", "b.json"):
        _refused(tmp_path / "s.tar", good, _header(name, size), good)
        _refused(tmp_path / "s.tar", _header(name, size), good)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("size", ["-1", "-512", "-1536", str(2**40), str(2**62)])
def test_nor_one_that_a_pax_record_claims(tmp_path, size):
    good = _header("a.jpg", 1) + b"x" + bytes(BLOCK - 1)
    _refused(tmp_path / "s.tar", good, _pax(size=size), good)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("size", [-512, 2**40])
def test_nor_one_of_a_header_for_headers(tmp_path, kind, size):
    _refused(tmp_path / "s.tar", _header("pax", size, kind), _header("a.jpg", 1) + bytes(BLOCK))


def test_a_label_has_an_end(tmp_path):
    with tarfile.open(tmp_path / "long.tar", "w") as tar:
        _add(tar, "a.jpg")
        _add(tar, "a.cls", b"x" * 70_000)
    with pytest.raises(DataError, match=r"a\.cls has 70,000 bytes"):
        list(find_items(tmp_path / "long.tar", labels=True))
    assert len(list(find_items(tmp_path / "long.tar"))) == 1


def test_holes_are_neither_labels_nor_pictures(tmp_path):
    """The format that GNU tar writes with --sparse: one byte is stored of 300 million."""
    real, sparse = b"%011o\0", 300_000_000
    for name, says in (("a.cls", "300,000,000 bytes"), ("a.jpg", "sparse file")):
        header = bytearray(_header(name, 1, tarfile.GNUTYPE_SPARSE))
        header[386:410] = real % (sparse - 1) + real % 1  # the only piece: where it stands, and its length
        header[483:495] = real % sparse
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        assert says in _refused(tmp_path / "s.tar", bytes(header), b"x" + bytes(BLOCK - 1))


def test_labels_are_told_apart_though_they_are_no_text(tmp_path):
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for key, label in (("a", b"caf\xe9"), ("b", b"caf\xe8"), ("c", b"7\n")):
            _add(tar, f"{key}.jpg")
            _add(tar, f"{key}.cls", label)
    assert [item.label for item in find_items(tmp_path / "s.tar", labels=True)] == [r"caf\xe9", r"caf\xe8", "7"]


@pytest.mark.parametrize("name", ["a.jpg", "a.cls"])
def test_a_name_stands_once(tmp_path, name):
    with pytest.raises(DataError, match=f"s.tar holds {name} twice"):
        list(find_items(_shard(tmp_path / "s.tar", "a.jpg", "a.cls", "b.jpg", name), labels=True))


def test_labels_are_not_asked_of_shards_without_them(tmp_path):
    with pytest.raises(DataError, match=r"none of the 1 images.*\.cls"):
        list(find_items(_shard(tmp_path / "s.tar", "a.jpg"), labels=True))


def test_a_damaged_header_is_not_the_end(tmp_path):
    whole = _shard(tmp_path / "s.tar", "a.jpg", "b.jpg", "c.jpg").read_bytes()
    for damaged in (whole[: 2 * BLOCK] + b"?" + whole[2 * BLOCK + 1 :], whole[: 2 * BLOCK + 100]):
        (tmp_path / "s.tar").write_bytes(damaged)
        with pytest.raises(DataError, match="damaged or cut short at byte 1,024"):
            list(find_items(tmp_path / "s.tar"))


def test_a_shard_without_an_end_mark_is_read_and_told(tmp_path, caplog):
    whole = _shard(tmp_path / "s.tar", "a.jpg", "b.jpg").read_bytes()
    (tmp_path / "s.tar").write_bytes(whole[: 4 * BLOCK])
    with caplog.at_level(logging.WARNING):
        assert len(list(find_items(tmp_path / "s.tar"))) == 2
    assert "no end mark" in caplog.text


def test_hidden_members_are_left_out(tmp_path):
    shard = _shard(tmp_path / "s.tar", "./a.jpg", "._a.jpg", "./.hidden/b.jpg", "deep/._c.jpg", "deep/c.jpg")
    items = list(find_items(shard))
    assert [item.id for item in items] == ["s.tar/./a.jpg", "s.tar/deep/c.jpg"]
    assert fetch(items[1]).getvalue() == b"x"
