"""Files as people have them: packed, in any encoding, in folders and patterns, at a URL; their digests."""

import bz2
import gzip
import hashlib
import json
import lzma
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from limo_ablate.analysis.results import CurrentInputs
from limo_ablate.core import lines
from limo_ablate.core.artifacts import Store, record_files
from limo_ablate.core.errors import UserError
from limo_ablate.data.pool import remote, sources
from limo_ablate.data.pool.load import load_pool
from limo_ablate.data.pool.sources import file_rows
from limo_ablate.trial.compose import compose
from limo_ablate.trial.config import DataConfig

ROWS = [{"problem": f"Größe {i}?", "answer": str(i), "solution": f"Es ist {i} €."} for i in range(3)]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
TABLE = "problem;answer;solution\r\n" + "".join(
    f"{row['problem']};{row['answer']};{row['solution']}\r\n" for row in ROWS
)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())


def arrow(data: list[dict[str, Any]], path: Path) -> None:
    table = pa.Table.from_pylist(data)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def rows(path: Path | str, **options: Any) -> list[Any]:
    return [row for _, row in file_rows(str(path), **options)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES.encode()),
        ("a.ndjson", LINES.encode("utf-8-sig")),
        ("a.json", LINES.encode()),  # lines, whatever its name says
        ("a.jsonl", json.dumps(ROWS, indent=1).encode()),  # a list, likewise
        ("a.json", json.dumps({"data": ROWS}).encode()),
        ("a.json", json.dumps({"version": "1", "examples": ROWS}).encode()),
        ("a.jsonl", LINES.encode("utf-16")),
        ("a.json", json.dumps(ROWS, ensure_ascii=False).encode("utf-16")),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)),
        ("a.jsonl.xz", lzma.compress(LINES.encode())),
        ("a.jsonl.bz2", bz2.compress(LINES.encode())),
        ("a.jsonl.zst", zstd(LINES.encode())),
        ("a.json.gz", gzip.compress(json.dumps(ROWS).encode(), mtime=0)),
        ("a.csv", TABLE.encode()),
        ("a.csv", TABLE.encode("utf-8-sig")),
        ("a.csv", TABLE.encode("cp1252")),
        ("a.csv", ("sep=;\r\n" + TABLE).encode()),
        ("a.csv", TABLE.replace(";", ",").encode()),
        ("a.csv", TABLE.replace(";", "\t").encode("utf-16")),
        ("a.csv.gz", gzip.compress(TABLE.encode(), mtime=0)),
        ("a.tsv", TABLE.replace(";", "\t").encode()),
    ],
)
def test_every_form_is_the_same_rows(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert rows(tmp_path / name) == ROWS


def test_arrow_files_and_what_save_to_disk_writes(tmp_path: Path) -> None:
    arrow(ROWS, tmp_path / "a.arrow")
    assert rows(tmp_path / "a.arrow") == ROWS
    pl.DataFrame(ROWS).write_ipc(tmp_path / "b.arrow")
    assert rows(tmp_path / "b.arrow") == ROWS
    from datasets import Dataset, DatasetDict

    Dataset.from_list(ROWS).save_to_disk(tmp_path / "one", num_shards=2)
    DatasetDict({"train": Dataset.from_list(ROWS), "test": Dataset.from_list(ROWS[:1])}).save_to_disk(
        tmp_path / "two"
    )
    assert rows(tmp_path / "one") == rows(tmp_path / "two") == ROWS
    assert rows(tmp_path / "two", split="test") == ROWS[:1]
    with pytest.raises(UserError, match="has no split dev; set split to one of test, train"):
        rows(tmp_path / "two", split="dev")


def test_json_by_id_keeps_the_id(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"x7": ROWS[0], "x8": {**ROWS[1], "id": "own"}}))
    found = list(file_rows(str(tmp_path / "a.json")))
    assert [row["id"] for _, row in found if isinstance(row, dict)] == ["x7", "own"]
    assert [where for where, _ in found] == ["a.json[x7]", "a.json[x8]"]


def test_an_encoding_is_recognised_said_or_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TABLE.encode("cp1252"))
    assert rows(path) == ROWS
    assert "a.csv: not UTF-8; read as cp1252, by its characters: set its `encoding`" in caplog.text
    path.write_bytes(TABLE.replace("ö", "ő").replace("ß", "ű").encode("cp1250"))
    assert rows(path, encoding="cp1250")[0]["problem"] == "Grőűe 0?"
    with pytest.raises(UserError, match="can't be read as ascii"):
        rows(path, encoding="ascii")
    with pytest.raises(UserError, match="can't be read as nonsense: unknown encoding"):
        rows(path, encoding="nonsense")


