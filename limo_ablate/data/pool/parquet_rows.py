"""Rows of a parquet file, in bounded memory: a few kilobytes may stand for terabytes.

A value that stands once in a file's dictionary may be that of a billion rows, and a page of zeros is packed a
thousandfold. Files of which the metadata shows that are read in small batches, and each text is measured
before it is copied into a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from limo_ablate.core.errors import UserError
from limo_ablate.core.lines import LONGEST, longer

BATCH, SMALL_BATCH = 1000, 16
LARGE = 2**30
"""Bytes that a batch of an ordinary file may have."""
PACKED = 100
"""A file of texts is some three to ten times as large unpacked."""
DICTIONARY = 2**22
"""Bytes of a column's packed dictionary: writers end it at a megabyte."""
ROWS, ROWS_PER_BYTE = 10**6, 100


def parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Raises UserError for a file that can't be read, or holds more than can be meant."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file, buffer_size=2**20) as table:  # a row group can be the whole file
            _check_rows(file, table.metadata.num_rows)
            check_names(file, table.schema_arrow.names)
            if not _is_packed(table.metadata):
                for batch in table.iter_batches(BATCH):
                    yield from batch.to_pylist()
                return
            texts = _texts(table.metadata)
        with pq.ParquetFile(file, buffer_size=2**20, read_dictionary=texts) as table:
            for batch in table.iter_batches(SMALL_BATCH):
                for column in batch.columns:
                    _check_texts(file, column)
                yield from batch.to_pylist()
    except pa.ArrowException as error:
        raise UserError(f"{file}: can't be read: {str(error).splitlines()[0]}") from error


def arrow_rows(file: Path) -> Iterator[dict[str, Any]]:
    """Rows of an .arrow file, as a stream (`save_to_disk`) or a file (Feather). Raises UserError."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(file)) as source:
            magic = source.read(6)
            source.seek(0)
            for batch in _arrow_batches(file, source, magic == b"ARROW1"):
                for column in batch.columns:
                    _check_texts(file, column)
                for start in range(0, batch.num_rows, BATCH):
                    yield from batch.slice(start, BATCH).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{file}: can't be read: {str(error).splitlines()[0]}") from error


def _arrow_batches(file: Path, source: Any, random_access: bool) -> Iterator[Any]:
    import pyarrow as pa

    size, rows = file.stat().st_size, 0
    reader = pa.ipc.open_file(source) if random_access else pa.ipc.open_stream(source)
    batches = map(reader.get_batch, range(reader.num_record_batches)) if random_access else reader
    check_names(file, reader.schema.names)
    for batch in batches:
        rows += batch.num_rows
        _check_rows(file, rows)
        if batch.nbytes > LARGE and batch.nbytes > PACKED * size:
            raise UserError(f"{file}: it unpacks to {batch.nbytes} bytes, over {PACKED} times its own size")
        yield batch


def check_snapshot(folder: Path) -> None:
    """Raises UserError for parquet files and archives of a data set that hold more than can be meant.

    `datasets` reads them itself, and unpacks them whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for file in sorted(folder.rglob("*.parquet")):
        try:
            with pq.ParquetFile(file) as table:
                rows, packed = table.metadata.num_rows, _is_packed(table.metadata)
        except pa.ArrowException:
            continue  # `datasets` says so
        _check_rows(file, rows)
        for _ in parquet_rows(file) if packed else ():
            pass
    for file in sorted(folder.rglob("*.zip")):
        with suppress(BadZipFile), ZipFile(file) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
            if size > LARGE and size > PACKED * file.stat().st_size:
                raise UserError(f"{file}: it unpacks to {size} bytes, over {PACKED} times its own size")


def check_names(file: Path, names: list[str]) -> None:
    """Raises UserError for columns of one name, of which a row could hold only one."""
    if twice := next((name for place, name in enumerate(names) if name and name in names[:place]), None):
        raise UserError(f"{file}: two columns are named {twice!r}; rename or remove one")


def _check_rows(file: Path, rows: int) -> None:
    size = file.stat().st_size
    if rows > ROWS + ROWS_PER_BYTE * size:
        raise UserError(f"{file}: {rows} rows in {size} bytes can't be examples")


def _is_packed(metadata: Any) -> bool:
    """Whether a batch of the file may be far larger than the file."""
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        size = sum(column.total_uncompressed_size for column in columns)
        if size > LARGE and size > PACKED * sum(column.total_compressed_size for column in columns):
            return True
        if any(column.has_dictionary_page and _is_repeated(column) for column in columns):
            return True
    return False


def _is_repeated(column: Any) -> bool:
    """Whether a value of the column's dictionary may be long."""
    size = column.total_uncompressed_size
    packed = size * BATCH > LARGE and size > PACKED * column.total_compressed_size
    return bool(packed or column.data_page_offset - column.dictionary_page_offset > DICTIONARY)


def _texts(metadata: Any) -> list[str]:
    columns = [metadata.schema.column(place) for place in range(len(metadata.schema))]
    return [column.path for column in columns if column.physical_type == "BYTE_ARRAY"]


def _check_texts(file: Path, values: Any) -> None:
    """Raises UserError for a text that is too long, in whatever nested column."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = values.type
    if pa.types.is_dictionary(kind):
        used = values.dictionary.take(values.indices.drop_null().unique())
        if (pc.max(pc.binary_length(used)).as_py() or 0) > LONGEST:
            raise UserError(longer(f"{file}: a text"))
    elif pa.types.is_struct(kind):
        for part in values.flatten():
            _check_texts(file, part)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        _check_texts(file, values.flatten())
    elif pa.types.is_map(kind):
        _check_texts(file, values.keys)
        _check_texts(file, values.items)
