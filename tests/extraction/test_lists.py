"""Lists: names that are torn nowhere, and an error with its line for what no list can mean."""

import csv
import os
import sys
from pathlib import Path

import pytest

import maezoo
from maezoo.errors import DataError
from maezoo.extraction.sources import find_items

BREAKS = "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"  # str.splitlines takes each for the end of a line


def _write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding, "surrogateescape"))
    return path


def _ids(source, **settings):
    return [item.id for item in find_items(source, **settings)]


@pytest.mark.parametrize("mark", BREAKS)
def test_a_name_ends_where_its_line_ends_and_nowhere_else(tmp_path, mark):
    name = f"a{mark}b.jpg"
    for suffix, head in ((".txt", ""), (".csv", "path\n"), (".tsv", "path\n")):
        assert _ids(_write(tmp_path / f"list{suffix}", f"{head}{name}\r\nc.jpg\n")) == [name, "c.jpg"]


def test_blanks_at_the_ends_belong_to_the_name(tmp_path):
    names = [" a.jpg", "b.jpg ", "c.jpg\t"]
    items = list(find_items(_write(tmp_path / "list.txt", "\n".join(names))))
    assert [item.id for item in items] == names
    assert [Path(os.fsdecode(item.location)).name for item in items] == names
    assert _ids(_write(tmp_path / "list.csv", "path\n" + "\n".join(names))) == names


def test_cells_in_quotes_hold_commas_quotes_and_line_breaks(tmp_path):
    names = ["a,b.jpg", 'say "c".jpg', "two\nlines.jpg", "two\r\nlines.jpg"]
    with (tmp_path / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "label"], *([name, "x"] for name in names)])
    assert _ids(tmp_path / "list.csv", labels=True) == names


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert _ids(_write(tmp_path / "list.txt", "a.jpg\n", "utf-8-sig")) == ["a.jpg"]
    assert _ids(_write(tmp_path / "list.csv", "path\na.jpg\n", "utf-8-sig")) == ["a.jpg"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_names_that_are_no_text_are_found_all_the_same(tmp_path):
    for suffix, head in ((".txt", ""), (".csv", "path\n")):
        (item,) = find_items(_write(tmp_path / f"list{suffix}", f"{head}caf\udce9.jpg"))
        assert item.location.endswith(b"/caf\xe9.jpg")
        assert item.id == r"caf\xe9.jpg"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.csv", "path,x\na.jpg,1\nb.jpg," + "x" * 200_000, "line 3.*131,072 characters"),
        ("a.csv", 'path,x\n"a.jpg,1\nb.jpg,2\n', "line 2.*unexpected end"),
        ("a.csv", 'path,x\na.jpg,1\n"b"c.jpg,2\n', "line 3.*expected after"),
        ("a.csv", "path,label\na.jpg,cat\nb,c.jpg,dog\n", "line 3: 3 cells under a header of 2"),
        ("a.csv", "path,label\na.jpg,cat\nb.jpg\n", "line 3: 1 cells"),
        ("a.csv", "path,label\na.jpg,cat\n\n ,dog\n", "line 4: the column 'path' is empty"),
        ("a.csv", "path,path\na.jpg,b.jpg\n", "line 1: the header has 2 columns 'path'"),
        ("a.csv", "path,label,label\na.jpg,b,c\n", "2 columns 'label'"),
        ("a.csv", "id,path,id\na,a.jpg,c\n", "2 columns 'id'"),
        ("a.csv", "path\na.jpg\nb\0.jpg\n", "line 3.*NUL"),
        ("a.txt", "a.jpg\nb\0.jpg\n", "line 2.*NUL"),
        ("a.csv", "url;size\n1;2\n", "column 'path'; it has 'url;size'"),
        ("a.csv", "", "column 'path'"),
        ("a.csv", "id,path\nx,a.jpg\ny,b.jpg\nx,c.jpg\n", "'x' in line 2 and again in line 4"),
        ("a.csv", 'path\n"a\nb.jpg"\nc.jpg\nc.jpg\n', r"'c\.jpg' in line 4 and again in line 5"),
        ("a.txt", "a.jpg\nb.jpg\n\na.jpg\n", "line 1 and again in line 4"),
        ("a.txt", "a.jpg\ngopher://host/b.jpg\n", "line 2: gopher://host/b.jpg cannot be read.*http"),
    ],
)
def test_what_no_list_can_mean_is_refused_with_its_line_before_any_image(tmp_path, name, text, says):
    with pytest.raises(DataError, match=f"(?s){name}.*{says}"):
        next(find_items(_write(tmp_path / name, text)))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_text_of_two_bytes_a_letter_is_refused(tmp_path, name, encoding):
    mark = "" if encoding in ("utf-16", "utf-32") else "\ufeff"
    with pytest.raises(DataError, match=r"line 1: the list is UTF-16.*UTF-8"):
        _ids(_write(tmp_path / name, f"{mark}path\na.jpg\n", encoding))


def test_the_limit_on_cells_is_the_callers(tmp_path):
    before = csv.field_size_limit()
    with pytest.raises(DataError):
        _ids(_write(tmp_path / "list.csv", "path,x\na.jpg," + "x" * 200_000))
    assert csv.field_size_limit(300_000) == before
    try:
        assert _ids(tmp_path / "list.csv") == ["a.jpg"]
    finally:
        csv.field_size_limit(before)


@pytest.mark.parametrize(("name", "text"), [("a.csv", "path,class\na.jpg,cat\n"), ("a.tsv", "path\na.jpg\n")])
def test_labels_are_not_asked_of_a_list_without_them(tmp_path, name, text):
    with pytest.raises(DataError, match="column 'label'; it has 'path'"):
        _ids(_write(tmp_path / name, text), labels=True)


def test_labels_are_not_asked_of_a_text_file_nor_of_one_flat_folder(tmp_path, small):
    with pytest.raises(DataError, match=r"no labels: name the images in a \.csv"):
        _ids(_write(tmp_path / "a.txt", "a.jpg\n"), labels=True)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "a.jpg").touch()
    with pytest.raises(DataError, match="none of the 1 images"):
        maezoo.extract(tmp_path / "flat", tmp_path / "out", model=small, labels=True, workers=0)


def test_a_long_list_is_told_from_one_with_an_id_twice(tmp_path):
    names = [f"{number}.jpg" for number in range(20_000)]
    assert _ids(_write(tmp_path / "list.txt", "\n".join(names))) == names
    with pytest.raises(DataError, match="line 778 and again in line 20001"):
        _ids(_write(tmp_path / "list.txt", "\n".join([*names, names[777]])))