def test_folders_and_patterns_are_read_in_order(tmp_path: Path) -> None:
    for number, row in enumerate(ROWS):
        place = tmp_path / "shards" / f"part-{number}.jsonl.gz"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(gzip.compress(json.dumps(row).encode(), mtime=0))
    (tmp_path / "shards" / "README.md").write_text("about")
    assert rows(tmp_path / "shards") == rows(tmp_path / "shards" / "*.jsonl.gz") == ROWS
    assert [where for where, _ in file_rows(str(tmp_path / "*/part-[12].jsonl.gz"))] == [
        "part-1.jsonl.gz:1", "part-2.jsonl.gz:1",
    ]  # fmt: skip
    with pytest.raises(UserError, match="no such file"):
        rows(tmp_path / "*.parquet")
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="has no file that can be read"):
        rows(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz: can't be unpacked"),
        ("a.jsonl.gz", gzip.compress(LINES.encode(), mtime=0)[:-20], "a.jsonl.gz: can't be unpacked"),
        ("a.jsonl.xz", b"no xz", "a.jsonl.xz: can't be unpacked"),
        ("a.jsonl.zst", b"no zstd", "a.jsonl.zst: can't be"),
        ("a.jsonl.bz2", b"no bz2", "a.jsonl.bz2: can't be"),
        ("a.parquet.gz", b"", r"can't read .parquet.gz files; use one of .jsonl"),
        ("a.arrow", b"no arrow", "a.arrow: can't be read"),
        ("a.json", b'{"a": 1}', "found one object with a; write"),
        ("a.json", b"[1, 2", r"a.json: not JSON \(line 1"),
        ("a.json", b"[\n// note\n{}]", r"a.json: not JSON \(line 2: .* at '// note'\)"),
        ("a.csv", b"q,a,a\nx,1,2\n", "a.csv: two columns are named 'a'"),
        ("a.csv", b'q,a\nx,1\n"y \\"z\\"",2\n', r"a.csv:3: can't be read: .*; in quotes, write"),
        ("a.csv", b'q,a\nx,1\n"y,2\nz,3\n', "a.csv:3: can't be read: a value begins with \" and"),
        ("a.csv", b"q,a\rx,1\r", r'a.csv:1: can\'t be read: lines end in "\\r" alone'),
        ("a.csv", "q,a\nx,1\n".encode("utf-16-le"), "a.csv: has NUL bytes, as UTF-16 without a mark"),
        ("a.jsonl", gzip.compress(LINES.encode(), mtime=0), "a.jsonl: is packed by gzip: name it .gz"),
        ("a.csv", b"PK\x03\x04zip", "a.csv: is a ZIP archive"),
        ("a.jsonl", b"version https://git-lfs.github.com/spec/v1\noid", "a.jsonl: is Git LFS's pointer"),
        ("a.jsonl", b"\n<!doctype html><html></html>", "a.jsonl: is a web page"),
    ],
)
def test_what_can_t_be_read_is_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        rows(tmp_path / name)


def test_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    table = pa.table([pa.array(["x"]), pa.array(["1"]), pa.array(["2"])], names=["q", "a", "a"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    for name in ("a.parquet", "a.arrow"):
        with pytest.raises(UserError, match="two columns are named 'a'"):
            rows(tmp_path / name)


def test_files_of_several_splits_are_not_one_pool(tmp_path: Path) -> None:
    folder = tmp_path / "train_of_thought"
    for name in ("data/train-0.jsonl", "data/train-1.jsonl", "testing.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(LINES)
    assert len(rows(folder)) == 3 * len(ROWS)
    (folder / "data/test-0.jsonl").write_text(LINES)
    with pytest.raises(UserError, match=r"files of the splits test, train; .*/train_of_thought/\*\*/train\*"):
        rows(folder)
    assert len(rows(folder / "**/train*")) == 2 * len(ROWS)


def test_a_link_to_nothing_is_no_missing_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(LINES)
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "gone.jsonl")
    with pytest.raises(UserError, match=r"b.jsonl: a link to a file that is not there"):
        rows(tmp_path)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, zstd])
def test_several_packed_parts_in_a_file_are_all_read(tmp_path: Path, pack: Any) -> None:
    ending = {gzip.compress: "gz", lzma.compress: "xz", bz2.compress: "bz2", zstd: "zst"}[pack]
    (tmp_path / f"a.jsonl.{ending}").write_bytes(pack(LINES.encode()) + pack(LINES.encode()))
    assert rows(tmp_path / f"a.jsonl.{ending}") == ROWS * 2


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, zstd])
def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Any) -> None:
    monkeypatch.setattr(lines, "LONGEST", 2**16)
    monkeypatch.setattr(sources, "LONGEST_FILE", 2**17)
    ending = {gzip.compress: "gz", lzma.compress: "xz", bz2.compress: "bz2", zstd: "zst"}[pack]
    for name, start in ((f"a.jsonl.{ending}", b"{"), (f"a.json.{ending}", b"[\n")):
        (tmp_path / name).write_bytes(pack(start + b" " * 2**24))
        with pytest.raises(UserError, match=r"a line has more than|a \.json file is read whole"):
            rows(tmp_path / name)


@pytest.fixture
def data() -> DataConfig:
    return compose(["data=jsonl"]).data


@pytest.mark.parametrize("form", ["folder", "pattern", "packed", "saved"])
def test_an_edit_makes_results_stale_in_every_form(tmp_path: Path, data: DataConfig, form: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    if form == "saved":
        from datasets import Dataset

        Dataset.from_list(ROWS).save_to_disk(folder)
    else:
        (folder / "a.jsonl.gz").write_bytes(gzip.compress(LINES.encode(), mtime=0))
    path = {"pattern": str(folder / "*.gz"), "packed": str(folder / "a.jsonl.gz")}.get(form, str(folder))
    store, config = Store(tmp_path / "store"), replace(data, path=path)
    with record_files() as files:
        first = load_pool(store, config)
    metrics = {"inputs": {"files": files, "versions": {}}}
    assert CurrentInputs(store.root).changes(metrics) == ()
    more = gzip.compress(b'{"problem": "new?", "answer": "7", "solution": "7"}\n', mtime=0)
    if form == "saved":
        arrow(ROWS[:1], next(folder.glob("*.arrow")))
    elif form == "packed":
        (folder / "a.jsonl.gz").write_bytes(more)
    else:
        (folder / "b.jsonl.gz").write_bytes(more)
    assert CurrentInputs(store.root).changes(metrics) == (f"{path} has changed",)
    assert load_pool(store, config).key != first.key


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as served:
        thread = threading.Thread(target=served.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}", folder
        served.shutdown()


def test_a_file_at_a_url_is_pinned_by_its_digest(
    tmp_path: Path, server: tuple[str, Path], data: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("aiohttp")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url, folder = f"{server[0]}/rows.jsonl.gz", server[1]
    (folder / "rows.jsonl.gz").write_bytes(gzip.compress(LINES.encode(), mtime=0))
    digest = hashlib.sha256((folder / "rows.jsonl.gz").read_bytes()).hexdigest()
    store, config = Store(tmp_path / "store"), replace(data, path=url)
    with pytest.raises(UserError, match=f"what is there may change: set revision={digest}"):
        load_pool(store, config)
    pinned = replace(config, revision=digest)
    assert pl.read_parquet(load_pool(store, pinned).path / "problems.parquet").height == 3
    (folder / "rows.jsonl.gz").unlink()
    remote.local_copy.cache_clear()
    assert remote.local_copy(url, digest).is_file()  # from the cache
    (folder / "rows.jsonl.gz").write_bytes(b"other")
    with pytest.raises(UserError, match="has changed: its SHA-256 is"):
        remote.local_copy(url, "0" * 64)
    with pytest.raises(UserError, match="can't be read"):
        remote.local_copy(f"{server[0]}/none.jsonl", "0" * 64)
    with pytest.raises(UserError, match="must be the file's SHA-256"):
        remote.local_copy(url, "main")
    assert not remote.is_url("simplecache::https://a/b")
    assert not remote.is_url("https://a/b::file:///etc/passwd")
    assert not remote.is_url("file:///etc/passwd")


def test_files_of_the_second_round(shared: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = shared / "round2"
    if not folder.is_dir():
        pytest.skip("the second round's inputs are not in ../shared/data")
    tables = [
        rows(folder / name)
        for name in ("excel_semicolon.csv", "excel_cp1252.csv", "excel_utf16.csv", "excel.tsv")
    ]
    assert all(table == tables[0] for table in tables)
    assert tables[0][0].keys() == {"Frage", "Antwort", "Lösung"}
    assert "excel_cp1252.csv: not UTF-8; read as cp1252" in caplog.text
    assert {"id", "QUESTION"} <= rows(folder / "real/ori_pqal.json")[0].keys()
    assert {"id", "problem"} <= rows(folder / "real/swift_math.json")[0].keys()
    for file in sorted(folder.rglob("*.*")):
        if file.suffix != ".md" and file.is_file():
            found = rows(file)
            assert found, file
            assert all(isinstance(row, dict) for row in found), file
